//! The one intermediate representation of a net: a directed acyclic graph of named nodes, named parameters, the
//! preprocessing of pictures, and class labels. Importers build it, plans run it; all validation is here.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::ops::{Input, Op, OpError, Operator};
use crate::base::tensor::Shape;

/// The index of a node; inputs of a node always have smaller ones.
pub type NodeId = usize;

/// A named operation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Node {
    pub name: String,
    #[serde(flatten)]
    pub op: Op,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<NodeId>,
    /// Names in [`Graph::params`], in the order that the op documents.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub params: Vec<String>,
}

/// A named array of weights, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Param {
    pub shape: Vec<usize>,
    pub data: Arc<[f32]>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChannelOrder {
    #[default]
    Rgb,
    Bgr,
    Gray,
}

/// How a picture becomes the net's input: channel `c` of pixel value `p` in 0–255 becomes `(p − mean[c]) · scale[c]`,
/// with channels, means and scales in the net's own `order`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Preprocess {
    pub order: ChannelOrder,
    pub mean: Vec<f32>,
    pub scale: Vec<f32>,
}

/// Where a net comes from, in words for people; empty where unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Provenance {
    pub source: String,
    pub licence: String,
}

/// A whole net.
#[derive(Clone, Debug)]
pub struct Graph {
    name: String,
    nodes: Vec<Node>,
    params: BTreeMap<String, Param>,
    preprocess: Preprocess,
    labels: Vec<String>,
    provenance: Provenance,
}

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum GraphError {
    #[error("node `{node}` {source}")]
    Node { node: String, source: OpError },
    #[error("two nodes are named `{0}`")]
    DuplicateNode(String),
    #[error("node `{node}` takes input number {input}, which does not come before it")]
    BadInput { node: String, input: usize },
    #[error("node `{node}` needs the parameter `{param}`, which is missing")]
    MissingParam { node: String, param: String },
    #[error("parameter `{param}` has {got} values, but its shape {} holds {expected}", brief(.shape))]
    ParamLength { param: String, shape: Vec<usize>, expected: usize, got: usize },
    #[error("the net must have exactly one input, as its first node")]
    NoSingleInput,
    #[error("node `{node}` takes pictures of {size}, which is empty or larger than any machine can hold")]
    InputSize { node: String, size: Shape },
    #[error("preprocessing has {got} {what}, but the net's input has {channels} channels")]
    Preprocess { what: &'static str, got: usize, channels: usize },
    #[error("the net takes pictures of {expected} channels, not {got}")]
    InputChannels { expected: usize, got: usize },
    #[error("there is no layer `{name}`; the nearest names are {}", .nearest.join(", "))]
    UnknownLayer { name: String, nearest: Vec<String> },
}

/// The first dimensions of a shape that a file may have made up.
fn brief(shape: &[usize]) -> String {
    const SHOWN: usize = 8;
    let dims: Vec<String> = shape.iter().take(SHOWN).map(usize::to_string).collect();
    format!("{}{}", dims.join("×"), if shape.len() > SHOWN { "×…" } else { "" })
}

impl Graph {
    /// Checks a net whole: names, edges, parameters, and the shapes at its own input size.
    pub fn new(
        name: impl Into<String>,
        nodes: Vec<Node>,
        params: BTreeMap<String, Param>,
        preprocess: Preprocess,
        labels: Vec<String>,
    ) -> Result<Self, GraphError> {
        let provenance = Provenance::default();
        let graph = Self { name: name.into(), nodes, params, preprocess, labels, provenance };
        graph.check_names_and_edges()?;
        graph.check_params()?;
        let channels = graph.input().channels;
        let (order, mean, scale) = (graph.preprocess.order, &graph.preprocess.mean, &graph.preprocess.scale);
        let colours = if order == ChannelOrder::Gray { 1 } else { 3 };
        for (what, got) in [("colour channels", colours), ("means", mean.len()), ("scales", scale.len())] {
            if got != channels {
                return Err(GraphError::Preprocess { what, got, channels });
            }
        }
        let native = graph.native_input_shape(1);
        if Shape::new(native.dims()).is_none_or(|shape| shape.len() == 0) {
            return Err(GraphError::InputSize { node: graph.nodes[0].name.clone(), size: native });
        }
        graph.shapes(&native)?;
        Ok(graph)
    }

    fn check_names_and_edges(&self) -> Result<(), GraphError> {
        let mut names = HashSet::new();
        for (id, node) in self.nodes.iter().enumerate() {
            if !names.insert(node.name.as_str()) {
                return Err(GraphError::DuplicateNode(node.name.clone()));
            }
            if let Some(&input) = node.inputs.iter().find(|&&input| input >= id) {
                return Err(GraphError::BadInput { node: node.name.clone(), input });
            }
            if matches!(node.op, Op::Input(_)) != (id == 0) {
                return Err(GraphError::NoSingleInput);
            }
        }
        if self.nodes.is_empty() { Err(GraphError::NoSingleInput) } else { Ok(()) }
    }

    fn check_params(&self) -> Result<(), GraphError> {
        for (name, param) in &self.params {
            let expected = Shape::new(&param.shape).map(|shape| shape.len());
            if expected != Some(param.data.len()) {
                return Err(GraphError::ParamLength {
                    param: name.clone(),
                    shape: param.shape.clone(),
                    expected: expected.unwrap_or(usize::MAX),
                    got: param.data.len(),
                });
            }
        }
        for node in &self.nodes {
            if let Some(param) = node.params.iter().find(|name| !self.params.contains_key(*name)) {
                return Err(GraphError::MissingParam { node: node.name.clone(), param: param.clone() });
            }
        }
        Ok(())
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id]
    }

    pub fn params(&self) -> &BTreeMap<String, Param> {
        &self.params
    }

    /// A node's parameters in the op's order.
    /// The same net, but of other nodes' parameters than these only the shapes.
    pub(crate) fn with_data_of(&self, nodes: &[NodeId]) -> Self {
        let kept: HashSet<&String> = nodes.iter().flat_map(|&id| &self.nodes[id].params).collect();
        let mut lean = self.clone();
        lean.params.iter_mut().filter(|(name, _)| !kept.contains(name)).for_each(|(_, param)| param.data = [].into());
        lean
    }

    pub fn params_of(&self, id: NodeId) -> impl Iterator<Item = &Param> {
        self.nodes[id].params.iter().map(|name| &self.params[name])
    }

    pub fn preprocess(&self) -> &Preprocess {
        &self.preprocess
    }

    /// Class names in the order of the output's channels; empty when unknown.
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    pub fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    pub fn with_provenance(mut self, provenance: Provenance) -> Self {
        self.provenance = provenance;
        self
    }

    pub fn input(&self) -> &Input {
        match &self.nodes[0].op {
            Op::Input(input) => input,
            _ => unreachable!("the first node of a checked graph is its input"),
        }
    }

    /// The last node: class scores or probabilities.
    pub fn output(&self) -> NodeId {
        self.nodes.len() - 1
    }

    /// The node of class scores before any softmax.
    pub fn logits(&self) -> NodeId {
        let mut id = self.output();
        while matches!(self.nodes[id].op, Op::Softmax(_) | Op::LogSoftmax(_)) {
            id = self.nodes[id].inputs[0];
        }
        id
    }

    /// The input shape that the net was trained at.
    pub fn native_input_shape(&self, batch: usize) -> Shape {
        let Input { channels, size: [height, width] } = *self.input();
        Shape::maps(batch, channels, height, width)
    }

    /// The output shape of every node for a given input.
    pub fn shapes(&self, input: &Shape) -> Result<Vec<Shape>, GraphError> {
        let all = vec![true; self.nodes.len()];
        Ok(self.shapes_where(input, &all)?.into_iter().flatten().collect())
    }

    /// The output shapes of `targets` and their ancestors; `None` elsewhere: ops that are not needed may refuse the
    /// input's size.
    pub fn shapes_for(&self, input: &Shape, targets: &[NodeId]) -> Result<Vec<Option<Shape>>, GraphError> {
        self.shapes_where(input, &self.needed_for(targets))
    }

    fn shapes_where(&self, input: &Shape, needed: &[bool]) -> Result<Vec<Option<Shape>>, GraphError> {
        let expected = self.input().channels;
        match input.as_maps() {
            Some([_, channels, _, _]) if channels == expected => {}
            Some([_, got, _, _]) => return Err(GraphError::InputChannels { expected, got }),
            None => return Err(GraphError::InputChannels { expected, got: 0 }),
        }
        if Shape::new(input.dims()).is_none() {
            return Err(GraphError::Node { node: self.nodes[0].name.clone(), source: OpError::TooLarge });
        }
        let mut shapes = vec![Some(input.clone())];
        for (id, node) in self.nodes.iter().enumerate().skip(1) {
            if !needed[id] {
                shapes.push(None);
                continue;
            }
            let inputs: Vec<&Shape> = node.inputs.iter().filter_map(|&id| shapes[id].as_ref()).collect();
            let params: Vec<&[usize]> = node.params.iter().map(|name| self.params[name].shape.as_slice()).collect();
            let located = |source| GraphError::Node { node: node.name.clone(), source };
            let shape = node.op.output_shape(&inputs, &params).map_err(located)?;
            if Shape::new(shape.dims()).is_none() {
                return Err(located(OpError::TooLarge));
            }
            shapes.push(Some(shape));
        }
        Ok(shapes)
    }

    /// Which nodes must run for `targets`: they and all their ancestors.
    pub fn needed_for(&self, targets: &[NodeId]) -> Vec<bool> {
        let mut needed = vec![false; self.nodes.len()];
        for &target in targets {
            needed[target] = true;
        }
        for id in (0..self.nodes.len()).rev() {
            if needed[id] {
                for &input in &self.nodes[id].inputs {
                    needed[input] = true;
                }
            }
        }
        needed
    }

    /// The node of that name, or the names that are most like it.
    pub fn find(&self, name: &str) -> Result<NodeId, GraphError> {
        if let Some(id) = self.nodes.iter().position(|node| node.name == name) {
            return Ok(id);
        }
        let mut ranked: Vec<(f64, &str)> = self
            .nodes
            .iter()
            .skip(1)
            .map(|node| (strsim::jaro_winkler(&node.name.to_lowercase(), &name.to_lowercase()), node.name.as_str()))
            .collect();
        ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
        let nearest = ranked.iter().take(5).map(|&(_, name)| name.to_string()).collect();
        Err(GraphError::UnknownLayer { name: name.to_string(), nearest })
    }
}

