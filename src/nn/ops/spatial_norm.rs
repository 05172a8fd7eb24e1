//! MatConvNet's spatial normalization (`vl_nnspnorm`).

use serde::{Deserialize, Serialize};

use super::{Backward, Forward, Keeps, Kernel, OpError, Operator};
use crate::base::tensor::{Scalar, Shape};

/// y = x / (1 + alpha · mean of x² over the window around the pixel, channel by channel)^beta.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SpatialNorm {
    /// `[height, width]` in pixels.
    pub window: [usize; 2],
    pub alpha: f32,
    pub beta: f32,
}

impl Operator for SpatialNorm {
    fn output_shape(&self, _inputs: &[&Shape], _params: &[&[usize]]) -> Result<Shape, OpError> {
        unimplemented!()
    }
    fn keeps(&self, _inputs: &[&Shape]) -> Keeps {
        unimplemented!()
    }
}

impl<F: Scalar> Kernel<F> for SpatialNorm {
    fn forward(&self, _args: Forward<'_, F>) {
        unimplemented!()
    }
    fn backward(&self, _args: Backward<'_, F>) {
        unimplemented!()
    }
}
