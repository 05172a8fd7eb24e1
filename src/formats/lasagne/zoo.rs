//! The nets of Lasagne's model zoo and recipes, as the programs there build them.

use super::ParamList;
use super::draft::{Conv, Draft, End};
use crate::formats::ImportError;
use crate::formats::pytorch::padded_shortcut;
use crate::nn::graph::{GraphBuilder, NodeId, Param};
use crate::nn::ops::window::{Padding, Window};

type Result<T> = std::result::Result<T, ImportError>;

/// A net that a list may be of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Model {
    Vgg16,
    Vgg19,
    VggCnnS,
    CaffeReference,
    GoogLeNet,
    ResNet50,
    Nin,
    NinCifar10,
    /// He's residual net for CIFAR with `n` blocks a stage, 6n + 2 layers.
    ResNetCifar10 {
        n: usize,
    },
}

/// How pictures are prepared for a net that was trained elsewhere.
pub(super) struct Usual {
    pub is_bgr: bool,
    pub mean: [f32; 3],
    pub scale: f32,
}

const FIXED: [(&str, Model); 8] = [
    ("vgg16", Model::Vgg16),
    ("vgg19", Model::Vgg19),
    ("vgg_cnn_s", Model::VggCnnS),
    ("caffe_reference", Model::CaffeReference),
    ("googlenet", Model::GoogLeNet),
    ("resnet50", Model::ResNet50),
    ("nin", Model::Nin),
    ("nin_cifar10", Model::NinCifar10),
];

/// No net for CIFAR is as wide.
const MAX_WIDTH: usize = 1 << 12;

/// The deepest residual net for CIFAR that is tried: 1202 layers.
const MAX_BLOCKS: usize = 200;

pub(super) fn named(name: &str) -> Result<Model> {
    let plain = name.to_ascii_lowercase().replace('-', "_");
    let fixed = FIXED.iter().find(|(known, _)| *known == plain).map(|&(_, model)| model);
    let residual = || {
        let layers: usize = plain.strip_suffix("_cifar10")?.strip_prefix("resnet")?.parse().ok()?;
        let n = layers.checked_sub(2)? / 6;
        ((1..=MAX_BLOCKS).contains(&n) && 6 * n + 2 == layers).then_some(Model::ResNetCifar10 { n })
    };
    fixed.or_else(residual).ok_or_else(|| {
        ImportError::Needs(format!(
            "no net of Lasagne's is called `{}`; there are {}, resnet32_cifar10 and its like; or give a net file",
            ImportError::brief(name),
            FIXED.map(|(name, _)| name).join(", ")
        ))
    })
}

/// The one net whose parameters have these shapes.
pub(super) fn by_shapes(list: &ParamList) -> Result<(Model, GraphBuilder)> {
    let mut models: Vec<Model> = FIXED.iter().map(|&(_, model)| model).collect();
    // A stem of 5 arrays, 10 a block in three stages, 2 of the last layer.
    if let Some(n) = list.arrays.len().checked_sub(7).map(|blocks| blocks / 30)
        && (1..=MAX_BLOCKS).contains(&n)
    {
        models.push(Model::ResNetCifar10 { n });
    }
    let fitting = models.into_iter().find_map(|model| model.draw(&list.arrays).ok().map(|net| (model, net)));
    fitting.ok_or_else(|| {
        ImportError::Needs(format!(
            "the file lists {} arrays without saying of what net, and they are of no known one; name one with \
             --architecture ({}, resnet32_cifar10 and its like), or give a net file that describes the net",
            list.arrays.len(),
            FIXED.map(|(name, _)| name).join(", ")
        ))
    })
}

impl Model {
    pub(super) fn name(self) -> String {
        match self {
            Self::ResNetCifar10 { n } => format!("resnet{}_cifar10", 6 * n + 2),
            _ => FIXED.iter().find(|&&(_, model)| model == self).map_or("", |&(name, _)| name).to_string(),
        }
    }

