//! Functions of one value.

use super::super::super::ImportError;
use super::super::call::Call;
use super::super::importer::Importer;
use super::super::value::{Computed, Value};
use super::arithmetic;
use crate::nn::ops::Op;
use crate::nn::ops::activation::Activation;
use crate::nn::ops::dropout::Dropout;
use crate::nn::ops::elementwise::Elementwise;
use crate::nn::ops::prelu::PRelu;

pub fn translate(importer: &mut Importer, call: &Call, op: &str) -> Result<Value, ImportError> {
    let function = match op {
        "Relu" => Activation::Relu,
        "LeakyRelu" => Activation::LeakyRelu { slope: call.float("alpha", 0.01) },
        "Elu" => Activation::Elu { alpha: call.float("alpha", 1.0) },
        "Selu" => return selu(importer, call),
        "Sigmoid" => Activation::Sigmoid,
        "Tanh" => Activation::Tanh,
        "Erf" => Activation::Erf,
        "Clip" => clip(call)?,
        "HardSigmoid" => Activation::HardSigmoid { slope: call.float("alpha", 0.2), offset: call.float("beta", 0.5) },
        "HardSwish" => Activation::HardSwish,
        "Swish" if call.float("alpha", 1.0) == 1.0 => Activation::Silu,
        "Gelu" if call.text("approximate").as_deref() == Some("tanh") => return gelu_by_tanh(importer, call),
        "Gelu" => return gelu(importer, call),
        _ => return Err(call.unsupported("this operator")),
    };
    apply(importer, call, "", call.computed(0)?, function)
}

pub fn apply(
    importer: &mut Importer,
    call: &Call,
    part: &str,
    x: &Computed,
    function: Activation,
) -> Result<Value, ImportError> {
    let node = importer.add(call, part, Op::Activation(function), &[x.node], &[])?;
    Ok(x.of(node).into())
}

/// The function between two bounds, either of which may be open.
pub fn between(low: Option<f32>, high: Option<f32>) -> Activation {
    let low = low.map_or(f32::MIN, |low| low.max(f32::MIN));
    let high = high.map_or(f32::MAX, |high| high.min(f32::MAX));
    if low == 0.0 && high == f32::MAX { Activation::Relu } else { Activation::Clip { low, high } }
}

/// The bounds are attributes before operator set 11, then inputs.
fn clip(call: &Call) -> Result<Activation, ImportError> {
    let bound = |name: &str, place: usize| -> Result<Option<f32>, ImportError> {
        if let Some(attribute) = call.attribute(name) {
            return Ok(attribute.f);
        }
        let Some(constant) = call.optional(place)? else { return Ok(None) };
        constant.single().map(Some).ok_or_else(|| call.error(format!("{name} should be one number")))
    };
    Ok(between(bound("min", 1)?, bound("max", 2)?))
}

/// gamma · ELU (Klambauer 2017).
fn selu(importer: &mut Importer, call: &Call) -> Result<Value, ImportError> {
    let (alpha, gamma) = (call.float("alpha", 1.673_263_2), call.float("gamma", 1.050_701));
    let x = call.computed(0)?;
    let elu = importer.add(call, "elu", Op::Activation(Activation::Elu { alpha }), &[x.node], &[])?;
    arithmetic::scale_all(importer, call, "", &x.of(elu), gamma, 0.0)
}

/// ½ · x · (1 + erf(x / √2)) (Hendrycks 2016).
fn gelu(importer: &mut Importer, call: &Call) -> Result<Value, ImportError> {
    let x = call.computed(0)?.clone();
    let scaled = Elementwise::WeightedSum { coefficients: vec![std::f32::consts::FRAC_1_SQRT_2 / 2.0; 2] };
    let scaled = importer.add(call, "scaled", Op::Elementwise(scaled), &[x.node; 2], &[])?;
    let erf = importer.add(call, "erf", Op::Activation(Activation::Erf), &[scaled], &[])?;
    let product = importer.add(call, "product", Op::Elementwise(Elementwise::Mul), &[x.node, erf], &[])?;
    let halves = Elementwise::WeightedSum { coefficients: vec![0.5, 0.5] };
    let node = importer.add(call, "", Op::Elementwise(halves), &[x.node, product], &[])?;
    Ok(x.of(node).into())
}

