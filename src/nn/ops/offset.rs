//! MatConvNet's norm-dependent offset (`vl_nnnoffset`).

use serde::{Deserialize, Serialize};

use super::lanes::{dot, rows_per_task};
use super::{Backward, Forward, Keeps, Kernel, OpError, Operator, expect_inputs, expect_maps};
use crate::base::parallel;
use crate::base::tensor::{Scalar, Shape};

/// y = x − alpha · L^beta with L = Σ over channels of x² at the pixel, but no less than [`MIN_ENERGY`].
///
/// (Below the bound L does not depend on x, and the gradient says so; MatConvNet's goes on as if it did.)
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Offset {
    pub alpha: f32,
    pub beta: f32,
}

/// MatConvNet's lower bound of L, which keeps negative powers finite.
pub const MIN_ENERGY: f64 = 1e-8;

impl Operator for Offset {
    fn output_shape(&self, inputs: &[&Shape], params: &[&[usize]]) -> Result<Shape, OpError> {
        let [input] = expect_inputs(inputs, "1 input")?;
        expect_maps(input)?;
        if !params.is_empty() {
            return Err(OpError::Params { expected: "none", got: params.len() });
        }
        for (name, value) in [("alpha", self.alpha), ("beta", self.beta)] {
            if !value.is_finite() {
                return Err(OpError::Attribute { name, reason: format!("{value} is not a finite number") });
            }
        }
        Ok((*input).clone())
    }

    fn keeps(&self, _inputs: &[&Shape]) -> Keeps {
        Keeps::INPUTS
    }
}

impl<F: Scalar> Kernel<F> for Offset {
    fn forward(&self, args: Forward<'_, F>) {
        let channels = args.output.shape.dims()[1];
        let (alpha, beta) = (F::of(f64::from(self.alpha)), F::of(f64::from(self.beta)));
        let task_len = rows_per_task(channels) * channels;
        let input = args.inputs[0].data;
        parallel::for_each_chunk_mut(args.output.data, task_len, |task, output| {
            let pixels = input[task * task_len..].chunks_exact(channels);
            for (x, y) in pixels.zip(output.chunks_exact_mut(channels)) {
                let offset = alpha * dot(x, x).max(F::of(MIN_ENERGY)).powf(beta);
                y.iter_mut().zip(x).for_each(|(y, x)| *y = *x - offset);
            }
        });
    }

    /// dx = dy − 2 · alpha · beta · L^(beta − 1) · (Σ dy) · x.
    fn backward(&self, args: Backward<'_, F>) {
        let Some(d_input) = &mut args.d_inputs[0] else { return };
        let channels = args.inputs[0].shape.dims()[1];
        let (alpha, beta) = (F::of(f64::from(self.alpha)), F::of(f64::from(self.beta)));
        let task_len = rows_per_task(channels) * channels;
        let (input, d_output) = (args.inputs[0].data, args.d_output);
        parallel::for_each_chunk_mut(d_input, task_len, |task, d_input| {
            let from = input[task * task_len..].chunks_exact(channels);
            let pixels = from.zip(d_output[task * task_len..].chunks_exact(channels));
            for ((x, dy), dx) in pixels.zip(d_input.chunks_exact_mut(channels)) {
                let energy = dot(x, x);
                let mut factor = F::zero();
                if energy > F::of(MIN_ENERGY) {
                    let total: F = dy.iter().copied().sum();
                    factor = F::of(2.0) * alpha * beta * energy.powf(beta - F::one()) * total;
                }
                for ((dx, dy), x) in dx.iter_mut().zip(dy).zip(x) {
                    *dx += *dy - factor * *x;
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::ops::Run;
    use crate::nn::ops::check::{Tensor, assert_close, check_literals, gradient_check, maps_from_fn, run_forward};

    const OP: Offset = Offset { alpha: 0.34, beta: 0.7 };

    #[test]
    fn it_agrees_with_the_definition() {
        for channels in [1, 5, 16, 35] {
            let input = Tensor::<f64>::random(&[2, channels, 3, 4], 1);
            let expected = maps_from_fn(input.maps(), |n, c, y, x| {
                let energy: f64 = (0..channels).map(|c| input.at(n, c, y, x).powi(2)).sum();
                input.at(n, c, y, x) - f64::from(OP.alpha) * energy.powf(f64::from(OP.beta))
            });
            let got = run_forward(&OP, &[input], &[], Run::default());
            assert_close("output", &got.output.data, &expected.data, 1e-12, 1e-12);
        }
    }

    #[test]
    fn nought_stays_finite() {
        let op = Offset { alpha: 1.0, beta: -0.5 };
        let got = run_forward(&op, &[Tensor::<f64>::filled(&[1, 2, 1, 1], 0.0)], &[], Run::default());
        assert_close("output", &got.output.data, &[-1e4, -1e4], 1e-12, 0.0);
    }

    #[test]
    fn gradients() {
        for beta in [0.7, 0.5, 1.0, -0.5] {
            let op = Offset { alpha: 0.34, beta };
            gradient_check(&op, &[Tensor::random_between(&[2, 5, 2, 3], 2, 0.2, 1.0)], &[], Run::default());
        }
        // Below the bound the offset is constant.
        gradient_check(&OP, &[Tensor::random_between(&[1, 3, 1, 2], 2, 0.0, 1e-5)], &[], Run::default());
    }

    #[test]
    fn literals() {
        check_literals("spatial.safetensors", "offset");
    }

    #[test]
    fn wrong_attributes_are_refused() {
        let maps = Shape::maps(1, 3, 4, 4);
        assert_eq!(OP.output_shape(&[&maps], &[]), Ok(maps.clone()));
        let wrong = Offset { alpha: f32::NAN, ..OP };
        assert!(matches!(wrong.output_shape(&[&maps], &[]), Err(OpError::Attribute { name: "alpha", .. })));
        let wrong = Offset { beta: f32::INFINITY, ..OP };
        assert!(matches!(wrong.output_shape(&[&maps], &[]), Err(OpError::Attribute { name: "beta", .. })));
        assert!(matches!(OP.output_shape(&[], &[]), Err(OpError::Inputs { got: 0, .. })));
        assert!(matches!(OP.output_shape(&[&maps], &[&[3]]), Err(OpError::Params { got: 1, .. })));
    }
}
