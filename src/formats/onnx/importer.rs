//! The walk over the nodes of an ONNX graph.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use prost::Message;

use super::super::{ImportError, Imported, LoadOptions};
use super::budget::Budget;
use super::call::Call;
use super::constant::{self, Constant};
use super::proto::{GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto};
use super::value::{Computed, Value};
use super::{External, fold, input, metadata, ops};
use crate::base::tensor::Shape;
use crate::nn::graph::{GraphBuilder, NodeId, Provenance};
use crate::nn::ops::reshape::{Dim, Reshape};
use crate::nn::ops::transpose::Transpose;
use crate::nn::ops::{Op, Operator};

/// The role, dimensions and values of a node's parameter.
pub type Param<'p> = (&'p str, &'p [usize], Arc<[f32]>);

/// Numbers that a node may give for one picture (4 GiB).
const MAX_NODE_NUMBERS: usize = 1 << 30;
/// Branches within branches.
const MAX_DEPTH: usize = 16;

/// The net so far, and what is known of the ONNX graph's tensors.
pub struct Importer<'a> {
    pub net: GraphBuilder,
    pub notes: Vec<String>,
    values: HashMap<String, Value>,
    initializers: HashMap<String, TensorProto>,
    external: &'a dyn External,
    opsets: HashMap<String, i64>,
    /// The names that nodes have, and how many wanted each.
    names: HashMap<String, usize>,
    /// ONNX's types of the file's arrays, by their names.
    kinds: HashMap<String, i32>,
    /// The tensor that is the net's output.
    pub output: String,
    budget: Budget,
}

pub fn read(bytes: &[u8], external: &dyn External, options: &LoadOptions) -> Result<Imported, ImportError> {
    let damaged = |error: prost::DecodeError| ImportError::Damaged(format!("it is not a whole ONNX model: {error}"));
    let mut model = ModelProto::decode(bytes).map_err(damaged)?;
    let Some(mut graph) = model.graph.take() else {
        return Err(ImportError::Damaged("it has no graph".into()));
    };
    let initializers = std::mem::take(&mut graph.initializer);
    let initializers: HashMap<String, TensorProto> =
        initializers.into_iter().map(|tensor| (tensor.name.clone().unwrap_or_default(), tensor)).collect();
    let output = main_output(&graph)?;
    let needed = needed_nodes(&graph, &output);
    let picture = input::find(&graph, &needed, &initializers, options)?;
    let mut importer = Importer {
        net: GraphBuilder::new(&clean(&picture.name), picture.channels, picture.size),
        notes: picture.notes.clone(),
        values: HashMap::new(),
        initializers,
        external,
        opsets: opsets(&model),
        names: HashMap::from([(clean(&picture.name), 1)]),
        kinds: HashMap::new(),
        output: output.clone(),
        budget: Budget::new(bytes.len()),
    };
    let start = picture.value(&mut importer)?;
    importer.values.insert(picture.name, start.into());
    importer.run(&graph.node, &|index| needed.get(index).copied().unwrap_or(false), 0)?;
    importer.finish(&model, &graph, &output)
}

/// The versions of the operator sets by domain.
fn opsets(model: &ModelProto) -> HashMap<String, i64> {
    let domain = |name: &str| if name == "ai.onnx" { String::new() } else { name.to_string() };
    let mut opsets: HashMap<String, i64> = (model.opset_import.iter())
        .map(|set| (domain(set.domain.as_deref().unwrap_or_default()), set.version.unwrap_or_default()))
        .collect();
    // Models of before operator sets had versions.
    opsets.entry(String::new()).or_insert(1);
    opsets
}

/// The output that is the net's: the first that is a vector a picture, or else the first of all.
fn main_output(graph: &GraphProto) -> Result<String, ImportError> {
    let is_scores = |output: &&ValueInfoProto| output.dims().is_some_and(|dims| dims.len() == 2);
    let output = graph.output.iter().find(is_scores).or(graph.output.first());
    output.map(|output| output.name().to_string()).ok_or_else(|| ImportError::Damaged("its graph has no output".into()))
}

/// Which nodes lead to that output.
fn needed_nodes(graph: &GraphProto, output: &str) -> Vec<bool> {
    let mut wanted: HashSet<&str> = HashSet::from([output]);
    let mut needed = vec![false; graph.node.len()];
    for (index, node) in graph.node.iter().enumerate().rev() {
        if node.output.iter().any(|name| !name.is_empty() && wanted.contains(name.as_str())) {
            needed[index] = true;
            add_names(node, &mut wanted);
        }
    }
    needed
}