/// ½ · x · (1 + tanh(√(2/π) · (x + 0.044715 · x³))) (Hendrycks 2016).
fn gelu_by_tanh(importer: &mut Importer, call: &Call) -> Result<Value, ImportError> {
    const CUBIC: f32 = 0.044_715;
    let x = call.computed(0)?.clone();
    let outer = (2.0 / std::f32::consts::PI).sqrt();
    let cube = importer.add(call, "cube", Op::Elementwise(Elementwise::Mul), &[x.node; 3], &[])?;
    let sum = Elementwise::WeightedSum { coefficients: vec![outer, outer * CUBIC] };
    let sum = importer.add(call, "sum", Op::Elementwise(sum), &[x.node, cube], &[])?;
    let tanh = importer.add(call, "tanh", Op::Activation(Activation::Tanh), &[sum], &[])?;
    let product = importer.add(call, "product", Op::Elementwise(Elementwise::Mul), &[x.node, tanh], &[])?;
    let halves = Elementwise::WeightedSum { coefficients: vec![0.5, 0.5] };
    let node = importer.add(call, "", Op::Elementwise(halves), &[x.node, product], &[])?;
    Ok(x.of(node).into())
}

pub fn prelu(importer: &mut Importer, call: &Call) -> Result<Value, ImportError> {
    let x = call.computed(0)?.clone();
    let slope = call.constant(1)?.clone();
    if slope.len() == 1 {
        let node = importer.add(call, "", Op::PRelu(PRelu {}), &[x.node], &[("slope", &[1], slope.floats())])?;
        return Ok(x.of(node).into());
    }
    // Before operator set 7 a vector of slopes belongs to the channels.
    let slope = match slope.dims[..] {
        [channels] if call.opset < 7 && x.rank() == 4 => slope.reshaped(vec![channels, 1, 1]).map(std::rc::Rc::new),
        _ => Some(slope),
    };
    let slope = slope.ok_or_else(|| call.error("the slopes have no dimensions"))?;
    let Some(slopes) = arithmetic::per_channel(importer, call, &x, &slope)? else {
        return Err(call.unsupported("a slope that differs from pixel to pixel"));
    };
    let dims = [slopes.len()];
    let node = importer.add(call, "", Op::PRelu(PRelu {}), &[x.node], &[("slope", &dims, slopes.into())])?;
    Ok(x.of(node).into())
}

/// Inference leaves values as they are; the rate is kept for those who train further.
pub fn dropout(importer: &mut Importer, call: &Call) -> Result<Value, ImportError> {
    let training = call.optional(2)?.and_then(|training| training.single()).is_some_and(|training| training != 0.0);
    if training {
        return Err(call.unsupported("dropout that goes on after training"));
    }
    let x = call.computed(0)?;
    let rate = match call.optional(1)? {
        Some(rate) => rate.single().unwrap_or(0.5),
        None => call.float("ratio", 0.5),
    };
    if !(0.0..1.0).contains(&rate) || x.quantization.is_some() {
        return Ok(x.clone().into());
    }
    let node = importer.add(call, "", Op::Dropout(Dropout { rate }), &[x.node], &[])?;
    Ok(x.of(node).into())
}

/// Runs an operator and what com.microsoft's fused forms of it apply to its output.
pub fn fused(
    importer: &mut Importer,
    call: &Call,
    operator: impl FnOnce(&mut Importer, &str) -> Result<Value, ImportError>,
) -> Result<Value, ImportError> {
    let Some(name) = call.text("activation").filter(|_| call.node.op_type().starts_with("Fused")) else {
        return operator(importer, "");
    };
    let constants =
        call.attribute("activation_params").map(|attribute| attribute.floats.as_slice()).unwrap_or_default();
    let function = match (name.as_str(), constants) {
        ("Relu", _) => Activation::Relu,
        ("Sigmoid", _) => Activation::Sigmoid,
        ("Tanh", _) => Activation::Tanh,
        ("LeakyRelu", &[slope]) => Activation::LeakyRelu { slope },
        ("Clip", &[low, high]) => between(Some(low), Some(high)),
        ("HardSigmoid", &[slope, offset]) => Activation::HardSigmoid { slope, offset },
        _ => return Err(call.unsupported(format!("the activation {}", ImportError::brief(&name)))),
    };
    match operator(importer, "linear")? {
        Value::Computed(output) => apply(importer, call, "", &output, function),
        other => Ok(other),
    }
}
