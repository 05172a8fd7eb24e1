//! Concatenation.

use super::super::super::ImportError;
use super::super::call::Call;
use super::super::importer::Importer;
use super::super::value::{Computed, Value};
use crate::nn::graph::NodeId;
use crate::nn::ops::concat::Concat;
use crate::nn::ops::transpose::Transpose;
use crate::nn::ops::{MapAxis, Op};

pub fn concat(importer: &mut Importer, call: &Call) -> Result<Value, ImportError> {
    let inputs: Vec<Computed> =
        (0..call.inputs.len()).map(|place| call.computed(place).cloned()).collect::<Result<_, _>>()?;
    join(importer, call, "", &inputs)
}

pub fn join(importer: &mut Importer, call: &Call, part: &str, inputs: &[Computed]) -> Result<Value, ImportError> {
    let [first, ..] = inputs else { return Err(call.error("it has no inputs")) };
    if inputs.iter().any(|input| input.quantization != first.quantization || input.rank() != first.rank()) {
        return Err(call.unsupported("a concatenation of differently quantized tensors"));
    }
    // The first operator set has channels as the default.
    let axis = call.axis(call.int("axis", 1), first.rank())?;
    join_along(importer, call, part, inputs, axis)
}

fn join_along(
    importer: &mut Importer,
    call: &Call,
    part: &str,
    inputs: &[Computed],
    axis: usize,
) -> Result<Value, ImportError> {
    let [first, ..] = inputs else { return Err(call.error("it has no inputs")) };
    let rank = importer.node_dims(first.node).len();
    let alike = inputs.iter().all(|input| input.axes == first.axes && importer.node_dims(input.node).len() == rank);
    let (mut nodes, axes): (Vec<NodeId>, Vec<Option<usize>>) = if alike && first.axes[axis].is_some() {
        (inputs.iter().map(|input| input.node).collect(), first.axes.clone())
    } else {
        let nodes = inputs.iter().map(|input| importer.plain(call, input)).collect::<Result<_, _>>()?;
        (nodes, (0..first.rank()).map(Some).collect())
    };
    let rank = importer.node_dims(nodes[0]).len();
    let map_axis = match (axes[axis], rank) {
        (Some(1), _) => Some(MapAxis::Channel),
        (Some(2), 4) => Some(MapAxis::Height),
        (Some(3), 4) => Some(MapAxis::Width),
        (Some(2..), _) => None,
        _ => return Err(call.unsupported("a concatenation along the batch")),
    };
    let mut axes = axes;
    if map_axis.is_none() {
        let mut order: Vec<usize> = (0..rank).collect();
        order.swap(1, axes[axis].unwrap_or(1));
        for (place, node) in nodes.iter_mut().enumerate() {
            let swap = Op::Transpose(Transpose { axes: order.clone() });
            *node = importer.add(call, &format!("transpose{place}"), swap, &[*node], &[])?;
        }
        axes = axes.iter().map(|axis| axis.and_then(|axis| order.get(axis).copied())).collect();
    }
    let op = Op::Concat(Concat { axis: map_axis.unwrap_or(MapAxis::Channel) });
    let node = importer.add(call, part, op, &nodes, &[])?;
    Ok(Computed { node, axes, quantization: first.quantization }.into())
}

/// Repetitions of a tensor along its axes: concatenations of it with itself.
pub fn tile(importer: &mut Importer, call: &Call) -> Result<Value, ImportError> {
    let x = call.computed(0)?.clone();
    let repeats = call.ints_of("repeats", 1)?.ok_or_else(|| call.error("repeats are missing"))?;
    if repeats.len() != x.rank() {
        return Err(call.error(format!("there should be {} repeats", x.rank())));
    }
    repeat(importer, call, x, &repeats)
}

/// Each axis as often as `repeats` says.
pub fn repeat(importer: &mut Importer, call: &Call, x: Computed, repeats: &[i64]) -> Result<Value, ImportError> {
    const MOST: i64 = 64;
    let mut x = x;
    let repeated: Vec<usize> = (0..repeats.len()).filter(|&axis| repeats[axis] != 1).collect();
    for (place, &axis) in repeated.iter().enumerate() {
        let times = match repeats[axis] {
            times @ 2..=MOST => usize::try_from(times).unwrap_or(1),
            times => return Err(call.unsupported(format!("a repetition {times} times"))),
        };
        let part = if place + 1 == repeated.len() { String::new() } else { format!("axis{axis}") };
        if let Value::Computed(joined) = join_along(importer, call, &part, &vec![x.clone(); times], axis)? {
            x = joined;
        }
    }
    Ok(x.into())
}
