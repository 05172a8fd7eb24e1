//! EfficientNet B0 to B7 (Tan 2019).

use super::Architecture;
use super::blocks::{ConvNorm, MbConv, SqueezeExcitation, divisible_by_8, same};
use super::blueprint::Blueprint;
use crate::nn::ops::activation::Activation;

/// How B0 is scaled.
pub(super) struct EfficientNet {
    /// By what channels are multiplied.
    width: f64,
    /// By what the number of blocks of a stage is multiplied.
    depth: f64,
    /// Of the pictures, in pixels.
    side_px: usize,
    dropout: f32,
    /// TensorFlow's for B5 to B7, whose weights torchvision has from there.
    epsilon: f32,
}

const fn scaled(width: f64, depth: f64, side_px: usize, dropout: f32, epsilon: f32) -> EfficientNet {
    EfficientNet { width, depth, side_px, dropout, epsilon }
}

// TensorFlow's B2 takes pictures of 260 pixels.
pub(super) const B0: EfficientNet = scaled(1.0, 1.0, 224, 0.2, 1e-5);
pub(super) const B1: EfficientNet = scaled(1.0, 1.1, 240, 0.2, 1e-5);
pub(super) const B2: EfficientNet = scaled(1.1, 1.2, 288, 0.3, 1e-5);
pub(super) const B3: EfficientNet = scaled(1.2, 1.4, 300, 0.3, 1e-5);
pub(super) const B4: EfficientNet = scaled(1.4, 1.8, 380, 0.4, 1e-5);
pub(super) const B5: EfficientNet = scaled(1.6, 2.2, 456, 0.4, 1e-3);
pub(super) const B6: EfficientNet = scaled(1.8, 2.6, 528, 0.5, 1e-3);
pub(super) const B7: EfficientNet = scaled(2.0, 3.1, 600, 0.5, 1e-3);

/// A stage of B0.
struct Stage {
    expansion: usize,
    kernel: usize,
    /// Of the first block.
    stride: usize,
    out: f64,
    blocks: f64,
}

const fn stage(expansion: usize, kernel: usize, stride: usize, out: f64, blocks: f64) -> Stage {
    Stage { expansion, kernel, stride, out, blocks }
}

const STEM_CHANNELS: f64 = 32.0;

/// Table 1 of the paper.
const STAGES: [Stage; 7] = [
    stage(1, 3, 1, 16.0, 1.0),
    stage(6, 3, 2, 24.0, 2.0),
    stage(6, 5, 2, 40.0, 2.0),
    stage(6, 3, 2, 80.0, 3.0),
    stage(6, 5, 1, 112.0, 3.0),
    stage(6, 5, 2, 192.0, 4.0),
    stage(6, 3, 1, 320.0, 1.0),
];

impl EfficientNet {
    pub(super) fn draw(&self, architecture: Architecture, classes: usize) -> Blueprint {
        let mut net = Blueprint::new(architecture).trained_at(self.side_px);
        let stem_channels = divisible_by_8(STEM_CHANNELS * self.width);
        let stem = ConvNorm { window: same(3, 2), ..ConvNorm::pointwise(stem_channels, self.epsilon) };
        let mut maps = stem.then(Activation::Silu).draw(&mut net, "features.0", Blueprint::INPUT);
        for (index, stage) in (1..).zip(&STAGES) {
            let name = format!("features.{index}");
            let blocks = (stage.blocks * self.depth).ceil() as usize;
            for i in 0..blocks {
                let stride = if i == 0 { stage.stride } else { 1 };
                let block = self.block(stage, maps.channels, stride);
                maps = block.draw(&mut net, &format!("{name}.{i}"), maps);
            }
            net.rename(maps, &name);
        }
        let last = ConvNorm::pointwise(4 * maps.channels, self.epsilon).then(Activation::Silu);
        maps = last.draw(&mut net, &format!("features.{}", STAGES.len() + 1), maps);
        maps = net.global_average("avgpool", maps);
        maps = net.flatten(maps, 1);
        maps = net.dropout("classifier.0", maps, self.dropout);
        maps = net.linear("classifier.1", maps, classes);
        net.softmax(maps);
        net
    }

    fn block(&self, stage: &Stage, channels: usize, stride: usize) -> MbConv {
        let squeeze = SqueezeExcitation {
            channels: channels / 4,
            activation: Activation::Silu,
            scale_activation: Activation::Sigmoid,
        };
        MbConv {
            expanded: stage.expansion * channels,
            kernel: stage.kernel,
            stride,
            squeeze: Some(squeeze),
            out: divisible_by_8(stage.out * self.width),
            activation: Activation::Silu,
            epsilon: self.epsilon,
        }
    }
}
