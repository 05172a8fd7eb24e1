//! Global pooling.

use serde::{Deserialize, Serialize};

use super::pooled_maps;
use crate::base::parallel;
use crate::base::tensor::{Scalar, Shape};
use crate::nn::ops::lanes::rows_per_task;
use crate::nn::ops::{Backward, Forward, Keeps, Kernel, OpError, Operator};

/// Pools whole maps to 1×1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GlobalPool {
    pub kind: GlobalPoolKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GlobalPoolKind {
    Average,
    /// The gradient goes to ONE winner, the first in scan order.
    Max,
}

impl Operator for GlobalPool {
    fn output_shape(&self, inputs: &[&Shape], params: &[&[usize]]) -> Result<Shape, OpError> {
        let [batch, channels, height, width] = pooled_maps(inputs, params)?;
        match height.checked_mul(width) {
            Some(pixels) if u32::try_from(pixels).is_ok() => Ok(Shape::maps(batch, channels, 1, 1)),
            _ => Err(OpError::TooLarge),
        }
    }

    fn keeps(&self, inputs: &[&Shape]) -> Keeps {
        match self.kind {
            GlobalPoolKind::Average => Keeps::NOTHING,
            GlobalPoolKind::Max => {
                let [batch, channels, ..] = pooled_maps(inputs, &[]).unwrap_or_default();
                Keeps::saved(batch * channels * size_of::<u32>())
            }
        }
    }
}

/// Channels that one task reduces: rows of pixels are read a few cache lines at a time.
const TASK_CHANNELS: usize = 64;

/// Calls `reduce(image, channels)` for the runs of consecutive channels of one image that `range` of the flattened
/// `batch × channels` is made of; the third argument is the run's place in `range`.
fn for_each_run(
    range: std::ops::Range<usize>,
    channels: usize,
    mut reduce: impl FnMut(usize, usize, std::ops::Range<usize>),
) {
    let mut at = range.start;
    while at < range.end {
        let (image, c) = (at / channels, at % channels);
        let end = range.end.min((image + 1) * channels);
        reduce(image, c, at - range.start..end - range.start);
        at = end;
    }
}

impl<F: Scalar> Kernel<F> for GlobalPool {
    fn forward(&self, args: Forward<'_, F>) {
        let [_, channels, height, width] = args.inputs[0].shape.as_maps().expect("output_shape has checked the input");
        let (input, image_len) = (args.inputs[0].data, height * width * channels);
        match self.kind {
            GlobalPoolKind::Average => {
                let factor = F::one() / F::of((height * width) as f64);
                parallel::for_each_chunk_mut(args.output.data, TASK_CHANNELS, |task, output| {
                    let first = task * TASK_CHANNELS;
                    for_each_run(first..first + output.len(), channels, |image, c, run| {
                        let output = &mut output[run];
                        sum_of_map(&input[image * image_len..][..image_len], [width, channels], c, output);
                        output.iter_mut().for_each(|sum| *sum *= factor);
                    });
                });
            }
            GlobalPoolKind::Max => {
                let winners: &mut [u32] = bytemuck::cast_slice_mut(args.saved);
                parallel::for_each_chunk_pair_mut(args.output.data, winners, TASK_CHANNELS, |task, output, winners| {
                    let first = task * TASK_CHANNELS;
                    for_each_run(first..first + output.len(), channels, |image, c, run| {
                        let input = &input[image * image_len..][..image_len];
                        max_of_map(input, channels, c, &mut output[run.clone()], &mut winners[run]);
                    });
                });
            }
        }
    }

    fn backward(&self, args: Backward<'_, F>) {
        let Some(d_input) = &mut args.d_inputs[0] else { return };
        let [_, channels, height, width] = args.inputs[0].shape.as_maps().expect("output_shape has checked the input");
        match self.kind {
            GlobalPoolKind::Average => {
                let factor = F::one() / F::of((height * width) as f64);
                let row_len = width * channels;
                let rows_a_task = rows_per_task(row_len);
                parallel::for_each_chunk_mut(d_input, rows_a_task * row_len, |task, d_input| {
                    for (row, d_input) in (task * rows_a_task..).zip(d_input.chunks_exact_mut(row_len)) {
                        let gradient = &args.d_output[row / height * channels..][..channels];
                        for d_input in d_input.chunks_exact_mut(channels) {
                            for (d_input, gradient) in d_input.iter_mut().zip(gradient) {
                                *d_input += *gradient * factor;
                            }
                        }
                    }
                });
            }
            GlobalPoolKind::Max => {
                let winners: &[u32] = bytemuck::cast_slice(args.saved);
                for (i, (&winner, &gradient)) in winners.iter().zip(args.d_output).enumerate() {
                    let (image, c) = (i / channels, i % channels);
                    d_input[(image * height * width + winner as usize) * channels + c] += gradient;
                }
            }
        }
    }
}