/// Builds a graph node by node; errors surface in [`GraphBuilder::finish`].
#[derive(Default)]
pub struct GraphBuilder {
    nodes: Vec<Node>,
    /// Of one picture of the net's own size; `None` where that cannot be told.
    shapes: Vec<Option<Shape>>,
    params: BTreeMap<String, Param>,
    by_name: HashMap<String, NodeId>,
}

impl GraphBuilder {
    /// Starts a net that takes `channels` × `[height, width]` pictures.
    pub fn new(input_name: &str, channels: usize, size: [usize; 2]) -> Self {
        let mut builder = Self::default();
        builder.add(input_name, Op::Input(Input { channels, size }), &[], &[]);
        builder
    }

    /// Starts with all of a net, to change something.
    pub fn from_graph(graph: &Graph) -> Self {
        let mut builder = Self { params: graph.params.clone(), ..Self::default() };
        for node in &graph.nodes {
            let params: Vec<&str> = node.params.iter().map(String::as_str).collect();
            builder.add(&node.name, node.op.clone(), &node.inputs, &params);
        }
        builder
    }

    pub const INPUT: NodeId = 0;

    /// Adds a node; `params` name parameters given to [`GraphBuilder::param`] before.
    pub fn add(&mut self, name: &str, op: Op, inputs: &[NodeId], params: &[&str]) -> NodeId {
        let id = self.nodes.len();
        let params = params.iter().map(|name| name.to_string()).collect();
        let node = Node { name: name.to_string(), op, inputs: inputs.to_vec(), params };
        self.shapes.push(self.shape_after(&node));
        self.nodes.push(node);
        self.by_name.insert(name.to_string(), id);
        id
    }

