//! VGG (Simonyan 2014), and torchvision's variants with batch norm.

use super::Architecture;
use super::blueprint::{Bias, Blueprint};
use crate::nn::ops::window::{Padding, Window};

const EPSILON: f32 = 1e-5;

/// Channels of the five stages.
const CHANNELS: [usize; 5] = [64, 128, 256, 512, 512];

pub(super) struct Vgg {
    /// How many each stage has.
    convolutions: [usize; 5],
    batch_norm: bool,
}

pub(super) const VGG11: Vgg = Vgg { convolutions: [1, 1, 2, 2, 2], batch_norm: false };
pub(super) const VGG13: Vgg = Vgg { convolutions: [2, 2, 2, 2, 2], batch_norm: false };
pub(super) const VGG16: Vgg = Vgg { convolutions: [2, 2, 3, 3, 3], batch_norm: false };
pub(super) const VGG19: Vgg = Vgg { convolutions: [2, 2, 4, 4, 4], batch_norm: false };
pub(super) const VGG11_BN: Vgg = Vgg { batch_norm: true, ..VGG11 };
pub(super) const VGG13_BN: Vgg = Vgg { batch_norm: true, ..VGG13 };
pub(super) const VGG16_BN: Vgg = Vgg { batch_norm: true, ..VGG16 };
pub(super) const VGG19_BN: Vgg = Vgg { batch_norm: true, ..VGG19 };

impl Vgg {
    /// torchvision averages the last maps to 7×7 before the classifier; at the 224 pixels that the nets were trained at
    /// that changes nothing, and it is left out: at other sizes the classifier refuses.
    pub(super) fn draw(&self, architecture: Architecture, classes: usize) -> Blueprint {
        let mut net = Blueprint::new(architecture);
        let mut maps = Blueprint::INPUT;
        let mut index = 0;
        let mut next_name = || {
            index += 1;
            format!("features.{}", index - 1)
        };
        for (channels, count) in CHANNELS.into_iter().zip(self.convolutions) {
            for _ in 0..count {
                let window = Window::square(3, 1).padded(Padding::all(1));
                maps = net.conv(&next_name(), maps, channels, window, Bias::Own);
                if self.batch_norm {
                    maps = net.batch_norm(&next_name(), maps, EPSILON);
                }
                maps = net.relu(&next_name(), maps);
            }
            maps = net.max_pool(&next_name(), maps, Window::square(2, 2));
        }
        maps = net.flatten(maps, 7 * 7);
        maps = net.linear("classifier.0", maps, 4096);
        maps = net.relu("classifier.1", maps);
        maps = net.dropout("classifier.2", maps, 0.5);
        maps = net.linear("classifier.3", maps, 4096);
        maps = net.relu("classifier.4", maps);
        maps = net.dropout("classifier.5", maps, 0.5);
        maps = net.linear("classifier.6", maps, classes);
        net.softmax(maps);
        net
    }
}
