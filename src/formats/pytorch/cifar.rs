//! Small nets of widely copied programs, which torchvision does not have.
//!
//! The residual nets for CIFAR of Idelbayev's `pytorch_resnet_cifar10` and of Liu's `pytorch-cifar`, the nets of
//! PyTorch's CIFAR-10 tutorial and of its MNIST example, and burn's MNIST net.

use std::collections::BTreeMap;

use super::StateDict;
use super::names::is_for_training;
use crate::formats::imported::{FoundPreprocess, Imported};
use crate::nn::graph::{ChannelOrder, GraphBuilder, NodeId, Param};
use crate::nn::ops::Op;
use crate::nn::ops::activation::Activation;
use crate::nn::ops::batch_norm::BatchNorm;
use crate::nn::ops::conv::Conv2d;
use crate::nn::ops::dropout::Dropout;
use crate::nn::ops::elementwise::Elementwise;
use crate::nn::ops::linear::Linear;
use crate::nn::ops::pool::{GlobalPool, GlobalPoolKind, MaxPool};
use crate::nn::ops::reshape::Reshape;
use crate::nn::ops::softmax::Softmax;
use crate::nn::ops::window::{Padding, Window};

/// The net of a state dict that is of one of these families and has nothing else.
pub(super) fn net(dict: &StateDict) -> Option<Imported> {
    let families = [residual, tutorial, mnist_example, burn_mnist];
    let (draft, family) = families.iter().find_map(|family| {
        let mut draft = Draft::new(dict)?;
        let family = family(&mut draft)?;
        draft.is_used_up().then_some((draft, family))
    })?;
    let Family { name, preprocess, source } = family;
    let mut imported = Imported::new(name, draft.net);
    imported.preprocess = preprocess;
    imported.notes = dict.notes.clone();
    imported.notes.push(format!(
        "The tensors are those of {source}; the file does not say so, nor how pictures are to be prepared: as there is \
         assumed."
    ));
    Some(imported)
}

struct Family {
    name: String,
    preprocess: FoundPreprocess,
    /// Whose net it is, to follow "those of".
    source: &'static str,
}

/// A net while it is drawn from the tensors that are left.
struct Draft {
    net: GraphBuilder,
    left: BTreeMap<String, Param>,
}

/// PyTorch's default.
const EPSILON: f32 = 1e-5;
const RELU: Op = Op::Activation(Activation::Relu);

impl Draft {
    /// Starts with as many channels as the first convolution takes: pictures of CIFAR or of MNIST.
    fn new(dict: &StateDict) -> Option<Self> {
        let channels = match dict.params.get("conv1.weight")?.shape.as_slice() {
            &[_, channels @ (1 | 3), _, _] => channels,
            _ => return None,
        };
        let size = if channels == 3 { 32 } else { 28 };
        let left = dict.params.iter().filter(|(name, _)| !is_for_training(name));
        let left = left.map(|(name, param)| (name.clone(), param.clone())).collect();
        Some(Self { net: GraphBuilder::new("input", channels, [size; 2]), left })
    }

    fn is_used_up(&self) -> bool {
        self.left.is_empty()
    }

    fn has(&self, name: &str) -> bool {
        self.left.contains_key(name)
    }

    fn shape(&self, name: &str) -> Option<&[usize]> {
        self.left.get(name).map(|param| param.shape.as_slice())
    }

    /// `[channels, height, width]`, or `[length, 1, 1]`.
    fn maps(&self, id: NodeId) -> Option<[usize; 3]> {
        self.net.shape(id)?.as_maps().map(|[_, channels, height, width]| [channels, height, width])
    }

