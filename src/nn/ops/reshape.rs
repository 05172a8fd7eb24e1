//! Reshape and flatten, in the frameworks’ logical (NCHW) element order.

use serde::{Deserialize, Serialize};

use super::lanes::TASK_ELEMENTS;
use super::layout::{add_to, checked_product, copy_to, expect_one_input, expect_rank, gather, is_row_major, shape_of};
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
            for_each_chunk_mut(to, TASK_ELEMENTS, |i, to| {
                for (at, to) in (i * TASK_ELEMENTS..).zip(to) {
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

#[cfg(test)]
mod tests {
    use super::super::Run;
    use super::super::check::{Tensor, check_literals, gradient_check};
    use super::super::layout::testing::{check_large, check_refused, index_of, offset_of};
    use super::*;

    fn to(dims: &[usize]) -> Reshape {
        Reshape { dims: dims.iter().map(|&dim| Dim::Of(dim)).collect() }
    }

    /// The same element counted in logical order, by multiplying indices out.
    fn naive(x: &Tensor<f64>, output: &Shape, at: usize) -> f64 {
        let index = index_of(output, at);
        let mut logical = output.dims().iter().zip(index).fold(0, |at, (dim, i)| at * dim + i);
        let mut index: Vec<usize> = x.shape.dims().iter().rev().map(|dim| (logical % dim, logical /= dim).0).collect();
        index.reverse();
        x.data[offset_of(&x.shape, &index)]
    }

    #[test]
    fn as_pytorch() {
        check_literals("elementwise.safetensors", "reshape");
    }

    #[test]
    fn large_tensors_as_index_by_index() {
        let cases: &[(&[usize], &[usize])] = &[
            (&[2, 16, 25, 24], &[2, 9600]),
            (&[2, 16, 25, 24], &[2, 4, 4, 25, 24]),
            (&[2, 16, 25, 24], &[2, 30, 20, 16]),
            (&[2, 16, 25, 24], &[2, 16, 24, 25]),
            (&[2, 16, 25, 24], &[2, 9600, 1, 1]),
            (&[2, 9600], &[2, 16, 25, 24]),
            (&[2, 4, 4, 25, 24], &[2, 16, 25, 24]),
            (&[2, 20, 480], &[2, 480, 20]),
        ];
        for (from, dims) in cases {
            let x = Tensor::<f64>::random(from, 1);
            let output = Shape::new(dims).unwrap();
            check_large(&to(&dims[1..]), std::slice::from_ref(&x), &[], |at| naive(&x, &output, at));
        }
    }

    #[test]
    fn gradients() {
        for dims in [&[36][..], &[4, 3, 3], &[3, 2, 3, 2], &[6, 3, 2], &[6, 6]] {
            gradient_check(&to(dims), &[Tensor::random(&[2, 6, 3, 2], 2)], &[], Run::default());
        }
        gradient_check(&to(&[3, 2, 2]), &[Tensor::random(&[2, 4, 3], 2)], &[], Run::default());
    }

    #[test]
    fn dimensions_are_taken_copied_or_left_over() {
        let shape = |dims: &[Dim], input: &[usize]| {
            let op = Reshape { dims: dims.to_vec() };
            op.output_shape(&[&Shape::new(input).unwrap()], &[]).map(|shape| shape.dims().to_vec())
        };
        assert_eq!(shape(&[Dim::Rest], &[3, 4, 5, 6]), Ok(vec![3, 120]));
        assert_eq!(shape(&[Dim::Of(2), Dim::Rest, Dim::Same], &[3, 4, 5, 6]), Ok(vec![3, 2, 10, 6]));
        assert_eq!(shape(&[], &[3, 1, 1]), Ok(vec![3]));
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        let of = |dims: &[Dim]| Reshape { dims: dims.to_vec() };
        let shape: &[usize] = &[2, 3, 4, 5];
        check_refused(&[
            (&to(&[61]), &[shape], &[], "122 elements, but 2×3×4×5 has 120"),
            (&to(&[0, 60]), &[shape], &[], "a dimension of 0"),
            (&of(&[Dim::Of(7), Dim::Rest]), &[shape], &[], "do not divide by 14"),
            (&of(&[Dim::Rest, Dim::Rest]), &[shape], &[], "more than one is to be the rest"),
            (&of(&[Dim::Rest, Dim::Same, Dim::Of(1), Dim::Same]), &[shape], &[], "dimension 4 is to be the input's"),
            (&to(&[usize::MAX, 2]), &[shape], &[], "too large"),
            (&to(&[60, 1, 1, 1, 1, 1]), &[shape], &[], "has too many dimensions"),
            (&to(&[60]), &[&[2, 60, 1, 1, 1, 1, 1]], &[], "1 to 6 dimensions"),
            (&to(&[60]), &[shape, shape], &[], "takes one input"),
        ]);
    }
}
