//! What a net is made of: layers, shapes, parameters, cost, memory, and how much of the picture each layer sees; and
//! what it does with a photo: how long each layer takes, what each computes, and whether another net computes the same.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::base::tensor::Shape;
use crate::base::text::with_unit;
use crate::nn::graph::{Graph, GraphError, NodeId, Preprocess};
use crate::nn::ops::OpError;
use crate::nn::receptive_field::{ReceptiveField, receptive_fields};
use crate::tasks::dream::DreamError;

mod compare;
pub mod describe;
mod dot;
mod dump;
mod fold;
mod memory;
pub mod npy;
mod objective;
mod photo;
mod profile;
mod svg;

pub use compare::{Answer, Comparison, DEFAULT_TOLERANCE, Difference, LayerDifference, Top, compare};
pub use dot::dot;
pub use dump::{ALL, Dump, Dumper, FileNames, file_names};
pub use memory::{DreamMemory, Role, available_bytes, dream_memory};
pub use objective::Objective;
pub use photo::NetInput;
pub use profile::{DEFAULT_ROUNDS, FamilyTime, MOST_ROUNDS, Profile, ProfileRow, ProfileTotals, profile};
pub use svg::svg;

/// Why a net could not be looked into.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    #[error("the picture has no pixels")]
    EmptyPicture,
    #[error("only the picture itself is asked for, and there is nothing to run: name a layer")]
    NothingToRun,
    #[error("{rounds} rounds cannot be measured: choose from 1 to {MOST_ROUNDS}")]
    Rounds { rounds: usize },
    #[error(
        "this needs {}B of memory, but only {}B may be used: choose a smaller size",
        with_unit(*.needed_bytes),
        with_unit(*.available_bytes)
    )]
    Memory { needed_bytes: u64, available_bytes: u64 },
    #[error("the nets cannot be compared: `{a}` ends in {a_shape}, `{b}` in {b_shape}")]
    Outputs { a: String, a_shape: Shape, b: String, b_shape: Shape },
    #[error("the net `{net}` does not end in class scores, but in {shape}: leave out the class")]
    NoClassScores { net: String, shape: Shape },
    #[error(transparent)]
    Class(#[from] DreamError),
    #[error(transparent)]
    Graph(#[from] GraphError),
}

/// One layer of a net, as a line of a table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Layer {
    pub name: String,
    /// The kind of operation: `Conv2d`, `MaxPool`, …
    pub kind: &'static str,
    /// The names of the layers whose outputs it takes.
    pub inputs: Vec<String>,
    /// The output for one picture, without the batch: channels, height, width for maps.
    pub output: Vec<usize>,
    /// Of the output for one picture, as f32. A dream holds only those that are needed at the same time: what it takes
    /// as a whole, [`dream_memory`] says.
    pub bytes: u64,
    /// The number of weights, those shared with another layer included.
    pub params: u64,
    /// Multiply-accumulates for one picture. As [`Graph::macs_for`] counts them.
    pub macs: u64,
    /// `[vertical, horizontal]` pixels of the picture that one value sees; `None` is all of it.
    pub receptive_field: Option<[f64; 2]>,
    /// `[vertical, horizontal]` pixels of the picture between neighbouring values; `None` where there is one for all.
    pub stride: Option<[f64; 2]>,
}

impl Layer {
    /// `864 weights, 10.8 M MACs`, for layers that have any.
    fn cost(&self) -> Option<String> {
        let told = |number: u64, what: &str| (number > 0).then(|| format!("{} {what}", with_unit(number)));
        let parts: Vec<String> =
            [told(self.params, "weights"), told(self.macs, "MACs")].into_iter().flatten().collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }
}

/// The sums over a net, and what it says of itself.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Totals {
    pub net: String,
    /// Where the net comes from, in words; empty where it does not say.
    pub source: String,
    /// Empty where the net does not say.
    pub licence: String,
    /// The picture that the net was trained with: channels, height, width.
    pub native_input: Vec<usize>,
    pub preprocess: Preprocess,
    /// The picture that shapes and costs are for: channels, height, width.
    pub input: Vec<usize>,
    /// The number of layers, the input not counted.
    pub layers: usize,
    /// The number of weights, each counted once.
    pub params: u64,
    pub macs: u64,
    /// Of all outputs together, as f32; the input not counted.
    pub bytes: u64,
    /// The number of classes that have names.
    pub labels: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Inspection {
    pub layers: Vec<Layer>,
    pub totals: Totals,
}

