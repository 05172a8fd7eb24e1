//! A net whose weights are learnt.

use std::mem;
use std::sync::Arc;

use super::TrainingSession;
use super::plan::Plan;
use crate::base::simd::Level;
use crate::base::tensor::Shape;
use crate::nn::exec::convolution;
use crate::nn::graph::{Graph, GraphBuilder, GraphError, NodeId};
use crate::nn::ops::Op;
use crate::nn::ops::conv::few_channels::FewChannels;
use crate::nn::ops::conv::frozen::{FrozenConv, Spec};
use crate::nn::ops::window::Window;
use crate::nn::optim::{Optimizer, Rates};

/// The weights of a net and their gradients.
pub struct TrainingNet {
    graph: Arc<Graph>,
    target: NodeId,
    params: Vec<LearntParam>,
    /// Indices of `params` by node, in the op's order.
    of_node: Vec<Vec<usize>>,
    /// Whether a gradient has to come to the output of a node.
    carries: Vec<bool>,
    convs: Vec<Option<PackedConv>>,
    /// Whether `convs` are of the weights as they are.
    packed: bool,
}

/// A parameter with its gradient, both laid out as the op documents.
#[derive(Clone, Debug, PartialEq)]
pub struct LearntParam {
    /// As [`Graph::params`] has it.
    pub name: String,
    pub values: Vec<f32>,
    /// After a backward pass; empty where nothing is learnt.
    pub gradient: Vec<f32>,
    /// Whether the gradient is computed, and an optimizer changes the values.
    pub learnt: bool,
}

/// The fast kernels of a convolution.
pub(super) struct PackedConv {
    pub conv: FrozenConv,
    /// The forward pass from few channels.
    pub few: Option<FewChannels>,
    window: Window,
}

/// Whether a parameter holds statistics of batches, which are measured and not learnt.
fn is_statistic(op: &Op, place: usize) -> bool {
    matches!(op, Op::BatchNorm(_)) && place >= 2
}

impl TrainingNet {
    /// Starts from the graph's weights. `target` is the node that the loss is of; `learns` tells by name which
    /// parameters are learnt (the stored statistics of batch norms never are).
    pub fn new(graph: Arc<Graph>, target: NodeId, learns: impl Fn(&str) -> bool) -> Self {
        let statistics: Vec<&str> = graph
            .nodes()
            .iter()
            .flat_map(|node| node.params.iter().enumerate().filter(|&(place, _)| is_statistic(&node.op, place)))
            .map(|(_, name)| name.as_str())
            .collect();
        let params: Vec<LearntParam> = graph
            .params()
            .iter()
            .map(|(name, param)| {
                let learnt = learns(name) && !statistics.contains(&name.as_str());
                let gradient = vec![0.0; if learnt { param.data.len() } else { 0 }];
                LearntParam { name: name.clone(), values: param.data.to_vec(), gradient, learnt }
            })
            .collect();
        let index = |name: &String| {
            params.binary_search_by(|param| param.name.cmp(name)).expect("a checked graph has its nodes' parameters")
        };
        let of_node: Vec<Vec<usize>> =
            graph.nodes().iter().map(|node| node.params.iter().map(index).collect()).collect();
        let mut carries: Vec<bool> = Vec::new();
        for (id, node) in graph.nodes().iter().enumerate() {
            let learns = of_node[id].iter().any(|&param| params[param].learnt);
            carries.push(learns || node.inputs.iter().any(|&input| carries[input]));
        }
        let convs = (0..graph.nodes().len()).map(|id| packed_conv(&graph, id, &carries)).collect();
        Self { graph, target, params, of_node, carries, convs, packed: true }
    }

    /// A session for inputs of one shape, batch × channels × height × width.
    pub fn session(&self, input: &Shape) -> Result<TrainingSession, GraphError> {
        Ok(TrainingSession::new(Plan::new(self, input)?, self.target))
    }

    /// The graph as it was given: its weights are those of the start.
    pub fn graph(&self) -> &Arc<Graph> {
        &self.graph
    }

    pub fn target(&self) -> NodeId {
        self.target
    }

