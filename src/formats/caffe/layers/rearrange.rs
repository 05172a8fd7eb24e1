//! Layers that only move values.

use super::{Converted, Cx, Refusal};
use crate::formats::caffe::message::Message;
use crate::formats::caffe::schema;
use crate::nn::graph::NodeId;
use crate::nn::ops::concat::Concat;
use crate::nn::ops::reshape::{Dim, Reshape};
use crate::nn::ops::slice::Slice;
use crate::nn::ops::transpose::Transpose;
use crate::nn::ops::{MapAxis, Op};

/// The axis by its new name, which may count from the end, or by its old one.
fn axis(cx: &Cx<'_, '_>, params: &Message<'_>, old: &str, rank: usize) -> Result<MapAxis, Refusal> {
    let axis = match params.integer(old)? {
        Some(axis) => axis,
        None => params.integer("axis")?.unwrap_or(1),
    };
    cx.map_axis(cx.axis(axis, rank)?)
}

pub fn concat(cx: &mut Cx<'_, '_>) -> Converted {
    let params = cx.layer.params("concat_param", schema::CONCAT)?;
    let inputs = cx.inputs.clone();
    let first = *inputs.first().ok_or("has no input")?;
    let axis = axis(cx, &params, "concat_dim", cx.dims(first)?.len())?;
    Ok(vec![cx.add(Op::Concat(Concat { axis }), &inputs, &[])?])
}

pub fn slice(cx: &mut Cx<'_, '_>) -> Converted {
    let params = cx.layer.params("slice_param", schema::SLICE)?;
    let input = cx.input()?;
    let dims = cx.dims(input)?;
    let axis = axis(cx, &params, "slice_dim", dims.len())?;
    let length = match axis {
        MapAxis::Batch => dims.first(),
        MapAxis::Channel => dims.get(1),
        MapAxis::Height => dims.get(2),
        MapAxis::Width => dims.get(3),
    };
    let length = *length.ok_or("slices an axis that its input does not have")?;
    let tops = cx.layer.tops.len();
    let mut points: Vec<usize> = params.integers("slice_point")?;
    if points.is_empty() && tops > 0 {
        if length % tops != 0 {
            return Err(Refusal::Shape(format!("{length} values cannot be cut into {tops} equal parts")));
        }
        points = (1..tops).map(|i| i * (length / tops)).collect();
    }
    if points.len() + 1 != tops {
        return Err(format!("has {} places to cut for {tops} tops", points.len()).into());
    }
    points.push(length);
    let mut start = 0;
    let mut nodes = Vec::with_capacity(tops);
    for (top, end) in cx.layer.tops.iter().zip(points) {
        let name = cx.names.own(top);
        nodes.push(cx.add_named(&name, Op::Slice(Slice { axis, start, end }), &[input], &[])?);
        start = end;
    }
    Ok(nodes)
}

/// All tops are the input itself.
pub fn split(cx: &mut Cx<'_, '_>) -> Converted {
    Ok(vec![cx.input()?; cx.layer.tops.len()])
}

fn reshaped(cx: &mut Cx<'_, '_>, input: NodeId, dims: Vec<Dim>) -> Converted {
    Ok(vec![cx.add(Op::Reshape(Reshape { dims }), &[input], &[])?])
}

pub fn flatten(cx: &mut Cx<'_, '_>) -> Converted {
    let params = cx.layer.params("flatten_param", schema::FLATTEN)?;
    let input = cx.input()?;
    let dims = cx.dims(input)?;
    let first = cx.axis(params.integer("axis")?.unwrap_or(1), dims.len())?;
    let last = cx.axis(params.integer("end_axis")?.unwrap_or(-1), dims.len())?;
    if first == 0 || last < first {
        return Err(format!("flattens the axes {first} to {last}, which is not supported").into());
    }
    let before = std::iter::repeat_n(Dim::Same, first - 1);
    let after = dims.iter().skip(last + 1).map(|&dim| Dim::Of(dim));
    reshaped(cx, input, before.chain([Dim::Rest]).chain(after).collect())
}