    /// The preparation that the zoo states; none for the net that takes whitened pictures.
    pub(super) fn preprocess(self) -> Option<Usual> {
        let bgr = |mean| Some(Usual { is_bgr: true, mean, scale: 1.0 });
        match self {
            Self::Vgg16 | Self::Vgg19 | Self::VggCnnS | Self::ResNet50 => bgr([103.939, 116.779, 123.68]),
            Self::CaffeReference | Self::GoogLeNet | Self::Nin => bgr([104.0, 117.0, 123.0]),
            Self::NinCifar10 => None,
            // The mean of each pixel is subtracted there, which is not in the file; this is the mean of all.
            Self::ResNetCifar10 { .. } => {
                let mean = [0.4914, 0.4822, 0.4465].map(|mean: f32| 255.0 * mean);
                Some(Usual { is_bgr: false, mean, scale: 1.0 / 255.0 })
            }
        }
    }

    /// The net with the list's arrays, if they fit.
    pub(super) fn draw(self, arrays: &[Param]) -> Result<GraphBuilder> {
        let size_px = match self {
            Self::NinCifar10 | Self::ResNetCifar10 { .. } => 32,
            Self::CaffeReference => 227,
            _ => 224,
        };
        let mut draft = Draft::new(size_px, arrays);
        match self {
            Self::Vgg16 => vgg(&mut draft, [2, 2, 3, 3, 3])?,
            Self::Vgg19 => vgg(&mut draft, [2, 2, 4, 4, 4])?,
            Self::VggCnnS => vgg_cnn_s(&mut draft)?,
            Self::CaffeReference => caffe_reference(&mut draft)?,
            Self::GoogLeNet => googlenet(&mut draft)?,
            Self::ResNet50 => resnet50(&mut draft)?,
            Self::Nin => nin(&mut draft)?,
            Self::NinCifar10 => nin_cifar10(&mut draft)?,
            Self::ResNetCifar10 { n } => resnet_cifar10(&mut draft, n)?,
        }
        draft.finish()
    }
}

const INPUT: NodeId = GraphBuilder::INPUT;

fn same(kernel: usize) -> Window {
    Window::square(kernel, 1).padded(Padding::all(kernel / 2))
}

/// fc6 to fc8 of Krizhevsky's kind of net, and the softmax; as many classes as the list has.
fn head(draft: &mut Draft<'_>, mut maps: NodeId, drops: [&str; 2]) -> Result<()> {
    for (name, drop) in ["fc6", "fc7"].into_iter().zip(drops) {
        maps = draft.dense(name, maps, 4096, End::Rectified)?;
        if !drop.is_empty() {
            maps = draft.dropout(drop, maps);
        }
    }
    let classes = draft.next_width();
    maps = draft.dense("fc8", maps, classes, End::Linear)?;
    draft.softmax("prob", maps);
    Ok(())
}

fn vgg(draft: &mut Draft<'_>, convolutions: [usize; 5]) -> Result<()> {
    let mut maps = INPUT;
    for ((stage, count), out) in (1..).zip(convolutions).zip([64, 128, 256, 512, 512]) {
        for number in 1..=count {
            maps = draft.conv(&format!("conv{stage}_{number}"), maps, Conv::new(out, same(3)), End::Rectified)?;
        }
        maps = draft.max_pool(&format!("pool{stage}"), maps, Window::square(2, 2));
    }
    head(draft, maps, ["fc6_dropout", "fc7_dropout"])
}

fn vgg_cnn_s(draft: &mut Draft<'_>) -> Result<()> {
    let mut maps = draft.conv("conv1", INPUT, Conv::new(96, Window::square(7, 2)), End::Rectified)?;
    maps = draft.lrn("norm1", maps, 1e-4, 2.0);
    maps = draft.max_pool("pool1", maps, Window::square(3, 3).ceil());
    maps = draft.conv("conv2", maps, Conv::new(256, Window::square(5, 1)), End::Rectified)?;
    maps = draft.max_pool("pool2", maps, Window::square(2, 2).ceil());
    for name in ["conv3", "conv4", "conv5"] {
        maps = draft.conv(name, maps, Conv::new(512, same(3)), End::Rectified)?;
    }
    maps = draft.max_pool("pool5", maps, Window::square(3, 3).ceil());
    head(draft, maps, ["drop6", "drop7"])
}

