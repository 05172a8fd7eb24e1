//! Concatenation.

use serde::{Deserialize, Serialize};

use super::{Backward, Forward, Keeps, Kernel, MapAxis, OpError, Operator};
use crate::base::tensor::{Scalar, Shape};

/// Any number of inputs, alike but for `axis`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Concat {
    pub axis: MapAxis,
}

impl Operator for Concat {
    fn output_shape(&self, _inputs: &[&Shape], _params: &[&[usize]]) -> Result<Shape, OpError> {
        unimplemented!()
    }
    fn keeps(&self, _inputs: &[&Shape]) -> Keeps {
        unimplemented!()
    }
}

impl<F: Scalar> Kernel<F> for Concat {
    fn forward(&self, _args: Forward<'_, F>) {
        unimplemented!()
    }
    fn backward(&self, _args: Backward<'_, F>) {
        unimplemented!()
    }
}
