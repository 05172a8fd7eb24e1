//! MnasNet-B1 (Tan 2018), without squeeze and excitation.

use super::Architecture;
use super::blocks::{divisible_by_8, same};
use super::blueprint::{Bias, Blueprint, Maps};
use crate::nn::ops::window::Window;

const EPSILON: f32 = 1e-5;
const STEM_CHANNELS: f64 = 32.0;
const SEPARABLE_CHANNELS: f64 = 16.0;
const LAST_CHANNELS: usize = 1280;

/// A stack of inverted residuals, before scaling.
struct Stack {
    channels: f64,
    kernel: usize,
    /// Of the first block.
    stride: usize,
    expansion: usize,
    blocks: usize,
}

const fn stack(channels: f64, kernel: usize, stride: usize, expansion: usize, blocks: usize) -> Stack {
    Stack { channels, kernel, stride, expansion, blocks }
}

/// At width 1.
const STACKS: [Stack; 6] = [
    stack(24.0, 3, 2, 3, 3),
    stack(40.0, 5, 2, 3, 3),
    stack(80.0, 5, 2, 6, 3),
    stack(96.0, 3, 1, 6, 2),
    stack(192.0, 5, 2, 6, 4),
    stack(320.0, 3, 1, 6, 1),
];

pub(super) struct MnasNet {
    /// By what channels are multiplied.
    pub width: f64,
}

impl MnasNet {
    pub(super) fn draw(&self, architecture: Architecture, classes: usize) -> Blueprint {
        let scaled = |channels: f64| divisible_by_8(channels * self.width);
        let one = Window::square(1, 1);
        let mut net = Blueprint::new(architecture);
        let at = |index: usize| format!("layers.{index}");
        let mut maps = net.conv(&at(0), Blueprint::INPUT, scaled(STEM_CHANNELS), same(3, 2), Bias::None);
        maps = norm_relu(&mut net, [at(1), at(2)], maps);
        maps = net.grouped_conv(&at(3), maps, maps.channels, same(3, 1), maps.channels, Bias::None);
        maps = norm_relu(&mut net, [at(4), at(5)], maps);
        maps = net.conv(&at(6), maps, scaled(SEPARABLE_CHANNELS), one, Bias::None);
        maps = net.batch_norm(&at(7), maps, EPSILON);
        for (index, stack) in (8..).zip(&STACKS) {
            let out = scaled(stack.channels);
            for i in 0..stack.blocks {
                let stride = if i == 0 { stack.stride } else { 1 };
                maps = inverted_residual(&mut net, &format!("layers.{index}.{i}"), maps, stack, out, stride);
            }
            net.rename(maps, &at(index));
        }
        maps = net.conv(&at(14), maps, LAST_CHANNELS, one, Bias::None);
        maps = norm_relu(&mut net, [at(15), at(16)], maps);
        maps = net.global_average("avgpool", maps);
        maps = net.flatten(maps, 1);
        maps = net.dropout("classifier.0", maps, 0.2);
        maps = net.linear("classifier.1", maps, classes);
        net.softmax(maps);
        net
    }
}

fn norm_relu(net: &mut Blueprint, [norm, relu]: [String; 2], input: Maps) -> Maps {
    let maps = net.batch_norm(&norm, input, EPSILON);
    net.relu(&relu, maps)
}

fn inverted_residual(net: &mut Blueprint, name: &str, input: Maps, stack: &Stack, out: usize, stride: usize) -> Maps {
    let at = |index: usize| format!("{name}.layers.{index}");
    let one = Window::square(1, 1);
    let expanded = stack.expansion * input.channels;
    let mut maps = net.conv(&at(0), input, expanded, one, Bias::None);
    maps = norm_relu(net, [at(1), at(2)], maps);
    maps = net.grouped_conv(&at(3), maps, expanded, same(stack.kernel, stride), expanded, Bias::None);
    maps = norm_relu(net, [at(4), at(5)], maps);
    maps = net.conv(&at(6), maps, out, one, Bias::None);
    maps = net.batch_norm(&at(7), maps, EPSILON);
    if stride == 1 && input.channels == out {
        return net.add(name, maps, input);
    }
    net.rename(maps, name);
    maps
}
