//! Padding of height and width.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::layout::{expect_finite, expect_one_input, shape_of};
use super::{Backward, Forward, Keeps, Kernel, OpError, Operator, expect_maps};
use crate::base::parallel::for_each_chunk_mut;
use crate::base::tensor::{Scalar, Shape};

/// Pixels are added on each side of maps, at most 2²⁰. No parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pad {
    pub top: usize,
    pub left: usize,
    pub bottom: usize,
    pub right: usize,
    pub mode: PadMode,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PadMode {
    /// Every added pixel has this value in every channel.
    Constant(f32),
    /// Mirrors without repeating the edge; each side adds fewer pixels than there are.
    Reflect,
    /// Repeats the edge.
    Edge,
}

const MAX_PADDING: usize = 1 << 20;

impl Operator for Pad {
    fn output_shape(&self, inputs: &[&Shape], params: &[&[usize]]) -> Result<Shape, OpError> {
        let [batch, channels, height, width] = expect_maps(expect_one_input(inputs, params)?)?;
        if let PadMode::Constant(value) = self.mode {
            expect_finite("mode", value)?;
        }
        let sides = [
            ("top", self.top, height),
            ("bottom", self.bottom, height),
            ("left", self.left, width),
            ("right", self.right, width),
        ];
        for (name, padding, pixels) in sides {
            if padding > MAX_PADDING {
                return Err(OpError::Attribute {
                    name,
                    reason: format!("{padding} is more than {MAX_PADDING} pixels"),
                });
            }
            if self.mode == PadMode::Reflect && padding >= pixels {
                let reason = format!("{padding} pixels cannot be mirrored from {pixels}");
                return Err(OpError::Attribute { name, reason });
            }
        }
        shape_of(&[batch, channels, self.top + height + self.bottom, self.left + width + self.right])
    }

    fn keeps(&self, _inputs: &[&Shape]) -> Keeps {
        Keeps::NOTHING
    }
}

/// One direction of the padding.
#[derive(Clone, Copy)]
struct Side {
    input: usize,
    before: usize,
    after: usize,
}

impl Side {
    fn output(&self) -> usize {
        self.before + self.input + self.after
    }

    /// Where the input lies in the output.
    fn middle(&self) -> Range<usize> {
        self.before..self.before + self.input
    }

    /// The added outputs.
    fn added(&self) -> impl Iterator<Item = usize> + use<> {
        (0..self.before).chain(self.before + self.input..self.output())
    }

    /// The input index that output `o` shows, if any.
    fn source(&self, o: usize, mode: PadMode) -> Option<usize> {
        let last = self.input - 1;
        match mode {
            _ if self.middle().contains(&o) => Some(o - self.before),
            PadMode::Constant(_) => None,
            PadMode::Edge => Some(o.saturating_sub(self.before).min(last)),
            PadMode::Reflect if o < self.before => Some(self.before - o),
            PadMode::Reflect => Some(last - (o - self.before - last)),
        }
    }
}

impl Pad {
    /// `(channels, vertical, horizontal)`.
    fn sides(&self, input: &Shape) -> (usize, Side, Side) {
        let [_, channels, height, width] = input.as_maps().expect("output_shape has checked for maps");
        let vertical = Side { input: height, before: self.top, after: self.bottom };
        let horizontal = Side { input: width, before: self.left, after: self.right };
        (channels, vertical, horizontal)
    }
}

impl<F: Scalar> Kernel<F> for Pad {
    fn forward(&self, args: Forward<'_, F>) {
        let (channels, vertical, horizontal) = self.sides(args.inputs[0].shape);
        let (in_row, out_row) = (horizontal.input * channels, horizontal.output() * channels);
        let value = if let PadMode::Constant(value) = self.mode { F::of(f64::from(value)) } else { F::zero() };
        for_each_chunk_mut(args.output.data, out_row, |row, output| {
            let (image, y) = (row / vertical.output(), row % vertical.output());
            let Some(y) = vertical.source(y, self.mode) else { return output.fill(value) };
            let input = &args.inputs[0].data[(image * vertical.input + y) * in_row..][..in_row];
            output[self.left * channels..][..in_row].copy_from_slice(input);
            for x in horizontal.added() {
                let pixel = &mut output[x * channels..][..channels];
                match horizontal.source(x, self.mode) {
                    Some(x) => pixel.copy_from_slice(&input[x * channels..][..channels]),
                    None => pixel.fill(value),
                }
            }
        });
    }

