//! What a layer is, in a few words and as a colour: shared by drawings and profiles.

use serde::Serialize;

use crate::nn::graph::{Graph, NodeId};
use crate::nn::ops::Op;
use crate::nn::ops::window::Window;

/// What operations are for: drawings colour by it, profiles add up by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    Input,
    Convolution,
    Linear,
    Pooling,
    Normalization,
    Activation,
    /// Several values become one: concatenation, sums, products.
    Join,
    /// Nothing is computed, only moved.
    Shape,
    Softmax,
    Other,
}

/// `#rrggbb`: the inside of a box and its border; dark text is readable on the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Colours {
    pub fill: &'static str,
    pub line: &'static str,
}

impl Family {
    pub const ALL: [Self; 10] = [
        Self::Input,
        Self::Convolution,
        Self::Linear,
        Self::Pooling,
        Self::Normalization,
        Self::Activation,
        Self::Join,
        Self::Shape,
        Self::Softmax,
        Self::Other,
    ];

    pub fn of(op: &Op) -> Self {
        match op {
            Op::Input(_) => Self::Input,
            Op::Conv2d(_) | Op::ConvTranspose2d(_) => Self::Convolution,
            Op::Linear(_) => Self::Linear,
            Op::MaxPool(_) | Op::AveragePool(_) | Op::GlobalPool(_) => Self::Pooling,
            Op::BatchNorm(_) | Op::InstanceNorm(_) | Op::Lrn(_) | Op::SpatialNorm(_) | Op::Scale(_) | Op::Offset(_) => {
                Self::Normalization
            }
            Op::Activation(_) | Op::PRelu(_) | Op::Dropout(_) => Self::Activation,
            Op::Concat(_) | Op::Elementwise(_) => Self::Join,
            Op::Slice(_) | Op::Reshape(_) | Op::Transpose(_) | Op::Pad(_) | Op::Resize(_) => Self::Shape,
            Op::Softmax(_) | Op::LogSoftmax(_) => Self::Softmax,
            _ => Self::Other,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Convolution => "convolution",
            Self::Linear => "linear",
            Self::Pooling => "pooling",
            Self::Normalization => "normalization",
            Self::Activation => "activation",
            Self::Join => "join",
            Self::Shape => "shape",
            Self::Softmax => "softmax",
            Self::Other => "other",
        }
    }

    pub fn colours(self) -> Colours {
        let (fill, line) = match self {
            Self::Input => ("#f1f3f5", "#868e96"),
            Self::Convolution => ("#e5dbff", "#7048e8"),
            Self::Linear => ("#d0bfff", "#5f3dc4"),
            Self::Pooling => ("#c3fae8", "#0ca678"),
            Self::Normalization => ("#d0ebff", "#1c7ed6"),
            Self::Activation => ("#fff3bf", "#e67700"),
            Self::Join => ("#ffe8cc", "#d9480f"),
            Self::Shape => ("#e9ecef", "#495057"),
            Self::Softmax => ("#ffdeeb", "#c2255c"),
            Self::Other => ("#f8f0fc", "#ae3ec9"),
        };
        Colours { fill, line }
    }
}

/// The operation of a layer with what tells it apart: `Conv2d 3×3 /2`, `Depthwise 3×3`, `Relu`, `Add`. `/2` is the
/// stride. Depthwise is a convolution with one input channel a group.
pub fn words(graph: &Graph, id: NodeId) -> String {
    let op = &graph.node(id).op;
    match op {
        Op::Conv2d(conv)
            if conv.groups > 1 && graph.params_of(id).next().is_some_and(|w| w.shape.get(1) == Some(&1)) =>
        {
            format!("Depthwise {}", of_window(&conv.window))
        }
        _ => words_of(op),
    }
}

