//! An architecture on paper: nodes and the parameters that they ask for, without values.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;

use super::params::{ParamRole, ParamSource, ParamSpec};
use super::{Architecture, ArchitectureError};
use crate::nn::graph::{ChannelOrder, Graph, Node, NodeId, Param, Preprocess};
use crate::nn::ops::activation::Activation;
use crate::nn::ops::batch_norm::BatchNorm;
use crate::nn::ops::concat::Concat;
use crate::nn::ops::conv::Conv2d;
use crate::nn::ops::dropout::Dropout;
use crate::nn::ops::elementwise::Elementwise;
use crate::nn::ops::linear::Linear;
use crate::nn::ops::pool::{AveragePool, Divisor, GlobalPool, GlobalPoolKind, MaxPool};
use crate::nn::ops::reshape::{Dim, Reshape};
use crate::nn::ops::slice::Slice;
use crate::nn::ops::softmax::Softmax;
use crate::nn::ops::window::Window;
use crate::nn::ops::{Input, MapAxis, Op};

/// The picture size, in pixels, that most of these nets were trained at.
const TRAINED_AT_PX: usize = 224;

/// A net without its parameters.
#[derive(Clone, Debug)]
pub struct Blueprint {
    architecture: Architecture,
    nodes: Vec<Node>,
    params: Vec<ParamSpec>,
    preprocess: Preprocess,
}

/// The output of a node while a net is drawn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Maps {
    pub id: NodeId,
    /// Channels, or the length of a vector.
    pub channels: usize,
}

/// Whether a convolution has a bias of its own; one before a batch norm does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bias {
    Own,
    None,
}

impl Blueprint {
    /// The parameters in the order in which layers ask for them.
    pub fn params(&self) -> &[ParamSpec] {
        &self.params
    }

    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Leaves out all that comes after a node, parameters included.
    pub fn up_to(mut self, node: &str) -> Result<Self, ArchitectureError> {
        let Some(last) = self.nodes.iter().position(|candidate| candidate.name == node) else {
            return Err(ArchitectureError::UnknownNode { architecture: self.architecture, node: node.into() });
        };
        self.nodes.truncate(last + 1);
        let used: HashSet<&String> = self.nodes.iter().flat_map(|node| &node.params).collect();
        self.params.retain(|spec| used.contains(&spec.name));
        Ok(self)
    }

    /// Gives the net its parameters and, where known, the names of its classes.
    pub fn build(self, source: &mut dyn ParamSource, labels: Vec<String>) -> Result<Graph, ArchitectureError> {
        let mut params = BTreeMap::new();
        for spec in self.params {
            let data = source.take(&spec)?;
            params.insert(spec.name, Param { shape: spec.shape, data });
        }
        Ok(Graph::new(self.architecture.name(), self.nodes, params, self.preprocess, labels)?)
    }

    /// An empty net for RGB pictures, normalized by the mean and deviation of ImageNet.
    pub(super) fn new(architecture: Architecture) -> Self {
        const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
        const DEVIATION: [f32; 3] = [0.229, 0.224, 0.225];
        let preprocess = Preprocess {
            order: ChannelOrder::Rgb,
            mean: MEAN.map(|mean| 255.0 * mean).to_vec(),
            scale: DEVIATION.map(|deviation| 1.0 / (255.0 * deviation)).to_vec(),
        };
        let mut net = Self { architecture, nodes: Vec::new(), params: Vec::new(), preprocess };
        net.node("input", Op::Input(Input { channels: 3, size: [TRAINED_AT_PX; 2] }), &[], 3, &[]);
        net
    }

    /// For a net that took (RGB − 127.5) / 127.5: GoogLeNet and Inception v3, whose weights torchvision has from
    /// elsewhere. It normalizes their pictures as all others', and has the nets' `transform_input` undo that.
    pub(super) fn symmetric_pixels(mut self) -> Self {
        self.preprocess = Preprocess { order: ChannelOrder::Rgb, mean: vec![127.5; 3], scale: vec![1.0 / 127.5; 3] };
        self
    }

    /// For a net that was trained at other pictures than most.
    pub(super) fn trained_at(mut self, side_px: usize) -> Self {
        self.nodes[0].op = Op::Input(Input { channels: 3, size: [side_px; 2] });
        self
    }

    pub(super) const INPUT: Maps = Maps { id: 0, channels: 3 };

    /// Adds a node whose parameters are `name.suffix`.
    fn node(
        &mut self,
        name: &str,
        op: Op,
        inputs: &[Maps],
        channels: usize,
        params: &[(&str, &[usize], ParamRole)],
    ) -> Maps {
        let id = self.nodes.len();
        let specs = params.iter().map(|&(suffix, shape, role)| ParamSpec {
            name: format!("{name}.{suffix}"),
            shape: shape.to_vec(),
            role,
        });
        let first = self.params.len();
        self.params.extend(specs);
        let params = self.params[first..].iter().map(|spec| spec.name.clone()).collect();
        let inputs = inputs.iter().map(|maps| maps.id).collect();
        self.nodes.push(Node { name: name.to_string(), op, inputs, params });
        Maps { id, channels }
    }

    /// Renames a node; its parameters keep their names.
    pub(super) fn rename(&mut self, maps: Maps, name: &str) {
        self.nodes[maps.id].name = name.to_string();
    }

