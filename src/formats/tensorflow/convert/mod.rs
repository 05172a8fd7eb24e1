//! Node by node from a TensorFlow graph to a net.
//!
//! TensorFlow's maps are batch × height × width × channels by default, the net's shapes are batch × channels × height ×
//! width. Each value therefore says where TensorFlow's axes are among the net's ([`Map::axes`]), so that a transposition
//! is only carried out where an operation needs it.

mod arithmetic;
mod conv;
mod cut;
mod fold;
mod layout;
mod norm;
mod picture;
mod pool;
mod reshape;
mod resize;
mod spaced;
mod training;

use std::collections::HashMap;
use std::sync::Arc;

use super::graph::{Graph, Node};
use super::select::Source;
use super::tensor::{Budget, Tensor, decode};
use crate::formats::ImportError;
use crate::nn::graph::{GraphBuilder, NodeId};
use crate::nn::ops::activation::Activation;
use crate::nn::ops::softmax::{LogSoftmax, Softmax};
use crate::nn::ops::{Op, Operator as _};

use layout::Format;
pub use picture::Picture;

/// Why an operation cannot become part of the net; the caller adds its name.
pub(super) type Reason = String;

/// Maps and vectors beyond this length of an axis are refused.
const MAX_AXIS: usize = 1 << 16;

/// What a node gives.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Const(Tensor),
    Map(Map),
    /// The input as it enters or slightly prepared, before any node of the net.
    Picture(Picture),
    /// A layer that waits for its bias.
    Lazy(Arc<Lazy>),
    /// Random numbers between the two, of a dropout.
    Random {
        low: f64,
        high: f64,
    },
    /// Maps that were cut into a batch of every `block`-th pixel, for a convolution with gaps; here they stay whole.
    Spaced {
        map: Map,
        block: [usize; 2],
    },
    /// The branch that is not taken.
    Dead,
    Text,
}

/// A value that a node of the net computes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Map {
    pub id: NodeId,
    /// TensorFlow's axis `i` is the net's axis `axes[i]`.
    pub axes: Vec<usize>,
    /// The `[channels, height, width]` of flattened maps: in the net they lie in this order, in TensorFlow by height,
    /// width, channels.
    pub flat: Option<[usize; 3]>,
}

/// A layer whose sole reader may add a bias to it.
#[derive(Debug)]
pub(super) struct Lazy {
    name: String,
    op: Op,
    inputs: Vec<NodeId>,
    params: Vec<String>,
    axes: Vec<usize>,
}

/// What comes of a graph.
pub struct Converted {
    pub net: GraphBuilder,
    pub picture: Picture,
    pub notes: Vec<String>,
}

pub struct Converter<'c, 'a> {
    graph: &'c Graph<'a>,
    source: &'c Source,
    /// `[height, width]` for pictures whose size the graph does not state.
    size: [usize; 2],
    budget: Budget,
    net: Option<GraphBuilder>,
    /// The input and how it was prepared, once there is one.
    input: Option<(Map, Picture)>,
    values: HashMap<usize, Vec<Value>>,
    /// The nodes that the output needs, in the order of computation.
    order: Vec<usize>,
    /// The operation of the first layer with weights, and their shape.
    first_weight: Option<(&'a str, Vec<usize>)>,
    /// The one node that reads from a node, among those that the output needs.
    sole_reader: HashMap<usize, usize>,
    /// What batches the graph is made for.
    batch: usize,
    /// The name of the node being converted.
    at: String,
    /// Whether a node of the net has that name already.
    at_is_taken: bool,
    fresh_names: usize,
    /// Whether layers take channels before height and width.
    is_planar: bool,
    notes: Vec<String>,
}

impl<'c, 'a> Converter<'c, 'a> {
    /// `order` are the nodes to convert, the last of which is the output. `file_bytes` bounds the work.
    pub fn new(graph: &'c Graph<'a>, order: &[usize], source: &'c Source, size: [usize; 2], file_bytes: usize) -> Self {
        let batch = source.dims.as_ref().filter(|dims| dims.len() != 3).and_then(|dims| dims[0]).unwrap_or(1).max(1);
        Self {
            graph,
            source,
            size,
            budget: Budget::for_file(file_bytes),
            net: None,
            input: None,
            values: HashMap::new(),
            order: order.to_vec(),
            first_weight: picture::first_weight(graph, order),
            sole_reader: HashMap::new(),
            batch,
            at: String::new(),
            at_is_taken: false,
            fresh_names: 0,
            is_planar: order.iter().any(|&index| is_planar(&graph.nodes[index])),
            notes: Vec::new(),
        }
    }

