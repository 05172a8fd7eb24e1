//! Reshape and flatten, in the frameworks’ logical (NCHW) element order.

use serde::{Deserialize, Serialize};

use super::{Backward, Forward, Keeps, Kernel, OpError, Operator};
use crate::base::tensor::{Scalar, Shape};

/// The output dimensions after the batch, which stays; see [`Dim`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reshape {
    pub dims: Vec<Dim>,
}

/// One dimension of the reshaped output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dim {
    Of(usize),
    /// As the input's dimension at this place.
    Same,
    /// Whatever is left; at most one.
    Rest,
}
impl Reshape {
    /// `[batch, everything else]`.
    pub fn flatten() -> Self {
        Self { dims: vec![Dim::Rest] }
    }
}

impl Operator for Reshape {
    fn output_shape(&self, _inputs: &[&Shape], _params: &[&[usize]]) -> Result<Shape, OpError> {
        unimplemented!()
    }
    fn keeps(&self, _inputs: &[&Shape]) -> Keeps {
        unimplemented!()
    }
}

impl<F: Scalar> Kernel<F> for Reshape {
    fn forward(&self, _args: Forward<'_, F>) {
        unimplemented!()
    }
    fn backward(&self, _args: Backward<'_, F>) {
        unimplemented!()
    }
}
