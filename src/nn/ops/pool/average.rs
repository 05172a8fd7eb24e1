//! Average pooling.

use serde::{Deserialize, Serialize};

use super::{Geometry, windowed_shape};
use crate::base::parallel;
use crate::base::tensor::{Scalar, Shape};
use crate::nn::ops::lanes::{LANES, for_active_level, load, load_mut, rows_per_task};
use crate::nn::ops::window::{Axis, Window};
use crate::nn::ops::{Backward, Forward, Keeps, Kernel, OpError, Operator};

/// The mean of each window; pixels outside the input count as nought.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AveragePool {
    #[serde(flatten)]
    pub window: Window,
    pub divisor: Divisor,
}

/// By what the sum of a window is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Divisor {
    /// The pixels of the window inside the input (PyTorch `count_include_pad=False`, TensorFlow, MatConvNet).
    Inside,
    /// The pixels of the window inside the padded input (Caffe, PyTorch's default).
    Padded,
    /// The whole window, always.
    Window,
}

impl Divisor {
    /// The factor of one axis; the divisor of a window is the product of both.
    #[inline(always)]
    fn along(self, axis: &Axis, o: usize) -> usize {
        match self {
            Self::Inside => axis.taps(o).len(),
            Self::Padded => {
                let padded = axis.pad_before + axis.input + axis.pad_after;
                (padded - o * axis.stride).div_ceil(axis.dilation).min(axis.kernel)
            }
            Self::Window => axis.kernel,
        }
    }
}

impl Operator for AveragePool {
    fn output_shape(&self, inputs: &[&Shape], params: &[&[usize]]) -> Result<Shape, OpError> {
        windowed_shape(&self.window, inputs, params)
    }

    fn keeps(&self, _inputs: &[&Shape]) -> Keeps {
        Keeps::NOTHING
    }
}

impl AveragePool {
    /// What a window's sum is multiplied by.
    #[inline(always)]
    fn factor<F: Scalar>(&self, geometry: &Geometry, [oy, ox]: [usize; 2]) -> F {
        let count = self.divisor.along(&geometry.rows, oy) * self.divisor.along(&geometry.columns, ox);
        F::one() / F::of(count as f64)
    }
}

impl<F: Scalar> Kernel<F> for AveragePool {
    fn forward(&self, args: Forward<'_, F>) {
        let geometry = Geometry::new(&self.window, args.inputs[0].shape);
        let row_len = geometry.output_row();
        let rows_a_task = rows_per_task(row_len);
        let input = args.inputs[0].data;
        parallel::for_each_chunk_mut(args.output.data, rows_a_task * row_len, |task, output| {
            forward_rows(self, &geometry, task * rows_a_task, input, output);
        });
    }

    fn backward(&self, args: Backward<'_, F>) {
        let Some(d_input) = &mut args.d_inputs[0] else { return };
        let geometry = Geometry::new(&self.window, args.inputs[0].shape);
        let row_len = geometry.input_row();
        let rows_a_task = rows_per_task(row_len);
        let d_output = args.d_output;
        parallel::for_each_chunk_mut(d_input, rows_a_task * row_len, |task, d_input| {
            backward_rows(self, &geometry, task * rows_a_task, d_output, d_input);
        });
    }
}

for_active_level! {
    /// The rows of the output from `first_row` on, counted through all images.
    fn forward_rows<F: Scalar>(op: &AveragePool, geometry: &Geometry, first_row: usize, input: &[F], output: &mut [F]) {
        let (row_len, channels) = (geometry.output_row(), geometry.channels);
        for (row, output) in (first_row..).zip(output.chunks_exact_mut(row_len)) {
            let (image, oy) = (row / geometry.rows.output, row % geometry.rows.output);
            let input = &input[image * geometry.rows.input * geometry.input_row()..];
            for (ox, output) in output.chunks_exact_mut(channels).enumerate() {
                let factor = op.factor(geometry, [oy, ox]);
                let mut c = 0;
                while c + LANES <= channels {
                    *load_mut(output, c) = mean_of_window::<F, LANES>(geometry, input, [oy, ox], c, factor);
                    c += LANES;
                }
                for (c, output) in output.iter_mut().enumerate().skip(c) {
                    [*output] = mean_of_window::<F, 1>(geometry, input, [oy, ox], c, factor);
                }
            }
        }
    }
}

for_active_level! {
    /// The rows of the input's gradient from `first_row` on. Every pixel gathers from the windows over it: rows are
    /// independent, and sums have one order.
    fn backward_rows<F: Scalar>(
        op: &AveragePool,
        geometry: &Geometry,
        first_row: usize,
        d_output: &[F],
        d_input: &mut [F],
    ) {
        let (row_len, channels) = (geometry.input_row(), geometry.channels);
        for (row, d_input) in (first_row..).zip(d_input.chunks_exact_mut(row_len)) {
            let (image, iy) = (row / geometry.rows.input, row % geometry.rows.input);
            let d_output = &d_output[image * geometry.rows.output * geometry.output_row()..];
            for (ix, d_input) in d_input.chunks_exact_mut(channels).enumerate() {
                let mut c = 0;
                while c + LANES <= channels {
                    op.add_shares::<F, LANES>(geometry, d_output, [iy, ix], c, load_mut(d_input, c));
                    c += LANES;
                }
                for c in c..channels {
                    op.add_shares::<F, 1>(geometry, d_output, [iy, ix], c, load_mut(d_input, c));
                }
            }
        }
    }
}

