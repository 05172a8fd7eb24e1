//! The one geometry of everything that slides a window over maps: convolution, pooling, transposed convolution.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::OpError;

/// How far maps are extended before a window slides over them, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Padding {
    Explicit {
        top: usize,
        left: usize,
        bottom: usize,
        right: usize,
    },
    /// TensorFlow's SAME: outputs = ceil(inputs / stride); an odd pixel goes right and below.
    SameUpper,
    /// As `SameUpper`, but an odd pixel goes left and above (ONNX `SAME_LOWER`).
    SameLower,
}

impl Padding {
    pub const NONE: Self = Self::all(0);

    /// The same padding on all four sides.
    pub const fn all(pixels: usize) -> Self {
        Self::Explicit { top: pixels, left: pixels, bottom: pixels, right: pixels }
    }
}

/// What happens to the last window when the stride does not divide the padded input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rounding {
    #[default]
    Floor,
    /// Caffe's and PyTorch's `ceil_mode`: a last partial window counts if it starts inside the input or the padding
    /// before it.
    Ceil,
}

/// A sliding window. Pairs are `[vertical, horizontal]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    pub kernel: [usize; 2],
    #[serde(default = "ones")]
    pub stride: [usize; 2],
    #[serde(default = "ones")]
    pub dilation: [usize; 2],
    #[serde(default = "no_padding")]
    pub padding: Padding,
    #[serde(default)]
    pub rounding: Rounding,
}

fn ones() -> [usize; 2] {
    [1, 1]
}

fn no_padding() -> Padding {
    Padding::NONE
}

/// One axis of a resolved window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Axis {
    pub input: usize,
    pub output: usize,
    pub kernel: usize,
    pub stride: usize,
    pub dilation: usize,
    pub pad_before: usize,
    pub pad_after: usize,
}

impl Window {
    /// A square window without padding or dilation.
    pub const fn square(kernel: usize, stride: usize) -> Self {
        Self {
            kernel: [kernel; 2],
            stride: [stride; 2],
            dilation: [1; 2],
            padding: Padding::NONE,
            rounding: Rounding::Floor,
        }
    }

    pub const fn padded(mut self, padding: Padding) -> Self {
        self.padding = padding;
        self
    }

    pub const fn ceil(mut self) -> Self {
        self.rounding = Rounding::Ceil;
        self
    }

    /// The `[vertical, horizontal]` axes for maps of `[height, width]` pixels.
    pub fn resolve(&self, input: [usize; 2]) -> Result<[Axis; 2], OpError> {
        Ok([self.resolve_axis(0, input[0])?, self.resolve_axis(1, input[1])?])
    }

    fn resolve_axis(&self, axis: usize, input: usize) -> Result<Axis, OpError> {
        const MAX: usize = 1 << 20;
        let (kernel, stride, dilation) = (self.kernel[axis], self.stride[axis], self.dilation[axis]);
        for (name, value) in [("kernel", kernel), ("stride", stride), ("dilation", dilation)] {
            if !(1..=MAX).contains(&value) {
                return Err(OpError::Attribute { name, reason: format!("{value} is not between 1 and {MAX}") });
            }
        }
        let extent = (kernel - 1) * dilation + 1;
        let (pad_before, pad_after) = match self.padding {
            Padding::Explicit { top, left, bottom, right } => [(top, bottom), (left, right)][axis],
            Padding::SameUpper | Padding::SameLower => {
                let total = (input.div_ceil(stride).max(1) - 1) * stride + extent;
                let total = total.saturating_sub(input);
                let (less, more) = (total / 2, total - total / 2);
                if self.padding == Padding::SameUpper { (less, more) } else { (more, less) }
            }
        };
        if pad_before.max(pad_after) > MAX {
            return Err(OpError::Attribute { name: "padding", reason: format!("more than {MAX} pixels") });
        }
        let padded = input + pad_before + pad_after;
        if input == 0 || padded < extent {
            return Err(OpError::WindowTooLarge { window: extent, padded });
        }
        let output = match self.rounding {
            Rounding::Floor => (padded - extent) / stride + 1,
            Rounding::Ceil => {
                let output = (padded - extent).div_ceil(stride) + 1;
                if (output - 1) * stride >= input + pad_before { output - 1 } else { output }
            }
        };
        Ok(Axis { input, output, kernel, stride, dilation, pad_before, pad_after })
    }
}

