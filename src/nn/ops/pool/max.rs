//! Max pooling.

use serde::{Deserialize, Serialize};

use super::{Geometry, windowed_shape};
use crate::base::parallel;
use crate::base::tensor::{Scalar, Shape};
use crate::nn::ops::lanes::{LANES, for_active_level, load, load_mut, rows_per_task};
use crate::nn::ops::window::Window;
use crate::nn::ops::{Backward, Forward, Keeps, Kernel, OpError, Operator};

/// The largest value of each window. The gradient goes to ONE winner, the first in scan order, as in Caffe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MaxPool {
    #[serde(flatten)]
    pub window: Window,
}

impl MaxPool {
    /// Winners are kept as tap numbers, in a byte where they fit.
    fn winner_fits_a_byte(&self) -> bool {
        self.window.kernel[0].saturating_mul(self.window.kernel[1]) <= 1 << 8
    }
}

impl Operator for MaxPool {
    fn output_shape(&self, inputs: &[&Shape], params: &[&[usize]]) -> Result<Shape, OpError> {
        if self.window.kernel[0].saturating_mul(self.window.kernel[1]) > u32::MAX as usize {
            return Err(OpError::TooLarge);
        }
        windowed_shape(&self.window, inputs, params)
    }

    fn keeps(&self, inputs: &[&Shape]) -> Keeps {
        let outputs = windowed_shape(&self.window, inputs, &[]).map_or(0, |shape| shape.len());
        Keeps::saved(outputs * if self.winner_fits_a_byte() { 1 } else { 4 })
    }
}

/// Channels that are handled at a time where they do not fill [`LANES`].
const FEW: usize = 4;

/// How a winning tap is stored.
trait Winner: Copy + Send + Sync {
    fn of(tap: u32) -> Self;
    fn tap(self) -> u32;
}

impl Winner for u8 {
    #[inline(always)]
    fn of(tap: u32) -> Self {
        tap as u8
    }
    #[inline(always)]
    fn tap(self) -> u32 {
        u32::from(self)
    }
}

impl Winner for u32 {
    #[inline(always)]
    fn of(tap: u32) -> Self {
        tap
    }
    #[inline(always)]
    fn tap(self) -> u32 {
        self
    }
}

impl<F: Scalar> Kernel<F> for MaxPool {
    fn forward(&self, args: Forward<'_, F>) {
        let geometry = Geometry::new(&self.window, args.inputs[0].shape);
        let (input, output) = (args.inputs[0].data, args.output.data);
        if self.winner_fits_a_byte() {
            forward(&geometry, input, output, args.saved);
        } else {
            forward::<F, u32>(&geometry, input, output, bytemuck::cast_slice_mut(args.saved));
        }
    }

    fn backward(&self, args: Backward<'_, F>) {
        let Some(d_input) = &mut args.d_inputs[0] else { return };
        let geometry = Geometry::new(&self.window, args.inputs[0].shape);
        if self.winner_fits_a_byte() {
            backward(&geometry, args.saved, args.d_output, d_input);
        } else {
            backward::<F, u32>(&geometry, bytemuck::cast_slice(args.saved), args.d_output, d_input);
        }
    }
}

fn forward<F: Scalar, W: Winner>(geometry: &Geometry, input: &[F], output: &mut [F], winners: &mut [W]) {
    let row_len = geometry.output_row();
    let rows_a_task = rows_per_task(row_len);
    parallel::for_each_chunk_pair_mut(output, winners, rows_a_task * row_len, |task, output, winners| {
        forward_rows(geometry, task * rows_a_task, input, output, winners);
    });
}

for_active_level! {
    /// The rows of the output from `first_row` on, counted through all images.
    fn forward_rows<F: Scalar, W: Winner>(
        geometry: &Geometry,
        first_row: usize,
        input: &[F],
        output: &mut [F],
        winners: &mut [W],
    ) {
        let (row_len, channels) = (geometry.output_row(), geometry.channels);
        let rows = output.chunks_exact_mut(row_len).zip(winners.chunks_exact_mut(row_len));
        for (row, (output, winners)) in (first_row..).zip(rows) {
            let (image, oy) = (row / geometry.rows.output, row % geometry.rows.output);
            let input = &input[image * geometry.rows.input * geometry.input_row()..];
            for ox in 0..geometry.columns.output {
                let (mut c, at) = (0, ox * channels);
                while c + LANES <= channels {
                    let (output, winners) = (load_mut(output, at + c), load_mut(winners, at + c));
                    max_of_window::<F, W, LANES>(geometry, input, [oy, ox], c, output, winners);
                    c += LANES;
                }
                while c + FEW <= channels {
                    let (output, winners) = (load_mut(output, at + c), load_mut(winners, at + c));
                    max_of_window::<F, W, FEW>(geometry, input, [oy, ox], c, output, winners);
                    c += FEW;
                }
                for c in c..channels {
                    let (output, winners) = (load_mut(output, at + c), load_mut(winners, at + c));
                    max_of_window::<F, W, 1>(geometry, input, [oy, ox], c, output, winners);
                }
            }
        }
    }
}