/// Sums the channels from `c` on over a map, row by row, so that rounding errors stay those of short sums.
fn sum_of_map<F: Scalar>(image: &[F], [width, channels]: [usize; 2], c: usize, sums: &mut [F]) {
    let mut of_row = [F::zero(); TASK_CHANNELS];
    let of_row = &mut of_row[..sums.len()];
    sums.fill(F::zero());
    for row in image.chunks_exact(width * channels) {
        of_row.fill(F::zero());
        for pixel in row.chunks_exact(channels) {
            for (sum, x) in of_row.iter_mut().zip(&pixel[c..]) {
                *sum += *x;
            }
        }
        for (sum, of_row) in sums.iter_mut().zip(of_row.iter()) {
            *sum += *of_row;
        }
    }
}

/// The largest values of the channels from `c` on, and the pixels where they are.
fn max_of_map<F: Scalar>(image: &[F], channels: usize, c: usize, best: &mut [F], winners: &mut [u32]) {
    best.copy_from_slice(&image[c..][..best.len()]);
    winners.fill(0);
    for (index, pixel) in (0..).zip(image.chunks_exact(channels)) {
        for ((best, winner), x) in best.iter_mut().zip(winners.iter_mut()).zip(&pixel[c..]) {
            let wins = *x > *best;
            *best = if wins { *x } else { *best };
            *winner = if wins { index } else { *winner };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::ops::Run;
    use crate::nn::ops::check::{Tensor, assert_close, check_literals, gradient_check, maps_from_fn, run_forward};

    #[test]
    fn maps_of_many_channels_and_images_agree_with_the_definition() {
        for [batch, channels] in [[1, 1], [3, 5], [2, 64], [1, 65], [3, 100]] {
            let input = Tensor::<f64>::random(&[batch, channels, 4, 3], 5);
            let pixels = || (0..4).flat_map(|y| (0..3).map(move |x| (y, x)));
            let mean = maps_from_fn([batch, channels, 1, 1], |n, c, _, _| {
                pixels().map(|(y, x)| input.at(n, c, y, x)).sum::<f64>() / 12.0
            });
            let max = maps_from_fn([batch, channels, 1, 1], |n, c, _, _| {
                pixels().map(|(y, x)| input.at(n, c, y, x)).fold(f64::NEG_INFINITY, f64::max)
            });
            for (kind, expected) in [(GlobalPoolKind::Average, mean), (GlobalPoolKind::Max, max)] {
                let got = run_forward(&GlobalPool { kind }, std::slice::from_ref(&input), &[], Run::default());
                let name = format!("{kind:?} of {batch}×{channels}");
                assert_close(&name, &got.output.data, &expected.data, 1e-13, 1e-13);
            }
        }
    }

    #[test]
    fn gradients() {
        for kind in [GlobalPoolKind::Average, GlobalPoolKind::Max] {
            let input = Tensor::<f64>::separated(&[2, 5, 3, 4], 9);
            gradient_check(&GlobalPool { kind }, &[input], &[], Run::default());
        }
    }

    #[test]
    fn the_first_of_equal_values_wins() {
        let op = GlobalPool { kind: GlobalPoolKind::Max };
        let input = Tensor::<f64>::filled(&[1, 1, 2, 2], 3.0);
        let ran = run_forward(&op, std::slice::from_ref(&input), &[], Run::default());
        let got = crate::nn::ops::check::run_backward(&op, &[input], &[], &ran, &[2.0], Run::default());
        assert_eq!(got.inputs[0], [2.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn literals() {
        check_literals("spatial.safetensors", "global_pool");
    }
}
