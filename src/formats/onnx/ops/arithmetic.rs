//! Sums, products and the like, of tensors with each other and with constants.

use std::rc::Rc;

use super::super::super::ImportError;
use super::super::call::Call;
use super::super::constant::{Constant, product, strides};
use super::super::fold::{second_operand, trailing_axes};
use super::super::importer::Importer;
use super::super::value::{Computed, Value};
use super::{activation, window};
use crate::nn::graph::NodeId;
use crate::nn::ops::Op;
use crate::nn::ops::elementwise::Elementwise;
use crate::nn::ops::reshape::{Dim, Reshape};
use crate::nn::ops::scale::Scale;
use crate::nn::ops::transpose::Transpose;

pub fn translate(importer: &mut Importer, call: &Call, op: &str) -> Result<Value, ImportError> {
    match (op, call.inputs.as_slice()) {
        ("Neg", _) => scale_all(importer, call, "", call.computed(0)?, -1.0, 0.0),
        ("Sum" | "Mean" | "Max" | "Min", inputs) => several(importer, call, op, inputs),
        ("Pow", _) => power(importer, call),
        (_, [Value::Computed(x), Value::Constant(c)]) => {
            let c = second_operand(call, c, x.rank())?;
            match op {
                "Add" => affine(importer, call, "", x, &c, |c| (1.0, c)),
                "Sub" => affine(importer, call, "", x, &c, |c| (1.0, -c)),
                "Mul" => affine(importer, call, "", x, &c, |c| (c, 0.0)),
                _ => affine(importer, call, "", x, &c, |c| (1.0 / c, 0.0)),
            }
        }
        (_, [Value::Constant(c), Value::Computed(x)]) => match op {
            "Add" => affine(importer, call, "", x, c, |c| (1.0, c)),
            "Sub" => affine(importer, call, "", x, c, |c| (-1.0, c)),
            "Mul" => affine(importer, call, "", x, c, |c| (c, 0.0)),
            _ => Err(call.unsupported("division by a tensor that depends on the picture")),
        },
        (_, [Value::Computed(a), Value::Computed(b)]) => {
            let trailing = trailing_axes(call, b.rank(), a.rank())?;
            let mut b = b.clone();
            b.axes.extend(std::iter::repeat_n(None, trailing));
            let kind = match op {
                "Add" => Elementwise::Add,
                "Sub" => Elementwise::Sub,
                "Mul" => Elementwise::Mul,
                _ => return Err(call.unsupported("division by a tensor that depends on the picture")),
            };
            combine(importer, call, "", kind, &[a, &b])
        }
        _ => Err(call.error("it should have two inputs")),
    }
}

/// `factor · x + offset` with one factor and one offset for all.
pub fn scale_all(
    importer: &mut Importer,
    call: &Call,
    part: &str,
    x: &Computed,
    factor: f32,
    offset: f32,
) -> Result<Value, ImportError> {
    affine(importer, call, part, x, &Constant::scalar(0.0), |_| (factor, offset))
}

/// `factor · x + offset`, both functions of a constant that is spread over the tensor.
pub fn affine(
    importer: &mut Importer,
    call: &Call,
    part: &str,
    x: &Computed,
    c: &Constant,
    of: impl Fn(f32) -> (f32, f32),
) -> Result<Value, ImportError> {
    let x = &longer(x, c.dims.len());
    let dims = importer.node_dims(x.node);
    let (factors, offsets): (Vec<f32>, Vec<f32>);
    let mut node = x.node;
    let values = per_channel(importer, call, x, c)?;
    let reshaped = values.is_none();
    let values = match values {
        Some(values) => values,
        None => {
            node = importer.add(call, "flat", Op::Reshape(Reshape::flatten()), &[node], &[])?;
            per_element(importer, call, x, c)?
        }
    };
    (factors, offsets) = values.iter().map(|&value| of(value)).unzip();
    let channels = [factors.len()];
    let mut params = vec![("factor", &channels[..], factors.into())];
    if offsets.iter().any(|&offset| offset != 0.0) {
        params.push(("bias", &channels[..], offsets.into()));
    }
    let scale_part = if reshaped { "scale" } else { part };
    node = importer.add(call, scale_part, Op::Scale(Scale {}), &[node], &params)?;
    if reshaped {
        let dims = dims.iter().skip(1).map(|&dim| Dim::Of(dim)).collect();
        node = importer.add(call, part, Op::Reshape(Reshape { dims }), &[node], &[])?;
    }
    Ok(x.of(node).into())
}

/// The tensor with as many axes as asked for, the new ones in front and of length 1.
fn longer(x: &Computed, rank: usize) -> Computed {
    let mut longer = x.clone();
    if let Some(missing) = rank.checked_sub(x.rank()) {
        longer.axes.splice(0..0, std::iter::repeat_n(None, missing));
    }
    longer
}