    pub fn convert(mut self) -> Result<Converted, ImportError> {
        let order = self.order.clone();
        self.find_sole_readers(&order);
        for &index in &order {
            let node = &self.graph.nodes[index];
            self.at = node.name.to_string();
            self.at_is_taken = false;
            let values = self.evaluate(index, node).map_err(|reason| node.error(reason))?;
            self.values.insert(index, values);
        }
        let Some(&output) = order.last() else {
            return Err(ImportError::Unsupported("the graph is empty".into()));
        };
        let node = &self.graph.nodes[output];
        self.finish(output).map_err(|reason| node.error(reason))
    }

    fn find_sole_readers(&mut self, order: &[usize]) {
        let mut reads: HashMap<usize, (usize, usize)> = HashMap::new();
        for &index in order {
            for edge in self.graph.nodes[index].inputs.iter().flatten() {
                let (count, reader) = reads.entry(edge.node).or_insert((0, index));
                (*count, *reader) = (*count + 1, index);
            }
        }
        let sole = reads.into_iter().filter(|&(_, (count, _))| count == 1);
        self.sole_reader = sole.map(|(node, (_, reader))| (node, reader)).collect();
    }

    /// Makes the output the net's last node, in TensorFlow's order.
    fn finish(mut self, output: usize) -> Result<Converted, Reason> {
        let value = self.values.get(&output).and_then(|values| values.first()).cloned().ok_or("it has no output")?;
        if let Value::Const(_) = value {
            return Err("it does not depend on the picture".into());
        }
        let map = self.map(&value)?;
        let map = self.unflattened(&map)?;
        let last = self.net.as_ref().map_or(0, |net| net.nodes().len().saturating_sub(1));
        if map.id != last || map.id == GraphBuilder::INPUT {
            self.copy(&map)?;
        }
        match (self.net, self.input) {
            (Some(net), Some((_, picture))) => Ok(Converted { net, picture, notes: self.notes }),
            _ => Err("it does not depend on the picture".into()),
        }
    }

    fn evaluate(&mut self, index: usize, node: &Node<'a>) -> Result<Vec<Value>, Reason> {
        if index == self.source.node {
            return Ok(vec![Value::Picture(self.entering())]);
        }
        let mut inputs = Vec::with_capacity(node.inputs.len());
        for edge in node.inputs.iter().flatten() {
            let values = self.values.get(&edge.node);
            let Some(value) = values.and_then(|values| values.get(edge.output)) else {
                let from = self.graph.from(*edge).map_or("", |from| from.name);
                return Err(format!("`{}` has no output number {}", ImportError::brief(from), edge.output));
            };
            inputs.push(value.clone());
        }
        if let Some(values) = self.branch(node, &inputs)? {
            return Ok(values);
        }
        if inputs.iter().any(|value| matches!(value, Value::Dead)) {
            const MOST_OUTPUTS: usize = 8;
            return Ok(vec![Value::Dead; MOST_OUTPUTS]);
        }
        if let Some(values) = self.folded(node, &inputs)? {
            return Ok(values);
        }
        if let Some(value) = self.prepared(node, &inputs)? {
            return Ok(vec![value]);
        }
        self.layer(node, &inputs)
    }