/// Dimensions of 0 stay, one of −1 takes what is left; the axis of pictures must stay as it is.
pub fn reshape(cx: &mut Cx<'_, '_>) -> Converted {
    let params = cx.layer.params("reshape_param", schema::RESHAPE)?;
    let input = cx.input()?;
    let dims = cx.dims(input)?;
    let shape = params.message("shape").map_or(Ok(Vec::new()), |shape| shape.integers::<i64>("dim"))?;
    let rank = dims.len();
    let axis: i64 = params.integer("axis")?.unwrap_or(0);
    // A negative axis counts from behind the last one.
    let rank_signed = i64::try_from(rank).unwrap_or(i64::MAX);
    let first = if axis < 0 { axis.saturating_add(rank_signed).saturating_add(1) } else { axis };
    let count: i64 = params.integer("num_axes")?.unwrap_or(-1);
    let first = usize::try_from(first).ok().filter(|&first| first <= rank);
    let end = match (first, usize::try_from(count)) {
        (Some(_), Err(_)) if count == -1 => Some(rank),
        (Some(first), Ok(count)) => first.checked_add(count).filter(|&end| end <= rank),
        _ => None,
    };
    let (Some(first), Some(end)) = (first, end) else {
        return Err(
            format!("reshapes {count} axes from {axis} on, which its input of {rank} axes does not have").into()
        );
    };
    // What stays before and after, and what is put in between.
    let mut wanted: Vec<Wanted> = (0..first).map(|_| Wanted::Same).collect();
    for dim in shape {
        let place = wanted.len();
        wanted.push(match dim {
            0 if place < dims.len() => Wanted::Same,
            -1 => Wanted::Rest,
            dim => Wanted::Of(usize::try_from(dim).map_err(|_| Refusal::Other(format!("has a dimension of {dim}")))?),
        });
    }
    wanted.extend(dims.iter().skip(end).map(|&dim| Wanted::Of(dim)));
    let Some((batch, rest)) = wanted.split_first() else {
        return Err("gives a single number, which is not supported".into());
    };
    let rest = behind_batch(cx, *batch, rest, &dims)?;
    reshaped(cx, input, rest)
}

#[derive(Clone, Copy, PartialEq)]
enum Wanted {
    Same,
    Rest,
    Of(usize),
}

/// The dimensions behind the batch, if the first one is the batch still.
fn behind_batch(cx: &Cx<'_, '_>, batch: Wanted, rest: &[Wanted], dims: &[usize]) -> Result<Vec<Dim>, Refusal> {
    let pictures = cx.batch.and_then(|batch| usize::try_from(batch).ok()).unwrap_or(1);
    let each: usize = dims.iter().skip(1).product();
    let known = rest.iter().enumerate().try_fold(1usize, |product, (i, dim)| match dim {
        Wanted::Same => product.checked_mul(dims.get(i + 1).copied().unwrap_or(1)),
        Wanted::Of(dim) => product.checked_mul(*dim),
        Wanted::Rest => Some(product),
    });
    let stays = match batch {
        Wanted::Same => true,
        Wanted::Rest => known == Some(each),
        Wanted::Of(number) => number == pictures,
    };
    if !stays {
        return Err(Refusal::Shape("moves values between pictures, which is not supported".into()));
    }
    Ok(rest
        .iter()
        .map(|wanted| match wanted {
            Wanted::Same => Dim::Same,
            Wanted::Rest => Dim::Rest,
            Wanted::Of(dim) => Dim::Of(*dim),
        })
        .collect())
}

pub fn permute(cx: &mut Cx<'_, '_>) -> Converted {
    let params = cx.layer.params("permute_param", schema::PERMUTE)?;
    let input = cx.input()?;
    let rank = cx.dims(input)?.len();
    let mut axes: Vec<usize> = params.integers("order")?;
    if axes.len() > rank {
        return Err(format!("orders {} axes of an input of {rank}", axes.len()).into());
    }
    // Axes that are not named follow in their order.
    let unnamed: Vec<usize> = (0..rank).filter(|axis| !axes.contains(axis)).collect();
    axes.extend(unnamed);
    Ok(vec![cx.add(Op::Transpose(Transpose { axes }), &[input], &[])?])
}

/// Cuts the first input to the size of the second, from `offset` on.
pub fn crop(cx: &mut Cx<'_, '_>) -> Converted {
    let params = cx.layer.params("crop_param", schema::CROP)?;
    let [input, reference] = *cx.inputs else {
        return Err(format!("has {} inputs, but takes two", cx.inputs.len()).into());
    };
    let (dims, wanted) = (cx.dims(input)?, cx.dims(reference)?);
    let first = cx.axis(params.integer("axis")?.unwrap_or(2), dims.len())?;
    let offsets: Vec<usize> = params.integers("offset")?;
    let cropped: Vec<usize> = (first..dims.len()).collect();
    if dims.len() != wanted.len() || !(offsets.len() <= 1 || offsets.len() == cropped.len()) {
        return Err("its inputs and offsets do not fit each other".into());
    }
    let mut node = input;
    for (i, &place) in cropped.iter().enumerate().filter(|&(_, &place)| dims.get(place) != wanted.get(place)) {
        let offset = offsets.get(i).or(offsets.first()).copied().unwrap_or(0);
        let length = wanted.get(place).copied().unwrap_or(0);
        let end = offset.checked_add(length).ok_or("has an offset beyond any picture")?;
        let op = Op::Slice(Slice { axis: cx.map_axis(place)?, start: offset, end });
        node = if cropped.iter().skip(i + 1).any(|&later| dims.get(later) != wanted.get(later)) {
            cx.add_helper("rows", op, &[node])?
        } else {
            cx.add(op, &[node], &[])?
        };
    }
    if node != input {
        let title = super::ImportError::brief(cx.layer.title());
        cx.notes
            .push(format!("The layer `{title}` crops to a size that holds for pictures of the net's own size only."));
    }
    Ok(vec![node])
}
