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
/// `recompute_scale_factor=False`); aligned corners know sizes only. An axis whose length
/// stays is copied whatever the factor.
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

    /// As PyTorch's CPU kernels do it: an axis whose length stays is copied, whatever the factor.
    fn tap(&self, o: usize) -> Tap {
        let last = self.input - 1;
        let position = match self.mode {
            _ if self.output == self.input => return Tap { low: o, high: o, weight: 0.0 },
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

    /// In single precision and with a shortcut, as PyTorch's CPU kernels do it: nothing else gives the same pixels.
    fn nearest(&self, o: usize) -> usize {
        if self.output == 2 * self.input { o / 2 } else { (o as f32 * self.step as f32) as usize }
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

#[cfg(test)]
mod tests {
    use super::super::Run;
    use super::super::check::{Tensor, assert_close, check_literals, gradient_check, run_forward};
    use super::super::layout::testing::{check_large, check_refused, index_of};
    use super::*;

    const MODES: [ResizeMode; 3] = [ResizeMode::Nearest, ResizeMode::Bilinear, ResizeMode::BilinearAlignCorners];

    fn to(size: [usize; 2], mode: ResizeMode) -> Resize {
        Resize { target: ResizeTarget::Size(size), mode }
    }

    fn by(factor: [f64; 2], mode: ResizeMode) -> Resize {
        Resize { target: ResizeTarget::Factor(factor), mode }
    }

    /// How much input `i` counts in output `o`: a tent around the sampled position, held inside the input.
    fn naive_weight(o: usize, i: usize, input: usize, output: usize, mode: ResizeMode) -> f64 {
        let last = (input - 1) as f64;
        let position = match mode {
            ResizeMode::Nearest => (o as f64 * input as f64 / output as f64).floor(),
            ResizeMode::Bilinear => (o as f64 + 0.5) * input as f64 / output as f64 - 0.5,
            ResizeMode::BilinearAlignCorners => o as f64 * last / (output - 1) as f64,
        };
        (1.0 - (position.clamp(0.0, last) - i as f64).abs()).max(0.0)
    }

    #[test]
    fn as_pytorch() {
        check_literals("elementwise.safetensors", "resize");
    }

    #[test]
    fn large_maps_as_pixel_by_pixel() {
        for mode in MODES {
            for size in [[17, 90], [40, 41], [80, 30]] {
                let x = Tensor::<f64>::random(&[2, 7, 40, 30], 1);
                let op = to(size, mode);
                let output = run_forward(&op, std::slice::from_ref(&x), &[], Run::default()).output.shape;
                check_large(&op, std::slice::from_ref(&x), &[], |at| {
                    let index = index_of(&output, at);
                    let mut sum = 0.0;
                    for i in 0..40 {
                        let above = naive_weight(index[2], i, 40, size[0], mode);
                        for j in (0..30).filter(|_| above > 0.0) {
                            let weight = above * naive_weight(index[3], j, 30, size[1], mode);
                            sum += weight * x.at(index[0], index[1], i, j);
                        }
                    }
                    sum
                });
            }
        }
    }

    #[test]
    fn gradients() {
        for mode in MODES {
            for size in [[3, 4], [1, 1], [7, 2], [2, 9], [6, 8]] {
                gradient_check(&to(size, mode), &[Tensor::random(&[2, 2, 3, 4], 2)], &[], Run::default());
            }
            gradient_check(&by([1.7, 0.6], mode), &[Tensor::random(&[1, 3, 4, 5], 3)], &[], Run::default());
            gradient_check(&to([3, 2], mode), &[Tensor::random(&[1, 3], 4)], &[], Run::default());
        }
    }

    #[test]
    fn centres_and_corners() {
        let x = Tensor::new(&[1, 1, 1, 2], vec![0.0, 1.0]);
        for (mode, expected) in [
            (ResizeMode::Nearest, [0.0, 0.0, 1.0, 1.0]),
            (ResizeMode::Bilinear, [0.0, 0.25, 0.75, 1.0]),
            (ResizeMode::BilinearAlignCorners, [0.0, 1.0 / 3.0, 2.0 / 3.0, 1.0]),
        ] {
            let y = run_forward(&to([1, 4], mode), std::slice::from_ref(&x), &[], Run::default()).output;
            assert_close(&format!("{mode:?}"), &y.data, &expected, 1e-15, 1e-15);
        }
    }

    #[test]
    fn wrong_targets_are_errors() {
        let nearest = ResizeMode::Nearest;
        let shape: &[usize] = &[1, 2, 3, 4];
        check_refused(&[
            (&to([0, 4], nearest), &[shape], &[], "3×4 pixels would become 0×4"),
            (&by([1.0, 0.2], nearest), &[shape], &[], "3×4 pixels would become 3×0"),
            (&by([f64::NAN, 1.0], nearest), &[shape], &[], "factor NaN is not a positive number"),
            (&by([1.0, f64::INFINITY], nearest), &[shape], &[], "factor inf is not a positive number"),
            (&by([-1.0, 1.0], nearest), &[shape], &[], "factor -1 is not a positive number"),
            (&by([1e300, 1.0], nearest), &[shape], &[], "too large"),
            (&to([usize::MAX, usize::MAX], nearest), &[shape], &[], "too large"),
            (&to([1, 1], nearest), &[&[1, 2, 3]], &[], "needs an input of batch × channels × height × width"),
            (&to([1, 1], nearest), &[shape, shape], &[], "takes one input"),
        ]);
    }
}
