//! What is known of published nets and of each framework's customs, for files that are silent.

use super::finish::Framework;
use super::labels;
use crate::nn::graph::{ChannelOrder, GraphBuilder};

/// What to assume of a net.
pub(super) struct Known {
    /// Why, as the start of a sentence about what follows.
    pub reason: &'static str,
    pub order: ChannelOrder,
    /// Of red, green and blue; the first counts for gray.
    mean_rgb: [f32; 3],
    scale_rgb: [f32; 3],
    /// The name of a set, and its classes.
    pub labels: Option<(&'static str, Vec<String>)>,
}

/// The mean of ImageNet that Caffe's nets were published with, red, green, blue.
const CAFFE_MEAN: [f32; 3] = [123.0, 117.0, 104.0];
/// The mean of CIFAR-10's training pictures.
const CIFAR_MEAN: [f32; 3] = [125.3, 123.0, 113.9];
/// torchvision's mean and deviation of ImageNet, of values of 0–1.
const TORCH_MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const TORCH_DEVIATION: [f32; 3] = [0.229, 0.224, 0.225];

const NOUGHT: [f32; 3] = [0.0; 3];
const ONE: [f32; 3] = [1.0; 3];
const TO_UNIT: [f32; 3] = [1.0 / 255.0; 3];

impl Known {
    fn new(reason: &'static str, order: ChannelOrder, mean_rgb: [f32; 3], scale_rgb: [f32; 3]) -> Self {
        Self { reason, order, mean_rgb, scale_rgb, labels: None }
    }

    /// For nets that say everything themselves.
    pub fn nothing() -> Self {
        Self::new("", ChannelOrder::Rgb, NOUGHT, ONE)
    }

    pub fn mean_in(&self, order: ChannelOrder) -> Vec<f32> {
        in_order(self.mean_rgb, order)
    }

