//! How fast this machine dreams: one step of gradient ascent without its picture work.
//!
//! A step is the forward pass of one picture to a layer deep in the net, ½‖activations‖² as the objective (whose gradient
//! with respect to the activations is the activations), and the gradient back to the picture. `tests/benches` measures
//! the same steps in PyTorch.

mod memory;
mod nets;

use std::time::Instant;

use rand::RngExt as _;
use serde::{Deserialize, Serialize};

pub use nets::BenchNet;

use crate::base::parallel;
use crate::base::rng::{Stream, rng};
use crate::base::tensor::Shape;
use crate::formats::architectures::ArchitectureError;
use crate::nn::exec::{FrozenNet, Session};
use crate::nn::graph::{Graph, GraphError, NodeId};
use crate::nn::ops::ReluRule;

/// Steps before the clock counts: they fault memory in and pack weights.
const WARM_UP_STEPS: usize = 2;
const MAX_ROUNDS: usize = 100_000;
const SIZES_PX: std::ops::RangeInclusive<usize> = 32..=4096;

/// What to measure: every net at every size.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BenchSpec {
    /// Default: all.
    pub nets: Vec<BenchNet>,
    /// Sides of square pictures, from 32 to 4096. Default: 224 and 512.
    pub sizes_px: Vec<usize>,
    /// Timed steps a measurement. Default: 7.
    pub rounds: usize,
}

impl Default for BenchSpec {
    fn default() -> Self {
        Self { nets: BenchNet::ALL.to_vec(), sizes_px: vec![224, 512], rounds: 7 }
    }
}

/// One net at one size.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Measurement {
    pub net: BenchNet,
    pub size_px: usize,
    /// Of one step; the upper median of an even number of rounds.
    pub median_ms: f64,
    pub min_ms: f64,
    /// 10⁹ operations a second at the median: two for each multiply-accumulate of the convolutions up to the layer,
    /// forward and again for the gradient of their input, counted by definition ([`Graph::macs_for`]). An algorithm
    /// that gets by with fewer, such as Winograd's, may thus exceed the peak of the machine.
    pub gflops: f64,
    /// The peak of the whole process's resident memory (10⁶ bytes) from before the net is built to after the last step;
    /// absent where the system does not tell.
    pub peak_mb: Option<f64>,
    pub rounds: usize,
    pub threads: usize,
}

