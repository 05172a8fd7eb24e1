//! A range of one axis. A split is several slices.

use serde::{Deserialize, Serialize};

use super::lanes::rows_per_task;
use super::layout::{around, axis_index, expect_one_input, shape_of};
use super::{Backward, Forward, Keeps, Kernel, MapAxis, OpError, Operator};
use crate::base::parallel::for_each_chunk_mut;
use crate::base::tensor::{Scalar, Shape};

/// `start..end` along `axis`, not empty. The input is maps, a vector, or a tensor of a rank up to six along batch or
/// channels. No parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Slice {
    pub axis: MapAxis,
    pub start: usize,
    pub end: usize,
}

impl Operator for Slice {
    fn output_shape(&self, inputs: &[&Shape], params: &[&[usize]]) -> Result<Shape, OpError> {
        let input = expect_one_input(inputs, params)?;
        let axis = axis_index(self.axis, input)?;
        let mut dims = input.dims().to_vec();
        let (start, end, length) = (self.start, self.end, dims[axis]);
        if start >= end {
            return Err(OpError::Attribute { name: "end", reason: format!("{end} is not above start, {start}") });
        }
        if end > length {
            let reason = format!("{end} is past the end of an axis of length {length}");
            return Err(OpError::Attribute { name: "end", reason });
        }
        dims[axis] = end - start;
        shape_of(&dims)
    }

    fn keeps(&self, _inputs: &[&Shape]) -> Keeps {
        Keeps::NOTHING
    }
}

/// The slice in memory: rows of `whole` elements, of which `from..from + len` are taken.
struct Columns {
    whole: usize,
    from: usize,
    len: usize,
}

impl Slice {
    fn columns(&self, input: &Shape) -> Columns {
        let axis = axis_index(self.axis, input).expect("output_shape has checked the axis");
        let [_, along, inner] = around(input, axis);
        Columns { whole: along * inner, from: self.start * inner, len: (self.end - self.start) * inner }
    }
}

impl<F: Scalar> Kernel<F> for Slice {
    fn forward(&self, args: Forward<'_, F>) {
        let Columns { whole, from, len } = self.columns(args.inputs[0].shape);
        let rows_per_task = rows_per_task(len);
        for_each_chunk_mut(args.output.data, rows_per_task * len, |task, rows| {
            let input = args.inputs[0].data[task * rows_per_task * whole..].chunks_exact(whole);
            for (row, input) in rows.chunks_exact_mut(len).zip(input) {
                row.copy_from_slice(&input[from..from + len]);
            }
        });
    }

    fn backward(&self, args: Backward<'_, F>) {
        let Some(d_input) = args.d_inputs[0].as_deref_mut() else { return };
        let Columns { whole, from, len } = self.columns(args.inputs[0].shape);
        let rows_per_task = rows_per_task(whole);
        for_each_chunk_mut(d_input, rows_per_task * whole, |task, rows| {
            let d_output = args.d_output[task * rows_per_task * len..].chunks_exact(len);
            for (row, d_output) in rows.chunks_exact_mut(whole).zip(d_output) {
                row[from..from + len].iter_mut().zip(d_output).for_each(|(d, &g)| *d += g);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::Run;
    use super::super::check::{Tensor, check_literals, gradient_check, run_forward};
    use super::super::layout::testing::{check_large, check_refused, index_of, offset_of};
    use super::*;

    const AXES: [MapAxis; 4] = [MapAxis::Batch, MapAxis::Channel, MapAxis::Height, MapAxis::Width];

    #[test]
    fn as_pytorch() {
        check_literals("elementwise.safetensors", "slice");
    }

    #[test]
    fn large_maps_as_index_by_index() {
        for (i, axis) in AXES.into_iter().enumerate() {
            let x = Tensor::<f64>::random(&[13, 14, 15, 16], 1);
            let op = Slice { axis, start: 3, end: 11 };
            let output = run_forward(&op, std::slice::from_ref(&x), &[], Run::default()).output.shape;
            check_large(&op, std::slice::from_ref(&x), &[], |at| {
                let mut index = index_of(&output, at);
                index[i] += 3;
                x.data[offset_of(&x.shape, &index)]
            });
        }
    }

    #[test]
    fn gradients() {
        for axis in AXES {
            let op = Slice { axis, start: 1, end: 3 };
            gradient_check(&op, &[Tensor::random(&[3, 4, 3, 5], 2)], &[], Run::default());
        }
    }

    #[test]
    fn wrong_ranges_are_errors() {
        let of = |axis, start, end| Slice { axis, start, end };
        let shape: &[usize] = &[1, 4, 5, 6];
        check_refused(&[
            (&of(MapAxis::Channel, 0, 5), &[shape], &[], "`end`: 5 is past the end of an axis of length 4"),
            (&of(MapAxis::Channel, 2, 2), &[shape], &[], "`end`: 2 is not above start, 2"),
            (&of(MapAxis::Channel, usize::MAX, 2), &[shape], &[], "is not above start"),
            (&of(MapAxis::Channel, 0, usize::MAX), &[shape], &[], "past the end"),
            (&of(MapAxis::Height, 0, 1), &[&[1, 4]], &[], "a shape with a height axis"),
            (&of(MapAxis::Height, 0, 1), &[&[1, 4, 5]], &[], "a shape with a height axis"),
            (&of(MapAxis::Channel, 0, 1), &[shape, shape], &[], "takes one input"),
        ]);
    }
}
