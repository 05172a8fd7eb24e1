//! Means, sums and maxima over axes.

use super::super::super::ImportError;
use super::super::call::Call;
use super::super::importer::Importer;
use super::super::value::{Computed, Value};
use crate::nn::ops::pool::{GlobalPool, GlobalPoolKind};
use crate::nn::ops::reduce::{Reduce, ReduceKind};
use crate::nn::ops::reshape::{Dim, Reshape};
use crate::nn::ops::{MapAxis, Op};

pub fn translate(importer: &mut Importer, call: &Call, op: &str) -> Result<Value, ImportError> {
    let x = call.computed(0)?.clone();
    let axes = match call.ints_of("axes", 1)? {
        Some(axes) if !axes.is_empty() => call.axes(&axes, x.rank())?,
        _ if call.flag("noop_with_empty_axes", false) => return Ok(x.into()),
        _ => (0..x.rank()).collect(),
    };
    // Along the batch, of which a picture is one, there is nothing to reduce.
    let mut along: Vec<usize> = axes.iter().filter_map(|&axis| x.axes[axis]).filter(|&axis| axis > 0).collect();
    along.sort_unstable();
    let mut node = x.node;
    if importer.node_dims(node).len() == 3 {
        let dims = vec![Dim::Same, Dim::Same, Dim::Of(1)];
        node = importer.add(call, "maps", Op::Reshape(Reshape { dims }), &[node], &[])?;
    }
    if !along.is_empty() {
        node = importer.add(call, "", reduction(call, op, &along)?, &[node], &[])?;
    }
    let mut result = Computed { node, ..x };
    if !call.flag("keepdims", true) {
        let mut place = 0..;
        result.axes.retain(|_| !axes.contains(&place.next().unwrap_or(0)));
    }
    Ok(result.into())
}

fn reduction(call: &Call, op: &str, along: &[usize]) -> Result<Op, ImportError> {
    match (op, along) {
        ("ReduceMean", [2, 3]) => return Ok(Op::GlobalPool(GlobalPool { kind: GlobalPoolKind::Average })),
        ("ReduceMax", [2, 3]) => return Ok(Op::GlobalPool(GlobalPool { kind: GlobalPoolKind::Max })),
        ("ReduceMax", _) => return Err(call.unsupported("a maximum over other than height and width")),
        _ => {}
    }
    let kind = if op == "ReduceMean" { ReduceKind::Mean } else { ReduceKind::Sum };
    let axes: Option<Vec<MapAxis>> = (along.iter())
        .map(|axis| [MapAxis::Batch, MapAxis::Channel, MapAxis::Height, MapAxis::Width].get(*axis).copied())
        .collect();
    let axes = axes.ok_or_else(|| call.unsupported("a reduction over further axes than those of maps"))?;
    Ok(Op::Reduce(Reduce { kind, axes, keep: true }))
}
