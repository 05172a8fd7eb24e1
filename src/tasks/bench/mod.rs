//! How fast this machine dreams, looks and learns.
//!
//! A dream step is one step of gradient ascent without its picture work: the forward pass of one picture to a layer deep
//! in the net, ½‖activations‖² as the objective (whose gradient with respect to the activations is the activations), and
//! the gradient back to the picture. A forward pass is one of many pictures to the class scores, as fooling by evolution
//! runs it; a training step goes forward, takes the loss, goes back to all weights and updates them. `tests/benches`
//! measures the same in PyTorch.

mod memory;
mod nets;
mod peak;
mod work;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use nets::BenchNet;
pub use peak::peak_gflops;

use crate::base::parallel;
use crate::formats::architectures::ArchitectureError;
use crate::nn::graph::GraphError;
use work::Work;

const MAX_ROUNDS: usize = 100_000;
const SIZES_PX: std::ops::RangeInclusive<usize> = 32..=4096;

/// What is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Forward to a layer and the gradient back to the picture, for one picture of each size.
    Dream,
    /// Forward to the class scores, for a batch of pictures of the net's own size.
    Forward,
    /// A step of stochastic gradient descent, for a batch of pictures of the net's own size.
    Train,
}

impl Kind {
    pub const ALL: [Self; 3] = [Self::Dream, Self::Forward, Self::Train];

    pub fn name(self) -> &'static str {
        match self {
            Self::Dream => "dream",
            Self::Forward => "forward",
            Self::Train => "train",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Kind {
    type Err = BenchError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let unknown = || BenchError::UnknownKind { name: name.to_string() };
        Self::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(unknown)
    }
}

/// What to measure: all that each kind has for the nets, dream steps at every size.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BenchSpec {
    /// Default: all.
    pub kinds: Vec<Kind>,
    /// Default: all.
    pub nets: Vec<BenchNet>,
    /// Sides of the square pictures of dream steps, from 32 to 4096. Default: 224 and 512.
    pub sizes_px: Vec<usize>,
    /// Timed steps a measurement. Default: 7.
    pub rounds: usize,
}

impl Default for BenchSpec {
    fn default() -> Self {
        Self { kinds: Kind::ALL.to_vec(), nets: BenchNet::ALL.to_vec(), sizes_px: vec![224, 512], rounds: 7 }
    }
}

