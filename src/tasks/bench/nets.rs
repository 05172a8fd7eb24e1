//! The nets that are measured, and how deep.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::BenchError;
use crate::formats::architectures::{Architecture, IMAGENET_CLASSES, RandomParams};
use crate::nn::graph::Graph;
use crate::tasks::catalogue;

/// The catalogue's name of EfficientNet-Lite0.
const LITE0: &str = "efficientnet-lite0";

/// A net of the benchmark. EfficientNet-Lite0 is the one that ships; the others have random weights, which take as long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BenchNet {
    Lite0,
    GoogLeNet,
    Vgg16,
    ResNet50,
    SqueezeNet,
}

impl BenchNet {
    pub const ALL: [Self; 5] = [Self::Lite0, Self::GoogLeNet, Self::Vgg16, Self::ResNet50, Self::SqueezeNet];

    pub fn name(self) -> &'static str {
        match self {
            Self::Lite0 => "lite0",
            Self::GoogLeNet => "googlenet",
            Self::Vgg16 => "vgg16",
            Self::ResNet50 => "resnet50",
            Self::SqueezeNet => "squeezenet",
        }
    }

    /// The layer that a step goes to.
    pub fn target(self) -> &'static str {
        match self {
            Self::Lite0 => "block9",
            Self::GoogLeNet => "inception4c",
            // The ReLU of what the paper calls conv5_1.
            Self::Vgg16 => "features.25",
            Self::ResNet50 => "layer3",
            Self::SqueezeNet => "features.12",
        }
    }

    /// The net, up to [`BenchNet::target`] where its weights are made up.
    pub(super) fn build(self) -> Result<Arc<Graph>, BenchError> {
        let architecture = match self {
            Self::Lite0 => {
                return catalogue::open(LITE0)
                    .map_err(|source| BenchError::Shipped { net: self, source: source.into() });
            }
            Self::GoogLeNet => Architecture::GoogLeNet,
            Self::Vgg16 => Architecture::Vgg16,
            Self::ResNet50 => Architecture::ResNet50,
            Self::SqueezeNet => Architecture::SqueezeNet1_1,
        };
        let blueprint = architecture.blueprint(IMAGENET_CLASSES).up_to(self.target())?;
        Ok(Arc::new(blueprint.build(&mut RandomParams::new(0), Vec::new())?))
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
