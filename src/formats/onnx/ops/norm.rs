//! Normalizations, softmax, and decisions.

use super::super::super::ImportError;
use super::super::call::Call;
use super::super::importer::Importer;
use super::super::value::{Computed, Value};
use super::window;
use crate::nn::graph::NodeId;
use crate::nn::ops::Op;
use crate::nn::ops::batch_norm::BatchNorm;
use crate::nn::ops::instance_norm::InstanceNorm;
use crate::nn::ops::lrn::{Lrn, LrnRegion};
use crate::nn::ops::reshape::{Dim, Reshape};
use crate::nn::ops::scale::Scale;
use crate::nn::ops::softmax::{LogSoftmax, Softmax};
use crate::nn::ops::transpose::Transpose;

pub fn batch(importer: &mut Importer, call: &Call) -> Result<Value, ImportError> {
    let training =
        call.flag("training_mode", false) || (call.opset < 7 && !call.flag("is_test", false) && has_statistics(call));
    if training {
        return Err(call.unsupported("normalization by the statistics of the batch"));
    }
    if !call.flag("spatial", true) {
        return Err(call.unsupported("normalization pixel by pixel (spatial = 0)"));
    }
    let x = call.computed(0)?;
    let input = importer.maps(call, x)?;
    let mut params = Vec::new();
    for (place, role) in [(1, "gamma"), (2, "beta"), (3, "mean"), (4, "variance")] {
        params.push((role, call.constant(place)?));
    }
    let params: Vec<_> = params.iter().map(|(role, c)| (*role, c.dims.as_slice(), c.floats())).collect();
    let op = Op::BatchNorm(BatchNorm { epsilon: call.float("epsilon", 1e-5) });
    let node = importer.add(call, "", op, &[input], &params)?;
    Ok(importer.whole(node).into())
}

/// Whether the node also gives the statistics of its batch, which it computes in training only.
fn has_statistics(call: &Call) -> bool {
    call.node.output.iter().skip(1).any(|name| !name.is_empty())
}

/// Rows of a tensor of three axes are maps of one column.
fn lifted(importer: &mut Importer, call: &Call, x: &Computed) -> Result<NodeId, ImportError> {
    let node = importer.plain(call, x)?;
    match x.rank() {
        3 => {
            let dims = vec![Dim::Same, Dim::Same, Dim::Of(1)];
            importer.add(call, "maps", Op::Reshape(Reshape { dims }), &[node], &[])
        }
        4 => Ok(node),
        rank => Err(call.unsupported(format!("a tensor of {rank} axes"))),
    }
}

pub fn instance(importer: &mut Importer, call: &Call) -> Result<Value, ImportError> {
    let x = call.computed(0)?.clone();
    let input = lifted(importer, call, &x)?;
    let (gamma, beta) = (call.constant(1)?, call.constant(2)?);
    let params = [("gamma", gamma.dims.as_slice(), gamma.floats()), ("beta", beta.dims.as_slice(), beta.floats())];
    let op = Op::InstanceNorm(InstanceNorm { epsilon: call.float("epsilon", 1e-5) });
    let node = importer.add(call, "", op, &[input], &params)?;
    Ok(Computed::whole(node, x.rank()).into())
}

/// Groups of channels are single channels of an instance normalization.
pub fn group(importer: &mut Importer, call: &Call) -> Result<Value, ImportError> {
    let x = call.computed(0)?.clone();
    let input = importer.maps(call, &x)?;
    let dims = importer.node_dims(input);
    let (&[_, channels, height, width], Ok(groups)) = (&dims[..], usize::try_from(call.int("num_groups", 0))) else {
        return Err(call.unsupported("a tensor that is no maps"));
    };
    let reshape = |dims: Vec<Dim>| Op::Reshape(Reshape { dims });
    let grouped = reshape(vec![Dim::Of(groups), Dim::Rest, Dim::Of(1)]);
    let grouped = importer.add(call, "groups", grouped, &[input], &[])?;
    let op = Op::InstanceNorm(InstanceNorm { epsilon: call.float("epsilon", 1e-5) });
    let group_dims = [groups];
    let neutral =
        [("gamma", &group_dims[..], vec![1.0; groups].into()), ("beta", &group_dims[..], vec![0.0; groups].into())];
    let normal = importer.add(call, "normal", op, &[grouped], &neutral)?;
    let back = reshape([channels, height, width].map(Dim::Of).to_vec());
    let back = importer.add(call, "maps", back, &[normal], &[])?;
    let mut params = Vec::new();
    let channel_dims = [channels];
    for (place, role) in [(1, "factor"), (2, "bias")] {
        let values = call.constant(place)?.floats();
        // Before operator set 21 there is one value a group.
        let of_channel = |channel: usize| match values.len() {
            length if length == channels => values.get(channel).copied(),
            length if length == groups => values.get(channel / (channels / groups).max(1)).copied(),
            _ => None,
        };
        let values: Option<Vec<f32>> = (0..channels).map(of_channel).collect();
        let values = values.ok_or_else(|| call.error("it has not one value a channel or a group"))?;
        params.push((role, &channel_dims[..], values.into()));
    }
    let node = importer.add(call, "", Op::Scale(Scale {}), &[back], &params)?;
    Ok(importer.whole(node).into())
}