/// All names that a node or the graphs within it read.
fn add_names<'n>(node: &'n NodeProto, names: &mut HashSet<&'n str>) {
    names.extend(node.input.iter().map(String::as_str));
    for graph in node.attribute.iter().filter_map(|attribute| attribute.g.as_ref()) {
        names.extend(graph.output.iter().map(ValueInfoProto::name));
        graph.node.iter().for_each(|node| add_names(node, names));
    }
}

/// A name that can be printed and is not too long.
pub fn clean(name: &str) -> String {
    const MAX_BYTES: usize = 900;
    let mut clean: String = name.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    let mut end = clean.len().min(MAX_BYTES);
    while !clean.is_char_boundary(end) {
        end -= 1;
    }
    clean.truncate(end);
    if clean.is_empty() { "unnamed".into() } else { clean }
}

impl Importer<'_> {
    /// Translates the nodes that are `needed`, in their order.
    fn run(&mut self, nodes: &[NodeProto], needed: &dyn Fn(usize) -> bool, depth: usize) -> Result<(), ImportError> {
        for (_, node) in nodes.iter().enumerate().filter(|&(index, _)| needed(index)) {
            let call = self.call(node)?;
            let outputs = if node.op_type() == "If" { self.branch(&call, depth)? } else { self.translate(&call)? };
            for (name, value) in node.output.iter().zip(outputs) {
                if !name.is_empty() {
                    self.values.insert(name.clone(), value);
                }
            }
        }
        Ok(())
    }

    fn call<'n>(&mut self, node: &'n NodeProto) -> Result<Call<'n>, ImportError> {
        let output = node.output.iter().find(|name| !name.is_empty()).map(String::as_str).unwrap_or_default();
        let name = node.name.as_deref().filter(|name| !name.is_empty()).unwrap_or(output);
        let name = clean(if name.is_empty() { node.op_type() } else { name });
        let opset = self.opsets.get(node.operator_set()).copied().unwrap_or_default();
        let mut call = Call { node, name, inputs: Vec::new(), opset };
        for name in &node.input {
            let value = self.value(name)?.ok_or_else(|| {
                call.error(format!("it takes `{}`, which nothing before it gives", ImportError::brief(name)))
            })?;
            call.inputs.push(value);
        }
        Ok(call)
    }

    /// The tensor of that name; `None` if there is none so far.
    fn value(&mut self, name: &str) -> Result<Option<Value>, ImportError> {
        if name.is_empty() {
            return Ok(Some(Value::Absent));
        }
        if let Some(value) = self.values.get(name) {
            return Ok(Some(value.clone()));
        }
        let Some(tensor) = self.initializers.remove(name) else { return Ok(None) };
        let value = Value::from(self.decode(&tensor)?);
        self.kinds.insert(name.to_string(), tensor.data_type.unwrap_or_default());
        self.values.insert(name.to_string(), value.clone());
        Ok(Some(value))
    }

    /// ONNX's type of an array of the file.
    pub fn kind(&self, name: &str) -> Option<i32> {
        self.kinds.get(name).copied()
    }

    pub fn decode(&mut self, tensor: &TensorProto) -> Result<Constant, ImportError> {
        constant::decode(tensor, self.external, &mut self.budget)
    }

    fn translate(&mut self, call: &Call) -> Result<Vec<Value>, ImportError> {
        if let ("Constant", [name]) = (call.node.op_type(), &call.node.output[..])
            && let Some(kind) = call.attribute("value").and_then(|attribute| attribute.t.as_ref()?.data_type)
        {
            self.kinds.insert(name.clone(), kind);
        }
        let is_constant = |value: &Value| matches!(value, Value::Constant(_) | Value::Absent);
        if call.inputs.iter().all(is_constant)
            && let Some(outputs) = fold::fold(self, call)?
        {
            return Ok(outputs);
        }
        ops::translate(self, call)
    }

    /// The branch of an `If` that its condition, known while reading, takes.
    fn branch(&mut self, call: &Call, depth: usize) -> Result<Vec<Value>, ImportError> {
        if depth >= MAX_DEPTH {
            return Err(call.unsupported(format!("a nesting of more than {MAX_DEPTH} branches")));
        }
        let condition = call.constant(0)?.single();
        let condition = condition.ok_or_else(|| call.error("the condition should be one value"))?;
        let branch = if condition == 0.0 { "else_branch" } else { "then_branch" };
        let graph = call.attribute(branch).and_then(|attribute| attribute.g.as_deref());
        let graph = graph.ok_or_else(|| call.error(format!("{branch} is missing")))?;
        for tensor in &graph.initializer {
            let value = self.decode(tensor)?.into();
            self.values.insert(tensor.name.clone().unwrap_or_default(), value);
        }
        self.run(&graph.node, &|_| true, depth + 1)?;
        let mut outputs = Vec::new();
        for output in &graph.output {
            let value = self.value(output.name())?;
            outputs.push(value.ok_or_else(|| call.error(format!("{branch} does not give its output")))?);
        }
        Ok(outputs)
    }

    /// Takes from what may be computed while reading.
    pub fn charge(&mut self, call: &Call, numbers: usize) -> Result<(), ImportError> {
        let too_much = || call.error("more would have to be computed while reading than a net of this size can need");
        self.budget.compute(numbers).ok_or_else(too_much)
    }

    /// Adds a node named like the ONNX node, with `part` behind it unless that is empty; its parameters are given by
    /// their roles.
    pub fn add(
        &mut self,
        call: &Call,
        part: &str,
        op: Op,
        inputs: &[NodeId],
        params: &[Param],
    ) -> Result<NodeId, ImportError> {
        let wanted = if part.is_empty() { call.name.clone() } else { format!("{}/{part}", call.name) };
        let name = self.unique(&wanted);
        let shapes: Option<Vec<&Shape>> = inputs.iter().map(|&id| self.net.shape(id)).collect();
        let shapes = shapes.ok_or_else(|| call.error("its input has no shape"))?;
        let param_shapes: Vec<&[usize]> = params.iter().map(|&(_, shape, _)| shape).collect();
        let shape = op.output_shape(&shapes, &param_shapes).map_err(|error| call.error(format!("it {error}")))?;
        if constant::product(shape.dims()).is_none_or(|count| count > MAX_NODE_NUMBERS) {
            return Err(call.error("its output for one picture would be too large for any machine"));
        }
        self.charge(call, params.iter().map(|(.., data)| data.len()).sum())?;
        let param_names: Vec<String> = params.iter().map(|(role, ..)| format!("{name}.{role}")).collect();
        for ((_, shape, data), name) in params.iter().zip(&param_names) {
            self.net.param(name, shape, data.clone());
        }
        let param_names: Vec<&str> = param_names.iter().map(String::as_str).collect();
        Ok(self.net.add(&name, op, inputs, &param_names))
    }

    fn unique(&mut self, wanted: &str) -> String {
        let mut name = wanted.to_string();
        while self.names.contains_key(&name) {
            let number = self.names.entry(wanted.to_string()).or_default();
            *number += 1;
            name = format!("{wanted}_{number}");
        }
        self.names.insert(name.clone(), 1);
        name
    }

    /// The dimensions of a node's output for one picture of the net's size.
    pub fn node_dims(&self, node: NodeId) -> Vec<usize> {
        self.net.shape(node).map(|shape| shape.dims().to_vec()).unwrap_or_default()
    }

    /// The dimensions of a tensor for one picture of the net's size.
    pub fn dims(&self, value: &Computed) -> Vec<usize> {
        let dims = self.node_dims(value.node);
        value.axes.iter().map(|axis| axis.and_then(|axis| dims.get(axis).copied()).unwrap_or(1)).collect()
    }

    /// The whole output of a node as a tensor.
    pub fn whole(&self, node: NodeId) -> Computed {
        Computed::whole(node, self.node_dims(node).len())
    }

    /// A node whose axes are those of the tensor, batch first.
    pub fn plain(&mut self, call: &Call, value: &Computed) -> Result<NodeId, ImportError> {
        let node_dims = self.node_dims(value.node);
        let mut axes = value.axes.clone();
        if axes.first() != Some(&Some(0)) {
            // Axes of length 1 may stand for each other: the batch must be first.
            let lone = |axis: &Option<usize>| axis.is_none_or(|axis| node_dims.get(axis) == Some(&1));
            if !axes.first().is_some_and(lone) {
                return Err(call.unsupported("a tensor whose first axis is not the batch"));
            }
            axes.iter_mut().filter(|axis| lone(axis)).for_each(|axis| *axis = None);
            axes = value.viewed(axes, node_dims.len()).axes;
        }
        if axes.iter().copied().eq((0..node_dims.len()).map(Some)) {
            return Ok(value.node);
        }
        let dims = self.dims(&Computed { axes: axes.clone(), ..value.clone() });
        let mut order: Vec<usize> = axes.iter().flatten().copied().collect();
        order.extend((0..node_dims.len()).filter(|axis| !axes.contains(&Some(*axis))));
        let mut node = value.node;
        if !order.is_sorted() {
            node = self.add(call, "transpose", Op::Transpose(Transpose { axes: order.clone() }), &[node], &[])?;
        }
        if order.len() != axes.len() || axes.contains(&None) {
            let dims = match &dims[..] {
                [_, _] => vec![Dim::Rest],
                _ => (1..dims.len())
                    .map(|i| match axes[i] {
                        Some(axis) if order.get(i) == Some(&axis) => Dim::Same,
                        _ => Dim::Of(dims[i]),
                    })
                    .collect(),
            };
            node = self.add(call, "reshape", Op::Reshape(Reshape { dims }), &[node], &[])?;
        }
        Ok(node)
    }

    /// A node of maps, batch × channels × height × width, or of vectors where the tensor is one.
    pub fn maps(&mut self, call: &Call, value: &Computed) -> Result<NodeId, ImportError> {
        match value.rank() {
            // A vector is maps of 1×1 pixels to all operations on maps.
            4 if self.node_dims(value.node).len() == 2 && value.axes == [Some(0), Some(1), None, None] => {
                Ok(value.node)
            }
            2 | 4 => self.plain(call, value),
            rank => Err(call.unsupported(format!("a tensor of {rank} axes (maps have four, vectors two)"))),
        }
    }

    fn finish(mut self, model: &ModelProto, graph: &GraphProto, output: &str) -> Result<Imported, ImportError> {
        let missing = || ImportError::field(output, "the net's output is not given by any node");
        let value = match self.value(output)?.ok_or_else(missing)? {
            Value::Computed(value) if value.quantization.is_none() => value,
            Value::Computed(_) => return Err(ImportError::field(output, "the net's output is quantized")),
            _ => return Err(ImportError::field(output, "the net's output does not depend on its input")),
        };
        let others: Vec<String> = (graph.output.iter().map(ValueInfoProto::name).filter(|&name| name != output))
            .map(|name| format!("`{}`", ImportError::brief(name)))
            .take(8)
            .collect();
        if !others.is_empty() {
            let output = ImportError::brief(output);
            self.notes.push(format!("Of the net's outputs `{output}` is taken; {} are left out.", others.join(", ")));
        }
        let node = NodeProto { op_type: Some("Output".into()), ..NodeProto::default() };
        let call = Call { node: &node, name: clean(output), inputs: Vec::new(), opset: 1 };
        let last =
            self.plain(&call, &value).or_else(|error| if value.rank() < 2 { Ok(value.node) } else { Err(error) })?;
        let name = ImportError::brief(graph.name.as_deref().unwrap_or_default());
        let mut imported = Imported::new(name, live(&self.net, last));
        metadata::read(model, &mut imported);
        imported.notes.extend(self.notes);
        imported.provenance = Provenance { source: metadata::source(model), ..imported.provenance };
        Ok(imported)
    }

    /// A note that is told once.
    pub fn note(&mut self, note: &str) {
        if !self.notes.iter().any(|known| known == note) {
            self.notes.push(note.into());
        }
    }
}

