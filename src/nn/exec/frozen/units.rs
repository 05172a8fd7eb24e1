//! From nodes to units: a convolution takes in the batch norm, scale, addition and activation that follow it.

use std::collections::HashMap;

use crate::base::simd::Level;
use crate::base::tensor::Shape;
use crate::nn::exec::convolution;
use crate::nn::graph::{Graph, NodeId};
use crate::nn::ops::Op;
use crate::nn::ops::activation::Activation;
use crate::nn::ops::conv::frozen::{FrozenConv, Spec};
use crate::nn::ops::elementwise::Elementwise;
use crate::nn::ops::pool::FrozenMaxPool;
use crate::nn::ops::window::Window;

/// What a unit computes. Its value goes by the id of the last node that it takes in.
pub struct Unit {
    pub output: NodeId,
    /// All nodes that it computes, in the graph's order; the last is the output.
    pub nodes: Vec<NodeId>,
    /// Values (ids as above) that it reads; a residual not included.
    pub inputs: Vec<NodeId>,
    pub kind: UnitKind,
}

pub enum UnitKind {
    Conv(Box<ConvUnit>),
    /// A max pool of a small window.
    MaxPool(Window),
    /// An op by its general kernel.
    Op,
}

/// A convolution with all that is folded into it and fused behind it.
pub struct ConvUnit {
    pub conv: FrozenConv,
    pub window: Window,
    pub transposed: bool,
    /// A value that is added before the activation.
    pub residual: Option<NodeId>,
    pub clamp: Option<Clamp>,
}

/// min(max(y, low), high): ReLU and its bounded kin.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Clamp {
    pub low: f32,
    pub high: f32,
}

/// The units that targets need, in order, and the value that each node's blob is (where it is computed at all).
pub struct Units {
    pub units: Vec<Unit>,
    pub value_of: HashMap<NodeId, NodeId>,
}

/// A unit before its weights are folded and packed.
struct Chain {
    last: NodeId,
    folded: Vec<NodeId>,
    residual: Option<NodeId>,
    clamp: Option<Clamp>,
}

/// Groups the nodes that `targets` need into units, then folds and packs their weights on all threads.
pub fn units(graph: &Graph, targets: &[NodeId], level: Level) -> Units {
    use rayon::prelude::*;

    let needed = graph.needed_for(targets);
    let consumers = consumers(graph, &needed);
    let mut value_of: HashMap<NodeId, NodeId> = HashMap::from([(0, 0)]);
    let mut taken = vec![false; graph.nodes().len()];
    let mut chains: Vec<(NodeId, Option<Chain>)> = Vec::new();
    for id in (1..graph.nodes().len()).filter(|&id| needed[id]) {
        if taken[id] {
            continue;
        }
        let node = graph.node(id);
        if matches!(node.op, Op::Dropout(_)) && !targets.contains(&id) {
            // The identity, once weights are frozen; its input may be taken in by a unit that comes later.
            value_of.insert(id, node.inputs[0]);
            continue;
        }
        let chain = conv_spec(graph, id).map(|_| chain(graph, id, targets, &consumers, &taken));
        let last = chain.as_ref().map_or(id, |chain| chain.last);
        if let Some(chain) = &chain {
            for &node in &chain.folded {
                taken[node] = true;
            }
        }
        taken[last] = true;
        value_of.insert(id, last);
        value_of.insert(last, last);
        chains.push((id, chain));
    }
    chains.sort_by_key(|(id, chain)| chain.as_ref().map_or(*id, |chain| chain.last));
    let value = |mut id: NodeId| {
        while value_of[&id] != id {
            id = value_of[&id];
        }
        id
    };
    let units = chains
        .par_iter()
        .map(|(id, chain)| {
            let inputs = graph.node(*id).inputs.iter().map(|&input| value(input)).collect();
            let Some(chain) = chain else {
                let kind = match &graph.node(*id).op {
                    Op::MaxPool(pool) if FrozenMaxPool::takes(&pool.window) => UnitKind::MaxPool(pool.window),
                    _ => UnitKind::Op,
                };
                return Unit { output: *id, nodes: vec![*id], inputs, kind };
            };
            let mut unit = conv_unit(graph, *id, chain, level);
            unit.residual = unit.residual.map(value);
            let nodes = std::iter::once(*id).chain(chain.folded.iter().copied()).collect();
            Unit { output: chain.last, nodes, inputs, kind: UnitKind::Conv(Box::new(unit)) }
        })
        .collect();
    let value_of = value_of.keys().map(|&id| (id, value(id))).collect();
    Units { units, value_of }
}

/// The nodes that read each node, of those that are needed.
fn consumers(graph: &Graph, needed: &[bool]) -> Vec<Vec<NodeId>> {
    let mut consumers: Vec<Vec<NodeId>> = vec![Vec::new(); graph.nodes().len()];
    for (id, node) in graph.nodes().iter().enumerate().filter(|&(id, _)| needed[id]) {
        for &input in &node.inputs {
            consumers[input].push(id);
        }
    }
    consumers
}

