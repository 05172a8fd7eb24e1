//! MobileNet v3 (Howard 2019).

use super::Architecture;
use super::blocks::{ConvNorm, MbConv, SqueezeExcitation, divisible_by_8, same};
use super::blueprint::Blueprint;
use crate::nn::ops::activation::Activation;

const EPSILON: f32 = 1e-3;
const STEM_CHANNELS: usize = 16;
const HARD_SIGMOID: Activation = Activation::HardSigmoid { slope: 1.0 / 6.0, offset: 0.5 };

pub(super) struct MobileNetV3 {
    blocks: &'static [Block],
    /// Outputs of the classifier's first layer.
    hidden: usize,
}

/// A row of the paper's tables 1 and 2.
struct Block {
    kernel: usize,
    expanded: usize,
    out: usize,
    squeeze: bool,
    activation: Activation,
    stride: usize,
}

const RE: Activation = Activation::Relu;
const HS: Activation = Activation::HardSwish;

/// With squeeze and excitation.
const fn se(kernel: usize, expanded: usize, out: usize, activation: Activation, stride: usize) -> Block {
    Block { kernel, expanded, out, squeeze: true, activation, stride }
}

/// Without.
const fn plain(kernel: usize, expanded: usize, out: usize, activation: Activation, stride: usize) -> Block {
    Block { kernel, expanded, out, squeeze: false, activation, stride }
}

pub(super) const LARGE: MobileNetV3 = MobileNetV3 {
    blocks: &[
        plain(3, 16, 16, RE, 1),
        plain(3, 64, 24, RE, 2),
        plain(3, 72, 24, RE, 1),
        se(5, 72, 40, RE, 2),
        se(5, 120, 40, RE, 1),
        se(5, 120, 40, RE, 1),
        plain(3, 240, 80, HS, 2),
        plain(3, 200, 80, HS, 1),
        plain(3, 184, 80, HS, 1),
        plain(3, 184, 80, HS, 1),
        se(3, 480, 112, HS, 1),
        se(3, 672, 112, HS, 1),
        se(5, 672, 160, HS, 2),
        se(5, 960, 160, HS, 1),
        se(5, 960, 160, HS, 1),
    ],
    hidden: 1280,
};

pub(super) const SMALL: MobileNetV3 = MobileNetV3 {
    blocks: &[
        se(3, 16, 16, RE, 2),
        plain(3, 72, 24, RE, 2),
        plain(3, 88, 24, RE, 1),
        se(5, 96, 40, HS, 2),
        se(5, 240, 40, HS, 1),
        se(5, 240, 40, HS, 1),
        se(5, 120, 48, HS, 1),
        se(5, 144, 48, HS, 1),
        se(5, 288, 96, HS, 2),
        se(5, 576, 96, HS, 1),
        se(5, 576, 96, HS, 1),
    ],
    hidden: 1024,
};

impl MobileNetV3 {
    pub(super) fn draw(&self, architecture: Architecture, classes: usize) -> Blueprint {
        let mut net = Blueprint::new(architecture);
        let mut index = 0;
        let mut next_name = || {
            index += 1;
            format!("features.{}", index - 1)
        };
        let stem = ConvNorm { window: same(3, 2), ..ConvNorm::pointwise(STEM_CHANNELS, EPSILON) };
        let mut maps = stem.then(HS).draw(&mut net, &next_name(), Blueprint::INPUT);
        for block in self.blocks {
            maps = block.with_squeeze().draw(&mut net, &next_name(), maps);
        }
        let last = ConvNorm::pointwise(6 * maps.channels, EPSILON).then(HS);
        maps = last.draw(&mut net, &next_name(), maps);
        maps = net.global_average("avgpool", maps);
        maps = net.flatten(maps, 1);
        maps = net.linear("classifier.0", maps, self.hidden);
        maps = net.activation("classifier.1", maps, HS);
        maps = net.dropout("classifier.2", maps, 0.2);
        maps = net.linear("classifier.3", maps, classes);
        net.softmax(maps);
        net
    }
}

impl Block {
    fn with_squeeze(&self) -> MbConv {
        let squeeze = SqueezeExcitation {
            channels: divisible_by_8((self.expanded / 4) as f64),
            activation: Activation::Relu,
            scale_activation: HARD_SIGMOID,
        };
        MbConv {
            expanded: self.expanded,
            kernel: self.kernel,
            stride: self.stride,
            squeeze: self.squeeze.then_some(squeeze),
            out: self.out,
            activation: self.activation,
            epsilon: EPSILON,
        }
    }
}
