//! ResNet (He 2015), ResNeXt (Xie 2016) and Wide ResNet (Zagoruyko 2016), as torchvision has them: a bottleneck strides
//! in its 3×3 convolution.

use super::Architecture;
use super::blueprint::{Bias, Blueprint, Maps};
use crate::nn::ops::window::{Padding, Window};

const EPSILON: f32 = 1e-5;

/// Channels inside the blocks of the four stages of a ResNet.
const WIDTHS: [usize; 4] = [64, 128, 256, 512];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Block {
    /// 3×3, 3×3.
    Basic,
    /// 1×1, 3×3, 1×1 to four times the channels of [`WIDTHS`]. The 3×3 is in `groups`, each of `group_width` channels in
    /// the first stage, twice as many in the next, and so on.
    Bottleneck { groups: usize, group_width: usize },
}

pub(super) struct ResNet {
    block: Block,
    /// How many each stage has.
    blocks: [usize; 4],
}

const fn basic(blocks: [usize; 4]) -> ResNet {
    ResNet { block: Block::Basic, blocks }
}

const fn bottleneck(blocks: [usize; 4], groups: usize, group_width: usize) -> ResNet {
    ResNet { block: Block::Bottleneck { groups, group_width }, blocks }
}

pub(super) const RESNET18: ResNet = basic([2, 2, 2, 2]);
pub(super) const RESNET34: ResNet = basic([3, 4, 6, 3]);
pub(super) const RESNET50: ResNet = bottleneck([3, 4, 6, 3], 1, 64);
pub(super) const RESNET101: ResNet = bottleneck([3, 4, 23, 3], 1, 64);
pub(super) const RESNET152: ResNet = bottleneck([3, 8, 36, 3], 1, 64);
pub(super) const RESNEXT50_32X4D: ResNet = bottleneck([3, 4, 6, 3], 32, 4);
pub(super) const RESNEXT101_32X8D: ResNet = bottleneck([3, 4, 23, 3], 32, 8);
pub(super) const RESNEXT101_64X4D: ResNet = bottleneck([3, 4, 23, 3], 64, 4);
pub(super) const WIDE_RESNET50_2: ResNet = bottleneck([3, 4, 6, 3], 1, 128);
pub(super) const WIDE_RESNET101_2: ResNet = bottleneck([3, 4, 23, 3], 1, 128);

impl ResNet {
    pub(super) fn draw(&self, architecture: Architecture, classes: usize) -> Blueprint {
        let mut net = Blueprint::new(architecture);
        let stem = Window::square(7, 2).padded(Padding::all(3));
        let mut maps = net.conv("conv1", Blueprint::INPUT, 64, stem, Bias::None);
        maps = net.batch_norm("bn1", maps, EPSILON);
        maps = net.relu("relu", maps);
        maps = net.max_pool("maxpool", maps, Window::square(3, 2).padded(Padding::all(1)));
        for (stage, (width, count)) in WIDTHS.into_iter().zip(self.blocks).enumerate() {
            let name = format!("layer{}", stage + 1);
            for i in 0..count {
                let stride = if stage > 0 && i == 0 { 2 } else { 1 };
                maps = residual(&mut net, &format!("{name}.{i}"), maps, self.block, width, stride);
            }
            net.rename(maps, &name);
        }
        maps = net.global_average("avgpool", maps);
        maps = net.flatten(maps, 1);
        maps = net.linear("fc", maps, classes);
        net.softmax(maps);
        net
    }
}

/// A block: its branch added to its input, which is projected where the two differ in shape.
fn residual(net: &mut Blueprint, name: &str, input: Maps, block: Block, width: usize, stride: usize) -> Maps {
    let one = Window::square(1, 1);
    let three = |stride| Window::square(3, stride).padded(Padding::all(1));
    // Of each convolution: the window, the groups, the output channels.
    let (convolutions, out) = match block {
        Block::Basic => (vec![(three(stride), 1, width), (three(1), 1, width)], width),
        Block::Bottleneck { groups, group_width } => {
            let inside = groups * group_width * width / WIDTHS[0];
            let out = 4 * width;
            (vec![(one, 1, inside), (three(stride), groups, inside), (one, 1, out)], out)
        }
    };
    let mut branch = input;
    for (number, &(window, groups, channels)) in (1..).zip(&convolutions) {
        let conv = format!("{name}.conv{number}");
        branch = net.grouped_conv(&conv, branch, channels, window, groups, Bias::None);
        branch = net.batch_norm(&format!("{name}.bn{number}"), branch, EPSILON);
        if number < convolutions.len() {
            branch = net.relu(&format!("{name}.relu{number}"), branch);
        }
    }
    let mut shortcut = input;
    if stride != 1 || input.channels != out {
        let window = Window::square(1, stride);
        shortcut = net.conv(&format!("{name}.downsample.0"), input, out, window, Bias::None);
        shortcut = net.batch_norm(&format!("{name}.downsample.1"), shortcut, EPSILON);
    }
    let sum = net.add(&format!("{name}.add"), branch, shortcut);
    net.relu(name, sum)
}
