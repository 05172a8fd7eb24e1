//! The training plan against the plain executor in `f64`.

use std::sync::Arc;

use super::*;
use crate::base::tensor::Shape;
use crate::nn::exec::reference::Reference;
use crate::nn::graph::{ChannelOrder, Graph, GraphBuilder, Preprocess};
use crate::nn::ops::MapAxis;
use crate::nn::ops::activation::Activation;
use crate::nn::ops::check::{Tensor, assert_close};
use crate::nn::ops::concat::Concat;
use crate::nn::ops::conv::Conv2d;
use crate::nn::ops::dropout::Dropout;
use crate::nn::ops::elementwise::Elementwise;
use crate::nn::ops::linear::Linear;
use crate::nn::ops::pool::{AveragePool, Divisor, MaxPool};
use crate::nn::ops::reshape::Reshape;
use crate::nn::ops::window::{Padding, Window};

const RELU: Op = Op::Activation(Activation::Relu);

fn random(builder: &mut GraphBuilder, name: &str, shape: &[usize]) {
    let seed = name.bytes().map(u64::from).sum();
    builder.param(name, shape, Tensor::<f32>::random_between(shape, seed, -0.3, 0.3).data);
}

fn conv(window: Window, groups: usize) -> Op {
    Op::Conv2d(Conv2d { window, groups })
}

/// Every way that a gradient can take: branches, a residual, a value that a node takes twice, one weight at two nodes,
/// batch norm and dropout in training, grouped, strided and first convolutions, with and without bias.
fn tangled() -> Arc<Graph> {
    let mut net = GraphBuilder::new("data", 3, [9, 8]);
    random(&mut net, "stem.weight", &[6, 3, 3, 3]);
    random(&mut net, "shared", &[6, 6, 3, 3]);
    random(&mut net, "grouped", &[6, 3, 1, 1]);
    random(&mut net, "down", &[5, 12, 3, 3]);
    random(&mut net, "down.bias", &[5]);
    random(&mut net, "fc.weight", &[4, 5 * 2 * 2]);
    random(&mut net, "fc.bias", &[4]);
    random(&mut net, "gamma", &[6]);
    random(&mut net, "beta", &[6]);
    net.param("mean", &[6], vec![0.5; 6]);
    net.param("variance", &[6], vec![2.0; 6]);
    let same = Window::square(3, 1).padded(Padding::all(1));
    let stem = net.add("stem", conv(same, 1), &[GraphBuilder::INPUT], &["stem.weight"]);
    let norm = Op::BatchNorm(BatchNorm { epsilon: 1e-3 });
    let norm = net.add("norm", norm, &[stem], &["gamma", "beta", "mean", "variance"]);
    let relu = net.add("relu", RELU, &[norm], &[]);
    let once = net.add("once", conv(same, 1), &[relu], &["shared"]);
    let twice = net.add("twice", conv(same, 1), &[once], &["shared"]);
    let residual = net.add("residual", Op::Elementwise(Elementwise::Add), &[twice, relu], &[]);
    let square = net.add("square", Op::Elementwise(Elementwise::Mul), &[residual, residual], &[]);
    let grouped = net.add("grouped", conv(Window::square(1, 1), 2), &[residual], &["grouped"]);
    let join = net.add("join", Op::Concat(Concat { axis: MapAxis::Channel }), &[square, grouped], &[]);
    let dropped = net.add("dropped", Op::Dropout(Dropout { rate: 0.25 }), &[join], &[]);
    let down = net.add("down", conv(Window::square(3, 2), 1), &[dropped], &["down", "down.bias"]);
    let pooled = net.add("pooled", Op::MaxPool(MaxPool { window: Window::square(2, 1) }), &[down], &[]);
    let average = AveragePool { window: Window::square(2, 1).padded(Padding::all(1)), divisor: Divisor::Padded };
    let averaged = net.add("averaged", Op::AveragePool(average), &[pooled], &[]);
    let part = net.add("part", Op::MaxPool(MaxPool { window: Window::square(2, 2).ceil() }), &[averaged], &[]);
    let flat = net.add("flat", Op::Reshape(Reshape::flatten()), &[part], &[]);
    net.add("scores", Op::Linear(Linear {}), &[flat], &["fc.weight", "fc.bias"]);
    let preprocess = Preprocess { order: ChannelOrder::Rgb, mean: vec![0.0; 3], scale: vec![1.0; 3] };
    Arc::new(net.finish("tangled", preprocess, Vec::new()).unwrap())
}

fn run(step: u64) -> Run {
    Run { seed: 3, step, ..Run::default() }
}

/// The output and the gradients of all parameters that are learnt, for ½‖output‖² as the loss.
fn session_gradients(net: &mut TrainingNet, session: &mut TrainingSession, input: &[f32], step: u64) -> Vec<f32> {
    session.input_mut().copy_from_slice(input);
    session.forward(net, run(step));
    let (output, seed) = session.output_and_seed();
    seed.copy_from_slice(output.data);
    session.backward(net);
    net.params().iter().flat_map(|param| &param.gradient).copied().collect()
}

