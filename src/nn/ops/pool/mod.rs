//! Pooling: windows or whole maps become one pixel, channel by channel.

use super::window::{Axis, Window};
use super::{OpError, expect_inputs, expect_maps};
use crate::base::tensor::Shape;

mod average;
mod frozen;
mod global;
mod max;

pub use average::{AveragePool, Divisor};
pub use frozen::FrozenMaxPool;
pub use global::{GlobalPool, GlobalPoolKind};
pub use max::MaxPool;

/// The output shape of a pooling window. Every window must touch the input: it has nothing to pool otherwise.
fn windowed_shape(window: &Window, inputs: &[&Shape], params: &[&[usize]]) -> Result<Shape, OpError> {
    let [batch, channels, height, width] = pooled_maps(inputs, params)?;
    let [rows, columns] = window.resolve([height, width])?;
    if !rows.every_window_has_a_tap() || !columns.every_window_has_a_tap() {
        let reason = format!("with {:?} some window lies wholly outside the {height}×{width} input", window.padding);
        return Err(OpError::Attribute { name: "padding", reason });
    }
    Shape::new(&[batch, channels, rows.output, columns.output]).ok_or(OpError::TooLarge)
}

/// `[batch, channels, height, width]` of the one input; pooling has no parameters.
fn pooled_maps(inputs: &[&Shape], params: &[&[usize]]) -> Result<[usize; 4], OpError> {
    let [input] = expect_inputs(inputs, "1 input")?;
    if !params.is_empty() {
        return Err(OpError::Params { expected: "none", got: params.len() });
    }
    expect_maps(input)
}

/// The geometry of a window over an input that has passed [`windowed_shape`].
struct Geometry {
    channels: usize,
    rows: Axis,
    columns: Axis,
}

impl Geometry {
    fn new(window: &Window, input: &Shape) -> Self {
        let [_, channels, height, width] = input.as_maps().expect("output_shape has checked the input");
        let [rows, columns] = window.resolve([height, width]).expect("output_shape has checked the window");
        Self { channels, rows, columns }
    }

    /// Elements of one row of the input.
    fn input_row(&self) -> usize {
        self.columns.input * self.channels
    }

    /// Elements of one row of the output.
    fn output_row(&self) -> usize {
        self.columns.output * self.channels
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::ops::Operator;
    use crate::nn::ops::window::Padding;

    /// Windows of every sort, for maps of at least 5×5 pixels.
    pub(super) fn windows() -> Vec<(&'static str, Window)> {
        let asymmetric = Padding::Explicit { top: 1, left: 0, bottom: 2, right: 1 };
        vec![
            ("2×2 stride 2", Window::square(2, 2)),
            ("2×2 stride 2 ceil", Window::square(2, 2).ceil()),
            ("3×3 stride 1 padded", Window::square(3, 1).padded(Padding::all(1))),
            ("3×3 stride 2 ceil", Window::square(3, 2).ceil()),
            ("3×3 stride 2 asymmetric", Window::square(3, 2).padded(asymmetric)),
            ("3×3 stride 2 asymmetric ceil", Window::square(3, 2).padded(asymmetric).ceil()),
            ("3×3 stride 2 same", Window::square(3, 2).padded(Padding::SameUpper)),
            ("2×2 stride 3, with gaps", Window::square(2, 3)),
            ("3×2 dilated", Window { kernel: [3, 2], dilation: [2, 3], ..Window::square(1, 1) }),
            (
                "2×3 dilated, strided, padded",
                Window { kernel: [2, 3], stride: [2, 1], dilation: [2, 2], ..Window::square(1, 1) }
                    .padded(Padding::all(1)),
            ),
        ]
    }

    #[test]
    fn what_cannot_be_pooled_is_refused() {
        let maps = Shape::maps(1, 3, 6, 6);
        let pool = |window| MaxPool { window }.output_shape(&[&maps], &[]);
        assert_eq!(pool(Window::square(2, 2)), Ok(Shape::maps(1, 3, 3, 3)));
        assert!(matches!(pool(Window::square(7, 1)), Err(OpError::WindowTooLarge { window: 7, padded: 6 })));
        assert!(matches!(pool(Window::square(2, 0)), Err(OpError::Attribute { name: "stride", .. })));
        let outside = Window::square(2, 1).padded(Padding::all(2));
        assert!(matches!(pool(outside), Err(OpError::Attribute { name: "padding", .. })));
        let astride = Window { dilation: [7; 2], ..Window::square(2, 1) }.padded(Padding::all(1));
        assert!(matches!(pool(astride), Err(OpError::Attribute { name: "padding", .. })));

        let op = GlobalPool { kind: GlobalPoolKind::Max };
        assert!(matches!(op.output_shape(&[], &[]), Err(OpError::Inputs { got: 0, .. })));
        assert!(matches!(op.output_shape(&[&maps], &[&[3]]), Err(OpError::Params { got: 1, .. })));
        let empty = Shape::maps(1, 3, 0, 6);
        assert!(matches!(op.output_shape(&[&empty], &[]), Err(OpError::InputShape { .. })));
        let rank_3 = Shape::new(&[1, 3, 6]).unwrap();
        assert!(matches!(op.output_shape(&[&rank_3], &[]), Err(OpError::InputShape { .. })));
        assert_eq!(op.output_shape(&[&Shape::maps(1, 1, 1 << 17, 1 << 17)], &[]), Err(OpError::TooLarge));
    }
}
