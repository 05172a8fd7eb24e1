//! Nets written as ONNX: read back here, and run by onnxruntime in `tests/refs/onnx_check.py`.

use std::collections::HashMap;
use std::path::PathBuf;

use oneiric::formats::onnx::{self, Nowhere};
use oneiric::formats::{LoadOptions, native};
use oneiric::nn::graph::{ChannelOrder, Graph, GraphBuilder, NodeId, Preprocess};
use oneiric::nn::ops::activation::Activation;
use oneiric::nn::ops::batch_norm::BatchNorm;
use oneiric::nn::ops::concat::Concat;
use oneiric::nn::ops::conv::Conv2d;
use oneiric::nn::ops::conv_transpose::ConvTranspose2d;
use oneiric::nn::ops::dropout::Dropout;
use oneiric::nn::ops::elementwise::Elementwise;
use oneiric::nn::ops::instance_norm::InstanceNorm;
use oneiric::nn::ops::linear::Linear;
use oneiric::nn::ops::lrn::{Lrn, LrnRegion};
use oneiric::nn::ops::offset::Offset;
use oneiric::nn::ops::p_distance::PDistance;
use oneiric::nn::ops::pad::{Pad, PadMode};
use oneiric::nn::ops::pool::{AveragePool, Divisor, GlobalPool, GlobalPoolKind, MaxPool};
use oneiric::nn::ops::prelu::PRelu;
use oneiric::nn::ops::reduce::{Reduce, ReduceKind};
use oneiric::nn::ops::reshape::{Dim, Reshape};
use oneiric::nn::ops::resize::{Resize, ResizeMode, ResizeTarget};
use oneiric::nn::ops::scale::Scale;
use oneiric::nn::ops::slice::Slice;
use oneiric::nn::ops::softmax::{LogSoftmax, Softmax};
use oneiric::nn::ops::spatial_norm::SpatialNorm;
use oneiric::nn::ops::transpose::Transpose;
use oneiric::nn::ops::window::{Padding, Window};
use oneiric::nn::ops::{MapAxis, Op};
use safetensors::Dtype;
use safetensors::tensor::TensorView;

use super::support::{self, Tensor};

/// Numbers that look random, in [-1, 1).
fn noise(count: usize, seed: usize) -> Vec<f32> {
    let value = |i: usize| (((i + 1) * 2_654_435_761 + seed * 40_503) % 65_521) as f32 / 32_760.5 - 1.0;
    (0..count).map(value).collect()
}

/// A chain of operations.
struct Chain {
    net: GraphBuilder,
    at: NodeId,
}

impl Chain {
    fn new(channels: usize, size: [usize; 2]) -> Self {
        Self { net: GraphBuilder::new("picture", channels, size), at: GraphBuilder::INPUT }
    }

    fn dims(&self) -> Vec<usize> {
        self.net.shape(self.at).expect("the chain is right so far").dims().to_vec()
    }

    /// Adds an operation on the last node and `others`, with noise for parameters.
    fn with(&mut self, op: Op, others: &[NodeId], params: &[&[usize]]) -> NodeId {
        let name = format!("{}{}", op.kind(), self.net.nodes().len());
        let names: Vec<String> = (0..params.len()).map(|i| format!("{name}.{i}")).collect();
        for (i, (param, shape)) in names.iter().zip(params).enumerate() {
            let mut values = noise(shape.iter().product(), self.net.nodes().len() + i);
            if op.kind() == "BatchNorm" && i == 3 {
                values.iter_mut().for_each(|value| *value = value.abs() + 0.5);
            }
            self.net.param(param, shape, values);
        }
        let inputs = [&[self.at], others].concat();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        self.at = self.net.add(&name, op, &inputs, &names);
        self.dims();
        self.at
    }

    fn add(&mut self, op: Op) -> NodeId {
        self.with(op, &[], &[])
    }

    fn finish(self) -> Graph {
        let preprocess = Preprocess {
            order: ChannelOrder::Bgr,
            mean: vec![104.0, 117.0, 123.0],
            scale: vec![1.0, 0.5, 1.0 / 255.0],
        };
        self.net.finish("chain", preprocess, Vec::new()).unwrap()
    }
}

