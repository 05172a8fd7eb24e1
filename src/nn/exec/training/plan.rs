//! What a training session computes for one input shape, and which memory its values share.
//!
//! Moments: node `i` of `n` runs at `i`, the seed is written at `n`, node `i` runs backwards at `2n − i`.

use super::TrainingNet;
use crate::base::simd::Level;
use crate::base::tensor::Shape;
use crate::nn::exec::convolution;
use crate::nn::graph::{GraphError, NodeId};
use crate::nn::ops::conv::frozen::Lattices;
use crate::nn::ops::conv::general::Geometry;
use crate::nn::ops::conv::weight_gradient::WeightGradient;
use crate::nn::ops::{Keeps, Op, Operator};

/// The steps of a forward and a backward pass.
pub struct Plan {
    /// One a node; `None` where the target does not need it, and for the input.
    pub steps: Vec<Option<Step>>,
    /// One a node; of rank 0 where the target does not need it.
    pub shapes: Vec<Shape>,
    /// The slots of the blob and of its gradient, one a node.
    pub blobs: Vec<Option<SlotId>>,
    pub d_blobs: Vec<Option<SlotId>>,
    /// Floats of every slot.
    pub slots: Vec<usize>,
}

/// One node, forward and backward.
pub struct Step {
    pub node: NodeId,
    pub inputs: Vec<NodeId>,
    pub keeps: Keeps,
    /// Whether its backward pass runs.
    pub backward: bool,
    /// What becomes of each input's gradient.
    pub d_inputs: Vec<InputGradient>,
    pub conv: Option<ConvStep>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputGradient {
    NotNeeded,
    /// Nobody has written it before.
    First,
    /// Others have: it is added to.
    Further,
    /// The same node takes the same input at an earlier place: a slot of its own, added to that place's afterwards.
    Again(SlotId),
}

/// What the fast kernels of a convolution need besides weights.
pub struct ConvStep {
    pub geometry: Geometry,
    pub lattices: Lattices,
    /// The weights' gradient, if they are learnt, and the slot of its workspace.
    pub gradient: Option<(WeightGradient, SlotId)>,
}

/// The index of a piece of memory, which values that do not live together share.
pub type SlotId = usize;

/// A value that needs memory from one moment to another.
struct Life {
    floats: usize,
    first: usize,
    last: usize,
}

#[derive(Default)]
struct Lives(Vec<Life>);

impl Lives {
    fn add(&mut self, floats: usize, moment: usize) -> usize {
        self.0.push(Life { floats, first: moment, last: moment });
        self.0.len() - 1
    }

    fn touch(&mut self, life: usize, moment: usize) {
        let life = &mut self.0[life];
        (life.first, life.last) = (life.first.min(moment), life.last.max(moment));
    }

    /// The slot of every life and the floats of every slot: each life takes the smallest free slot that holds it, or
    /// else the largest, which grows.
    fn slots(&self) -> (Vec<SlotId>, Vec<usize>) {
        let mut order: Vec<usize> = (0..self.0.len()).collect();
        order.sort_by_key(|&life| self.0[life].first);
        let mut of = vec![0; self.0.len()];
        let mut slots: Vec<usize> = Vec::new();
        let mut last_use: Vec<usize> = Vec::new();
        for life in order {
            let Life { floats, first, last } = self.0[life];
            let free = (0..slots.len()).filter(|&slot| last_use[slot] < first);
            let best = free.min_by_key(|&slot| match slots[slot] {
                enough if enough >= floats => (0, enough - floats),
                less => (1, floats - less),
            });
            let slot = best.unwrap_or_else(|| {
                slots.push(0);
                last_use.push(0);
                slots.len() - 1
            });
            slots[slot] = slots[slot].max(floats);
            last_use[slot] = last;
            of[life] = slot;
        }
        (of, slots)
    }
}

/// A plan in the making; slots are lives until [`Plan::settle`].
struct Builder<'a> {
    net: &'a TrainingNet,
    shapes: Vec<Shape>,
    needed: Vec<bool>,
    lives: Lives,
    blobs: Vec<Option<usize>>,
    d_blobs: Vec<Option<usize>>,
    /// Whether a node that runs backwards before has written the gradient of a blob.
    written: Vec<bool>,
}

