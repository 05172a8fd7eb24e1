//! A permutation of logical axes.

use serde::{Deserialize, Serialize};

use super::{Backward, Forward, Keeps, Kernel, OpError, Operator};
use crate::base::tensor::{Scalar, Shape};

/// Output axis `i` is input axis `axes[i]`; the batch stays first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Transpose {
    pub axes: Vec<usize>,
}

impl Operator for Transpose {
    fn output_shape(&self, _inputs: &[&Shape], _params: &[&[usize]]) -> Result<Shape, OpError> {
        unimplemented!()
    }
    fn keeps(&self, _inputs: &[&Shape]) -> Keeps {
        unimplemented!()
    }
}

impl<F: Scalar> Kernel<F> for Transpose {
    fn forward(&self, _args: Forward<'_, F>) {
        unimplemented!()
    }
    fn backward(&self, _args: Backward<'_, F>) {
        unimplemented!()
    }
}
