//! The plain executor: any graph, op by op, in `f32` or `f64`, keeping every blob.

use std::any::TypeId;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::mem;

use crate::base::tensor::{Scalar, Shape, View, ViewMut};
use crate::nn::graph::{Graph, GraphError, NodeId, Param};
use crate::nn::ops::{Backward, Forward, Kernel, Operator, Run};

/// Runs a graph the obvious way: the yardstick of faster plans, and the source of parameter gradients.
///
/// Every op gets just what its [`crate::nn::ops::Keeps`] asks for, so that a plan which frees the rest sees the same.
pub struct Reference<'g, F: Scalar> {
    graph: &'g Graph,
    params: BTreeMap<&'g str, Cow<'g, [F]>>,
    run: Run,
    /// One a node; of rank 0 where the last forward pass did not come.
    shapes: Vec<Shape>,
    /// One a node; empty where the last forward pass did not come.
    blobs: Vec<Vec<F>>,
    /// One a node, as `u64` for the alignment.
    saved: Vec<Vec<u64>>,
    /// One a node; empty where no gradient came.
    d_blobs: Vec<Vec<F>>,
    d_params: BTreeMap<&'g str, Vec<F>>,
}

impl<'g, F: Scalar> Reference<'g, F> {
    /// Borrows the graph's parameters (`f32`) or converts them (`f64`).
    pub fn new(graph: &'g Graph) -> Self {
        let params = graph.params().iter().map(|(name, param)| (name.as_str(), values_of(param))).collect();
        let nodes = graph.nodes().len();
        Self {
            graph,
            params,
            run: Run::default(),
            shapes: Vec::new(),
            blobs: vec![Vec::new(); nodes],
            saved: vec![Vec::new(); nodes],
            d_blobs: vec![Vec::new(); nodes],
            d_params: BTreeMap::new(),
        }
    }

