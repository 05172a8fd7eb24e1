//! What a MatConvNet layer computes, and the nodes that compute it.

use super::net::{Maps, Net};
use crate::formats::ImportError;
use crate::nn::ops::activation::Activation;
use crate::nn::ops::batch_norm::BatchNorm;
use crate::nn::ops::concat::Concat;
use crate::nn::ops::conv::Conv2d;
use crate::nn::ops::conv_transpose::ConvTranspose2d;
use crate::nn::ops::dropout::Dropout;
use crate::nn::ops::elementwise::Elementwise;
use crate::nn::ops::lrn::{Lrn, LrnRegion};
use crate::nn::ops::offset::Offset;
use crate::nn::ops::p_distance::PDistance;
use crate::nn::ops::pool::{AveragePool, Divisor, GlobalPool, GlobalPoolKind, MaxPool};
use crate::nn::ops::reduce::{Reduce, ReduceKind};
use crate::nn::ops::reshape::Reshape;
use crate::nn::ops::scale::Scale;
use crate::nn::ops::softmax::Softmax;
use crate::nn::ops::spatial_norm::SpatialNorm;
use crate::nn::ops::transpose::Transpose;
use crate::nn::ops::window::{Padding, Rounding, Window};
use crate::nn::ops::{MapAxis, Op};

/// MatConvNet's arrays, of height × width × depth × number, column-major.
pub(super) struct Filters {
    pub dims: [usize; 4],
    pub data: Vec<f32>,
}

/// Stride and padding as MatConvNet states them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sliding {
    /// `[vertical, horizontal]`.
    pub stride: [usize; 2],
    pub padding: Padding,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Pooling {
    Max,
    Average,
}

pub(super) struct Moments {
    /// As many as channels, each.
    pub factor: Vec<f32>,
    pub bias: Vec<f32>,
    pub mean: Vec<f64>,
    /// √(variance + epsilon).
    pub sigma: Vec<f64>,
    /// What `vl_nnbnorm` adds to the variances of a batch.
    pub epsilon: f64,
}

pub(super) struct Distance {
    pub p: f32,
    pub no_root: bool,
    pub epsilon: f32,
    /// Sum over all pixels.
    pub aggregate: bool,
    /// What the input is compared with, where it is not a second input.
    pub target: Option<Vec<f32>>,
}

/// One layer. The number of inputs is one where nothing else is said.
pub(super) enum Block {
    Conv {
        filters: Option<Filters>,
        bias: Vec<f32>,
        sliding: Sliding,
        dilation: [usize; 2],
    },
    ConvTranspose {
        filters: Filters,
        bias: Vec<f32>,
        upsample: [usize; 2],
        crop: Padding,
        groups: usize,
    },
    Pool {
        method: Pooling,
        kernel: [usize; 2],
        sliding: Sliding,
    },
    GlobalPool(Pooling),
    Relu {
        leak: f32,
    },
    Sigmoid,
    Tanh,
    Dropout {
        rate: f32,
    },
    Softmax,
    /// `[N, kappa, alpha, beta]`.
    Lrn([f64; 4]),
    /// `[height, width, alpha, beta]`.
    SpatialNorm([f64; 4]),
    /// `[alpha, beta]`.
    Offset([f64; 2]),
    BatchNorm(Moments),
    /// Factor and bias of one value or one a channel; the factor may be the second input instead.
    Scale {
        factor: Option<Vec<f32>>,
        bias: Vec<f32>,
    },
    Concat(MapAxis),
    Sum,
    /// First times second plus third.
    MultiplyAdd,
    PDistance(Distance),
    /// Exchanges height and width.
    SwapSides,
    /// Height, width and channels as one vector, in MATLAB's order: height runs fastest.
    Flatten,
}

