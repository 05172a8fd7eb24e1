//! The frozen plan against the plain executor in `f64`, on small nets that hold every fusion and its counter-example.

use rand::RngExt as _;

use super::*;
use crate::base::rng::{Stream, rng};
use crate::nn::exec::reference::Reference;
use crate::nn::graph::{ChannelOrder, GraphBuilder, Preprocess};
use crate::nn::ops::activation::Activation;
use crate::nn::ops::batch_norm::BatchNorm;
use crate::nn::ops::concat::Concat;
use crate::nn::ops::conv::Conv2d;
use crate::nn::ops::conv_transpose::ConvTranspose2d;
use crate::nn::ops::dropout::Dropout;
use crate::nn::ops::elementwise::Elementwise;
use crate::nn::ops::linear::Linear;
use crate::nn::ops::lrn::{Lrn, LrnRegion};
use crate::nn::ops::pool::{AveragePool, Divisor, GlobalPool, GlobalPoolKind, MaxPool};
use crate::nn::ops::reshape::Reshape;
use crate::nn::ops::scale::Scale;
use crate::nn::ops::window::{Padding, Window};
use crate::nn::ops::{MapAxis, Op, Run};

const RELU: Op = Op::Activation(Activation::Relu);
const RELU6: Op = Op::Activation(Activation::Clip { low: 0.0, high: 6.0 });
const SIGMOID: Op = Op::Activation(Activation::Sigmoid);

const NO_CHAINS: [usize; 2] = [usize::MAX; 2];
const ALL_CHAINS: [usize; 2] = [0, 0];

/// A net under construction, with random weights.
struct Sketch {
    builder: GraphBuilder,
    seed: u64,
}

impl Sketch {
    fn new() -> Self {
        Self { builder: GraphBuilder::new("data", 3, [20, 22]), seed: 0 }
    }

    fn weights(&mut self, name: &str, shape: &[usize], low: f32, high: f32) {
        self.seed += 1;
        let mut rng = rng(11, Stream::Weights, self.seed);
        let data: Vec<f32> = (0..shape.iter().product()).map(|_| rng.random_range(low..high)).collect();
        self.builder.param(name, shape, data);
    }

    fn add(&mut self, op: Op, inputs: &[NodeId]) -> NodeId {
        self.seed += 1;
        let name = format!("{}{}", op.kind(), self.seed);
        self.builder.add(&name, op, inputs, &[])
    }