/// Windows, activations and joins; at the end a classifier.
fn layers() -> Graph {
    let explicit = Padding::Explicit { top: 2, left: 1, bottom: 0, right: 1 };
    let mut chain = Chain::new(3, [21, 26]);
    let window = Window { stride: [2, 1], ..Window::square(3, 1).padded(explicit) };
    chain.with(Op::Conv2d(Conv2d { window, groups: 1 }), &[], &[&[8, 3, 3, 3], &[8]]);
    chain.with(Op::BatchNorm(BatchNorm { epsilon: 1e-3 }), &[], &[&[8], &[8], &[8], &[8]]);
    chain.add(Op::Activation(Activation::Silu));
    let window = Window { dilation: [1, 2], ..Window::square(3, 2).padded(Padding::SameLower) };
    let same = chain.with(Op::Conv2d(Conv2d { window, groups: 4 }), &[], &[&[8, 2, 3, 3]]);
    chain.add(Op::MaxPool(MaxPool { window: Window::square(3, 2).padded(Padding::all(1)).ceil() }));
    let window = Window::square(3, 2).padded(Padding::SameUpper);
    let up = ConvTranspose2d { window, groups: 2, output_padding: [0, 0] };
    chain.with(Op::ConvTranspose2d(up), &[], &[&[8, 4, 3, 3], &[8]]);
    for divisor in [Divisor::Inside, Divisor::Padded] {
        let window = Window::square(3, 1).padded(Padding::all(1)).ceil();
        chain.add(Op::AveragePool(AveragePool { window, divisor }));
    }
    let window = Window::square(2, 1).padded(Padding::SameUpper);
    chain.add(Op::AveragePool(AveragePool { window, divisor: Divisor::Window }));
    chain.add(Op::Slice(Slice { axis: MapAxis::Width, start: 0, end: 13 }));
    chain.with(Op::PRelu(PRelu {}), &[], &[&[8]]);
    let rest = chain.add(Op::Activation(Activation::Elu { alpha: 0.7 }));
    chain.add(Op::GlobalPool(GlobalPool { kind: GlobalPoolKind::Max }));
    chain.add(Op::Reshape(Reshape::flatten()));
    chain.with(Op::Linear(Linear {}), &[], &[&[8, 8], &[8]]);
    let gate = chain.add(Op::Activation(Activation::HardSigmoid { slope: 0.3, offset: 0.4 }));
    chain.at = rest;
    chain.with(Op::Elementwise(Elementwise::Mul), &[gate], &[]);
    chain.with(Op::Elementwise(Elementwise::WeightedSum { coefficients: vec![0.5, -2.0] }), &[rest], &[]);
    chain.add(Op::Activation(Activation::Clip { low: -1.5, high: f32::MAX }));
    chain.with(Op::Elementwise(Elementwise::Max), &[rest], &[]);
    chain.with(Op::Scale(Scale {}), &[], &[&[8], &[8]]);
    chain.add(Op::Activation(Activation::HardSwish));
    chain.with(Op::Elementwise(Elementwise::Sub), &[gate], &[]);
    chain.add(Op::Pad(Pad { top: 0, left: 2, bottom: 1, right: 0, mode: PadMode::Reflect }));
    chain.add(Op::Pad(Pad { top: 1, left: 0, bottom: 0, right: 1, mode: PadMode::Constant(0.25) }));
    chain.add(Op::Resize(Resize { target: ResizeTarget::Factor([2.0, 1.5]), mode: ResizeMode::Bilinear }));
    chain.add(Op::Resize(Resize { target: ResizeTarget::Size([9, 14]), mode: ResizeMode::BilinearAlignCorners }));
    chain.add(Op::Resize(Resize { target: ResizeTarget::Factor([2.0, 2.0]), mode: ResizeMode::Nearest }));
    chain.add(Op::Activation(Activation::LeakyRelu { slope: 0.2 }));
    chain.with(Op::InstanceNorm(InstanceNorm { epsilon: 1e-5 }), &[], &[&[8], &[8]]);
    let region = LrnRegion::AcrossChannels;
    chain.add(Op::Lrn(Lrn { size: 5, alpha: 0.1, beta: 0.75, bias: 2.0, region }));
    let [_, channels, height, width] = chain.dims()[..] else { panic!("maps") };
    chain.add(Op::Reshape(Reshape { dims: vec![Dim::Of(2), Dim::Of(channels / 2), Dim::Of(height), Dim::Of(width)] }));
    chain.add(Op::Transpose(Transpose { axes: vec![0, 2, 1, 3, 4] }));
    chain.add(Op::Reshape(Reshape { dims: [channels, height, width].map(Dim::Of).to_vec() }));
    chain.add(Op::Reduce(Reduce { kind: ReduceKind::Mean, axes: vec![MapAxis::Height, MapAxis::Width], keep: true }));
    let small = chain.add(Op::Dropout(Dropout { rate: 0.5 }));
    chain.at = same;
    chain.add(Op::GlobalPool(GlobalPool { kind: GlobalPoolKind::Average }));
    chain.with(Op::Concat(Concat { axis: MapAxis::Channel }), &[small], &[]);
    chain.add(Op::LogSoftmax(LogSoftmax {}));
    chain.add(Op::Reshape(Reshape::flatten()));
    chain.with(Op::Linear(Linear {}), &[], &[&[6, 16]]);
    chain.add(Op::Softmax(Softmax {}));
    chain.finish()
}

