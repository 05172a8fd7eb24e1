//! Convolutions, and the windows that they share with pooling.

use std::rc::Rc;
use std::sync::Arc;

use super::super::super::ImportError;
use super::super::call::Call;
use super::super::constant::Constant;
use super::super::importer::{Importer, Param};
use super::super::value::{Computed, Value};
use super::activation;
use crate::nn::graph::NodeId;
use crate::nn::ops::Op;
use crate::nn::ops::conv::Conv2d;
use crate::nn::ops::conv_transpose::ConvTranspose2d;
use crate::nn::ops::window::{Padding, Rounding, Window};

/// The window of a convolution or of pooling. `kernel` is the weights', where there are any.
pub fn window(call: &Call, kernel: Option<[usize; 2]>) -> Result<Window, ImportError> {
    let kernel = match (call.pair("kernel_shape")?, kernel) {
        (Some(said), Some(kernel)) if said != kernel => {
            return Err(call.error(format!("kernel_shape is {said:?}, but the weights' is {kernel:?}")));
        }
        (Some(kernel), _) | (None, Some(kernel)) => kernel,
        (None, None) => return Err(call.error("kernel_shape is missing")),
    };
    let stride = call.pair("strides")?.unwrap_or([1, 1]);
    let dilation = call.pair("dilations")?.unwrap_or([1, 1]);
    let rounding = if call.flag("ceil_mode", false) { Rounding::Ceil } else { Rounding::Floor };
    let (padding, rounding) = match call.text("auto_pad").as_deref() {
        None | Some("NOTSET" | "") => (explicit(call)?, rounding),
        Some("SAME_UPPER") => (Padding::SameUpper, Rounding::Floor),
        Some("SAME_LOWER") => (Padding::SameLower, Rounding::Floor),
        Some("VALID") => (Padding::NONE, rounding),
        Some(other) => return Err(call.unsupported(format!("auto_pad {}", ImportError::brief(other)))),
    };
    Ok(Window { kernel, stride, dilation, padding, rounding })
}

/// `pads`: top, left, bottom, right.
fn explicit(call: &Call) -> Result<Padding, ImportError> {
    let Some(pads) = call.ints("pads").filter(|pads| !pads.is_empty()) else { return Ok(Padding::NONE) };
    let pads: Option<Vec<usize>> = pads.iter().map(|&pad| usize::try_from(pad).ok()).collect();
    match pads.as_deref() {
        Some(&[top, left, bottom, right]) => Ok(Padding::Explicit { top, left, bottom, right }),
        _ => Err(call.unsupported("other than four pads, none of them negative,")),
    }
}

/// The weights and the bias of a convolution.
pub struct Weights {
    pub weight: Rc<Constant>,
    pub bias: Option<Arc<[f32]>>,
}

impl Weights {
    /// Inputs 1 and 2.
    pub fn of(call: &Call) -> Result<Self, ImportError> {
        let bias = call.optional(2)?.map(|bias| bias.floats());
        Ok(Self { weight: call.constant(1)?.clone(), bias })
    }
}

pub fn conv(importer: &mut Importer, call: &Call) -> Result<Value, ImportError> {
    let weights = Weights::of(call)?;
    // com.microsoft's FusedConv may add another tensor.
    if !matches!(call.input(3), Value::Absent) {
        return Err(call.unsupported("a sum within the convolution"));
    }
    let x = call.computed(0)?.clone();
    activation::fused(importer, call, |importer, part| convolve(importer, call, part, &x, &weights))
}

/// A convolution by an ONNX node's attributes.
pub fn convolve(
    importer: &mut Importer,
    call: &Call,
    part: &str,
    x: &Computed,
    Weights { weight, bias }: &Weights,
) -> Result<Value, ImportError> {
    let [_, _, height, width] = weight.dims[..] else {
        return Err(call.unsupported(format!("a convolution over {} axes", weight.dims.len().saturating_sub(2))));
    };
    let window = window(call, Some([height, width]))?;
    let groups = usize::try_from(call.int("group", 1)).map_err(|_| call.error("group is negative"))?;
    let input = importer.maps(call, x)?;
    let op = Op::Conv2d(Conv2d { window, groups });
    let mut params = vec![("weight", weight.dims.as_slice(), weight.floats())];
    let bias_dims = [bias.as_ref().map_or(0, |bias| bias.len())];
    if let Some(bias) = bias {
        params.push(("bias", &bias_dims, bias.clone()));
    }
    let node = importer.add(call, part, op, &[input], &params)?;
    Ok(importer.whole(node).into())
}

