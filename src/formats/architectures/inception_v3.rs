//! Inception v3 (Szegedy 2015), without the head that only training uses.

use super::Architecture;
use super::blueprint::{Bias, Blueprint, Maps};
use crate::nn::ops::window::{Padding, Window};

const EPSILON: f32 = 1e-3;
const TRAINED_AT_PX: usize = 299;

pub(super) struct InceptionV3;

impl InceptionV3 {
    pub(super) fn draw(&self, architecture: Architecture, classes: usize) -> Blueprint {
        let mut net = Blueprint::new(architecture).trained_at(TRAINED_AT_PX).symmetric_pixels();
        let mut maps = conv(&mut net, "Conv2d_1a_3x3", Blueprint::INPUT, 32, Window::square(3, 2));
        maps = conv(&mut net, "Conv2d_2a_3x3", maps, 32, Window::square(3, 1));
        maps = conv(&mut net, "Conv2d_2b_3x3", maps, 64, same([3, 3]));
        maps = net.max_pool("maxpool1", maps, Window::square(3, 2));
        maps = conv(&mut net, "Conv2d_3b_1x1", maps, 80, Window::square(1, 1));
        maps = conv(&mut net, "Conv2d_4a_3x3", maps, 192, Window::square(3, 1));
        maps = net.max_pool("maxpool2", maps, Window::square(3, 2));
        for (name, pool_channels) in [("Mixed_5b", 32), ("Mixed_5c", 64), ("Mixed_5d", 64)] {
            maps = Block { net: &mut net, name, input: maps }.a(pool_channels);
        }
        maps = Block { net: &mut net, name: "Mixed_6a", input: maps }.b();
        for (name, inside) in [("Mixed_6b", 128), ("Mixed_6c", 160), ("Mixed_6d", 160), ("Mixed_6e", 192)] {
            maps = Block { net: &mut net, name, input: maps }.c(inside);
        }
        maps = Block { net: &mut net, name: "Mixed_7a", input: maps }.d();
        for name in ["Mixed_7b", "Mixed_7c"] {
            maps = Block { net: &mut net, name, input: maps }.e();
        }
        maps = net.global_average("avgpool", maps);
        maps = net.dropout("dropout", maps, 0.5);
        maps = net.flatten(maps, 1);
        maps = net.linear("fc", maps, classes);
        net.softmax(maps);
        net
    }
}

/// A window that keeps the size of the maps. The kernel is odd.
fn same(kernel: [usize; 2]) -> Window {
    let [vertical, horizontal] = kernel.map(|side| side / 2);
    let padding = Padding::Explicit { top: vertical, left: horizontal, bottom: vertical, right: horizontal };
    Window { kernel, ..Window::square(1, 1) }.padded(padding)
}

/// Convolution, batch norm, ReLU.
fn conv(net: &mut Blueprint, name: &str, input: Maps, out: usize, window: Window) -> Maps {
    let maps = net.conv(&format!("{name}.conv"), input, out, window, Bias::None);
    let maps = net.batch_norm(&format!("{name}.bn"), maps, EPSILON);
    net.relu(name, maps)
}

/// A mixed block while it is drawn. Its five kinds are lettered as in torchvision; C is figure 6 of the paper, E figure 7.
struct Block<'a> {
    net: &'a mut Blueprint,
    name: &'a str,
    input: Maps,
}

const HALVING: Window = Window::square(3, 2);

impl Block<'_> {
    /// Several layers of a branch: `branch_1`, `branch_2` and so on.
    fn chain(&mut self, branch: &str, layers: &[(usize, Window)]) -> Maps {
        let mut maps = self.input;
        for (number, &(out, window)) in (1..).zip(layers) {
            maps = self.layer(&format!("{branch}_{number}"), maps, out, window);
        }
        maps
    }

    fn layer(&mut self, layer: &str, input: Maps, out: usize, window: Window) -> Maps {
        conv(self.net, &format!("{}.{layer}", self.name), input, out, window)
    }

    fn branch1x1(&mut self, out: usize) -> Maps {
        self.layer("branch1x1", self.input, out, same([1, 1]))
    }

    fn branch_pool(&mut self, out: usize) -> Maps {
        let pooled = self.net.average_pool(&format!("{}.pool", self.name), self.input, same([3, 3]));
        self.layer("branch_pool", pooled, out, same([1, 1]))
    }

    fn max_pool(&mut self) -> Maps {
        self.net.max_pool(&format!("{}.pool", self.name), self.input, HALVING)
    }

    fn finish(self, branches: &[Maps]) -> Maps {
        self.net.concat(self.name, branches)
    }

    fn a(mut self, pool_channels: usize) -> Maps {
        let branch1x1 = self.branch1x1(64);
        let branch5x5 = self.chain("branch5x5", &[(48, same([1, 1])), (64, same([5, 5]))]);
        let three = same([3, 3]);
        let branch3x3dbl = self.chain("branch3x3dbl", &[(64, same([1, 1])), (96, three), (96, three)]);
        let branch_pool = self.branch_pool(pool_channels);
        self.finish(&[branch1x1, branch5x5, branch3x3dbl, branch_pool])
    }

    fn b(mut self) -> Maps {
        let branch3x3 = self.layer("branch3x3", self.input, 384, HALVING);
        let branch3x3dbl = self.chain("branch3x3dbl", &[(64, same([1, 1])), (96, same([3, 3])), (96, HALVING)]);
        let pooled = self.max_pool();
        self.finish(&[branch3x3, branch3x3dbl, pooled])
    }

    fn c(mut self, inside: usize) -> Maps {
        let (one, wide, tall) = (same([1, 1]), same([1, 7]), same([7, 1]));
        let branch1x1 = self.branch1x1(192);
        let branch7x7 = self.chain("branch7x7", &[(inside, one), (inside, wide), (192, tall)]);
        let double = [(inside, one), (inside, tall), (inside, wide), (inside, tall), (192, wide)];
        let branch7x7dbl = self.chain("branch7x7dbl", &double);
        let branch_pool = self.branch_pool(192);
        self.finish(&[branch1x1, branch7x7, branch7x7dbl, branch_pool])
    }

    fn d(mut self) -> Maps {
        let (one, wide, tall) = (same([1, 1]), same([1, 7]), same([7, 1]));
        let branch3x3 = self.chain("branch3x3", &[(192, one), (320, HALVING)]);
        let branch7x7x3 = self.chain("branch7x7x3", &[(192, one), (192, wide), (192, tall), (192, HALVING)]);
        let pooled = self.max_pool();
        self.finish(&[branch3x3, branch7x7x3, pooled])
    }

    fn e(mut self) -> Maps {
        let branch1x1 = self.branch1x1(320);
        let narrow = self.chain("branch3x3", &[(384, same([1, 1]))]);
        let branch3x3 = self.fork("branch3x3", 2, narrow);
        let narrow = self.chain("branch3x3dbl", &[(448, same([1, 1])), (384, same([3, 3]))]);
        let branch3x3dbl = self.fork("branch3x3dbl", 3, narrow);
        let branch_pool = self.branch_pool(192);
        self.finish(&[branch1x1, branch3x3, branch3x3dbl, branch_pool])
    }

    /// A wide and a tall convolution beside each other.
    fn fork(&mut self, branch: &str, number: usize, input: Maps) -> Maps {
        let wide = self.layer(&format!("{branch}_{number}a"), input, 384, same([1, 3]));
        let tall = self.layer(&format!("{branch}_{number}b"), input, 384, same([3, 1]));
        self.net.concat(&format!("{}.{branch}", self.name), &[wide, tall])
    }
}