#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    #[error("there is no benchmark net `{name}`; there are {}", BenchNet::ALL.map(BenchNet::name).join(", "))]
    UnknownNet { name: String },
    #[error("a picture of {size_px} pixels a side cannot be measured; choose from {} to {}", SIZES_PX.start(), SIZES_PX.end())]
    Size { size_px: usize },
    #[error("{rounds} rounds cannot be measured; choose from 1 to {MAX_ROUNDS}")]
    Rounds { rounds: usize },
    #[error("the benchmark names no {0}")]
    Nothing(&'static str),
    #[error("{net} at {size_px} pixels gave no gradient, so its time would mean nothing")]
    NoGradient { net: BenchNet, size_px: usize },
    #[error("the net {net} cannot be opened: {source}")]
    Shipped { net: BenchNet, source: Box<dyn std::error::Error + Send + Sync> },
    #[error(transparent)]
    Architecture(#[from] ArchitectureError),
    #[error(transparent)]
    Graph(#[from] GraphError),
}

impl BenchSpec {
    /// Refuses what [`run`] would only find out after minutes.
    pub fn validate(&self) -> Result<(), BenchError> {
        if self.nets.is_empty() {
            return Err(BenchError::Nothing("net"));
        }
        if self.sizes_px.is_empty() {
            return Err(BenchError::Nothing("picture size"));
        }
        if let Some(&size_px) = self.sizes_px.iter().find(|size| !SIZES_PX.contains(size)) {
            return Err(BenchError::Size { size_px });
        }
        if !(1..=MAX_ROUNDS).contains(&self.rounds) {
            return Err(BenchError::Rounds { rounds: self.rounds });
        }
        Ok(())
    }
}

/// Measures and reports one by one.
pub fn run(spec: &BenchSpec, report: &mut dyn FnMut(&Measurement)) -> Result<(), BenchError> {
    spec.validate()?;
    for &net in &spec.nets {
        for &size_px in &spec.sizes_px {
            report(&measure(net, size_px, spec.rounds)?);
        }
    }
    Ok(())
}

/// Builds a net from scratch, so that no measurement's memory depends on those before it, and times its steps.
fn measure(net: BenchNet, size_px: usize, rounds: usize) -> Result<Measurement, BenchError> {
    let can_tell_peak = memory::reset_peak();
    let graph = net.build()?;
    let target = graph.find(net.target())?;
    let shape = Shape::maps(1, 3, size_px, size_px);
    let flop = step_flop(&graph, &shape, target)?;
    let frozen = FrozenNet::lean(&graph, &[target]);
    drop(graph);
    let mut session = frozen.session(&shape, true, None)?;

    let mut random = rng(0, Stream::Noise, 0);
    let picture: Vec<f32> = (0..shape.len()).map(|_| random.random_range(-1.0..1.0)).collect();
    let mut times_ms = Vec::with_capacity(rounds);
    for round in 0..WARM_UP_STEPS + rounds {
        session.input_mut().copy_from_slice(&picture);
        let start = Instant::now();
        step(&mut session, target);
        let elapsed = start.elapsed();
        if round >= WARM_UP_STEPS {
            times_ms.push(elapsed.as_secs_f64() * 1e3);
        }
    }
    let magnitude = parallel::sum_of(session.d_input(), |&d| f64::from(d).abs());
    if !magnitude.is_finite() || magnitude == 0.0 {
        return Err(BenchError::NoGradient { net, size_px });
    }
    times_ms.sort_by(f64::total_cmp);
    let median_ms = times_ms[rounds / 2];
    Ok(Measurement {
        net,
        size_px,
        median_ms: rounded(median_ms, 3),
        min_ms: rounded(times_ms[0], 3),
        gflops: rounded(flop as f64 / (median_ms * 1e6), 1),
        peak_mb: can_tell_peak.and_then(|()| memory::peak_bytes()).map(|bytes| rounded(bytes as f64 / 1e6, 1)),
        rounds,
        threads: parallel::threads(),
    })
}

fn step(session: &mut Session, target: NodeId) {
    session.forward();
    let (blob, seed) = session.blob_and_seed(target);
    seed.copy_from_slice(blob.data);
    session.backward(ReluRule::Gradient);
}

/// Floating-point operations of a step, as [`Measurement::gflops`] counts them.
fn step_flop(graph: &Graph, input: &Shape, target: NodeId) -> Result<u64, GraphError> {
    const OPERATIONS_A_MAC: u64 = 2;
    const FORWARD_AND_BACKWARD: u64 = 2;
    let macs: u64 = graph.macs_for(input, &[target])?.iter().sum();
    Ok(FORWARD_AND_BACKWARD * OPERATIONS_A_MAC * macs)
}

fn rounded(value: f64, decimals: i32) -> f64 {
    let unit = 10f64.powi(decimals);
    (value * unit).round() / unit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_specs_are_refused() {
        let spec = BenchSpec::default();
        spec.validate().unwrap();
        let cases = [
            (BenchSpec { nets: vec![], ..spec.clone() }, "the benchmark names no net"),
            (BenchSpec { sizes_px: vec![], ..spec.clone() }, "the benchmark names no picture size"),
            (
                BenchSpec { sizes_px: vec![224, 8], ..spec.clone() },
                "a picture of 8 pixels a side cannot be measured; choose from 32 to 4096",
            ),
            (BenchSpec { rounds: 0, ..spec }, "0 rounds cannot be measured; choose from 1 to 100000"),
        ];
        for (spec, expected) in cases {
            assert_eq!(spec.validate().unwrap_err().to_string(), expected);
        }
    }

    /// Against PyTorch 2.15's `torch.utils.flop_counter.FlopCounterMode` around the step of `tests/benches/torch_step.py`
    /// at 64 pixels.
    #[test]
    fn operations_agree_with_pytorchs_count() {
        let counted = [
            (BenchNet::Lite0, 68_725_760),
            (BenchNet::GoogLeNet, 363_872_256),
            (BenchNet::Vgg16, 4_709_154_816),
            (BenchNet::ResNet50, 1_070_333_952),
            (BenchNet::SqueezeNet, 67_906_304),
        ];
        let flop_of = |net: BenchNet| {
            let graph = net.build().unwrap();
            step_flop(&graph, &Shape::maps(1, 3, 64, 64), graph.find(net.target()).unwrap()).unwrap()
        };
        assert_eq!(counted.map(|(net, _)| (net, flop_of(net))), counted);
    }

    #[test]
    fn every_net_is_measured_at_every_size_in_order() {
        let nets = vec![BenchNet::SqueezeNet, BenchNet::Lite0];
        let spec = BenchSpec { nets, sizes_px: vec![48, 32], rounds: 2 };
        let mut measurements = Vec::new();
        run(&spec, &mut |measurement| measurements.push(measurement.clone())).unwrap();
        let order: Vec<(BenchNet, usize)> = measurements.iter().map(|m| (m.net, m.size_px)).collect();
        let [first, second] = [BenchNet::SqueezeNet, BenchNet::Lite0];
        assert_eq!(order, [(first, 48), (first, 32), (second, 48), (second, 32)]);
        for measurement in measurements {
            let Measurement { median_ms, min_ms, gflops, peak_mb, rounds, .. } = measurement.clone();
            let sane = 0.0 < min_ms && min_ms <= median_ms && gflops >= 0.0 && rounds == 2;
            assert!(sane && peak_mb.is_none_or(|peak_mb| peak_mb > 1.0), "{measurement:?}");
        }
    }

    #[test]
    fn a_measurement_is_one_line_of_json() {
        let measurement = Measurement {
            net: BenchNet::Vgg16,
            size_px: 224,
            median_ms: rounded(12.34567, 3),
            min_ms: 12.0,
            gflops: 100.5,
            peak_mb: None,
            rounds: 7,
            threads: 2,
        };
        let expected = r#"{"net":"vgg16","size_px":224,"median_ms":12.346,"min_ms":12.0,"gflops":100.5,"peak_mb":null,"rounds":7,"threads":2}"#;
        assert_eq!(serde_json::to_string(&measurement).unwrap(), expected);
    }
}