/// Looks at every layer of `graph`, for pictures of `size_px` (`[height, width]`) or else of the net's own size.
///
/// # Errors
/// Where a layer refuses a picture of that size.
pub fn inspect(graph: &Graph, size_px: Option<[usize; 2]>) -> Result<Inspection, GraphError> {
    let input = input_shape(graph, size_px)?;
    let shapes = graph.shapes(&input)?;
    let fields = receptive_fields(graph, &shapes);
    let all: Vec<NodeId> = (0..graph.nodes().len()).collect();
    let macs = graph.macs_for(&input, &all)?;
    let layers: Vec<Layer> = all[1..].iter().map(|&id| layer(graph, id, &shapes[id], macs[id], fields[id])).collect();
    let used: BTreeSet<&String> = graph.nodes().iter().flat_map(|node| &node.params).collect();
    let totals = Totals {
        net: graph.name().to_string(),
        source: graph.provenance().source.clone(),
        licence: graph.provenance().licence.clone(),
        native_input: without_batch(&graph.native_input_shape(1)),
        preprocess: graph.preprocess().clone(),
        input: without_batch(&input),
        layers: layers.len(),
        params: used.into_iter().map(|name| graph.params()[name].data.len() as u64).sum(),
        macs: layers.iter().fold(0, |sum, layer| sum.saturating_add(layer.macs)),
        bytes: layers.iter().fold(0, |sum, layer| sum.saturating_add(layer.bytes)),
        labels: graph.labels().len(),
    };
    Ok(Inspection { layers, totals })
}

fn layer(graph: &Graph, id: NodeId, output: &Shape, macs: u64, field: ReceptiveField) -> Layer {
    let node = graph.node(id);
    let (receptive_field, stride) = match field {
        ReceptiveField::Local(axes) => (Some(axes.map(|axis| axis.size_px)), Some(axes.map(|axis| axis.stride_px))),
        ReceptiveField::Whole => (None, None),
    };
    Layer {
        name: node.name.clone(),
        kind: node.op.kind(),
        inputs: node.inputs.iter().map(|&input| graph.node(input).name.clone()).collect(),
        output: without_batch(output),
        bytes: (output.len() as u64).saturating_mul(size_of::<f32>() as u64),
        params: graph.params_of(id).map(|param| param.data.len() as u64).sum(),
        macs,
        receptive_field,
        stride,
    }
}

/// The input for one picture of `size_px` (`[height, width]`), or else of the net's own size.
fn input_shape(graph: &Graph, size_px: Option<[usize; 2]>) -> Result<Shape, GraphError> {
    let [height, width] = size_px.unwrap_or(graph.input().size);
    Shape::new(&[1, graph.input().channels, height, width])
        .ok_or_else(|| GraphError::Node { node: graph.node(0).name.clone(), source: OpError::TooLarge })
}

