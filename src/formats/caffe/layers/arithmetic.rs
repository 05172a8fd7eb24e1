//! Layers that work on each value, or on values at one place.

use super::normalize::filled;
use super::{Converted, Cx, Refusal};
use crate::formats::caffe::schema;
use crate::nn::graph::NodeId;
use crate::nn::ops::Op;
use crate::nn::ops::activation::Activation;
use crate::nn::ops::dropout::Dropout;
use crate::nn::ops::elementwise::Elementwise;
use crate::nn::ops::prelu::PRelu;
use crate::nn::ops::scale::Scale;

fn activation(cx: &mut Cx<'_, '_>, function: Activation) -> Converted {
    let input = *cx.inputs.first().ok_or("has no input")?;
    Ok(vec![cx.add(Op::Activation(function), &[input], &[])?])
}

pub fn relu(cx: &mut Cx<'_, '_>) -> Converted {
    let slope = cx.layer.params("relu_param", schema::RELU)?.float_or("negative_slope", 0.0)?;
    activation(cx, if slope == 0.0 { Activation::Relu } else { Activation::LeakyRelu { slope } })
}

pub fn relu6(cx: &mut Cx<'_, '_>) -> Converted {
    activation(cx, Activation::Clip { low: 0.0, high: 6.0 })
}

pub fn prelu(cx: &mut Cx<'_, '_>) -> Converted {
    let params = cx.layer.params("prelu_param", schema::PRELU)?;
    let input = cx.input()?;
    let slopes = if params.flag("channel_shared", false)? { 1 } else { cx.channels(input)? };
    let slope = cx.blob(0, "slope", &[slopes])?;
    Ok(vec![cx.add(Op::PRelu(PRelu {}), &[input], &[("slope", vec![slopes], slope)])?])
}

pub fn elu(cx: &mut Cx<'_, '_>) -> Converted {
    let alpha = cx.layer.params("elu_param", schema::ELU)?.float_or("alpha", 1.0)?;
    activation(cx, Activation::Elu { alpha })
}

pub fn swish(cx: &mut Cx<'_, '_>) -> Converted {
    match cx.layer.params("swish_param", schema::SWISH)?.float_or("beta", 1.0)? {
        1.0 => activation(cx, Activation::Silu),
        beta => Err(format!("its beta is {beta}; only 1 is supported").into()),
    }
}

pub fn clip(cx: &mut Cx<'_, '_>) -> Converted {
    let params = cx.layer.params("clip_param", schema::CLIP)?;
    match (params.float("min")?, params.float("max")?) {
        (Some(low), Some(high)) if low <= high => activation(cx, Activation::Clip { low, high }),
        _ => Err("has not a `min` and a `max` above it".into()),
    }
}

pub fn sigmoid(cx: &mut Cx<'_, '_>) -> Converted {
    activation(cx, Activation::Sigmoid)
}

pub fn tanh(cx: &mut Cx<'_, '_>) -> Converted {
    activation(cx, Activation::Tanh)
}

/// A leak of −1 turns negative values around.
pub fn abs(cx: &mut Cx<'_, '_>) -> Converted {
    activation(cx, Activation::LeakyRelu { slope: -1.0 })
}

/// (shift + scale · x)^power for powers of 1, 2 and 3.
pub fn power(cx: &mut Cx<'_, '_>) -> Converted {
    let params = cx.layer.params("power_param", schema::POWER)?;
    let (power, scale) = (params.float_or("power", 1.0)?, params.float_or("scale", 1.0)?);
    let shift = params.float_or("shift", 0.0)?;
    let input = cx.input()?;
    let factors = match power {
        1.0 => 1,
        2.0 => 2,
        3.0 => 3,
        _ => return Err(format!("its power is {power}; only 1, 2 and 3 are supported").into()),
    };
    if factors == 1 {
        return Ok(vec![affine(cx, input, scale, shift, false)?]);
    }
    let base = if (scale, shift) == (1.0, 0.0) { input } else { affine(cx, input, scale, shift, true)? };
    let inputs = vec![base; factors];
    Ok(vec![cx.add(Op::Elementwise(Elementwise::Mul), &inputs, &[])?])
}

fn affine(cx: &mut Cx<'_, '_>, input: NodeId, scale: f32, shift: f32, is_helper: bool) -> Result<NodeId, Refusal> {
    let channels = cx.channels(input)?;
    let shape = || vec![channels];
    let arrays = [("factor", shape(), filled(scale, channels)), ("bias", shape(), filled(shift, channels))];
    let arrays = if shift == 0.0 { &arrays[..1] } else { &arrays[..] };
    if is_helper {
        let name = cx.names.helper(cx.layer.title(), "base");
        return cx.add_named(&name, Op::Scale(Scale {}), &[input], arrays);
    }
    cx.add(Op::Scale(Scale {}), &[input], arrays)
}

pub fn dropout(cx: &mut Cx<'_, '_>) -> Converted {
    let params = cx.layer.params("dropout_param", schema::DROPOUT)?;
    if !params.flag("scale_train", true)? {
        return Err("scales its values after training, which is not supported".into());
    }
    let rate = params.float_or("dropout_ratio", 0.5)?;
    Ok(vec![cx.add(Op::Dropout(Dropout { rate }), &[cx.input()?], &[])?])
}

pub fn eltwise(cx: &mut Cx<'_, '_>) -> Converted {
    let params = cx.layer.params("eltwise_param", schema::ELTWISE)?;
    let coefficients = params.floats("coeff")?;
    let inputs = cx.inputs.clone();
    let (first, others) = inputs.split_first().ok_or("has no input")?;
    let dims = cx.dims(*first)?;
    for &other in others {
        let other = cx.dims(other)?;
        if other != dims {
            return Err(Refusal::Shape(format!("its inputs are of different sizes, {dims:?} and {other:?}")));
        }
    }
    let op = match params.word("operation", "SUM") {
        "SUM" | "1" if coefficients.iter().all(|&coefficient| coefficient == 1.0) => Elementwise::Add,
        "SUM" | "1" if coefficients.len() == inputs.len() => Elementwise::WeightedSum { coefficients },
        "SUM" | "1" => {
            return Err(format!("has {} coefficients for {} inputs", coefficients.len(), inputs.len()).into());
        }
        "PROD" | "0" => Elementwise::Mul,
        "MAX" | "2" => Elementwise::Max,
        other => return Err(format!("its operation `{}` is not supported", super::ImportError::brief(other)).into()),
    };
    Ok(vec![cx.add(Op::Elementwise(op), &inputs, &[])?])
}
