//! Pooling.

use serde::{Deserialize, Serialize};

use super::window::Window;
use super::{Backward, Forward, Keeps, Kernel, OpError, Operator};
use crate::base::tensor::{Scalar, Shape};

/// The gradient goes to ONE winner, the first in scan order, as in Caffe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MaxPool {
    #[serde(flatten)]
    pub window: Window,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AveragePool {
    #[serde(flatten)]
    pub window: Window,
    pub divisor: Divisor,
}

/// By what the sum of a window is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Divisor {
    /// The pixels of the window inside the input (PyTorch `count_include_pad=False`, TensorFlow, MatConvNet).
    Inside,
    /// The pixels of the window inside the padded input (Caffe, PyTorch's default).
    Padded,
    /// The whole window, always.
    Window,
}

/// Pools whole maps to 1×1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GlobalPool {
    pub kind: GlobalPoolKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GlobalPoolKind {
    Average,
    Max,
}

impl Operator for MaxPool {
    fn output_shape(&self, _inputs: &[&Shape], _params: &[&[usize]]) -> Result<Shape, OpError> {
        unimplemented!()
    }
    fn keeps(&self, _inputs: &[&Shape]) -> Keeps {
        unimplemented!()
    }
}

impl<F: Scalar> Kernel<F> for MaxPool {
    fn forward(&self, _args: Forward<'_, F>) {
        unimplemented!()
    }
    fn backward(&self, _args: Backward<'_, F>) {
        unimplemented!()
    }
}

impl Operator for AveragePool {
    fn output_shape(&self, _inputs: &[&Shape], _params: &[&[usize]]) -> Result<Shape, OpError> {
        unimplemented!()
    }
    fn keeps(&self, _inputs: &[&Shape]) -> Keeps {
        unimplemented!()
    }
}

impl<F: Scalar> Kernel<F> for AveragePool {
    fn forward(&self, _args: Forward<'_, F>) {
        unimplemented!()
    }
    fn backward(&self, _args: Backward<'_, F>) {
        unimplemented!()
    }
}

impl Operator for GlobalPool {
    fn output_shape(&self, _inputs: &[&Shape], _params: &[&[usize]]) -> Result<Shape, OpError> {
        unimplemented!()
    }
    fn keeps(&self, _inputs: &[&Shape]) -> Keeps {
        unimplemented!()
    }
}

impl<F: Scalar> Kernel<F> for GlobalPool {
    fn forward(&self, _args: Forward<'_, F>) {
        unimplemented!()
    }
    fn backward(&self, _args: Backward<'_, F>) {
        unimplemented!()
    }
}
