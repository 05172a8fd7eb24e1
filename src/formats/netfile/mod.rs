//! Net files: Oneiric's own short text that describes a net without its weights.
//!
//! One layer a line; each takes what the one before it makes. ` / ` (a slash between blanks) ends a layer like the end
//! of a line, `#` starts a comment, and quotation marks hold words together. The slide's
//! INPUT-\[CONV-RELU-POOL\]\*-FC-SOFTMAX is
//!
//! ```text
//! net slide
//! input 3x32x32 rgb mean 125 123 114 scale 1/60
//! repeat 3 {
//!   conv 32 3x3 pad 1
//!   relu
//!   maxpool 2
//! }
//! fc 4
//! softmax
//! labels cat dog horse "flying fish"
//! ```
//!
//! A layer may be given a name, and `mark` names the place where it stands; `from` goes on from a name. An inception
//! block (Szegedy 2014):
//!
//! ```text
//! input 3x32x32
//! conv 16 3x3 pad 1 / relu / mark in
//! one: conv 8 1x1 / a: relu
//! from in / conv 8 1x1 / relu / conv 12 3x3 pad 1 / b: relu
//! from in / conv 4 1x1 / relu / conv 6 5x5 pad 2 / c: relu
//! from in / maxpool 3 stride 1 pad 1 / conv 6 1x1 / d: relu
//! mixed: concat a b c d
//! globalpool
//! fc 10
//! softmax
//! ```
//!
//! Residual blocks (He 2016); `add` with one name adds that to what stands before, with several it adds those:
//!
//! ```text
//! input 1x28x28
//! conv 16 3x3 stride 2 pad 1 nobias / batchnorm / relu
//! repeat 2 {
//!   mark start
//!   conv 16 3x3 pad 1 nobias / batchnorm / relu
//!   conv 16 3x3 pad 1 nobias / batchnorm
//!   block: add start
//!   relu
//! }
//! globalpool
//! fc 10
//! softmax
//! ```
//!
//! | statement | meaning, with its defaults |
//! |---|---|
//! | `net NAME`, `seed 0` | the net's name; the seed of its weights |
//! | `input CxHxW` | then any of `rgb`, `bgr`, `gray`; `mean` with a value for all or each channel; `scale`: pixel values p of 0–255 become (p − mean) · scale |
//! | `conv N KxK` | N channels; `stride 1`, `pad 0`, `dilation 1`, `groups 1`, `nobias` |
//! | `fc N` | fully connected; `nobias` |
//! | `maxpool K`, `avgpool K` | `stride` as the window, `pad 0`; `ceil` counts a last partial window; averages are over the pixels inside the picture, with `padded` over the padded one (Caffe) |
//! | `globalpool` | the average of each channel; `max` for the largest value |
//! | `batchnorm` | `epsilon 0.00001` |
//! | `lrn 5` | x / (bias + alpha · Σ x²)^beta over that many channels; `alpha 0.0001`, `beta 0.75`, `bias 1` |
//! | `relu`, `relu6`, `leaky 0.01`, `prelu`, `elu 1`, `sigmoid`, `tanh`, `silu`, `hardswish` | |
//! | `dropout 0.5`, `flatten`, `softmax` | |
//! | `add A …`, `mul A …`, `concat A …` | joins what is named, or what stands before and one name |
//! | `mark NAME`, `from NAME` | names this place; goes on from there. The input is named `input` |
//! | `repeat N { … }` | a name of a layer that is repeated means the latest one; the layers are `NAME`, `NAME_2`, … |
//! | `labels A B …` | class names, over as many lines as they need |
//!
//! Windows and strides are one number or height × width (`5x3`), `pad` is a number, two, or `same`: outputs are
//! ceil(inputs / stride), and an odd pixel goes right and below. The last layer is the net's output, and every other
//! layer must lead to it.

mod draw;
mod parse;
mod words;

use std::sync::Arc;

use self::draw::Drawing;
use super::architectures::{ArchitectureError, ParamSource, ParamSpec, RandomParams};
use super::{ImportError, Imported};
use crate::nn::graph::GraphBuilder;
use crate::nn::ops::Op;

/// What a parametric ReLU's parameter is called.
const SLOPE: &str = "slope";

/// Of a batch norm that names none.
pub const EPSILON: f32 = 1e-5;

