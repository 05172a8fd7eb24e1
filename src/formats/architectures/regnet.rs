//! RegNetX and RegNetY (Radosavovic 2020).

use super::Architecture;
use super::blocks::{ConvNorm, SqueezeExcitation, same};
use super::blueprint::{Blueprint, Maps};
use crate::nn::ops::activation::Activation;
use crate::nn::ops::window::Window;

const EPSILON: f32 = 1e-5;
const STEM_CHANNELS: usize = 32;

pub(super) struct RegNet {
    /// Blocks of each stage.
    depths: [usize; 4],
    /// Channels of each stage.
    widths: [usize; 4],
    /// Channels of a group of the 3×3 convolutions, where the stage has as many.
    group_width: usize,
    /// What makes an X a Y.
    squeeze: bool,
}

const fn x(depths: [usize; 4], widths: [usize; 4], group_width: usize) -> RegNet {
    RegNet { depths, widths, group_width, squeeze: false }
}

const fn y(depths: [usize; 4], widths: [usize; 4], group_width: usize) -> RegNet {
    RegNet { depths, widths, group_width, squeeze: true }
}

/// The paper's regular nets, with the widths to which torchvision rounds them.
pub(super) const X_400MF: RegNet = x([1, 2, 7, 12], [32, 64, 160, 400], 16);
pub(super) const X_800MF: RegNet = x([1, 3, 7, 5], [64, 128, 288, 672], 16);
pub(super) const X_1_6GF: RegNet = x([2, 4, 10, 2], [72, 168, 408, 912], 24);
pub(super) const X_3_2GF: RegNet = x([2, 6, 15, 2], [96, 192, 432, 1008], 48);
pub(super) const X_8GF: RegNet = x([2, 5, 15, 1], [80, 240, 720, 1920], 120);
pub(super) const X_16GF: RegNet = x([2, 6, 13, 1], [256, 512, 896, 2048], 128);
pub(super) const X_32GF: RegNet = x([2, 7, 13, 1], [336, 672, 1344, 2520], 168);
pub(super) const Y_400MF: RegNet = y([1, 3, 6, 6], [48, 104, 208, 440], 8);
pub(super) const Y_800MF: RegNet = y([1, 3, 8, 2], [64, 144, 320, 784], 16);
pub(super) const Y_1_6GF: RegNet = y([2, 6, 17, 2], [48, 120, 336, 888], 24);
pub(super) const Y_3_2GF: RegNet = y([2, 5, 13, 1], [72, 216, 576, 1512], 24);
pub(super) const Y_8GF: RegNet = y([2, 4, 10, 1], [224, 448, 896, 2016], 56);
pub(super) const Y_16GF: RegNet = y([2, 4, 11, 1], [224, 448, 1232, 3024], 112);
pub(super) const Y_32GF: RegNet = y([2, 5, 12, 1], [232, 696, 1392, 3712], 232);

impl RegNet {
    pub(super) fn draw(&self, architecture: Architecture, classes: usize) -> Blueprint {
        let mut net = Blueprint::new(architecture);
        let stem = ConvNorm { window: same(3, 2), ..ConvNorm::pointwise(STEM_CHANNELS, EPSILON) };
        let mut maps = stem.then(Activation::Relu).draw(&mut net, "stem", Blueprint::INPUT);
        for (number, (depth, width)) in (1..).zip(self.depths.into_iter().zip(self.widths)) {
            let stage = format!("trunk_output.block{number}");
            for i in 0..depth {
                let stride = if i == 0 { 2 } else { 1 };
                maps = self.block(&mut net, &format!("{stage}.block{number}-{i}"), maps, width, stride);
            }
            net.rename(maps, &stage);
        }
        maps = net.global_average("avgpool", maps);
        maps = net.flatten(maps, 1);
        maps = net.linear("fc", maps, classes);
        net.softmax(maps);
        net
    }

    fn block(&self, net: &mut Blueprint, name: &str, input: Maps, width: usize, stride: usize) -> Maps {
        let at = |layer: &str| format!("{name}.{layer}");
        let one = ConvNorm::pointwise(width, EPSILON);
        let groups = width / self.group_width.min(width);
        let three = ConvNorm { window: same(3, stride), groups, ..one };
        let mut branch = one.then(Activation::Relu).draw(net, &at("f.a"), input);
        branch = three.then(Activation::Relu).draw(net, &at("f.b"), branch);
        if self.squeeze {
            let squeeze = SqueezeExcitation {
                channels: input.channels / 4,
                activation: Activation::Relu,
                scale_activation: Activation::Sigmoid,
            };
            branch = squeeze.draw(net, &at("f.se"), branch);
        }
        branch = one.draw(net, &at("f.c"), branch);
        let mut shortcut = input;
        if stride != 1 || input.channels != width {
            let projection = ConvNorm { window: Window::square(1, stride), ..one };
            shortcut = projection.draw(net, &at("proj"), input);
        }
        let sum = net.add(&at("add"), branch, shortcut);
        net.relu(name, sum)
    }
}
