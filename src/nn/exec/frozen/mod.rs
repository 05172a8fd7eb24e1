//! The frozen plan: forward to the targets, gradient to the input, weights fixed.
//!
//! A [`FrozenNet`] folds batch norm and scale into convolutions, fuses additions and activations behind them and packs
//! the weights, once; a [`Session`] lays out one arena for one input shape. Of the forward pass it keeps what the way
//! back needs: a bit for each activation, arg-max indices, and the few blobs that ops ask for.

mod buffers;
mod plan;
mod run;
mod run_chain;
mod units;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use buffers::Arena;
use plan::{Plan, Span, Step};
use run::Machine;
use units::{UnitKind, Units};

use crate::base::parallel;
use crate::base::simd::Level;
use crate::base::tensor::{Shape, View};
use crate::nn::graph::{Graph, GraphError, NodeId};
use crate::nn::ops::ReluRule;

/// A net with its weights packed for inference and input gradients, for any picture size.
#[derive(Clone)]
pub struct FrozenNet {
    inner: Arc<Inner>,
}

/// As [`Inner::chained_floats`].
const CHAINED_FLOATS: [usize; 2] = [plan::chain::MIN_FLOATS, plan::chain::MIN_TILED_FLOATS];

struct Inner {
    graph: Arc<Graph>,
    targets: Vec<NodeId>,
    units: Units,
    level: Level,
    /// How large maps between two steps are, in floats, from which on they are handed over in bands; the same where
    /// Winograd's tiles take part.
    chained_floats: [usize; 2],
}

impl FrozenNet {
    /// Packs the weights of all layers that `targets` need. Targets are the nodes whose blobs will be read or seeded.
    pub fn new(graph: Arc<Graph>, targets: &[NodeId]) -> Self {
        Self::with_level(graph, targets, Level::active())
    }

    /// As [`FrozenNet::new`], for an instruction set that must be available.
    pub fn with_level(graph: Arc<Graph>, targets: &[NodeId], level: Level) -> Self {
        Self::with_chains(graph, targets, level, CHAINED_FLOATS)
    }

    fn with_chains(graph: Arc<Graph>, targets: &[NodeId], level: Level, chained_floats: [usize; 2]) -> Self {
        let units = units::units(&graph, targets, level);
        Self::of_units(graph, targets, units, level, chained_floats)
    }

    /// As [`FrozenNet::new`], but lets go of the weights that are packed: [`FrozenNet::graph`] then knows no more than their
    /// shapes. For one who needs the net for nothing else.
    pub fn lean(graph: &Graph, targets: &[NodeId]) -> Self {
        let units = units::units(graph, targets, Level::active());
        let used = units.units.iter().filter(|unit| !matches!(unit.kind, UnitKind::Conv(_)));
        let used: Vec<NodeId> = used.map(|unit| unit.output).collect();
        Self::of_units(Arc::new(graph.with_data_of(&used)), targets, units, Level::active(), CHAINED_FLOATS)
    }

    fn of_units(graph: Arc<Graph>, targets: &[NodeId], units: Units, level: Level, chained_floats: [usize; 2]) -> Self {
        Self { inner: Arc::new(Inner { graph, targets: targets.to_vec(), units, level, chained_floats }) }
    }

    pub fn graph(&self) -> &Arc<Graph> {
        &self.inner.graph
    }

    pub fn targets(&self) -> &[NodeId] {
        &self.inner.targets
    }

    /// The nodes that are computed, those together that run as one step: a convolution with what is folded into it and
    /// fused behind it. Their ids rise; what costs nothing (dropout) is left out.
    pub fn steps(&self) -> impl Iterator<Item = &[NodeId]> {
        self.inner.units.units.iter().map(|unit| unit.nodes.as_slice())
    }

    /// Bytes of packed weights.
    pub fn weight_bytes(&self) -> usize {
        let conv_bytes = |unit: &units::Unit| match &unit.kind {
            UnitKind::Conv(conv) => conv.conv.bytes(),
            UnitKind::MaxPool(_) | UnitKind::Op => 0,
        };
        self.inner.units.units.iter().map(conv_bytes).sum()
    }

    fn plan(&self, input: &Shape, with_gradient: bool) -> Result<Plan, GraphError> {
        let Inner { graph, units, targets, chained_floats, .. } = &*self.inner;
        Plan::new(graph, units, targets, input, with_gradient, *chained_floats)
    }

    /// Bytes of memory that a session needs for an input of this shape.
    pub fn session_bytes(&self, input: &Shape, with_gradient: bool) -> Result<usize, GraphError> {
        Ok(self.plan(input, with_gradient)?.offsets.total * size_of::<f32>())
    }

    /// A session for inputs of one shape (batch × channels × height × width). `old` hands its memory on.
    pub fn session(&self, input: &Shape, with_gradient: bool, old: Option<Session>) -> Result<Session, GraphError> {
        let plan = self.plan(input, with_gradient)?;
        let mut arena = old.map(|old| old.arena).unwrap_or_default();
        arena.reserve(plan.offsets.total);
        let mut places = HashMap::new();
        for &target in &self.inner.targets {
            let (value, seed) = plan.targets[&self.inner.units.value_of[&target]];
            places.insert(target, (value, seed));
        }
        Ok(Session { inner: self.inner.clone(), plan, arena, places })
    }
}