/// Follows a convolution to the nodes that it can take in.
fn chain(graph: &Graph, conv: NodeId, targets: &[NodeId], consumers: &[Vec<NodeId>], taken: &[bool]) -> Chain {
    let mut chain = Chain { last: conv, folded: Vec::new(), residual: None, clamp: None };
    let fuses = conv_spec(graph, conv).is_some_and(|(spec, _)| FrozenConv::fuses_activations(&spec));
    while chain.clamp.is_none() && !targets.contains(&chain.last) {
        let &[next] = consumers[chain.last].as_slice() else { break };
        if taken[next] {
            break;
        }
        let node = graph.node(next);
        match &node.op {
            Op::BatchNorm(_) | Op::Scale(_) if chain.residual.is_none() => {}
            Op::Dropout(_) => {}
            Op::Elementwise(Elementwise::Add) if chain.residual.is_none() && adds_alike(graph, &node.inputs) => {
                chain.residual = node.inputs.iter().copied().find(|&input| input != chain.last);
            }
            Op::Activation(Activation::Relu) if fuses => {
                chain.clamp = Some(Clamp { low: 0.0, high: f32::INFINITY });
            }
            &Op::Activation(Activation::Clip { low, high }) if fuses => chain.clamp = Some(Clamp { low, high }),
            _ => break,
        }
        chain.folded.push(next);
        chain.last = next;
    }
    chain
}

/// Whether an addition has two different inputs of one shape at the net's own input size. (A spread 1×1 input differs.)
fn adds_alike(graph: &Graph, inputs: &[NodeId]) -> bool {
    let &[a, b] = inputs else { return false };
    let shapes = graph.shapes_for(&graph.native_input_shape(1), inputs);
    // An unresolvable or degenerate size is no ground to fuse.
    shapes.is_ok_and(|shapes| a != b && shapes[a] == shapes[b] && shapes[a].as_ref().is_some_and(spreads_nothing))
}

fn spreads_nothing(shape: &Shape) -> bool {
    shape.as_maps().is_some_and(|[_, _, height, width]| height * width > 1)
}

/// The window and weights of a node that is a convolution.
fn conv_spec(graph: &Graph, id: NodeId) -> Option<(Spec<'_>, Window)> {
    let mut params = graph.params_of(id);
    let weight = params.next()?;
    let (window, groups, transposed) = match &graph.node(id).op {
        Op::ConvTranspose2d(conv) => (conv.window, conv.groups, true),
        op => convolution(op, &weight.shape).map(|conv| (conv.window, conv.groups, false))?,
    };
    let (first, second) = (weight.shape[0], weight.shape[1] * groups);
    let (in_channels, out_channels) = if transposed { (first, second) } else { (second, first) };
    let bias = params.next().map_or(vec![0.0; out_channels], |bias| bias.data.to_vec());
    let spec = Spec {
        kernel: window.kernel,
        stride: window.stride,
        dilation: window.dilation,
        groups,
        in_channels,
        out_channels,
        transposed,
        weight: &weight.data,
        bias,
    };
    Some((spec, window))
}

/// Folds what follows into the weights, and packs them.
fn conv_unit(graph: &Graph, id: NodeId, chain: &Chain, level: Level) -> ConvUnit {
    let (mut spec, window) = conv_spec(graph, id).expect("a chain starts at a convolution");
    let mut factor = vec![1.0f64; spec.out_channels];
    let mut bias: Vec<f64> = spec.bias.iter().map(|&b| f64::from(b)).collect();
    for &folded in &chain.folded {
        let params: Vec<&[f32]> = graph.params_of(folded).map(|param| &*param.data).collect();
        let (scale, offset): (Vec<f64>, Vec<f64>) = match &graph.node(folded).op {
            Op::BatchNorm(norm) => (0..factor.len())
                .map(|c| {
                    let [gamma, beta, mean, variance] = [0, 1, 2, 3].map(|p: usize| f64::from(params[p][c]));
                    let scale = gamma / (variance + f64::from(norm.epsilon)).sqrt();
                    (scale, beta - mean * scale)
                })
                .unzip(),
            Op::Scale(_) => (0..factor.len())
                .map(|c| (f64::from(params[0][c]), params.get(1).map_or(0.0, |bias| f64::from(bias[c]))))
                .unzip(),
            _ => continue,
        };
        for c in 0..factor.len() {
            factor[c] *= scale[c];
            bias[c] = bias[c] * scale[c] + offset[c];
        }
    }
    let weight = scaled(&spec, &factor);
    spec.weight = &weight;
    spec.bias = bias.iter().map(|&b| b as f32).collect();
    let conv = FrozenConv::new(level, &spec, true);
    ConvUnit { conv, window, transposed: spec.transposed, residual: chain.residual, clamp: chain.clamp }
}

/// The weights times a factor for each output channel.
fn scaled(spec: &Spec, factor: &[f64]) -> Vec<f32> {
    let taps = spec.kernel[0] * spec.kernel[1];
    let outs = spec.out_channels / spec.groups;
    let ins = spec.in_channels / spec.groups;
    let output = |index: usize| {
        if spec.transposed {
            let (input, minor) = (index / (taps * outs), index / taps % outs);
            input / ins * outs + minor
        } else {
            index / (taps * ins)
        }
    };
    spec.weight.iter().enumerate().map(|(i, &w)| (f64::from(w) * factor[output(i)]) as f32).collect()
}
