//! Means, sums and maxima over axes.

use super::super::super::ImportError;
use super::super::call::Call;
use super::super::constant::{Constant, Data, for_each_offset, product, strides};
use super::super::importer::Importer;
use super::super::value::{Computed, Value};
use crate::nn::ops::pool::{GlobalPool, GlobalPoolKind};
use crate::nn::ops::reduce::{Reduce, ReduceKind};
use crate::nn::ops::reshape::{Dim, Reshape};
use crate::nn::ops::{MapAxis, Op};

/// The axes that are reduced; `None` where the tensor stays as it is.
fn axes(call: &Call, rank: usize) -> Result<Option<Vec<usize>>, ImportError> {
    Ok(match call.ints_of("axes", 1)? {
        Some(axes) if !axes.is_empty() => Some(call.axes(&axes, rank)?),
        _ if call.flag("noop_with_empty_axes", false) => None,
        _ => Some((0..rank).collect()),
    })
}

pub fn translate(importer: &mut Importer, call: &Call, op: &str) -> Result<Value, ImportError> {
    let x = call.computed(0)?.clone();
    let Some(axes) = axes(call, x.rank())? else { return Ok(x.into()) };
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

/// The reduction of an array that is known while reading.
pub fn fold(call: &Call, op: &str) -> Result<Constant, ImportError> {
    let constant = call.constant(0)?;
    let rank = constant.dims.len();
    let Some(axes) = axes(call, rank)? else { return Ok((**constant).clone()) };
    let of = strides(&constant.dims);
    let (kept, gone): (Vec<usize>, Vec<usize>) = (0..rank).partition(|axis| !axes.contains(axis));
    let pick = |axes: &[usize], from: &[usize]| -> Vec<usize> { axes.iter().map(|&axis| from[axis]).collect() };
    let (kept_dims, kept_steps) = (pick(&kept, &constant.dims), pick(&kept, &of));
    let (gone_dims, gone_steps) = (pick(&gone, &constant.dims), pick(&gone, &of));
    let data = match &constant.data {
        Data::Float(values) => {
            let count = product(&gone_dims).unwrap_or(0) as f64;
            let mut results = Vec::new();
            for_each_offset(&kept_dims, &kept_steps, |start| {
                let mut result = float_start(op);
                for_each_offset(&gone_dims, &gone_steps, |offset| {
                    result = join_floats(op, result, f64::from(values[start + offset]));
                });
                results.push(if op == "ReduceMean" { result / count } else { result } as f32);
            });
            Data::Float(results.into())
        }
        Data::Int(values) => {
            let mut results = Vec::new();
            for_each_offset(&kept_dims, &kept_steps, |start| {
                let mut result = None;
                for_each_offset(&gone_dims, &gone_steps, |offset| {
                    let value = values[start + offset];
                    result = Some(result.map_or(Some(value), |result: Option<i64>| join_ints(op, result?, value)));
                });
                results.push(result.unwrap_or(Some(i64::from(op == "ReduceProd"))));
            });
            let results: Option<Vec<i64>> = results.into_iter().collect();
            Data::Int(results.ok_or_else(|| call.error("its integers overflow, or it is no sum of them"))?.into())
        }
    };
    let dims = match call.flag("keepdims", true) {
        true => (0..rank).map(|axis| if axes.contains(&axis) { 1 } else { constant.dims[axis] }).collect(),
        false => kept_dims,
    };
    Constant::new(dims, data).ok_or_else(|| call.error("it is too large"))
}

fn float_start(op: &str) -> f64 {
    match op {
        "ReduceProd" => 1.0,
        "ReduceMax" => f64::NEG_INFINITY,
        "ReduceMin" => f64::INFINITY,
        _ => 0.0,
    }
}

fn join_floats(op: &str, a: f64, b: f64) -> f64 {
    match op {
        "ReduceProd" => a * b,
        "ReduceMax" => a.max(b),
        "ReduceMin" => a.min(b),
        _ => a + b,
    }
}

fn join_ints(op: &str, a: i64, b: i64) -> Option<i64> {
    match op {
        "ReduceProd" => a.checked_mul(b),
        "ReduceSum" => a.checked_add(b),
        "ReduceMax" => Some(a.max(b)),
        "ReduceMin" => Some(a.min(b)),
        _ => None,
    }
}
