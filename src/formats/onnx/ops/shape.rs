//! Other dimensions for the same values.

use std::ops::Range;

use super::super::super::ImportError;
use super::super::call::Call;
use super::super::constant::{Constant, Data, MAX_RANK, product};
use super::super::importer::Importer;
use super::super::proto::data_type;
use super::super::value::{Computed, Value};
use super::{join, window};
use crate::nn::graph::NodeId;
use crate::nn::ops::Op;
use crate::nn::ops::reshape::{Dim, Reshape};
use crate::nn::ops::transpose::Transpose;

/// What a `Reshape` asks for.
pub struct Target {
    pub dims: Vec<usize>,
    /// The axis that is whatever is left.
    pub rest: Option<usize>,
}

/// The dimensions that a `Reshape` of `dims` gives.
pub fn target(call: &Call, dims: &[usize]) -> Result<Target, ImportError> {
    let asked = call.ints_of("shape", 1)?.ok_or_else(|| call.error("the new shape is missing"))?;
    let wrong =
        || call.error(format!("{dims:?} values cannot be reshaped to {:?}", &asked[..asked.len().min(MAX_RANK)]));
    let zero_is_kept = !call.flag("allowzero", false);
    let (mut target, mut rest) = (Vec::new(), None);
    for (place, &dim) in asked.iter().enumerate() {
        target.push(match dim {
            -1 if rest.replace(place).is_none() => 1,
            0 if zero_is_kept => *dims.get(place).ok_or_else(wrong)?,
            dim => usize::try_from(dim).map_err(|_| wrong())?,
        });
    }
    let (total, known) = (product(dims).ok_or_else(wrong)?, product(&target).ok_or_else(wrong)?);
    match rest {
        Some(place) => {
            target[place] = total.checked_div(known).filter(|rest| rest * known == total).ok_or_else(wrong)?
        }
        None if total != known => return Err(wrong()),
        None => {}
    }
    Ok(Target { dims: target, rest })
}

/// The two dimensions that a `Flatten` gives.
pub fn flattened(call: &Call, dims: &[usize]) -> Result<Vec<usize>, ImportError> {
    let axis = call.int("axis", 1);
    let axis = if usize::try_from(axis) == Ok(dims.len()) { dims.len() } else { call.axis(axis, dims.len())? };
    let total = |dims: &[usize]| product(dims).ok_or_else(|| call.error("it is too large"));
    Ok(vec![total(&dims[..axis])?, total(&dims[axis..])?])
}

/// The axes that a `Squeeze` removes.
pub fn squeezed_axes(call: &Call, dims: &[usize]) -> Result<Vec<usize>, ImportError> {
    let Some(axes) = call.ints_of("axes", 1)? else {
        return Ok((0..dims.len()).filter(|&axis| dims[axis] == 1).collect());
    };
    let axes = call.axes(&axes, dims.len())?;
    if axes.iter().any(|&axis| dims[axis] != 1) {
        return Err(call.error(format!("an axis of {dims:?} that it removes is not of length 1")));
    }
    Ok(axes)
}

/// The axes of the output that an `Unsqueeze` adds.
pub fn unsqueezed_axes(call: &Call, rank: usize) -> Result<Vec<usize>, ImportError> {
    let axes = call.ints_of("axes", 1)?.ok_or_else(|| call.error("axes are missing"))?;
    if rank.saturating_add(axes.len()) > MAX_RANK {
        return Err(call.unsupported(format!("a tensor of more than {MAX_RANK} axes")));
    }
    call.axes(&axes, rank + axes.len())
}

/// The axes in the order that a `Transpose` gives them.
pub fn permutation(call: &Call, rank: usize) -> Result<Vec<usize>, ImportError> {
    let Some(axes) = call.ints("perm") else { return Ok((0..rank).rev().collect()) };
    let axes = call.axes(axes, rank)?;
    if axes.len() == rank { Ok(axes) } else { Err(call.error(format!("perm should name {rank} axes"))) }
}