/// Built with `Conv2DLayer`, and of halves where Caffe has two groups.
fn caffe_reference(draft: &mut Draft<'_>) -> Result<()> {
    draft.flips_filters = true;
    let mut maps = draft.conv("conv1", INPUT, Conv::new(96, Window::square(11, 4)), End::Rectified)?;
    maps = draft.max_pool("pool1", maps, Window::square(3, 2));
    maps = draft.lrn("norm1", maps, 1e-4 / 5.0, 1.0);
    maps = halves(draft, "conv2", maps, [96, 256], 5)?;
    maps = draft.max_pool("pool2", maps, Window::square(3, 2));
    maps = draft.lrn("norm2", maps, 1e-4 / 5.0, 1.0);
    maps = draft.conv("conv3", maps, Conv::new(384, same(3)), End::Rectified)?;
    maps = halves(draft, "conv4", maps, [384, 384], 3)?;
    maps = halves(draft, "conv5", maps, [384, 256], 3)?;
    maps = draft.max_pool("pool5", maps, Window::square(3, 2));
    head(draft, maps, ["", ""])
}

/// Two convolutions, each of one half of the channels to one half of the channels.
fn halves(
    draft: &mut Draft<'_>,
    name: &str,
    input: NodeId,
    [before, after]: [usize; 2],
    kernel: usize,
) -> Result<NodeId> {
    let mut parts = Vec::new();
    for part in [1, 2] {
        let slice = draft.slice(&format!("{name}_data{part}"), input, [(part - 1) * before / 2, part * before / 2]);
        let conv = Conv::new(after / 2, same(kernel));
        parts.push(draft.conv(&format!("{name}_part{part}"), slice, conv, End::Rectified)?);
    }
    Ok(draft.concat(name, &parts))
}

/// BVLC's GoogLeNet (Szegedy 2014), without the heads for training.
fn googlenet(draft: &mut Draft<'_>) -> Result<()> {
    const ALPHA: f32 = 0.00002;
    // Of pool_proj, 1x1, 3x3_reduce, 3x3, 5x5_reduce, 5x5.
    const BLOCKS: [(&str, [usize; 6]); 9] = [
        ("3a", [32, 64, 96, 128, 16, 32]),
        ("3b", [64, 128, 128, 192, 32, 96]),
        ("4a", [64, 192, 96, 208, 16, 48]),
        ("4b", [64, 160, 112, 224, 24, 64]),
        ("4c", [64, 128, 128, 256, 24, 64]),
        ("4d", [64, 112, 144, 288, 32, 64]),
        ("4e", [128, 256, 160, 320, 32, 128]),
        ("5a", [128, 256, 160, 320, 32, 128]),
        ("5b", [128, 384, 192, 384, 48, 128]),
    ];
    let pool = Window::square(3, 2).ceil();
    let stem = Window::square(7, 2).padded(Padding::all(3));
    let mut maps = draft.conv("conv1/7x7_s2", INPUT, Conv::new(64, stem), End::Rectified)?;
    maps = draft.max_pool("pool1/3x3_s2", maps, pool);
    maps = draft.lrn("pool1/norm1", maps, ALPHA, 1.0);
    maps = draft.conv("conv2/3x3_reduce", maps, Conv::new(64, same(1)), End::Rectified)?;
    maps = draft.conv("conv2/3x3", maps, Conv::new(192, same(3)), End::Rectified)?;
    maps = draft.lrn("conv2/norm2", maps, ALPHA, 1.0);
    maps = draft.max_pool("pool2/3x3_s2", maps, pool);
    for (block, widths) in BLOCKS {
        match block {
            "4a" => maps = draft.max_pool("pool3/3x3_s2", maps, pool),
            "5a" => maps = draft.max_pool("pool4/3x3_s2", maps, pool),
            _ => {}
        }
        maps = inception(draft, &format!("inception_{block}"), maps, widths)?;
    }
    maps = draft.global_average("pool5/7x7_s1", maps);
    let classes = draft.next_width();
    maps = draft.dense("loss3/classifier", maps, classes, End::Linear)?;
    draft.softmax("prob", maps);
    Ok(())
}

