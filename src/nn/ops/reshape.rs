//! Reshape and flatten, in the frameworks’ logical (NCHW) element order.

use serde::{Deserialize, Serialize};

use super::layout::{
    CHUNK, add_to, checked_product, copy_to, expect_one_input, expect_rank, gather, is_row_major, shape_of,
};
use super::{Backward, Forward, Keeps, Kernel, OpError, Operator};
use crate::base::parallel::for_each_chunk_mut;
use crate::base::tensor::{Scalar, Shape};

/// The output dimensions after the batch, which stays; see [`Dim`]. At most six dimensions with the batch on either
/// side; no parameters.
///
/// Elements keep their place in logical order, as the frameworks mean it. Memory of rank 4 is NHWC, so that reshaping
/// maps of several channels and pixels moves elements in memory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reshape {
    pub dims: Vec<Dim>,
}

/// One dimension of the reshaped output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dim {
    Of(usize),
    /// As the input's dimension at this place.
    Same,
    /// Whatever is left; at most one.
    Rest,
}

impl Reshape {
    /// `[batch, everything else]`.
    pub fn flatten() -> Self {
        Self { dims: vec![Dim::Rest] }
    }
}

impl Operator for Reshape {
    fn output_shape(&self, inputs: &[&Shape], params: &[&[usize]]) -> Result<Shape, OpError> {
        let input = expect_one_input(inputs, params)?;
        expect_rank(input)?;
        let wrong = |reason: String| OpError::Attribute { name: "dims", reason };
        let mut dims = vec![input.batch()];
        let mut rest = None;
        for (place, dim) in (1..).zip(&self.dims) {
            dims.push(match *dim {
                Dim::Of(0) => return Err(wrong("a dimension of 0".into())),
                Dim::Of(dim) => dim,
                Dim::Same => *input.dims().get(place).ok_or_else(|| {
                    wrong(format!("dimension {place} is to be the input's, but {input} has no such one"))
                })?,
                Dim::Rest if rest.is_some() => return Err(wrong("more than one is to be the rest".into())),
                Dim::Rest => {
                    rest = Some(place);
                    1
                }
            });
        }
        let known = checked_product(&dims)?;
        if let Some(place) = rest {
            if input.len() % known != 0 {
                return Err(wrong(format!("the {} elements of {input} do not divide by {known}", input.len())));
            }
            dims[place] = input.len() / known;
        } else if known != input.len() {
            return Err(wrong(format!("{known} elements, but {input} has {}", input.len())));
        }
        let output = shape_of(&dims)?;
        expect_rank(&output).map_err(|_| wrong(format!("{output} has too many dimensions")))?;
        Ok(output)
    }

    fn keeps(&self, _inputs: &[&Shape]) -> Keeps {
        Keeps::NOTHING
    }
}

impl<F: Scalar> Kernel<F> for Reshape {
    fn forward(&self, args: Forward<'_, F>) {
        let (from, to) = (args.inputs[0], args.output);
        if same_memory(from.shape, to.shape) {
            copy_to(to.data, from.data);
        } else {
            reorder((from.shape, from.data), (to.shape, to.data), |to, from| *to = from);
        }
    }

    fn backward(&self, args: Backward<'_, F>) {
        let Some(d_input) = args.d_inputs[0].as_deref_mut() else { return };
        let (from, to) = (args.output.shape, args.inputs[0].shape);
        if same_memory(from, to) {
            add_to(d_input, args.d_output);
        } else {
            reorder((from, args.d_output), (to, d_input), |to, from| *to += from);
        }
    }
}

fn same_memory(from: &Shape, to: &Shape) -> bool {
    from == to || (is_row_major(from) && is_row_major(to))
}

/// `combine(to, from)` for elements of the same place in logical order.
fn reorder<F: Scalar>(
    (from_shape, from): (&Shape, &[F]),
    (to_shape, to): (&Shape, &mut [F]),
    combine: impl Fn(&mut F, F) + Sync + Send,
) {
    match (nhwc(from_shape), nhwc(to_shape)) {
        (None, None) => unreachable!("row-major on both sides is a plain copy"),
        // `to` lies batch × channels × pixels.
        (Some([batch, channels, pixels]), None) => {
            gather(&[batch, channels, pixels], &[channels * pixels, 1, channels], from, to, combine);
        }
        // `to` lies batch × pixels × channels.
        (None, Some([batch, channels, pixels])) => {
            gather(&[batch, pixels, channels], &[channels * pixels, 1, pixels], from, to, combine);
        }
        (Some([_, from_channels, from_pixels]), Some([_, channels, pixels])) => {
            for_each_chunk_mut(to, CHUNK, |i, to| {
                for (at, to) in (i * CHUNK..).zip(to) {
                    let (pixel, channel) = (at / channels, at % channels);
                    let logical = (pixel / pixels * channels + channel) * pixels + pixel % pixels;
                    let (plane, pixel) = (logical / from_pixels, logical % from_pixels);
                    let (image, channel) = (plane / from_channels, plane % from_channels);
                    combine(to, from[(image * from_pixels + pixel) * from_channels + channel]);
                }
            });
        }
    }
}

/// `[batch, channels, pixels]` of maps whose memory is not in logical order.
fn nhwc(shape: &Shape) -> Option<[usize; 3]> {
    match *shape.dims() {
        [batch, channels, height, width] if !is_row_major(shape) => Some([batch, channels, height * width]),
        _ => None,
    }
}