/// The net of all that leads to a node.
fn live(draft: &GraphBuilder, last: NodeId) -> GraphBuilder {
    let nodes = draft.nodes();
    let mut needed = vec![false; nodes.len()];
    needed[last] = true;
    for id in (0..=last).rev().filter(|&id| id < nodes.len()) {
        if needed[id] {
            nodes[id].inputs.iter().for_each(|&input| needed[input] = true);
        }
    }
    let mut net = GraphBuilder::default();
    let mut places = vec![0; nodes.len()];
    for (id, node) in nodes.iter().enumerate().filter(|&(id, _)| needed[id] || id == GraphBuilder::INPUT) {
        for name in &node.params {
            if let Some(param) = draft.param_named(name) {
                net.param(name, &param.shape, param.data.clone());
            }
        }
        let inputs: Vec<NodeId> = node.inputs.iter().map(|&input| places[input]).collect();
        let params: Vec<&str> = node.params.iter().map(String::as_str).collect();
        places[id] = net.add(&node.name, node.op.clone(), &inputs, &params);
    }
    net
}

#[cfg(test)]
mod tests {
    use super::super::proto::{
        AttributeProto, DimensionProto, OperatorSetIdProto, StringStringEntryProto, TensorShapeProto, TensorTypeProto,
        TypeProto, data_type,
    };
    use super::super::{Nowhere, sniff};
    use super::*;