impl Builder<'_> {
    fn backward_at(&self, id: NodeId) -> usize {
        2 * self.shapes.len() - id
    }

    /// Gives every blob that is needed a life, and its gradient.
    fn place_blobs(&mut self) {
        for id in (0..self.shapes.len()).filter(|&id| self.needed[id]) {
            let floats = self.shapes[id].len();
            self.blobs[id] = Some(self.lives.add(floats, id));
            if self.net.carries(id) {
                self.d_blobs[id] = Some(self.lives.add(floats, self.backward_at(id)));
            }
        }
        // The caller writes the input before the forward pass and may read it, and the target, after everything.
        let (target, nodes) = (self.net.target(), self.shapes.len());
        for life in self.blobs[0].into_iter().chain(self.blobs[target]).chain(self.d_blobs[target]) {
            self.lives.touch(life, 2 * nodes);
        }
        self.blobs[0].into_iter().for_each(|input| self.lives.touch(input, 0));
        self.d_blobs[target].into_iter().for_each(|seed| self.lives.touch(seed, nodes));
        self.written[target] = true;
    }

    /// The step of a node whose readers' steps are planned.
    fn step(&mut self, id: NodeId) -> Step {
        let net = self.net;
        let node = net.graph().node(id);
        let input_shapes: Vec<&Shape> = node.inputs.iter().map(|&input| &self.shapes[input]).collect();
        let keeps = node.op.keeps(&input_shapes);
        let backward = net.carries(id);
        let backward_at = self.backward_at(id);
        let reads_inputs = backward && (keeps.inputs || net.learns_at(id));
        for &input in &node.inputs {
            let blob = self.blobs[input].expect("inputs of a node that is needed are needed");
            self.lives.touch(blob, id);
            if reads_inputs {
                self.lives.touch(blob, backward_at);
            }
        }
        if backward && keeps.output {
            self.lives.touch(self.blobs[id].expect("it is needed"), backward_at);
        }
        let moment = backward.then_some(backward_at);
        let places = 0..node.inputs.len();
        let d_inputs = places.map(|place| self.input_gradient(&node.inputs, place, moment)).collect();
        let conv = conv_step(net, id, &self.shapes, |floats| self.lives.add(floats, backward_at));
        Step { node: id, inputs: node.inputs.clone(), keeps, backward, d_inputs, conv }
    }

    /// What becomes of the gradient of the input at a place of a node's, which runs backwards at a moment, or never.
    fn input_gradient(&mut self, inputs: &[NodeId], place: usize, moment: Option<usize>) -> InputGradient {
        let input = inputs[place];
        let (Some(d_input), Some(moment)) = (self.d_blobs[input], moment) else { return InputGradient::NotNeeded };
        self.lives.touch(d_input, moment);
        if inputs[..place].contains(&input) {
            InputGradient::Again(self.lives.add(self.shapes[input].len(), moment))
        } else if std::mem::replace(&mut self.written[input], true) {
            InputGradient::Further
        } else {
            InputGradient::First
        }
    }
}

impl Plan {
    pub fn new(net: &TrainingNet, input: &Shape) -> Result<Self, GraphError> {
        let graph = net.graph();
        let nodes = graph.nodes().len();
        let shapes = graph.shapes_for(input, &[net.target()])?;
        let mut builder = Builder {
            net,
            shapes: shapes.into_iter().map(Option::unwrap_or_default).collect(),
            needed: graph.needed_for(&[net.target()]),
            lives: Lives::default(),
            blobs: vec![None; nodes],
            d_blobs: vec![None; nodes],
            written: vec![false; nodes],
        };
        builder.place_blobs();
        let mut steps: Vec<Option<Step>> = (0..nodes).map(|_| None).collect();
        for id in (1..nodes).rev() {
            steps[id] = builder.needed[id].then(|| builder.step(id));
        }
        let Builder { shapes, lives, blobs, d_blobs, .. } = builder;
        let mut plan = Self { steps, shapes, blobs, d_blobs, slots: Vec::new() };
        plan.settle(&lives);
        Ok(plan)
    }

    /// Lays lives out in slots, and puts slots in the places of lives.
    fn settle(&mut self, lives: &Lives) {
        let (slot_of, slots) = lives.slots();
        self.slots = slots;
        for id in self.blobs.iter_mut().chain(&mut self.d_blobs).flatten() {
            *id = slot_of[*id];
        }
        for step in self.steps.iter_mut().flatten() {
            for d_input in &mut step.d_inputs {
                if let InputGradient::Again(slot) = d_input {
                    *slot = slot_of[*slot];
                }
            }
            if let Some(ConvStep { gradient: Some((_, workspace)), .. }) = &mut step.conv {
                *workspace = slot_of[*workspace];
            }
        }
    }
}

/// What the convolution of a node needs; `workspace` gives it so many floats of memory for its way back.
fn conv_step(
    net: &TrainingNet,
    id: NodeId,
    shapes: &[Shape],
    workspace: impl FnOnce(usize) -> SlotId,
) -> Option<ConvStep> {
    let conv = net.conv(id)?;
    let node = net.graph().node(id);
    let weight = net.graph().params_of(id).next()?;
    let op = convolution(&node.op, &weight.shape)?;
    let maps = |node_id: NodeId| match (&node.op, shapes[node_id].as_maps()) {
        // The gradient of its weights is a sum over the batch: to the kernels, the pixels of one picture.
        (Op::Linear(_), Some([batch, channels, ..])) => Shape::maps(1, channels, batch, 1),
        _ => shapes[node_id].clone(),
    };
    let geometry = op.geometry_of(&maps(node.inputs[0]), &maps(id));
    let gradient = net.learns(id, 0).then(|| {
        let gradient = WeightGradient::new(Level::active(), geometry);
        let workspace = workspace(gradient.workspace_floats());
        (gradient, workspace)
    });
    let lattices = conv.conv.lattices(&[geometry.rows, geometry.columns]);
    Some(ConvStep { geometry, lattices, gradient })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_live_together_never_share_a_slot() {
        let mut lives = Lives::default();
        for i in 0..60 {
            let life = lives.add(1 + i * 37 % 101, i % 11);
            lives.touch(life, i % 11 + i % 6);
        }
        let (of, slots) = lives.slots();
        for (a, life) in lives.0.iter().enumerate() {
            assert!(slots[of[a]] >= life.floats);
            for (b, other) in lives.0.iter().enumerate().take(a) {
                let apart = life.last < other.first || other.last < life.first;
                assert!(apart || of[a] != of[b], "{a} and {b}");
            }
        }
        assert!(slots.len() < 60, "some share");
    }
}
