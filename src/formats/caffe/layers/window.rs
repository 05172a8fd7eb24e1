//! Layers of weights and windows.

use std::sync::Arc;

use super::{Array, Converted, Cx, Refusal};
use crate::formats::caffe::message::Message;
use crate::formats::caffe::schema;
use crate::nn::ops::Op;
use crate::nn::ops::conv::Conv2d;
use crate::nn::ops::conv_transpose::ConvTranspose2d;
use crate::nn::ops::linear::Linear;
use crate::nn::ops::pool::{AveragePool, Divisor, GlobalPool, GlobalPoolKind, MaxPool};
use crate::nn::ops::reshape::Reshape;
use crate::nn::ops::window::{Padding, Rounding, Window};

/// `[vertical, horizontal]` of a size given once for both, twice, or by the names `h` and `w`.
fn pair(params: &Message<'_>, name: &str, [h, w]: [&str; 2]) -> Result<Option<[usize; 2]>, Refusal> {
    match (params.integer(h)?, params.integer(w)?) {
        (Some(h), Some(w)) => return Ok(Some([h, w])),
        (None, None) => {}
        // Only padding has a default of its own.
        (h, w) if name == "pad" => return Ok(Some([h.unwrap_or(0), w.unwrap_or(0)])),
        _ => return Err(format!("has one of `{h}` and `{w}` without the other").into()),
    }
    match *params.integers(name)? {
        [] => Ok(None),
        [both] => Ok(Some([both; 2])),
        [h, w] => Ok(Some([h, w])),
        _ => Err(format!("has more than two values of `{name}`; only pictures of two dimensions are supported").into()),
    }
}

fn window(params: &Message<'_>) -> Result<Window, Refusal> {
    let Some(kernel) = pair(params, "kernel_size", ["kernel_h", "kernel_w"])? else {
        return Err("has no `kernel_size`".into());
    };
    let [vertical, horizontal] = pair(params, "pad", ["pad_h", "pad_w"])?.unwrap_or([0; 2]);
    Ok(Window {
        kernel,
        stride: pair(params, "stride", ["stride_h", "stride_w"])?.unwrap_or([1; 2]),
        dilation: pair(params, "dilation", ["dilation_h", "dilation_w"])?.unwrap_or([1; 2]),
        padding: Padding::Explicit { top: vertical, bottom: vertical, left: horizontal, right: horizontal },
        rounding: Rounding::Floor,
    })
}

/// What convolution and its adjoint share.
struct Filters {
    window: Window,
    groups: usize,
    in_channels: usize,
    out_channels: usize,
    has_bias: bool,
}

impl Filters {
    fn read(cx: &Cx<'_, '_>) -> Result<Self, Refusal> {
        let params = cx.layer.params("convolution_param", schema::CONVOLUTION)?;
        if cx.axis(params.integer("axis")?.unwrap_or(1), 4)? != 1 {
            return Err("counts another axis than 1 as channels, which is not supported".into());
        }
        let in_channels = cx.channels(cx.input()?)?;
        let Some(out_channels) = params.integer("num_output")? else { return Err("has no `num_output`".into()) };
        let default_groups = if cx.layer.kind == "Convolution" || cx.layer.kind == "Deconvolution" {
            1
        } else {
            // The depthwise layers of some branches may leave their groups unsaid.
            in_channels
        };
        let groups: usize = params.integer("group")?.unwrap_or(default_groups);
        if groups == 0 || in_channels % groups != 0 || out_channels % groups != 0 {
            let reason =
                format!("its {groups} groups do not divide {in_channels} input and {out_channels} output channels");
            return Err(Refusal::Other(reason));
        }
        let has_bias = params.flag("bias_term", true)?;
        Ok(Self { window: window(&params)?, groups, in_channels, out_channels, has_bias })
    }

    /// `weight` and perhaps `bias`; the weight's first axes are `rows` and `columns`.
    fn params(&self, cx: &Cx<'_, '_>, rows: usize, columns: usize) -> Result<Vec<Array>, Refusal> {
        let [height, width] = self.window.kernel;
        let shape = vec![rows, columns, height, width];
        let mut params = vec![("weight", shape.clone(), cx.blob(0, "weight", &shape)?)];
        if self.has_bias {
            params.push(("bias", vec![self.out_channels], cx.blob(1, "bias", &[self.out_channels])?));
        }
        Ok(params)
    }
}

pub fn convolution(cx: &mut Cx<'_, '_>) -> Converted {
    let filters = Filters::read(cx)?;
    let params = filters.params(cx, filters.out_channels, filters.in_channels / filters.groups)?;
    let op = Op::Conv2d(Conv2d { window: filters.window, groups: filters.groups });
    Ok(vec![cx.add(op, &[cx.input()?], &params)?])
}

pub fn deconvolution(cx: &mut Cx<'_, '_>) -> Converted {
    let filters = Filters::read(cx)?;
    let params = filters.params(cx, filters.in_channels, filters.out_channels / filters.groups)?;
    let op = ConvTranspose2d { window: filters.window, groups: filters.groups, output_padding: [0; 2] };
    Ok(vec![cx.add(Op::ConvTranspose2d(op), &[cx.input()?], &params)?])
}

