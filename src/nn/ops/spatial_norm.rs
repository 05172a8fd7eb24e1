//! Normalization by the energy of a window of pixels: MatConvNet's spatial normalization (`vl_nnspnorm`), and what
//! local response normalization within channels shares with it.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::lanes::{raise, rows_per_task, with_scratch};
use super::lrn::expect_constants;
use super::{Backward, Forward, Keeps, Kernel, OpError, Operator, expect_inputs, expect_maps};
use crate::base::parallel;
use crate::base::tensor::{Scalar, Shape};

/// y = x / (1 + alpha · mean of x² over the window around the pixel, channel by channel)^beta.
///
/// The mean is over the pixels inside the input. Of an even window the larger part lies below and right, as in
/// MatConvNet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SpatialNorm {
    /// `[height, width]` in pixels.
    pub window: [usize; 2],
    pub alpha: f32,
    pub beta: f32,
}

impl SpatialNorm {
    fn norm(&self) -> WindowNorm {
        WindowNorm {
            window: self.window,
            before: self.window.map(|len| (len - 1) / 2),
            mean: true,
            bias: 1.0,
            alpha: self.alpha,
            beta: self.beta,
        }
    }
}

impl Operator for SpatialNorm {
    fn output_shape(&self, inputs: &[&Shape], params: &[&[usize]]) -> Result<Shape, OpError> {
        let [input] = expect_inputs(inputs, "1 input")?;
        expect_maps(input)?;
        if !params.is_empty() {
            return Err(OpError::Params { expected: "none", got: params.len() });
        }
        if self.window.contains(&0) {
            let reason = format!("{}×{} pixels are none", self.window[0], self.window[1]);
            return Err(OpError::Attribute { name: "window", reason });
        }
        expect_constants(self.alpha, self.beta, 1.0)?;
        Ok((*input).clone())
    }

    fn keeps(&self, inputs: &[&Shape]) -> Keeps {
        WindowNorm::keeps(inputs)
    }
}

impl<F: Scalar> Kernel<F> for SpatialNorm {
    fn forward(&self, args: Forward<'_, F>) {
        self.norm().forward(args);
    }

    fn backward(&self, args: Backward<'_, F>) {
        self.norm().backward(args);
    }
}

/// y = x · s^−beta with s = bias + alpha · (sum or mean of x² over a window of pixels, channel by channel).
pub(super) struct WindowNorm {
    /// `[height, width]` in pixels.
    pub window: [usize; 2],
    /// How much of the window lies above and left of the pixel.
    pub before: [usize; 2],
    /// Divide by the pixels of the window inside the input.
    pub mean: bool,
    pub bias: f32,
    pub alpha: f32,
    pub beta: f32,
}

impl WindowNorm {
    /// Input, output, and the bases s, in room enough for `f64`.
    pub fn keeps(inputs: &[&Shape]) -> Keeps {
        let elements = inputs.first().map_or(0, |input| input.len());
        Keeps { inputs: true, output: true, saved_bytes: elements * size_of::<f64>() }
    }

    /// The pixels of an axis of `len` that pixel `at` sees.
    fn seen_by(&self, axis: usize, at: usize, len: usize) -> Range<usize> {
        let after = self.window[axis] - 1 - self.before[axis];
        at.saturating_sub(self.before[axis])..at.saturating_add(after).saturating_add(1).min(len)
    }

    /// The pixels of an axis of `len` that see pixel `at`.
    fn seeing(&self, axis: usize, at: usize, len: usize) -> Range<usize> {
        let after = self.window[axis] - 1 - self.before[axis];
        at.saturating_sub(after)..at.saturating_add(self.before[axis]).saturating_add(1).min(len)
    }

    /// alpha, or alpha divided by the pixels that a pixel sees.
    fn weight<F: Scalar>(&self, [y, x]: [usize; 2], [height, width]: [usize; 2]) -> F {
        let count = if self.mean { self.seen_by(0, y, height).len() * self.seen_by(1, x, width).len() } else { 1 };
        F::of(f64::from(self.alpha) / count as f64)
    }

    pub fn forward<F: Scalar>(&self, args: Forward<'_, F>) {
        let [_, channels, height, width] = args.inputs[0].shape.as_maps().expect("output_shape has checked the input");
        let (input, output) = (args.inputs[0].data, args.output.data);
        let bases: &mut [F] = bytemuck::cast_slice_mut(&mut args.saved[..size_of_val(input)]);
        let row_len = width * channels;
        let rows_a_task = rows_per_task(row_len);
        parallel::for_each_chunk_pair_mut(output, bases, rows_a_task * row_len, |task, output, bases| {
            let rows = output.chunks_exact_mut(row_len).zip(bases.chunks_exact_mut(row_len));
            for (row, (output, bases)) in (task * rows_a_task..).zip(rows) {
                let (image, y) = (row / height, row % height);
                let maps = &input[image * height * row_len..][..height * row_len];
                for (x, base) in bases.chunks_exact_mut(channels).enumerate() {
                    base.fill(F::zero());
                    for row in self.seen_by(0, y, height) {
                        for column in self.seen_by(1, x, width) {
                            let pixel = &maps[row * row_len + column * channels..][..channels];
                            base.iter_mut().zip(pixel).for_each(|(sum, x)| *sum += *x * *x);
                        }
                    }
                    let (bias, weight) = (F::of(f64::from(self.bias)), self.weight::<F>([y, x], [height, width]));
                    base.iter_mut().for_each(|sum| *sum = bias + weight * *sum);
                }
                output.copy_from_slice(bases);
                raise(output, -self.beta);
                output.iter_mut().zip(&maps[y * row_len..]).for_each(|(y, x)| *y *= *x);
            }
        });
    }