/// Normalizations that ONNX says by several operators.
fn norms() -> Graph {
    let mut chain = Chain::new(3, [12, 15]);
    chain.with(Op::Conv2d(Conv2d { window: Window::square(3, 1), groups: 1 }), &[], &[&[6, 3, 3, 3], &[6]]);
    let region = LrnRegion::WithinChannel;
    chain.add(Op::Lrn(Lrn { size: 4, alpha: 0.2, beta: 0.6, bias: 1.5, region }));
    chain.add(Op::SpatialNorm(SpatialNorm { window: [4, 3], alpha: 0.5, beta: 0.75 }));
    chain.add(Op::Offset(Offset { alpha: 0.3, beta: 0.5 }));
    let maps = chain.add(Op::Activation(Activation::Tanh));
    chain.add(Op::Pad(Pad { top: 1, left: 1, bottom: 0, right: 0, mode: PadMode::Edge }));
    chain.add(Op::AveragePool(AveragePool { window: Window::square(2, 1), divisor: Divisor::Window }));
    chain.add(Op::Activation(Activation::Sigmoid));
    chain.with(Op::PDistance(PDistance { p: 1.5, no_root: false, epsilon: 1e-6 }), &[maps], &[]);
    chain.add(Op::Reduce(Reduce { kind: ReduceKind::Sum, axes: vec![MapAxis::Height], keep: true }));
    chain.add(Op::Activation(Activation::Relu));
    chain.finish()
}

fn input_of(graph: &Graph) -> Tensor {
    let shape = graph.native_input_shape(1);
    let data = noise(shape.len(), 99).into_iter().map(f64::from).collect();
    Tensor { shape: shape.dims().to_vec(), data }
}

#[test]
fn every_operation_comes_back() {
    let graph = layers();
    let bytes = onnx::to_bytes(&graph).unwrap();
    let imported = onnx::read(&bytes, &Nowhere, &LoadOptions::default()).unwrap();
    assert_eq!(imported.preprocess.order, Some(ChannelOrder::Bgr));
    let again = imported.net.finish("again", graph.preprocess().clone(), Vec::new()).unwrap();
    let input = input_of(&graph);
    let (output, gradient) = support::run_plainly(&graph, &input, graph.output());
    let (output_again, gradient_again) = support::run_plainly(&again, &input, again.output());
    let mut failures = Vec::new();
    for (what, got, data) in [("output", output_again, output), ("gradient", gradient_again, gradient)] {
        let expected = Tensor { shape: vec![data.len()], data };
        support::compare(what, &got, &expected, 1e-6, &mut failures);
    }
    assert!(failures.is_empty(), "{failures:?}");
}

#[test]
fn what_onnx_cannot_say_is_an_error_that_names_the_node() {
    let even = Lrn { size: 4, alpha: 0.1, beta: 0.75, bias: 1.0, region: LrnRegion::AcrossChannels };
    let wide = Window { dilation: [2, 1], ..Window::square(2, 1) };
    let partial = AveragePool { window: Window::square(2, 2).ceil(), divisor: Divisor::Window };
    for op in [
        Op::Lrn(even),
        Op::AveragePool(AveragePool { window: wide, divisor: Divisor::Inside }),
        Op::AveragePool(partial),
    ] {
        let mut chain = Chain::new(3, [9, 9]);
        chain.add(op);
        let name = chain.net.nodes()[1].name.clone();
        let error = onnx::to_bytes(&chain.finish()).unwrap_err().to_string();
        assert!(error.contains(&format!("layer `{name}`: ONNX cannot say")), "{error}");
    }
}

/// Writes nets and what they compute into the folder that `ONNX_CHECK_DIR` names, for `tests/refs/onnx_check.py`.
#[test]
#[ignore = "writes files for a script"]
fn nets_are_written_for_onnxruntime() {
    let folder = PathBuf::from(std::env::var_os("ONNX_CHECK_DIR").expect("ONNX_CHECK_DIR names a folder"));
    let shipped = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("models");
    let mut nets = vec![("layers".to_string(), layers()), ("norms".into(), norms())];
    for entry in std::fs::read_dir(shipped).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == "safetensors") {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            nets.push((name, native::read(&std::fs::read(&path).unwrap()).unwrap()));
        }
    }
    for (name, graph) in nets {
        std::fs::write(folder.join(format!("{name}.onnx")), onnx::to_bytes(&graph).unwrap()).unwrap();
        let input = input_of(&graph);
        let (output, _) = support::run_plainly(&graph, &input, graph.output());
        let bytes = |data: &[f64]| data.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
        let (input_bytes, output_bytes) = (bytes(&input.data), bytes(&output));
        let view = |shape: Vec<usize>, bytes| TensorView::new(Dtype::F64, shape, bytes).unwrap();
        let tensors = HashMap::from([
            ("input", view(input.shape, &input_bytes)),
            ("output", view(vec![output.len()], &output_bytes)),
        ]);
        let file = safetensors::serialize(tensors, None).unwrap();
        std::fs::write(folder.join(format!("{name}.safetensors")), file).unwrap();
    }
}
