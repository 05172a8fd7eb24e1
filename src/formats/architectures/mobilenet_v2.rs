//! MobileNet v2 (Sandler 2018).

use super::Architecture;
use super::blocks::{ConvNorm, same};
use super::blueprint::{Bias, Blueprint, Maps};
use crate::nn::ops::activation::Activation;
use crate::nn::ops::window::Window;

const EPSILON: f32 = 1e-5;
const RELU6: Activation = Activation::Clip { low: 0.0, high: 6.0 };
const STEM_CHANNELS: usize = 32;
const LAST_CHANNELS: usize = 1280;

/// Table 2 of the paper: expansion, output channels, blocks, stride of the first.
const STAGES: [(usize, usize, usize, usize); 7] =
    [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)];

pub(super) struct MobileNetV2;

impl MobileNetV2 {
    pub(super) fn draw(&self, architecture: Architecture, classes: usize) -> Blueprint {
        let mut net = Blueprint::new(architecture);
        let mut index = 0;
        let mut next_name = || {
            index += 1;
            format!("features.{}", index - 1)
        };
        let stem = ConvNorm { window: same(3, 2), ..ConvNorm::pointwise(STEM_CHANNELS, EPSILON) };
        let mut maps = stem.then(RELU6).draw(&mut net, &next_name(), Blueprint::INPUT);
        for (expansion, out, blocks, first_stride) in STAGES {
            for i in 0..blocks {
                let stride = if i == 0 { first_stride } else { 1 };
                maps = inverted_residual(&mut net, &next_name(), maps, expansion, out, stride);
            }
        }
        let last = ConvNorm::pointwise(LAST_CHANNELS, EPSILON).then(RELU6);
        maps = last.draw(&mut net, &next_name(), maps);
        maps = net.global_average("avgpool", maps);
        maps = net.flatten(maps, 1);
        maps = net.dropout("classifier.0", maps, 0.2);
        maps = net.linear("classifier.1", maps, classes);
        net.softmax(maps);
        net
    }
}

fn inverted_residual(
    net: &mut Blueprint,
    name: &str,
    input: Maps,
    expansion: usize,
    out: usize,
    stride: usize,
) -> Maps {
    let mut index = 0;
    let mut next_name = || {
        index += 1;
        format!("{name}.conv.{}", index - 1)
    };
    let expanded = expansion * input.channels;
    let mut maps = input;
    if expansion != 1 {
        maps = ConvNorm::pointwise(expanded, EPSILON).then(RELU6).draw(net, &next_name(), maps);
    }
    maps = ConvNorm::depthwise(expanded, 3, stride, EPSILON).then(RELU6).draw(net, &next_name(), maps);
    maps = net.conv(&next_name(), maps, out, Window::square(1, 1), Bias::None);
    maps = net.batch_norm(&next_name(), maps, EPSILON);
    if stride == 1 && input.channels == out {
        return net.add(name, maps, input);
    }
    net.rename(maps, name);
    maps
}
