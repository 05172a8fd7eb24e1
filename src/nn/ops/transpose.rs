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