impl Axis {
    /// The input index under tap `k` of output `o`, if it lies inside the input.
    #[inline]
    pub fn input_at(&self, o: usize, k: usize) -> Option<usize> {
        (o * self.stride + k * self.dilation).checked_sub(self.pad_before).filter(|&i| i < self.input)
    }

    /// The taps of output `o` that lie inside the input.
    #[inline]
    pub fn taps(&self, o: usize) -> Range<usize> {
        let start = o * self.stride;
        let first = self.pad_before.saturating_sub(start).div_ceil(self.dilation);
        let end = (self.input + self.pad_before).saturating_sub(start).div_ceil(self.dilation).min(self.kernel);
        first.min(end)..end
    }

    /// The outputs whose windows reach over input `i`. At a dilation of 1 each has a tap on it: see [`Axis::tap_on`].
    #[inline]
    pub fn outputs_over(&self, i: usize) -> Range<usize> {
        let padded = i + self.pad_before;
        let extent = (self.kernel - 1) * self.dilation + 1;
        let first = (padded + 1).saturating_sub(extent).div_ceil(self.stride);
        let end = (padded / self.stride + 1).min(self.output);
        first.min(end)..end
    }

    /// The tap of output `o` that lies on input `i`, for an `o` of [`Axis::outputs_over`].
    #[inline]
    pub fn tap_on(&self, o: usize, i: usize) -> Option<usize> {
        let offset = i + self.pad_before - o * self.stride;
        match self.dilation {
            1 => Some(offset),
            dilation => offset.is_multiple_of(dilation).then_some(offset / dilation),
        }
    }

    /// Whether every window has a tap inside the input.
    pub fn every_window_has_a_tap(&self) -> bool {
        (0..self.output).all(|o| !self.taps(o).is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_padding_puts_the_odd_pixel_after() {
        let [axis, _] = Window::square(3, 2).padded(Padding::SameUpper).resolve([224, 224]).unwrap();
        assert_eq!((axis.output, axis.pad_before, axis.pad_after), (112, 0, 1));
        let [axis, _] = Window::square(3, 2).padded(Padding::SameLower).resolve([224, 224]).unwrap();
        assert_eq!((axis.output, axis.pad_before, axis.pad_after), (112, 1, 0));
        let [axis, _] = Window::square(3, 2).padded(Padding::SameUpper).resolve([225, 225]).unwrap();
        assert_eq!((axis.output, axis.pad_before, axis.pad_after), (113, 1, 1));
    }

    #[test]
    fn ceil_keeps_a_partial_window_that_starts_inside() {
        // GoogLeNet's pool1: 112 pixels, 3×3 stride 2, ceil gives 56 where floor gives 55.
        assert_eq!(Window::square(3, 2).ceil().resolve([112, 112]).unwrap()[0].output, 56);
        assert_eq!(Window::square(3, 2).resolve([112, 112]).unwrap()[0].output, 55);
        // A last window that would start in the padding after the input does not count.
        assert_eq!(Window::square(2, 2).padded(Padding::all(1)).ceil().resolve([3, 3]).unwrap()[0].output, 2);
    }

    #[test]
    fn taps_are_the_taps_inside_the_input() {
        for dilation in 1..3 {
            for stride in 1..4 {
                for pad in 0..3 {
                    let window = Window { dilation: [dilation; 2], ..Window::square(3, stride) };
                    let Ok([axis, _]) = window.padded(Padding::all(pad)).ceil().resolve([7, 7]) else { continue };
                    for o in 0..axis.output {
                        let expected: Vec<usize> = (0..3).filter(|&k| axis.input_at(o, k).is_some()).collect();
                        assert_eq!(axis.taps(o).collect::<Vec<_>>(), expected, "{axis:?} {o}");
                    }
                    for i in 0..axis.input {
                        let seen = (0..axis.output).flat_map(|o| (0..3).map(move |k| (o, k)));
                        let expected: Vec<_> = seen.filter(|&(o, k)| axis.input_at(o, k) == Some(i)).collect();
                        let over = axis.outputs_over(i).filter_map(|o| Some((o, axis.tap_on(o, i)?)));
                        assert_eq!(over.collect::<Vec<_>>(), expected, "{axis:?} {i}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_window_that_does_not_fit_is_an_error() {
        assert!(matches!(Window::square(5, 1).resolve([4, 8]), Err(OpError::WindowTooLarge { window: 5, padded: 4 })));
        assert!(matches!(Window::square(0, 1).resolve([4, 8]), Err(OpError::Attribute { .. })));
    }
}