    fn shape_after(&self, node: &Node) -> Option<Shape> {
        if let Op::Input(Input { channels, size: [height, width] }) = node.op {
            return Shape::new(&[1, channels, height, width]);
        }
        let inputs: Option<Vec<&Shape>> = node.inputs.iter().map(|&id| self.shape(id)).collect();
        let params: Option<Vec<&[usize]>> =
            node.params.iter().map(|name| Some(self.params.get(name)?.shape.as_slice())).collect();
        Shape::new(node.op.output_shape(&inputs?, &params?).ok()?.dims())
    }

    /// The output of a node for one picture of the net's own size; `None` where the net is wrong up to there.
    pub fn shape(&self, id: NodeId) -> Option<&Shape> {
        self.shapes.get(id)?.as_ref()
    }

    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    pub fn param(&mut self, name: &str, shape: &[usize], data: impl Into<Arc<[f32]>>) {
        self.params.insert(name.to_string(), Param { shape: shape.to_vec(), data: data.into() });
    }

    pub fn param_named(&self, name: &str) -> Option<&Param> {
        self.params.get(name)
    }

    /// All parameters by name.
    pub fn params(&self) -> impl Iterator<Item = (&str, &Param)> {
        self.params.iter().map(|(name, param)| (name.as_str(), param))
    }