impl Block {
    /// Adds the block's nodes; the last one bears the layer's name.
    pub fn add_to(self, net: &mut Net, name: &str, inputs: &[Maps]) -> Result<Maps, ImportError> {
        let expected = match &self {
            Self::Concat(_) | Self::Sum => inputs.len().max(1),
            Self::Scale { factor: None, .. } => 2,
            Self::PDistance(distance) if distance.target.is_none() => 2,
            Self::MultiplyAdd => 3,
            _ => 1,
        };
        let &[input, ..] = inputs else {
            return Err(ImportError::layer(name, "has no input"));
        };
        if inputs.len() != expected {
            return Err(ImportError::layer(name, format!("has {} inputs where {expected} are expected", inputs.len())));
        }
        match self {
            Self::Conv { filters, bias, sliding, dilation } => conv(net, name, input, filters, bias, sliding, dilation),
            Self::ConvTranspose { filters, bias, upsample, crop, groups } => {
                conv_transpose(net, name, input, filters, bias, [upsample, [groups; 2]], crop)
            }
            Self::Lrn(param) => lrn(net, name, input, param),
            Self::BatchNorm(moments) => batch_norm(net, name, input, moments),
            Self::Scale { factor, bias } => scale(net, name, inputs, factor, bias),
            Self::Concat(MapAxis::Channel) => {
                let channels = inputs.iter().map(|maps| maps.channels).fold(0usize, usize::saturating_add);
                let op = Op::Concat(Concat { axis: MapAxis::Channel });
                Ok(Maps { channels, ..net.node(name, op, inputs, &[]) })
            }
            Self::Sum if inputs.len() == 1 => Ok(input),
            Self::MultiplyAdd => {
                let product = Op::Elementwise(Elementwise::Mul);
                let product = net.node(&format!("{name}/product"), product, inputs.get(..2).unwrap_or_default(), &[]);
                let channels = input.channels;
                let terms = [&[product], inputs.get(2..).unwrap_or_default()].concat();
                Ok(Maps { channels, ..net.node(name, Op::Elementwise(Elementwise::Add), &terms, &[]) })
            }
            Self::PDistance(distance) => p_distance(net, name, inputs, distance),
            Self::Flatten => flatten(net, name, input),
            simple => Ok(net.node(name, simple.op(name)?, inputs, &[])),
        }
    }

    /// Of the blocks that are one node without parameters and leave the channels as they are.
    fn op(self, name: &str) -> Result<Op, ImportError> {
        let window = |kernel, sliding: Sliding| {
            Window { kernel, stride: sliding.stride, ..Window::square(1, 1) }.padded(sliding.padding)
        };
        Ok(match self {
            Self::Pool { method: Pooling::Max, kernel, sliding } => {
                Op::MaxPool(MaxPool { window: window(kernel, sliding) })
            }
            Self::Pool { method: Pooling::Average, kernel, sliding } => {
                Op::AveragePool(AveragePool { window: window(kernel, sliding), divisor: Divisor::Inside })
            }
            Self::GlobalPool(Pooling::Max) => Op::GlobalPool(GlobalPool { kind: GlobalPoolKind::Max }),
            Self::GlobalPool(Pooling::Average) => Op::GlobalPool(GlobalPool { kind: GlobalPoolKind::Average }),
            Self::Relu { leak: 0.0 } => Op::Activation(Activation::Relu),
            Self::Relu { leak } => Op::Activation(Activation::LeakyRelu { slope: leak }),
            Self::Sigmoid => Op::Activation(Activation::Sigmoid),
            Self::Tanh => Op::Activation(Activation::Tanh),
            Self::Dropout { rate } => Op::Dropout(Dropout { rate }),
            Self::Softmax => Op::Softmax(Softmax {}),
            Self::SpatialNorm([height, width, alpha, beta]) => Op::SpatialNorm(SpatialNorm {
                window: [whole(name, height)?, whole(name, width)?],
                alpha: alpha as f32,
                beta: beta as f32,
            }),
            Self::Offset([alpha, beta]) => Op::Offset(Offset { alpha: alpha as f32, beta: beta as f32 }),
            Self::SwapSides => Op::Transpose(Transpose { axes: SWAPPED_SIDES.into() }),
            Self::Concat(axis) => Op::Concat(Concat { axis }),
            Self::Sum => Op::Elementwise(Elementwise::Add),
            _ => return Err(ImportError::layer(name, "is of a kind that needs more than one node")),
        })
    }
}