    /// The input of a layer that must be there.
    fn layer(&mut self, node: &Node<'a>, inputs: &[Value]) -> Result<Vec<Value>, Reason> {
        let value = match node.op {
            "Identity"
            | "StopGradient"
            | "CheckNumerics"
            | "PreventGradient"
            | "Snapshot"
            | "Print"
            | "Enter"
            | "Exit"
            | "PlaceholderWithDefault"
            | "Cast"
            | "PlaceholderV2"
            | "EnsureShape"
            | "FakeQuantWithMinMaxVars"
            | "FakeQuantWithMinMaxArgs" => self.passed(node, inputs)?,
            "Conv2D" => self.conv2d(node, inputs)?,
            "DepthwiseConv2dNative" => self.depthwise(node, inputs)?,
            "SpaceToBatchND" => self.space_to_batch(inputs)?,
            "BatchToSpaceND" => self.batch_to_space(inputs)?,
            "Conv2DBackpropInput" => self.conv_transpose(node, inputs)?,
            "MatMul" | "BatchMatMul" | "BatchMatMulV2" => self.mat_mul(node, inputs)?,
            "BiasAdd" | "BiasAddV1" => self.bias_add(node, inputs)?,
            "Add" | "AddV2" | "Sub" | "Mul" | "RealDiv" | "Div" | "Maximum" | "Minimum" | "SquaredDifference"
            | "Pow" => self.binary(node.op, inputs)?,
            "AddN" => self.add_n(inputs)?,
            "Neg" | "Square" | "Abs" | "Selu" => self.unary(node.op, inputs)?,
            "Relu" | "Relu6" | "Elu" | "LeakyRelu" | "Sigmoid" | "Tanh" | "Erf" => self.activation(node, inputs)?,
            "Softmax" => self.softmax(Op::Softmax(Softmax {}), inputs)?,
            "LogSoftmax" => self.softmax(Op::LogSoftmax(LogSoftmax {}), inputs)?,
            "MaxPool" | "AvgPool" => self.pool(node, inputs)?,
            "LRN" => self.lrn(node, inputs)?,
            "FusedBatchNorm" | "FusedBatchNormV2" | "FusedBatchNormV3" => self.fused_batch_norm(node, inputs)?,
            "BatchNormWithGlobalNormalization" => self.old_batch_norm(node, inputs)?,
            "Mean" | "Sum" | "Max" => self.reduce(node, inputs)?,
            "Concat" => self.concat(inputs.first(), inputs.get(1..).unwrap_or_default())?,
            "ConcatV2" => match inputs.split_last() {
                Some((axis, values)) => self.concat(Some(axis), values)?,
                None => return Err("it joins nothing".into()),
            },
            "IdentityN" => return Ok(inputs.to_vec()),
            "Split" | "SplitV" => return self.split(node, inputs),
            "Slice" => self.slice(inputs)?,
            "StridedSlice" => self.strided_slice(node, inputs)?,
            "Reshape" => self.reshape_to(inputs)?,
            "Squeeze" => self.squeeze(node, inputs)?,
            "ExpandDims" => self.expand_dims(inputs)?,
            "Transpose" => self.transpose(inputs)?,
            "ReverseV2" => self.reversed(inputs)?,
            "Pad" | "PadV2" | "MirrorPad" => self.pad(node, inputs)?,
            "ResizeBilinear" | "ResizeNearestNeighbor" => self.resize(node, inputs)?,
            "Shape" => self.shape(inputs)?,
            "Select" | "SelectV2" => self.select(inputs)?,
            other => return Err(unsupported(other)),
        };
        Ok(vec![value])
    }

    /// The first input, unchanged.
    fn passed(&mut self, node: &Node<'a>, inputs: &[Value]) -> Result<Value, Reason> {
        if node.op.starts_with("FakeQuant") {
            let note = "The rounding of activations that the graph simulates for quantization is left out.";
            if !self.notes.iter().any(|known| known == note) {
                self.notes.push(note.into());
            }
        }
        inputs.first().cloned().ok_or_else(|| "it has no input".into())
    }

