//! Parts of tensors, and padding.

use super::super::super::ImportError;
use super::super::call::Call;
use super::super::fold::indices;
use super::super::importer::Importer;
use super::super::value::{Computed, Value};
use super::{shape, window};
use crate::nn::ops::pad::{Pad, PadMode};
use crate::nn::ops::pool::MaxPool;
use crate::nn::ops::slice::Slice;
use crate::nn::ops::transpose::Transpose;
use crate::nn::ops::window::Window;
use crate::nn::ops::{MapAxis, Op};

pub fn slice(importer: &mut Importer, call: &Call) -> Result<Value, ImportError> {
    let mut x = call.computed(0)?.clone();
    let dims = importer.dims(&x);
    let cuts: Vec<shape::Cut> =
        shape::cuts(call, &dims)?.into_iter().filter(|cut| cut.step != 1 || cut.count != dims[cut.axis]).collect();
    for (place, cut) in cuts.iter().enumerate() {
        let part = if place + 1 == cuts.len() { String::new() } else { format!("cut{place}") };
        x = take(importer, call, &part, &x, cut.axis, &Places::Cut(cut))?;
    }
    Ok(x.into())
}

pub fn split(importer: &mut Importer, call: &Call) -> Result<Vec<Value>, ImportError> {
    let x = call.computed(0)?.clone();
    let dims = importer.dims(&x);
    let (axis, ranges) = shape::split_ranges(call, &dims)?;
    if let [_] = ranges[..] {
        return Ok(vec![x.into()]);
    }
    let mut outputs = Vec::new();
    for (place, (range, name)) in ranges.into_iter().zip(&call.node.output).enumerate() {
        if name.is_empty() {
            outputs.push(Value::Absent);
            continue;
        }
        let cut = shape::Cut { axis, start: range.start, step: 1, count: range.len() };
        outputs.push(take(importer, call, &place.to_string(), &x, axis, &Places::Cut(&cut))?.into());
    }
    Ok(outputs)
}

pub fn gather(importer: &mut Importer, call: &Call) -> Result<Value, ImportError> {
    let x = call.computed(0)?.clone();
    let dims = importer.dims(&x);
    let axis = call.axis(call.int("axis", 0), x.rank())?;
    let index = call.constant(1)?;
    let places = indices(call, index, dims[axis])?;
    // How PyTorch's exporter writes a view of strides: every element where it is.
    if index.dims.len() > 1 && x.rank() == 1 && places.iter().copied().eq(0..dims[axis]) {
        return shape::seen_as(importer, call, &x, index.dims.to_vec());
    }
    let mut taken = match (&places[..], dims[axis]) {
        ([0], 1) => x,
        _ => take(importer, call, "", &x, axis, &Places::List(&places))?,
    };
    match index.dims.len() {
        0 => _ = taken.axes.remove(axis),
        1 => {}
        rank => return Err(call.unsupported(format!("indices of {rank} axes"))),
    }
    Ok(taken.into())
}

enum Places<'a> {
    Cut(&'a shape::Cut),
    List(&'a [usize]),
}

impl Places<'_> {
    fn count(&self) -> usize {
        match self {
            Self::Cut(cut) => cut.count,
            Self::List(list) => list.len(),
        }
    }

    fn list(&self) -> Vec<usize> {
        match self {
            Self::Cut(cut) => cut.places(),
            Self::List(list) => list.to_vec(),
        }
    }
}