fn words_of(op: &Op) -> String {
    let kind = op.kind();
    match op {
        Op::Conv2d(conv) => with_groups(&format!("{kind} {}", of_window(&conv.window)), conv.groups),
        Op::ConvTranspose2d(conv) => with_groups(&format!("{kind} {}", of_window(&conv.window)), conv.groups),
        Op::MaxPool(pool) => format!("{kind} {}", of_window(&pool.window)),
        Op::AveragePool(pool) => format!("{kind} {}", of_window(&pool.window)),
        Op::GlobalPool(pool) => format!("{kind} {}", variant(&pool.kind).to_lowercase()),
        Op::Activation(function) => variant(function),
        Op::Elementwise(arithmetic) => variant(arithmetic),
        _ => kind.to_string(),
    }
}

fn with_groups(text: &str, groups: usize) -> String {
    if groups == 1 { text.to_string() } else { format!("{text} in {groups} groups") }
}

/// `3×3 /2`; strides and dilations of 1 are left out.
fn of_window(window: &Window) -> String {
    let pair = |[vertical, horizontal]: [usize; 2], between: &str| format!("{vertical}{between}{horizontal}");
    let short = |pixels: [usize; 2]| if pixels[0] == pixels[1] { pixels[0].to_string() } else { pair(pixels, "×") };
    let mut text = pair(window.kernel, "×");
    if window.stride != [1, 1] {
        text += &format!(" /{}", short(window.stride));
    }
    if window.dilation != [1, 1] {
        text += &format!(" dilated {}", short(window.dilation));
    }
    text
}

/// The name of an enum's variant, without its fields.
fn variant(value: &impl std::fmt::Debug) -> String {
    let text = format!("{value:?}");
    let end = text.find(|c: char| !c.is_alphanumeric()).unwrap_or(text.len());
    text[..end].to_string()
}

/// `32×112×112`.
pub fn dimensions(dims: &[usize]) -> String {
    dims.iter().map(ToString::to_string).collect::<Vec<_>>().join("×")
}

/// At most `most` characters: a longer name loses its middle, because names of layers differ at both ends. Signs that
/// control a screen become spaces.
pub fn shortened(name: &str, most: usize) -> String {
    let characters: Vec<char> = name.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if characters.len() <= most {
        return characters.into_iter().collect();
    }
    let kept = most.saturating_sub(1);
    let (front, back) = (kept.div_ceil(2), kept / 2);
    let front = characters[..front].iter();
    front.chain(&['…']).chain(&characters[characters.len() - back..]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::ops::activation::Activation;
    use crate::nn::ops::conv::Conv2d;
    use crate::nn::ops::elementwise::Elementwise;
    use crate::nn::ops::pool::{GlobalPool, GlobalPoolKind, MaxPool};
    use crate::tasks::look::testing::shipped;

    #[test]
    fn layers_are_told_in_a_few_words() {
        let square = Window::square(3, 2);
        let uneven = Window { kernel: [1, 7], stride: [1, 2], dilation: [2, 2], ..Window::square(1, 1) };
        let cases = [
            (Op::Conv2d(Conv2d { window: square, groups: 32 }), "Conv2d 3×3 /2 in 32 groups"),
            (Op::MaxPool(MaxPool { window: uneven }), "MaxPool 1×7 /1×2 dilated 2"),
            (Op::GlobalPool(GlobalPool { kind: GlobalPoolKind::Average }), "GlobalPool average"),
            (Op::Activation(Activation::Clip { low: 0.0, high: 6.0 }), "Clip"),
            (Op::Elementwise(Elementwise::Add), "Add"),
        ];
        for (op, expected) in cases {
            assert_eq!(words_of(&op), expected);
        }
        let graph = shipped();
        let told = |layer: &str| words(&graph, graph.find(layer).expect("there"));
        assert_eq!(
            (told("stem/conv").as_str(), told("block1/depthwise").as_str()),
            ("Conv2d 3×3 /2", "Depthwise 3×3 /2")
        );
    }

    #[test]
    fn long_names_lose_their_middle() {
        assert_eq!(shortened("inception_4c/3x3_reduce", 11), "incep…educe");
        assert_eq!(shortened("conv1", 5), "conv1");
        assert_eq!(shortened("a\u{1b}[0m", 9), "a [0m");
        assert_eq!(shortened("дом夢", 2), "д…");
    }
}
