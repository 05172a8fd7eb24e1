//! Nearest and bilinear resampling of height and width.

use serde::{Deserialize, Serialize};

use super::{Backward, Forward, Keeps, Kernel, OpError, Operator};
use crate::base::tensor::{Scalar, Shape};

/// See the fields.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Resize {
    pub target: ResizeTarget,
    pub mode: ResizeMode,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResizeTarget {
    /// `[height, width]` in pixels.
    Size([usize; 2]),
    /// Output size = floor(input size · factor).
    Factor([f64; 2]),
}
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResizeMode {
    Nearest,
    /// Pixel centres at half-integers, no antialiasing (PyTorch `align_corners=False`).
    Bilinear,
    /// Corner pixels map to corner pixels (PyTorch `align_corners=True`).
    BilinearAlignCorners,
}

impl Operator for Resize {
    fn output_shape(&self, _inputs: &[&Shape], _params: &[&[usize]]) -> Result<Shape, OpError> {
        unimplemented!()
    }
    fn keeps(&self, _inputs: &[&Shape]) -> Keeps {
        unimplemented!()
    }
}

impl<F: Scalar> Kernel<F> for Resize {
    fn forward(&self, _args: Forward<'_, F>) {
        unimplemented!()
    }
    fn backward(&self, _args: Backward<'_, F>) {
        unimplemented!()
    }
}
