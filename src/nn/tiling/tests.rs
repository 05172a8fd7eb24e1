use std::sync::Arc;

use super::*;
use crate::nn::exec::{FrozenNet, Session};
use crate::nn::graph::{ChannelOrder, GraphBuilder, Preprocess};
use crate::nn::ops::ReluRule;
use crate::nn::ops::activation::Activation;
use crate::nn::ops::check::Tensor;
use crate::nn::ops::concat::Concat;
use crate::nn::ops::conv::Conv2d;
use crate::nn::ops::elementwise::Elementwise;
use crate::nn::ops::lrn::{Lrn, LrnRegion};
use crate::nn::ops::pool::{AveragePool, Divisor, GlobalPool, GlobalPoolKind, MaxPool};
use crate::nn::ops::slice::Slice;
use crate::nn::ops::window::{Padding, Window};

const CHANNELS: usize = 3;

/// A net of random weights, built layer by layer.
struct Net {
    builder: GraphBuilder,
    last: NodeId,
    channels: Vec<usize>,
}

impl Net {
    fn new() -> Self {
        Self { builder: GraphBuilder::new("picture", CHANNELS, [64, 64]), last: 0, channels: vec![CHANNELS] }
    }

    fn add(&mut self, op: Op, inputs: &[NodeId], params: &[&str], channels: usize) -> NodeId {
        let name = format!("{}{}", op.kind(), self.channels.len());
        self.last = self.builder.add(&name, op, inputs, params);
        self.channels.push(channels);
        self.last
    }

    fn conv(&mut self, input: NodeId, outs: usize, window: Window, groups: usize) -> NodeId {
        let [height, width] = window.kernel;
        let ins = self.channels[input] / groups;
        let name = format!("weight{}", self.channels.len());
        let reach = (4.0 / (ins * height * width) as f64).sqrt();
        let weight =
            Tensor::<f32>::random_between(&[outs, ins, height, width], self.channels.len() as u64, -reach, reach);
        self.builder.param(&name, weight.shape.dims(), weight.data);
        let conv = self.add(Op::Conv2d(Conv2d { window, groups }), &[input], &[&name], outs);
        self.add(Op::Activation(Activation::Relu), &[conv], &[], outs)
    }

    fn then(&mut self, op: Op) -> NodeId {
        let last = self.last;
        let channels = self.channels[last];
        self.add(op, &[last], &[], channels)
    }

    fn max_pool(&mut self, window: Window) -> NodeId {
        self.then(Op::MaxPool(MaxPool { window }))
    }

    fn finish(self) -> Arc<Graph> {
        let preprocess = Preprocess { order: ChannelOrder::Rgb, mean: vec![0.0; 3], scale: vec![1.0; 3] };
        Arc::new(self.builder.finish("random", preprocess, Vec::new()).expect("the net is sound"))
    }
}

fn explicit(kernel: usize, stride: usize, pad: usize) -> Window {
    Window::square(kernel, stride).padded(Padding::all(pad))
}

fn same(kernel: usize, stride: usize, padding: Padding) -> Window {
    Window::square(kernel, stride).padded(padding)
}

/// As GoogLeNet begins and goes on: strides, pools of Caffe's rounding, normalization, branches of all sorts.
fn like_googlenet() -> (Arc<Graph>, Vec<NodeId>) {
    let mut net = Net::new();
    net.conv(0, 8, explicit(7, 2, 3), 1);
    net.max_pool(Window::square(3, 2).ceil());
    let early =
        net.then(Op::Lrn(Lrn { size: 5, alpha: 0.1, beta: 0.75, bias: 1.0, region: LrnRegion::AcrossChannels }));
    net.conv(early, 12, explicit(3, 1, 1), 1);
    let stem = net.max_pool(Window::square(3, 2).ceil());
    let a = net.conv(stem, 4, explicit(1, 1, 0), 1);
    let b = net.conv(stem, 8, explicit(3, 1, 1), 1);
    let c = net.conv(stem, 4, explicit(5, 1, 2), 1);
    net.last = stem;
    let pool = net.max_pool(explicit(3, 1, 1));
    let d = net.conv(pool, 4, explicit(1, 1, 0), 1);
    let joined = net.add(Op::Concat(Concat { axis: MapAxis::Channel }), &[a, b, c, d], &[], 20);
    (net.finish(), vec![early, joined])
}

/// As TensorFlow pads, with depthwise, dilated and residual layers.
fn like_tensorflow() -> (Arc<Graph>, Vec<NodeId>) {
    let mut net = Net::new();
    net.conv(0, 8, same(3, 2, Padding::SameUpper), 1);
    let last = net.last;
    net.conv(last, 8, same(5, 2, Padding::SameUpper), 8);
    let block = net.last;
    let wide = Window { dilation: [2, 3], ..same(3, 1, Padding::SameUpper) };
    let branch = net.conv(block, 8, wide, 1);
    let sum = net.add(Op::Elementwise(Elementwise::Add), &[branch, block], &[], 8);
    let last = net.conv(sum, 10, same(4, 2, Padding::SameLower), 1);
    net.conv(last, 6, same(3, 1, Padding::SameUpper), 1);
    let window = Window::square(2, 2).padded(Padding::SameUpper);
    let pooled = net.then(Op::AveragePool(AveragePool { window, divisor: Divisor::Inside }));
    (net.finish(), vec![pooled, sum])
}

fn session(graph: &Arc<Graph>, targets: &[NodeId], size: [usize; 2]) -> Session {
    let input = Shape::maps(1, CHANNELS, size[0], size[1]);
    FrozenNet::new(graph.clone(), targets).session(&input, true, None).expect("the net takes it")
}

