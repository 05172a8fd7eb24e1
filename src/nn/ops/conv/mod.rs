//! Convolution: a window of weights slides over the input (Dumoulin 2016).

pub mod depthwise;
#[cfg(test)]
mod fast_tests;
pub mod finish;
pub mod frozen;
pub mod indirect;
pub mod lattice;
pub mod maps;
pub mod packed;
pub mod tile;

use serde::{Deserialize, Serialize};

use super::window::Window;
use super::{Backward, Forward, Keeps, Kernel, OpError, Operator};
use crate::base::tensor::{Scalar, Shape};

/// Parameters: `weight` \[out, in / groups, kernel height, kernel width\] and, optionally, `bias` \[out\].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Conv2d {
    #[serde(flatten)]
    pub window: Window,
    #[serde(default = "one")]
    pub groups: usize,
}
fn one() -> usize {
    1
}

impl Operator for Conv2d {
    fn output_shape(&self, _inputs: &[&Shape], _params: &[&[usize]]) -> Result<Shape, OpError> {
        unimplemented!()
    }
    fn keeps(&self, _inputs: &[&Shape]) -> Keeps {
        unimplemented!()
    }
}

impl<F: Scalar> Kernel<F> for Conv2d {
    fn forward(&self, _args: Forward<'_, F>) {
        unimplemented!()
    }
    fn backward(&self, _args: Backward<'_, F>) {
        unimplemented!()
    }
}
