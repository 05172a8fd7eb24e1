//! A range of one axis. A split is several slices.

use serde::{Deserialize, Serialize};

use super::{Backward, Forward, Keeps, Kernel, MapAxis, OpError, Operator};
use crate::base::tensor::{Scalar, Shape};

/// `start..end` along `axis`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Slice {
    pub axis: MapAxis,
    pub start: usize,
    pub end: usize,
}

impl Operator for Slice {
    fn output_shape(&self, _inputs: &[&Shape], _params: &[&[usize]]) -> Result<Shape, OpError> {
        unimplemented!()
    }
    fn keeps(&self, _inputs: &[&Shape]) -> Keeps {
        unimplemented!()
    }
}

impl<F: Scalar> Kernel<F> for Slice {
    fn forward(&self, _args: Forward<'_, F>) {
        unimplemented!()
    }
    fn backward(&self, _args: Backward<'_, F>) {
        unimplemented!()
    }
}
