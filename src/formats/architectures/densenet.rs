//! DenseNet-BC (Huang 2016).

use super::Architecture;
use super::blueprint::{Bias, Blueprint, Maps};
use crate::nn::ops::window::{Padding, Window};

const EPSILON: f32 = 1e-5;

/// Channels of a layer's 1×1 convolution, for each that the layer adds.
const BOTTLENECK: usize = 4;

pub(super) struct DenseNet {
    stem_channels: usize,
    /// Channels that a layer adds.
    growth: usize,
    /// How many layers each block has.
    layers: [usize; 4],
}

// Table 1 of the paper has those that grow by 32.
pub(super) const DENSENET121: DenseNet = DenseNet { stem_channels: 64, growth: 32, layers: [6, 12, 24, 16] };
pub(super) const DENSENET161: DenseNet = DenseNet { stem_channels: 96, growth: 48, layers: [6, 12, 36, 24] };
pub(super) const DENSENET169: DenseNet = DenseNet { stem_channels: 64, growth: 32, layers: [6, 12, 32, 32] };
pub(super) const DENSENET201: DenseNet = DenseNet { stem_channels: 64, growth: 32, layers: [6, 12, 48, 32] };

impl DenseNet {
    pub(super) fn draw(&self, architecture: Architecture, classes: usize) -> Blueprint {
        let mut net = Blueprint::new(architecture);
        let stem = Window::square(7, 2).padded(Padding::all(3));
        let mut maps = net.conv("features.conv0", Blueprint::INPUT, self.stem_channels, stem, Bias::None);
        maps = net.batch_norm("features.norm0", maps, EPSILON);
        maps = net.relu("features.relu0", maps);
        maps = net.max_pool("features.pool0", maps, Window::square(3, 2).padded(Padding::all(1)));
        for (number, layers) in (1..).zip(self.layers) {
            maps = self.block(&mut net, &format!("features.denseblock{number}"), maps, layers);
            if number < self.layers.len() {
                maps = transition(&mut net, &format!("features.transition{number}"), maps);
            }
        }
        maps = net.batch_norm("features.norm5", maps, EPSILON);
        maps = net.relu("relu", maps);
        maps = net.global_average("avgpool", maps);
        maps = net.flatten(maps, 1);
        maps = net.linear("classifier", maps, classes);
        net.softmax(maps);
        net
    }

    /// Each layer sees all channels so far and adds its own; `denselayer3` are those, `concat3` all with them.
    fn block(&self, net: &mut Blueprint, name: &str, input: Maps, layers: usize) -> Maps {
        let mut maps = input;
        for number in 1..=layers {
            let new = self.layer(net, &format!("{name}.denselayer{number}"), maps);
            maps = net.concat(&format!("{name}.concat{number}"), &[maps, new]);
        }
        net.rename(maps, name);
        maps
    }

    fn layer(&self, net: &mut Blueprint, name: &str, input: Maps) -> Maps {
        let at = |layer: &str| format!("{name}.{layer}");
        let mut maps = net.batch_norm(&at("norm1"), input, EPSILON);
        maps = net.relu(&at("relu1"), maps);
        maps = net.conv(&at("conv1"), maps, BOTTLENECK * self.growth, Window::square(1, 1), Bias::None);
        maps = net.batch_norm(&at("norm2"), maps, EPSILON);
        maps = net.relu(&at("relu2"), maps);
        let three = Window::square(3, 1).padded(Padding::all(1));
        maps = net.conv(&at("conv2"), maps, self.growth, three, Bias::None);
        net.rename(maps, name);
        maps
    }
}

/// Halves the channels, the height and the width.
fn transition(net: &mut Blueprint, name: &str, input: Maps) -> Maps {
    let at = |layer: &str| format!("{name}.{layer}");
    let mut maps = net.batch_norm(&at("norm"), input, EPSILON);
    maps = net.relu(&at("relu"), maps);
    maps = net.conv(&at("conv"), maps, input.channels / 2, Window::square(1, 1), Bias::None);
    net.average_pool(name, maps, Window::square(2, 2))
}