    /// dx = dy · s^−beta − 2 · beta · x · Σ weight · dy · y / s, over the pixels that see x.
    pub fn backward<F: Scalar>(&self, args: Backward<'_, F>) {
        let Some(d_input) = &mut args.d_inputs[0] else { return };
        let [_, channels, height, width] = args.inputs[0].shape.as_maps().expect("output_shape has checked the input");
        let (input, output, d_output) = (args.inputs[0].data, args.output.data, args.d_output);
        let bases: &[F] = bytemuck::cast_slice(&args.saved[..size_of_val(input)]);
        let row_len = width * channels;
        let rows_a_task = rows_per_task(row_len);
        let factor = F::of(-2.0 * f64::from(self.beta));
        parallel::for_each_chunk_mut(d_input, rows_a_task * row_len, |task, d_input| {
            with_scratch(2 * channels, |scratch| {
                let (sums, powers) = scratch.split_at_mut(channels);
                for (row, d_input) in (task * rows_a_task..).zip(d_input.chunks_exact_mut(row_len)) {
                    let (image, y) = (row / height, row % height);
                    for (x, dx) in d_input.chunks_exact_mut(channels).enumerate() {
                        sums.fill(F::zero());
                        for row in self.seeing(0, y, height) {
                            for column in self.seeing(1, x, width) {
                                let weight: F = self.weight([row, column], [height, width]);
                                let at = ((image * height + row) * width + column) * channels;
                                let seen = output[at..].iter().zip(&d_output[at..]).zip(&bases[at..]);
                                for (sum, ((y, dy), base)) in sums.iter_mut().zip(seen) {
                                    *sum += weight * *dy * *y / *base;
                                }
                            }
                        }
                        let at = (row * width + x) * channels;
                        powers.copy_from_slice(&bases[at..][..channels]);
                        raise(powers, -self.beta);
                        let own = input[at..].iter().zip(&d_output[at..]).zip(powers.iter().zip(sums.iter()));
                        for (dx, ((x, dy), (power, sum))) in dx.iter_mut().zip(own) {
                            *dx += *dy * *power + factor * *x * *sum;
                        }
                    }
                }
            });
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::ops::Run;
    use crate::nn::ops::check::{Tensor, assert_close, check_literals, gradient_check, maps_from_fn, run_forward};

    const WINDOWS: [[usize; 2]; 6] = [[1, 1], [2, 2], [3, 3], [2, 5], [4, 3], [100, 9]];

    /// By the definition, with the window's pixels counted one by one.
    fn naive(op: &SpatialNorm, input: &Tensor<f64>) -> Tensor<f64> {
        let [_, _, height, width] = input.maps();
        let seen = |at: usize, window: usize, len: usize| {
            let first = at as i64 - ((window - 1) / 2) as i64;
            (first..first + window as i64).filter(move |&i| i >= 0 && i < len as i64).map(|i| i as usize)
        };
        maps_from_fn(input.maps(), |n, c, y, x| {
            let columns = || seen(x, op.window[1], width);
            let squares: Vec<f64> = seen(y, op.window[0], height)
                .flat_map(|y| columns().map(move |x| (y, x)))
                .map(|(y, x)| input.at(n, c, y, x).powi(2))
                .collect();
            let mean = squares.iter().sum::<f64>() / squares.len() as f64;
            input.at(n, c, y, x) / (1.0 + f64::from(op.alpha) * mean).powf(f64::from(op.beta))
        })
    }

    #[test]
    fn all_windows_agree_with_the_definition() {
        for window in WINDOWS {
            for beta in [0.75, 0.4] {
                let op = SpatialNorm { window, alpha: 2.0, beta };
                let input = Tensor::random(&[2, 3, 6, 5], 1);
                let expected = naive(&op, &input);
                let got = run_forward(&op, &[input], &[], Run::default());
                assert_close(&format!("{op:?}"), &got.output.data, &expected.data, 1e-12, 1e-12);
            }
        }
    }

    #[test]
    fn gradients() {
        for window in WINDOWS {
            let op = SpatialNorm { window, alpha: 2.0, beta: 0.75 };
            gradient_check(&op, &[Tensor::random(&[2, 3, 4, 5], 2)], &[], Run::default());
        }
    }

    #[test]
    fn literals() {
        check_literals("spatial.safetensors", "spatial_norm");
    }

    #[test]
    fn wrong_attributes_are_refused() {
        let maps = Shape::maps(1, 3, 4, 4);
        let good = SpatialNorm { window: [2, 3], alpha: 1.0, beta: 0.5 };
        assert_eq!(good.output_shape(&[&maps], &[]), Ok(maps.clone()));
        let wrong = [
            ("window", SpatialNorm { window: [0, 3], ..good.clone() }),
            ("alpha", SpatialNorm { alpha: f32::NAN, ..good.clone() }),
            ("beta", SpatialNorm { beta: f32::NEG_INFINITY, ..good.clone() }),
        ];
        for (expected, op) in wrong {
            let result = op.output_shape(&[&maps], &[]);
            assert!(matches!(result, Err(OpError::Attribute { name, .. }) if name == expected), "{op:?}: {result:?}");
        }
        assert!(matches!(good.output_shape(&[&maps], &[&[1]]), Err(OpError::Params { got: 1, .. })));
    }
}
