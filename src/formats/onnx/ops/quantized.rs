//! Nets of integers as nets of numbers: weights are what their integers stand for, and activations keep the range of
//! theirs (which often is a ReLU) but not the rounding, which has no gradient.

use std::rc::Rc;
use std::sync::Arc;

use super::super::super::ImportError;
use super::super::call::Call;
use super::super::constant::{Constant, Data, for_each_offset};
use super::super::importer::Importer;
use super::super::proto::data_type;
use super::super::value::{Computed, Quantization, Value};
use super::{activation, arithmetic, join, linear, pool, window};
use crate::nn::ops::activation::Activation;
use crate::nn::ops::elementwise::Elementwise;

const NOTE: &str = "The net is quantized: its weights are used as the numbers that they stand for, and activations keep \
                    the range of their integers but are not rounded.";

pub fn translate(importer: &mut Importer, call: &Call, op: &str) -> Result<Vec<Value>, ImportError> {
    importer.note(NOTE);
    let output = match op {
        "QuantizeLinear" => quantize(importer, call, call.computed(0)?, [1, 2])?,
        "DequantizeLinear" => dequantize(importer, call)?,
        "DynamicQuantizeLinear" => return dynamic(call),
        "QLinearConv" => {
            let x = dequantized(call, [0, 1, 2])?;
            let weights = weights(importer, call, [3, 4, 5], 8, Some([0, 1, 2]))?;
            let output = window::convolve(importer, call, "linear", &x, &weights)?;
            quantize(importer, call, computed(call, &output)?, [6, 7])?
        }
        "ConvInteger" => {
            let scale = integer_scale(call)?;
            let mut weights = weights(importer, call, [1, usize::MAX, 3], usize::MAX, None)?;
            weights.weight = Rc::new(scaled(&weights.weight, 1.0 / scale));
            let x = Computed { quantization: None, ..call.computed(0)?.clone() };
            window::convolve(importer, call, "", &x, &weights)?
        }
        "QLinearMatMul" | "QGemm" => matrix(importer, call, op)?,
        "MatMulInteger" => {
            let scale = integer_scale(call)?;
            let weight = weights(importer, call, [1, usize::MAX, 3], usize::MAX, None)?.weight;
            let weight = scaled(&transposed(call, &weight)?, 1.0 / scale);
            let x = Computed { quantization: None, ..call.computed(0)?.clone() };
            linear::product(importer, call, "", &x, &weight, None)?
        }
        "QLinearAdd" | "QLinearMul" => two_inputs(importer, call, op)?,
        "QLinearConcat" => concat(importer, call)?,
        "QLinearGlobalAveragePool" | "QLinearAveragePool" if !call.flag("channels_last", false) => {
            let x = dequantized(call, [0, 1, 2])?;
            let inner = Call {
                node: call.node,
                name: format!("{}/pool", call.name),
                inputs: vec![x.into()],
                opset: call.opset,
            };
            let output = pool::translate(importer, &inner, op.trim_start_matches("QLinear"))?;
            quantize(importer, call, computed(call, &output)?, [3, 4])?
        }
        "QLinearLeakyRelu" | "QLinearSigmoid" => {
            let x = dequantized(call, [0, 1, 2])?;
            let function = match op {
                "QLinearSigmoid" => Activation::Sigmoid,
                _ => Activation::LeakyRelu { slope: call.float("alpha", 0.01) },
            };
            let output = activation::apply(importer, call, "function", &x, function)?;
            quantize(importer, call, computed(call, &output)?, [3, 4])?
        }
        _ => return Err(call.unsupported("this operator")),
    };
    Ok(vec![output])
}

fn computed<'v>(call: &Call, value: &'v Value) -> Result<&'v Computed, ImportError> {
    match value {
        Value::Computed(computed) => Ok(computed),
        _ => Err(call.error("it does not depend on the picture")),
    }
}