fn inception(draft: &mut Draft<'_>, name: &str, input: NodeId, widths: [usize; 6]) -> Result<NodeId> {
    let [project, one, three_reduce, three, five_reduce, five] = widths;
    let at = |part: &str| format!("{name}/{part}");
    let one = draft.conv(&at("1x1"), input, Conv::new(one, same(1)), End::Rectified)?;
    let reduced = draft.conv(&at("3x3_reduce"), input, Conv::new(three_reduce, same(1)), End::Rectified)?;
    let three = draft.conv(&at("3x3"), reduced, Conv::new(three, same(3)), End::Rectified)?;
    let reduced = draft.conv(&at("5x5_reduce"), input, Conv::new(five_reduce, same(1)), End::Rectified)?;
    let five = draft.conv(&at("5x5"), reduced, Conv::new(five, same(5)), End::Rectified)?;
    let pooled = draft.max_pool(&at("pool"), input, same(3));
    let project = draft.conv(&at("pool_proj"), pooled, Conv::new(project, same(1)), End::Rectified)?;
    Ok(draft.concat(&at("output"), &[one, three, five, project]))
}

/// He's ResNet-50 as his Caffe net has it: a bottleneck strides in its first 1×1.
fn resnet50(draft: &mut Draft<'_>) -> Result<()> {
    let stem = Window::square(7, 2).padded(Padding::all(3));
    let mut maps = draft.conv("conv1", INPUT, Conv::new(64, stem), End::Linear)?;
    maps = draft.batch_norm("bn_conv1", maps)?;
    maps = draft.relu("conv1_relu", maps);
    maps = draft.max_pool("pool1", maps, Window::square(3, 2).ceil());
    for ((stage, blocks), width) in (2..).zip(["abc", "abcd", "abcdef", "abc"]).zip([64, 128, 256, 512]) {
        for block in blocks.chars() {
            let stride = if block == 'a' && stage > 2 { 2 } else { 1 };
            maps = bottleneck(draft, &format!("{stage}{block}"), maps, width, (block == 'a').then_some(stride))?;
        }
    }
    maps = draft.global_average("pool5", maps);
    let classes = draft.next_width();
    maps = draft.dense("fc1000", maps, classes, End::Linear)?;
    draft.softmax("prob", maps);
    Ok(())
}

/// With a projection, of the stride given, or without. The list has the projection first.
fn bottleneck(
    draft: &mut Draft<'_>,
    block: &str,
    input: NodeId,
    width: usize,
    projection: Option<usize>,
) -> Result<NodeId> {
    let stride = projection.unwrap_or(1);
    let mut shortcut = input;
    if projection.is_some() {
        let conv = Conv::new(4 * width, Window::square(1, stride)).without_bias();
        shortcut = draft.conv(&format!("res{block}_branch1"), input, conv, End::Linear)?;
        shortcut = draft.batch_norm(&format!("bn{block}_branch1"), shortcut)?;
    }
    let mut branch = input;
    let convolutions = [("a", width, Window::square(1, stride)), ("b", width, same(3)), ("c", 4 * width, same(1))];
    for (part, out, window) in convolutions {
        let name = format!("{block}_branch2{part}");
        branch = draft.conv(&format!("res{name}"), branch, Conv::new(out, window).without_bias(), End::Linear)?;
        branch = draft.batch_norm(&format!("bn{name}"), branch)?;
        if part != "c" {
            branch = draft.relu(&format!("res{name}_relu"), branch);
        }
    }
    let sum = draft.add(&format!("res{block}"), shortcut, branch);
    Ok(draft.relu(&format!("res{block}_relu"), sum))
}