#[inline(always)]
fn mean_of_window<F: Scalar, const L: usize>(
    geometry: &Geometry,
    image: &[F],
    [oy, ox]: [usize; 2],
    c: usize,
    factor: F,
) -> [F; L] {
    let (rows, columns) = (&geometry.rows, &geometry.columns);
    let horizontal = columns.taps(ox);
    let mut sum = [F::zero(); L];
    for ky in rows.taps(oy) {
        let y = oy * rows.stride + ky * rows.dilation - rows.pad_before;
        for kx in horizontal.clone() {
            let x = ox * columns.stride + kx * columns.dilation - columns.pad_before;
            let tap: &[F; L] = load(image, (y * columns.input + x) * geometry.channels + c);
            for i in 0..L {
                sum[i] += tap[i];
            }
        }
    }
    for sum in &mut sum {
        *sum *= factor;
    }
    sum
}

impl AveragePool {
    /// Adds the shares of input pixel `[iy, ix]` in the gradients of all windows over it, for `L` channels from `c` on.
    #[inline(always)]
    fn add_shares<F: Scalar, const L: usize>(
        &self,
        geometry: &Geometry,
        d_output: &[F],
        [iy, ix]: [usize; 2],
        c: usize,
        d_input: &mut [F; L],
    ) {
        let (rows, columns) = (&geometry.rows, &geometry.columns);
        let across = columns.outputs_over(ix);
        let mut sum = *d_input;
        for oy in rows.outputs_over(iy) {
            if rows.tap_on(oy, iy).is_none() {
                continue;
            }
            for ox in across.clone() {
                if columns.tap_on(ox, ix).is_none() {
                    continue;
                }
                let factor: F = self.factor(geometry, [oy, ox]);
                let gradient: &[F; L] = load(d_output, (oy * columns.output + ox) * geometry.channels + c);
                for i in 0..L {
                    sum[i] += gradient[i] * factor;
                }
            }
        }
        *d_input = sum;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::ops::Run;
    use crate::nn::ops::check::{Tensor, assert_close, check_literals, gradient_check, maps_from_fn, run_forward};
    use crate::nn::ops::pool::tests::windows;

    /// By the definition, with the pixels counted one by one.
    fn naive(op: &AveragePool, input: &Tensor<f64>) -> Tensor<f64> {
        let [batch, channels, height, width] = input.maps();
        let [rows, columns] = op.window.resolve([height, width]).unwrap();
        let padded = |axis: &Axis, o: usize, k: usize| {
            o * axis.stride + k * axis.dilation < axis.pad_before + axis.input + axis.pad_after
        };
        maps_from_fn([batch, channels, rows.output, columns.output], |n, c, oy, ox| {
            let (mut sum, mut count) = (0.0, 0);
            for ky in 0..rows.kernel {
                for kx in 0..columns.kernel {
                    let inside = rows.input_at(oy, ky).zip(columns.input_at(ox, kx));
                    count += match op.divisor {
                        Divisor::Inside => usize::from(inside.is_some()),
                        Divisor::Padded => usize::from(padded(&rows, oy, ky) && padded(&columns, ox, kx)),
                        Divisor::Window => 1,
                    };
                    sum += inside.map_or(0.0, |(y, x)| input.at(n, c, y, x));
                }
            }
            sum / count as f64
        })
    }

    const DIVISORS: [Divisor; 3] = [Divisor::Inside, Divisor::Padded, Divisor::Window];

    #[test]
    fn all_windows_and_divisors_agree_with_the_definition() {
        for (name, window) in windows() {
            for divisor in DIVISORS {
                for channels in [3, 19] {
                    let op = AveragePool { window, divisor };
                    let input = Tensor::<f64>::random(&[2, channels, 9, 8], 5);
                    let expected = naive(&op, &input);
                    let got = run_forward(&op, &[input], &[], Run::default());
                    assert_close(&format!("{name} {divisor:?}"), &got.output.data, &expected.data, 1e-13, 1e-13);
                }
            }
        }
    }

    #[test]
    fn gradients() {
        for (_, window) in windows() {
            for divisor in DIVISORS {
                let input = Tensor::<f64>::random(&[2, 3, 7, 6], 9);
                gradient_check(&AveragePool { window, divisor }, &[input], &[], Run::default());
            }
        }
        let op = AveragePool { window: Window::square(3, 2), divisor: Divisor::Inside };
        gradient_check(&op, &[Tensor::random(&[1, 17, 5, 5], 9)], &[], Run::default());
    }

    #[test]
    fn literals() {
        check_literals("spatial.safetensors", "average_pool");
    }
}