    fn add_with(&mut self, op: Op, inputs: &[NodeId], params: &[(&[usize], f32, f32)]) -> NodeId {
        self.seed += 1;
        let name = format!("{}{}", op.kind(), self.seed);
        let names: Vec<String> = (0..params.len()).map(|i| format!("{name}.{i}")).collect();
        for (param, &(shape, low, high)) in names.iter().zip(params) {
            self.weights(param, shape, low, high);
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        self.builder.add(&name, op, inputs, &names)
    }

    fn conv(&mut self, input: NodeId, [ins, outs]: [usize; 2], groups: usize, window: Window) -> NodeId {
        let [height, width] = window.kernel;
        let scale = (3.0 / (ins / groups * height * width) as f32).sqrt();
        let weight = [outs, ins / groups, height, width];
        let op = Op::Conv2d(Conv2d { window, groups });
        self.add_with(op, &[input], &[(&weight, -scale, scale), (&[outs], -0.3, 0.3)])
    }

    fn batch_norm(&mut self, input: NodeId, channels: usize) -> NodeId {
        let shape: &[usize] = &[channels];
        let params = [(shape, 0.5, 1.5), (shape, -0.5, 0.5), (shape, -0.5, 0.5), (shape, 0.3, 2.0)];
        self.add_with(Op::BatchNorm(BatchNorm { epsilon: 1e-3 }), &[input], &params)
    }

    fn finish(self) -> Arc<Graph> {
        let preprocess = Preprocess { order: ChannelOrder::Rgb, mean: vec![0.0; 3], scale: vec![1.0; 3] };
        Arc::new(self.builder.finish("sketch", preprocess, Vec::new()).unwrap())
    }
}

/// Compares blobs and input gradients of the frozen plan with the plain executor, at every level.
fn check(graph: Arc<Graph>, targets: &[NodeId], input: Shape) {
    let mut random = rng(5, Stream::Test, 0);
    let x: Vec<f32> = (0..input.len()).map(|_| random.random_range(-1.0..1.0)).collect();
    let x64: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
    for rule in [ReluRule::Gradient, ReluRule::Guided, ReluRule::Deconvnet] {
        let mut plain = Reference::<f64>::new(&graph);
        let run = Run { relu_rule: rule, ..Run::default() };
        plain.forward(&input, &x64, targets, run).unwrap();
        // A seed that depends on the blob and differs from place to place.
        let seed_of = |i: usize, blob: f64| blob + ((i * 7 % 13) as f64 - 6.0) / 6.0;
        let seeds: Vec<(NodeId, Vec<f64>)> = targets
            .iter()
            .map(|&target| {
                let blob = plain.blob(target).unwrap().data.to_vec();
                (target, blob.iter().enumerate().map(|(i, &b)| seed_of(i, b)).collect())
            })
            .collect();
        plain.backward(&seeds, |_| false);
        let levels = Level::available().into_iter();
        for (level, chained_floats) in levels.flat_map(|level| [(level, NO_CHAINS), (level, ALL_CHAINS)]) {
            let frozen = FrozenNet::with_chains(graph.clone(), targets, level, chained_floats);
            let mut session = frozen.session(&input, true, None).unwrap();
            for repetition in 0..2 {
                session.input_mut().copy_from_slice(&x);
                session.forward();
                for (target, seed) in &seeds {
                    let what = format!("{level:?} {chained_floats:?} {rule:?} blob of {}", graph.node(*target).name);
                    assert_close(&what, session.blob(*target).data, plain.blob(*target).unwrap().data);
                    let (_, place) = session.blob_and_seed(*target);
                    place.iter_mut().zip(seed).for_each(|(place, &seed)| *place = seed as f32);
                }
                session.backward(rule);
                assert_close(&format!("{level:?} {rule:?} gradient {repetition}"), session.d_input(), plain.d_input());
            }
            let mut forward_only = frozen.session(&input, false, Some(session)).unwrap();
            forward_only.input_mut().copy_from_slice(&x);
            forward_only.forward();
            assert_close("forward only", forward_only.blob(targets[0]).data, plain.blob(targets[0]).unwrap().data);
        }
    }
}

/// Largest difference relative to the largest expected value.
fn assert_close(what: &str, got: &[f32], want: &[f64]) {
    assert_eq!(got.len(), want.len(), "{what}");
    let largest = want.iter().fold(0.0f64, |largest, value| largest.max(value.abs()));
    assert!(largest > 0.0, "{what}: all noughts would prove nothing");
    let worst = got.iter().zip(want).map(|(&got, want)| (f64::from(got) - want).abs()).fold(0.0, f64::max);
    let all_finite = got.iter().all(|value| value.is_finite());
    assert!(all_finite && worst <= 2e-5 * largest, "{what}: off by {worst:e} of {largest:e}");
}

#[test]
fn an_inverted_residual_with_batch_norm() {
    let mut net = Sketch::new();
    let same = |kernel, stride| Window::square(kernel, stride).padded(Padding::SameUpper);
    let mut x = net.conv(0, [3, 24], 1, same(3, 2));
    x = net.batch_norm(x, 24);
    let stem = net.add(RELU6, &[x]);
    x = net.conv(stem, [24, 40], 1, same(1, 1));
    x = net.batch_norm(x, 40);
    x = net.add(RELU6, &[x]);
    x = net.conv(x, [40, 40], 40, same(5, 1));
    x = net.batch_norm(x, 40);
    x = net.add(RELU6, &[x]);
    x = net.conv(x, [40, 24], 1, same(1, 1));
    x = net.batch_norm(x, 24);
    let dropped = net.add(Op::Dropout(Dropout { rate: 0.2 }), &[x]);
    let block = net.add(Op::Elementwise(Elementwise::Add), &[dropped, stem]);
    x = net.conv(block, [24, 40], 1, same(1, 1));
    x = net.conv(x, [40, 40], 40, same(3, 2));
    let last = net.add(RELU, &[x]);
    let graph = net.finish();
    for shape in [Shape::maps(1, 3, 20, 22), Shape::maps(2, 3, 17, 15)] {
        check(graph.clone(), &[last], shape.clone());
        check(graph.clone(), &[block, last], shape.clone());
        check(graph.clone(), &[stem], shape);
    }
}

#[test]
fn fully_connected_layers_are_packed_with_what_follows_them() {
    let mut net = Sketch::new();
    let shrunk = net.conv(GraphBuilder::INPUT, [3, 5], 1, Window::square(5, 4));
    let flat = net.add(Op::Reshape(Reshape::flatten()), &[shrunk]);
    let linear = |net: &mut Sketch, input: NodeId, [ins, outs]: [usize; 2]| {
        let scale = (3.0 / ins as f32).sqrt();
        net.add_with(Op::Linear(Linear {}), &[input], &[(&[outs, ins], -scale, scale), (&[outs], -0.3, 0.3)])
    };
    let hidden = linear(&mut net, flat, [100, 37]);
    let hidden = net.add(RELU, &[hidden]);
    let dropped = net.add(Op::Dropout(Dropout { rate: 0.5 }), &[hidden]);
    let beside = linear(&mut net, dropped, [37, 37]);
    let sum = net.add(Op::Elementwise(Elementwise::Add), &[beside, hidden]);
    let sum = net.add(RELU6, &[sum]);
    let scores = linear(&mut net, sum, [37, 19]);
    let graph = net.finish();
    for batch in [1, 17] {
        check(graph.clone(), &[scores], Shape::maps(batch, 3, 20, 22));
    }
    let frozen = FrozenNet::new(graph, &[scores]);
    let packed = frozen.inner.units.units.iter().filter(|unit| matches!(unit.kind, UnitKind::Conv(_))).count();
    assert_eq!(packed, 4, "a convolution and three fully connected layers");
}

#[test]
fn chains_cut_tall_pictures_into_bands() {
    let mut net = Sketch::new();
    let same = |kernel, stride| Window::square(kernel, stride).padded(Padding::SameUpper);
    let stem = net.conv(0, [3, 16], 1, same(3, 1));
    let stem = net.add(RELU, &[stem]);
    let pooled = net.add(Op::MaxPool(MaxPool { window: Window::square(3, 2).padded(Padding::all(1)) }), &[stem]);
    let block = |net: &mut Sketch, from: NodeId, kernel: usize, stride: usize| {
        let x = net.conv(from, [16, 24], 1, same(1, 1));
        let x = net.add(RELU6, &[x]);
        let x = net.conv(x, [24, 24], 24, same(kernel, stride));
        let x = net.add(RELU6, &[x]);
        net.conv(x, [24, 16], 1, same(1, 1))
    };
    let first = block(&mut net, pooled, 5, 1);
    let first = net.add(Op::Elementwise(Elementwise::Add), &[first, pooled]);
    let second = block(&mut net, first, 3, 2);
    let third = block(&mut net, second, 3, 1);
    let third = net.add(Op::Elementwise(Elementwise::Add), &[third, second]);
    let last = block(&mut net, third, 5, 2);
    let graph = net.finish();
    for size in [[150, 12], [97, 19], [64, 64]] {
        check(graph.clone(), &[last], Shape::maps(2, 3, size[0], size[1]));
    }
    check(graph.clone(), &[last, second], Shape::maps(1, 3, 131, 17));
    let chained = |floats| {
        let net = FrozenNet::with_chains(graph.clone(), &[last], Level::active(), floats);
        net.session_bytes(&Shape::maps(1, 3, 256, 64), true).unwrap()
    };
    let [chains, whole] = [chained(ALL_CHAINS), chained(NO_CHAINS)];
    assert!(chains < whole * 2 / 3, "what lies between needs no memory: {chains} of {whole}");
}

#[test]
fn a_bottleneck_with_a_projected_shortcut() {
    let mut net = Sketch::new();
    let stem = net.conv(0, [3, 32], 1, Window::square(7, 2).padded(Padding::all(3)));
    let stem = net.add(RELU, &[stem]);
    let pooled = net.add(Op::MaxPool(MaxPool { window: Window::square(3, 2).padded(Padding::all(1)) }), &[stem]);
    let a = net.conv(pooled, [32, 16], 1, Window::square(1, 1));
    let a = net.add(RELU, &[a]);
    let a = net.conv(a, [16, 16], 1, Window::square(3, 2).padded(Padding::all(1)));
    let a = net.add(RELU, &[a]);
    let a = net.conv(a, [16, 64], 1, Window::square(1, 1));
    let b = net.conv(pooled, [32, 64], 1, Window::square(1, 2));
    let sum = net.add(Op::Elementwise(Elementwise::Add), &[a, b]);
    let first = net.add(RELU, &[sum]);
    let a = net.conv(first, [64, 64], 1, Window::square(3, 1).padded(Padding::all(1)));
    let a = net.add(RELU, &[a]);
    let sum = net.add(Op::Elementwise(Elementwise::Add), &[first, a]);
    let last = net.add(RELU, &[sum]);
    let graph = net.finish();
    check(graph.clone(), &[last], Shape::maps(1, 3, 33, 35));
    check(graph, &[first, pooled, last], Shape::maps(2, 3, 20, 22));
}

#[test]
fn an_inception_block_writes_into_its_concatenation() {
    let mut net = Sketch::new();
    let stem = net.conv(0, [3, 20], 1, Window::square(3, 1));
    let stem = net.add(RELU, &[stem]);
    let stem = net
        .add(Op::Lrn(Lrn { size: 5, alpha: 0.02, beta: 0.75, bias: 1.0, region: LrnRegion::AcrossChannels }), &[stem]);
    let branch = |net: &mut Sketch, outs: usize, kernel: usize, active: bool| {
        let reduced = net.conv(stem, [20, 16], 1, Window::square(1, 1));
        let reduced = net.add(RELU, &[reduced]);
        let wide = net.conv(reduced, [16, outs], 1, Window::square(kernel, 1).padded(Padding::all(kernel / 2)));
        if active { net.add(RELU, &[wide]) } else { wide }
    };
    let concat = Op::Concat(Concat { axis: MapAxis::Channel });
    let parts = [branch(&mut net, 32, 1, true), branch(&mut net, 16, 3, true), branch(&mut net, 24, 5, true)];
    let all_gated = net.add(concat.clone(), &parts);
    let parts = [branch(&mut net, 16, 1, true), branch(&mut net, 32, 3, false)];
    let some_gated = net.add(concat.clone(), &parts);
    let parts = [branch(&mut net, 10, 1, true), branch(&mut net, 16, 3, true)];
    let unaligned = net.add(concat.clone(), &parts);
    let all = net.add(concat, &[all_gated, some_gated, unaligned, stem]);
    let next = net.conv(all, [72 + 48 + 26 + 20, 16], 1, Window::square(3, 2));
    let last = net.add(RELU, &[next]);
    let pooled = net.add(
        Op::AveragePool(AveragePool { window: Window::square(3, 2).ceil(), divisor: Divisor::Inside }),
        &[all_gated],
    );
    let more = net.conv(all_gated, [72, 8], 1, Window::square(1, 1));
    let graph = net.finish();
    check(graph.clone(), &[last], Shape::maps(1, 3, 13, 12));
    check(graph.clone(), &[all_gated], Shape::maps(1, 3, 9, 9));
    check(graph.clone(), &[pooled, more, some_gated], Shape::maps(2, 3, 11, 10));
    check(graph, &[parts[1], unaligned], Shape::maps(1, 3, 8, 8));
}

#[test]
fn what_must_not_be_fused_is_not() {
    let mut net = Sketch::new();
    let conv = net.conv(0, [3, 16], 1, Window::square(3, 1));
    // Two consumers: batch norm cannot be folded away.
    let norm = net.batch_norm(conv, 16);
    let smooth = net.add(SIGMOID, &[conv]);
    let product = net.add(Op::Elementwise(Elementwise::Mul), &[norm, smooth]);
    // The same value twice.
    let square = net.add(Op::Elementwise(Elementwise::Mul), &[product, product]);
    let double = net.add(Op::Elementwise(Elementwise::Add), &[square, square]);
    // Groups whose channels do not fill lanes, with an activation behind.
    let grouped = net.conv(double, [16, 24], 4, Window::square(3, 2).padded(Padding::all(1)));
    let grouped = net.add(RELU, &[grouped]);
    // A gate of 1×1 maps is spread, not added as a residual.
    let gate = net.add(Op::GlobalPool(GlobalPool { kind: GlobalPoolKind::Average }), &[grouped]);
    let gate = net.conv(gate, [24, 24], 1, Window::square(1, 1));
    let spread = net.add(Op::Elementwise(Elementwise::Add), &[gate, grouped]);
    let scaled = net.add_with(Op::Scale(Scale {}), &[spread], &[(&[24], 0.5, 1.5), (&[24], -0.5, 0.5)]);
    let window = Window::square(4, 2).padded(Padding::all(1));
    let up = Op::ConvTranspose2d(ConvTranspose2d { window, groups: 1, output_padding: [0, 0] });
    let up = net.add_with(up, &[scaled], &[(&[24, 10, 4, 4], -0.2, 0.2), (&[10], -0.2, 0.2)]);
    let up = net.add_with(Op::Scale(Scale {}), &[up], &[(&[10], 0.5, 1.5)]);
    let last = net.add(RELU, &[up]);
    // Groups of few channels behind an activation whose mask bits they do not align with.
    let masked = net.conv(0, [3, 24], 1, Window::square(1, 1));
    let masked = net.add(RELU, &[masked]);
    let few = net.conv(masked, [24, 48], 6, Window::square(3, 1));
    let graph = net.finish();
    check(graph.clone(), &[few], Shape::maps(1, 3, 6, 7));
    check(graph.clone(), &[last], Shape::maps(1, 3, 12, 14));
    check(graph.clone(), &[conv, square, last], Shape::maps(2, 3, 9, 8));
    check(graph, &[gate], Shape::maps(1, 3, 9, 9));
}

#[test]
fn winners_need_not_fill_whole_floats() {
    let mut net = Sketch::new();
    let stem = net.conv(0, [3, 5], 1, Window::square(3, 1));
    let pool = net.add(Op::MaxPool(MaxPool { window: Window::square(3, 2) }), &[stem]);
    let last = net.add(SIGMOID, &[pool]);
    // 5 channels of 3 × 5 pixels: 75 winners of a byte.
    check(net.finish(), &[last], Shape::maps(1, 3, 9, 13));
}

#[test]
fn pixels_of_many_channels_lie_apart() {
    let mut net = Sketch::new();
    let stem = net.conv(0, [3, 512], 1, Window::square(3, 2));
    let stem = net.add(RELU, &[stem]);
    let a = net.conv(stem, [512, 16], 1, Window::square(1, 1));
    let a = net.conv(a, [16, 512], 1, Window::square(3, 1).padded(Padding::all(1)));
    let sum = net.add(Op::Elementwise(Elementwise::Add), &[a, stem]);
    let sum = net.add(RELU, &[sum]);
    let a = net.conv(sum, [512, 16], 1, Window::square(1, 1));
    let a = net.conv(a, [16, 512], 1, Window::square(1, 1));
    // Read by an op, hence without gaps, unlike the residual.
    let sum = net.add(Op::Elementwise(Elementwise::Add), &[a, sum]);
    let last = net.add(SIGMOID, &[sum]);
    let graph = net.finish();
    check(graph.clone(), &[last], Shape::maps(1, 3, 9, 8));
    check(graph, &[stem, last], Shape::maps(2, 3, 7, 7));
}

#[test]
fn a_lean_net_computes_the_same() {
    let mut net = Sketch::new();
    let conv = net.conv(0, [3, 16], 1, Window::square(3, 1));
    let norm = net.batch_norm(conv, 16);
    // Two consumers: the batch norm stays an op of its own, with parameters.
    let twice = net.add(Op::Elementwise(Elementwise::Mul), &[norm, conv]);
    let graph = net.finish();
    let shape = graph.native_input_shape(1);
    let input: Vec<f32> = (0..shape.len()).map(|i| (i % 17) as f32 / 8.0 - 1.0).collect();
    let blob_of = |frozen: &FrozenNet| {
        let mut session = frozen.session(&shape, false, None).unwrap();
        session.input_mut().copy_from_slice(&input);
        session.forward();
        session.blob(twice).data.to_vec()
    };
    let lean = FrozenNet::lean(&graph, &[twice]);
    assert_eq!(blob_of(&lean), blob_of(&FrozenNet::new(graph.clone(), &[twice])));
    let values = |graph: &Graph, id| graph.params_of(id).map(|param| param.data.len()).sum::<usize>();
    assert_eq!([values(lean.graph(), conv), values(lean.graph(), norm)], [0, values(&graph, norm)]);
}

#[test]
fn a_session_needs_less_memory_without_a_gradient() {
    let mut net = Sketch::new();
    let mut x = 0;
    for i in 0..6 {
        x = net.conv(x, [if i == 0 { 3 } else { 16 }, 16], 1, Window::square(3, 1).padded(Padding::all(1)));
        x = net.add(RELU, &[x]);
    }
    let graph = net.finish();
    let frozen = FrozenNet::new(graph, &[x]);
    let shape = Shape::maps(1, 3, 64, 64);
    let map = 64 * 64 * 16 * size_of::<f32>();
    let forward = frozen.session_bytes(&shape, false).unwrap();
    let both = frozen.session_bytes(&shape, true).unwrap();
    assert!(forward < 2 * map + 4096, "two maps at a time: {forward}");
    // The target's blob lives on; beside it two gradients, and a bit an activation.
    assert!(both < 3 * map + 6 * map / 32 + 64 * 64 * 3 * 8, "three maps and the masks: {both}");
    let session = frozen.session(&shape, true, None).unwrap();
    assert_eq!(session.bytes(), both.next_multiple_of(64));
}

#[test]
fn steps_say_what_runs_together_and_can_be_timed() {
    let mut net = Sketch::new();
    let conv = net.conv(0, [3, 16], 1, Window::square(3, 1));
    let norm = net.batch_norm(conv, 16);
    let relu = net.add(RELU, &[norm]);
    let dropout = net.add(Op::Dropout(Dropout { rate: 0.5 }), &[relu]);
    let smooth = net.add(SIGMOID, &[dropout]);
    let graph = net.finish();
    let frozen = FrozenNet::new(graph.clone(), &[smooth]);
    assert_eq!(frozen.steps().collect::<Vec<_>>(), [&[conv, norm, relu][..], &[smooth]]);

    let shape = graph.native_input_shape(1);
    let input: Vec<f32> = (0..shape.len()).map(|i| (i % 17) as f32 / 8.0 - 1.0).collect();
    let mut outcomes = Vec::new();
    let mut last_nodes = Vec::new();
    for timed in [false, true] {
        let mut session = frozen.session(&shape, true, None).unwrap();
        session.input_mut().copy_from_slice(&input);
        if timed {
            last_nodes.extend(session.profile_forward().iter().map(|step| step.node));
        } else {
            session.forward();
        }
        let (blob, seed) = session.blob_and_seed(smooth);
        seed.copy_from_slice(blob.data);
        if timed {
            last_nodes.extend(session.profile_backward(ReluRule::Gradient).iter().map(|step| step.node));
        } else {
            session.backward(ReluRule::Gradient);
        }
        outcomes.push((session.blob(smooth).data.to_vec(), session.d_input().to_vec()));
    }
    assert!(outcomes[0] == outcomes[1], "the clock changes the result");
    last_nodes.dedup();
    assert_eq!(last_nodes, [relu, smooth, relu]);
}
