//! MatConvNet's p-distance of two inputs (`vl_nnpdist`).

use serde::{Deserialize, Serialize};

use super::{Backward, Forward, Keeps, Kernel, OpError, Operator};
use crate::base::tensor::{Scalar, Shape};

/// d = (Σ over channels of |x − x₀|^p)^(1/p), one map out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PDistance {
    pub p: f32,
    /// Leave out the root.
    #[serde(default)]
    pub no_root: bool,
    /// Keeps the gradient finite where the distance is nought.
    pub epsilon: f32,
}

impl Operator for PDistance {
    fn output_shape(&self, _inputs: &[&Shape], _params: &[&[usize]]) -> Result<Shape, OpError> {
        unimplemented!()
    }
    fn keeps(&self, _inputs: &[&Shape]) -> Keeps {
        unimplemented!()
    }
}

impl<F: Scalar> Kernel<F> for PDistance {
    fn forward(&self, _args: Forward<'_, F>) {
        unimplemented!()
    }
    fn backward(&self, _args: Backward<'_, F>) {
        unimplemented!()
    }
}
