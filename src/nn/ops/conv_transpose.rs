//! Transposed convolution ("deconvolution"): the adjoint of a convolution.

use serde::{Deserialize, Serialize};

use super::window::Window;
use super::{Backward, Forward, Keeps, Kernel, OpError, Operator};
use crate::base::tensor::{Scalar, Shape};

/// Parameters: `weight` \[in, out / groups, kernel height, kernel width\] and, optionally, `bias` \[out\].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConvTranspose2d {
    /// The window of the convolution whose adjoint this is.
    #[serde(flatten)]
    pub window: Window,
    #[serde(default = "one")]
    pub groups: usize,
    /// Pixels added below and to the right of the output.
    #[serde(default)]
    pub output_padding: [usize; 2],
}
fn one() -> usize {
    1
}

impl Operator for ConvTranspose2d {
    fn output_shape(&self, _inputs: &[&Shape], _params: &[&[usize]]) -> Result<Shape, OpError> {
        unimplemented!()
    }
    fn keeps(&self, _inputs: &[&Shape]) -> Keeps {
        unimplemented!()
    }
}

impl<F: Scalar> Kernel<F> for ConvTranspose2d {
    fn forward(&self, _args: Forward<'_, F>) {
        unimplemented!()
    }
    fn backward(&self, _args: Backward<'_, F>) {
        unimplemented!()
    }
}
