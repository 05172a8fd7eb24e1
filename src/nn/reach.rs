//! Which values of its input an op reads for one value of its output, along height and width.
//!
//! Receptive fields and tiles are both made of this.

use super::graph::Node;
use super::ops::lrn::LrnRegion;
use super::ops::resize::ResizeMode;
use super::ops::window::{Axis, Window};
use super::ops::{MapAxis, Op};
use crate::base::tensor::Shape;

/// What is read along one axis. Indices outside the input are padding.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum AxisReach {
    /// Output `o` reads within the `extent` inputs from `o · stride − before` on.
    Slide { stride: usize, before: isize, extent: usize },
    /// The adjoint of a slide: input `i` is read by outputs within the `extent` from `i · stride − before` on.
    Spread { stride: usize, before: isize, extent: usize },
    /// Output `o` lies between `count` neighbouring inputs, the first at about `o · step`.
    Sample { step: f64, count: usize },
}

impl AxisReach {
    /// Only the input at the same place.
    const SAME: Self = Self::Slide { stride: 1, before: 0, extent: 1 };

    /// The inputs from `before` ahead of the same place on.
    fn around(before: usize, extent: usize) -> Self {
        Self::Slide { stride: 1, before: before.cast_signed(), extent }
    }
}

/// What is read of all inputs of an op.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reach {
    /// Values near the same place: `[vertical, horizontal]`.
    Near([AxisReach; 2]),
    /// Values from anywhere: a global pooling, a fully connected layer and the like.
    Whole,
}

impl Reach {
    const SAME: Self = Self::Near([AxisReach::SAME; 2]);

    /// Of a node whose first input has the shape `input`.
    pub fn of(node: &Node, input: &Shape, output: &Shape) -> Self {
        let same_if = |pixelwise: bool| if pixelwise { Self::SAME } else { Self::Whole };
        let in_plane = |axis: &MapAxis| matches!(axis, MapAxis::Height | MapAxis::Width);
        match &node.op {
            Op::Conv2d(conv) => Self::sliding(&conv.window, input),
            Op::MaxPool(pool) => Self::sliding(&pool.window, input),
            Op::AveragePool(pool) => Self::sliding(&pool.window, input),
            Op::ConvTranspose2d(conv) => match resolve(&conv.window, output) {
                Some(axes) => Self::Near(axes.map(|axis| AxisReach::Spread {
                    stride: axis.stride,
                    before: axis.pad_before.cast_signed(),
                    extent: dilated(&axis),
                })),
                None => Self::Whole,
            },
            Op::Linear(_) | Op::GlobalPool(_) | Op::InstanceNorm(_) => Self::Whole,
            Op::Lrn(lrn) if lrn.region == LrnRegion::WithinChannel => {
                Self::Near([AxisReach::around((lrn.size - 1) / 2, lrn.size); 2])
            }
            Op::SpatialNorm(norm) => Self::Near(norm.window.map(|len| AxisReach::around((len - 1) / 2, len))),
            Op::Pad(pad) => Self::Near([pad.top, pad.left].map(|before| AxisReach::around(before, 1))),
            Op::Slice(slice) if in_plane(&slice.axis) => {
                let cut = AxisReach::Slide { stride: 1, before: -slice.start.cast_signed(), extent: 1 };
                let is_high = slice.axis == MapAxis::Height;
                Self::Near(if is_high { [cut, AxisReach::SAME] } else { [AxisReach::SAME, cut] })
            }
            Op::Resize(resize) => match (input.as_maps(), output.as_maps()) {
                (Some([_, _, in_height, in_width]), Some([_, _, out_height, out_width])) => {
                    let count = if resize.mode == ResizeMode::Nearest { 1 } else { 2 };
                    let steps = [in_height as f64 / out_height as f64, in_width as f64 / out_width as f64];
                    Self::Near(steps.map(|step| AxisReach::Sample { step, count }))
                }
                _ => Self::Whole,
            },
            Op::Concat(concat) => same_if(!in_plane(&concat.axis)),
            Op::Reduce(reduce) => same_if(!reduce.axes.iter().any(in_plane)),
            Op::Reshape(_) => same_if(plane_of(input).is_some() && plane_of(input) == plane_of(output)),
            Op::Transpose(transpose) => {
                let last = transpose.axes.len();
                same_if(last >= 3 && transpose.axes.ends_with(&[last - 2, last - 1]))
            }
            // Of the remaining ops, none looks at neighbouring pixels.
            _ => Self::SAME,
        }
    }

    fn sliding(window: &Window, input: &Shape) -> Self {
        match resolve(window, input) {
            Some(axes) => Self::Near(axes.map(|axis| AxisReach::Slide {
                stride: axis.stride,
                before: axis.pad_before.cast_signed(),
                extent: dilated(&axis),
            })),
            None => Self::Whole,
        }
    }
}

fn resolve(window: &Window, maps: &Shape) -> Option<[Axis; 2]> {
    let [_, _, height, width] = maps.as_maps()?;
    window.resolve([height, width]).ok()
}

/// The length of a dilated window, in values.
fn dilated(axis: &Axis) -> usize {
    (axis.kernel - 1) * axis.dilation + 1
}

/// The two last dimensions, in which the pixels of maps lie.
fn plane_of(shape: &Shape) -> Option<&[usize]> {
    let dims = shape.dims();
    (dims.len() >= 3).then(|| &dims[dims.len() - 2..])
}
