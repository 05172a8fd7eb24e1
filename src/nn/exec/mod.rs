//! Plans that run a graph.
//!
//! [`mod@reference`] runs any graph in `f32` or `f64`, op by op, keeping every blob: the yardstick, and the source of
//! parameter gradients. [`FrozenNet`] is the plan for gradient ascent on the input: weights packed and folded, masks
//! instead of activations, one arena.

pub mod frozen;
pub mod reference;

pub use frozen::{FrozenNet, Session};