/// The axis and the ranges of a `Split`.
pub fn split_ranges(call: &Call, dims: &[usize]) -> Result<(usize, Vec<Range<usize>>), ImportError> {
    let axis = call.axis(call.int("axis", 0), dims.len())?;
    let length = dims[axis];
    let outputs = call.node.output.len().max(1);
    let wrong = || call.error(format!("an axis of length {length} cannot be split so"));
    let sizes: Vec<usize> = match call.ints_of("split", 1)?.filter(|sizes| !sizes.is_empty()) {
        Some(sizes) => sizes.iter().map(|&size| usize::try_from(size).ok()).collect::<Option<_>>().ok_or_else(wrong)?,
        None => {
            // The last part may be smaller.
            let part = length.div_ceil(outputs);
            (0..outputs).map(|i| part.min(length.saturating_sub(i.saturating_mul(part)))).collect()
        }
    };
    let mut ranges = Vec::new();
    let mut start = 0usize;
    for size in sizes {
        let end = start.checked_add(size).filter(|&end| end <= length).ok_or_else(wrong)?;
        ranges.push(start..end);
        start = end;
    }
    if start == length { Ok((axis, ranges)) } else { Err(wrong()) }
}

/// A range of an axis, with a step.
pub struct Cut {
    pub axis: usize,
    pub start: usize,
    pub step: i64,
    pub count: usize,
}

impl Cut {
    /// The indices that it takes.
    pub fn places(&self) -> Vec<usize> {
        let stride = usize::try_from(self.step.unsigned_abs()).unwrap_or(usize::MAX);
        let at = |i: usize| {
            let distance = i.saturating_mul(stride);
            if self.step < 0 { self.start.saturating_sub(distance) } else { self.start.saturating_add(distance) }
        };
        (0..self.count).map(at).collect()
    }
}

/// What a `Slice` cuts from a tensor of `dims`.
pub fn cuts(call: &Call, dims: &[usize]) -> Result<Vec<Cut>, ImportError> {
    let missing = |name: &str| call.error(format!("{name} are missing"));
    let starts = call.ints_of("starts", 1)?.ok_or_else(|| missing("starts"))?;
    let ends = call.ints_of("ends", 2)?.ok_or_else(|| missing("ends"))?;
    let axes = match call.ints_of("axes", 3)? {
        Some(axes) => call.axes(&axes, dims.len())?,
        None => (0..starts.len()).collect(),
    };
    let steps = call.ints_of("steps", 4)?.unwrap_or_else(|| vec![1; starts.len()]);
    if [ends.len(), axes.len(), steps.len()] != [starts.len(); 3] || axes.iter().any(|&axis| axis >= dims.len()) {
        return Err(call.error("starts, ends, axes and steps should be of one length"));
    }
    let mut cuts = Vec::new();
    for (((&start, &end), &axis), &step) in starts.iter().zip(&ends).zip(&axes).zip(&steps) {
        let length = i64::try_from(dims[axis]).unwrap_or(i64::MAX);
        let from_start = |place: i64| if place < 0 { place.saturating_add(length) } else { place };
        let (lowest, highest) = if step < 0 { (-1, length - 1) } else { (0, length) };
        let start = from_start(start).clamp(lowest.max(0), highest.max(0));
        let end = from_start(end).clamp(lowest, highest);
        let span = if step < 0 { start - end } else { end - start };
        let count = match step {
            0 => return Err(call.error("a step is nought")),
            _ if span <= 0 => 0,
            _ => span.unsigned_abs().div_ceil(step.unsigned_abs()),
        };
        let wrong = |_| call.error("it is too large");
        cuts.push(Cut {
            axis,
            start: usize::try_from(start).map_err(wrong)?,
            step,
            count: usize::try_from(count).map_err(wrong)?,
        });
    }
    Ok(cuts)
}

pub fn reshape(importer: &mut Importer, call: &Call) -> Result<Value, ImportError> {
    let x = call.computed(0)?.clone();
    let dims = importer.dims(&x);
    let target = target(call, &dims)?;
    reshape_to(importer, call, &x, &target)
}

pub fn flatten(importer: &mut Importer, call: &Call) -> Result<Value, ImportError> {
    let x = call.computed(0)?.clone();
    let dims = flattened(call, &importer.dims(&x))?;
    reshape_to(importer, call, &x, &Target { dims, rest: Some(1) })
}

/// The same elements under other dimensions.
pub fn seen_as(importer: &mut Importer, call: &Call, x: &Computed, dims: Vec<usize>) -> Result<Value, ImportError> {
    reshape_to(importer, call, x, &Target { dims, rest: None })
}

fn reshape_to(importer: &mut Importer, call: &Call, x: &Computed, target: &Target) -> Result<Value, ImportError> {
    let dims = importer.dims(x);
    if dims == target.dims {
        return Ok(x.clone().into());
    }
    if target.dims.contains(&0) {
        return Err(call.unsupported("an empty tensor"));
    }
    let node_rank = importer.node_dims(x.node).len();
    let becomes_vector = target.dims.len() == 2 && node_rank > 2;
    if !becomes_vector && let Some(axes) = only_ones_differ(x, &dims, &target.dims) {
        return Ok(x.viewed(axes, node_rank).into());
    }
    let mut result = match shuffled(importer, call, x, &target.dims)? {
        Some(node) => Computed::whole(node, 4),
        None => reshape_node(importer, call, x, target)?,
    };
    result.quantization = x.quantization;
    Ok(result.into())
}

