//! Pooling.

use super::super::super::ImportError;
use super::super::call::Call;
use super::super::importer::Importer;
use super::super::value::Value;
use super::window;
use crate::nn::ops::Op;
use crate::nn::ops::pool::{AveragePool, Divisor, GlobalPool, GlobalPoolKind, MaxPool};

pub fn translate(importer: &mut Importer, call: &Call, op: &str) -> Result<Value, ImportError> {
    if call.node.output.get(1).is_some_and(|name| !name.is_empty()) {
        importer.note("Places of maxima, which some pooling layers also give, are left out.");
    }
    let x = call.computed(0)?;
    let pool = match op {
        "MaxPool" => Op::MaxPool(MaxPool { window: window::window(call, None)? }),
        "AveragePool" => {
            let window = window::window(call, None)?;
            let divisor = if call.flag("count_include_pad", false) { Divisor::Padded } else { Divisor::Inside };
            Op::AveragePool(AveragePool { window, divisor })
        }
        "GlobalMaxPool" => Op::GlobalPool(GlobalPool { kind: GlobalPoolKind::Max }),
        _ => Op::GlobalPool(GlobalPool { kind: GlobalPoolKind::Average }),
    };
    if x.rank() != 4 {
        return Err(call.unsupported(format!("pooling of a tensor of {} axes", x.rank())));
    }
    let quantization = x.quantization;
    let input = importer.maps(call, x)?;
    let node = importer.add(call, "", pool, &[input], &[])?;
    let mut output = importer.whole(node);
    output.quantization = quantization;
    Ok(output.into())
}
