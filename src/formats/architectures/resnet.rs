//! ResNet (He 2015), as torchvision has it: a bottleneck strides in its 3×3 convolution.

use super::Architecture;
use super::blueprint::{Bias, Blueprint, Maps};
use crate::nn::ops::window::{Padding, Window};

const EPSILON: f32 = 1e-5;

/// Channels inside the blocks of the four stages.
const WIDTHS: [usize; 4] = [64, 128, 256, 512];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Block {
    /// 3×3, 3×3.
    Basic,
    /// 1×1, 3×3, 1×1 to four times the channels.
    Bottleneck,
}

pub(super) struct ResNet {
    block: Block,
    /// How many each stage has.
    blocks: [usize; 4],
}

pub(super) const RESNET18: ResNet = ResNet { block: Block::Basic, blocks: [2, 2, 2, 2] };
pub(super) const RESNET34: ResNet = ResNet { block: Block::Basic, blocks: [3, 4, 6, 3] };
pub(super) const RESNET50: ResNet = ResNet { block: Block::Bottleneck, blocks: [3, 4, 6, 3] };
pub(super) const RESNET101: ResNet = ResNet { block: Block::Bottleneck, blocks: [3, 4, 23, 3] };
pub(super) const RESNET152: ResNet = ResNet { block: Block::Bottleneck, blocks: [3, 8, 36, 3] };

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
    let three = |stride| Window::square(3, stride).padded(Padding::all(1));
    let (windows, out) = match block {
        Block::Basic => (vec![three(stride), three(1)], width),
        Block::Bottleneck => (vec![Window::square(1, 1), three(stride), Window::square(1, 1)], 4 * width),
    };
    let mut branch = input;
    for (i, &window) in windows.iter().enumerate() {
        let number = i + 1;
        let is_last = number == windows.len();
        branch =
            net.conv(&format!("{name}.conv{number}"), branch, if is_last { out } else { width }, window, Bias::None);
        branch = net.batch_norm(&format!("{name}.bn{number}"), branch, EPSILON);
        if !is_last {
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