    fn node(op: &str, inputs: &[&str], output: &str) -> NodeProto {
        NodeProto {
            input: inputs.iter().map(|input| input.to_string()).collect(),
            output: vec![output.into()],
            name: Some(format!("the {op}")),
            op_type: Some(op.into()),
            ..NodeProto::default()
        }
    }

    fn with(mut node: NodeProto, name: &str, ints: &[i64]) -> NodeProto {
        let i = ints.first().copied();
        node.attribute.push(AttributeProto {
            name: Some(name.into()),
            ints: ints.to_vec(),
            i,
            ..AttributeProto::default()
        });
        node
    }

    fn ints(name: &str, values: &[i64]) -> TensorProto {
        TensorProto {
            dims: vec![values.len() as i64],
            data_type: Some(data_type::INT64),
            int64_data: values.to_vec(),
            name: Some(name.into()),
            ..TensorProto::default()
        }
    }

    /// A net on 3×8×8 pictures `x` whose output is `y`.
    fn model(nodes: Vec<NodeProto>, arrays: Vec<TensorProto>) -> Vec<u8> {
        let dim = [1, 3, 8, 8].map(|dim| DimensionProto { dim_value: Some(dim), dim_param: None }).to_vec();
        let tensor_type = TensorTypeProto { elem_type: Some(data_type::FLOAT), shape: Some(TensorShapeProto { dim }) };
        let r#type = Some(TypeProto { tensor_type: Some(tensor_type) });
        let graph = GraphProto {
            node: nodes,
            initializer: arrays,
            input: vec![ValueInfoProto { name: Some("x".into()), r#type }],
            output: vec![ValueInfoProto { name: Some("y".into()), r#type: None }],
            ..GraphProto::default()
        };
        let opset_import = vec![OperatorSetIdProto { domain: None, version: Some(13) }];
        ModelProto { ir_version: Some(8), graph: Some(graph), opset_import, ..ModelProto::default() }.encode_to_vec()
    }

    fn import(bytes: &[u8]) -> Result<Imported, ImportError> {
        assert!(sniff::looks_like(bytes));
        read(bytes, &Nowhere, &LoadOptions::default())
    }

    #[test]
    fn what_is_not_supported_is_told_with_its_node() {
        let cases: [(&str, Vec<NodeProto>); 9] = [
            ("layer `the LSTM`: LSTM: this operator is not supported", vec![node("LSTM", &["x"], "y")]),
            ("`the Softplus`", vec![node("Relu", &["x"], "a"), node("Softplus", &["a"], "y")]),
            (
                "takes `b`, which nothing before it gives",
                vec![node("Sum", &["x", "b"], "y"), node("Relu", &["x"], "b")],
            ),
            ("a product of two tensors that depend on the picture", vec![node("MatMul", &["x", "x"], "y")]),
            ("division by a tensor that depends on the picture", vec![node("Div", &["x", "x"], "y")]),
            ("no axis 4 among 4", vec![with(node("Softmax", &["x"], "y"), "axis", &[4])]),
            ("axis 1 is named twice", vec![with(node("Transpose", &["x"], "y"), "perm", &[0, 1, 1, 2])]),
            ("kernel_shape is missing", vec![node("MaxPool", &["x"], "y")]),
            ("a window of 9 pixels", vec![with(node("MaxPool", &["x"], "y"), "kernel_shape", &[9, 9])]),
        ];
        for (expected, nodes) in cases {
            let error = import(&model(nodes, Vec::new())).err().expect(expected).to_string();
            assert!(error.contains(expected), "{error} should say: {expected}");
        }
    }

    #[test]
    fn a_small_file_cannot_ask_for_endless_work() {
        let huge = ints("huge", &[1 << 20, 1 << 20]);
        let zeros = vec![node("ConstantOfShape", &["huge"], "a"), node("Add", &["x", "a"], "y")];
        let range = vec![node("Range", &["from", "to", "by"], "a"), node("Reshape", &["x", "a"], "y")];
        let single = |name: &str, value| TensorProto { dims: Vec::new(), ..ints(name, &[value]) };
        let bounds = vec![single("from", 0), single("to", i64::MAX), single("by", 1)];
        // Each node doubles what the one before it gave.
        let mut doubling = vec![with(node("Concat", &["huge", "huge"], "a0"), "axis", &[0])];
        for i in 0..60 {
            let (from, to) = (format!("a{i}"), format!("a{}", i + 1));
            doubling.push(with(node("Concat", &[&from, &from], &to), "axis", &[0]));
        }
        doubling.push(node("Reshape", &["x", "a60"], "y"));
        for (nodes, arrays) in [(zeros, vec![huge.clone()]), (range, bounds), (doubling, vec![huge])] {
            let started = std::time::Instant::now();
            let error = import(&model(nodes, arrays)).err().unwrap().to_string();
            assert!(error.contains("while reading") || error.contains("any machine"), "{error}");
            assert!(started.elapsed().as_secs() < 10, "{:?}", started.elapsed());
        }
    }

    /// More than the numbers that are allowed for any file, as VGG and AlexNet have them in another file.
    #[test]
    fn large_weights_may_lie_in_another_file() {
        struct Zeros;
        impl External for Zeros {
            fn read(&self, _: &str, _: u64, length: Option<u64>) -> Result<Vec<u8>, ImportError> {
                Ok(vec![0; usize::try_from(length.unwrap()).unwrap()])
            }
        }
        let entry = |key: &str, value: String| StringStringEntryProto { key: Some(key.into()), value: Some(value) };
        let outside = |name: &str, dims: [i64; 2], kind, offset: u64| TensorProto {
            dims: dims.to_vec(),
            data_type: Some(kind),
            name: Some(name.into()),
            data_location: Some(1),
            external_data: vec![entry("location", "w.bin".into()), entry("offset", offset.to_string())],
            ..TensorProto::default()
        };
        let read = |bytes: &[u8]| super::read(bytes, &Zeros, &LoadOptions::default());
        let wide = outside("w", [192, 90_000], data_type::FLOAT, 0);
        let nodes = vec![node("Flatten", &["x"], "f"), node("Gemm", &["f", "w"], "y")];
        assert!(read(&model(nodes, vec![wide])).is_ok());
        // Many arrays that are all of the same part of a file.
        let names: Vec<String> = (0..1000).map(|i| format!("w{i}")).collect();
        let all: Vec<&str> = names.iter().map(String::as_str).collect();
        let nodes = vec![node("Concat", &all, "c"), node("Add", &["x", "c"], "y")];
        let huge = |i: usize| outside(&names[i], [1 << 16, 1 << 14], data_type::INT8, i as u64);
        let error = read(&model(nodes, (0..1000).map(huge).collect())).err().unwrap().to_string();
        assert!(error.starts_with("`w0`: the net's arrays would take more than"), "{error}");
    }

    #[test]
    fn nodes_of_one_name_are_told_apart() {
        let count = 2000;
        let name = |i: usize| {
            if i == 0 {
                "x".into()
            } else if i == count {
                "y".into()
            } else {
                format!("t{i}")
            }
        };
        let nodes = (0..count).map(|i| node("Relu", &[&name(i)], &name(i + 1))).collect();
        let net = import(&model(nodes, Vec::new())).unwrap().net;
        let names: Vec<&str> = net.nodes().iter().take(4).map(|node| node.name.as_str()).collect();
        assert_eq!(names, ["x", "the Relu", "the Relu_2", "the Relu_3"]);
        assert_eq!(net.nodes().len(), count + 1);
    }

    #[test]
    fn transpositions_cancel() {
        let nodes = vec![
            with(node("Transpose", &["x"], "a"), "perm", &[0, 2, 3, 1]),
            node("Relu", &["a"], "b"),
            with(node("Transpose", &["b"], "c"), "perm", &[0, 3, 1, 2]),
            node("Sigmoid", &["c"], "y"),
        ];
        let net = import(&model(nodes, Vec::new())).unwrap().net;
        let kinds: Vec<&str> = net.nodes().iter().map(|node| node.op.kind()).collect();
        assert_eq!(kinds, ["Input", "Activation", "Activation"]);
    }
}