fn whole(name: &str, number: f64) -> Result<usize, ImportError> {
    super::value::count_of("param", number).map_err(|error| ImportError::layer(name, error.to_string()))
}

/// MatConvNet's height-first planes as row-major ones: `[a, b, height, width]` from `height × width × b × a`.
fn planes_by_rows(filters: Filters) -> Vec<f32> {
    let [height, width, ..] = filters.dims;
    if height == 1 || width == 1 {
        return filters.data;
    }
    let mut rows = Vec::with_capacity(filters.data.len());
    for plane in filters.data.chunks_exact(height.saturating_mul(width)) {
        for y in 0..height {
            rows.extend(plane.iter().skip(y).step_by(height));
        }
    }
    rows
}

/// Checks that a bias is absent or has a value for each channel, and adds it.
fn add_bias(net: &mut Net, name: &str, bias: Vec<f32>, channels: usize) -> Result<Option<String>, ImportError> {
    if bias.is_empty() {
        return Ok(None);
    }
    if bias.len() != channels {
        let reason = format!("has {} biases for {channels} channels", bias.len());
        return Err(ImportError::layer(name, reason));
    }
    Ok(Some(net.param(name, "bias", &[channels], bias)))
}

fn conv(
    net: &mut Net,
    name: &str,
    input: Maps,
    filters: Option<Filters>,
    bias: Vec<f32>,
    sliding: Sliding,
    dilation: [usize; 2],
) -> Result<Maps, ImportError> {
    // Without filters, `vl_nnconv` still pads, strides and adds the bias.
    let filters = match filters {
        Some(filters) => filters,
        None => Filters { dims: [1, 1, 1, input.channels], data: net.filled(name, 1.0, input.channels)? },
    };
    let [height, width, depth, channels] = filters.dims;
    if depth == 0 || !input.channels.is_multiple_of(depth) {
        let reason = format!("filters of depth {depth} do not fit an input of {} channels", input.channels);
        return Err(ImportError::layer(name, reason));
    }
    let weight = net.param(name, "weight", &[channels, depth, height, width], planes_by_rows(filters));
    let bias = add_bias(net, name, bias, channels)?;
    let window = Window {
        kernel: [height, width],
        stride: sliding.stride,
        dilation,
        padding: sliding.padding,
        rounding: Rounding::Floor,
    };
    let op = Op::Conv2d(Conv2d { window, groups: input.channels / depth });
    let params: Vec<&str> = std::iter::once(weight.as_str()).chain(bias.as_deref()).collect();
    Ok(Maps { channels, ..net.node(name, op, &[input], &params) })
}

fn conv_transpose(
    net: &mut Net,
    name: &str,
    input: Maps,
    filters: Filters,
    bias: Vec<f32>,
    [upsample, [groups, _]]: [[usize; 2]; 2],
    crop: Padding,
) -> Result<Maps, ImportError> {
    let [height, width, group_channels, depth] = filters.dims;
    if depth != input.channels {
        let reason = format!("filters of depth {depth} do not fit an input of {} channels", input.channels);
        return Err(ImportError::layer(name, reason));
    }
    let channels = group_channels.saturating_mul(groups);
    let weight = net.param(name, "weight", &[depth, group_channels, height, width], planes_by_rows(filters));
    let bias = add_bias(net, name, bias, channels)?;
    let window = Window { kernel: [height, width], stride: upsample, ..Window::square(1, 1) }.padded(crop);
    let op = Op::ConvTranspose2d(ConvTranspose2d { window, groups, output_padding: [0; 2] });
    let params: Vec<&str> = std::iter::once(weight.as_str()).chain(bias.as_deref()).collect();
    Ok(Maps { channels, ..net.node(name, op, &[input], &params) })
}

