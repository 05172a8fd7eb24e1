//! Resampling, by the three conventions that TensorFlow knows.

use super::layout::Format;
use super::reshape::constant;
use super::{Converter, Map, Reason, Value};
use crate::formats::tensorflow::graph::Node;
use crate::nn::ops::pad::{Pad, PadMode};
use crate::nn::ops::resize::{Resize, ResizeMode, ResizeTarget};
use crate::nn::ops::slice::Slice;
use crate::nn::ops::{MapAxis, Op};

/// `[height, width]` of a constant.
pub(super) fn size_of(inputs: &[Value]) -> Result<[usize; 2], Reason> {
    let wanted = constant(inputs, 1)?.as_ints()?;
    let size: Vec<usize> = wanted.iter().filter_map(|&size| usize::try_from(size).ok()).collect();
    match *size.as_slice() {
        [height, width] if wanted.len() == 2 && height.min(width) > 0 && height.max(width) < super::MAX_AXIS => {
            Ok([height, width])
        }
        _ => Err(format!("{wanted:?} is not the size of a picture")),
    }
}

impl Converter<'_, '_> {
    pub(super) fn resize(&mut self, node: &Node<'_>, inputs: &[Value]) -> Result<Value, Reason> {
        let to = size_of(inputs)?;
        let corners = node.flag("align_corners", false)?;
        let centres = node.flag("half_pixel_centers", false)?;
        let map = self.map_at(inputs, 0)?;
        let map = self.maps(&map, Format::Nhwc)?;
        let dims = self.net_dims(&map)?;
        let from = [dims[2], dims[3]];
        if from == to {
            return Ok(Value::Map(map));
        }
        let multiple = (0..2).all(|i| from[i] > 0 && to[i].is_multiple_of(from[i]));
        let target = if multiple && !corners {
            ResizeTarget::Factor([(to[0] / from[0]) as f64, (to[1] / from[1]) as f64])
        } else {
            ResizeTarget::Size(to)
        };
        let mode = match (node.op, corners, centres) {
            ("ResizeBilinear", true, false) => ResizeMode::BilinearAlignCorners,
            ("ResizeBilinear", false, true) => ResizeMode::Bilinear,
            ("ResizeBilinear", false, false) => return self.resize_from_corner(&map, to),
            ("ResizeNearestNeighbor", false, false) => ResizeMode::Nearest,
            // Between pixel centres, whole multiples choose the same pixels.
            ("ResizeNearestNeighbor", false, true) if multiple => ResizeMode::Nearest,
            _ => return Err(format!("resizing {from:?} to {to:?} by its conventions is not supported")),
        };
        self.elementwise(Op::Resize(Resize { target, mode }), &map)
    }

    /// Output pixel i at i · input / output. Repeating the last pixel makes this a resampling of aligned corners, of one
    /// pixel more on either side.
    fn resize_from_corner(&mut self, map: &Map, to: [usize; 2]) -> Result<Value, Reason> {
        let name = self.fresh("padded");
        let pad = Pad { top: 0, left: 0, bottom: 1, right: 1, mode: PadMode::Edge };
        let padded = self.add(&name, Op::Pad(pad), &[map.id], &[])?;
        let target = ResizeTarget::Size([to[0] + 1, to[1] + 1]);
        let resize = Resize { target, mode: ResizeMode::BilinearAlignCorners };
        let name = self.fresh("resized");
        let resized = self.add(&name, Op::Resize(resize), &[padded], &[])?;
        let name = self.fresh("rows");
        let rows = Slice { axis: MapAxis::Height, start: 0, end: to[0] };
        let rows = self.add(&name, Op::Slice(rows), &[resized], &[])?;
        let id = self.add_here(Op::Slice(Slice { axis: MapAxis::Width, start: 0, end: to[1] }), &[rows], &[])?;
        Ok(Value::Map(Map { id, ..map.clone() }))
    }
}
