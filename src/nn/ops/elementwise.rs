//! Element-wise arithmetic of several inputs.

use serde::{Deserialize, Serialize};

use super::{Backward, Forward, Keeps, Kernel, OpError, Operator};
use crate::base::tensor::{Scalar, Shape};

/// Inputs of one shape; an input of 1×1 maps is spread over height and width.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Elementwise {
    Add,
    /// Σ coefficient · input, a coefficient an input.
    WeightedSum {
        coefficients: Vec<f32>,
    },
    /// First minus second.
    Sub,
    Mul,
    /// The gradient goes to the first of equal inputs.
    Max,
}

impl Operator for Elementwise {
    fn output_shape(&self, _inputs: &[&Shape], _params: &[&[usize]]) -> Result<Shape, OpError> {
        unimplemented!()
    }
    fn keeps(&self, _inputs: &[&Shape]) -> Keeps {
        unimplemented!()
    }
}

impl<F: Scalar> Kernel<F> for Elementwise {
    fn forward(&self, _args: Forward<'_, F>) {
        unimplemented!()
    }
    fn backward(&self, _args: Backward<'_, F>) {
        unimplemented!()
    }
}
