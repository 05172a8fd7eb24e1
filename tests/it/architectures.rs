//! Whole nets against PyTorch: samples of a deep layer, and of the gradient that it sends to the picture.
//!
//! `tests/refs/architectures.py` made the expected values in f64 and holds the same formulas. The plain executor must
//! repeat them in f64. The frozen plan works in f32, where a few of the hundreds of thousands of units lie so near a
//! kink (a ReLU at 0, two equal winners of a pool) that rounding moves them across; each changes the gradient in the
//! patch of the picture that it sees. Its gradient is therefore held to a norm, not to a largest difference.

use std::path::Path;
use std::sync::Arc;

use oneiric::base::tensor::{Shape, nchw_from_nhwc, nhwc_from_nchw};
use oneiric::formats::architectures::{
    Architecture, ArchitectureError, IMAGENET_CLASSES, ParamRole, ParamSource, ParamSpec,
};
use oneiric::nn::exec::FrozenNet;
use oneiric::nn::exec::reference::Reference;
use oneiric::nn::graph::{Graph, Node, NodeId};
use oneiric::nn::ops::batch_norm::BatchNorm;
use oneiric::nn::ops::conv::Conv2d;
use oneiric::nn::ops::dropout::Dropout;
use oneiric::nn::ops::window::Padding;
use oneiric::nn::ops::{Op, ReluRule, Run};
use safetensors::SafeTensors;

const SAMPLE_STRIDE: usize = 7919;

/// The fixture is rounded to f32.
const F64_TOLERANCE: f64 = 1e-6;
const F32_TOLERANCE: f64 = 1e-4;
/// Two or three units on the wrong side of a kink; a wrong border or a lost channel is ten times that.
const F32_GRADIENT_TOLERANCE: f64 = 2e-2;

fn fixture() -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/architectures.safetensors")).unwrap()
}