    /// A node that takes parameters of its own name; `None` where one is missing or does not fit.
    fn node(&mut self, name: &str, op: Op, inputs: &[NodeId], suffixes: &[&str]) -> Option<NodeId> {
        let mut names = Vec::new();
        for suffix in suffixes {
            let param_name = format!("{name}.{suffix}");
            let param = self.left.remove(&param_name)?;
            self.net.param(&param_name, &param.shape, param.data);
            names.push(param_name);
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let id = self.net.add(name, op, inputs, &names);
        self.net.shape(id)?;
        Some(id)
    }

    /// The kernel's size must be the one given.
    fn conv(&mut self, name: &str, input: NodeId, window: Window) -> Option<NodeId> {
        let suffixes: &[&str] = if self.has(&format!("{name}.bias")) { &["weight", "bias"] } else { &["weight"] };
        self.node(name, Op::Conv2d(Conv2d { window, groups: 1 }), &[input], suffixes)
    }

    fn batch_norm(&mut self, name: &str, input: NodeId) -> Option<NodeId> {
        let suffixes = ["weight", "bias", "running_mean", "running_var"];
        self.node(name, Op::BatchNorm(BatchNorm { epsilon: EPSILON }), &[input], &suffixes)
    }

    fn linear(&mut self, name: &str, input: NodeId) -> Option<NodeId> {
        self.node(name, Op::Linear(Linear {}), &[input], &["weight", "bias"])
    }

    fn relu(&mut self, name: &str, input: NodeId) -> Option<NodeId> {
        self.node(name, RELU, &[input], &[])
    }

    fn flatten(&mut self, input: NodeId) -> Option<NodeId> {
        self.node("flatten", Op::Reshape(Reshape::flatten()), &[input], &[])
    }

    fn softmax(&mut self, input: NodeId) -> Option<NodeId> {
        self.node("softmax", Op::Softmax(Softmax {}), &[input], &[])
    }

    fn half_pool(&mut self, name: &str, input: NodeId) -> Option<NodeId> {
        self.node(name, Op::MaxPool(MaxPool { window: Window::square(2, 2) }), &[input], &[])
    }

    fn dropout(&mut self, name: &str, input: NodeId, rate: f32) -> Option<NodeId> {
        self.node(name, Op::Dropout(Dropout { rate }), &[input], &[])
    }
}

/// `(p / 255 − mean) / deviation`.
fn normalized(order: ChannelOrder, mean: &[f32], deviation: &[f32]) -> FoundPreprocess {
    FoundPreprocess {
        order: Some(order),
        mean: Some(mean.iter().map(|mean| 255.0 * mean).collect()),
        scale: Some(deviation.iter().map(|deviation| 1.0 / (255.0 * deviation)).collect()),
    }
}

/// A residual net (He 2015) for pictures of 32×32: a stem of 3×3, stages of which all but the first halve the maps.
fn residual(draft: &mut Draft) -> Option<Family> {
    const MAX_STAGES: usize = 4;
    let stem = Window::square(3, 1).padded(Padding::all(1));
    let mut maps = draft.conv("conv1", GraphBuilder::INPUT, stem)?;
    maps = draft.batch_norm("bn1", maps)?;
    maps = draft.relu("relu", maps)?;
    let (mut layers, mut stages) = (2, 0);
    let has_shortcut_weights = draft.left.keys().any(|name| name.contains(".shortcut."));
    while stages < MAX_STAGES && draft.has(&format!("layer{}.0.conv1.weight", stages + 1)) {
        stages += 1;
        let mut block = 0;
        while draft.has(&format!("layer{stages}.{block}.conv1.weight")) {
            let stride = if stages > 1 && block == 0 { 2 } else { 1 };
            let is_last = !draft.has(&format!("layer{stages}.{}.conv1.weight", block + 1));
            let (after, convolutions) =
                residual_block(draft, &format!("layer{stages}.{block}"), maps, stride, is_last)?;
            maps = after;
            layers += convolutions;
            block += 1;
        }
    }
    if stages < 3 {
        return None;
    }
    maps = draft.node("avgpool", Op::GlobalPool(GlobalPool { kind: GlobalPoolKind::Average }), &[maps], &[])?;
    maps = draft.flatten(maps)?;
    maps = draft.linear("linear", maps)?;
    draft.softmax(maps)?;
    // Idelbayev's trainer normalizes as ImageNet's nets do, Liu's by CIFAR-10's own mean and deviation.
    let (preprocess, source) = if has_shortcut_weights {
        let preprocess = normalized(ChannelOrder::Rgb, &[0.4914, 0.4822, 0.4465], &[0.2023, 0.1994, 0.2010]);
        (preprocess, "a residual net for CIFAR as in pytorch-cifar")
    } else {
        let preprocess = normalized(ChannelOrder::Rgb, &[0.485, 0.456, 0.406], &[0.229, 0.224, 0.225]);
        (preprocess, "a residual net for CIFAR as in pytorch_resnet_cifar10")
    };
    Some(Family { name: format!("resnet{layers}_cifar"), preprocess, source })
}

/// Two convolutions of 3×3, or three of which the outer are 1×1, and how many they are.
fn residual_block(
    draft: &mut Draft,
    name: &str,
    input: NodeId,
    stride: usize,
    is_last: bool,
) -> Option<(NodeId, usize)> {
    let (one, three) = (Window::square(1, 1), |stride| Window::square(3, stride).padded(Padding::all(1)));
    let windows = if draft.has(&format!("{name}.conv3.weight")) {
        vec![one, three(stride), one]
    } else {
        vec![three(stride), three(1)]
    };
    let mut branch = input;
    for (number, &window) in (1..).zip(&windows) {
        branch = draft.conv(&format!("{name}.conv{number}"), branch, window)?;
        branch = draft.batch_norm(&format!("{name}.bn{number}"), branch)?;
        if number < windows.len() {
            branch = draft.relu(&format!("{name}.relu{number}"), branch)?;
        }
    }
    let mut shortcut = input;
    if draft.has(&format!("{name}.shortcut.0.weight")) {
        shortcut = draft.conv(&format!("{name}.shortcut.0"), input, Window::square(1, stride))?;
        shortcut = draft.batch_norm(&format!("{name}.shortcut.1"), shortcut)?;
    } else if draft.maps(input)? != draft.maps(branch)? {
        let channels = [draft.maps(input)?[0], draft.maps(branch)?[0]];
        shortcut = padded_shortcut(&mut draft.net, &format!("{name}.shortcut"), input, channels, stride)?;
    }
    let sum = draft.node(&format!("{name}.add"), Op::Elementwise(Elementwise::Add), &[branch, shortcut], &[])?;
    let stage = name.split('.').next().unwrap_or(name);
    let relu = draft.relu(if is_last { stage } else { name }, sum)?;
    Some((relu, windows.len()))
}

/// He's option A, a shortcut without weights of its own: every `stride`-th pixel, between as many channels of noughts
/// before as behind; here a convolution of 1×1 with fixed weights. `channels` are those before and after.
pub(in crate::formats) fn padded_shortcut(
    net: &mut GraphBuilder,
    name: &str,
    input: NodeId,
    [before, after]: [usize; 2],
    stride: usize,
) -> Option<NodeId> {
    let added = after.checked_sub(before)?;
    if added % 2 != 0 {
        return None;
    }
    let mut weight = vec![0.0; after.checked_mul(before)?];
    for channel in 0..before {
        *weight.get_mut((channel + added / 2) * before + channel)? = 1.0;
    }
    let param_name = format!("{name}.weight");
    net.param(&param_name, &[after, before, 1, 1], weight);
    let conv = Conv2d { window: Window::square(1, stride), groups: 1 };
    Some(net.add(name, Op::Conv2d(conv), &[input], &[&param_name]))
}

/// The net of PyTorch's CIFAR-10 tutorial: two convolutions of 5×5, each with a max pooling, and three fully connected
/// layers. For one channel it is the same net on MNIST.
fn tutorial(draft: &mut Draft) -> Option<Family> {
    let five = Window::square(5, 1);
    let mut maps = draft.conv("conv1", GraphBuilder::INPUT, five)?;
    maps = draft.relu("relu1", maps)?;
    maps = draft.half_pool("pool1", maps)?;
    maps = draft.conv("conv2", maps, five)?;
    maps = draft.relu("relu2", maps)?;
    maps = draft.half_pool("pool2", maps)?;
    maps = draft.flatten(maps)?;
    maps = draft.linear("fc1", maps)?;
    maps = draft.relu("relu3", maps)?;
    maps = draft.linear("fc2", maps)?;
    maps = draft.relu("relu4", maps)?;
    maps = draft.linear("fc3", maps)?;
    draft.softmax(maps)?;
    let [channels, ..] = draft.maps(GraphBuilder::INPUT)?;
    let order = if channels == 3 { ChannelOrder::Rgb } else { ChannelOrder::Gray };
    let preprocess = normalized(order, &vec![0.5; channels], &vec![0.5; channels]);
    Some(Family { name: "cifar10_tutorial".into(), preprocess, source: "the net of PyTorch's CIFAR-10 tutorial" })
}

/// How the MNIST nets take pictures.
fn mnist() -> FoundPreprocess {
    normalized(ChannelOrder::Gray, &[0.1307], &[0.3081])
}

/// The net of PyTorch's MNIST example: two convolutions of 3×3, one max pooling, two fully connected layers.
fn mnist_example(draft: &mut Draft) -> Option<Family> {
    let three = Window::square(3, 1);
    let mut maps = draft.conv("conv1", GraphBuilder::INPUT, three)?;
    maps = draft.relu("relu1", maps)?;
    maps = draft.conv("conv2", maps, three)?;
    maps = draft.relu("relu2", maps)?;
    maps = draft.half_pool("pool", maps)?;
    maps = draft.dropout("dropout1", maps, 0.25)?;
    maps = draft.flatten(maps)?;
    maps = draft.linear("fc1", maps)?;
    maps = draft.relu("relu3", maps)?;
    maps = draft.dropout("dropout2", maps, 0.5)?;
    maps = draft.linear("fc2", maps)?;
    draft.softmax(maps)?;
    Some(Family { name: "mnist_example".into(), preprocess: mnist(), source: "the net of PyTorch's MNIST example" })
}

/// burn's MNIST net: three convolutions of 3×3 and two fully connected layers; a batch norm after either part, which
/// the oldest of its files lack.
fn burn_mnist(draft: &mut Draft) -> Option<Family> {
    let three = Window::square(3, 1);
    let mut maps = GraphBuilder::INPUT;
    for number in 1..=3 {
        maps = draft.conv(&format!("conv{number}"), maps, three)?;
        maps = draft.relu(&format!("relu{number}"), maps)?;
    }
    let has_norms = draft.shape("norm1.weight").is_some();
    if has_norms {
        maps = draft.batch_norm("norm1", maps)?;
    }
    maps = draft.flatten(maps)?;
    maps = draft.linear("fc1", maps)?;
    maps = draft.relu("relu4", maps)?;
    maps = draft.dropout("dropout1", maps, 0.3)?;
    maps = draft.linear("fc2", maps)?;
    if has_norms {
        maps = draft.batch_norm("norm2", maps)?;
    }
    draft.softmax(maps)?;
    Some(Family { name: "burn_mnist".into(), preprocess: mnist(), source: "burn's MNIST net" })
}
