//! Means and sums over axes.

use serde::{Deserialize, Serialize};

use super::lanes::{add_channel_sums, rows_per_task};
use super::layout::{MAX_RANK, axis_index, axis_name, expect_one_input, gather, memory_order, shape_of, strides};
use super::{Backward, Forward, Keeps, Kernel, MapAxis, OpError, Operator};
use crate::base::parallel::for_each_chunk_mut;
use crate::base::tensor::{Scalar, Shape};

/// Reduces `axes`, each once and in any order, of maps (or batch and channels of a tensor of a rank up to six).
///
/// If `keep`, they stay with length 1. Otherwise they vanish and the others close up in logical order (batch, channels,
/// height, width): without height and width, maps become `[batch, channels]`; without channels, `[batch, height, width]`
/// in row-major memory; without all three, `[batch]`. The batch may be reduced only if kept, for every tensor has one.
/// No parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reduce {
    pub kind: ReduceKind,
    pub axes: Vec<MapAxis>,
    pub keep: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReduceKind {
    Mean,
    Sum,
}

impl Operator for Reduce {
    fn output_shape(&self, inputs: &[&Shape], params: &[&[usize]]) -> Result<Shape, OpError> {
        let input = expect_one_input(inputs, params)?;
        let wrong = |reason: String| Err(OpError::Attribute { name: "axes", reason });
        if self.axes.is_empty() {
            return wrong("there are none".into());
        }
        let mut reduced = [false; MAX_RANK];
        for &axis in &self.axes {
            let index = axis_index(axis, input)?;
            if std::mem::replace(&mut reduced[index], true) {
                return wrong(format!("{} is named twice", axis_name(axis)));
            }
        }
        if reduced[0] && !self.keep {
            return wrong("the batch can only be reduced if it is kept".into());
        }
        let dims = input.dims().iter().zip(reduced);
        let dims: Vec<usize> = if self.keep {
            dims.map(|(&dim, reduced)| if reduced { 1 } else { dim }).collect()
        } else {
            dims.filter(|&(_, reduced)| !reduced).map(|(&dim, _)| dim).collect()
        };
        shape_of(&dims)
    }

    fn keeps(&self, _inputs: &[&Shape]) -> Keeps {
        Keeps::NOTHING
    }
}

/// What the kernels need to know, by the input's logical axes.
struct Plan {
    rank: usize,
    reduced: [bool; MAX_RANK],
    dims: [usize; MAX_RANK],
    /// In memory: of the input, and of the output (0 along a reduced axis).
    input_strides: [usize; MAX_RANK],
    output_strides: [usize; MAX_RANK],
    /// Input elements an output element.
    count: usize,
}

impl Reduce {
    fn plan(&self, input: &Shape, output: &Shape) -> Plan {
        let rank = input.rank();
        let (mut reduced, mut dims) = ([false; MAX_RANK], [1; MAX_RANK]);
        dims[..rank].copy_from_slice(input.dims());
        for &axis in &self.axes {
            reduced[axis_index(axis, input).expect("output_shape has checked the axes")] = true;
        }
        let of_output = strides(output);
        let mut output_strides = [0; MAX_RANK];
        let mut place = 0;
        for axis in 0..rank {
            if !reduced[axis] {
                output_strides[axis] = of_output[place];
            }
            place += usize::from(self.keep || !reduced[axis]);
        }
        let count = input.len() / output.len();
        Plan { rank, reduced, dims, input_strides: strides(input), output_strides, count }
    }

    fn factor<F: Scalar>(&self, plan: &Plan) -> F {
        match self.kind {
            ReduceKind::Mean => F::of(1.0 / plan.count as f64),
            ReduceKind::Sum => F::one(),
        }
    }
}

impl Plan {
    /// Whether exactly height and width are reduced, so that the output is a value a channel.
    fn is_over_pixels(&self) -> bool {
        self.rank == 4 && self.reduced[..4] == [false, false, true, true]
    }

    /// How far element `index` of those that are summed lies from the first one.
    fn summand_offset(&self, mut index: usize) -> usize {
        let mut offset = 0;
        for axis in (0..self.rank).rev().filter(|&axis| self.reduced[axis]) {
            offset += index % self.dims[axis] * self.input_strides[axis];
            index /= self.dims[axis];
        }
        offset
    }

    /// The input offset of the first element that output element `at` sums.
    fn start(&self, at: usize) -> usize {
        (0..self.rank)
            .filter(|&axis| !self.reduced[axis])
            .map(|axis| at / self.output_strides[axis] % self.dims[axis] * self.input_strides[axis])
            .sum()
    }
}

impl<F: Scalar> Kernel<F> for Reduce {
    fn forward(&self, args: Forward<'_, F>) {
        let (input, output) = (args.inputs[0], args.output);
        let plan = self.plan(input.shape, output.shape);
        let factor: F = self.factor(&plan);
        if plan.is_over_pixels() {
            output.data.fill(F::zero());
            let images = input.data.chunks_exact(plan.count * plan.dims[1]);
            for (sums, image) in output.data.chunks_exact_mut(plan.dims[1]).zip(images) {
                add_channel_sums(plan.count, sums, |sums, _, at| {
                    sums.iter_mut().zip(&image[at..]).for_each(|(sum, &x)| *sum += x);
                });
            }
            output.data.iter_mut().for_each(|sum| *sum *= factor);
            return;
        }
        let task = rows_per_task(plan.count);
        for_each_chunk_mut(output.data, task, |i, output| {
            for (at, output) in (i * task..).zip(output) {
                let start = plan.start(at);
                let sum: f64 = (0..plan.count).map(|k| input.data[start + plan.summand_offset(k)].to_f64()).sum();
                *output = F::of(sum) * factor;
            }
        });
    }