/// One net at one size.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Measurement {
    pub kind: Kind,
    pub net: BenchNet,
    pub size_px: usize,
    /// Pictures at once.
    pub batch: usize,
    /// Of one step; the upper median of an even number of rounds.
    pub median_ms: f64,
    pub min_ms: f64,
    /// 10⁹ operations a second at the median: two for each multiply-accumulate of convolutions and fully connected
    /// layers, in every direction that the step goes (forward, to the layer's input, to its weights), counted by
    /// definition ([`Graph::macs_for`](crate::nn::graph::Graph::macs_for)). An algorithm that gets by with fewer, such
    /// as Winograd's, may thus exceed the peak of the machine.
    pub gflops: f64,
    /// `gflops` divided by [`peak_gflops`], which is measured once before.
    pub share_of_peak: f64,
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
    #[error("there is no kind of benchmark `{name}`; there are {}", Kind::ALL.map(Kind::name).join(", "))]
    UnknownKind { name: String },
    #[error("a picture of {size_px} pixels a side cannot be measured; choose from {} to {}", SIZES_PX.start(), SIZES_PX.end())]
    Size { size_px: usize },
    #[error("{rounds} rounds cannot be measured; choose from 1 to {MAX_ROUNDS}")]
    Rounds { rounds: usize },
    #[error("the benchmark names no {0}")]
    Nothing(&'static str),
    #[error("none of these nets is measured by {}; leave out the kinds or the nets", names(.kinds))]
    NothingOfKinds { kinds: Vec<Kind> },
    #[error("{net} at {size_px} pixels gave nothing but noughts or no numbers, so its time would mean nothing")]
    NoResult { net: BenchNet, size_px: usize },
    #[error("the net {net} cannot be opened: {source}")]
    Shipped { net: BenchNet, source: Box<dyn std::error::Error + Send + Sync> },
    #[error(transparent)]
    Architecture(#[from] ArchitectureError),
    #[error(transparent)]
    Graph(#[from] GraphError),
    #[error(transparent)]
    Loss(#[from] crate::nn::loss::LossError),
}

fn names(kinds: &[Kind]) -> String {
    kinds.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(" or ")
}

impl BenchSpec {
    /// Refuses what [`run`] would only find out after minutes.
    pub fn validate(&self) -> Result<(), BenchError> {
        if self.kinds.is_empty() {
            return Err(BenchError::Nothing("kind"));
        }
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
        if self.works().is_empty() {
            return Err(BenchError::NothingOfKinds { kinds: self.kinds.clone() });
        }
        Ok(())
    }

    /// What is measured, in order.
    fn works(&self) -> Vec<Work> {
        let of_kind = |kind: Kind| {
            self.nets.iter().flat_map(move |&net| match kind {
                Kind::Dream => match net.target() {
                    Some(target) => self.sizes_px.iter().map(|&size_px| Work::dream(net, target, size_px)).collect(),
                    None => Vec::new(),
                },
                Kind::Forward => net.forward_batch().map(|batch| Work::forward(net, batch)).into_iter().collect(),
                Kind::Train => net.training_batch().map(|batch| Work::train(net, batch)).into_iter().collect(),
            })
        };
        self.kinds.iter().flat_map(|&kind| of_kind(kind)).collect()
    }
}

/// Measures and reports one by one.
pub fn run(spec: &BenchSpec, report: &mut dyn FnMut(&Measurement)) -> Result<(), BenchError> {
    spec.validate()?;
    let peak = peak_gflops();
    for work in spec.works() {
        report(&measure(&work, spec.rounds, peak)?);
    }
    Ok(())
}

/// Builds a net from scratch, so that no measurement's memory depends on those before it, and times its steps.
fn measure(work: &Work, rounds: usize, peak_gflops: f64) -> Result<Measurement, BenchError> {
    let can_tell_peak = memory::reset_peak();
    let timed = work.time(rounds)?;
    let mut times_ms = timed.times_ms;
    times_ms.sort_by(f64::total_cmp);
    let median_ms = times_ms[rounds / 2];
    let gflops = timed.flop as f64 / (median_ms * 1e6);
    Ok(Measurement {
        kind: work.kind,
        net: work.net,
        size_px: timed.size_px,
        batch: work.batch,
        median_ms: rounded(median_ms, 3),
        min_ms: rounded(times_ms[0], 3),
        gflops: rounded(gflops, 1),
        share_of_peak: rounded(gflops / peak_gflops, 3),
        peak_mb: can_tell_peak.and_then(|()| memory::peak_bytes()).map(|bytes| rounded(bytes as f64 / 1e6, 1)),
        rounds,
        threads: parallel::threads(),
    })
}

fn rounded(value: f64, decimals: i32) -> f64 {
    let unit = 10f64.powi(decimals);
    (value * unit).round() / unit
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::tensor::Shape;

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
            (BenchSpec { rounds: 0, ..spec.clone() }, "0 rounds cannot be measured; choose from 1 to 100000"),
            (
                BenchSpec { kinds: vec![Kind::Train, Kind::Forward], nets: vec![BenchNet::Vgg16], ..spec },
                "none of these nets is measured by train or forward; leave out the kinds or the nets",
            ),
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
            let target = graph.find(net.target().unwrap()).unwrap();
            work::step_flop(&graph, &Shape::maps(1, 3, 64, 64), target, work::dream_passes).unwrap()
        };
        assert_eq!(counted.map(|(net, _)| (net, flop_of(net))), counted);
    }

    #[test]
    fn every_net_is_measured_at_every_size_in_order() {
        let nets = vec![BenchNet::SqueezeNet, BenchNet::Lite0];
        let spec = BenchSpec { kinds: vec![Kind::Dream], nets, sizes_px: vec![48, 32], rounds: 2 };
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
    fn small_nets_look_and_learn_in_batches() {
        let nets = vec![BenchNet::LeNet, BenchNet::Cifar10Quick];
        let spec = BenchSpec { kinds: vec![Kind::Forward, Kind::Train], nets, rounds: 1, ..BenchSpec::default() };
        let mut measurements = Vec::new();
        run(&spec, &mut |m| measurements.push((m.kind, m.net, m.size_px, m.batch))).unwrap();
        let expected = [
            (Kind::Forward, BenchNet::LeNet, 28, 400),
            (Kind::Train, BenchNet::LeNet, 28, 64),
            (Kind::Train, BenchNet::Cifar10Quick, 32, 64),
        ];
        assert_eq!(measurements, expected);
    }

    /// The convolutions and inner products of one picture, counted by hand: 5 · 5 · 1 · 20 taps at 24 × 24 pixels, and
    /// so on. The first layer needs no gradient of its input.
    #[test]
    fn a_training_step_goes_through_all_but_the_first_layer_thrice() {
        let graph = BenchNet::LeNet.build().unwrap();
        let macs = [500 * 576, 20 * 50 * 25 * 64, 800 * 500, 500 * 10];
        let expected = 2 * (2 * macs[0] + 3 * (macs[1] + macs[2] + macs[3]));
        let input = Shape::maps(1, 1, 28, 28);
        assert_eq!(work::step_flop(&graph, &input, graph.logits(), work::training_passes).unwrap(), expected);
    }

    #[test]
    fn a_measurement_is_one_line_of_json() {
        let measurement = Measurement {
            kind: Kind::Dream,
            net: BenchNet::Vgg16,
            size_px: 224,
            batch: 1,
            median_ms: rounded(12.34567, 3),
            min_ms: 12.0,
            gflops: 100.5,
            share_of_peak: 0.5,
            peak_mb: None,
            rounds: 7,
            threads: 2,
        };
        let expected = r#"{"kind":"dream","net":"vgg16","size_px":224,"batch":1,"median_ms":12.346,"min_ms":12.0,"gflops":100.5,"share_of_peak":0.5,"peak_mb":null,"rounds":7,"threads":2}"#;
        assert_eq!(serde_json::to_string(&measurement).unwrap(), expected);
    }
}