/// Scale and zero point of a whole tensor.
fn parameters(call: &Call, [scale, zero]: [usize; 2]) -> Result<Quantization, ImportError> {
    let wrong = || call.unsupported("an activation of several scales or zero points");
    let scale = call.constant(scale)?.single().ok_or_else(wrong)?;
    let zero = match call.optional(zero)? {
        Some(zero) => zero.single_int().ok_or_else(wrong)?,
        None => 0,
    };
    Ok(Quantization { scale, zero })
}

/// The range of the integers that a zero point is of.
fn integer_range(importer: &Importer, call: &Call, zero: usize) -> Result<[i64; 2], ImportError> {
    let name = call.node.input.get(zero).map(String::as_str).unwrap_or_default();
    let said = i32::try_from(call.int("output_dtype", 0)).unwrap_or_default();
    let kind = match importer.kind(name) {
        Some(kind) => kind,
        None if name.is_empty() && said == 0 => data_type::UINT8,
        None => said,
    };
    match kind {
        data_type::UINT8 => Ok([0, u8::MAX.into()]),
        data_type::INT8 => Ok([i8::MIN.into(), i8::MAX.into()]),
        data_type::UINT16 => Ok([0, u16::MAX.into()]),
        data_type::INT16 => Ok([i16::MIN.into(), i16::MAX.into()]),
        _ => Err(call.unsupported("a zero point of unknown type")),
    }
}

/// Keeps numbers in the range of the integers that stand for them.
fn quantize(importer: &mut Importer, call: &Call, x: &Computed, places: [usize; 2]) -> Result<Value, ImportError> {
    let quantization = parameters(call, places)?;
    let [low, high] = integer_range(importer, call, places[1])?;
    if !(quantization.scale.is_finite() && quantization.scale > 0.0) {
        return Err(call.error("the scale should be a positive number"));
    }
    let number = |integer: i64| (integer.saturating_sub(quantization.zero)) as f32 * quantization.scale;
    let clip = activation::between(Some(number(low)), Some(number(high)));
    let value = activation::apply(importer, call, "", x, clip)?;
    Ok(Computed { quantization: Some(quantization), ..computed(call, &value)?.clone() }.into())
}

/// The numbers that a quantized input stands for.
fn dequantized(call: &Call, [x, scale, zero]: [usize; 3]) -> Result<Computed, ImportError> {
    let x = call.computed(x)?;
    if x.quantization != Some(parameters(call, [scale, zero])?) {
        return Err(call.unsupported("integers that are read by another scale or zero point than they were made by"));
    }
    Ok(Computed { quantization: None, ..x.clone() })
}

fn dequantize(importer: &mut Importer, call: &Call) -> Result<Value, ImportError> {
    let x = call.computed(0)?;
    if x.quantization.is_some() {
        return dequantized(call, [0, 1, 2]).map(Value::from);
    }
    // Integers that come from outside: pixel values.
    let Quantization { scale, zero } = parameters(call, [1, 2])?;
    arithmetic::scale_all(importer, call, "", x, scale, -(zero as f32) * scale)
}

/// Integers whose scale is only known when the net runs: their numbers serve as well, at a scale of 1.
fn dynamic(call: &Call) -> Result<Vec<Value>, ImportError> {
    let quantization = Some(Quantization { scale: 1.0, zero: 0 });
    let zero = Constant { dims: Vec::new(), data: Data::Int([0].into()) };
    let x = Computed { quantization, ..call.computed(0)?.clone() };
    Ok(vec![x.into(), Constant::scalar(1.0).into(), zero.into()])
}

/// The scale of an input whose integers are computed with as they are.
fn integer_scale(call: &Call) -> Result<f32, ImportError> {
    let x = call.computed(0)?;
    let zero = match call.optional(2)? {
        Some(zero) => zero.single_int(),
        None => Some(0),
    };
    match x.quantization {
        Some(quantization) if Some(quantization.zero) == zero && quantization.scale != 0.0 => Ok(quantization.scale),
        _ => Err(call.unsupported("integers of unknown scale")),
    }
}

