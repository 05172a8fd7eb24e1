//! Shapes, and borrowed views of tensors in the engine's memory layout.
//!
//! A [`Shape`] lists dimensions in the frameworks' logical order: batch, channels, then height and width. In memory a
//! rank-4 tensor is NHWC (channels innermost); a tensor of any other rank is row-major in logical order. A rank-2
//! tensor `[batch, channels]` therefore has the very memory of a rank-4 one with 1×1 maps.

use std::fmt;

use ndarray::NdFloat;
use serde::{Deserialize, Serialize};

/// An element type of the engine: `f32` to work with, `f64` to check gradients with.
pub trait Scalar: NdFloat + bytemuck::Pod + Default + std::iter::Sum {
    /// Converts a constant; attributes are kept in `f64`-exact literals or `f32` weights.
    fn of(value: f64) -> Self;
    fn to_f64(self) -> f64;
}

impl Scalar for f32 {
    fn of(value: f64) -> Self {
        value as f32
    }
    fn to_f64(self) -> f64 {
        f64::from(self)
    }
}

impl Scalar for f64 {
    fn of(value: f64) -> Self {
        value
    }
    fn to_f64(self) -> f64 {
        self
    }
}

/// No tensor may have more elements than this (2^34): shapes come from files and must not overflow.
pub const MAX_ELEMENTS: usize = 1 << 34;

/// No tensor may have more dimensions than this.
pub const MAX_RANK: usize = 8;

/// Logical dimensions, batch first, then channels, then height and width.
#[derive(Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Shape(Vec<usize>);

impl Shape {
    /// A shape of any rank. `None` when it exceeds [`MAX_ELEMENTS`] or [`MAX_RANK`].
    pub fn new(dims: &[usize]) -> Option<Self> {
        if dims.len() > MAX_RANK {
            return None;
        }
        let mut len = 1usize;
        for &dim in dims {
            len = len.checked_mul(dim)?;
        }
        (len <= MAX_ELEMENTS).then(|| Self(dims.to_vec()))
    }

    /// `[batch, channels, height, width]`, stored NHWC.
    pub fn maps(batch: usize, channels: usize, height: usize, width: usize) -> Self {
        Self(vec![batch, channels, height, width])
    }

    /// `[batch, channels]`.
    pub fn vector(batch: usize, channels: usize) -> Self {
        Self(vec![batch, channels])
    }

    pub fn dims(&self) -> &[usize] {
        &self.0
    }

    pub fn rank(&self) -> usize {
        self.0.len()
    }

    /// The number of elements.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.0.iter().product()
    }

    pub fn batch(&self) -> usize {
        self.0.first().copied().unwrap_or(1)
    }

    /// `[batch, channels, height, width]` of a rank-4 shape, or of a rank-2 shape seen as 1×1 maps.
    pub fn as_maps(&self) -> Option<[usize; 4]> {
        match *self.0.as_slice() {
            [batch, channels, height, width] => Some([batch, channels, height, width]),
            [batch, channels] => Some([batch, channels, 1, 1]),
            _ => None,
        }
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// `1×3×224×224`.
impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("scalar");
        }
        for (i, dim) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("×")?;
            }
            write!(f, "{dim}")?;
        }
        Ok(())
    }
}

/// A borrowed tensor: `data.len() == shape.len()`, contiguous, in the layout that [`Shape`] documents.
#[derive(Clone, Copy)]
pub struct View<'a, F> {
    pub shape: &'a Shape,
    pub data: &'a [F],
}

impl<'a, F> View<'a, F> {
    pub fn new(shape: &'a Shape, data: &'a [F]) -> Self {
        debug_assert_eq!(shape.len(), data.len());
        Self { shape, data }
    }
}

/// A borrowed tensor that is written to.
pub struct ViewMut<'a, F> {
    pub shape: &'a Shape,
    pub data: &'a mut [F],
}

impl<'a, F> ViewMut<'a, F> {
    pub fn new(shape: &'a Shape, data: &'a mut [F]) -> Self {
        debug_assert_eq!(shape.len(), data.len());
        Self { shape, data }
    }
}

/// Copies a rank-4 tensor from the frameworks' NCHW order to the engine's NHWC.
pub fn nhwc_from_nchw<F: Copy>(dims: [usize; 4], nchw: &[F]) -> Vec<F> {
    let [batch, channels, height, width] = dims;
    let mut nhwc = Vec::with_capacity(nchw.len());
    for n in 0..batch {
        for pixel in 0..height * width {
            nhwc.extend((0..channels).map(|c| nchw[(n * channels + c) * height * width + pixel]));
        }
    }
    nhwc
}

/// Copies a rank-4 tensor from the engine's NHWC to the frameworks' NCHW order.
pub fn nchw_from_nhwc<F: Copy>(dims: [usize; 4], nhwc: &[F]) -> Vec<F> {
    let [batch, channels, height, width] = dims;
    let mut nchw = Vec::with_capacity(nhwc.len());
    for n in 0..batch {
        for c in 0..channels {
            nchw.extend((0..height * width).map(|pixel| nhwc[(n * height * width + pixel) * channels + c]));
        }
    }
    nchw
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_are_inverse_and_channels_last() {
        let nchw: Vec<i32> = (0..2 * 3 * 2 * 2).collect();
        let nhwc = nhwc_from_nchw([2, 3, 2, 2], &nchw);
        assert_eq!(&nhwc[..6], &[0, 4, 8, 1, 5, 9]);
        assert_eq!(nchw_from_nhwc([2, 3, 2, 2], &nhwc), nchw);
    }

    #[test]
    fn a_shape_that_overflows_is_refused() {
        assert!(Shape::new(&[usize::MAX, 2]).is_none());
        assert!(Shape::new(&[1 << 20, 1 << 20]).is_none());
        assert!(Shape::new(&[1; MAX_RANK + 1]).is_none());
        assert_eq!(Shape::maps(1, 3, 224, 224).to_string(), "1×3×224×224");
    }
}