fn without_batch(shape: &Shape) -> Vec<usize> {
    shape.dims().get(1..).unwrap_or_default().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::graph::{ChannelOrder, GraphBuilder, Preprocess};
    use crate::nn::ops::concat::Concat;
    use crate::nn::ops::conv::Conv2d;
    use crate::nn::ops::conv_transpose::ConvTranspose2d;
    use crate::nn::ops::elementwise::Elementwise;
    use crate::nn::ops::linear::Linear;
    use crate::nn::ops::pool::{GlobalPool, GlobalPoolKind, MaxPool};
    use crate::nn::ops::reshape::Reshape;
    use crate::nn::ops::window::{Padding, Window};
    use crate::nn::ops::{MapAxis, Op};

    /// A net of three colour channels that is put together layer by layer; every convolution has one channel out.
    struct Chain {
        builder: GraphBuilder,
        last: NodeId,
        channels: usize,
    }

    impl Chain {
        fn new(size_px: usize) -> Self {
            Self { builder: GraphBuilder::new("data", 3, [size_px; 2]), last: GraphBuilder::INPUT, channels: 3 }
        }

        fn conv(&mut self, from: NodeId, in_channels: usize, kernel: usize, stride: usize) -> NodeId {
            let window = Window::square(kernel, stride).padded(Padding::all(kernel / 2));
            let name = format!("conv{}", self.last + 1);
            self.builder.param(&name, &[1, in_channels, kernel, kernel], vec![0.0; in_channels * kernel * kernel]);
            self.last = self.builder.add(&name, Op::Conv2d(Conv2d { window, groups: 1 }), &[from], &[&name]);
            self.last
        }

        fn then_conv(&mut self, kernel: usize, stride: usize) -> &mut Self {
            let (last, channels) = (self.last, std::mem::replace(&mut self.channels, 1));
            self.conv(last, channels, kernel, stride);
            self
        }

        fn then_pool(&mut self, kernel: usize, stride: usize) -> &mut Self {
            let op = Op::MaxPool(MaxPool { window: Window::square(kernel, stride) });
            self.then("pool", op)
        }

        fn then(&mut self, name: &str, op: Op) -> &mut Self {
            self.last = self.builder.add(&format!("{name}{}", self.last + 1), op, &[self.last], &[]);
            self
        }

        fn finish(self) -> Graph {
            let preprocess = Preprocess { order: ChannelOrder::Rgb, mean: vec![0.0; 3], scale: vec![1.0; 3] };
            self.builder.finish("chain", preprocess, Vec::new()).expect("the net is sound")
        }
    }

    fn last_field(graph: &Graph) -> (Option<[f64; 2]>, Option<[f64; 2]>) {
        let inspection = inspect(graph, None).expect("the net takes its own size");
        let last = inspection.layers.last().expect("the net has layers");
        (last.receptive_field, last.stride)
    }

    #[test]
    fn receptive_fields_agree_with_the_published_ones() {
        // Araujo 2019, table 1: VGG16 sees 212 pixels every 32, MobileNet 315 every 32.
        let mut vgg16 = Chain::new(224);
        for convs in [2, 2, 3, 3, 3] {
            for _ in 0..convs {
                vgg16.then_conv(3, 1);
            }
            vgg16.then_pool(2, 2);
        }
        assert_eq!(last_field(&vgg16.finish()), (Some([212.0; 2]), Some([32.0; 2])));

        let mut mobilenet = Chain::new(224);
        for stride in [2, 1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1] {
            mobilenet.then_conv(3, stride).then_conv(1, 1);
        }
        assert_eq!(last_field(&mobilenet.finish()), (Some([315.0; 2]), Some([32.0; 2])));
    }

    #[test]
    fn where_branches_meet_the_wider_field_counts() {
        let mut net = Chain::new(32);
        net.then_conv(3, 2);
        let stem = net.last;
        let narrow = net.conv(stem, 1, 1, 1);
        let wide = net.conv(stem, 1, 5, 1);
        net.last = net.builder.add("concat", Op::Concat(Concat { axis: MapAxis::Channel }), &[narrow, wide], &[]);
        let after = net.conv(net.last, 2, 1, 1);
        net.last = net.builder.add("sum", Op::Elementwise(Elementwise::Add), &[after, stem], &[]);
        // The stem sees 3 pixels every 2, five of its values 3 + 4 · 2.
        assert_eq!(last_field(&net.finish()), (Some([11.0; 2]), Some([2.0; 2])));
    }

    #[test]
    fn upsampling_halves_the_stride_and_global_layers_see_everything() {
        let mut net = Chain::new(32);
        net.then_conv(3, 2);
        net.builder.param("up", &[1, 1, 4, 4], vec![0.0; 16]);
        let window = Window::square(4, 2).padded(Padding::all(1));
        let up = Op::ConvTranspose2d(ConvTranspose2d { window, groups: 1, output_padding: [0; 2] });
        net.last = net.builder.add("up", up, &[net.last], &["up"]);
        net.then("pool", Op::GlobalPool(GlobalPool { kind: GlobalPoolKind::Average }));
        let inspection = inspect(&net.finish(), None).expect("the net takes its own size");
        let [_, up, pool] = inspection.layers.as_slice() else { panic!("three layers: {inspection:?}") };
        // Each value behind the transposed convolution meets two of those before it.
        assert_eq!((up.receptive_field, up.stride), (Some([5.0; 2]), Some([1.0; 2])));
        assert_eq!((pool.receptive_field, pool.stride), (None, None));
    }

    #[test]
    fn parameters_and_cost_are_counted_by_hand() {
        let mut net = Chain::new(8);
        net.then_conv(3, 2).then("flat", Op::Reshape(Reshape::flatten()));
        net.builder.param("fc", &[10, 16], vec![0.0; 160]);
        net.builder.param("fc bias", &[10], vec![0.0; 10]);
        net.builder.add("fc", Op::Linear(Linear {}), &[net.last], &["fc", "fc bias"]);
        let graph = net.finish();
        let inspection = inspect(&graph, None).expect("the net takes its own size");
        let rows: Vec<_> = inspection.layers.iter().map(|l| (l.output.clone(), l.params, l.macs)).collect();
        // 4 × 4 values of 3 · 3 · 3 weights each; 10 of 16 weights each.
        assert_eq!(rows, [(vec![1, 4, 4], 27, 16 * 27), (vec![16], 0, 0), (vec![10], 170, 160)]);
        assert_eq!((inspection.totals.params, inspection.totals.macs), (197, 16 * 27 + 160));
        assert_eq!((inspection.totals.input.as_slice(), inspection.totals.bytes), (&[3, 8, 8][..], 4 * (16 + 16 + 10)));
        assert_eq!(
            (inspection.layers[2].inputs.as_slice(), inspection.layers[2].bytes),
            (&["flat2".to_string()][..], 40)
        );
        assert_eq!(inspection.totals.native_input, [3, 8, 8]);
        assert!(matches!(inspect(&graph, Some([16, 16])), Err(GraphError::Node { .. })), "fc takes 16 values only");
    }
}
