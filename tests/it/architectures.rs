//! Whole nets against PyTorch: samples of a deep layer, and of the gradient that it sends to the picture.
//!
//! `tests/refs/architectures.py` made the expected values and holds the same formulas.

use std::path::Path;
use std::sync::Arc;

use oneiric::base::tensor::{Shape, nchw_from_nhwc, nhwc_from_nchw};
use oneiric::formats::architectures::{
    Architecture, ArchitectureError, Blueprint, IMAGENET_CLASSES, ParamRole, ParamSource, ParamSpec,
};
use oneiric::nn::exec::FrozenNet;
use oneiric::nn::ops::ReluRule;
use safetensors::SafeTensors;

const HEIGHT: usize = 64;
const WIDTH: usize = 96;
const SAMPLE_STRIDE: usize = 7919;
/// Of the largest expected value.
const TOLERANCE: f64 = 1e-4;

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

fn sample(values_nchw: &[f32], count: usize) -> Vec<f32> {
    (0..count).map(|i| values_nchw[i * SAMPLE_STRIDE % values_nchw.len()]).collect()
}

/// The blob of a layer and the gradient of half its squared norm with respect to the picture, both NCHW.
fn run(blueprint: Blueprint, node: &str) -> (Vec<f32>, Vec<f32>) {
    let graph = Arc::new(blueprint.up_to(node).unwrap().build(&mut NoiseParams, Vec::new()).unwrap());
    let target = graph.find(node).unwrap();
    let frozen = FrozenNet::new(graph, &[target]);
    let dims = [1, 3, HEIGHT, WIDTH];
    let [batch, channels, height, width] = dims;
    let mut session = frozen.session(&Shape::maps(batch, channels, height, width), true, None).unwrap();
    let picture: Vec<f32> = noise("input", 3 * HEIGHT * WIDTH).map(|value| value as f32).collect();
    session.input_mut().copy_from_slice(&nhwc_from_nchw(dims, &picture));
    session.forward();
    let (blob, seed) = session.blob_and_seed(target);
    seed.copy_from_slice(blob.data);
    let blob = nchw_from_nhwc(blob.shape.as_maps().unwrap(), blob.data);
    session.backward(ReluRule::Gradient);
    (blob, nchw_from_nhwc(dims, session.d_input()))
}

/// The largest difference relative to the largest expected value; NaN if anything is.
fn relative_error(got: &[f32], expected: &[f32]) -> f64 {
    let scale = expected.iter().fold(0.0, |max, &value| f64::max(max, f64::from(value).abs()));
    let differences = got.iter().zip(expected).map(|(&got, &expected)| (f64::from(got) - f64::from(expected)).abs());
    differences.fold(0.0, |max: f64, difference| if difference.is_nan() { f64::NAN } else { max.max(difference) })
        / scale
}

#[test]
fn whole_nets_agree_with_torchvision() {
    let bytes = fixture();
    let expected = SafeTensors::deserialize(&bytes).unwrap();
    let mut cases: Vec<&str> = expected.names().into_iter().filter_map(|name| name.strip_suffix("/blob")).collect();
    cases.sort_unstable();
    assert_eq!(cases.len(), 8);
    let mut failures = Vec::new();
    for case in cases {
        let (architecture, node) = case.split_once('/').unwrap();
        let (blob, d_input) = run(architecture.parse::<Architecture>().unwrap().blueprint(IMAGENET_CLASSES), node);
        for (what, got) in [("blob", blob), ("d_input", d_input)] {
            let stored = expected.tensor(&format!("{case}/{what}")).unwrap();
            let stored: Vec<f32> =
                stored.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
            let error = relative_error(&sample(&got, stored.len()), &stored);
            let agrees = error <= TOLERANCE;
            if !agrees {
                failures.push(format!("{case} {what}: off by {error:.1e}"));
            }
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn parameters_are_named_and_shaped_as_in_torchvisions_state_dicts() {
    let bytes = fixture();
    let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
    let digests = metadata.metadata().as_ref().unwrap();
    assert_eq!(digests.len(), Architecture::ALL.len());
    let mut failures = Vec::new();
    for architecture in Architecture::ALL {
        let line = |spec: &ParamSpec| {
            let dims: Vec<String> = spec.shape.iter().map(usize::to_string).collect();
            format!("{} {}\n", spec.name, dims.join("x"))
        };
        let mut lines: Vec<String> = architecture.blueprint(IMAGENET_CLASSES).params().iter().map(line).collect();
        lines.sort_unstable();
        if format!("{:016x}", fnv1a(&lines.concat())) != digests[architecture.name()] {
            failures.push(architecture.name());
        }
    }
    assert!(failures.is_empty(), "{failures:?}");
}