/// The memory and the steps for one input shape. Steady steps allocate nothing.
pub struct Session {
    inner: Arc<Inner>,
    plan: Plan,
    arena: Arena,
    places: HashMap<NodeId, (Span, Option<Span>)>,
}

/// How long one step of a session took.
#[derive(Clone, Copy, Debug)]
pub struct StepTime {
    /// The last of the nodes that run together, as [`FrozenNet::steps`] lists them.
    pub node: NodeId,
    pub time: Duration,
}

impl Session {
    /// The input in net space (preprocessed), NHWC. Write all of it before every [`Session::forward`]: its memory is
    /// used for other things in between.
    pub fn input_mut(&mut self) -> &mut [f32] {
        let Span { buffer, floats } = self.plan.input;
        self.arena.slice_mut(self.plan.offsets.of[buffer], floats)
    }

    /// Runs forward to the targets.
    pub fn forward(&mut self) {
        self.run(false, ReluRule::Gradient, None);
    }

    /// The blob of a target after [`Session::forward`], NHWC.
    ///
    /// # Panics
    /// If `target` is none of the net's targets.
    pub fn blob(&self, target: NodeId) -> View<'_, f32> {
        let (Span { buffer, floats }, _) = self.places[&target];
        View::new(self.shape(target), self.arena.slice(self.plan.offsets.of[buffer], floats))
    }

    /// The blob of a target together with the place for the gradient of the objective with respect to it. The seeds
    /// of all targets must be written whole before every [`Session::backward`].
    ///
    /// # Panics
    /// If `target` is none of the net's targets, or the session has no gradient.
    pub fn blob_and_seed(&mut self, target: NodeId) -> (View<'_, f32>, &mut [f32]) {
        let (value, seed) = self.places[&target];
        let seed = seed.expect("the session was made with a gradient");
        let at = |span: Span| self.plan.offsets.of[span.buffer];
        let start = self.arena.start();
        let shape = self.plan.shapes[target].as_ref().expect("targets have shapes");
        // SAFETY: two buffers of the plan that live at the same time, hence disjoint, inside the arena.
        unsafe {
            let blob = std::slice::from_raw_parts(start.add(at(value)), value.floats);
            let seed = std::slice::from_raw_parts_mut(start.add(at(seed)), seed.floats);
            (View::new(shape, blob), seed)
        }
    }

    /// Sends the seeds of all targets back to the input.
    ///
    /// # Panics
    /// If the session was made without a gradient.
    pub fn backward(&mut self, rule: ReluRule) {
        assert!(self.plan.d_input.is_some(), "the session was made with a gradient");
        self.run(true, rule, None);
    }

    /// The gradient with respect to the input after [`Session::backward`], NHWC.
    pub fn d_input(&self) -> &[f32] {
        let Span { buffer, floats } = self.plan.d_input.expect("the session was made with a gradient");
        self.arena.slice(self.plan.offsets.of[buffer], floats)
    }

    /// As [`Session::forward`], and times every step.
    pub fn profile_forward(&mut self) -> Vec<StepTime> {
        let mut times = Vec::with_capacity(self.plan.forward.len());
        self.run(false, ReluRule::Gradient, Some(&mut times));
        times
    }

    /// As [`Session::backward`], and times every step.
    ///
    /// # Panics
    /// If the session was made without a gradient.
    pub fn profile_backward(&mut self, rule: ReluRule) -> Vec<StepTime> {
        assert!(self.plan.d_input.is_some(), "the session was made with a gradient");
        let mut times = Vec::with_capacity(self.plan.backward.len());
        self.run(true, rule, Some(&mut times));
        times
    }

    /// The shape of a target's blob.
    pub fn shape(&self, target: NodeId) -> &Shape {
        self.plan.shapes[target].as_ref().expect("targets have shapes")
    }

    pub fn bytes(&self) -> usize {
        self.arena.bytes()
    }

    fn run(&mut self, backward: bool, relu_rule: ReluRule, times: Option<&mut Vec<StepTime>>) {
        let steps: &[Step] = if backward { &self.plan.backward } else { &self.plan.forward };
        let machine = Machine {
            graph: &self.inner.graph,
            units: &self.inner.units,
            plan: &self.plan,
            level: self.inner.level,
            relu_rule,
            arena: self.arena.start(),
        };
        parallel::together(move || {
            let machine = &machine;
            match times {
                // SAFETY: the arena was reserved for this plan, and is borrowed mutably.
                None => steps.iter().for_each(|step| unsafe { machine.run(step) }),
                // SAFETY: as above.
                Some(times) => steps.iter().for_each(|step| unsafe { machine.run_timed(step, times) }),
            }
        });
    }
}

#[cfg(test)]
mod tests;
