//! Nearest and bilinear resampling of height and width, by PyTorch's conventions (`torch.nn.functional.interpolate`).

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::layout::{expect_one_input, shape_of};
use super::{Backward, Forward, Keeps, Kernel, OpError, Operator, expect_maps};
use crate::base::parallel::for_each_chunk_mut;
use crate::base::tensor::{MAX_ELEMENTS, Scalar, Shape};

/// Resamples maps; no parameters.
///
/// Where a factor is given, positions are computed with that factor, not with the ratio of the rounded sizes (PyTorch's
/// `recompute_scale_factor=False`); aligned corners know sizes only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Resize {
    pub target: ResizeTarget,
    pub mode: ResizeMode,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResizeTarget {
    /// `[height, width]` in pixels.
    Size([usize; 2]),
    /// `[vertical, horizontal]`: output size = floor(input size · factor).
    Factor([f64; 2]),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResizeMode {
    /// Input index = floor(output index · input size / output size), in `f32` as PyTorch computes it.
    Nearest,
    /// Pixel centres at half-integers, no antialiasing (PyTorch `align_corners=False`).
    Bilinear,
    /// Corner pixels map to corner pixels (PyTorch `align_corners=True`).
    BilinearAlignCorners,
}

impl Operator for Resize {
    fn output_shape(&self, inputs: &[&Shape], params: &[&[usize]]) -> Result<Shape, OpError> {
        let [batch, channels, height, width] = expect_maps(expect_one_input(inputs, params)?)?;
        let output = match self.target {
            ResizeTarget::Size(size) => size,
            ResizeTarget::Factor(factors) => {
                for factor in factors {
                    if !(factor.is_finite() && factor > 0.0) {
                        let reason = format!("factor {factor} is not a positive number");
                        return Err(OpError::Attribute { name: "target", reason });
                    }
                }
                // A float too large for usize becomes its maximum, which the next check refuses.
                [(height as f64 * factors[0]).floor() as usize, (width as f64 * factors[1]).floor() as usize]
            }
        };
        if output.contains(&0) {
            let reason = format!("{height}×{width} pixels would become {}×{}", output[0], output[1]);
            return Err(OpError::Attribute { name: "target", reason });
        }
        if output.iter().any(|&size| size > MAX_ELEMENTS) {
            return Err(OpError::TooLarge);
        }
        shape_of(&[batch, channels, output[0], output[1]])
    }

    fn keeps(&self, _inputs: &[&Shape]) -> Keeps {
        Keeps::NOTHING
    }
}

/// An output pixel in one direction: (1 − weight) · input\[low\] + weight · input\[high\].
#[derive(Clone, Copy, Debug)]
struct Tap {
    low: usize,
    high: usize,
    weight: f64,
}

/// One direction of the resampling.
#[derive(Clone, Copy)]
struct Axis {
    input: usize,
    output: usize,
    mode: ResizeMode,
    /// Input pixels an output pixel.
    step: f64,
}

impl Axis {
    fn new(input: usize, output: usize, factor: Option<f64>, mode: ResizeMode) -> Self {
        let step = match (mode, factor) {
            (ResizeMode::BilinearAlignCorners, _) if output > 1 => (input - 1) as f64 / (output - 1) as f64,
            (ResizeMode::BilinearAlignCorners, _) => 0.0,
            (_, Some(factor)) => 1.0 / factor,
            (_, None) => input as f64 / output as f64,
        };
        Self { input, output, mode, step }
    }

    fn tap(&self, o: usize) -> Tap {
        let last = self.input - 1;
        let position = match self.mode {
            ResizeMode::Nearest => {
                let low = self.nearest(o).min(last);
                return Tap { low, high: low, weight: 0.0 };
            }
            ResizeMode::Bilinear => (self.step * (o as f64 + 0.5) - 0.5).max(0.0),
            ResizeMode::BilinearAlignCorners => self.step * o as f64,
        };
        let low = (position as usize).min(last);
        Tap { low, high: (low + 1).min(last), weight: (position - low as f64).clamp(0.0, 1.0) }
    }

    /// As PyTorch's CPU kernels do it, single precision and shortcuts included: nothing else gives the same pixels.
    fn nearest(&self, o: usize) -> usize {
        if self.output == self.input {
            o
        } else if self.output == 2 * self.input {
            o / 2
        } else {
            (o as f32 * self.step as f32) as usize
        }
    }

    /// The outputs that read input `i`; taps never go back as outputs go on.
    fn readers(&self, i: usize) -> Range<usize> {
        self.first_output(|tap| tap.high >= i)..self.first_output(|tap| tap.low > i)
    }

    fn first_output(&self, reached: impl Fn(Tap) -> bool) -> usize {
        let (mut before, mut after) = (0, self.output);
        while before < after {
            let middle = before + (after - before) / 2;
            if reached(self.tap(middle)) {
                after = middle;
            } else {
                before = middle + 1;
            }
        }
        before
    }
}

impl Resize {
    /// `(channels, vertical, horizontal)`.
    fn axes(&self, input: &Shape, output: &Shape) -> (usize, Axis, Axis) {
        let ([_, channels, ..], [.., out_height, out_width]) = (maps(input), maps(output));
        let [.., height, width] = maps(input);
        let factors = match self.target {
            ResizeTarget::Factor([vertical, horizontal]) => [Some(vertical), Some(horizontal)],
            ResizeTarget::Size(_) => [None, None],
        };
        let vertical = Axis::new(height, out_height, factors[0], self.mode);
        (channels, vertical, Axis::new(width, out_width, factors[1], self.mode))
    }
}

fn maps(shape: &Shape) -> [usize; 4] {
    shape.as_maps().expect("output_shape has checked for maps")
}

impl<F: Scalar> Kernel<F> for Resize {
    fn forward(&self, args: Forward<'_, F>) {
        let (channels, vertical, horizontal) = self.axes(args.inputs[0].shape, args.output.shape);
        let (in_row, out_row) = (horizontal.input * channels, horizontal.output * channels);
        for_each_chunk_mut(args.output.data, out_row, |row, output| {
            let (image, y) = (row / vertical.output, row % vertical.output);
            let y = vertical.tap(y);
            let row_at = |y: usize| &args.inputs[0].data[(image * vertical.input + y) * in_row..][..in_row];
            let (above, below) = (row_at(y.low), row_at(y.high));
            for (x, output) in output.chunks_exact_mut(channels).enumerate() {
                let x = horizontal.tap(x);
                let (left, right) = (x.low * channels, x.high * channels);
                if self.mode == ResizeMode::Nearest {
                    output.copy_from_slice(&above[left..left + channels]);
                    continue;
                }
                let (wx, wy) = (F::of(x.weight), F::of(y.weight));
                let tops = above[left..].iter().zip(&above[right..]);
                let bottoms = below[left..].iter().zip(&below[right..]);
                for (output, ((&tl, &tr), (&bl, &br))) in output.iter_mut().zip(tops.zip(bottoms)) {
                    let (top, bottom) = (tl + wx * (tr - tl), bl + wx * (br - bl));
                    *output = top + wy * (bottom - top);
                }
            }
        });
    }

    fn backward(&self, args: Backward<'_, F>) {
        let Some(d_input) = args.d_inputs[0].as_deref_mut() else { return };
        let (channels, vertical, horizontal) = self.axes(args.inputs[0].shape, args.output.shape);
        let (in_row, out_row) = (horizontal.input * channels, horizontal.output * channels);
        for_each_chunk_mut(d_input, in_row, |row, d_input| {
            let (image, y) = (row / vertical.input, row % vertical.input);
            for o in vertical.readers(y) {
                let tap = vertical.tap(o);
                let low = if tap.low == y { 1.0 - tap.weight } else { 0.0 };
                let high = if tap.high == y { tap.weight } else { 0.0 };
                let d_output = &args.d_output[(image * vertical.output + o) * out_row..][..out_row];
                add_row(&horizontal, channels, low + high, d_output, d_input);
            }
        });
    }
}

/// Adds to an input row what an output row that reads it with `weight` sends back.
fn add_row<F: Scalar>(horizontal: &Axis, channels: usize, weight: f64, d_output: &[F], d_input: &mut [F]) {
    for (x, d_output) in d_output.chunks_exact(channels).enumerate() {
        let tap = horizontal.tap(x);
        for (source, share) in [(tap.low, 1.0 - tap.weight), (tap.high, tap.weight)] {
            if share > 0.0 {
                let factor = F::of(weight * share);
                let d_input = &mut d_input[source * channels..][..channels];
                d_input.iter_mut().zip(d_output).for_each(|(d, &g)| *d += factor * g);
            }
        }
    }
}