    fn backward(&self, args: Backward<'_, F>) {
        let Some(d_input) = args.d_inputs[0].as_deref_mut() else { return };
        let plan = self.plan(args.inputs[0].shape, args.output.shape);
        let factor: F = self.factor(&plan);
        let (mut dims, mut strides) = ([1; MAX_RANK], [0; MAX_RANK]);
        for (place, &axis) in memory_order(plan.rank)[..plan.rank].iter().enumerate() {
            (dims[place], strides[place]) = (plan.dims[axis], plan.output_strides[axis]);
        }
        gather(&dims[..plan.rank], &strides[..plan.rank], args.d_output, d_input, |d, g| *d += factor * g);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Run;
    use super::super::check::{Tensor, assert_close, check_literals, gradient_check, run_forward};
    use super::super::layout::testing::{check_large, check_refused, index_of, offset_of};
    use super::*;

    const AXES: [MapAxis; 4] = [MapAxis::Batch, MapAxis::Channel, MapAxis::Height, MapAxis::Width];

    /// Every set of axes, kept and, without the batch, dropped.
    fn all() -> Vec<Reduce> {
        let mut all = Vec::new();
        for set in 1..16u32 {
            let axes: Vec<MapAxis> = (0..4).filter(|i| set >> i & 1 == 1).map(|i| AXES[i]).collect();
            let kind = if set % 3 == 0 { ReduceKind::Sum } else { ReduceKind::Mean };
            all.push(Reduce { kind, axes: axes.clone(), keep: true });
            if !axes.contains(&MapAxis::Batch) {
                all.push(Reduce { kind, axes, keep: false });
            }
        }
        all
    }

    /// Sums by going through the whole input and asking of each element where it belongs.
    fn naive(op: &Reduce, x: &Tensor<f64>, output: &Shape) -> Vec<f64> {
        let mut sums = vec![0.0; output.len()];
        for (at, &value) in x.data.iter().enumerate() {
            let index = index_of(&x.shape, at).into_iter().zip(AXES);
            let index: Vec<usize> = if op.keep {
                index.map(|(i, axis)| if op.axes.contains(&axis) { 0 } else { i }).collect()
            } else {
                index.filter(|(_, axis)| !op.axes.contains(axis)).map(|(i, _)| i).collect()
            };
            sums[offset_of(output, &index)] += value;
        }
        let count = if op.kind == ReduceKind::Mean { x.data.len() / sums.len() } else { 1 };
        sums.iter().map(|sum| sum / count as f64).collect()
    }

    #[test]
    fn as_pytorch() {
        check_literals("elementwise.safetensors", "reduce");
    }

    #[test]
    fn large_maps_as_element_by_element() {
        for op in all() {
            let x = Tensor::<f64>::random(&[3, 33, 20, 21], 1);
            let output = run_forward(&op, std::slice::from_ref(&x), &[], Run::default()).output.shape;
            let expected = naive(&op, &x, &output);
            check_large(&op, std::slice::from_ref(&x), &[], |at| expected[at]);
        }
    }

    #[test]
    fn gradients() {
        for op in all() {
            gradient_check(&op, &[Tensor::random(&[2, 3, 2, 4], 2)], &[], Run::default());
        }
    }

    #[test]
    fn a_mean_of_many_pixels_is_exact_in_f32() {
        let op = Reduce { kind: ReduceKind::Mean, axes: vec![MapAxis::Height, MapAxis::Width], keep: false };
        let x = Tensor::filled(&[1, 3, 1000, 1000], 0.1f32);
        let y = run_forward(&op, &[x], &[], Run::default()).output.data;
        assert_close("means", &y, &[0.1; 3], 1e-5, 0.0);
    }

    #[test]
    fn wrong_axes_are_errors() {
        let of = |axes: &[MapAxis], keep| Reduce { kind: ReduceKind::Sum, axes: axes.to_vec(), keep };
        let shape: &[usize] = &[2, 3, 4, 5];
        check_refused(&[
            (&of(&[], true), &[shape], &[], "`axes`: there are none"),
            (&of(&[MapAxis::Width, MapAxis::Width], true), &[shape], &[], "width is named twice"),
            (&of(&[MapAxis::Batch], false), &[shape], &[], "the batch can only be reduced if it is kept"),
            (&of(&[MapAxis::Height], true), &[&[2, 3]], &[], "a shape with a height axis"),
            (&of(&[MapAxis::Channel], true), &[&[2]], &[], "a shape with a channel axis"),
            (&of(&[MapAxis::Channel], true), &[&[1; 7]], &[], "a shape with a channel axis"),
            (&of(&[MapAxis::Channel], true), &[shape, shape], &[], "takes one input"),
        ]);
    }
}