/// Weights and bias as numbers; with `input` its scale belongs to the bias. Scales and zero points are one a tensor or
/// one an output channel, which is the first axis.
fn weights(
    importer: &mut Importer,
    call: &Call,
    [weight, scale, zero]: [usize; 3],
    bias: usize,
    input: Option<[usize; 3]>,
) -> Result<window::Weights, ImportError> {
    let weight = call.constant(weight)?.clone();
    importer.charge(call, weight.len())?;
    let scale = call.optional(scale)?.cloned();
    let zero = call.optional(zero)?.cloned();
    let bias = match (call.optional(bias)?, &scale, input) {
        (Some(bias), Some(scale), Some([_, x_scale, x_zero])) => {
            let x_scale = parameters(call, [x_scale, x_zero])?.scale;
            let scale =
                scale.broadcast(&[bias.len()]).ok_or_else(|| call.error("the bias has not one value a channel"))?;
            Some(bias.floats().iter().zip(&*scale.floats()).map(|(bias, scale)| bias * scale * x_scale).collect())
        }
        _ => None,
    };
    let weight = Rc::new(numbers(call, &weight, scale.as_deref(), zero.as_deref(), 0)?);
    Ok(window::Weights { weight, bias })
}

/// `(q − zero) · scale`, the two along one axis or for all.
fn numbers(
    call: &Call,
    q: &Constant,
    scale: Option<&Constant>,
    zero: Option<&Constant>,
    axis: usize,
) -> Result<Constant, ImportError> {
    let wrong = || call.unsupported("scales or zero points that are not one a channel");
    // Along the one axis that scales may go along.
    let step = |of: Option<&Constant>| match of {
        Some(of) if of.len() == 1 => Ok(0),
        Some(of) if of.dims.len() == 1 && q.dims.get(axis) == Some(&of.len()) => Ok(1),
        Some(_) => Err(wrong()),
        None => Ok(0),
    };
    let (scale_step, zero_step) = (step(scale)?, step(zero)?);
    let (scales, zeros) = (scale.map(Constant::floats), zero.map(Constant::floats));
    let mut along = vec![0; q.dims.len()];
    if let Some(step) = along.get_mut(axis) {
        *step = 1;
    }
    let values = q.floats();
    let mut numbers = Vec::with_capacity(values.len());
    let mut place = 0;
    for_each_offset(&q.dims, &along, |channel| {
        let of = |all: &Option<Arc<[f32]>>, step: usize, default: f32| {
            all.as_ref().map_or(default, |all| all.get(channel * step).copied().unwrap_or(default))
        };
        let value = values.get(place).copied().unwrap_or(0.0);
        numbers.push((value - of(&zeros, zero_step, 0.0)) * of(&scales, scale_step, 1.0));
        place += 1;
    });
    Constant::float(&q.dims, numbers).ok_or_else(wrong)
}

/// The numbers that the integers of a `DequantizeLinear` stand for.
pub fn dequantize_constant(call: &Call) -> Result<Constant, ImportError> {
    if call.int("block_size", 0) != 0 {
        return Err(call.unsupported("a scale for blocks of weights"));
    }
    let q = call.constant(0)?;
    let rank = q.dims.len();
    let axis = if rank == 0 { 0 } else { call.axis(call.int("axis", 1), rank.max(2))? };
    numbers(call, q, Some(call.constant(1)?), call.optional(2)?.map(|zero| &**zero), axis)
}

/// Weights that are quantized while the net runs.
pub fn quantize_constant(importer: &Importer, call: &Call) -> Result<Constant, ImportError> {
    let (x, scale) = (call.constant(0)?, call.constant(1)?);
    let [low, high] = integer_range(importer, call, 2)?;
    let rank = x.dims.len();
    let axis = if rank == 0 { 0 } else { call.axis(call.int("axis", 1), rank.max(2))? };
    let inverse = Constant {
        dims: scale.dims.clone(),
        data: Data::Float(scale.floats().iter().map(|scale| scale.recip()).collect()),
    };
    let zero = call.optional(2)?;
    let negative = zero.map(|zero| zero.floats().iter().map(|zero| -zero).collect::<Vec<f32>>());
    let scaled = numbers(call, x, Some(&inverse), None, axis)?;
    let negative = match (negative, zero) {
        (Some(values), Some(zero)) => Constant::float(&zero.dims, values),
        _ => None,
    };
    let rounded: Vec<f32> = scaled.floats().iter().map(|value| value.round_ties_even()).collect();
    let rounded = Constant::float(&x.dims, rounded).ok_or_else(|| call.error("it is too large"))?;
    let shifted = numbers(call, &rounded, None, negative.as_ref(), axis)?;
    let clamped = shifted.floats().iter().map(|value| (*value as i64).clamp(low, high)).collect();
    Ok(Constant { dims: x.dims.clone(), data: Data::Int(clamped) })
}