/// Along the axes of a node's output, how a constant that is spread over the tensor goes on.
fn steps(importer: &Importer, call: &Call, x: &Computed, c: &Constant) -> Result<Vec<usize>, ImportError> {
    let dims = importer.node_dims(x.node);
    let mut steps = vec![0; dims.len()];
    let missing = x
        .rank()
        .checked_sub(c.dims.len())
        .ok_or_else(|| call.unsupported("a constant of more axes than the tensor"))?;
    for ((&length, stride), axis) in c.dims.iter().zip(strides(&c.dims)).zip(&x.axes[missing..]) {
        match *axis {
            _ if length == 1 => {}
            Some(axis) if dims.get(axis) == Some(&length) => steps[axis] = stride,
            _ => {
                let reason =
                    format!("the constant of {:?} values does not fit the tensor of {:?}", c.dims, importer.dims(x));
                return Err(call.unsupported(reason));
            }
        }
    }
    Ok(steps)
}

/// The values of a constant channel by channel; `None` where it differs along other axes, or there are no channels.
pub fn per_channel(
    importer: &mut Importer,
    call: &Call,
    x: &Computed,
    c: &Constant,
) -> Result<Option<Vec<f32>>, ImportError> {
    let dims = importer.node_dims(x.node);
    let steps = steps(importer, call, x, c)?;
    let only_channels = steps.iter().enumerate().all(|(axis, &step)| axis == 1 || step == 0);
    if !matches!(dims.len(), 2 | 4) || !only_channels {
        return Ok(None);
    }
    importer.charge(call, dims[1])?;
    let values = c.floats();
    let value = |channel: usize| values.get(channel * steps[1]).copied();
    (0..dims[1]).map(value).collect::<Option<Vec<f32>>>().map(Some).ok_or_else(|| call.error("a constant is empty"))
}

/// The values of a constant for every element of a picture, in logical order.
fn per_element(importer: &mut Importer, call: &Call, x: &Computed, c: &Constant) -> Result<Vec<f32>, ImportError> {
    let dims = importer.node_dims(x.node);
    let steps = steps(importer, call, x, c)?;
    let count = product(&dims).ok_or_else(|| call.error("its output would be too large for any machine"))?;
    importer.charge(call, count)?;
    let values = c.floats();
    let mut spread = Vec::with_capacity(count);
    super::super::constant::for_each_offset(&dims, &steps, |offset| spread.extend(values.get(offset)));
    if spread.len() == count { Ok(spread) } else { Err(call.error("a constant is empty")) }
}

/// An operation on tensors of one shape, or of shapes that are spread to the largest.
pub fn combine(
    importer: &mut Importer,
    call: &Call,
    part: &str,
    kind: Elementwise,
    inputs: &[&Computed],
) -> Result<Value, ImportError> {
    let rank = inputs.iter().map(|input| input.rank()).max().unwrap_or(0);
    let inputs: Vec<Computed> = inputs.iter().map(|input| longer(input, rank)).collect();
    let size = |input: &Computed| (product(&importer.dims(input)).unwrap_or(0), importer.node_dims(input.node).len());
    let frame = (0..inputs.len()).rev().max_by_key(|&i| size(&inputs[i])).unwrap_or(0);
    let frame = inputs.get(frame).cloned().ok_or_else(|| call.error("it has no inputs"))?;
    let dims = importer.dims(&frame);
    let mut nodes = Vec::new();
    for input in &inputs {
        let fits = importer.dims(input).iter().zip(&dims).all(|(&own, &largest)| own == largest || own == 1);
        if !fits {
            let reason =
                format!("tensors of {:?} and {dims:?}, which are spread over each other,", importer.dims(input));
            return Err(call.unsupported(reason));
        }
        nodes.push(aligned(importer, call, &frame, input)?);
    }
    let node = importer.add(call, part, Op::Elementwise(kind), &nodes, &[])?;
    Ok(frame.of(node).into())
}