    fn backward(&self, args: Backward<'_, F>) {
        let Some(d_input) = args.d_inputs[0].as_deref_mut() else { return };
        let (channels, vertical, horizontal) = self.sides(args.inputs[0].shape);
        let (in_row, out_row) = (horizontal.input * channels, horizontal.output() * channels);
        let add = |to: &mut [F], from: &[F]| to.iter_mut().zip(from).for_each(|(t, &f)| *t += f);
        for_each_chunk_mut(d_input, in_row, |row, d_input| {
            let (image, y) = (row / vertical.input, row % vertical.input);
            let shown = vertical.added().filter(|&o| vertical.source(o, self.mode) == Some(y));
            for o in std::iter::once(self.top + y).chain(shown) {
                let d_output = &args.d_output[(image * vertical.output() + o) * out_row..][..out_row];
                add(d_input, &d_output[self.left * channels..]);
                for x in horizontal.added() {
                    if let Some(source) = horizontal.source(x, self.mode) {
                        add(&mut d_input[source * channels..][..channels], &d_output[x * channels..]);
                    }
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::Run;
    use super::super::check::{Tensor, check_literals, gradient_check, run_forward};
    use super::super::layout::testing::{check_large, check_refused, index_of};
    use super::*;

    const MODES: [PadMode; 4] = [PadMode::Constant(0.0), PadMode::Constant(1.5), PadMode::Reflect, PadMode::Edge];

    fn pad([top, bottom, left, right]: [usize; 4], mode: PadMode) -> Pad {
        Pad { top, bottom, left, right, mode }
    }

    /// Walks from the output pixel into the input, one step at a time.
    fn naive_source(o: usize, before: usize, pixels: usize, mode: PadMode) -> Option<usize> {
        let (mut i, last) = (o as isize - before as isize, pixels as isize - 1);
        while i < 0 || i > last {
            i = match mode {
                PadMode::Constant(_) => return None,
                PadMode::Edge => i + if i < 0 { 1 } else { -1 },
                PadMode::Reflect if i < 0 => -i,
                PadMode::Reflect => 2 * last - i,
            };
        }
        Some(i as usize)
    }

    #[test]
    fn as_pytorch() {
        check_literals("elementwise.safetensors", "pad");
    }

    #[test]
    fn large_maps_as_pixel_by_pixel() {
        for mode in MODES {
            let x = Tensor::<f64>::random(&[2, 5, 40, 30], 1);
            let op = pad([3, 7, 29, 0], mode);
            let output = run_forward(&op, std::slice::from_ref(&x), &[], Run::default()).output.shape;
            check_large(&op, std::slice::from_ref(&x), &[], |at| {
                let index = index_of(&output, at);
                let (y, x_) = (naive_source(index[2], 3, 40, mode), naive_source(index[3], 29, 30, mode));
                match (y, x_, mode) {
                    (Some(y), Some(x_), _) => x.at(index[0], index[1], y, x_),
                    (.., PadMode::Constant(value)) => f64::from(value),
                    _ => unreachable!(),
                }
            });
        }
    }

    #[test]
    fn gradients() {
        for mode in MODES {
            for sides in [[0, 0, 0, 0], [1, 2, 0, 3], [2, 2, 3, 3]] {
                gradient_check(&pad(sides, mode), &[Tensor::random(&[2, 2, 3, 4], 2)], &[], Run::default());
            }
        }
        gradient_check(&pad([2, 3, 4, 5], PadMode::Edge), &[Tensor::random(&[2, 3], 3)], &[], Run::default());
    }

    #[test]
    fn too_much_is_an_error() {
        let shape: &[usize] = &[1, 2, 3, 4];
        check_refused(&[
            (&pad([3, 0, 0, 0], PadMode::Reflect), &[shape], &[], "`top`: 3 pixels cannot be mirrored from 3"),
            (&pad([0, 0, 0, 4], PadMode::Reflect), &[shape], &[], "`right`: 4 pixels cannot be mirrored from 4"),
            (&pad([0, usize::MAX, 0, 0], PadMode::Edge), &[shape], &[], "`bottom`"),
            (&pad([0, 0, 1 << 20, 0], PadMode::Edge), &[&[1 << 10, 1, 1 << 5, 1]], &[], "too large"),
            (&pad([1; 4], PadMode::Constant(f32::NAN)), &[shape], &[], "NaN is not a finite number"),
            (&pad([1; 4], PadMode::Edge), &[&[1, 2, 3]], &[], "needs an input of batch × channels × height × width"),
            (&pad([1; 4], PadMode::Edge), &[shape], &[&[1]], "takes none"),
        ]);
    }
}
