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