/// The axes to look at where dimensions differ by axes of length 1 only.
fn only_ones_differ(x: &Computed, from: &[usize], to: &[usize]) -> Option<Vec<Option<usize>>> {
    let mut long = from.iter().zip(&x.axes).filter(|&(&dim, _)| dim != 1);
    let mut axes = Vec::new();
    for (place, &dim) in to.iter().enumerate() {
        axes.push(match dim {
            1 if place == 0 && x.axes.first() == Some(&Some(0)) => Some(0),
            1 => None,
            dim => *long.next().filter(|&(&own, _)| own == dim)?.1,
        });
    }
    long.next().is_none().then_some(axes)
}

/// A reshape by a node.
fn reshape_node(importer: &mut Importer, call: &Call, x: &Computed, target: &Target) -> Result<Computed, ImportError> {
    let from = importer.dims(x);
    let node = importer.plain(call, x)?;
    let one_picture = target.dims.first() == Some(&1);
    // A tensor without an axis for the batch gets one that the graph does not see.
    let skipped = usize::from(one_picture);
    let dim = |(place, &dim): (usize, &usize)| match target.rest {
        Some(rest) if rest == place => Dim::Rest,
        _ if one_picture && target.dims.len() == 2 => Dim::Rest,
        _ if one_picture && from.get(place) == Some(&dim) => Dim::Same,
        _ => Dim::Of(dim),
    };
    let dims: Vec<Dim> = target.dims.iter().enumerate().skip(skipped).map(dim).collect();
    let node = importer.add(call, "", Op::Reshape(Reshape { dims }), &[node], &[])?;
    let axes = (0..target.dims.len()).map(|axis| Some(axis + 1 - skipped)).collect();
    Ok(Computed { node, axes, quantization: None })
}

/// A shuffle of channels (Zhang 2018): maps whose channels became two axes, which changed places and become one again.
/// As a convolution it fits maps of any size.
fn shuffled(importer: &mut Importer, call: &Call, x: &Computed, to: &[usize]) -> Result<Option<NodeId>, ImportError> {
    let Some(node) = importer.net.nodes().get(x.node) else { return Ok(None) };
    let (Op::Reshape(_), &[maps]) = (&node.op, &node.inputs[..]) else { return Ok(None) };
    let (split, whole) = (importer.node_dims(x.node), importer.node_dims(maps));
    let swapped = match split.len() {
        4 => [Some(0), Some(2), Some(1), Some(3)].as_slice(),
        5 => &[Some(0), Some(2), Some(1), Some(3), Some(4)],
        _ => return Ok(None),
    };
    let (&[_, outer, inner, ..], true) = (&split[..], x.axes == swapped && whole == to && to.len() == 4) else {
        return Ok(None);
    };
    if outer.saturating_mul(inner) != to[1] {
        return Ok(None);
    }
    let sources: Vec<Option<usize>> = (0..inner).flat_map(|i| (0..outer).map(move |o| Some(o * inner + i))).collect();
    window::pick_channels(importer, call, "", maps, &sources, 0.0).map(Some)
}

pub fn transpose(importer: &mut Importer, call: &Call) -> Result<Value, ImportError> {
    let x = call.computed(0)?;
    let axes = permutation(call, x.rank())?;
    let _ = importer;
    Ok(Computed { axes: axes.iter().map(|&axis| x.axes[axis]).collect(), ..x.clone() }.into())
}

pub fn squeeze(importer: &mut Importer, call: &Call, op: &str) -> Result<Value, ImportError> {
    let x = call.computed(0)?;
    let rank = importer.node_dims(x.node).len();
    if op == "Unsqueeze" {
        let added = unsqueezed_axes(call, x.rank())?;
        let mut old = x.axes.iter().copied();
        let axes =
            (0..x.rank() + added.len()).map(|axis| if added.contains(&axis) { None } else { old.next().flatten() });
        return Ok(x.viewed(axes.collect(), rank).into());
    }
    let removed = squeezed_axes(call, &importer.dims(x))?;
    let axes = (0..x.rank()).filter(|axis| !removed.contains(axis)).map(|axis| x.axes[axis]).collect();
    Ok(Computed { axes, ..x.clone() }.into())
}