    /// A constant of the graph.
    pub(super) fn decoded(&mut self, node: &Node<'_>) -> Result<Value, Reason> {
        let tensor = node.attribute("value")?.and_then(|value| value.tensor).ok_or("it has no value")?;
        let tensor = decode(*tensor, &mut self.budget).map_err(|error| error.to_string())?;
        Ok(tensor.map_or(Value::Text, Value::Const))
    }

    /// Adds a node to the net; its shapes must fit.
    fn add(&mut self, name: &str, op: Op, inputs: &[NodeId], params: &[String]) -> Result<NodeId, Reason> {
        /// What a node weighs, in elements.
        const NODE_ELEMENTS: usize = 64;
        self.budget.charge(NODE_ELEMENTS)?;
        let Some(net) = &mut self.net else { return Err("it does not depend on the picture".into()) };
        let shapes: Option<Vec<_>> = inputs.iter().map(|&id| net.shape(id)).collect();
        let param_shapes: Option<Vec<&[usize]>> =
            params.iter().map(|name| Some(net.param_named(name)?.shape.as_slice())).collect();
        let (Some(shapes), Some(param_shapes)) = (shapes, param_shapes) else {
            return Err("what it needs is missing".into());
        };
        let shape = op.output_shape(&shapes, &param_shapes).map_err(|error| format!("it {error}"))?;
        if shape.dims().iter().skip(2).any(|&dim| dim > MAX_AXIS) {
            return Err(format!("it would give maps of {shape}, which are larger than is supported"));
        }
        let params: Vec<&str> = params.iter().map(String::as_str).collect();
        Ok(net.add(name, op, inputs, &params))
    }

    /// Adds the node that carries the name of the graph's node, or a name made from it if that is taken.
    fn add_here(&mut self, op: Op, inputs: &[NodeId], params: &[String]) -> Result<NodeId, Reason> {
        let name = self.name_here();
        self.add(&name, op, inputs, params)
    }

    fn name_here(&mut self) -> String {
        let taken = std::mem::replace(&mut self.at_is_taken, true);
        let present = self.net.as_ref().is_some_and(|net| net.node_named(&self.at).is_some());
        if taken || present { self.fresh("part") } else { self.at.clone() }
    }

    /// A name that no node has, for what is added beside the graph's own node.
    fn fresh(&mut self, suffix: &str) -> String {
        let mut name = format!("{}/{suffix}", self.at);
        let is_used =
            |name: &str| self.graph.has(name) || self.net.as_ref().is_some_and(|net| net.node_named(name).is_some());
        while is_used(&name) {
            self.fresh_names += 1;
            name = format!("{}/{suffix}_{}", self.at, self.fresh_names);
        }
        name
    }

    /// Adds weights.
    fn param(&mut self, name: &str, shape: &[usize], data: Arc<[f32]>) -> String {
        if let Some(net) = &mut self.net {
            net.param(name, shape, data);
        }
        name.to_string()
    }

    /// The net's logical dimensions of a value.
    fn net_dims(&self, map: &Map) -> Result<Vec<usize>, Reason> {
        let shape = self.net.as_ref().and_then(|net| net.shape(map.id));
        Ok(shape.ok_or("the shape of its input is unknown")?.dims().to_vec())
    }

    /// TensorFlow's dimensions of a value.
    fn dims(&self, map: &Map) -> Result<Vec<usize>, Reason> {
        let dims = self.net_dims(map)?;
        let along = |&axis: &usize| if axis == 0 { Some(self.batch) } else { dims.get(axis).copied() };
        map.axes.iter().map(along).collect::<Option<_>>().ok_or_else(|| "the shape of its input is unknown".into())
    }

    /// What a node of the net computes, adding it if it is not there yet.
    pub(super) fn map(&mut self, value: &Value) -> Result<Map, Reason> {
        match value {
            Value::Map(map) => Ok(map.clone()),
            Value::Picture(picture) => self.enter(picture),
            Value::Lazy(lazy) => {
                let (name, op) = (lazy.name.clone(), lazy.op.clone());
                let id = self.add(&name, op, &lazy.inputs, &lazy.params)?;
                Ok(Map { id, axes: lazy.axes.clone(), flat: None })
            }
            Value::Const(_) => Err("it is given a constant where it needs what depends on the picture".into()),
            Value::Random { .. } => Err("it computes with random numbers other than those of a dropout".into()),
            Value::Spaced { .. } => {
                Err("pictures cut into a batch (`SpaceToBatchND`) are supported right before a convolution only".into())
            }
            Value::Dead | Value::Text => Err("it is given something that is no picture".into()),
        }
    }