fn scaled(constant: &Constant, factor: f32) -> Constant {
    let values = constant.floats().iter().map(|value| value * factor).collect();
    Constant { dims: constant.dims.clone(), data: Data::Float(values) }
}

fn transposed(call: &Call, weight: &Constant) -> Result<Constant, ImportError> {
    let transposed = if weight.dims.len() == 2 { weight.transposed(&[1, 0]) } else { None };
    transposed.ok_or_else(|| call.unsupported("a second factor that is no matrix"))
}

fn matrix(importer: &mut Importer, call: &Call, op: &str) -> Result<Value, ImportError> {
    let x = dequantized(call, [0, 1, 2])?;
    let q = call.constant(3)?.clone();
    importer.charge(call, q.len())?;
    let by_row = op == "QGemm" && call.flag("transB", false);
    let axis = if by_row { 0 } else { 1 };
    let weight = numbers(call, &q, Some(call.constant(4)?), call.optional(5)?.map(|zero| &**zero), axis)?;
    let weight = if by_row { weight } else { transposed(call, &weight)? };
    let (mut bias, mut output) = (None, [6, 7]);
    if op == "QGemm" {
        output = [7, 8];
        if call.flag("transA", false) || call.float("alpha", 1.0) != 1.0 || matches!(call.input(7), Value::Absent) {
            return Err(call.unsupported("transA, alpha, or an output that is not quantized"));
        }
        if let Some(c) = call.optional(6)? {
            let scale =
                call.constant(4)?.broadcast(&[c.len()]).ok_or_else(|| call.error("C has not one value a channel"))?;
            let x_scale = parameters(call, [1, 2])?.scale;
            bias = Some(c.floats().iter().zip(&*scale.floats()).map(|(c, scale)| c * scale * x_scale).collect());
        }
    }
    let product = linear::product(importer, call, "linear", &x, &weight, bias)?;
    quantize(importer, call, computed(call, &product)?, output)
}

fn two_inputs(importer: &mut Importer, call: &Call, op: &str) -> Result<Value, ImportError> {
    let side = |at: usize| -> Result<Value, ImportError> {
        Ok(match call.input(at) {
            Value::Constant(q) => {
                numbers(call, q, Some(call.constant(at + 1)?), call.optional(at + 2)?.map(|zero| &**zero), 0)?.into()
            }
            _ => dequantized(call, [at, at + 1, at + 2])?.into(),
        })
    };
    let (a, b) = (side(0)?, side(3)?);
    let adds = op == "QLinearAdd";
    let output = match (&a, &b) {
        (Value::Computed(a), Value::Computed(b)) => {
            let kind = if adds { Elementwise::Add } else { Elementwise::Mul };
            arithmetic::combine(importer, call, "linear", kind, &[a, b])?
        }
        (Value::Computed(x), Value::Constant(c)) | (Value::Constant(c), Value::Computed(x)) => {
            arithmetic::affine(importer, call, "linear", x, c, |c| if adds { (1.0, c) } else { (c, 0.0) })?
        }
        _ => return Err(call.error("it does not depend on the picture")),
    };
    quantize(importer, call, computed(call, &output)?, [6, 7])
}

fn concat(importer: &mut Importer, call: &Call) -> Result<Value, ImportError> {
    let mut inputs = Vec::new();
    for at in (2..call.inputs.len()).step_by(3) {
        inputs.push(dequantized(call, [at, at + 1, at + 2])?);
    }
    let joined = join::join(importer, call, "linear", &inputs)?;
    quantize(importer, call, computed(call, &joined)?, [0, 1])
}