    /// The graph with the weights as they are now.
    pub fn to_graph(&self) -> Result<Graph, GraphError> {
        let mut builder = GraphBuilder::from_graph(&self.graph);
        for param in &self.params {
            builder.param(&param.name, &self.graph.params()[&param.name].shape, param.values.as_slice());
        }
        let (preprocess, labels) = (self.graph.preprocess().clone(), self.graph.labels().to_vec());
        let graph = builder.finish(self.graph.name(), preprocess, labels)?;
        Ok(graph.with_provenance(self.graph.provenance().clone()))
    }

    /// All parameters by name, in a fixed order.
    pub fn params(&self) -> &[LearntParam] {
        &self.params
    }

    /// The parameter of that name.
    pub fn param(&self, name: &str) -> Option<&LearntParam> {
        self.params.iter().find(|param| param.name == name)
    }

    /// The values of a parameter, to change.
    pub fn values_mut(&mut self, name: &str) -> Option<&mut [f32]> {
        self.packed = false;
        self.params.iter_mut().find(|param| param.name == name).map(|param| param.values.as_mut_slice())
    }

    /// Lets an optimizer change the parameters that are learnt, each with rates of its own.
    pub fn update(&mut self, optimizer: &mut Optimizer, rates: impl Fn(&LearntParam) -> Rates) {
        self.packed = false;
        optimizer.begin_step();
        for (index, param) in self.params.iter_mut().enumerate().filter(|(_, param)| param.learnt) {
            let rates = rates(param);
            optimizer.step(index, rates, &mut param.values, &param.gradient);
        }
    }

    pub(super) fn carries(&self, id: NodeId) -> bool {
        self.carries[id]
    }

    /// Whether any parameter of a node is learnt.
    pub(super) fn learns_at(&self, id: NodeId) -> bool {
        self.of_node[id].iter().any(|&param| self.params[param].learnt)
    }

    /// Whether the parameter at a place of a node's is learnt.
    pub(super) fn learns(&self, id: NodeId, place: usize) -> bool {
        self.of_node[id].get(place).is_some_and(|&param| self.params[param].learnt)
    }

    pub(super) fn conv(&self, id: NodeId) -> Option<&PackedConv> {
        self.convs[id].as_ref()
    }

    /// The values of a node's parameters, in the op's order.
    pub(super) fn params_of(&self, id: NodeId) -> impl Iterator<Item = &[f32]> {
        self.of_node[id].iter().map(|&param| self.params[param].values.as_slice())
    }

    pub(super) fn param_of_mut(&mut self, id: NodeId, place: usize) -> &mut [f32] {
        self.packed = false;
        &mut self.params[self.of_node[id][place]].values
    }

    /// Takes out the gradient of a node's parameter, to be given back.
    pub(super) fn take_gradient(&mut self, id: NodeId, place: usize) -> Vec<f32> {
        mem::take(&mut self.params[self.of_node[id][place]].gradient)
    }

    pub(super) fn give_gradient(&mut self, id: NodeId, place: usize, gradient: Vec<f32>) {
        self.params[self.of_node[id][place]].gradient = gradient;
    }

    /// Packs the weights of convolutions, if they have changed.
    pub(super) fn pack(&mut self) {
        if mem::replace(&mut self.packed, true) {
            return;
        }
        for (conv, of_node) in self.convs.iter_mut().zip(&self.of_node) {
            let Some(PackedConv { conv, few, window }) = conv else { continue };
            let weight = &self.params[of_node[0]].values;
            conv.repack(window, weight);
            if let Some(few) = few {
                few.repack(weight);
            }
        }
    }

    pub(super) fn forget_gradients(&mut self) {
        self.params.iter_mut().for_each(|param| param.gradient.fill(0.0));
    }
}

/// The fast kernels of a convolution, where there are some that can be packed anew.
fn packed_conv(graph: &Graph, id: NodeId, carries: &[bool]) -> Option<PackedConv> {
    let node = graph.node(id);
    let weight = graph.params_of(id).next()?;
    let op = convolution(&node.op, &weight.shape)?;
    let [out_channels, group_in, ..] = weight.shape[..] else { return None };
    let spec = Spec {
        kernel: op.window.kernel,
        stride: op.window.stride,
        dilation: op.window.dilation,
        groups: op.groups,
        in_channels: group_in * op.groups,
        out_channels,
        transposed: false,
        weight: &weight.data,
        bias: vec![0.0; out_channels],
    };
    let conv = FrozenConv::for_training(Level::active(), &spec, carries[node.inputs[0]])?;
    Some(PackedConv { conv, few: FewChannels::new(Level::active(), &spec), window: op.window })
}