    pub fn graph(&self) -> &'g Graph {
        self.graph
    }

    /// The values of a parameter, to change in place; the graph keeps its own.
    pub fn param_mut(&mut self, name: &str) -> Option<&mut [F]> {
        self.params.get_mut(name).map(|values| values.to_mut().as_mut_slice())
    }

    /// Runs all nodes that `targets` need. `input_nhwc` has the input's `shape` (batch × channels × height × width)
    /// and is in net space. `run.node` is set here.
    ///
    /// # Panics
    /// If `input_nhwc` has another length than `shape`, or a target is no node.
    pub fn forward(&mut self, shape: &Shape, input_nhwc: &[F], targets: &[NodeId], run: Run) -> Result<(), GraphError> {
        assert_eq!(input_nhwc.len(), shape.len(), "the input has as many values as its shape");
        let last = targets.iter().copied().max().unwrap_or(0);
        self.shapes = self.graph.shapes_for(shape, targets)?.into_iter().map(Option::unwrap_or_default).collect();
        self.run = run;
        self.blobs.iter_mut().chain(&mut self.d_blobs).for_each(Vec::clear);
        self.d_params.clear();
        self.blobs[0].extend_from_slice(input_nhwc);
        let needed = self.graph.needed_for(targets);
        (1..=last).filter(|&id| needed[id]).for_each(|id| self.forward_node(id));
        Ok(())
    }

    fn forward_node(&mut self, id: NodeId) {
        let node = self.graph.node(id);
        let shape = &self.shapes[id];
        let mut blob = mem::take(&mut self.blobs[id]);
        blob.resize(shape.len(), F::zero());
        let inputs: Vec<View<'_, F>> =
            node.inputs.iter().map(|&input| View::new(&self.shapes[input], &self.blobs[input])).collect();
        let input_shapes: Vec<&Shape> = inputs.iter().map(|input| input.shape).collect();
        let params: Vec<&[F]> = node.params.iter().map(|name| &*self.params[name.as_str()]).collect();
        let saved_bytes = node.op.keeps(&input_shapes).saved_bytes;
        let saved = &mut self.saved[id];
        saved.resize(saved_bytes.div_ceil(8), 0);
        node.op.forward(Forward {
            inputs: &inputs,
            params: &params,
            output: ViewMut::new(shape, &mut blob),
            saved: &mut bytemuck::cast_slice_mut(saved)[..saved_bytes],
            run: Run { node: id as u64, ..self.run },
        });
        self.blobs[id] = blob;
    }

    /// The output of a node after [`Reference::forward`], if it was needed.
    pub fn blob(&self, id: NodeId) -> Option<View<'_, F>> {
        let blob = self.blobs.get(id).filter(|blob| !blob.is_empty())?;
        Some(View::new(&self.shapes[id], blob))
    }

    /// Sends `seeds` (gradients of one objective by the blobs of nodes, laid out as they are) back to the input, and to
    /// every parameter that `wants` names. Gradients of an earlier call are forgotten.
    ///
    /// # Panics
    /// If a seed's node was not run, or the seed has another length than its blob.
    pub fn backward(&mut self, seeds: &[(NodeId, Vec<F>)], wants: impl Fn(&str) -> bool) {
        self.d_blobs.iter_mut().for_each(Vec::clear);
        self.d_params.clear();
        for (id, seed) in seeds {
            assert!(!self.blobs[*id].is_empty(), "the node of a seed has been run");
            assert_eq!(self.blobs[*id].len(), seed.len(), "a seed has as many values as its blob");
            add_or_set(&mut self.d_blobs[*id], seed.clone());
        }
        let last = seeds.iter().map(|(id, _)| *id).max().unwrap_or(0);
        for id in (1..=last).rev() {
            if !self.d_blobs[id].is_empty() {
                self.backward_node(id, &wants);
            }
        }
        if self.d_blobs[0].is_empty() {
            self.d_blobs[0].resize(self.blobs[0].len(), F::zero());
        }
    }

    fn backward_node(&mut self, id: NodeId, wants: &impl Fn(&str) -> bool) {
        let node = self.graph.node(id);
        let input_shapes: Vec<&Shape> = node.inputs.iter().map(|&input| &self.shapes[input]).collect();
        let keeps = node.op.keeps(&input_shapes);
        let wanted: Vec<bool> = node.params.iter().map(|name| wants(name)).collect();
        // A node that is used twice is taken once; its second gradient starts from nothing and is added below.
        let mut d_inputs: Vec<Vec<F>> = node.inputs.iter().map(|&input| mem::take(&mut self.d_blobs[input])).collect();
        for (d_input, shape) in d_inputs.iter_mut().zip(&input_shapes) {
            d_input.resize(shape.len(), F::zero());
        }
        let mut d_params: Vec<Vec<F>> = Vec::new();
        for (name, &wanted) in node.params.iter().zip(&wanted) {
            let len = if wanted { self.params[name.as_str()].len() } else { 0 };
            d_params.push(vec![F::zero(); len]);
        }
        let params: Vec<&[F]> = node.params.iter().map(|name| &*self.params[name.as_str()]).collect();
        let keeps_inputs = keeps.inputs || wanted.contains(&true);
        let kept_input = |&input: &NodeId| View {
            shape: &self.shapes[input],
            data: if keeps_inputs { self.blobs[input].as_slice() } else { &[] },
        };
        let inputs: Vec<View<'_, F>> = node.inputs.iter().map(kept_input).collect();
        let output: &[F] = if keeps.output { &self.blobs[id] } else { &[] };
        let asked = |wanted: bool, values| if wanted { Some(values) } else { None };
        node.op.backward(Backward {
            inputs: &inputs,
            params: &params,
            output: View { shape: &self.shapes[id], data: output },
            saved: &bytemuck::cast_slice(&self.saved[id])[..keeps.saved_bytes],
            d_output: &self.d_blobs[id],
            d_inputs: &mut d_inputs.iter_mut().map(|d| Some(d.as_mut_slice())).collect::<Vec<_>>(),
            d_params: &mut d_params
                .iter_mut()
                .zip(&wanted)
                .map(|(d, &wanted)| asked(wanted, d.as_mut_slice()))
                .collect::<Vec<_>>(),
            run: Run { node: id as u64, ..self.run },
        });
        for (&input, d_input) in node.inputs.iter().zip(d_inputs) {
            add_or_set(&mut self.d_blobs[input], d_input);
        }
        for ((name, d_param), _) in node.params.iter().zip(d_params).zip(&wanted).filter(|&(_, &wanted)| wanted) {
            add_or_set(self.d_params.entry(name.as_str()).or_default(), d_param);
        }
    }

    /// The gradient by the input after [`Reference::backward`], NHWC; zero if no seed reaches it.
    pub fn d_input(&self) -> &[F] {
        &self.d_blobs[0]
    }

    /// The gradient by a node's output after [`Reference::backward`], if any came.
    pub fn d_blob(&self, id: NodeId) -> Option<&[F]> {
        self.d_blobs.get(id).filter(|d_blob| !d_blob.is_empty()).map(Vec::as_slice)
    }

    /// The gradient by a parameter that was wanted in [`Reference::backward`], laid out as the parameter; `None` if no
    /// seed reaches it.
    pub fn d_param(&self, name: &str) -> Option<&[F]> {
        self.d_params.get(name).map(Vec::as_slice)
    }
}