/// The largest values and their taps of `L` channels from `c` on, under the window of an output pixel.
#[inline(always)]
fn max_of_window<F: Scalar, W: Winner, const L: usize>(
    geometry: &Geometry,
    image: &[F],
    [oy, ox]: [usize; 2],
    c: usize,
    output: &mut [F; L],
    winners: &mut [W; L],
) {
    let (rows, columns) = (&geometry.rows, &geometry.columns);
    let (vertical, horizontal) = (rows.taps(oy), columns.taps(ox));
    let at = |ky: usize, kx: usize| {
        let y = oy * rows.stride + ky * rows.dilation - rows.pad_before;
        let x = ox * columns.stride + kx * columns.dilation - columns.pad_before;
        (y * columns.input + x) * geometry.channels + c
    };
    let first_tap = (vertical.start * columns.kernel + horizontal.start) as u32;
    let mut best: [F; L] = *load(image, at(vertical.start, horizontal.start));
    let mut winner = [first_tap; L];
    for ky in vertical {
        let (row, tap) = (at(ky, horizontal.start), (ky * columns.kernel) as u32);
        for kx in horizontal.clone() {
            let x: &[F; L] = load(image, row + (kx - horizontal.start) * columns.dilation * geometry.channels);
            let tap = tap + kx as u32;
            for i in 0..L {
                let wins = x[i] > best[i];
                best[i] = if wins { x[i] } else { best[i] };
                winner[i] = if wins { tap } else { winner[i] };
            }
        }
    }
    *output = best;
    for i in 0..L {
        winners[i] = W::of(winner[i]);
    }
}

fn backward<F: Scalar, W: Winner>(geometry: &Geometry, winners: &[W], d_output: &[F], d_input: &mut [F]) {
    let row_len = geometry.input_row();
    let rows_a_task = rows_per_task(row_len);
    parallel::for_each_chunk_mut(d_input, rows_a_task * row_len, |task, d_input| {
        backward_rows(geometry, task * rows_a_task, winners, d_output, d_input);
    });
}

for_active_level! {
    /// The rows of the input's gradient from `first_row` on. Every pixel gathers from the windows that it won: rows
    /// are independent, and sums have one order.
    fn backward_rows<F: Scalar, W: Winner>(
        geometry: &Geometry,
        first_row: usize,
        winners: &[W],
        d_output: &[F],
        d_input: &mut [F],
    ) {
        let (row_len, channels) = (geometry.input_row(), geometry.channels);
        for (row, d_input) in (first_row..).zip(d_input.chunks_exact_mut(row_len)) {
            let (image, iy) = (row / geometry.rows.input, row % geometry.rows.input);
            let outputs = image * geometry.rows.output * geometry.output_row()..;
            let (winners, d_output) = (&winners[outputs.clone()], &d_output[outputs]);
            for oy in geometry.rows.outputs_over(iy) {
                let Some(ky) = geometry.rows.tap_on(oy, iy) else { continue };
                let outputs = oy * geometry.output_row()..(oy + 1) * geometry.output_row();
                let (winners, d_output) = (&winners[outputs.clone()], &d_output[outputs]);
                add_won(geometry, ky, winners, d_output, d_input, channels);
            }
        }
    }
}

/// Adds the gradients of one row of outputs to the pixels of one row of inputs that won them, under row `ky` of taps.
/// Each pixel takes its outputs from left to right.
#[inline(always)]
fn add_won<F: Scalar, W: Winner>(
    geometry: &Geometry,
    ky: usize,
    winners: &[W],
    d_output: &[F],
    d_input: &mut [F],
    channels: usize,
) {
    let columns = &geometry.columns;
    for ox in 0..columns.output {
        let from = ox * channels;
        for kx in 0..columns.kernel {
            // Left of the input this wraps to a number that is larger than any index.
            let ix = (ox * columns.stride + kx * columns.dilation).wrapping_sub(columns.pad_before);
            if ix >= columns.input {
                continue;
            }
            let (tap, to) = ((ky * columns.kernel + kx) as u32, ix * channels);
            let mut c = 0;
            while c + LANES <= channels {
                add_where::<F, W, LANES>(
                    tap,
                    load(winners, from + c),
                    load(d_output, from + c),
                    load_mut(d_input, to + c),
                );
                c += LANES;
            }
            while c + FEW <= channels {
                add_where::<F, W, FEW>(
                    tap,
                    load(winners, from + c),
                    load(d_output, from + c),
                    load_mut(d_input, to + c),
                );
                c += FEW;
            }
            for c in c..channels {
                add_where::<F, W, 1>(tap, load(winners, from + c), load(d_output, from + c), load_mut(d_input, to + c));
            }
        }
    }
}