    pub(super) fn conv(&mut self, name: &str, input: Maps, out: usize, window: Window, bias: Bias) -> Maps {
        self.grouped_conv(name, input, out, window, 1, bias)
    }

    /// One group a channel makes it depthwise.
    pub(super) fn grouped_conv(
        &mut self,
        name: &str,
        input: Maps,
        out: usize,
        window: Window,
        groups: usize,
        bias: Bias,
    ) -> Maps {
        let [height, width] = window.kernel;
        let weight_shape = [out, input.channels / groups, height, width];
        let weight: (&str, &[usize], _) = ("weight", &weight_shape, ParamRole::Weight);
        let own_bias: (&str, &[usize], _) = ("bias", &[out], ParamRole::Bias);
        let both = [weight, own_bias];
        let params = if bias == Bias::Own { &both[..] } else { &both[..1] };
        self.node(name, Op::Conv2d(Conv2d { window, groups }), &[input], out, params)
    }

    pub(super) fn batch_norm(&mut self, name: &str, input: Maps, epsilon: f32) -> Maps {
        let shape: &[usize] = &[input.channels];
        let params = [
            ("weight", shape, ParamRole::Gamma),
            ("bias", shape, ParamRole::Beta),
            ("running_mean", shape, ParamRole::Mean),
            ("running_var", shape, ParamRole::Variance),
        ];
        self.node(name, Op::BatchNorm(BatchNorm { epsilon }), &[input], input.channels, &params)
    }

    pub(super) fn linear(&mut self, name: &str, input: Maps, out: usize) -> Maps {
        let params: [(&str, &[usize], _); 2] =
            [("weight", &[out, input.channels], ParamRole::Weight), ("bias", &[out], ParamRole::Bias)];
        self.node(name, Op::Linear(Linear {}), &[input], out, &params)
    }

    pub(super) fn relu(&mut self, name: &str, input: Maps) -> Maps {
        self.activation(name, input, Activation::Relu)
    }

    pub(super) fn activation(&mut self, name: &str, input: Maps, activation: Activation) -> Maps {
        self.node(name, Op::Activation(activation), &[input], input.channels, &[])
    }

    pub(super) fn max_pool(&mut self, name: &str, input: Maps, window: Window) -> Maps {
        self.node(name, Op::MaxPool(MaxPool { window }), &[input], input.channels, &[])
    }

    /// PyTorch's default: padding counts.
    pub(super) fn average_pool(&mut self, name: &str, input: Maps, window: Window) -> Maps {
        let op = Op::AveragePool(AveragePool { window, divisor: Divisor::Padded });
        self.node(name, op, &[input], input.channels, &[])
    }

    pub(super) fn global_average(&mut self, name: &str, input: Maps) -> Maps {
        let op = Op::GlobalPool(GlobalPool { kind: GlobalPoolKind::Average });
        self.node(name, op, &[input], input.channels, &[])
    }

    pub(super) fn dropout(&mut self, name: &str, input: Maps, rate: f32) -> Maps {
        self.node(name, Op::Dropout(Dropout { rate }), &[input], input.channels, &[])
    }

    pub(super) fn add(&mut self, name: &str, left: Maps, right: Maps) -> Maps {
        self.node(name, Op::Elementwise(Elementwise::Add), &[left, right], left.channels, &[])
    }

    /// Multiplies each channel of `maps` by a factor of its own, from 1×1 maps.
    pub(super) fn scale(&mut self, name: &str, maps: Maps, factors: Maps) -> Maps {
        self.node(name, Op::Elementwise(Elementwise::Mul), &[maps, factors], maps.channels, &[])
    }

    pub(super) fn channels(&mut self, name: &str, input: Maps, range: Range<usize>) -> Maps {
        let channels = range.len();
        let op = Op::Slice(Slice { axis: MapAxis::Channel, start: range.start, end: range.end });
        self.node(name, op, &[input], channels, &[])
    }

    pub(super) fn concat(&mut self, name: &str, inputs: &[Maps]) -> Maps {
        let channels = inputs.iter().map(|maps| maps.channels).sum();
        self.node(name, Op::Concat(Concat { axis: MapAxis::Channel }), inputs, channels, &[])
    }

    /// Channels of two maps of as many in turn: a concatenation and its shuffle in two groups (Zhang 2017). Below each
    /// other, `name.stack`, channel c of both is one piece of memory in logical order, and halving it makes it two
    /// channels; so the net stays one for pictures of any size.
    pub(super) fn interleave(&mut self, name: &str, [first, second]: [Maps; 2]) -> Maps {
        let stack = Op::Concat(Concat { axis: MapAxis::Height });
        let stacked = self.node(&format!("{name}.stack"), stack, &[first, second], first.channels, &[]);
        let channels = first.channels + second.channels;
        let op = Op::Reshape(Reshape { dims: vec![Dim::Of(channels), Dim::Rest, Dim::Same] });
        self.node(name, op, &[stacked], channels, &[])
    }

    /// Makes maps of that many pixels a vector.
    pub(super) fn flatten(&mut self, input: Maps, pixels: usize) -> Maps {
        self.node("flatten", Op::Reshape(Reshape::flatten()), &[input], input.channels * pixels, &[])
    }

    pub(super) fn softmax(&mut self, input: Maps) -> Maps {
        self.node("softmax", Op::Softmax(Softmax {}), &[input], input.channels, &[])
    }
}
