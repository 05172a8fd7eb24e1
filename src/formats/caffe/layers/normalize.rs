//! Layers that normalize, scale and shift.

use std::sync::Arc;

use super::{Converted, Cx, Refusal};
use crate::formats::caffe::schema;
use crate::nn::graph::NodeId;
use crate::nn::ops::Op;
use crate::nn::ops::batch_norm::BatchNorm;
use crate::nn::ops::elementwise::Elementwise;
use crate::nn::ops::instance_norm::InstanceNorm;
use crate::nn::ops::lrn::{Lrn, LrnRegion};
use crate::nn::ops::pool::{GlobalPool, GlobalPoolKind};
use crate::nn::ops::scale::Scale;
use crate::nn::ops::softmax::Softmax;

/// Across channels (k + alpha / size · Σ x²)^beta; within a channel (1 + alpha · mean of x² over size² pixels)^beta,
/// whatever `k`, with the pixels of the padding in the mean.
pub fn lrn(cx: &mut Cx<'_, '_>) -> Converted {
    let params = cx.layer.params("lrn_param", schema::LRN)?;
    let size: usize = params.integer("local_size")?.unwrap_or(5);
    if size.is_multiple_of(2) || size > 1 << 16 {
        return Err(format!("its local size {size} is not an odd number of that many neighbours").into());
    }
    let alpha = f64::from(params.float_or("alpha", 1.0)?);
    let beta = params.float_or("beta", 0.75)?;
    let (region, terms, bias) = match params.word("norm_region", "ACROSS_CHANNELS") {
        "ACROSS_CHANNELS" | "0" => (LrnRegion::AcrossChannels, size, params.float_or("k", 1.0)?),
        "WITHIN_CHANNEL" | "1" => (LrnRegion::WithinChannel, size * size, 1.0),
        other => return Err(format!("its region `{}` is not supported", super::ImportError::brief(other)).into()),
    };
    let op = Lrn { size, alpha: (alpha / terms as f64) as f32, beta, bias, region };
    Ok(vec![cx.add(Op::Lrn(op), &[cx.input()?], &[])?])
}

/// The blobs are sums of means, sums of variances, and the number that both are to be divided by.
pub fn batch_norm(cx: &mut Cx<'_, '_>) -> Converted {
    let params = cx.layer.params("batch_norm_param", schema::BATCH_NORM)?;
    let input = cx.input()?;
    let channels = cx.channels(input)?;
    if cx.blobs.len() > 3 {
        let reason = format!("has {} blobs; batch norm with scales in the same layer is not supported", cx.blobs.len());
        return Err(Refusal::Other(reason));
    }
    let (mean, variance) = (cx.blob(0, "mean", &[channels])?, cx.blob(1, "variance", &[channels])?);
    let divisor = cx.blob(2, "scale factor", &[1])?.first().copied().unwrap_or(0.0);
    let factor = if divisor == 0.0 { 0.0 } else { 1.0 / f64::from(divisor) };
    let scaled = |sums: Arc<[f32]>| -> Arc<[f32]> { sums.iter().map(|&x| (f64::from(x) * factor) as f32).collect() };
    let shape = || vec![channels];
    let arrays = [
        ("gamma", shape(), filled(1.0, channels)),
        ("beta", shape(), filled(0.0, channels)),
        ("mean", shape(), scaled(mean)),
        ("variance", shape(), scaled(variance)),
    ];
    let op = Op::BatchNorm(BatchNorm { epsilon: params.float_or("eps", 1e-5)? });
    Ok(vec![cx.add(op, &[input], &arrays)?])
}

pub(super) fn filled(value: f32, len: usize) -> Arc<[f32]> {
    std::iter::repeat_n(value, len).collect()
}

/// Caffe adds its epsilon to the standard deviation, the op to the variance: the square does the same where either
/// matters.
pub fn mvn(cx: &mut Cx<'_, '_>) -> Converted {
    const MAX_EPSILON: f32 = 1e-6;
    let params = cx.layer.params("mvn_param", schema::MVN)?;
    let input = cx.input()?;
    let channels = cx.channels(input)?;
    if params.flag("across_channels", false)? {
        return Err("normalizes across channels, which is not supported".into());
    }
    if !params.flag("normalize_variance", true)? {
        let mean = cx.add_helper("mean", Op::GlobalPool(GlobalPool { kind: GlobalPoolKind::Average }), &[input])?;
        return Ok(vec![cx.add(Op::Elementwise(Elementwise::Sub), &[input, mean], &[])?]);
    }
    let epsilon = params.float_or("eps", 1e-9)?;
    if !(0.0..=MAX_EPSILON).contains(&epsilon) {
        return Err(format!("its eps {epsilon} is not in 0–{MAX_EPSILON}; others are not supported").into());
    }
    let arrays = [("gamma", vec![channels], filled(1.0, channels)), ("beta", vec![channels], filled(0.0, channels))];
    let op = Op::InstanceNorm(InstanceNorm { epsilon: epsilon * epsilon });
    Ok(vec![cx.add(op, &[input], &arrays)?])
}

