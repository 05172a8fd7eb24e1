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
