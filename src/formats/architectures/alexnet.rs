//! AlexNet in one column (Krizhevsky 2014).

use super::Architecture;
use super::blueprint::{Bias, Blueprint};
use crate::nn::ops::window::{Padding, Window};

pub(super) struct AlexNet;

/// The convolutions: output channels, kernel, stride, padding, and whether a pool follows.
const CONVOLUTIONS: [(usize, usize, usize, usize, bool); 5] =
    [(64, 11, 4, 2, true), (192, 5, 1, 2, true), (384, 3, 1, 1, false), (256, 3, 1, 1, false), (256, 3, 1, 1, true)];

impl AlexNet {
    /// torchvision averages the last maps to 6×6 before the classifier; at the 224 pixels that the net was trained at
    /// that changes nothing, and it is left out: at other sizes the classifier refuses.
    pub(super) fn draw(&self, architecture: Architecture, classes: usize) -> Blueprint {
        let mut net = Blueprint::new(architecture);
        let mut maps = Blueprint::INPUT;
        let mut index = 0;
        let mut next_name = || {
            index += 1;
            format!("features.{}", index - 1)
        };
        for (out, kernel, stride, padding, pooled) in CONVOLUTIONS {
            let window = Window::square(kernel, stride).padded(Padding::all(padding));
            maps = net.conv(&next_name(), maps, out, window, Bias::Own);
            maps = net.relu(&next_name(), maps);
            if pooled {
                maps = net.max_pool(&next_name(), maps, Window::square(3, 2));
            }
        }
        maps = net.flatten(maps, 6 * 6);
        maps = net.dropout("classifier.0", maps, 0.5);
        maps = net.linear("classifier.1", maps, 4096);
        maps = net.relu("classifier.2", maps);
        maps = net.dropout("classifier.3", maps, 0.5);
        maps = net.linear("classifier.4", maps, 4096);
        maps = net.relu("classifier.5", maps);
        maps = net.linear("classifier.6", maps, classes);
        net.softmax(maps);
        net
    }
}