/// The elements at some places along an axis of the tensor.
fn take(
    importer: &mut Importer,
    call: &Call,
    part: &str,
    x: &Computed,
    axis: usize,
    places: &Places,
) -> Result<Computed, ImportError> {
    let Some(along) = x.axes[axis].filter(|&along| along > 0) else {
        return Err(call.unsupported("a part of the batch, or none of an axis,"));
    };
    importer.charge(call, places.count())?;
    let list = places.list();
    let (Some(&start), Some(&last)) = (list.first(), list.last()) else {
        return Err(call.unsupported("an empty tensor"));
    };
    let rank = importer.node_dims(x.node).len();
    let consecutive = list.iter().enumerate().all(|(i, &place)| Some(place) == start.checked_add(i));
    let strided =
        list.len() > 1 && list.windows(2).all(|pair| pair[1] > pair[0] && pair[1] - pair[0] == list[1] - start);
    if along == 1 && matches!(rank, 2 | 4) {
        let sources: Vec<Option<usize>> = list.iter().map(|&place| Some(place)).collect();
        return Ok(x.of(window::pick_channels(importer, call, part, x.node, &sources, 0.0)?));
    }
    let slice = |axis: MapAxis| Op::Slice(Slice { axis, start, end: last + 1 });
    match (rank, along) {
        (4, 2 | 3) if consecutive || strided => {
            let map_axis = if along == 2 { MapAxis::Height } else { MapAxis::Width };
            let part_of_slice = if consecutive { part.to_string() } else { format!("{part}range") };
            let mut node = importer.add(call, &part_of_slice, slice(map_axis), &[x.node], &[])?;
            if !consecutive {
                // A window of one pixel that jumps.
                let mut window = Window::square(1, 1);
                window.stride[along - 2] = list[1] - start;
                node = importer.add(call, part, Op::MaxPool(MaxPool { window }), &[node], &[])?;
            }
            Ok(x.of(node))
        }
        (_, 1) if consecutive => Ok(x.of(importer.add(call, part, slice(MapAxis::Channel), &[x.node], &[])?)),
        _ if consecutive => {
            let mut axes: Vec<usize> = (0..rank).collect();
            axes.swap(1, along);
            let swap = Op::Transpose(Transpose { axes: axes.clone() });
            let swapped = importer.add(call, &format!("{part}transpose"), swap, &[x.node], &[])?;
            let node = importer.add(call, part, slice(MapAxis::Channel), &[swapped], &[])?;
            let axes = x.axes.iter().map(|axis| axis.and_then(|axis| axes.get(axis).copied())).collect();
            Ok(Computed { node, axes, ..x.clone() })
        }
        _ => Err(call.unsupported("a choice of places that are not in order along this axis")),
    }
}

pub fn pad(importer: &mut Importer, call: &Call) -> Result<Value, ImportError> {
    let x = call.computed(0)?.clone();
    let rank = x.rank();
    let first = if call.attribute("paddings").is_some() { "paddings" } else { "pads" };
    let pads = call.ints_of(first, 1)?.ok_or_else(|| call.error("pads are missing"))?;
    let axes = match call.optional(3)?.and_then(|axes| axes.as_ints()) {
        Some(axes) => call.axes(axes, rank)?,
        None => (0..rank).collect(),
    };
    if pads.len() != 2 * axes.len() {
        return Err(call.error(format!("there should be {} pads", 2 * axes.len())));
    }
    let value = match call.optional(2)? {
        Some(value) => value.single().unwrap_or(0.0),
        None => call.float("value", 0.0),
    };
    let mode = match call.text("mode").as_deref() {
        None | Some("constant") => PadMode::Constant(value),
        Some("reflect") => PadMode::Reflect,
        Some("edge") => PadMode::Edge,
        Some(other) => return Err(call.unsupported(format!("mode {}", ImportError::brief(other)))),
    };
    let wrong = |_| call.unsupported("a negative pad");
    // Before and after, by axes of the node.
    let mut sides = [[0usize; 2]; 4];
    for (i, &axis) in axes.iter().enumerate() {
        let side = [pads[i], pads[i + axes.len()]];
        if side == [0, 0] {
            continue;
        }
        match x.axes[axis] {
            Some(along @ 1..4) if importer.node_dims(x.node).len() == 4 => {
                sides[along] = [usize::try_from(side[0]).map_err(wrong)?, usize::try_from(side[1]).map_err(wrong)?];
            }
            _ => return Err(call.unsupported("padding of other than channels, height and width")),
        }
    }
    let [_, channels, [top, bottom], [left, right]] = sides;
    let mut node = x.node;
    let pads_pixels = [top, bottom, left, right] != [0; 4];
    if channels != [0, 0] {
        let PadMode::Constant(fill) = mode else { return Err(call.unsupported("this padding of channels")) };
        let own = importer.node_dims(node).get(1).copied().unwrap_or(0);
        let total = channels[0].saturating_add(channels[1]).saturating_add(own);
        importer.charge(call, total)?;
        let sources: Vec<Option<usize>> =
            (0..total).map(|out| out.checked_sub(channels[0]).filter(|&source| source < own)).collect();
        let part = if pads_pixels { "channels" } else { "" };
        node = window::pick_channels(importer, call, part, node, &sources, fill)?;
    }
    if pads_pixels {
        node = importer.add(call, "", Op::Pad(Pad { top, left, bottom, right, mode }), &[node], &[])?;
    }
    Ok(x.of(node).into())
}
