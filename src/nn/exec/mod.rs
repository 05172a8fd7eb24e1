//! Plans that run a graph.
//!
//! [`mod@reference`] runs any graph in `f32` or `f64`, op by op, keeping every blob: the yardstick of the
//! others. [`FrozenNet`] is the plan for gradient ascent on the input: weights packed and folded, masks
//! instead of activations, one arena. [`TrainingNet`] is the plan for learning: batches, gradients to the parameters.

pub mod frozen;
pub mod reference;
pub mod training;

pub use frozen::{FrozenNet, Session};
pub use training::{TrainingNet, TrainingSession};

use crate::nn::ops::Op;
use crate::nn::ops::conv::Conv2d;
use crate::nn::ops::linear::Linear;

/// Weights of a fully connected layer up to which it pays to pack them. Those of AlexNet and VGG take more time and memory
/// to pack than their products do.
const MAX_PACKED_WEIGHTS: usize = 1 << 21;

/// The convolution that a node is, if it is one for the packed kernels: `weight` is the shape of its weight.
fn convolution<'op>(op: &'op Op, weight: &[usize]) -> Option<&'op Conv2d> {
    match op {
        Op::Conv2d(conv) => Some(conv),
        Op::Linear(_) if weight.iter().product::<usize>() <= MAX_PACKED_WEIGHTS => Some(&Linear::CONVOLUTION),
        _ => None,
    }
}
