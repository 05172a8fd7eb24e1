//! A factor and, optionally, an offset for each channel.

use serde::{Deserialize, Serialize};

use super::{Backward, Forward, Keeps, Kernel, OpError, Operator};
use crate::base::tensor::{Scalar, Shape};

/// Parameters: `factor` \[channels\] and, optionally, `bias` \[channels\].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scale {}

impl Operator for Scale {
    fn output_shape(&self, _inputs: &[&Shape], _params: &[&[usize]]) -> Result<Shape, OpError> {
        unimplemented!()
    }
    fn keeps(&self, _inputs: &[&Shape]) -> Keeps {
        unimplemented!()
    }
}

impl<F: Scalar> Kernel<F> for Scale {
    fn forward(&self, _args: Forward<'_, F>) {
        unimplemented!()
    }
    fn backward(&self, _args: Backward<'_, F>) {
        unimplemented!()
    }
}