/// Lin's network in network (Lin 2013) for ImageNet, as his Caffe net has it.
fn nin(draft: &mut Draft<'_>) -> Result<()> {
    type Layer = (&'static str, usize, Window);
    let stages: [[Layer; 3]; 4] = [
        [("conv1", 96, Window::square(11, 4)), ("cccp1", 96, same(1)), ("cccp2", 96, same(1))],
        [("conv2", 256, same(5)), ("cccp3", 256, same(1)), ("cccp4", 256, same(1))],
        [("conv3", 384, same(3)), ("cccp5", 384, same(1)), ("cccp6", 384, same(1))],
        [("conv4", 1024, same(3)), ("cccp7", 1024, same(1)), ("cccp8", 1000, same(1))],
    ];
    let mut maps = INPUT;
    for (stage, layers) in (1..).zip(stages) {
        for (name, out, window) in layers {
            maps = draft.conv(name, maps, Conv::new(out, window), End::Rectified)?;
        }
        if stage < 4 {
            maps = draft.max_pool(&format!("pool{stage}"), maps, Window::square(3, 2).ceil());
        }
        if stage == 3 {
            maps = draft.dropout("drop", maps);
        }
    }
    maps = draft.global_average("pool4", maps);
    maps = draft.flatten("output", maps);
    draft.softmax("prob", maps);
    Ok(())
}

/// Lin's network in network (Lin 2013) for CIFAR-10; the softmax is that of its training.
fn nin_cifar10(draft: &mut Draft<'_>) -> Result<()> {
    let pool = Window::square(3, 2).ceil();
    let mut maps = INPUT;
    for (name, out, kernel) in [("conv1", 192, 5), ("cccp1", 160, 1), ("cccp2", 96, 1)] {
        maps = draft.conv(name, maps, Conv::new(out, same(kernel)), End::Rectified)?;
    }
    maps = draft.max_pool("pool1", maps, pool);
    maps = draft.dropout("drop3", maps);
    for (name, kernel) in [("conv2", 5), ("cccp3", 1), ("cccp4", 1)] {
        maps = draft.conv(name, maps, Conv::new(192, same(kernel)), End::Rectified)?;
    }
    maps = draft.average_pool("pool2", maps, pool);
    maps = draft.dropout("drop6", maps);
    for (name, out, kernel) in [("conv3", 192, 3), ("cccp5", 192, 1), ("cccp6", 10, 1)] {
        maps = draft.conv(name, maps, Conv::new(out, same(kernel)), End::Rectified)?;
    }
    maps = draft.average_pool("pool3", maps, Window::square(8, 8).ceil());
    maps = draft.flatten("output", maps);
    draft.softmax("prob", maps);
    Ok(())
}

/// He's residual net for CIFAR (He 2015), with shortcuts that have no weights (option A). Its layers have no
/// names there.
fn resnet_cifar10(draft: &mut Draft<'_>, n: usize) -> Result<()> {
    // 16 in the recipe.
    let stem = draft.next_width().clamp(1, MAX_WIDTH);
    let mut maps = normalized_conv(draft, "conv1", INPUT, stem, same(3))?;
    maps = draft.relu("conv1.relu", maps);
    for (stage, width) in (1..).zip([stem, 2 * stem, 4 * stem]) {
        for block in 1..=n {
            let name = format!("stage{stage}.block{block}");
            let stride = if stage > 1 && block == 1 { 2 } else { 1 };
            let first = Window::square(3, stride).padded(Padding::all(1));
            let mut branch = normalized_conv(draft, &format!("{name}.conv1"), maps, width, first)?;
            branch = draft.relu(&format!("{name}.conv1.relu"), branch);
            branch = normalized_conv(draft, &format!("{name}.conv2"), branch, width, same(3))?;
            let mut shortcut = maps;
            if stride == 2 {
                shortcut = padded_shortcut(&mut draft.net, &format!("{name}.shortcut"), maps, [width / 2, width], 2)
                    .ok_or_else(|| ImportError::layer(&name, "its shortcut cannot be made"))?;
            }
            let sum = draft.add(&format!("{name}.add"), branch, shortcut);
            maps = draft.relu(&name, sum);
        }
    }
    maps = draft.global_average("pool", maps);
    let classes = draft.next_width();
    maps = draft.dense("dense", maps, classes, End::Linear)?;
    draft.softmax("prob", maps);
    Ok(())
}

/// `batch_norm(ConvLayer(…))`, which takes the bias away.
fn normalized_conv(draft: &mut Draft<'_>, name: &str, input: NodeId, out: usize, window: Window) -> Result<NodeId> {
    let maps = draft.conv(name, input, Conv::new(out, window).without_bias(), End::Linear)?;
    draft.batch_norm(&format!("{name}.bn"), maps)
}
