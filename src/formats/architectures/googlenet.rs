//! GoogLeNet (Szegedy 2014), as torchvision has it: with batch norm, 3×3 where the paper has 5×5, and without the two
//! heads that only training uses.

use super::Architecture;
use super::blueprint::{Bias, Blueprint, Maps};
use crate::nn::ops::window::{Padding, Window};

const EPSILON: f32 = 1e-3;

/// Output channels of an inception block's four branches, and of the reductions before the wide convolutions.
struct Inception {
    name: &'static str,
    branch1: usize,
    branch2: [usize; 2],
    branch3: [usize; 2],
    branch4: usize,
}

enum Stage {
    Block(Inception),
    Pool { name: &'static str, kernel: usize },
}

const fn block(name: &'static str, [a, b0, b1, c0, c1, d]: [usize; 6]) -> Stage {
    Stage::Block(Inception { name, branch1: a, branch2: [b0, b1], branch3: [c0, c1], branch4: d })
}

const STAGES: [Stage; 11] = [
    block("inception3a", [64, 96, 128, 16, 32, 32]),
    block("inception3b", [128, 128, 192, 32, 96, 64]),
    Stage::Pool { name: "maxpool3", kernel: 3 },
    block("inception4a", [192, 96, 208, 16, 48, 64]),
    block("inception4b", [160, 112, 224, 24, 64, 64]),
    block("inception4c", [128, 128, 256, 24, 64, 64]),
    block("inception4d", [112, 144, 288, 32, 64, 64]),
    block("inception4e", [256, 160, 320, 32, 128, 128]),
    Stage::Pool { name: "maxpool4", kernel: 2 },
    block("inception5a", [256, 160, 320, 32, 128, 128]),
    block("inception5b", [384, 192, 384, 48, 128, 128]),
];

pub(super) struct GoogLeNet;

impl GoogLeNet {
    pub(super) fn draw(&self, architecture: Architecture, classes: usize) -> Blueprint {
        let mut net = Blueprint::new(architecture).symmetric_pixels();
        let mut maps = conv(&mut net, "conv1", Blueprint::INPUT, 64, Window::square(7, 2).padded(Padding::all(3)));
        maps = net.max_pool("maxpool1", maps, Window::square(3, 2).ceil());
        maps = conv(&mut net, "conv2", maps, 64, Window::square(1, 1));
        maps = conv(&mut net, "conv3", maps, 192, Window::square(3, 1).padded(Padding::all(1)));
        maps = net.max_pool("maxpool2", maps, Window::square(3, 2).ceil());
        for stage in &STAGES {
            maps = match stage {
                Stage::Block(block) => inception(&mut net, maps, block),
                Stage::Pool { name, kernel } => net.max_pool(name, maps, Window::square(*kernel, 2).ceil()),
            };
        }
        maps = net.global_average("avgpool", maps);
        maps = net.flatten(maps, 1);
        maps = net.dropout("dropout", maps, 0.2);
        maps = net.linear("fc", maps, classes);
        net.softmax(maps);
        net
    }
}

/// Convolution, batch norm, ReLU.
fn conv(net: &mut Blueprint, name: &str, input: Maps, out: usize, window: Window) -> Maps {
    let maps = net.conv(&format!("{name}.conv"), input, out, window, Bias::None);
    let maps = net.batch_norm(&format!("{name}.bn"), maps, EPSILON);
    net.relu(name, maps)
}

fn inception(net: &mut Blueprint, input: Maps, block: &Inception) -> Maps {
    let one = Window::square(1, 1);
    let three = Window::square(3, 1).padded(Padding::all(1));
    let at = |branch: &str| format!("{}.{branch}", block.name);

    let branch1 = conv(net, &at("branch1"), input, block.branch1, one);
    let reduced = conv(net, &at("branch2.0"), input, block.branch2[0], one);
    let branch2 = conv(net, &at("branch2.1"), reduced, block.branch2[1], three);
    let reduced = conv(net, &at("branch3.0"), input, block.branch3[0], one);
    let branch3 = conv(net, &at("branch3.1"), reduced, block.branch3[1], three);
    let pooled = net.max_pool(&at("branch4.0"), input, three.ceil());
    let branch4 = conv(net, &at("branch4.1"), pooled, block.branch4, one);
    net.concat(block.name, &[branch1, branch2, branch3, branch4])
}