/// Axes of length 1 are repeated.
pub fn expand(importer: &mut Importer, call: &Call) -> Result<Value, ImportError> {
    let mut x = call.computed(0)?.clone();
    let asked = call.ints_of("shape", 1)?.unwrap_or_default();
    if asked.len() > MAX_RANK {
        return Err(call.unsupported(format!("a tensor of more than {MAX_RANK} axes")));
    }
    if let Some(missing) = asked.len().checked_sub(x.rank()) {
        x.axes.splice(0..0, std::iter::repeat_n(None, missing));
    }
    let dims = importer.dims(&x);
    let mut repeats = vec![1; dims.len()];
    for (place, &asked) in (dims.len() - asked.len()..).zip(&asked) {
        match dims[place] {
            _ if asked == 1 => {}
            dim if usize::try_from(asked) == Ok(dim) => {}
            1 => repeats[place] = asked,
            dim => return Err(call.error(format!("an axis of length {dim} cannot become {asked} long"))),
        }
    }
    join::repeat(importer, call, x, &repeats)
}

pub fn shape(importer: &mut Importer, call: &Call, op: &str) -> Result<Value, ImportError> {
    let dims = importer.dims(call.computed(0)?);
    let signed = |length: usize| i64::try_from(length).unwrap_or(i64::MAX);
    if op == "Size" {
        let size = product(&dims).ok_or_else(|| call.error("it is too large"))?;
        return Ok(Constant { dims: Vec::new(), data: Data::Int([signed(size)].into()) }.into());
    }
    let rank = signed(dims.len());
    let place = |place: i64| {
        let place = if place < 0 { place.saturating_add(rank) } else { place };
        usize::try_from(place.clamp(0, rank)).unwrap_or(0)
    };
    let range = place(call.int("start", 0))..place(call.int("end", rank));
    Ok(Constant::ints(dims.get(range).unwrap_or_default().iter().map(|&dim| signed(dim)).collect()).into())
}

/// Floats of any precision are the same here; integers are not what a net computes with.
pub fn cast(call: &Call) -> Result<Value, ImportError> {
    let x = call.computed(0)?;
    let floats = [data_type::FLOAT, data_type::FLOAT16, data_type::DOUBLE, data_type::BFLOAT16];
    let named = call.text("to");
    let to = call.int("to", data_type::FLOAT.into());
    let is_float = match named.as_deref() {
        Some(name) => matches!(name, "FLOAT" | "DOUBLE" | "FLOAT16"),
        None => call.node.op_type() == "CastLike" || floats.iter().any(|&float| i64::from(float) == to),
    };
    if !is_float {
        return Err(call.unsupported("a conversion of values that depend on the picture to integers"));
    }
    Ok(x.clone().into())
}

/// Blocks of pixels become channels, or the other way round.
pub fn space(importer: &mut Importer, call: &Call, op: &str) -> Result<Value, ImportError> {
    let x = call.computed(0)?.clone();
    let input = importer.maps(call, &x)?;
    let dims = importer.node_dims(input);
    let (&[_, channels, height, width], Ok(block @ 1..)) = (&dims[..], usize::try_from(call.int("blocksize", 0)))
    else {
        return Err(call.error("it needs maps and a blocksize"));
    };
    let area = block.checked_mul(block).ok_or_else(|| call.error("the blocksize is too large"))?;
    let of = |dims: &[usize]| dims.iter().map(|&dim| Dim::Of(dim)).collect::<Vec<_>>();
    let by_column_first = call.text("mode").as_deref() == Some("CRD");
    let (split, axes, joined) = if op == "SpaceToDepth" {
        let split = of(&[channels, height / block, block, width / block, block]);
        (split, vec![0, 3, 5, 1, 2, 4], of(&[channels.saturating_mul(area), height / block, width / block]))
    } else {
        let joined = of(&[channels / area, height.saturating_mul(block), width.saturating_mul(block)]);
        match by_column_first {
            true => (of(&[channels / area, block, block, height, width]), vec![0, 1, 4, 2, 5, 3], joined),
            false => (of(&[block, block, channels / area, height, width]), vec![0, 3, 4, 1, 5, 2], joined),
        }
    };
    let split = importer.add(call, "split", Op::Reshape(Reshape { dims: split }), &[input], &[])?;
    let moved = importer.add(call, "transpose", Op::Transpose(Transpose { axes }), &[split], &[])?;
    let node = importer.add(call, "", Op::Reshape(Reshape { dims: joined }), &[moved], &[])?;
    Ok(importer.whole(node).into())
}
