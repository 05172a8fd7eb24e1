//! One measurement: what is run, and how long it takes.

use std::sync::Arc;
use std::time::Instant;

use rand::RngExt as _;

use super::{BenchError, BenchNet, Kind};
use crate::base::parallel;
use crate::base::rng::{Stream, rng};
use crate::base::tensor::Shape;
use crate::nn::exec::{FrozenNet, TrainingNet};
use crate::nn::graph::{Graph, GraphError, NodeId};
use crate::nn::loss::{Loss, Target};
use crate::nn::ops::{ReluRule, Run};
use crate::nn::optim::{Optimizer, Rates, Rule};

/// Steps before the clock counts: they fault memory in and pack weights.
const WARM_UP_STEPS: usize = 2;

/// What is run.
pub struct Work {
    pub kind: Kind,
    pub net: BenchNet,
    pub batch: usize,
    /// The layer and the picture size of dream steps.
    dream: Option<(&'static str, usize)>,
}

/// What was run.
pub struct Timed {
    pub size_px: usize,
    pub times_ms: Vec<f64>,
    /// Floating-point operations of a step.
    pub flop: u64,
}

impl Work {
    pub fn dream(net: BenchNet, target: &'static str, size_px: usize) -> Self {
        Self { kind: Kind::Dream, net, batch: 1, dream: Some((target, size_px)) }
    }

    pub fn forward(net: BenchNet, batch: usize) -> Self {
        Self { kind: Kind::Forward, net, batch, dream: None }
    }

    pub fn train(net: BenchNet, batch: usize) -> Self {
        Self { kind: Kind::Train, net, batch, dream: None }
    }

    /// Builds the net and runs it.
    pub fn time(&self, rounds: usize) -> Result<Timed, BenchError> {
        let graph = self.net.build()?;
        let (shape, target) = match self.dream {
            Some((target, size_px)) => {
                (Shape::maps(self.batch, graph.input().channels, size_px, size_px), graph.find(target)?)
            }
            None => (graph.native_input_shape(self.batch), graph.logits()),
        };
        let size_px = shape.dims()[2];
        let mut random = rng(0, Stream::Noise, 0);
        let pictures: Vec<f32> = (0..shape.len()).map(|_| random.random_range(-1.0..1.0)).collect();
        let flop_of = |passes: fn(bool) -> u64| step_flop(&graph, &shape, target, passes);
        let flop = match self.kind {
            Kind::Dream => flop_of(dream_passes),
            Kind::Forward => flop_of(|_| 1),
            Kind::Train => flop_of(training_passes),
        }?;
        let (times_ms, magnitude) = match self.kind {
            Kind::Dream => time_dream(graph, &shape, target, &pictures, rounds)?,
            Kind::Forward => time_forward(&graph, &shape, target, &pictures, rounds)?,
            Kind::Train => time_training(&graph, &shape, target, &pictures, rounds)?,
        };
        if !magnitude.is_finite() || magnitude == 0.0 {
            return Err(BenchError::NoResult { net: self.net, size_px });
        }
        Ok(Timed { size_px, times_ms, flop })
    }
}

/// Passes of a dream step over a layer: forward, and to its input.
pub fn dream_passes(_: bool) -> u64 {
    2
}

/// Passes of a training step over a layer: forward, to its weights, and to its input unless nothing before it learns.
pub fn training_passes(is_first: bool) -> u64 {
    if is_first { 2 } else { 3 }
}

/// Floating-point operations of a step, as [`Measurement::gflops`](super::Measurement::gflops) counts them; `passes` of
/// a layer by whether nothing before it has weights.
pub fn step_flop(
    graph: &Graph,
    input: &Shape,
    target: NodeId,
    passes: impl Fn(bool) -> u64,
) -> Result<u64, GraphError> {
    const OPERATIONS_A_MAC: u64 = 2;
    let macs = graph.macs_for(input, &[target])?;
    let mut weights_before: Vec<bool> = Vec::new();
    let mut flop = 0;
    for (id, macs) in macs.iter().enumerate() {
        let inputs = &graph.node(id).inputs;
        let is_first = !inputs.iter().any(|&input| weights_before[input] || !graph.node(input).params.is_empty());
        weights_before.push(!is_first);
        flop += OPERATIONS_A_MAC * passes(is_first) * macs;
    }
    Ok(flop)
}

/// Step times in milliseconds, and the sum of the last result's magnitudes.
type Times = (Vec<f64>, f64);

fn time(rounds: usize, mut step: impl FnMut(u64) -> Result<(), BenchError>) -> Result<Vec<f64>, BenchError> {
    let mut times_ms = Vec::with_capacity(rounds);
    for round in 0..WARM_UP_STEPS + rounds {
        let start = Instant::now();
        step(round as u64)?;
        let elapsed = start.elapsed();
        if round >= WARM_UP_STEPS {
            times_ms.push(elapsed.as_secs_f64() * 1e3);
        }
    }
    Ok(times_ms)
}

fn magnitude(values: &[f32]) -> f64 {
    parallel::sum_of(values, |&value| f64::from(value).abs())
}

/// Takes the graph, whose weights are not needed once they are packed.
fn time_dream(
    graph: Arc<Graph>,
    shape: &Shape,
    target: NodeId,
    picture: &[f32],
    rounds: usize,
) -> Result<Times, BenchError> {
    let net = FrozenNet::lean(&graph, &[target]);
    drop(graph);
    let mut session = net.session(shape, true, None)?;
    let times_ms = time(rounds, |_| {
        session.input_mut().copy_from_slice(picture);
        session.forward();
        let (blob, seed) = session.blob_and_seed(target);
        seed.copy_from_slice(blob.data);
        session.backward(ReluRule::Gradient);
        Ok(())
    })?;
    Ok((times_ms, magnitude(session.d_input())))
}

fn time_forward(
    graph: &Arc<Graph>,
    shape: &Shape,
    target: NodeId,
    pictures: &[f32],
    rounds: usize,
) -> Result<Times, BenchError> {
    let mut session = FrozenNet::lean(graph, &[target]).session(shape, false, None)?;
    let times_ms = time(rounds, |_| {
        session.input_mut().copy_from_slice(pictures);
        session.forward();
        Ok(())
    })?;
    Ok((times_ms, magnitude(session.blob(target).data)))
}

fn time_training(
    graph: &Arc<Graph>,
    shape: &Shape,
    target: NodeId,
    pictures: &[f32],
    rounds: usize,
) -> Result<Times, BenchError> {
    let mut net = TrainingNet::new(graph.clone(), target, |_| true);
    let mut session = net.session(shape)?;
    let mut optimizer = Optimizer::new(Rule::Sgd { momentum: 0.9 });
    let classes = graph.shapes(shape)?[target].dims()[1];
    let labels: Vec<usize> = (0..shape.batch()).map(|sample| sample % classes).collect();
    let rates = Rates { learning: 1e-3, decay: 5e-4 };
    let times_ms = time(rounds, |step| {
        session.input_mut().copy_from_slice(pictures);
        session.forward(&mut net, Run { step, ..Run::default() });
        let (output, seed) = session.output_and_seed();
        Loss::SoftmaxCrossEntropy.value_and_gradient(output, Target::Labels(&labels), seed)?;
        session.backward(&mut net);
        net.update(&mut optimizer, |_| rates);
        Ok(())
    })?;
    let gradients = net.params().iter().map(|param| magnitude(&param.gradient));
    Ok((times_ms, gradients.sum()))
}
