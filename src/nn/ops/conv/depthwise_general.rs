//! Depthwise convolution of any window, along channels: no gathering, every weight is used where it lies.

use super::general::{Geometry, Onto};
use crate::base::parallel;
use crate::base::tensor::Scalar;
use crate::nn::ops::lanes::{LANES, load, load_mut, rows_per_task};

impl Geometry {
    /// Weights as `[tap, channel]`.
    fn pack_depthwise<F: Scalar>(&self, weight: &[F]) -> Vec<F> {
        let taps = self.taps();
        (0..taps).flat_map(|tap| (0..self.in_channels).map(move |c| weight[c * taps + tap])).collect()
    }

    /// As [`Geometry::convolve`].
    pub fn convolve_depthwise<F: Scalar>(&self, input: &[F], weight: &[F], onto: Onto<'_, F>, output: &mut [F]) {
        let packed = self.pack_depthwise(weight);
        let (channels, row_len) = (self.in_channels, self.columns.output * self.in_channels);
        let rows_a_task = rows_per_task(row_len);
        parallel::for_each_chunk_mut(output, rows_a_task * row_len, |task, output| {
            onto.prepare(output);
            for (row, output) in (task * rows_a_task..).zip(output.chunks_exact_mut(row_len)) {
                let (image, oy) = (row / self.rows.output, row % self.rows.output);
                let input = &input[image * self.rows.input * self.columns.input * channels..];
                for (ox, output) in output.chunks_exact_mut(channels).enumerate() {
                    let mut c = 0;
                    while c + LANES <= channels {
                        self.add_window::<F, LANES>(input, &packed, [oy, ox], c, load_mut(output, c));
                        c += LANES;
                    }
                    for c in c..channels {
                        self.add_window::<F, 1>(input, &packed, [oy, ox], c, load_mut(output, c));
                    }
                }
            }
        });
    }

    #[inline(always)]
    fn add_window<F: Scalar, const L: usize>(
        &self,
        image: &[F],
        packed: &[F],
        [oy, ox]: [usize; 2],
        c: usize,
        output: &mut [F; L],
    ) {
        let (rows, columns) = (&self.rows, &self.columns);
        let horizontal = columns.taps(ox);
        let mut sum = *output;
        for ky in rows.taps(oy) {
            let y = oy * rows.stride + ky * rows.dilation - rows.pad_before;
            for kx in horizontal.clone() {
                let x = ox * columns.stride + kx * columns.dilation - columns.pad_before;
                let value: &[F; L] = load(image, (y * columns.input + x) * self.in_channels + c);
                let weight: &[F; L] = load(packed, (ky * columns.kernel + kx) * self.in_channels + c);
                for i in 0..L {
                    sum[i] += value[i] * weight[i];
                }
            }
        }
        *output = sum;
    }

    /// As [`Geometry::adjoint`].
    pub fn adjoint_depthwise<F: Scalar>(&self, d_output: &[F], weight: &[F], onto: Onto<'_, F>, d_input: &mut [F]) {
        let packed = self.pack_depthwise(weight);
        let (channels, row_len) = (self.in_channels, self.columns.input * self.in_channels);
        let rows_a_task = rows_per_task(row_len);
        parallel::for_each_chunk_mut(d_input, rows_a_task * row_len, |task, d_input| {
            onto.prepare(d_input);
            for (row, d_input) in (task * rows_a_task..).zip(d_input.chunks_exact_mut(row_len)) {
                let (image, iy) = (row / self.rows.input, row % self.rows.input);
                let d_output = &d_output[image * self.rows.output * self.columns.output * channels..];
                for (ix, d_input) in d_input.chunks_exact_mut(channels).enumerate() {
                    let mut c = 0;
                    while c + LANES <= channels {
                        self.add_windows_over::<F, LANES>(d_output, &packed, [iy, ix], c, load_mut(d_input, c));
                        c += LANES;
                    }
                    for c in c..channels {
                        self.add_windows_over::<F, 1>(d_output, &packed, [iy, ix], c, load_mut(d_input, c));
                    }
                }
            }
        });
    }

    #[inline(always)]
    fn add_windows_over<F: Scalar, const L: usize>(
        &self,
        image: &[F],
        packed: &[F],
        [iy, ix]: [usize; 2],
        c: usize,
        d_input: &mut [F; L],
    ) {
        let (rows, columns) = (&self.rows, &self.columns);
        let across = columns.outputs_over(ix);
        let mut sum = *d_input;
        for oy in rows.outputs_over(iy) {
            let Some(ky) = rows.tap_on(oy, iy) else { continue };
            for ox in across.clone() {
                let Some(kx) = columns.tap_on(ox, ix) else { continue };
                let gradient: &[F; L] = load(image, (oy * columns.output + ox) * self.in_channels + c);
                let weight: &[F; L] = load(packed, (ky * columns.kernel + kx) * self.in_channels + c);
                for i in 0..L {
                    sum[i] += gradient[i] * weight[i];
                }
            }
        }
        *d_input = sum;
    }

    /// As [`Geometry::add_weight_gradient`]: one task a tap, sums row by row.
    pub fn add_weight_gradient_depthwise<F: Scalar>(&self, input: &[F], d_output: &[F], d_weight: &mut [F]) {
        let (rows, columns, channels) = (&self.rows, &self.columns, self.in_channels);
        let mut packed = vec![F::zero(); self.taps() * channels];
        parallel::for_each_chunk_mut(&mut packed, channels, |tap, total| {
            let (ky, kx) = (tap / columns.kernel, tap % columns.kernel);
            let mut of_row = vec![F::zero(); channels];
            for row in 0..self.batch * rows.output {
                let (image, oy) = (row / rows.output, row % rows.output);
                let Some(y) = rows.input_at(oy, ky) else { continue };
                of_row.fill(F::zero());
                for ox in 0..columns.output {
                    let Some(x) = columns.input_at(ox, kx) else { continue };
                    let value = &input[((image * rows.input + y) * columns.input + x) * channels..][..channels];
                    let gradient = &d_output[(row * columns.output + ox) * channels..][..channels];
                    for ((sum, value), gradient) in of_row.iter_mut().zip(value).zip(gradient) {
                        *sum += *value * *gradient;
                    }
                }
                for (total, of_row) in total.iter_mut().zip(&of_row) {
                    *total += *of_row;
                }
            }
        });
        for (tap, of_tap) in packed.chunks_exact(channels).enumerate() {
            for (c, gradient) in of_tap.iter().enumerate() {
                d_weight[c * self.taps() + tap] += *gradient;
            }
        }
    }
}