fn values_of<F: Scalar>(param: &Param) -> Cow<'_, [F]> {
    if TypeId::of::<F>() == TypeId::of::<f32>() {
        return Cow::Borrowed(bytemuck::cast_slice(&param.data));
    }
    param.data.iter().map(|&value| F::of(f64::from(value))).collect()
}

/// `to += from`, where an empty `to` is zero.
fn add_or_set<F: Scalar>(to: &mut Vec<F>, from: Vec<F>) {
    if to.is_empty() {
        *to = from;
    } else {
        to.iter_mut().zip(&from).for_each(|(t, &f)| *t += f);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::graph::{GraphBuilder, Preprocess};
    use crate::nn::ops::activation::Activation;
    use crate::nn::ops::check::{Tensor, assert_close};
    use crate::nn::ops::concat::Concat;
    use crate::nn::ops::elementwise::Elementwise;
    use crate::nn::ops::prelu::PRelu;
    use crate::nn::ops::reduce::{Reduce, ReduceKind};
    use crate::nn::ops::reshape::{Dim, Reshape};
    use crate::nn::ops::slice::Slice;
    use crate::nn::ops::softmax::Softmax;
    use crate::nn::ops::transpose::Transpose;
    use crate::nn::ops::{MapAxis, Op, ReluRule};

    fn finish(builder: GraphBuilder) -> Graph {
        let preprocess = Preprocess { order: Default::default(), mean: vec![0.0; 3], scale: vec![1.0; 3] };
        builder.finish("test", preprocess, Vec::new()).expect("a valid net")
    }

    /// Channels reach the output by several ways: joined, cut, squeezed and spread, multiplied by themselves, and
    /// through one parameter that two nodes share.
    fn tangled() -> Graph {
        let mut net = GraphBuilder::new("data", 3, [4, 5]);
        net.param("slope", &[3], vec![0.3, -0.2, 0.7]);
        net.param("slopes", &[1], vec![0.4]);
        let data = GraphBuilder::INPUT;
        let leaky = net.add("leaky", Op::PRelu(PRelu {}), &[data], &["slope"]);
        let tanh = net.add("tanh", Op::Activation(Activation::Tanh), &[data], &[]);
        let join = net.add("join", Op::Concat(Concat { axis: MapAxis::Channel }), &[leaky, tanh, data, leaky], &[]);
        let cut = net.add("cut", Op::Slice(Slice { axis: MapAxis::Channel, start: 2, end: 5 }), &[join], &[]);
        let again = net.add("again", Op::PRelu(PRelu {}), &[cut], &["slope"]);
        let mean = Reduce { kind: ReduceKind::Mean, axes: vec![MapAxis::Height, MapAxis::Width], keep: true };
        let squeeze = net.add("squeeze", Op::Reduce(mean), &[again], &[]);
        let gate = net.add("gate", Op::Activation(Activation::Sigmoid), &[squeeze], &[]);
        let scaled = net.add("scaled", Op::Elementwise(Elementwise::Mul), &[again, gate], &[]);
        let square = net.add("square", Op::Elementwise(Elementwise::Mul), &[scaled, scaled], &[]);
        let sum = net.add("sum", Op::Elementwise(Elementwise::Add), &[square, tanh, data], &[]);
        let last = net.add("last", Op::PRelu(PRelu {}), &[sum], &["slopes"]);
        net.add("probabilities", Op::Softmax(Softmax {}), &[last], &[]);
        finish(net)
    }

    fn seeds_at(graph: &Graph, shape: &Shape, names: &[&str]) -> Vec<(NodeId, Vec<f64>)> {
        let shapes = graph.shapes(shape).unwrap();
        let seed = |(i, name): (usize, &&str)| {
            let id = graph.find(name).unwrap();
            (id, Tensor::random(&[shapes[id].len()], 100 + i as u64).data)
        };
        names.iter().enumerate().map(seed).collect()
    }

    /// Σ seed · blob.
    fn objective(net: &mut Reference<'_, f64>, input: &Tensor<f64>, seeds: &[(NodeId, Vec<f64>)]) -> f64 {
        let targets: Vec<NodeId> = seeds.iter().map(|&(id, _)| id).collect();
        net.forward(&input.shape, &input.data, &targets, Run::default()).unwrap();
        let dot = |(id, seed): &(NodeId, Vec<f64>)| {
            let blob = net.blob(*id).expect("a target has been run").data;
            blob.iter().zip(seed).map(|(x, s)| x * s).sum::<f64>()
        };
        seeds.iter().map(dot).sum()
    }

    #[test]
    fn a_whole_net_has_the_gradient_of_central_differences() {
        const STEP: f64 = 1e-5;
        let graph = tangled();
        let input = Tensor::<f64>::separated(&[2, 3, 4, 5], 1);
        for names in [&["probabilities"][..], &["last"], &["last", "square", "data", "last"], &["join", "gate"]] {
            let seeds = seeds_at(&graph, &input.shape, names);
            let mut net = Reference::<f64>::new(&graph);
            objective(&mut net, &input, &seeds);
            net.backward(&seeds, |_| true);
            let d_input = net.d_input().to_vec();
            let d_slope = net.d_param("slope").expect("it reaches the slopes").to_vec();
            let d_slopes = net.d_param("slopes").map(<[f64]>::to_vec);

            let by_input = |i: usize| {
                let at = |step: f64| {
                    let mut input = input.clone();
                    input.data[i] += step;
                    objective(&mut Reference::new(&graph), &input, &seeds)
                };
                (at(STEP) - at(-STEP)) / (2.0 * STEP)
            };
            let by_param = |name: &str, i: usize| {
                let at = |step: f64| {
                    let mut net = Reference::<f64>::new(&graph);
                    net.param_mut(name).unwrap()[i] += step;
                    objective(&mut net, &input, &seeds)
                };
                (at(STEP) - at(-STEP)) / (2.0 * STEP)
            };
            let expected: Vec<f64> = (0..input.data.len()).map(by_input).collect();
            assert_close(&format!("d_input from {names:?}"), &d_input, &expected, 1e-7, 1e-8);
            let expected: Vec<f64> = (0..3).map(|i| by_param("slope", i)).collect();
            assert_close(&format!("d_slope from {names:?}"), &d_slope, &expected, 1e-7, 1e-8);
            assert_eq!(d_slopes.is_some(), names[0] != "join", "{names:?}");
            if let Some(d_slopes) = d_slopes {
                assert_close(&format!("d_slopes from {names:?}"), &d_slopes, &[by_param("slopes", 0)], 1e-7, 1e-8);
            }
        }
    }

    #[test]
    fn f32_agrees_and_a_second_run_forgets_the_first() {
        let graph = tangled();
        let (small, input) = (Tensor::<f64>::random(&[1, 3, 2, 2], 2), Tensor::<f64>::random(&[2, 3, 4, 5], 3));
        let seeds = seeds_at(&graph, &input.shape, &["probabilities", "cut"]);
        let mut exact = Reference::<f64>::new(&graph);
        objective(&mut exact, &input, &seeds);
        exact.backward(&seeds, |_| true);

        let mut net = Reference::<f32>::new(&graph);
        let small_seed = vec![(1, vec![1.0; 12])];
        net.forward(&small.shape, &small.cast::<f32>().data, &[1, graph.output()], Run::default()).unwrap();
        net.backward(&small_seed, |_| true);
        let targets: Vec<NodeId> = seeds.iter().map(|&(id, _)| id).collect();
        net.forward(&input.shape, &input.cast::<f32>().data, &targets, Run::default()).unwrap();
        let seeds: Vec<_> = seeds.iter().map(|(id, s)| (*id, s.iter().map(|&s| s as f32).collect())).collect();
        net.backward(&seeds, |name| name == "slope");
        let narrow = |values: &[f64]| values.iter().map(|&x| x as f32).collect::<Vec<_>>();
        let output = |view: Option<View<'_, f64>>| narrow(view.unwrap().data);
        assert_close("output", net.blob(12).unwrap().data, &output(exact.blob(12)), 1e-5, 1e-6);
        assert_close("d_input", net.d_input(), &narrow(exact.d_input()), 1e-5, 1e-6);
        assert_close("d_slope", net.d_param("slope").unwrap(), &narrow(exact.d_param("slope").unwrap()), 1e-5, 1e-6);
        assert!(net.d_param("slopes").is_none(), "nobody wanted it");
    }

    #[test]
    fn forward_goes_no_farther_than_it_must() {
        let graph = tangled();
        let input = Tensor::<f32>::random(&[1, 3, 4, 5], 4);
        let mut net = Reference::<f32>::new(&graph);
        let cut = graph.find("cut").unwrap();
        net.forward(&input.shape, &input.data, &[cut], Run::default()).unwrap();
        let ran: Vec<bool> = (0..graph.nodes().len()).map(|id| net.blob(id).is_some()).collect();
        assert_eq!(ran, (0..graph.nodes().len()).map(|id| id <= cut).collect::<Vec<_>>());
        net.forward(&input.shape, &input.data, &[2], Run::default()).unwrap();
        assert!(net.blob(1).is_none() && net.blob(2).is_some(), "node 2 does not need node 1");
        // Gray pictures are none of this net's.
        let gray = Shape::maps(1, 1, 4, 5);
        let result = net.forward(&gray, &[0.0; 20], &[2], Run::default());
        assert_eq!(result, Err(GraphError::InputChannels { expected: 3, got: 1 }));
    }

    #[test]
    fn the_rule_of_the_run_reaches_the_ops() {
        let mut builder = GraphBuilder::new("data", 3, [1, 1]);
        builder.add("relu", Op::Activation(Activation::Relu), &[0], &[]);
        let graph = finish(builder);
        let mut net = Reference::<f64>::new(&graph);
        for (relu_rule, expected) in [
            (ReluRule::Gradient, [0.0, 1.0, -1.0]),
            (ReluRule::Guided, [0.0, 1.0, 0.0]),
            (ReluRule::Deconvnet, [1.0, 1.0, 0.0]),
        ] {
            let run = Run { relu_rule, ..Run::default() };
            net.forward(&Shape::maps(1, 3, 1, 1), &[-1.0, 1.0, 1.0], &[1], run).unwrap();
            net.backward(&[(1, vec![1.0, 1.0, -1.0])], |_| false);
            assert_close(&format!("{relu_rule:?}"), net.d_input(), &expected, 0.0, 0.0);
        }
    }

    #[test]
    fn channels_shuffle_by_reshape_transpose_reshape() {
        let (groups, channels) = (2, 6);
        let mut net = GraphBuilder::new("data", 3, [4, 5]);
        let join = net.add("join", Op::Concat(Concat { axis: MapAxis::Channel }), &[0, 0], &[]);
        let split = Reshape { dims: vec![Dim::Of(groups), Dim::Rest, Dim::Of(4), Dim::Of(5)] };
        let split = net.add("split", Op::Reshape(split), &[join], &[]);
        let swap = net.add("swap", Op::Transpose(Transpose { axes: vec![0, 2, 1, 3, 4] }), &[split], &[]);
        let whole = Reshape { dims: vec![Dim::Rest, Dim::Of(4), Dim::Of(5)] };
        let shuffled = net.add("shuffled", Op::Reshape(whole), &[swap], &[]);
        let graph = finish(net);
        let input = Tensor::<f64>::random(&[2, 3, 4, 5], 5);
        let mut net = Reference::<f64>::new(&graph);
        net.forward(&input.shape, &input.data, &[join, shuffled], Run::default()).unwrap();
        let (before, after) = (net.blob(join).unwrap(), net.blob(shuffled).unwrap());
        assert_eq!(after.shape, before.shape);
        // Channel g · 3 + k of the groups becomes channel k · 2 + g.
        let from = |c: usize| c % groups * (channels / groups) + c / groups;
        let expected: Vec<f64> = (0..after.data.len()).map(|at| before.data[at / 6 * 6 + from(at % 6)]).collect();
        assert_close("shuffled", after.data, &expected, 0.0, 0.0);

        let seed = Tensor::random(&[2 * 6 * 4 * 5], 6).data;
        net.backward(&[(shuffled, seed.clone())], |_| false);
        let mut expected = vec![0.0; input.data.len()];
        for (at, &seed) in seed.iter().enumerate() {
            expected[at / 6 * 3 + from(at % 6) % 3] += seed;
        }
        assert_close("d_input", net.d_input(), &expected, 1e-15, 1e-15);
    }
}