/// The 64-bit FNV-1a hash.
fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Numbers in [−1, 1) on 2²⁴ steps: the top bits of SplitMix64 started at the hash of the name.
fn noise(name: &str, count: usize) -> impl Iterator<Item = f64> {
    let start = fnv1a(name);
    (1..=count as u64).map(move |i| {
        let mut z = start.wrapping_add(i.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        (z >> 40) as f64 / f64::from(1 << 23) - 1.0
    })
}

struct NoiseParams;

impl ParamSource for NoiseParams {
    fn take(&mut self, wanted: &ParamSpec) -> Result<Arc<[f32]>, ArchitectureError> {
        let (offset, factor) = match wanted.role {
            ParamRole::Weight => (0.0, (6.0 / wanted.fan_in() as f64).sqrt()),
            ParamRole::Gamma => (1.0, 0.25),
            ParamRole::Variance => (1.0, 0.5),
            ParamRole::Bias | ParamRole::Beta | ParamRole::Mean => (0.0, 0.1),
        };
        Ok(noise(&wanted.name, wanted.len()).map(|value| (offset + factor * value) as f32).collect())
    }
}

/// A net to a layer, and its picture, NHWC.
struct Case {
    graph: Arc<Graph>,
    target: NodeId,
    dims: [usize; 4],
    shape: Shape,
    picture: Vec<f64>,
}

/// The blob of the layer, and the gradient of half its squared norm with respect to the picture, both NCHW.
struct Outcome {
    blob: Vec<f64>,
    d_input: Vec<f64>,
}

impl Case {
    fn new(architecture: &str, node: &str, [height, width]: [usize; 2]) -> Self {
        let blueprint = architecture.parse::<Architecture>().unwrap().blueprint(IMAGENET_CLASSES);
        let graph = Arc::new(blueprint.up_to(node).unwrap().build(&mut NoiseParams, Vec::new()).unwrap());
        let target = graph.find(node).unwrap();
        let dims = [1, 3, height, width];
        let picture: Vec<f64> = noise("input", dims.iter().product()).collect();
        Self { graph, target, dims, shape: Shape::new(&dims).unwrap(), picture: nhwc_from_nchw(dims, &picture) }
    }

    fn run_plainly(&self) -> Outcome {
        let mut reference = Reference::<f64>::new(&self.graph);
        reference.forward(&self.shape, &self.picture, &[self.target], Run::default()).unwrap();
        let blob = reference.blob(self.target).unwrap();
        let dims = blob.shape.as_maps().unwrap();
        let seed = blob.data.to_vec();
        reference.backward(&[(self.target, seed.clone())], |_| false);
        Outcome { blob: nchw_from_nhwc(dims, &seed), d_input: nchw_from_nhwc(self.dims, reference.d_input()) }
    }

    fn run_frozen(&self) -> Outcome {
        let frozen = FrozenNet::new(self.graph.clone(), &[self.target]);
        let mut session = frozen.session(&self.shape, true, None).unwrap();
        let picture: Vec<f32> = self.picture.iter().map(|&value| value as f32).collect();
        session.input_mut().copy_from_slice(&picture);
        session.forward();
        let (blob, seed) = session.blob_and_seed(self.target);
        seed.copy_from_slice(blob.data);
        let blob = nchw_from_nhwc(blob.shape.as_maps().unwrap(), blob.data);
        session.backward(ReluRule::Gradient);
        let d_input = nchw_from_nhwc(self.dims, session.d_input());
        let wide = |values: Vec<f32>| values.into_iter().map(f64::from).collect();
        Outcome { blob: wide(blob), d_input: wide(d_input) }
    }
}

/// The differences at the sampled places.
fn differences(got_nchw: &[f64], expected: &[f64]) -> Vec<f64> {
    let sample = |i: usize| got_nchw[i * SAMPLE_STRIDE % got_nchw.len()];
    expected.iter().enumerate().map(|(i, expected)| sample(i) - expected).collect()
}

/// NaN if any value is.
fn largest(values: &[f64]) -> f64 {
    values
        .iter()
        .fold(0.0, |max: f64, value| if value.is_nan() || max.is_nan() { f64::NAN } else { max.max(value.abs()) })
}

fn norm(values: &[f64]) -> f64 {
    values.iter().map(|value| value * value).sum::<f64>().sqrt()
}

#[test]
fn whole_nets_agree_with_torchvision() {
    let bytes = fixture();
    let stored = SafeTensors::deserialize(&bytes).unwrap();
    let load = |name: String| -> Vec<f64> {
        let bytes = stored.tensor(&name).unwrap().data().chunks_exact(4);
        bytes.map(|b| f64::from(f32::from_le_bytes([b[0], b[1], b[2], b[3]]))).collect()
    };
    let mut names: Vec<&str> = stored.names().into_iter().filter_map(|name| name.strip_suffix("/blob")).collect();
    names.sort_unstable();
    assert_eq!(names.len(), 23);
    let mut failures = Vec::new();
    for name in names {
        let [architecture, node, size] = name.split('/').collect::<Vec<_>>().try_into().unwrap();
        let (height, width) = size.split_once('x').unwrap();
        let case = Case::new(architecture, node, [height, width].map(|side| side.parse().unwrap()));
        let (blob, d_input) = (load(format!("{name}/blob")), load(format!("{name}/d_input")));
        let largest_error = |got: &[f64], expected: &[f64]| largest(&differences(got, expected)) / largest(expected);
        let (plain, frozen) = (case.run_plainly(), case.run_frozen());
        let checks = [
            ("blob, plain f64", largest_error(&plain.blob, &blob), F64_TOLERANCE),
            ("gradient, plain f64", largest_error(&plain.d_input, &d_input), F64_TOLERANCE),
            ("blob, frozen f32", largest_error(&frozen.blob, &blob), F32_TOLERANCE),
            (
                "gradient, frozen f32",
                norm(&differences(&frozen.d_input, &d_input)) / norm(&d_input),
                F32_GRADIENT_TOLERANCE,
            ),
        ];
        for (what, error, tolerance) in checks {
            let agrees = error <= tolerance;
            if !agrees {
                failures.push(format!("{name}: {what}: off by {error:.1e}"));
            }
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

/// A digest of lines, whatever their order.
fn digest(lines: impl Iterator<Item = String>) -> String {
    let mut lines: Vec<String> = lines.map(|line| line + "\n").collect();
    lines.sort_unstable();
    format!("{:016x}", fnv1a(&lines.concat()))
}

fn parameter_line(spec: &ParamSpec) -> String {
    let dims: Vec<String> = spec.shape.iter().map(usize::to_string).collect();
    format!("{} {}", spec.name, dims.join("x"))
}

/// What no shape tells of a convolution, a batch norm or a dropout, by the name of torchvision's module: a node that is
/// the output of a block has the block's.
fn settings_line(node: &Node) -> Option<String> {
    let module = node.params.first().and_then(|weight| weight.strip_suffix(".weight")).unwrap_or(&node.name);
    Some(match &node.op {
        Op::Conv2d(Conv2d { window, groups }) => {
            let ([down, right], [y, x]) = (window.stride, window.dilation);
            let Padding::Explicit { top, left, bottom, right: after } = window.padding else {
                panic!("{module} pads as PyTorch cannot");
            };
            assert_eq!([bottom, after], [top, left], "{module}");
            format!("{module} stride {down} {right} padding {top} {left} dilation {y} {x} groups {groups}")
        }
        Op::BatchNorm(BatchNorm { epsilon }) => format!("{module} epsilon 1/{}", (1.0 / epsilon).round()),
        Op::Dropout(Dropout { rate }) => format!("{module} rate {}", (100.0 * rate).round()),
        _ => return None,
    })
}

#[test]
fn parameters_and_settings_are_those_of_torchvisions_modules() {
    let bytes = fixture();
    let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
    let digests = metadata.metadata().as_ref().unwrap();
    assert_eq!(digests.len(), 2 * Architecture::ALL.len());
    let mut failures = Vec::new();
    for architecture in Architecture::ALL {
        let blueprint = architecture.blueprint(IMAGENET_CLASSES);
        let params = digest(blueprint.params().iter().map(parameter_line));
        let settings = digest(blueprint.nodes().iter().filter_map(settings_line));
        for (what, got) in [("params", params), ("settings", settings)] {
            let name = format!("{architecture}/{what}");
            if got != digests[&name] {
                failures.push(name);
            }
        }
    }
    assert!(failures.is_empty(), "{failures:?}");
}
