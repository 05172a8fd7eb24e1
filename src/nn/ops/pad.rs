//! Padding of height and width.

use serde::{Deserialize, Serialize};

use super::{Backward, Forward, Keeps, Kernel, OpError, Operator};
use crate::base::tensor::{Scalar, Shape};

/// Pixels are added on each side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pad {
    pub top: usize,
    pub left: usize,
    pub bottom: usize,
    pub right: usize,
    pub mode: PadMode,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PadMode {
    Constant(f32),
    /// Mirrors without repeating the edge.
    Reflect,
    /// Repeats the edge.
    Edge,
}

impl Operator for Pad {
    fn output_shape(&self, _inputs: &[&Shape], _params: &[&[usize]]) -> Result<Shape, OpError> {
        unimplemented!()
    }
    fn keeps(&self, _inputs: &[&Shape]) -> Keeps {
        unimplemented!()
    }
}

impl<F: Scalar> Kernel<F> for Pad {
    fn forward(&self, _args: Forward<'_, F>) {
        unimplemented!()
    }
    fn backward(&self, _args: Backward<'_, F>) {
        unimplemented!()
    }
}
