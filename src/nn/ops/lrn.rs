//! Local response normalization (Krizhevsky 2012).

use serde::{Deserialize, Serialize};

use super::{Backward, Forward, Keeps, Kernel, OpError, Operator};
use crate::base::tensor::{Scalar, Shape};

/// y = x / (bias + alpha · Σ x²)^beta; the sum is over `size` channels, or over `size`² pixels of one channel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lrn {
    pub size: usize,
    /// The factor of one term of the sum. Caffe and PyTorch state it times the number of terms: importers divide.
    pub alpha: f32,
    pub beta: f32,
    pub bias: f32,
    pub region: LrnRegion,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LrnRegion {
    AcrossChannels,
    WithinChannel,
}

impl Operator for Lrn {
    fn output_shape(&self, _inputs: &[&Shape], _params: &[&[usize]]) -> Result<Shape, OpError> {
        unimplemented!()
    }
    fn keeps(&self, _inputs: &[&Shape]) -> Keeps {
        unimplemented!()
    }
}

impl<F: Scalar> Kernel<F> for Lrn {
    fn forward(&self, _args: Forward<'_, F>) {
        unimplemented!()
    }
    fn backward(&self, _args: Backward<'_, F>) {
        unimplemented!()
    }
}
