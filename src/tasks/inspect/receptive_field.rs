//! How much of the picture one value of a layer sees, after Araujo 2019, "Computing receptive fields of convolutional
//! neural networks", extended from chains to any graph: where branches meet, the fields are united.

use crate::base::tensor::Shape;
use crate::nn::graph::{Graph, Node};
use crate::nn::ops::lrn::LrnRegion;
use crate::nn::ops::resize::ResizeMode;
use crate::nn::ops::window::{Axis, Window};
use crate::nn::ops::{MapAxis, Op};

/// Along one axis of the picture, in pixels of the net's input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AxisField {
    /// Where the field of the first value starts; negative where it reaches into the padding.
    pub start_px: f64,
    /// How many pixels one value sees, padding included.
    pub size_px: f64,
    /// How far apart the fields of neighbouring values are; below 1 after upsampling.
    pub stride_px: f64,
}

impl AxisField {
    /// A single pixel.
    const PIXEL: Self = Self { start_px: 0.0, size_px: 1.0, stride_px: 1.0 };

    /// `count` neighbouring values of this field, the first `before` values ahead, then every `stride`th.
    fn widen(self, before: f64, count: f64, stride: f64) -> Self {
        Self {
            start_px: self.start_px - before * self.stride_px,
            size_px: self.size_px + (count - 1.0) * self.stride_px,
            stride_px: self.stride_px * stride,
        }
    }

    fn slide(self, axis: &Axis) -> Self {
        self.widen(axis.pad_before as f64, extent(axis), axis.stride as f64)
    }

    /// The adjoint of [`AxisField::slide`]: `axis` is that of the convolution which is transposed.
    fn slide_transposed(self, axis: &Axis) -> Self {
        let stride = axis.stride as f64;
        let before = ((extent(axis) - 1.0 - axis.pad_before as f64) / stride).floor();
        self.widen(before, (extent(axis) / stride).ceil(), 1.0 / stride)
    }

    fn unite(self, other: Self) -> Self {
        let start_px = self.start_px.min(other.start_px);
        let end_px = (self.start_px + self.size_px).max(other.start_px + other.size_px);
        Self { start_px, size_px: end_px - start_px, stride_px: self.stride_px.max(other.stride_px) }
    }
}

/// The length of a dilated window, in values.
fn extent(axis: &Axis) -> f64 {
    ((axis.kernel - 1) * axis.dilation + 1) as f64
}

/// What one value of a layer sees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ReceptiveField {
    /// `[vertical, horizontal]`.
    Local([AxisField; 2]),
    /// The whole picture, whatever its size: behind a global pooling, a fully connected layer and the like.
    Whole,
}

impl ReceptiveField {
    fn map(self, change: impl Fn(usize, AxisField) -> AxisField) -> Self {
        match self {
            Self::Local([vertical, horizontal]) => Self::Local([change(0, vertical), change(1, horizontal)]),
            Self::Whole => Self::Whole,
        }
    }

    fn unite(self, other: Self) -> Self {
        match (self, other) {
            (Self::Local(a), Self::Local(b)) => Self::Local([a[0].unite(b[0]), a[1].unite(b[1])]),
            _ => Self::Whole,
        }
    }

    fn slide(self, window: &Window, input: &Shape) -> Self {
        match resolve(window, input) {
            Some(axes) => self.map(|i, field| field.slide(&axes[i])),
            None => Self::Whole,
        }
    }
}

fn resolve(window: &Window, maps: &Shape) -> Option<[Axis; 2]> {
    let [_, _, height, width] = maps.as_maps()?;
    window.resolve([height, width]).ok()
}

/// The receptive field of every node, for `shapes` as [`Graph::shapes`] gives them.
pub fn receptive_fields(graph: &Graph, shapes: &[Shape]) -> Vec<ReceptiveField> {
    let mut fields: Vec<ReceptiveField> = Vec::with_capacity(shapes.len());
    for (node, output) in graph.nodes().iter().zip(shapes) {
        let seen = node.inputs.iter().map(|&id| fields[id]).reduce(ReceptiveField::unite);
        fields.push(match seen {
            None => ReceptiveField::Local([AxisField::PIXEL; 2]),
            Some(seen) => field_behind(node, seen, &shapes[node.inputs[0]], output),
        });
    }
    fields
}

/// The field of a node whose inputs together see `seen`; `input` is the shape of the first of them.
fn field_behind(node: &Node, seen: ReceptiveField, input: &Shape, output: &Shape) -> ReceptiveField {
    let keep_if = |pixelwise: bool| if pixelwise { seen } else { ReceptiveField::Whole };
    let in_plane = |axis: &MapAxis| matches!(axis, MapAxis::Height | MapAxis::Width);
    match &node.op {
        Op::Conv2d(conv) => seen.slide(&conv.window, input),
        Op::MaxPool(pool) => seen.slide(&pool.window, input),
        Op::AveragePool(pool) => seen.slide(&pool.window, input),
        Op::ConvTranspose2d(conv) => match resolve(&conv.window, output) {
            Some(axes) => seen.map(|i, field| field.slide_transposed(&axes[i])),
            None => ReceptiveField::Whole,
        },
        Op::Linear(_) | Op::GlobalPool(_) | Op::InstanceNorm(_) => ReceptiveField::Whole,
        Op::Lrn(lrn) if lrn.region == LrnRegion::WithinChannel => {
            seen.map(|_, field| field.widen(((lrn.size - 1) / 2) as f64, lrn.size as f64, 1.0))
        }
        Op::SpatialNorm(norm) => {
            seen.map(|i, field| field.widen(((norm.window[i] - 1) / 2) as f64, norm.window[i] as f64, 1.0))
        }
        Op::Pad(pad) => seen.map(|i, field| field.widen([pad.top, pad.left][i] as f64, 1.0, 1.0)),
        Op::Slice(slice) if in_plane(&slice.axis) => {
            let cut = if slice.axis == MapAxis::Height { 0 } else { 1 };
            seen.map(|i, field| if i == cut { field.widen(-(slice.start as f64), 1.0, 1.0) } else { field })
        }
        Op::Resize(resize) => match (input.as_maps(), output.as_maps()) {
            (Some([_, _, in_height, in_width]), Some([_, _, out_height, out_width])) => {
                let stride = [in_height as f64 / out_height as f64, in_width as f64 / out_width as f64];
                let count = if resize.mode == ResizeMode::Nearest { 1.0 } else { 2.0 };
                seen.map(|i, field| field.widen(0.0, count, stride[i]))
            }
            _ => ReceptiveField::Whole,
        },
        Op::Concat(concat) => keep_if(!in_plane(&concat.axis)),
        Op::Reduce(reduce) => keep_if(!reduce.axes.iter().any(in_plane)),
        Op::Reshape(_) => keep_if(plane_of(input).is_some() && plane_of(input) == plane_of(output)),
        Op::Transpose(transpose) => {
            let last = transpose.axes.len();
            keep_if(last >= 3 && transpose.axes.ends_with(&[last - 2, last - 1]))
        }
        // Of the remaining ops, none looks at neighbouring pixels.
        _ => seen,
    }
}

/// The two last dimensions, in which the pixels of maps lie.
fn plane_of(shape: &Shape) -> Option<&[usize]> {
    let dims = shape.dims();
    (dims.len() >= 3).then(|| &dims[dims.len() - 2..])
}