/// The weight is \[outputs, inputs\], or the other way round if `transpose`.
pub fn inner_product(cx: &mut Cx<'_, '_>) -> Converted {
    let params = cx.layer.params("inner_product_param", schema::INNER_PRODUCT)?;
    let input = cx.input()?;
    let dims = cx.dims(input)?;
    if cx.axis(params.integer("axis")?.unwrap_or(1), dims.len())? != 1 {
        return Err("multiplies along another axis than 1, which is not supported".into());
    }
    let Some(outputs) = params.integer::<usize>("num_output")? else { return Err("has no `num_output`".into()) };
    let inputs: usize = dims.iter().skip(1).product();
    let has_columns_first = params.flag("transpose", false)?;
    let shape = if has_columns_first { [inputs, outputs] } else { [outputs, inputs] };
    // How many inputs there are, is a matter of the picture's size.
    let weight = match cx.blob(0, "weight", &shape) {
        Err(Refusal::Other(reason)) if !cx.blobs.is_empty() => return Err(Refusal::Shape(reason)),
        weight => weight?,
    };
    let weight = if has_columns_first { transposed(&weight, outputs) } else { weight };
    let mut arrays = vec![("weight", vec![outputs, inputs], weight)];
    if params.flag("bias_term", true)? {
        arrays.push(("bias", vec![outputs], cx.blob(1, "bias", &[outputs])?));
    }
    let is_flat = matches!(*dims, [_, _] | [_, _, 1, 1]);
    let flat = if is_flat { input } else { cx.add_helper("flat", Op::Reshape(Reshape::flatten()), &[input])? };
    Ok(vec![cx.add(Op::Linear(Linear {}), &[flat], &arrays)?])
}

/// The transpose of a matrix with rows of `columns` numbers.
fn transposed(matrix: &[f32], columns: usize) -> Arc<[f32]> {
    (0..columns).flat_map(|column| matrix.iter().skip(column).step_by(columns).copied()).collect()
}

/// Sizes are rounded up, but a last window that would start in the padding behind the input is left out; averages
/// divide by the pixels of the window inside the padded input.
pub fn pooling(cx: &mut Cx<'_, '_>) -> Converted {
    let params = cx.layer.params("pooling_param", schema::POOLING)?;
    let input = cx.input()?;
    let is_max = match params.word("pool", "MAX") {
        "MAX" | "0" => true,
        "AVE" | "1" => false,
        other => {
            return Err(format!("its pooling method `{}` is not supported", super::ImportError::brief(other)).into());
        }
    };
    if cx.layer.tops.len() > 1 {
        return Err("gives the places of its maxima too, which is not supported".into());
    }
    if params.flag("global_pooling", false)? {
        let kind = if is_max { GlobalPoolKind::Max } else { GlobalPoolKind::Average };
        return Ok(vec![cx.add(Op::GlobalPool(GlobalPool { kind }), &[input], &[])?]);
    }
    let rounds_up = params.flag("ceil_mode", !matches!(params.word("round_mode", "CEIL"), "FLOOR" | "1"))?;
    let mut window = window(&params)?;
    window.rounding = if rounds_up { Rounding::Ceil } else { Rounding::Floor };
    let [_, _, height, width] = *cx.dims(input)? else {
        return Err(Refusal::Shape("pools what is not maps".into()));
    };
    let op = if is_max {
        Op::MaxPool(MaxPool { window })
    } else {
        Op::AveragePool(AveragePool { window, divisor: Divisor::Padded })
    };
    let node = cx.add(op, &[input], &[])?;
    let expected = [pooled(&window, 0, height), pooled(&window, 1, width)];
    if cx.dims(node)?.get(2..) != Some(&expected) {
        return Err(Refusal::Shape("some of its windows lie wholly outside its input, which is not supported".into()));
    }
    Ok(vec![node])
}

/// The pixels of Caffe's output along an axis.
fn pooled(window: &Window, axis: usize, input: usize) -> usize {
    let Padding::Explicit { top, left, .. } = window.padding else { return 0 };
    let (pad, stride) = (if axis == 0 { top } else { left }, window.stride[axis].max(1));
    let Some(room) = (input + 2 * pad).checked_sub(window.kernel[axis]) else { return 0 };
    let output = if window.rounding == Rounding::Ceil { room.div_ceil(stride) } else { room / stride } + 1;
    // Only where there is padding on either axis does Caffe leave out the last window.
    if (top, left) != (0, 0) && (output - 1) * stride >= input + pad { output - 1 } else { output }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_is_transposed() {
        assert_eq!(*transposed(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 3), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
    }

    #[test]
    fn pooled_sizes_are_those_of_caffe() {
        // kernel, stride, pad, input, output
        let cases = [(3, 2, 0, 224, 112), (3, 2, 0, 32, 16), (2, 2, 1, 4, 3), (2, 2, 1, 3, 2), (1, 3, 0, 5, 3)];
        for (kernel, stride, pad, input, output) in cases {
            let window = Window::square(kernel, stride).padded(Padding::all(pad)).ceil();
            assert_eq!(pooled(&window, 0, input), output, "{window:?}");
        }
    }
}
