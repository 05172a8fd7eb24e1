//! A permutation of logical axes.

use serde::{Deserialize, Serialize};

use super::layout::{MAX_RANK, expect_one_input, expect_rank, gather, memory_order, shape_of, strides};
use super::{Backward, Forward, Keeps, Kernel, OpError, Operator};
use crate::base::tensor::{Scalar, Shape};

/// Output axis `i` is input axis `axes[i]`; the batch stays first. Up to six axes; no parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Transpose {
    pub axes: Vec<usize>,
}

impl Operator for Transpose {
    fn output_shape(&self, inputs: &[&Shape], params: &[&[usize]]) -> Result<Shape, OpError> {
        let input = expect_one_input(inputs, params)?;
        expect_rank(input)?;
        let wrong = |reason: String| Err(OpError::Attribute { name: "axes", reason });
        if self.axes.len() != input.rank() {
            return wrong(format!("{:?} has not as many axes as an input of {input}", self.axes));
        }
        if (0..input.rank()).any(|axis| !self.axes.contains(&axis)) {
            return wrong(format!("{:?} has not every axis once", self.axes));
        }
        if self.axes[0] != 0 {
            return wrong(format!("{:?} moves the batch, which must stay first", self.axes));
        }
        let dims: Vec<usize> = self.axes.iter().map(|&axis| input.dims()[axis]).collect();
        shape_of(&dims)
    }

    fn keeps(&self, _inputs: &[&Shape]) -> Keeps {
        Keeps::NOTHING
    }
}

/// `combine(to, from)` where logical axis `i` of `to` is axis `axes[i]` of `from`.
fn permute<F: Scalar>(
    axes: &[usize],
    (from_shape, from): (&Shape, &[F]),
    (to_shape, to): (&Shape, &mut [F]),
    combine: impl Fn(&mut F, F) + Sync + Send,
) {
    let from_strides = strides(from_shape);
    let rank = axes.len();
    let (mut dims, mut steps) = ([1; MAX_RANK], [0; MAX_RANK]);
    for (place, &axis) in memory_order(rank)[..rank].iter().enumerate() {
        dims[place] = to_shape.dims()[axis];
        steps[place] = from_strides[axes[axis]];
    }
    gather(&dims[..rank], &steps[..rank], from, to, combine);
}

impl<F: Scalar> Kernel<F> for Transpose {
    fn forward(&self, args: Forward<'_, F>) {
        let (from, to) = (args.inputs[0], args.output);
        permute(&self.axes, (from.shape, from.data), (to.shape, to.data), |to, from| *to = from);
    }

    fn backward(&self, args: Backward<'_, F>) {
        let Some(d_input) = args.d_inputs[0].as_deref_mut() else { return };
        let mut inverse = [0; MAX_RANK];
        for (i, &axis) in self.axes.iter().enumerate() {
            inverse[axis] = i;
        }
        let inverse = &inverse[..self.axes.len()];
        let (from, to) = ((args.output.shape, args.d_output), (args.inputs[0].shape, d_input));
        permute(inverse, from, to, |to, from| *to += from);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Run;
    use super::super::check::{Tensor, check_literals, gradient_check, run_forward};
    use super::super::layout::testing::{check_large, check_refused, index_of, offset_of};
    use super::*;

    fn transpose(axes: &[usize]) -> Transpose {
        Transpose { axes: axes.to_vec() }
    }

    #[test]
    fn as_pytorch() {
        check_literals("elementwise.safetensors", "transpose");
    }

    #[test]
    fn large_tensors_as_index_by_index() {
        let cases: &[(&[usize], &[usize])] = &[
            (&[0, 1], &[200, 90]),
            (&[0, 2, 1], &[5, 70, 60]),
            (&[0, 1, 2, 3], &[2, 20, 21, 22]),
            (&[0, 2, 3, 1], &[2, 20, 21, 22]),
            (&[0, 3, 1, 2], &[2, 20, 21, 22]),
            (&[0, 1, 3, 2], &[2, 20, 21, 22]),
            (&[0, 2, 1, 3, 4], &[2, 4, 9, 16, 15]),
            (&[0, 5, 4, 3, 2, 1], &[2, 5, 6, 7, 8, 9]),
        ];
        for (axes, dims) in cases {
            let x = Tensor::<f64>::random(dims, 1);
            let op = transpose(axes);
            let output = run_forward(&op, std::slice::from_ref(&x), &[], Run::default()).output.shape;
            check_large(&op, std::slice::from_ref(&x), &[], |at| {
                let mut index = vec![0; axes.len()];
                index_of(&output, at).iter().zip(*axes).for_each(|(&i, &axis)| index[axis] = i);
                x.data[offset_of(&x.shape, &index)]
            });
        }
    }

    #[test]
    fn gradients() {
        for axes in [&[0, 2, 3, 1][..], &[0, 2, 1, 3], &[0, 2, 1], &[0, 4, 2, 1, 3]] {
            let x = Tensor::random(&[2, 3, 2, 4, 3][..axes.len()], 2);
            gradient_check(&transpose(axes), &[x], &[], Run::default());
        }
    }

    #[test]
    fn wrong_axes_are_errors() {
        let shape: &[usize] = &[2, 3, 4];
        check_refused(&[
            (&transpose(&[0, 1]), &[shape], &[], "[0, 1] has not as many axes as an input of 2×3×4"),
            (&transpose(&[0, 1, 1]), &[shape], &[], "[0, 1, 1] has not every axis once"),
            (&transpose(&[0, 1, 3]), &[shape], &[], "has not every axis once"),
            (&transpose(&[1, 0, 2]), &[shape], &[], "moves the batch"),
            (&transpose(&[]), &[&[]], &[], "1 to 6 dimensions"),
            (&transpose(&[0, 1, 2, 3, 4, 5, 6]), &[&[1; 7]], &[], "1 to 6 dimensions"),
            (&transpose(&[0, 1, 2]), &[shape], &[shape], "takes none"),
        ]);
    }
}
