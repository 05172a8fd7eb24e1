//! EfficientNet-Lite0 against PyTorch in f64, on photos, through both plans.
//!
//! `tests/refs/lite0.py` makes the expected values and says which of them f32 rounding leaves undecided.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use oneiric::base::tensor::{Shape, nchw_from_nhwc};
use oneiric::nn::exec::FrozenNet;
use oneiric::nn::exec::reference::Reference;
use oneiric::nn::graph::{Graph, NodeId};
use oneiric::nn::ops::{ReluRule, Run};
use oneiric::tasks::catalogue;
use safetensors::SafeTensors;

pub fn golden_path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/golden").join(name)
}

/// What a tensor must agree with: every `stride`-th value from the first on.
struct Expected {
    values: Vec<f32>,
    stride: usize,
    /// One a value; empty where all are decided.
    undecided: Vec<bool>,
}

struct Fixtures {
    bytes: Vec<u8>,
}

impl Fixtures {
    fn load() -> Self {
        Self { bytes: std::fs::read(golden_path("lite0.safetensors")).unwrap() }
    }

    /// `None` where the fixtures have no such tensor. `len` is the length of the whole tensor.
    fn expected(&self, name: &str, len: usize) -> Option<Expected> {
        let tensors = SafeTensors::deserialize(&self.bytes).unwrap();
        let values = tensors.tensor(name).ok()?;
        let values: Vec<f32> = values.data().as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        let stride = if values.len() == len { 1 } else { 13 };
        assert_eq!(values.len(), len.div_ceil(stride), "{name}");
        let undecided = match tensors.tensor(&format!("{name}/undecided")) {
            Ok(bits) => (0..values.len()).map(|i| bits.data()[i / 8] >> (i % 8) & 1 == 1).collect(),
            Err(_) => Vec::new(),
        };
        Some(Expected { values, stride, undecided })
    }
}

/// A case: a crop from the top left of a golden photo.
const CASES: [(&str, usize, usize); 5] =
    [("china", 224, 224), ("flower", 224, 224), ("chelsea", 224, 224), ("china", 160, 224), ("chelsea", 161, 223)];