/// Normalization of the channels of each pixel (Ba 2016): less their mean, and then a response normalization over all.
pub fn layer(importer: &mut Importer, call: &Call) -> Result<Value, ImportError> {
    let x = call.computed(0)?.clone();
    let axis = call.axis(call.int("axis", -1), x.rank())?;
    let dims = importer.node_dims(x.node);
    if axis + 1 != x.rank() || x.axes[axis] != Some(1) || !matches!(dims.len(), 2 | 4) || has_statistics(call) {
        return Err(call.unsupported("normalization over other than the channels"));
    }
    let channels = dims[1];
    let square = channels.saturating_mul(channels);
    importer.charge(call, square)?;
    let share = 1.0 / channels as f32;
    let mut centre = vec![-share; square];
    centre.iter_mut().step_by(channels + 1).for_each(|own| *own += 1.0);
    let centred = window::mix_channels(importer, call, "centre", x.node, [channels; 2], centre, None)?;
    let lrn = Lrn {
        size: 2 * channels - 1,
        alpha: share,
        beta: 0.5,
        bias: call.float("epsilon", 1e-5),
        region: LrnRegion::AcrossChannels,
    };
    let normal = importer.add(call, "normal", Op::Lrn(lrn), &[centred], &[])?;
    let factor = call.constant(1)?;
    let mut params = vec![("factor", factor.dims.as_slice(), factor.floats())];
    if let Some(bias) = call.optional(2)? {
        params.push(("bias", bias.dims.as_slice(), bias.floats()));
    }
    let node = importer.add(call, "", Op::Scale(Scale {}), &[normal], &params)?;
    Ok(x.of(node).into())
}

/// ONNX states alpha times the number of channels that are summed.
pub fn lrn(importer: &mut Importer, call: &Call) -> Result<Value, ImportError> {
    let size = usize::try_from(call.int("size", 0)).unwrap_or(0);
    if size % 2 == 0 {
        return Err(call.unsupported(format!("an even window of {size} channels")));
    }
    let x = call.computed(0)?.clone();
    let input = importer.maps(call, &x)?;
    let lrn = Lrn {
        size,
        alpha: call.float("alpha", 1e-4) / size as f32,
        beta: call.float("beta", 0.75),
        bias: call.float("bias", 1.0),
        region: LrnRegion::AcrossChannels,
    };
    let node = importer.add(call, "", Op::Lrn(lrn), &[input], &[])?;
    Ok(importer.whole(node).into())
}

/// Before operator set 13 all axes from `axis` on are one.
pub fn softmax(importer: &mut Importer, call: &Call, op: &str) -> Result<Value, ImportError> {
    let x = call.computed(0)?.clone();
    let softmax = || if op == "Softmax" { Op::Softmax(Softmax {}) } else { Op::LogSoftmax(LogSoftmax {}) };
    let dims = importer.dims(&x);
    let mut axis = call.axis(call.int("axis", if call.opset < 13 { 1 } else { -1 }), x.rank())?;
    if call.opset < 13 {
        let long: Vec<usize> = (axis..x.rank()).filter(|&axis| dims[axis] > 1).collect();
        match long[..] {
            [] => {}
            [only] => axis = only,
            _ if dims[..axis].iter().all(|&dim| dim == 1) => {
                let node = importer.plain(call, &x)?;
                let flat = importer.add(call, "flat", Op::Reshape(Reshape::flatten()), &[node], &[])?;
                let flat = importer.add(call, "softmax", softmax(), &[flat], &[])?;
                let dims = dims.iter().skip(1).map(|&dim| Dim::Of(dim)).collect();
                let node = importer.add(call, "", Op::Reshape(Reshape { dims }), &[flat], &[])?;
                return Ok(importer.whole(node).into());
            }
            _ => return Err(call.unsupported("a softmax over several axes but not all")),
        }
    }
    let rank = importer.node_dims(x.node).len();
    match x.axes[axis] {
        Some(1) if matches!(rank, 2 | 4) => {
            let node = importer.add(call, "", softmax(), &[x.node], &[])?;
            Ok(x.of(node).into())
        }
        Some(along) if along > 1 && rank == 4 => {
            let mut axes: Vec<usize> = (0..rank).collect();
            axes.swap(1, along);
            let swapped = Op::Transpose(Transpose { axes: axes.clone() });
            let swapped = importer.add(call, "transpose", swapped, &[x.node], &[])?;
            let node = importer.add(call, "", softmax(), &[swapped], &[])?;
            let axes = x.axes.iter().map(|axis| axis.and_then(|axis| axes.get(axis).copied())).collect();
            Ok(Computed { node, axes, quantization: None }.into())
        }
        _ => Err(call.unsupported("a softmax over other than channels, rows or columns")),
    }
}

/// The place of the largest score, where that is all that the net gives: the scores are taken instead.
pub fn decision(importer: &mut Importer, call: &Call) -> Result<Value, ImportError> {
    if !call.node.output.contains(&importer.output) {
        return Err(call.unsupported("this operator within a net"));
    }
    importer.note("The net's output is the class with the largest score; the scores are taken instead.");
    Ok(call.computed(0)?.clone().into())
}
