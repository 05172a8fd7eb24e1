//! Concatenation.

use serde::{Deserialize, Serialize};

use super::lanes::rows_per_task;
use super::layout::{around, axis_index, checked_total, expect_elements, expect_no_params, expect_rank, shape_of};
use super::{Backward, Forward, Keeps, Kernel, MapAxis, OpError, Operator};
use crate::base::parallel::for_each_chunk_mut;
use crate::base::tensor::{Scalar, Shape};

/// Any number of inputs, alike but for `axis`: maps, vectors, or tensors of a rank up to six along batch or channels.
/// No parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Concat {
    pub axis: MapAxis,
}

impl Operator for Concat {
    fn output_shape(&self, inputs: &[&Shape], params: &[&[usize]]) -> Result<Shape, OpError> {
        expect_no_params(params)?;
        let [first, others @ ..] = inputs else {
            return Err(OpError::Inputs { expected: "one input or more", got: 0 });
        };
        expect_elements(first)?;
        expect_rank(first)?;
        let axis = axis_index(self.axis, first)?;
        for other in others {
            let alike = |i: usize| i == axis || first.dims()[i] == other.dims()[i];
            if first.rank() != other.rank() || !(0..first.rank()).all(alike) {
                let needed =
                    format!("{first}, as the first one but for the {} axis", super::layout::axis_name(self.axis));
                return Err(OpError::InputShape { needed, got: (*other).clone() });
            }
            expect_elements(other)?;
        }
        let mut dims = first.dims().to_vec();
        dims[axis] = checked_total(inputs.iter().map(|input| input.dims()[axis]))?;
        shape_of(&dims)
    }

    fn keeps(&self, _inputs: &[&Shape]) -> Keeps {
        Keeps::NOTHING
    }
}

impl Concat {
    /// Elements that lie side by side for every index outside of the axis.
    fn row_len(&self, shape: &Shape) -> usize {
        let axis = axis_index(self.axis, shape).expect("output_shape has checked the axis");
        let [_, along, inner] = around(shape, axis);
        along * inner
    }
}

impl<F: Scalar> Kernel<F> for Concat {
    fn forward(&self, args: Forward<'_, F>) {
        let row_len = self.row_len(args.output.shape);
        let rows_per_task = rows_per_task(row_len);
        for_each_chunk_mut(args.output.data, rows_per_task * row_len, |task, rows| {
            let mut column = 0;
            for input in args.inputs {
                let len = self.row_len(input.shape);
                let from = input.data[task * rows_per_task * len..].chunks_exact(len);
                for (row, from) in rows.chunks_exact_mut(row_len).zip(from) {
                    row[column..column + len].copy_from_slice(from);
                }
                column += len;
            }
        });
    }

    fn backward(&self, args: Backward<'_, F>) {
        let row_len = self.row_len(args.output.shape);
        let mut column = 0;
        for (input, d_input) in args.inputs.iter().zip(args.d_inputs) {
            let len = self.row_len(input.shape);
            if let Some(d_input) = d_input {
                let rows_per_task = rows_per_task(len);
                for_each_chunk_mut(d_input, rows_per_task * len, |task, rows| {
                    let from = args.d_output[task * rows_per_task * row_len..].chunks_exact(row_len);
                    for (row, from) in rows.chunks_exact_mut(len).zip(from) {
                        row.iter_mut().zip(&from[column..column + len]).for_each(|(d, &g)| *d += g);
                    }
                });
            }
            column += len;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Run;
    use super::super::check::{Tensor, check_literals, gradient_check, run_forward};
    use super::super::layout::testing::{check_large, check_refused, index_of, offset_of};
    use super::*;

    const AXES: [MapAxis; 4] = [MapAxis::Batch, MapAxis::Channel, MapAxis::Height, MapAxis::Width];

    fn naive(inputs: &[Tensor<f64>], axis: usize, output: &Shape, at: usize) -> f64 {
        let mut index = index_of(output, at);
        for input in inputs {
            let length = input.shape.dims()[axis];
            if index[axis] < length {
                return input.data[offset_of(&input.shape, &index)];
            }
            index[axis] -= length;
        }
        panic!("past the end of all inputs");
    }

    fn inputs_along(axis: usize, dims: [usize; 4], lengths: &[usize]) -> Vec<Tensor<f64>> {
        let of_length = |(i, &length): (usize, &usize)| {
            let mut dims = dims;
            dims[axis] = length;
            Tensor::random(&dims, i as u64)
        };
        lengths.iter().enumerate().map(of_length).collect()
    }

    #[test]
    fn as_pytorch() {
        check_literals("elementwise.safetensors", "concat");
    }

    #[test]
    fn large_maps_as_index_by_index() {
        for (i, axis) in AXES.into_iter().enumerate() {
            let inputs = inputs_along(i, [4, 26, 26, 26], &[7, 1, 5]);
            let op = Concat { axis };
            let output = run_forward(&op, &inputs, &[], Run::default()).output.shape;
            check_large(&op, &inputs, &[], |at| naive(&inputs, i, &output, at));
        }
    }

    #[test]
    fn gradients() {
        for (i, axis) in AXES.into_iter().enumerate() {
            gradient_check(&Concat { axis }, &inputs_along(i, [2, 3, 2, 3], &[2, 1, 3]), &[], Run::default());
        }
        gradient_check(&Concat { axis: MapAxis::Channel }, &[Tensor::random(&[2, 3], 1)], &[], Run::default());
    }

    #[test]
    fn inputs_that_differ_elsewhere_are_errors() {
        let (channel, width) = (Concat { axis: MapAxis::Channel }, Concat { axis: MapAxis::Width });
        let huge: &[usize] = &[1 << 11, 1 << 11, 1 << 6, 1 << 6];
        check_refused(&[
            (&channel, &[], &[], "takes one input or more, but 0 are given"),
            (&channel, &[&[1, 2, 3, 4], &[1, 2, 3, 5]], &[], "1×2×3×4, as the first one but for the channel axis"),
            (&channel, &[&[1, 2, 1, 1], &[1, 2]], &[], "as the first one"),
            (&channel, &[&[1, 2, 3, 4], &[1, 0, 3, 4]], &[], "at least one element"),
            (&channel, &[&[2]], &[], "a shape with a channel axis"),
            (&width, &[&[2, 3], &[2, 3]], &[], "a shape with a width axis"),
            (&channel, &[huge, huge], &[], "too large"),
            (&channel, &[&[1, 2, 3, 4]], &[&[1]], "takes none"),
        ]);
    }
}
