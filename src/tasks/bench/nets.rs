//! The nets that are measured, and how deep.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::BenchError;
use crate::formats::architectures::{Architecture, IMAGENET_CLASSES, RandomParams};
use crate::formats::netfile;
use crate::nn::graph::{ChannelOrder, Graph, Preprocess};
use crate::tasks::catalogue;

/// The catalogue's name of EfficientNet-Lite0.
const LITE0: &str = "efficientnet-lite0";

/// A net of the benchmark. EfficientNet-Lite0 is the one that ships; the others have random weights, which take as long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BenchNet {
    Lite0,
    /// torchvision's: with batch norm, and 3×3 where the paper has 5×5.
    GoogLeNet,
    /// The one that Caffe's model zoo publishes: with local response normalization.
    #[serde(rename = "googlenet-bvlc")]
    GoogLeNetBvlc,
    Vgg16,
    ResNet50,
    SqueezeNet,
    LeNet,
    #[serde(rename = "cifar10-quick")]
    Cifar10Quick,
}

impl BenchNet {
    pub const ALL: [Self; 8] = [
        Self::Lite0,
        Self::GoogLeNet,
        Self::GoogLeNetBvlc,
        Self::Vgg16,
        Self::ResNet50,
        Self::SqueezeNet,
        Self::LeNet,
        Self::Cifar10Quick,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Lite0 => "lite0",
            Self::GoogLeNet => "googlenet",
            Self::GoogLeNetBvlc => "googlenet-bvlc",
            Self::Vgg16 => "vgg16",
            Self::ResNet50 => "resnet50",
            Self::SqueezeNet => "squeezenet",
            Self::LeNet => "lenet",
            Self::Cifar10Quick => "cifar10-quick",
        }
    }

    /// The layer that a dream step goes to; `None` for nets of small pictures.
    pub fn target(self) -> Option<&'static str> {
        match self {
            Self::Lite0 => Some("block9"),
            Self::GoogLeNet => Some("inception4c"),
            Self::GoogLeNetBvlc => Some("inception_4c/output"),
            // The ReLU of what the paper calls conv5_1.
            Self::Vgg16 => Some("features.25"),
            Self::ResNet50 => Some("layer3"),
            Self::SqueezeNet => Some("features.12"),
            Self::LeNet | Self::Cifar10Quick => None,
        }
    }

    /// Pictures of a forward pass to the class scores, as fooling by evolution runs it; `None` where it is not measured.
    pub fn forward_batch(self) -> Option<usize> {
        match self {
            Self::Lite0 => Some(32),
            Self::LeNet => Some(400),
            _ => None,
        }
    }

    /// Pictures of a training step; `None` where it is not measured.
    pub fn training_batch(self) -> Option<usize> {
        matches!(self, Self::LeNet | Self::Cifar10Quick).then_some(64)
    }

    /// The net, up to [`BenchNet::target`] where its weights are made up and there is one.
    pub(super) fn build(self) -> Result<Arc<Graph>, BenchError> {
        let architecture = match self {
            Self::Lite0 => {
                return catalogue::open(LITE0)
                    .map_err(|source| BenchError::Shipped { net: self, source: source.into() });
            }
            Self::GoogLeNetBvlc => return self.described(include_str!("googlenet-bvlc.net")),
            Self::LeNet => return self.described(include_str!("../../../assets/nets/lenet.net")),
            Self::Cifar10Quick => return self.described(include_str!("../../../assets/nets/cifar10-quick.net")),
            Self::GoogLeNet => Architecture::GoogLeNet,
            Self::Vgg16 => Architecture::Vgg16,
            Self::ResNet50 => Architecture::ResNet50,
            Self::SqueezeNet => Architecture::SqueezeNet1_1,
        };
        let mut blueprint = architecture.blueprint(IMAGENET_CLASSES);
        if let Some(target) = self.target() {
            blueprint = blueprint.up_to(target)?;
        }
        Ok(Arc::new(blueprint.build(&mut RandomParams::new(0), Vec::new())?))
    }

    /// The net of a net file, with random weights. It gets pictures that are preprocessed already.
    fn described(self, net_file: &str) -> Result<Arc<Graph>, BenchError> {
        let shipped = |source: Box<dyn std::error::Error + Send + Sync>| BenchError::Shipped { net: self, source };
        let imported = netfile::read(net_file).map_err(|error| shipped(error.into()))?;
        let channels = imported.net.shape(0).map_or(3, |shape| shape.dims()[1]);
        let order = if channels == 1 { ChannelOrder::Gray } else { ChannelOrder::Rgb };
        let preprocess = Preprocess { order, mean: vec![0.0; channels], scale: vec![1.0; channels] };
        Ok(Arc::new(imported.net.finish(self.name(), preprocess, imported.labels)?))
    }
}

impl fmt::Display for BenchNet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for BenchNet {
    type Err = BenchError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let unknown = || BenchError::UnknownNet { name: name.to_string() };
        Self::ALL.into_iter().find(|net| net.name() == name).ok_or_else(unknown)
    }
}