/// A net on paper, as a file describes it.
pub struct Design(Drawing);

impl Design {
    /// Reads a net file. Errors tell the line.
    pub fn parse(text: &str) -> Result<Self, ImportError> {
        Ok(Self(Drawing::new(&parse::statements(text)?)?))
    }

    /// The parameters in the order of the layers: weight and bias; of `batchnorm` gamma, beta, mean and variance; of
    /// `prelu` the slope (as a `Gamma`).
    pub fn params(&self) -> &[ParamSpec] {
        &self.0.params
    }

    /// The seed that the file states, or 0.
    pub fn seed(&self) -> u64 {
        self.0.seed
    }

    /// Gives the net its parameters.
    pub fn build(self, source: &mut dyn ParamSource) -> Result<Imported, ImportError> {
        let drawing = self.0;
        let mut nodes = drawing.nodes.into_iter();
        let Some((input, Op::Input(taken))) = nodes.next().map(|node| (node.name, node.op)) else {
            return Err(ImportError::Damaged("the net has no input".into()));
        };
        let mut net = GraphBuilder::new(&input, taken.channels, taken.size);
        for spec in &drawing.params {
            let data = source.take(spec).map_err(import_error)?;
            net.param(&spec.name, &spec.shape, data);
        }
        for node in nodes {
            let params: Vec<&str> = node.params.iter().map(String::as_str).collect();
            net.add(&node.name, node.op, &node.inputs, &params);
        }
        let mut imported = Imported::new(drawing.name, net);
        imported.preprocess = drawing.preprocess;
        imported.labels = drawing.labels;
        Ok(imported)
    }
}

fn import_error(error: ArchitectureError) -> ImportError {
    match error {
        ArchitectureError::Graph(error) => ImportError::Graph(error),
        other => ImportError::Unsupported(other.to_string()),
    }
}

/// Fresh weights; the slope of a parametric ReLU starts at a quarter (He 2015).
struct FreshParams(RandomParams);

impl ParamSource for FreshParams {
    fn take(&mut self, wanted: &ParamSpec) -> Result<Arc<[f32]>, ArchitectureError> {
        const FIRST_SLOPE: f32 = 0.25;
        match wanted.name.rsplit_once('.') {
            Some((_, SLOPE)) => Ok(vec![FIRST_SLOPE; wanted.len()].into()),
            _ => self.0.take(wanted),
        }
    }
}

/// Reads a net file and gives the net random weights (He 2015) of the seed that it states.
pub fn read(text: &str) -> Result<Imported, ImportError> {
    let design = Design::parse(text)?;
    let seed = design.seed();
    let mut imported = design.build(&mut FreshParams(RandomParams::new(seed)))?;
    imported
        .notes
        .push(format!("The net file holds no weights: they are random (seed {seed}), and the net must be trained."));
    Ok(imported)
}

/// Reads a net file and pours weights into the net.
pub fn build(text: &str, source: &mut dyn ParamSource) -> Result<Imported, ImportError> {
    Design::parse(text)?.build(source)
}

/// The parameters that a net file's layers need, in their order.
pub fn layers_needing_params(text: &str) -> Result<Vec<ParamSpec>, ImportError> {
    Ok(Design::parse(text)?.0.params)
}

/// Whether a text is a net file: its first statement is the input, after the net's name, seed or labels at most.
pub fn looks_like(text: &str) -> bool {
    const STATEMENTS_BEFORE: usize = 8;
    let lines = text.trim_start_matches('\u{feff}').lines().map(|line| line.split('#').next().unwrap_or_default());
    let statements = lines.flat_map(|line| line.split(" / ")).map(str::split_whitespace);
    let mut statements = statements.filter(|words| words.clone().next().is_some());
    let is_size = |word: &str| {
        let counts: Vec<&str> = word.split(['x', '×']).collect();
        counts.len() == 3 && counts.iter().all(|count| count.parse::<u32>().is_ok())
    };
    for mut words in statements.by_ref().take(STATEMENTS_BEFORE) {
        match words.next() {
            Some("net" | "seed" | "labels") => {}
            Some("input") => return words.next().is_some_and(is_size),
            _ => return false,
        }
    }
    false
}

#[cfg(test)]
mod tests;
