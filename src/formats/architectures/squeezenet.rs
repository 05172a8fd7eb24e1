//! SqueezeNet 1.0 and 1.1 (Iandola 2016).

use super::Architecture;
use super::blueprint::{Bias, Blueprint, Maps};
use crate::nn::ops::window::{Padding, Window};

/// A version's trunk.
pub(super) struct Version {
    stem_channels: usize,
    stem_kernel: usize,
    layers: [Layer; 11],
}

/// What follows the stem and its ReLU, in torchvision's numbering from `features.2`.
#[derive(Clone, Copy)]
enum Layer {
    Pool,
    /// 1×1 to `squeeze` channels, then `expand` channels each of 1×1 and 3×3.
    Fire {
        squeeze: usize,
        expand: usize,
    },
}

const fn fire(squeeze: usize, expand: usize) -> Layer {
    Layer::Fire { squeeze, expand }
}

const FIRE2: Layer = fire(16, 64);
const FIRE4: Layer = fire(32, 128);
const FIRE6: Layer = fire(48, 192);
const FIRE8: Layer = fire(64, 256);

pub(super) const V1_0: Version = Version {
    stem_channels: 96,
    stem_kernel: 7,
    layers: [Layer::Pool, FIRE2, FIRE2, FIRE4, Layer::Pool, FIRE4, FIRE6, FIRE6, FIRE8, Layer::Pool, FIRE8],
};

pub(super) const V1_1: Version = Version {
    stem_channels: 64,
    stem_kernel: 3,
    layers: [Layer::Pool, FIRE2, FIRE2, Layer::Pool, FIRE4, FIRE4, Layer::Pool, FIRE6, FIRE6, FIRE8, FIRE8],
};

impl Version {
    pub(super) fn draw(&self, architecture: Architecture, classes: usize) -> Blueprint {
        let mut net = Blueprint::new(architecture);
        let stem = Window::square(self.stem_kernel, 2);
        let mut maps = net.conv("features.0", Blueprint::INPUT, self.stem_channels, stem, Bias::Own);
        maps = net.relu("features.1", maps);
        for (index, &layer) in (2..).zip(&self.layers) {
            let name = format!("features.{index}");
            maps = match layer {
                Layer::Pool => net.max_pool(&name, maps, Window::square(3, 2).ceil()),
                Layer::Fire { squeeze, expand } => fire_module(&mut net, &name, maps, squeeze, expand),
            };
        }
        maps = net.dropout("classifier.0", maps, 0.5);
        maps = net.conv("classifier.1", maps, classes, Window::square(1, 1), Bias::Own);
        maps = net.relu("classifier.2", maps);
        maps = net.global_average("classifier.3", maps);
        maps = net.flatten(maps, 1);
        net.softmax(maps);
        net
    }
}

fn fire_module(net: &mut Blueprint, name: &str, input: Maps, squeeze: usize, expand: usize) -> Maps {
    let one = Window::square(1, 1);
    let three = Window::square(3, 1).padded(Padding::all(1));
    let mut conv = |layer: &str, input, channels, window| {
        let maps = net.conv(&format!("{name}.{layer}"), input, channels, window, Bias::Own);
        net.relu(&format!("{name}.{layer}_activation"), maps)
    };
    let squeezed = conv("squeeze", input, squeeze, one);
    let narrow = conv("expand1x1", squeezed, expand, one);
    let wide = conv("expand3x3", squeezed, expand, three);
    net.concat(name, &[narrow, wide])
}