fn exact_gradients(graph: &Graph, input: &Tensor<f64>, step: u64, learns: impl Fn(&str) -> bool) -> Vec<f32> {
    let mut exact = Reference::<f64>::new(graph);
    let training = Run { mode: Mode::Training, ..run(step) };
    exact.forward(&input.shape, &input.data, &[graph.output()], training).unwrap();
    let output = exact.blob(graph.output()).unwrap().data.to_vec();
    exact.backward(&[(graph.output(), output)], &learns);
    let gradients = graph.params().keys().filter(|name| learns(name)).filter_map(|name| exact.d_param(name));
    gradients.flatten().map(|&d| d as f32).collect()
}

fn is_learnt(name: &str) -> bool {
    !["mean", "variance"].contains(&name)
}

#[test]
fn gradients_agree_with_the_plain_executor() {
    let graph = tangled();
    let only_late = |name: &str| ["down", "fc.bias"].contains(&name);
    for batch in [1, 5] {
        let input = Tensor::<f64>::random(&[batch, 3, 9, 8], 40 + batch as u64);
        let mut net = TrainingNet::new(graph.clone(), graph.output(), |_| true);
        let mut session = net.session(&input.shape).unwrap();
        for step in 0..2 {
            let got = session_gradients(&mut net, &mut session, &input.cast::<f32>().data, step);
            let expected = exact_gradients(&graph, &input, step, is_learnt);
            assert_close(&format!("{batch} pictures, step {step}"), &got, &expected, 1e-3, 1e-2);
        }
        let mut late = TrainingNet::new(graph.clone(), graph.output(), only_late);
        let mut session = late.session(&input.shape).unwrap();
        let got = session_gradients(&mut late, &mut session, &input.cast::<f32>().data, 7);
        assert_close("only late", &got, &exact_gradients(&graph, &input, 7, only_late), 1e-3, 1e-2);
    }
}

#[test]
fn the_same_bytes_on_any_number_of_threads() {
    let graph = tangled();
    let input = Tensor::<f32>::random(&[33, 3, 9, 8], 4);
    let gradients = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let mut net = TrainingNet::new(graph.clone(), graph.output(), |_| true);
            let mut session = net.session(&input.shape).unwrap();
            session_gradients(&mut net, &mut session, &input.data, 0)
        })
    };
    let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&gradients(1)), bits(&gradients(3)));
}

#[test]
fn new_weights_are_used_and_come_back_as_a_graph() {
    let graph = tangled();
    let input = Tensor::<f32>::random(&[2, 3, 9, 8], 5);
    let mut net = TrainingNet::new(graph.clone(), graph.output(), |_| true);
    let mut session = net.session(&input.shape).unwrap();
    session_gradients(&mut net, &mut session, &input.data, 0);
    for name in ["shared", "stem.weight", "fc.bias"] {
        net.values_mut(name).unwrap().iter_mut().for_each(|w| *w *= -0.5);
    }
    let got = session_gradients(&mut net, &mut session, &input.data, 0);
    let changed = net.to_graph().unwrap();
    assert_eq!(changed.params()["beta"], graph.params()["beta"]);
    let expected = exact_gradients(&changed, &input.cast(), 0, is_learnt);
    assert_close("after a change", &got, &expected, 1e-3, 1e-2);
}

/// PyTorch 2.15: `BatchNorm2d(1, momentum=0.25)` with running statistics 0.5 and 2, after `[[1., 2.], [4., 9.]]`.
#[test]
fn stored_statistics_follow_the_batch() {
    let mut builder = GraphBuilder::new("data", 1, [2, 2]);
    for (name, value) in [("gamma", 1.0), ("beta", 0.0), ("mean", 0.5), ("variance", 2.0)] {
        builder.param(name, &[1], vec![value]);
    }
    let norm = Op::BatchNorm(BatchNorm { epsilon: 1e-5 });
    builder.add("norm", norm, &[0], &["gamma", "beta", "mean", "variance"]);
    let preprocess = Preprocess { order: ChannelOrder::Gray, mean: vec![0.0], scale: vec![1.0] };
    let graph = Arc::new(builder.finish("norm", preprocess, Vec::new()).unwrap());
    let mut net = TrainingNet::new(graph.clone(), graph.output(), |_| true);
    let mut session = net.session(&Shape::maps(1, 1, 2, 2)).unwrap();
    session.input_mut().copy_from_slice(&[1.0, 2.0, 4.0, 9.0]);
    session.forward(&mut net, run(0));
    session.blend_statistics(&mut net, 0.25);
    assert_close("mean", &net.param("mean").unwrap().values, &[1.375], 1e-6, 0.0);
    assert_close("variance", &net.param("variance").unwrap().values, &[4.666_666_5], 1e-6, 0.0);
}
