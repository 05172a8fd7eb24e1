//! ShuffleNet v2 (Ma 2018).

use super::Architecture;
use super::blocks::same;
use super::blueprint::{Bias, Blueprint, Maps};
use crate::nn::ops::window::{Padding, Window};

const EPSILON: f32 = 1e-5;
const STEM_CHANNELS: usize = 24;

/// Units of stages 2 to 4.
const UNITS: [usize; 3] = [4, 8, 4];

/// A column of the paper's table 5.
pub(super) struct ShuffleNetV2 {
    /// Output channels of stages 2 to 4.
    channels: [usize; 3],
    last_channels: usize,
}

pub(super) const X0_5: ShuffleNetV2 = ShuffleNetV2 { channels: [48, 96, 192], last_channels: 1024 };
pub(super) const X1_0: ShuffleNetV2 = ShuffleNetV2 { channels: [116, 232, 464], last_channels: 1024 };
pub(super) const X1_5: ShuffleNetV2 = ShuffleNetV2 { channels: [176, 352, 704], last_channels: 1024 };
pub(super) const X2_0: ShuffleNetV2 = ShuffleNetV2 { channels: [244, 488, 976], last_channels: 2048 };

impl ShuffleNetV2 {
    pub(super) fn draw(&self, architecture: Architecture, classes: usize) -> Blueprint {
        let mut net = Blueprint::new(architecture);
        let mut maps = conv_norm_relu(&mut net, "conv1", 0, Blueprint::INPUT, STEM_CHANNELS, same(3, 2));
        net.rename(maps, "conv1");
        maps = net.max_pool("maxpool", maps, Window::square(3, 2).padded(Padding::all(1)));
        for (stage, (out, units)) in (2..).zip(self.channels.into_iter().zip(UNITS)) {
            let name = format!("stage{stage}");
            maps = halving_unit(&mut net, &format!("{name}.0"), maps, out);
            for i in 1..units {
                maps = unit(&mut net, &format!("{name}.{i}"), maps);
            }
            net.rename(maps, &name);
        }
        maps = conv_norm_relu(&mut net, "conv5", 0, maps, self.last_channels, Window::square(1, 1));
        net.rename(maps, "conv5");
        maps = net.global_average("avgpool", maps);
        maps = net.flatten(maps, 1);
        maps = net.linear("fc", maps, classes);
        net.softmax(maps);
        net
    }
}

/// Works on half of the channels.
fn unit(net: &mut Blueprint, name: &str, input: Maps) -> Maps {
    let half = input.channels / 2;
    let kept = net.channels(&format!("{name}.kept"), input, 0..half);
    let worked = net.channels(&format!("{name}.split"), input, half..input.channels);
    let worked = branch2(net, name, worked, half, 1);
    net.interleave(name, [kept, worked])
}

/// Works on all channels twice.
fn halving_unit(net: &mut Blueprint, name: &str, input: Maps, out: usize) -> Maps {
    let branch1 = format!("{name}.branch1");
    let mut first = depthwise_norm(net, &branch1, 0, input, 2);
    first = conv_norm_relu(net, &branch1, 2, first, out / 2, Window::square(1, 1));
    net.rename(first, &branch1);
    let second = branch2(net, name, input, out / 2, 2);
    net.interleave(name, [first, second])
}

fn branch2(net: &mut Blueprint, unit: &str, input: Maps, out: usize, stride: usize) -> Maps {
    let name = format!("{unit}.branch2");
    let mut maps = conv_norm_relu(net, &name, 0, input, out, Window::square(1, 1));
    maps = depthwise_norm(net, &name, 3, maps, stride);
    maps = conv_norm_relu(net, &name, 5, maps, out, Window::square(1, 1));
    net.rename(maps, &name);
    maps
}

/// `name.index` and the two after it.
fn conv_norm_relu(net: &mut Blueprint, name: &str, index: usize, input: Maps, out: usize, window: Window) -> Maps {
    let mut maps = net.conv(&format!("{name}.{index}"), input, out, window, Bias::None);
    maps = net.batch_norm(&format!("{name}.{}", index + 1), maps, EPSILON);
    net.relu(&format!("{name}.{}", index + 2), maps)
}

/// `name.index` and the one after it.
fn depthwise_norm(net: &mut Blueprint, name: &str, index: usize, input: Maps, stride: usize) -> Maps {
    let channels = input.channels;
    let maps = net.grouped_conv(&format!("{name}.{index}"), input, channels, same(3, stride), channels, Bias::None);
    net.batch_norm(&format!("{name}.{}", index + 1), maps, EPSILON)
}
