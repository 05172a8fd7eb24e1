//! How much of the picture one value of a layer sees, after Araujo 2019, "Computing receptive fields of convolutional
//! neural networks", extended from chains to any graph: where branches meet, the fields are united.

use super::graph::Graph;
use super::reach::{AxisReach, Reach};
use crate::base::tensor::Shape;

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

    /// The field of values that read this far.
    fn behind(self, reach: AxisReach) -> Self {
        match reach {
            AxisReach::Slide { stride, before, extent } => self.widen(before as f64, extent as f64, stride as f64),
            AxisReach::Spread { stride, before, extent } => {
                let (stride, extent) = (stride as f64, extent as f64);
                let ahead = ((extent - 1.0 - before as f64) / stride).floor();
                self.widen(ahead, (extent / stride).ceil(), 1.0 / stride)
            }
            AxisReach::Sample { step, count } => self.widen(0.0, count as f64, step),
        }
    }

    fn unite(self, other: Self) -> Self {
        let start_px = self.start_px.min(other.start_px);
        let end_px = (self.start_px + self.size_px).max(other.start_px + other.size_px);
        Self { start_px, size_px: end_px - start_px, stride_px: self.stride_px.max(other.stride_px) }
    }
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
    fn unite(self, other: Self) -> Self {
        match (self, other) {
            (Self::Local(a), Self::Local(b)) => Self::Local([a[0].unite(b[0]), a[1].unite(b[1])]),
            _ => Self::Whole,
        }
    }

    fn behind(self, reach: Reach) -> Self {
        match (self, reach) {
            (Self::Local(field), Reach::Near(axes)) => Self::Local([0, 1].map(|i| field[i].behind(axes[i]))),
            _ => Self::Whole,
        }
    }
}

/// The receptive field of every node, for `shapes` as [`Graph::shapes`] gives them.
pub fn receptive_fields(graph: &Graph, shapes: &[Shape]) -> Vec<ReceptiveField> {
    let mut fields: Vec<ReceptiveField> = Vec::with_capacity(shapes.len());
    for (node, output) in graph.nodes().iter().zip(shapes) {
        let seen = node.inputs.iter().map(|&id| fields[id]).reduce(ReceptiveField::unite);
        fields.push(match seen {
            None => ReceptiveField::Local([AxisField::PIXEL; 2]),
            Some(seen) => seen.behind(Reach::of(node, &shapes[node.inputs[0]], output)),
        });
    }
    fields
}
