//! Concatenation.

use serde::{Deserialize, Serialize};

use super::layout::{
    CHUNK, around, axis_index, checked_total, expect_elements, expect_no_params, expect_rank, shape_of,
};
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
        let rows_per_task = (CHUNK / row_len).max(1);
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
                let rows_per_task = (CHUNK / len).max(1);
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