    pub fn node_named(&self, name: &str) -> Option<NodeId> {
        self.by_name.get(name).copied()
    }

    /// Makes the net one for pictures of another size, `[height, width]`; [`GraphBuilder::finish`] tells whether its
    /// layers take that.
    pub fn set_input_size(&mut self, size: [usize; 2]) {
        if let Some(Node { op: Op::Input(input), .. }) = self.nodes.first_mut() {
            input.size = size;
        }
        let nodes = std::mem::take(&mut self.nodes);
        self.shapes.clear();
        for node in &nodes {
            let shape = self.shape_after(node);
            self.shapes.push(shape);
        }
        self.nodes = nodes;
    }

    pub fn finish(self, name: &str, preprocess: Preprocess, labels: Vec<String>) -> Result<Graph, GraphError> {
        Graph::new(name, self.nodes, self.params, preprocess, labels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::ops::activation::Activation;
    use crate::nn::ops::conv::Conv2d;
    use crate::nn::ops::reshape::Reshape;
    use crate::nn::ops::softmax::Softmax;
    use crate::nn::ops::window::Window;

    const RELU: Op = Op::Activation(Activation::Relu);

    fn preprocess() -> Preprocess {
        Preprocess { order: ChannelOrder::Rgb, mean: vec![0.0; 3], scale: vec![1.0; 3] }
    }

    fn finish(builder: GraphBuilder) -> Result<Graph, GraphError> {
        builder.finish("net", preprocess(), Vec::new())
    }

    /// conv → relu → flatten → softmax on 3×4×4 pictures.
    fn sketch() -> GraphBuilder {
        let mut net = GraphBuilder::new("data", 3, [4, 4]);
        net.param("conv.weight", &[2, 3, 3, 3], vec![0.5; 54]);
        let conv = Op::Conv2d(Conv2d { window: Window::square(3, 1), groups: 1 });
        let conv = net.add("conv", conv, &[GraphBuilder::INPUT], &["conv.weight"]);
        let relu = net.add("conv/relu", RELU, &[conv], &[]);
        let flat = net.add("scores", Op::Reshape(Reshape::flatten()), &[relu], &[]);
        net.add("probabilities", Op::Softmax(Softmax {}), &[flat], &[]);
        net
    }

    #[test]
    fn a_builder_knows_the_shapes_so_far() {
        let mut net = sketch();
        let flat = net.node_named("scores").unwrap();
        assert_eq!(net.shape(flat).map(Shape::dims), Some(&[1, 8][..]));
        net.set_input_size([5, 6]);
        assert_eq!(net.shape(flat).map(Shape::dims), Some(&[1, 2 * 3 * 4][..]));
        let wrong = net.add("pool", Op::Conv2d(Conv2d { window: Window::square(3, 1), groups: 1 }), &[flat], &[]);
        assert_eq!((net.shape(wrong), net.shape(99)), (None, None));
        assert_eq!(finish(sketch()).unwrap().input().size, [4, 4]);
    }

    #[test]
    fn a_checked_graph_knows_its_shapes_and_its_scores() {
        let graph = finish(sketch()).unwrap();
        let shapes = graph.shapes(&graph.native_input_shape(2)).unwrap();
        let shapes: Vec<String> = shapes.iter().map(Shape::to_string).collect();
        assert_eq!(shapes, ["2×3×4×4", "2×2×2×2", "2×2×2×2", "2×8", "2×8"]);
        assert_eq!(graph.node(graph.logits()).name, "scores");
        assert_eq!(graph.needed_for(&[2]), [true, true, true, false, false]);
        let some = graph.shapes_for(&Shape::maps(1, 3, 9, 9), &[1]).unwrap();
        assert!(some[1] == Some(Shape::maps(1, 2, 7, 7)) && some[2].is_none());
        assert!(matches!(
            graph.shapes(&Shape::maps(1, 1, 4, 4)),
            Err(GraphError::InputChannels { expected: 3, got: 1 })
        ));
    }

    #[test]
    fn an_unknown_layer_is_told_with_the_nearest_names() {
        let error = finish(sketch()).unwrap().find("conv/rleu").unwrap_err().to_string();
        assert!(error.contains("`conv/rleu`") && error.contains("conv/relu, conv"), "{error}");
    }

    #[test]
    fn what_is_wrong_is_named() {
        type Spoil = fn(&mut GraphBuilder);
        let cases: [(&str, Spoil); 7] = [
            ("two nodes are named `conv`", |net| _ = net.add("conv", RELU, &[1], &[])),
            ("node `early` takes input number 9", |net| _ = net.add("early", RELU, &[9], &[])),
            ("node `bare` needs the parameter `w`", |net| _ = net.add("bare", RELU, &[1], &["w"])),
            ("parameter `w` has 1 values, but its shape 2×3 holds 6", |net| net.param("w", &[2, 3], vec![0.0])),
            ("exactly one input", |net| _ = net.add("more", Op::Input(Input { channels: 3, size: [4, 4] }), &[], &[])),
            ("node `deep` a window of 3 pixels", |net| {
                let conv = Op::Conv2d(Conv2d { window: Window::square(3, 1), groups: 1 });
                net.param("w", &[1, 2, 3, 3], vec![0.0; 18]);
                net.add("deep", conv, &[2], &["w"]);
            }),
            ("`data` takes pictures of 1×3×0×4, which is empty", |net| *net = GraphBuilder::new("data", 3, [0, 4])),
        ];
        for (expected, spoil) in cases {
            let mut net = sketch();
            spoil(&mut net);
            let error = finish(net).unwrap_err().to_string();
            assert!(error.contains(expected), "{error} should say: {expected}");
        }
    }
}