/// y = x / (kappa + alpha · Σ x²)^beta over N channels, of which an even N has the larger part on higher channels.
fn lrn(net: &mut Net, name: &str, input: Maps, [size, kappa, alpha, beta]: [f64; 4]) -> Result<Maps, ImportError> {
    let size = whole(name, size)?;
    let [alpha, beta, bias] = [alpha, beta, kappa].map(|value| value as f32);
    let op = Op::Lrn(Lrn { size, alpha, beta, bias, region: LrnRegion::AcrossChannels });
    let one_sided = size.is_multiple_of(2) && size / 2 < input.channels;
    if !one_sided {
        return Ok(net.node(name, op, &[input], &[]));
    }
    // The op has the larger part of an even window on lower channels: it sees them in reverse.
    let reverse = reversal(net, name, input.channels)?;
    let before = net.node(&format!("{name}/reversed"), reversing(), &[input], &[&reverse]);
    let inner = net.node(&format!("{name}/normalized"), op, &[before], &[]);
    Ok(net.node(name, reversing(), &[inner], &[&reverse]))
}

fn reversing() -> Op {
    Op::Conv2d(Conv2d { window: Window::square(1, 1), groups: 1 })
}

/// A parameter that, as a 1×1 convolution, reverses the order of channels.
fn reversal(net: &mut Net, name: &str, channels: usize) -> Result<String, ImportError> {
    const MOST_CHANNELS: usize = 2048;
    if channels > MOST_CHANNELS {
        let reason = format!(
            "normalizes over an even number of neighbours of {channels} channels; at most {MOST_CHANNELS} are supported"
        );
        return Err(ImportError::layer(name, reason));
    }
    let mut weight = net.filled(name, 0.0, channels.saturating_mul(channels))?;
    for (row, weights) in weight.chunks_exact_mut(channels.max(1)).enumerate() {
        if let Some(weight) = weights.iter_mut().rev().nth(row) {
            *weight = 1.0;
        }
    }
    Ok(net.param(name, "reversal", &[channels, channels, 1, 1], weight))
}

fn batch_norm(net: &mut Net, name: &str, input: Maps, moments: Moments) -> Result<Maps, ImportError> {
    let Moments { factor, bias, mean, sigma, epsilon } = moments;
    let channels = input.channels;
    let lengths = [factor.len(), bias.len(), mean.len(), sigma.len()];
    if lengths != [channels; 4] {
        let reason = format!("has {lengths:?} factors, biases, means and deviations for {channels} channels");
        return Err(ImportError::layer(name, reason));
    }
    if sigma.iter().any(|&sigma| sigma <= 0.0) {
        let reason = "holds a standard deviation that is not above 0: the net was saved before it was trained";
        return Err(ImportError::layer(name, reason));
    }
    // The deviation is used as it is stored; which epsilon it holds is not told, but it is no more than its square.
    let smallest = sigma.iter().fold(epsilon, |least, sigma| least.min(sigma * sigma));
    let epsilon = (smallest as f32).clamp(0.0, f32::MAX);
    let variance: Vec<f32> = sigma.iter().map(|sigma| (sigma * sigma - f64::from(epsilon)).max(0.0) as f32).collect();
    let mean: Vec<f32> = mean.into_iter().map(|mean| mean as f32).collect();
    let params = [("gamma", factor), ("beta", bias), ("mean", mean), ("variance", variance)]
        .map(|(suffix, data)| net.param(name, suffix, &[channels], data));
    let params: Vec<&str> = params.iter().map(String::as_str).collect();
    Ok(net.node(name, Op::BatchNorm(BatchNorm { epsilon }), &[input], &params))
}

/// One value stands for all channels.
fn spread(net: &mut Net, name: &str, what: &str, values: Vec<f32>, channels: usize) -> Result<Vec<f32>, ImportError> {
    match *values.as_slice() {
        [value] => net.filled(name, value, channels),
        _ if values.len() == channels => Ok(values),
        _ => Err(ImportError::layer(name, format!("has {} {what} for {channels} channels", values.len()))),
    }
}

