//! Comparing a net with what its own framework computes.
//!
//! A reference is a safetensors file with `input` (NCHW, as the framework's net takes it) and, for some layers, `blob:NAME`
//! and `gradient:NAME`: the layer's output, and the gradient of ½·sum(blob²) with respect to the input, both in the
//! framework's logical order (NCHW). The scripts in `tests/refs` make them, in f64 where the framework can.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use oneiric::base::tensor::{Shape, nchw_from_nhwc, nhwc_from_nchw};
use oneiric::nn::exec::FrozenNet;
use oneiric::nn::exec::reference::Reference;
use oneiric::nn::graph::{Graph, NodeId};
use oneiric::nn::ops::{ReluRule, Run};
use safetensors::{Dtype, SafeTensors};

/// Relative to the largest expected value: what every importer is held to, against f64 references.
pub const TOLERANCE: f64 = 1e-4;

pub fn data_path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/nets").join(name)
}

/// A file of the folder of real nets that may lie beside the checkout; says so where it does not.
#[allow(dead_code, reason = "not every importer has a real net to read")]
pub fn shared_path(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data").join(name);
    if path.exists() {
        return Some(path);
    }
    eprintln!("skipped: there is no {name}");
    None
}

pub struct Tensor {
    pub shape: Vec<usize>,
    pub data: Vec<f64>,
}

/// All tensors of a safetensors file of F32 and F64.
pub fn tensors(path: &Path) -> Vec<(String, Tensor)> {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let read = |(name, view): (String, safetensors::tensor::TensorView<'_>)| {
        let data = match view.dtype() {
            Dtype::F64 => view.data().as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect(),
            Dtype::F32 => view.data().as_chunks().0.iter().map(|bytes| f64::from(f32::from_le_bytes(*bytes))).collect(),
            other => panic!("{name} is of type {other}"),
        };
        (name, Tensor { shape: view.shape().to_vec(), data })
    };
    file.tensors().into_iter().map(read).collect()
}

/// Holds the net to all blobs and gradients of the reference, in f64 by the plain executor; blobs also by the fast one.
pub fn check(graph: &Graph, reference: &Path) {
    let tensors = tensors(reference);
    let input = &tensors.iter().find(|(name, _)| name == "input").expect("a reference has an input").1;
    let mut checked = 0;
    let mut failures = Vec::new();
    for (name, expected) in &tensors {
        if let Some(layer) = name.strip_prefix("blob:") {
            checked += 1;
            let target = graph.find(layer).unwrap_or_else(|error| panic!("{error}"));
            compare(name, &run_plainly(graph, input, target).0, expected, TOLERANCE, &mut failures);
            compare(&format!("{name} (fast)"), &run_fast(graph, input, target), expected, TOLERANCE, &mut failures);
        } else if let Some(layer) = name.strip_prefix("gradient:") {
            checked += 1;
            let target = graph.find(layer).unwrap_or_else(|error| panic!("{error}"));
            compare(name, &run_plainly(graph, input, target).1, expected, TOLERANCE, &mut failures);
        }
    }
    assert!(checked >= 2, "{} holds nothing to compare", reference.display());
    assert!(failures.is_empty(), "{}: {failures:#?}", reference.display());
}

/// The blob of a layer, and the gradient of half its squared norm with respect to the input, in logical order.
pub fn run_plainly(graph: &Graph, input: &Tensor, target: NodeId) -> (Vec<f64>, Vec<f64>) {
    let dims: [usize; 4] = input.shape.as_slice().try_into().expect("inputs are NCHW");
    let mut run = Reference::<f64>::new(graph);
    let shape = Shape::new(&input.shape).unwrap();
    run.forward(&shape, &nhwc_from_nchw(dims, &input.data), &[target], Run::default())
        .unwrap_or_else(|error| panic!("{error}"));
    let blob = run.blob(target).unwrap();
    let (blob_shape, seed) = (blob.shape.clone(), blob.data.to_vec());
    run.backward(&[(target, seed.clone())], |_| false);
    (logical(&blob_shape, seed), nchw_from_nhwc(dims, run.d_input()))
}

fn run_fast(graph: &Graph, input: &Tensor, target: NodeId) -> Vec<f64> {
    let dims: [usize; 4] = input.shape.as_slice().try_into().expect("inputs are NCHW");
    let net = FrozenNet::new(Arc::new(graph.clone()), &[target]);
    let mut session = net.session(&Shape::new(&input.shape).unwrap(), true, None).unwrap();
    let values: Vec<f32> = nhwc_from_nchw(dims, &input.data).into_iter().map(|value| value as f32).collect();
    session.input_mut().copy_from_slice(&values);
    session.forward();
    let (blob, seed) = session.blob_and_seed(target);
    seed.copy_from_slice(blob.data);
    let data = blob.data.iter().map(|&value| f64::from(value)).collect();
    let data = logical(blob.shape, data);
    session.backward(ReluRule::Gradient);
    assert!(session.d_input().iter().all(|value| value.is_finite()), "the fast gradient is not finite");
    data
}

fn logical(shape: &Shape, data: Vec<f64>) -> Vec<f64> {
    match shape.dims() {
        &[n, c, h, w] => nchw_from_nhwc([n, c, h, w], &data),
        _ => data,
    }
}

pub fn compare(name: &str, got: &[f64], expected: &Tensor, tolerance: f64, failures: &mut Vec<String>) {
    if got.len() != expected.data.len() {
        failures.push(format!("{name}: {} values where {:?} are expected", got.len(), expected.shape));
        return;
    }
    let scale = expected.data.iter().fold(0.0f64, |max, value| max.max(value.abs()));
    assert!(scale > 0.0, "{name}: the reference is all nought");
    let error = got.iter().zip(&expected.data).map(|(got, expected)| (got - expected).abs());
    let worst = error.fold(0.0f64, |max, value| if value.is_nan() { f64::INFINITY } else { max.max(value) }) / scale;
    let agrees = worst <= tolerance;
    if !agrees {
        failures.push(format!("{name}: off by {worst:.1e} of the largest value"));
    }
}