/// The crop in net space, NHWC.
fn input(graph: &Graph, photo: &str, height: usize, width: usize) -> Vec<f32> {
    let picture = image::open(golden_path(&format!("{photo}.png"))).unwrap().into_rgb8();
    let preprocess = graph.preprocess();
    let crop = image::imageops::crop_imm(&picture, 0, 0, width as u32, height as u32).to_image();
    let bytes = crop.as_raw().iter().enumerate();
    bytes.map(|(i, &byte)| (f32::from(byte) - preprocess.mean[i % 3]) * preprocess.scale[i % 3]).collect()
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Target {
    /// The largest logit.
    Logits,
    /// Half the sum of squares of block 7's output.
    Block7,
}

impl Target {
    fn names(self) -> [&'static str; 2] {
        match self {
            Self::Logits => ["logits", "d_logit"],
            Self::Block7 => ["block7", "d_block7"],
        }
    }

    /// The gradient of the objective with respect to the blob.
    fn seed(self, blob: &[f64]) -> Vec<f64> {
        match self {
            Self::Logits => {
                let top = argmax(blob);
                (0..blob.len()).map(|i| f64::from(i == top)).collect()
            }
            Self::Block7 => blob.to_vec(),
        }
    }
}

fn argmax(values: &[f64]) -> usize {
    (0..values.len()).max_by(|&a, &b| values[a].total_cmp(&values[b])).unwrap()
}

/// A blob and the gradient with respect to the input, both flattened from NCHW.
struct Outcome {
    blob: Vec<f64>,
    d_input: Vec<f64>,
}

fn nchw(shape: &Shape, values: &[f64]) -> Vec<f64> {
    nchw_from_nhwc(shape.as_maps().unwrap(), values)
}

fn run_frozen(graph: &Arc<Graph>, target: Target, node: NodeId, shape: &Shape, input: &[f32]) -> Outcome {
    let widen = |values: &[f32]| values.iter().map(|&value| f64::from(value)).collect::<Vec<_>>();
    let net = FrozenNet::new(graph.clone(), &[node]);
    let mut session = net.session(shape, true, None).unwrap();
    session.input_mut().copy_from_slice(input);
    session.forward();
    let (blob, seed) = session.blob_and_seed(node);
    let (blob_shape, blob) = (blob.shape.clone(), widen(blob.data));
    seed.iter_mut().zip(target.seed(&blob)).for_each(|(seed, value)| *seed = value as f32);
    session.backward(ReluRule::Gradient);
    Outcome { blob: nchw(&blob_shape, &blob), d_input: nchw(shape, &widen(session.d_input())) }
}

fn run_reference(graph: &Arc<Graph>, target: Target, node: NodeId, shape: &Shape, input: &[f32]) -> Outcome {
    let input: Vec<f64> = input.iter().map(|&value| f64::from(value)).collect();
    let mut plan = Reference::<f64>::new(graph);
    plan.forward(shape, &input, &[node], Run::default()).unwrap();
    let blob = plan.blob(node).unwrap();
    let (blob_shape, blob) = (blob.shape.clone(), blob.data.to_vec());
    plan.backward(&[(node, target.seed(&blob))], |_| false);
    Outcome { blob: nchw(&blob_shape, &blob), d_input: nchw(shape, plan.d_input()) }
}

type Plan = fn(&Arc<Graph>, Target, NodeId, &Shape, &[f32]) -> Outcome;

/// The largest difference over the largest expected value, and the L2 norm of the difference over that of the expected.
fn errors(got: &[f64], expected: &Expected, skip_undecided: bool) -> [f64; 2] {
    let got: Vec<f64> = got.iter().copied().step_by(expected.stride).collect();
    assert_eq!(got.len(), expected.values.len());
    let (mut largest, mut worst, mut squares, mut difference_squares) = (0.0f64, 0.0f64, 0.0, 0.0);
    for (i, (got, &want)) in got.iter().zip(&expected.values).enumerate() {
        let want = f64::from(want);
        largest = largest.max(want.abs());
        if skip_undecided && expected.undecided.get(i) == Some(&true) {
            continue;
        }
        let difference = got - want;
        // `max` would drop a NaN.
        worst = if difference.abs() <= worst { worst } else { difference.abs() };
        squares += want * want;
        difference_squares += difference * difference;
    }
    [worst / largest, (difference_squares / squares).sqrt()]
}

/// Runs a plan on all cases; `tolerance` bounds both measures of [`errors`].
fn agrees_with_pytorch(plan: Plan, tolerance: f64, skip_undecided: bool) {
    let (graph, fixtures) = (catalogue::open("efficientnet-lite0").unwrap(), Fixtures::load());
    let (mut failures, mut compared) = (Vec::new(), 0);
    for (photo, height, width) in CASES {
        let (shape, input) = (Shape::maps(1, 3, height, width), input(&graph, photo, height, width));
        let targets: &[Target] =
            if [height, width] == graph.input().size { &[Target::Logits, Target::Block7] } else { &[Target::Block7] };
        for &target in targets {
            let [blob_name, gradient_name] = target.names();
            let node = graph.find(blob_name).unwrap();
            let outcome = plan(&graph, target, node, &shape, &input);
            for (name, got) in [(blob_name, &outcome.blob), (gradient_name, &outcome.d_input)] {
                let name = format!("{photo}_{height}x{width}/{name}");
                let expected = fixtures.expected(&name, got.len()).expect("a fixture of that name");
                let decided = expected.undecided.iter().filter(|&&undecided| !undecided).count();
                assert!(expected.undecided.is_empty() || decided * 20 > expected.values.len() * 19, "{name}");
                let [largest, l2] = errors(got, &expected, skip_undecided);
                println!("{name}: {largest:.1e} of the largest value, {l2:.1e} in L2");
                if !(largest <= tolerance && l2 <= tolerance) {
                    failures.push(format!("{name}: {largest:.1e} of the largest value, {l2:.1e} in L2"));
                }
                if target == Target::Logits && name.ends_with("/logits") {
                    let want: Vec<f64> = expected.values.iter().map(|&value| f64::from(value)).collect();
                    if argmax(got) != argmax(&want) {
                        failures.push(format!("{name}: first class {}, not {}", argmax(got), argmax(&want)));
                    }
                }
                compared += 1;
            }
        }
    }
    assert_eq!(compared, 16);
    assert!(failures.is_empty(), "{failures:#?}");
}

/// In f32, wherever rounding does not decide on which side of a kink an activation lies.
#[test]
fn the_frozen_plan_agrees_with_pytorch() {
    agrees_with_pytorch(run_frozen, 1e-3, true);
}

/// In f64, everywhere; the fixtures themselves are rounded to f32.
#[test]
fn the_reference_plan_agrees_with_pytorch() {
    agrees_with_pytorch(run_reference, 1e-6, false);
}

#[test]
fn photos_are_what_they_are() {
    let graph = catalogue::open("lite0").unwrap();
    let expected = [("china", "palace"), ("flower", "daisy"), ("chelsea", "tiger cat")];
    for (photo, label) in expected {
        let net = FrozenNet::new(graph.clone(), &[graph.output()]);
        let mut session = net.session(&Shape::maps(1, 3, 224, 224), false, None).unwrap();
        session.input_mut().copy_from_slice(&input(&graph, photo, 224, 224));
        session.forward();
        let probabilities: Vec<f64> = session.blob(graph.output()).data.iter().map(|&p| f64::from(p)).collect();
        assert_eq!(graph.labels()[argmax(&probabilities)], label, "{photo}");
        let sum: f64 = probabilities.iter().sum();
        assert!((sum - 1.0).abs() <= 1e-5, "{photo}: probabilities add up to {sum}");
    }
}