fn scale(
    net: &mut Net,
    name: &str,
    inputs: &[Maps],
    factor: Option<Vec<f32>>,
    bias: Vec<f32>,
) -> Result<Maps, ImportError> {
    let &[input, ..] = inputs else { return Err(ImportError::layer(name, "has no input")) };
    let (mut maps, factor) = match factor {
        Some(factor) => (input, factor),
        None if bias.is_empty() => return Ok(net.node(name, Op::Elementwise(Elementwise::Mul), inputs, &[])),
        None => (net.node(&format!("{name}/product"), Op::Elementwise(Elementwise::Mul), inputs, &[]), vec![1.0]),
    };
    let factor = spread(net, name, "factors", factor, input.channels)?;
    let factor = net.param(name, "factor", &[input.channels], factor);
    let mut params = vec![factor.as_str()];
    let bias = if bias.is_empty() { Vec::new() } else { spread(net, name, "biases", bias, input.channels)? };
    let bias = add_bias(net, name, bias, input.channels)?;
    params.extend(bias.as_deref());
    maps = net.node(name, Op::Scale(Scale {}), &[maps], &params);
    Ok(maps)
}

/// Maps with height and width exchanged.
const SWAPPED_SIDES: [usize; 4] = [0, 1, 3, 2];

fn flatten(net: &mut Net, name: &str, input: Maps) -> Result<Maps, ImportError> {
    if !net.size_is_stated {
        let reason =
            format!("layer `{}` flattens maps, whose size depends on that of the pictures", ImportError::brief(name));
        return Err(ImportError::Needs(format!("{reason}, which the file does not say; state it")));
    }
    let shape = net.graph.shape(input.id).and_then(|shape| shape.as_maps());
    let Some([_, channels, height, width]) = shape else {
        return Err(ImportError::layer(name, "flattens what the layers before it cannot make"));
    };
    let swapped = Op::Transpose(Transpose { axes: SWAPPED_SIDES.into() });
    let swapped = net.node(&format!("{name}/columns"), swapped, &[input], &[]);
    let channels = channels.saturating_mul(height).saturating_mul(width);
    Ok(Maps { channels, ..net.node(name, Op::Reshape(Reshape::flatten()), &[swapped], &[]) })
}

fn p_distance(net: &mut Net, name: &str, inputs: &[Maps], distance: Distance) -> Result<Maps, ImportError> {
    let Distance { p, no_root, epsilon, aggregate, target } = distance;
    let mut operands = inputs.to_vec();
    if let (Some(target), &[input, ..]) = (target, inputs) {
        operands.push(constant(net, &format!("{name}/target"), input, target)?);
    }
    let op = Op::PDistance(PDistance { p, no_root, epsilon });
    let last = if aggregate { format!("{name}/pixels") } else { name.to_string() };
    let maps = Maps { channels: 1, ..net.node(&last, op, &operands, &[]) };
    if !aggregate {
        return Ok(maps);
    }
    let sum = Reduce { kind: ReduceKind::Sum, axes: vec![MapAxis::Height, MapAxis::Width], keep: true };
    Ok(net.node(name, Op::Reduce(sum), &[maps], &[]))
}

/// One pixel that always has these channels: nought times the input's mean, plus them.
fn constant(net: &mut Net, name: &str, input: Maps, values: Vec<f32>) -> Result<Maps, ImportError> {
    let channels = input.channels;
    if values.len() != channels {
        return Err(ImportError::layer(name, format!("has {} values for {channels} channels", values.len())));
    }
    let op = Op::GlobalPool(GlobalPool { kind: GlobalPoolKind::Average });
    let pixel = net.node(&format!("{name}/pixel"), op, &[input], &[]);
    let zeros = net.filled(name, 0.0, channels)?;
    let factor = net.param(name, "factor", &[channels], zeros);
    let bias = net.param(name, "bias", &[channels], values);
    Ok(net.node(name, Op::Scale(Scale {}), &[pixel], &[&factor, &bias]))
}