/// Adds the gradients of the channels whose winner is `tap`.
#[inline(always)]
fn add_where<F: Scalar, W: Winner, const L: usize>(
    tap: u32,
    winners: &[W; L],
    d_output: &[F; L],
    d_input: &mut [F; L],
) {
    for i in 0..L {
        d_input[i] += if winners[i].tap() == tap { d_output[i] } else { F::zero() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::ops::Run;
    use crate::nn::ops::check::{Tensor, assert_close, check_literals, gradient_check, maps_from_fn};
    use crate::nn::ops::check::{run_backward, run_forward};
    use crate::nn::ops::pool::tests::windows;
    use crate::nn::ops::window::Padding;

    /// By the definition: looks at every tap, takes the first of the largest; its gradient goes there.
    fn naive(window: &Window, input: &Tensor<f64>, d_output: &[f64]) -> (Tensor<f64>, Vec<f64>) {
        let [batch, channels, height, width] = input.maps();
        let [rows, columns] = window.resolve([height, width]).unwrap();
        let mut d_input = Tensor::filled(input.shape.dims(), 0.0);
        let mut winners = Vec::new();
        let output = maps_from_fn([batch, channels, rows.output, columns.output], |n, c, oy, ox| {
            let mut best = (f64::NEG_INFINITY, 0, 0);
            for ky in 0..rows.kernel {
                for kx in 0..columns.kernel {
                    let (Some(y), Some(x)) = (rows.input_at(oy, ky), columns.input_at(ox, kx)) else { continue };
                    if input.at(n, c, y, x) > best.0 {
                        best = (input.at(n, c, y, x), y, x);
                    }
                }
            }
            winners.push(((n * height + best.1) * width + best.2) * channels + c);
            best.0
        });
        for (winner, gradient) in winners.into_iter().zip(d_output) {
            d_input.data[winner] += gradient;
        }
        (output, d_input.data)
    }

    #[test]
    fn all_windows_agree_with_the_definition() {
        for (name, window) in windows() {
            for channels in [1, 3, 19] {
                let op = MaxPool { window };
                // Few distinct values: ties go to the first.
                let mut input = Tensor::<f64>::random(&[2, channels, 9, 8], 5);
                input.data.iter_mut().for_each(|x| *x = (*x * 3.0).round());
                let ran = run_forward(&op, std::slice::from_ref(&input), &[], Run::default());
                let d_output = Tensor::<f64>::random(&[ran.output.data.len()], 6).data;
                let (output, d_input) = naive(&window, &input, &d_output);
                assert_eq!(ran.output.data, output.data, "{name} {channels}");
                let got = run_backward(&op, &[input], &[], &ran, &d_output, Run::default());
                assert_close(name, &got.inputs[0], &d_input, 1e-14, 1e-14);
            }
        }
    }

    #[test]
    fn windows_of_more_than_256_taps_work() {
        let window = Window { kernel: [17, 16], ..Window::square(1, 1) }.padded(Padding::all(3));
        let op = MaxPool { window };
        let input = Tensor::<f64>::separated(&[1, 2, 18, 17], 5);
        let ran = run_forward(&op, std::slice::from_ref(&input), &[], Run::default());
        let d_output = Tensor::<f64>::random(&[ran.output.data.len()], 6).data;
        let (output, d_input) = naive(&window, &input, &d_output);
        assert_eq!(ran.output.data, output.data);
        let got = run_backward(&op, &[input], &[], &ran, &d_output, Run::default());
        assert_close("d_input", &got.inputs[0], &d_input, 1e-14, 1e-14);
        assert_eq!(op.keeps(&[&Shape::maps(1, 2, 18, 17)]).saved_bytes, ran.output.data.len() * 4);
    }

    #[test]
    fn minus_infinity_still_has_a_winner_inside() {
        let op = MaxPool { window: Window::square(3, 2).padded(Padding::all(1)) };
        let input = Tensor::<f64>::filled(&[1, 1, 4, 4], f64::NEG_INFINITY);
        let ran = run_forward(&op, std::slice::from_ref(&input), &[], Run::default());
        let got = run_backward(&op, &[input], &[], &ran, &[1.0; 4], Run::default());
        assert_eq!(got.inputs[0].iter().sum::<f64>(), 4.0);
    }

    #[test]
    fn gradients() {
        for (_, window) in windows() {
            let input = Tensor::<f64>::separated(&[2, 3, 7, 6], 9);
            gradient_check(&MaxPool { window }, &[input], &[], Run::default());
        }
    }

    #[test]
    fn literals() {
        check_literals("spatial.safetensors", "max_pool");
    }
}
