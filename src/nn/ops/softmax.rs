//! Softmax over channels and its logarithm, at every pixel of maps or of a vector.

use serde::{Deserialize, Serialize};

use super::lanes::rows_per_task;
use super::layout::expect_one_input;
use super::{Backward, Forward, Keeps, Kernel, OpError, Operator, expect_maps};
use crate::base::parallel::for_each_chunk_mut;
use crate::base::tensor::{Scalar, Shape};

/// No parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Softmax {}
/// No parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogSoftmax {}

fn channels_of(shape: &Shape) -> usize {
    shape.dims()[1]
}

/// Writes the softmax of one pixel's channels; returns the logarithm of the sum of exponentials.
///
/// The largest value is subtracted first, so that nothing overflows; sums are in `f64`.
pub(crate) fn softmax_of<F: Scalar>(x: &[F], y: &mut [F]) -> f64 {
    let max = max_of(x);
    let mut sum = 0.0;
    for (y, &x) in y.iter_mut().zip(x) {
        *y = (x - max).exp();
        sum += (*y).to_f64();
    }
    let factor = F::of(1.0 / sum);
    y.iter_mut().for_each(|y| *y *= factor);
    max.to_f64() + sum.ln()
}

fn max_of<F: Scalar>(x: &[F]) -> F {
    x.iter().fold(F::neg_infinity(), |max, &x| if x > max { x } else { max })
}

/// Runs `body(pixel's input, pixel's output)` for rows of `channels` elements of both.
fn for_each_pixel<F: Scalar, const N: usize>(
    inputs: [&[F]; N],
    output: &mut [F],
    channels: usize,
    body: impl Fn([&[F]; N], &mut [F]) + Sync + Send,
) {
    // An exponential is as much work as several plain elements.
    let task = rows_per_task(4 * channels) * channels;
    for_each_chunk_mut(output, task, |i, output| {
        for (j, output) in output.chunks_exact_mut(channels).enumerate() {
            let start = i * task + j * channels;
            body(inputs.map(|input| &input[start..start + channels]), output);
        }
    });
}

impl Operator for Softmax {
    fn output_shape(&self, inputs: &[&Shape], params: &[&[usize]]) -> Result<Shape, OpError> {
        let input = expect_one_input(inputs, params)?;
        expect_maps(input)?;
        Ok(input.clone())
    }

    fn keeps(&self, _inputs: &[&Shape]) -> Keeps {
        Keeps::OUTPUT
    }
}

impl<F: Scalar> Kernel<F> for Softmax {
    fn forward(&self, args: Forward<'_, F>) {
        let channels = channels_of(args.output.shape);
        for_each_pixel([args.inputs[0].data], args.output.data, channels, |[x], y| {
            softmax_of(x, y);
        });
    }

    /// d_x = y · (d_y − Σ y · d_y).
    fn backward(&self, args: Backward<'_, F>) {
        let Some(d_input) = args.d_inputs[0].as_deref_mut() else { return };
        let channels = channels_of(args.output.shape);
        for_each_pixel([args.output.data, args.d_output], d_input, channels, |[y, d_y], d_x| {
            let dot = F::of(y.iter().zip(d_y).map(|(&y, &g)| y.to_f64() * g.to_f64()).sum());
            d_x.iter_mut().zip(y.iter().zip(d_y)).for_each(|(d, (&y, &g))| *d += y * (g - dot));
        });
    }
}

impl Operator for LogSoftmax {
    fn output_shape(&self, inputs: &[&Shape], params: &[&[usize]]) -> Result<Shape, OpError> {
        Softmax {}.output_shape(inputs, params)
    }

    fn keeps(&self, _inputs: &[&Shape]) -> Keeps {
        Keeps::OUTPUT
    }
}

impl<F: Scalar> Kernel<F> for LogSoftmax {
    fn forward(&self, args: Forward<'_, F>) {
        let channels = channels_of(args.output.shape);
        for_each_pixel([args.inputs[0].data], args.output.data, channels, |[x], y| {
            let max = max_of(x);
            let sum: f64 = x.iter().map(|&x| (x - max).exp().to_f64()).sum();
            let log_sum = F::of(sum.ln());
            // Not x − (max + log_sum): that would round log_sum away beside a large max.
            y.iter_mut().zip(x).for_each(|(y, &x)| *y = (x - max) - log_sum);
        });
    }

    /// d_x = d_y − eʸ · Σ d_y.
    fn backward(&self, args: Backward<'_, F>) {
        let Some(d_input) = args.d_inputs[0].as_deref_mut() else { return };
        let channels = channels_of(args.output.shape);
        for_each_pixel([args.output.data, args.d_output], d_input, channels, |[y, d_y], d_x| {
            let sum = F::of(d_y.iter().map(|&g| g.to_f64()).sum());
            d_x.iter_mut().zip(y.iter().zip(d_y)).for_each(|(d, (&y, &g))| *d += g - y.exp() * sum);
        });
    }
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use super::super::Run;
    use super::super::check::{Tensor, assert_close, check_literals, gradient_check, run_forward};
    use super::super::layout::testing::{check_large, check_refused};
    use super::*;

    #[test]
    fn as_pytorch() {
        check_literals("elementwise.safetensors", "softmax");
    }

    #[test]
    fn large_maps_as_the_formula() {
        let x = Tensor::<f64>::random(&[2, 11, 30, 40], 1);
        let naive = |at: usize| {
            let pixel = &x.data[at / 11 * 11..][..11];
            x.data[at].exp() / pixel.iter().map(|x| x.exp()).sum::<f64>()
        };
        check_large(&Softmax {}, from_ref(&x), &[], naive);
        check_large(&LogSoftmax {}, from_ref(&x), &[], |at| naive(at).ln());
    }

    #[test]
    fn gradients() {
        for dims in [&[2, 4, 2, 3][..], &[3, 6], &[2, 1, 2, 2]] {
            let mut x = Tensor::random(dims, 2);
            x.data.iter_mut().for_each(|x| *x *= 3.0);
            gradient_check(&Softmax {}, &[x.clone()], &[], Run::default());
            gradient_check(&LogSoftmax {}, &[x], &[], Run::default());
        }
    }

    #[test]
    fn huge_scores_are_exact() {
        let x = Tensor::new(&[1, 3], vec![3e38f32, 3e38, -3e38]);
        let y = run_forward(&Softmax {}, from_ref(&x), &[], Run::default()).output.data;
        assert_close("softmax", &y, &[0.5, 0.5, 0.0], 0.0, 0.0);
        let x = Tensor::new(&[1, 2], vec![1e6f32, 1e6]);
        let y = run_forward(&LogSoftmax {}, &[x], &[], Run::default()).output.data;
        let half = -std::f32::consts::LN_2;
        assert_close("log-softmax", &y, &[half, half], 1e-7, 0.0);
    }

    #[test]
    fn wrong_shapes_are_errors() {
        check_refused(&[
            (&Softmax {}, &[&[2, 3, 4]], &[], "needs an input of batch × channels × height × width"),
            (&LogSoftmax {}, &[&[2]], &[], "needs an input of batch × channels × height × width"),
            (&Softmax {}, &[&[2, 0]], &[], "at least one element"),
            (&Softmax {}, &[], &[], "takes one input"),
            (&LogSoftmax {}, &[&[2, 3]], &[&[3]], "takes none"),
        ]);
    }
}