/// ½ Σ a² of the units of each part, and its gradient.
fn value_and_gradient(
    session: &mut Session,
    targets: &[NodeId],
    picture: &[f32],
    part: impl Fn(NodeId) -> Part,
) -> (f64, Vec<f32>) {
    session.input_mut().copy_from_slice(picture);
    session.forward();
    let mut value = 0.0;
    for &target in targets {
        let (blob, seed) = session.blob_and_seed(target);
        let [_, channels, _, width] = blob.shape.as_maps().expect("maps");
        seed.fill(0.0);
        let [rows, columns] = part(target).own;
        for row in rows {
            let run = (row * width + columns.start) * channels..(row * width + columns.end) * channels;
            seed[run.clone()].copy_from_slice(&blob.data[run.clone()]);
            value += blob.data[run].iter().map(|&a| 0.5 * f64::from(a) * f64::from(a)).sum::<f64>();
        }
    }
    session.backward(ReluRule::Gradient);
    (value, session.d_input().to_vec())
}

/// The largest difference of the gradient in tiles from that of the whole, relative to the largest gradient; and the
/// relative difference of the values. Also the number of tiles.
fn disagreement((graph, targets): &(Arc<Graph>, Vec<NodeId>), size: [usize; 2], side_px: usize) -> (f64, f64, usize) {
    let [height, width] = size;
    let picture = Tensor::<f32>::random(&[height, width, CHANNELS], 1).data;
    let whole = Tiling::whole(graph, targets, size).expect("the net takes it");
    let (value, expected) =
        value_and_gradient(&mut session(graph, targets, size), targets, &picture, |target| whole.part(0, target));
    let tiling = Tiling::new(graph, targets, size, side_px).expect("it can be cut");
    let [tile_height, tile_width] = tiling.tile_size();
    let mut session = session(graph, targets, [tile_height, tile_width]);
    let (mut sum, mut got) = (0.0, vec![0.0f32; expected.len()]);
    for tile in 0..tiling.count() {
        let [top, left] = tiling.origin_px(tile);
        let row = |y: usize| ((top + y) * width + left) * CHANNELS..((top + y) * width + left + tile_width) * CHANNELS;
        let piece: Vec<f32> = (0..tile_height).flat_map(|y| picture[row(y)].to_vec()).collect();
        let (value, gradient) = value_and_gradient(&mut session, targets, &piece, |target| tiling.part(tile, target));
        sum += value;
        for (y, gradient) in gradient.chunks_exact(tile_width * CHANNELS).enumerate() {
            got[row(y)].iter_mut().zip(gradient).for_each(|(sum, d)| *sum += d);
        }
    }
    let largest = expected.iter().fold(0.0f32, |most, d| most.max(d.abs()));
    let difference = got.iter().zip(&expected).fold(0.0f32, |most, (a, b)| most.max((a - b).abs()));
    (f64::from(difference / largest), (sum - value).abs() / value, tiling.count())
}

#[test]
fn the_gradient_in_tiles_is_that_of_the_whole() {
    let mut wrong = Vec::new();
    for (name, net) in [("googlenet", like_googlenet()), ("tensorflow", like_tensorflow())] {
        // Remainders of both sides by the strides, and tiles of several sizes.
        for size in [0, 1, 2, 5, 7, 12].map(|more| [120 + more, 151 - (more * 3) % 16]) {
            for side_px in [24, 64] {
                let (gradient, value, count) = disagreement(&net, size, side_px);
                if gradient > 1e-4 || value > 1e-5 || count < 2 {
                    wrong.push(format!("{name} {size:?} in {count} tiles of {side_px}: {gradient:e} {value:e}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_sees_the_whole_picture_or_depends_on_its_size_is_not_cut() {
    let refused = |op: Op| {
        let mut net = Net::new();
        net.conv(0, 4, explicit(3, 1, 1), 1);
        let last = net.then(op);
        let graph = net.finish();
        Tiling::new(&graph, &[last], [64, 64], 16).expect_err("it cannot be cut").to_string()
    };
    let pool = GlobalPool { kind: GlobalPoolKind::Average };
    assert_eq!(refused(Op::GlobalPool(pool)), "layer `GlobalPool3` looks at the whole picture at once");
    let grid = "does not lie on one grid of pixels with the layers before it";
    let slice = Slice { axis: MapAxis::Height, start: 2, end: 30 };
    assert_eq!(refused(Op::Slice(slice)), format!("layer `Slice3` {grid}"));
}

#[test]
fn a_picture_no_larger_than_a_tile_is_whole() {
    let (graph, targets) = like_googlenet();
    let tiling = Tiling::new(&graph, &targets, [90, 120], 1000).expect("it can be cut");
    assert_eq!(tiling, Tiling::whole(&graph, &targets, [90, 120]).expect("the net takes it"));
}

#[test]
fn every_place_belongs_to_one_tile() {
    let (graph, targets) = like_googlenet();
    let tiling = Tiling::new(&graph, &targets, [203, 187], 40).expect("it can be cut");
    for place in [[0.0, 0.0], [0.5, 0.5], [1.0, 1.0], [0.31, 0.87]] {
        let owners = (0..tiling.count()).filter(|&tile| tiling.part(tile, targets[1]).place(place).is_some());
        assert_eq!(owners.count(), 1, "{place:?}");
    }
    let place = |fraction: f32, len| Part::all([len, 1]).place([fraction, 0.0]).map(|[row, _]| row);
    let cases = [(0.5, 7, 3), (0.5, 1, 0), (0.0, 7, 0), (1.0, 7, 6), (0.999, 4, 3)];
    assert!(cases.iter().all(|&(fraction, len, index)| place(fraction, len) == Some(index)));
}