/// What a scale or a bias is spread over: a number for each channel from a blob of one number or one a channel.
fn channel_values(
    cx: &Cx<'_, '_>,
    params: &super::super::message::Message<'_>,
    blob: usize,
    what: &str,
) -> Result<Arc<[f32]>, Refusal> {
    let dims = cx.dims(cx.input()?)?;
    let channels = cx.channels(cx.input()?)?;
    let axis = cx.axis(params.integer("axis")?.unwrap_or(1), dims.len())?;
    let axes: i64 = params.integer("num_axes")?.unwrap_or(1);
    let covered = match axes {
        0 => &[],
        -1 => dims.get(axis..).unwrap_or_default(),
        _ => {
            let covered = usize::try_from(axes).ok().and_then(|axes| dims.get(axis..axis.checked_add(axes)?));
            covered.ok_or_else(|| Refusal::Other(format!("its input has no {axes} axes from axis {axis} on")))?
        }
    };
    if covered.iter().product::<usize>() == 1 {
        let value = cx.blob(blob, what, &[1])?.first().copied().unwrap_or_default();
        return Ok(filled(value, channels));
    }
    let is_of_channels = axis == 1 && covered.iter().skip(1).all(|&dim| dim == 1);
    if !is_of_channels {
        return Err(format!("its {what} is not a number for each channel; others are not supported").into());
    }
    cx.blob(blob, what, &[channels])
}

/// Two inputs of which the second may be a value a channel.
fn both(cx: &Cx<'_, '_>, axis: i64) -> Result<[NodeId; 2], Refusal> {
    let [first, second] = *cx.inputs else {
        return Err(format!("has {} inputs, but takes one or two", cx.inputs.len()).into());
    };
    let (whole, part) = (cx.dims(first)?, cx.dims(second)?);
    let axis = cx.axis(axis, whole.len())?;
    if axis != 0 || !whole.starts_with(&part) || part.len() < 2 {
        return Err("its second input is not a value for each channel of each picture; others are not supported".into());
    }
    Ok([first, second])
}

pub fn scale(cx: &mut Cx<'_, '_>) -> Converted {
    let params = cx.layer.params("scale_param", schema::SCALE)?;
    let has_bias = params.flag("bias_term", false)?;
    if cx.inputs.len() > 1 {
        if has_bias {
            return Err("has a bias beside a second input, which is not supported".into());
        }
        let inputs = both(cx, params.integer("axis")?.unwrap_or(1))?;
        return Ok(vec![cx.add(Op::Elementwise(Elementwise::Mul), &inputs, &[])?]);
    }
    let input = cx.input()?;
    let channels = cx.channels(input)?;
    let mut arrays = vec![("factor", vec![channels], channel_values(cx, &params, 0, "scale")?)];
    if has_bias {
        arrays.push(("bias", vec![channels], channel_values(cx, &params, 1, "bias")?));
    }
    Ok(vec![cx.add(Op::Scale(Scale {}), &[input], &arrays)?])
}

pub fn bias(cx: &mut Cx<'_, '_>) -> Converted {
    let params = cx.layer.params("bias_param", schema::BIAS)?;
    if cx.inputs.len() > 1 {
        let inputs = both(cx, params.integer("axis")?.unwrap_or(1))?;
        return Ok(vec![cx.add(Op::Elementwise(Elementwise::Add), &inputs, &[])?]);
    }
    let input = cx.input()?;
    let channels = cx.channels(input)?;
    let bias = channel_values(cx, &params, 0, "bias")?;
    let arrays = [("factor", vec![channels], filled(1.0, channels)), ("bias", vec![channels], bias)];
    Ok(vec![cx.add(Op::Scale(Scale {}), &[input], &arrays)?])
}

pub fn softmax(cx: &mut Cx<'_, '_>) -> Converted {
    let params = cx.layer.params("softmax_param", schema::SOFTMAX)?;
    let Some(&input) = cx.inputs.first() else { return Err("has no input".into()) };
    if cx.axis(params.integer("axis")?.unwrap_or(1), cx.dims(input)?.len())? != 1 {
        return Err("normalizes along another axis than channels (1), which is not supported".into());
    }
    Ok(vec![cx.add(Op::Softmax(Softmax {}), &[input], &[])?])
}
