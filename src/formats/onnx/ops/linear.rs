//! Products with matrices of weights.

use std::sync::Arc;

use super::super::super::ImportError;
use super::super::call::Call;
use super::super::constant::Constant;
use super::super::importer::Importer;
use super::super::value::{Computed, Value};
use super::activation;
use crate::nn::ops::Op;
use crate::nn::ops::conv::Conv2d;
use crate::nn::ops::linear::Linear;
use crate::nn::ops::window::Window;

/// alpha · A · B + beta · C.
pub fn gemm(importer: &mut Importer, call: &Call) -> Result<Value, ImportError> {
    if call.flag("transA", false) {
        return Err(call.unsupported("transA"));
    }
    let x = call.computed(0)?.clone();
    let b = call.constant(1)?.clone();
    importer.charge(call, b.len())?;
    // Linear layers keep [out, in].
    let weight = if call.flag("transB", false) { Some((*b).clone()) } else { b.transposed(&[1, 0]) };
    let weight = weight.filter(|weight| weight.dims.len() == 2).ok_or_else(|| call.error("B should be a matrix"))?;
    let (alpha, beta) = (call.float("alpha", 1.0), call.float("beta", 1.0));
    let scaled = |values: Arc<[f32]>, factor: f32| -> Arc<[f32]> {
        if factor == 1.0 { values } else { values.iter().map(|value| value * factor).collect() }
    };
    let bias = match call.optional(2)? {
        None => None,
        Some(c) => {
            let wrong = || call.unsupported(format!("a C of {:?} values", c.dims));
            let spread = c.broadcast(&[1, weight.dims[0]]).ok_or_else(wrong)?;
            Some(scaled(spread.floats(), beta))
        }
    };
    let weight =
        Constant::new(weight.dims.clone(), super::super::constant::Data::Float(scaled(weight.floats(), alpha)));
    let weight = weight.ok_or_else(|| call.error("B should be a matrix"))?;
    activation::fused(importer, call, |importer, part| product(importer, call, part, &x, &weight, bias.clone()))
}

pub fn mat_mul(importer: &mut Importer, call: &Call) -> Result<Value, ImportError> {
    let x = call.computed(0)?.clone();
    let b = match call.input(1) {
        Value::Computed(_) => return Err(call.unsupported("a product of two tensors that depend on the picture")),
        _ => call.constant(1)?.clone(),
    };
    importer.charge(call, b.len())?;
    let weight = b.transposed(&[1, 0]).filter(|weight| weight.dims.len() == 2);
    let weight = weight.ok_or_else(|| call.unsupported(format!("a second factor of {} axes", b.dims.len())))?;
    product(importer, call, "", &x, &weight, None)
}

/// The last axis of a tensor times a matrix; `weight` is \[out, in\].
pub fn product(
    importer: &mut Importer,
    call: &Call,
    part: &str,
    x: &Computed,
    weight: &Constant,
    bias: Option<Arc<[f32]>>,
) -> Result<Value, ImportError> {
    let [out, _] = weight.dims[..] else { return Err(call.error("the weights should be a matrix")) };
    let bias_dims = [out];
    let conv_dims = [weight.dims.as_slice(), &[1, 1]].concat();
    let node_rank = importer.node_dims(x.node).len();
    // Along the channels of maps, the product is a convolution with a window of one pixel.
    let (op, dims, input, axes) = if x.rank() == 2 {
        (Op::Linear(Linear {}), weight.dims.as_slice(), importer.plain(call, x)?, None)
    } else if node_rank == 4 && x.axes.last() == Some(&Some(1)) {
        let conv = Conv2d { window: Window::square(1, 1), groups: 1 };
        (Op::Conv2d(conv), conv_dims.as_slice(), x.node, Some(x.axes.clone()))
    } else if node_rank == 2 && x.axes.last() == Some(&Some(1)) {
        (Op::Linear(Linear {}), weight.dims.as_slice(), x.node, Some(x.axes.clone()))
    } else {
        return Err(call.unsupported("a product along other than the channels"));
    };
    let mut params = vec![("weight", dims, weight.floats())];
    if let Some(bias) = bias {
        params.push(("bias", &bias_dims, bias));
    }
    let node = importer.add(call, part, op, &[input], &params)?;
    Ok(match axes {
        Some(axes) => Computed { node, axes, quantization: None }.into(),
        None => importer.whole(node).into(),
    })
}