pub fn conv_transpose(importer: &mut Importer, call: &Call) -> Result<Value, ImportError> {
    let Weights { weight, bias } = Weights::of(call)?;
    let [_, _, height, width] = weight.dims[..] else {
        return Err(call.unsupported(format!("a convolution over {} axes", weight.dims.len().saturating_sub(2))));
    };
    let input = importer.maps(call, call.computed(0)?)?;
    let mut window = window(call, Some([height, width]))?;
    let groups = usize::try_from(call.int("group", 1)).map_err(|_| call.error("group is negative"))?;
    let output_padding = call.pair("output_padding")?.unwrap_or([0, 0]);
    if let Some(size) = call.pair("output_shape")? {
        window.padding = padding_to(importer, call, input, &window, output_padding, size)?;
    }
    let op = Op::ConvTranspose2d(ConvTranspose2d { window, groups, output_padding });
    let mut params = vec![("weight", weight.dims.as_slice(), weight.floats())];
    let bias_dims = [bias.as_ref().map_or(0, |bias| bias.len())];
    if let Some(bias) = bias {
        params.push(("bias", &bias_dims, bias));
    }
    let node = importer.add(call, "", op, &[input], &params)?;
    Ok(importer.whole(node).into())
}

/// The padding with which a transposed convolution gives maps of `size`.
fn padding_to(
    importer: &Importer,
    call: &Call,
    input: NodeId,
    window: &Window,
    output_padding: [usize; 2],
    size: [usize; 2],
) -> Result<Padding, ImportError> {
    let dims = importer.node_dims(input);
    let [_, _, height, width] = dims[..] else { return Err(call.unsupported("a vector")) };
    let less_first = call.text("auto_pad").as_deref() == Some("SAME_UPPER");
    let along = |axis: usize, input: usize| -> Option<[usize; 2]> {
        let extent = window.kernel[axis].checked_sub(1)?.checked_mul(window.dilation[axis])?.checked_add(1)?;
        let full = input.checked_sub(1)?.checked_mul(window.stride[axis])?.checked_add(extent)?;
        let total = full.checked_add(output_padding[axis])?.checked_sub(size[axis])?;
        let (less, more) = (total / 2, total - total / 2);
        Some(if less_first { [less, more] } else { [more, less] })
    };
    match (along(0, height), along(1, width)) {
        (Some([top, bottom]), Some([left, right])) => Ok(Padding::Explicit { top, left, bottom, right }),
        _ => Err(call.unsupported("an output_shape larger than what the window reaches")),
    }
}

/// A 1×1 convolution without an ONNX node of its own: `weight` is \[out, in\].
pub fn mix_channels(
    importer: &mut Importer,
    call: &Call,
    part: &str,
    input: NodeId,
    [out, channels]: [usize; 2],
    weight: Vec<f32>,
    bias: Option<Vec<f32>>,
) -> Result<NodeId, ImportError> {
    importer.charge(call, weight.len())?;
    let op = Op::Conv2d(Conv2d { window: Window::square(1, 1), groups: 1 });
    let mut params: Vec<Param> = Vec::new();
    let (dims, bias_dims) = ([out, channels, 1, 1], [out]);
    params.push(("weight", &dims, weight.into()));
    if let Some(bias) = bias {
        params.push(("bias", &bias_dims, bias.into()));
    }
    importer.add(call, part, op, &[input], &params)
}

/// Output channel `i` is input channel `sources[i]`, or `fill` where there is none. Consecutive channels are a slice.
pub fn pick_channels(
    importer: &mut Importer,
    call: &Call,
    part: &str,
    input: NodeId,
    sources: &[Option<usize>],
    fill: f32,
) -> Result<NodeId, ImportError> {
    use crate::nn::ops::{MapAxis, slice::Slice};
    let start = sources.first().copied().flatten();
    if let Some(start) = start
        && sources.iter().enumerate().all(|(i, &source)| source == start.checked_add(i))
    {
        let slice = Slice { axis: MapAxis::Channel, start, end: start + sources.len() };
        return importer.add(call, part, Op::Slice(slice), &[input], &[]);
    }
    let channels = importer.node_dims(input).get(1).copied().unwrap_or(0);
    let size = channels.saturating_mul(sources.len());
    importer.charge(call, size)?;
    let mut weight = vec![0.0; size];
    for (out, source) in sources.iter().enumerate() {
        if let Some(place) =
            source.filter(|&source| source < channels).and_then(|source| weight.get_mut(out * channels + source))
        {
            *place = 1.0;
        }
    }
    let bias = sources
        .contains(&None)
        .then(|| sources.iter().map(|source| if source.is_none() { fill } else { 0.0 }).collect());
    mix_channels(importer, call, part, input, [sources.len(), channels], weight, bias)
}