    pub fn scale_in(&self, order: ChannelOrder) -> Vec<f32> {
        in_order(self.scale_rgb, order)
    }
}

fn in_order([red, green, blue]: [f32; 3], order: ChannelOrder) -> Vec<f32> {
    match order {
        ChannelOrder::Rgb => vec![red, green, blue],
        ChannelOrder::Bgr => vec![blue, green, red],
        ChannelOrder::Gray => vec![red],
    }
}

/// What a net of these inputs and outputs is taken to be. `name` is what its file calls it, `size` is `[height, width]`.
pub(super) fn of(
    framework: Framework,
    name: &str,
    net: &GraphBuilder,
    channels: usize,
    size: [usize; 2],
    classes: Option<usize>,
) -> Known {
    let is_cifar = channels == 3 && size[0] <= 40 && classes == Some(10);
    let mut known = match (framework, channels) {
        (Framework::Onnx, 1) => gray_onnx(name, net),
        (_, 1) => gray(framework),
        (Framework::Caffe, _) if is_cifar => {
            // convert_cifar_data writes the planes as CIFAR has them.
            Known::new("as Caffe's nets for CIFAR-10 have them", ChannelOrder::Rgb, CIFAR_MEAN, ONE)
        }
        (Framework::Caffe, _) => {
            Known::new("as Caffe's nets for ImageNet have them", ChannelOrder::Bgr, CAFFE_MEAN, ONE)
        }
        (Framework::Onnx, _) => onnx(net),
        (Framework::TensorFlow, _) => tensorflow(net),
        (Framework::PyTorch, _) => torch("as torchvision's nets have them"),
        (Framework::Lasagne, _) if is_cifar => {
            Known::new("as Lasagne's nets for CIFAR-10 have them", ChannelOrder::Rgb, CIFAR_MEAN, TO_UNIT)
        }
        (Framework::Lasagne, _) => Known::new("as Lasagne's model zoo has them", ChannelOrder::Bgr, CAFFE_MEAN, ONE),
        (Framework::MatConvNet, _) => {
            Known::new("without an average image in the file, none is subtracted", ChannelOrder::Rgb, NOUGHT, ONE)
        }
        (Framework::ConvNetJs, _) => {
            Known::new("as ConvNetJS's demonstrations have them", ChannelOrder::Rgb, [127.5; 3], TO_UNIT)
        }
        (Framework::NetFile, _) => Known::new("as is usual", ChannelOrder::Rgb, [127.5; 3], [1.0 / 127.5; 3]),
    };
    known.labels = match classes {
        Some(1000) if channels == 3 => Some(("ImageNet", labels::imagenet())),
        Some(1001) if channels == 3 => Some(("ImageNet, after one of background,", labels::imagenet_with_background())),
        // Its files name their classes, or are of something else.
        _ if framework == Framework::MatConvNet => None,
        Some(10) if is_cifar => Some(("CIFAR-10", labels::cifar10())),
        Some(10) if channels == 1 && size == [28, 28] => Some(("MNIST", labels::digits())),
        _ => None,
    };
    known
}

fn gray(framework: Framework) -> Known {
    let (reason, mean, scale) = match framework {
        Framework::Caffe => ("as Caffe's LeNet has them", 0.0, 1.0 / 256.0),
        Framework::ConvNetJs => ("as ConvNetJS's demonstrations have them", 127.5, 1.0 / 255.0),
        Framework::PyTorch => ("as PyTorch's example for MNIST has them", 255.0 * 0.1307, 1.0 / (255.0 * 0.3081)),
        Framework::MatConvNet => ("without an average image in the file, none is subtracted", 0.0, 1.0),
        _ => ("as is usual", 0.0, 1.0 / 255.0),
    };
    Known::new(reason, ChannelOrder::Gray, [mean; 3], [scale; 3])
}

fn gray_onnx(name: &str, net: &GraphBuilder) -> Known {
    // What CNTK calls the input of the ONNX zoo's net for MNIST, and PyTorch's exporters every graph.
    let input = net.nodes().first().map_or("", |node| node.name.as_str());
    if input == "Input3" {
        return Known::new("as the ONNX zoo's net for MNIST has them", ChannelOrder::Gray, NOUGHT, ONE);
    }
    let is_of_torch = ["torch_jit", "torch-jit-export", "main_graph"].contains(&name);
    gray(if is_of_torch { Framework::PyTorch } else { Framework::Onnx })
}

fn torch(reason: &'static str) -> Known {
    let scale = TORCH_DEVIATION.map(|deviation| 1.0 / (255.0 * deviation));
    Known::new(reason, ChannelOrder::Rgb, TORCH_MEAN.map(|mean| 255.0 * mean), scale)
}

fn onnx(net: &GraphBuilder) -> Known {
    match net.nodes().first().map(|node| node.name.as_str()) {
        // What converters from Caffe2 call the input.
        Some("data_0") => Known::new("as nets that came from Caffe have them", ChannelOrder::Bgr, CAFFE_MEAN, ONE),
        Some(name) if name.starts_with("images:") => {
            Known::new("as TensorFlow's EfficientNet-Lite has them", ChannelOrder::Rgb, [127.0; 3], [1.0 / 128.0; 3])
        }
        _ => torch("as most nets for ImageNet have them"),
    }
}

fn tensorflow(net: &GraphBuilder) -> Known {
    let has = |name: &str| net.node_named(name).is_some();
    if has("mixed4c") || has("mixed3a") {
        return Known::new("as the tutorial of Inception5h has them", ChannelOrder::Rgb, [117.0; 3], ONE);
    }
    // Keras puts the preparation of some nets into their first layers.
    let prepares = |name: &str| name.contains("rescaling") || name.contains("normalization/");
    if net.nodes().iter().take(6).any(|node| prepares(&node.name.to_lowercase())) {
        return Known::new("as the net's own first layers prepare them", ChannelOrder::Rgb, NOUGHT, ONE);
    }
    Known::new("as TensorFlow's nets for ImageNet have them", ChannelOrder::Rgb, [127.5; 3], [1.0 / 127.5; 3])
}