    /// The input of that number, as a value of the net.
    fn map_at(&mut self, inputs: &[Value], index: usize) -> Result<Map, Reason> {
        let value = inputs.get(index).ok_or_else(|| missing_input(index))?.clone();
        self.map(&value)
    }

    /// Whether the one reader of a node may add a bias to it.
    fn bias_may_follow(&self, index: usize) -> bool {
        let Some(reader) = self.sole_reader.get(&index).and_then(|&reader| self.graph.nodes.get(reader)) else {
            return false;
        };
        match reader.op {
            "BiasAdd" | "BiasAddV1" | "Add" | "AddV2" => true,
            "Sub" => reader.inputs.first().copied().flatten().is_some_and(|edge| edge.node == index),
            _ => false,
        }
    }

    /// A layer that a bias may join, now or later.
    fn lazy(&mut self, op: Op, inputs: Vec<NodeId>, params: Vec<String>, axes: Vec<usize>) -> Result<Value, Reason> {
        let index = self.graph.index(&self.at);
        if index.is_some_and(|index| self.bias_may_follow(index)) {
            let lazy = Lazy { name: self.at.clone(), op, inputs, params, axes };
            return Ok(Value::Lazy(Arc::new(lazy)));
        }
        let id = self.add_here(op, &inputs, &params)?;
        Ok(Value::Map(Map { id, axes, flat: None }))
    }

    fn activation(&mut self, node: &Node<'a>, inputs: &[Value]) -> Result<Value, Reason> {
        let activation = match node.op {
            "Relu" => Activation::Relu,
            "Relu6" => Activation::Clip { low: 0.0, high: 6.0 },
            "Elu" => Activation::Elu { alpha: 1.0 },
            "LeakyRelu" => Activation::LeakyRelu { slope: node.float("alpha", 0.2)? },
            "Sigmoid" => Activation::Sigmoid,
            "Erf" => Activation::Erf,
            _ => Activation::Tanh,
        };
        let map = self.map_at(inputs, 0)?;
        self.elementwise(Op::Activation(activation), &map)
    }

    /// A layer of one input that treats every element alike.
    fn elementwise(&mut self, op: Op, map: &Map) -> Result<Value, Reason> {
        let id = self.add_here(op, &[map.id], &[])?;
        Ok(Value::Map(Map { id, ..map.clone() }))
    }

    fn softmax(&mut self, op: Op, inputs: &[Value]) -> Result<Value, Reason> {
        let map = self.map_at(inputs, 0)?;
        let map = self.unflattened(&map)?;
        let map = self.with_channels_last(&map)?;
        self.elementwise(op, &map)
    }
}

fn is_planar(node: &Node<'_>) -> bool {
    matches!(node.op, "Conv2D" | "DepthwiseConv2dNative") && matches!(Format::of(node), Ok(Format::Nchw))
}

fn missing_input(index: usize) -> Reason {
    format!("its input number {index} is missing")
}

fn unsupported(op: &str) -> Reason {
    let op = ImportError::brief(op);
    match op.as_str() {
        "Variable" | "VariableV2" | "VarHandleOp" | "ReadVariableOp" | "AutoReloadVariable" => {
            "its weights are not in this file but in a checkpoint: freeze the graph (so that variables become constants) \
             and load the result"
                .into()
        }
        "PartitionedCall" | "StatefulPartitionedCall" => {
            "it calls a function of the graph; freeze the net with `convert_variables_to_constants_v2`, which inlines \
             functions"
                .into()
        }
        "" => "it says no operation".into(),
        op => format!("the operation `{op}` is not supported"),
    }
}