/// A node that lies as the frame's, or that the operations spread over it.
pub fn aligned(
    importer: &mut Importer,
    call: &Call,
    frame: &Computed,
    input: &Computed,
) -> Result<NodeId, ImportError> {
    let (frame_dims, own_dims) = (importer.node_dims(frame.node), importer.node_dims(input.node));
    // The axis of the input that belongs at each axis of the frame's node.
    let mut sources: Vec<Option<usize>> = vec![None; frame_dims.len()];
    for (&at, &own) in frame.axes.iter().zip(&input.axes) {
        if let (Some(at), Some(own)) = (at, own)
            && own_dims.get(own) != Some(&1)
        {
            sources[at] = Some(own);
        }
    }
    if frame_dims == own_dims && sources.iter().enumerate().all(|(at, &source)| source.is_none_or(|own| own == at)) {
        return Ok(input.node);
    }
    let dims: Vec<usize> =
        sources.iter().map(|source| source.and_then(|own| own_dims.get(own).copied()).unwrap_or(1)).collect();
    let mut node = input.node;
    // A vector, or what has become 1×1 maps, lies the same.
    let as_maps =
        |dims: &[usize]| if let [batch, channels] = *dims { vec![batch, channels, 1, 1] } else { dims.to_vec() };
    let in_place = sources.iter().enumerate().all(|(at, &source)| source.is_none_or(|own| own == at));
    if !(in_place && as_maps(&own_dims) == as_maps(&dims)) {
        let mut order: Vec<usize> = sources.iter().flatten().copied().collect();
        let rest: Vec<usize> = (0..own_dims.len()).filter(|axis| !order.contains(axis)).collect();
        if order.contains(&0) {
            return Err(call.unsupported("a tensor whose first axis is not the batch"));
        }
        // What is left has length 1; the batch is among it and comes first.
        order.splice(0..0, rest);
        if !order.is_sorted() {
            node = importer.add(call, "transpose", Op::Transpose(Transpose { axes: order.clone() }), &[node], &[])?;
        }
        if importer.node_dims(node) != dims {
            let dims = dims.iter().skip(1).map(|&dim| Dim::Of(dim)).collect();
            node = importer.add(call, "reshape", Op::Reshape(Reshape { dims }), &[node], &[])?;
        }
    }
    // One channel is spread over all by a convolution.
    if let ([_, channels, ..], [_, 1, ..]) = (&frame_dims[..], &dims[..])
        && frame_dims.len() == 4
        && *channels > 1
    {
        node = window::mix_channels(importer, call, "spread", node, [*channels, 1], vec![1.0; *channels], None)?;
    }
    Ok(node)
}

/// Sum, mean, largest or smallest of any number of inputs.
fn several(importer: &mut Importer, call: &Call, op: &str, inputs: &[Value]) -> Result<Value, ImportError> {
    let mut tensors: Vec<&Computed> = Vec::new();
    let mut constants: Vec<&Rc<Constant>> = Vec::new();
    for input in inputs {
        match input {
            Value::Computed(tensor) => tensors.push(tensor),
            Value::Constant(constant) => constants.push(constant),
            Value::Absent => {}
        }
    }
    let [first, ..] = tensors[..] else { return Err(call.error("it has no inputs")) };
    let mut rest = constants.len();
    let part = |rest: usize| if rest == 0 { "" } else { "first" };
    let mut value = match op {
        _ if tensors.len() == 1 => first.clone().into(),
        "Sum" => combine(importer, call, part(rest), Elementwise::Add, &tensors)?,
        "Mean" if rest == 0 => {
            let coefficients = vec![1.0 / tensors.len() as f32; tensors.len()];
            combine(importer, call, "", Elementwise::WeightedSum { coefficients }, &tensors)?
        }
        "Max" => combine(importer, call, part(rest), Elementwise::Max, &tensors)?,
        "Min" => smallest(importer, call, part(rest), &tensors)?,
        _ => return Err(call.unsupported("a mean with constants")),
    };
    for constant in constants {
        rest -= 1;
        let part = if rest == 0 { String::new() } else { format!("with{rest}") };
        let Value::Computed(x) = &value else { return Ok(value) };
        value = match (op, constant.single()) {
            ("Sum", _) => affine(importer, call, &part, x, constant, |c| (1.0, c))?,
            ("Max", Some(low)) => activation::apply(importer, call, &part, x, activation::between(Some(low), None))?,
            ("Min", Some(high)) => activation::apply(importer, call, &part, x, activation::between(None, Some(high)))?,
            _ => return Err(call.unsupported("a constant of several values")),
        };
    }
    Ok(value)
}

/// The smallest of all: the negative of the largest of their negatives.
fn smallest(importer: &mut Importer, call: &Call, part: &str, tensors: &[&Computed]) -> Result<Value, ImportError> {
    let mut negatives = Vec::new();
    for tensor in tensors {
        if let Value::Computed(negative) = scale_all(importer, call, "negative", tensor, -1.0, 0.0)? {
            negatives.push(negative);
        }
    }
    let negatives: Vec<&Computed> = negatives.iter().collect();
    match combine(importer, call, "largest", Elementwise::Max, &negatives)? {
        Value::Computed(largest) => scale_all(importer, call, part, &largest, -1.0, 0.0),
        other => Ok(other),
    }
}

/// Whole powers of a tensor.
fn power(importer: &mut Importer, call: &Call) -> Result<Value, ImportError> {
    const HIGHEST: f32 = 8.0;
    let exponent = match call.input(1) {
        Value::Constant(exponent) => exponent.single(),
        _ => None,
    };
    let x = call.computed(0)?;
    match exponent {
        Some(1.0) => Ok(x.clone().into()),
        Some(exponent) if exponent.fract() == 0.0 && (2.0..=HIGHEST).contains(&exponent) => {
            let inputs = vec![x.node; exponent as usize];
            let node = importer.add(call, "", Op::Elementwise(Elementwise::Mul), &inputs, &[])?;
            Ok(x.of(node).into())
        }
        _ => Err(call.unsupported("a power other than one whole number from 1 to 8")),
    }
}
