//! Activations: one value in, one value out.

use serde::{Deserialize, Serialize};

use super::{Backward, Forward, Keeps, Kernel, OpError, Operator};
use crate::base::tensor::{Scalar, Shape};

/// An activation function and its constants.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "function", rename_all = "snake_case")]
pub enum Activation {
    Relu,
    LeakyRelu {
        slope: f32,
    },
    /// min(max(x, low), high); ReLU6 is `Clip { low: 0.0, high: 6.0 }`.
    Clip {
        low: f32,
        high: f32,
    },
    Elu {
        alpha: f32,
    },
    Sigmoid,
    Tanh,
    Silu,
    /// min(max(slope · x + offset, 0), 1).
    HardSigmoid {
        slope: f32,
        offset: f32,
    },
    /// x · hard sigmoid of x with slope 1/6 and offset 1/2 (Howard 2019).
    HardSwish,
}

impl Operator for Activation {
    fn output_shape(&self, _inputs: &[&Shape], _params: &[&[usize]]) -> Result<Shape, OpError> {
        unimplemented!()
    }
    fn keeps(&self, _inputs: &[&Shape]) -> Keeps {
        unimplemented!()
    }
}

impl<F: Scalar> Kernel<F> for Activation {
    fn forward(&self, _args: Forward<'_, F>) {
        unimplemented!()
    }
    fn backward(&self, _args: Backward<'_, F>) {
        unimplemented!()
    }
}
