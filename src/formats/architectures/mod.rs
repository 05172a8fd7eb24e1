//! Well-known architectures, so that bare weight files (a PyTorch state dict) become whole nets.
//!
//! Nodes and parameters are named as torchvision 0.20 names its modules and state-dict entries (`layer3.2.conv1`,
//! `features.25`, `inception4c.branch2.1.bn`). The output of a block carries the block's name (`inception4c`,
//! `features.3`), the last block of a ResNet stage that of the stage (`layer3`). Each net ends in a softmax.

mod blueprint;
mod googlenet;
mod params;
mod resnet;
mod squeezenet;
mod vgg;

use std::fmt;
use std::str::FromStr;

pub use blueprint::Blueprint;
pub use params::{NamedParams, ParamRole, ParamSource, ParamSpec, RandomParams};

use crate::nn::graph::GraphError;

/// The number of classes of the ImageNet challenge, which these nets were made for.
pub const IMAGENET_CLASSES: usize = 1000;

macro_rules! architectures {
    ($($variant:ident $name:literal = $plan:expr;)*) => {
        /// An architecture that this module can draw.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Architecture {
            $($variant,)*
        }

        impl Architecture {
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// torchvision's name of the model.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// The net without its parameters, for that many classes.
            pub fn blueprint(self, classes: usize) -> Blueprint {
                match self {
                    $(Self::$variant => $plan.draw(self, classes),)*
                }
            }
        }
    };
}

// The variant, torchvision's name of the model, and what draws it.
architectures! {
    GoogLeNet "googlenet" = googlenet::GoogLeNet;
    ResNet18 "resnet18" = resnet::RESNET18;
    ResNet34 "resnet34" = resnet::RESNET34;
    ResNet50 "resnet50" = resnet::RESNET50;
    ResNet101 "resnet101" = resnet::RESNET101;
    ResNet152 "resnet152" = resnet::RESNET152;
    SqueezeNet1_0 "squeezenet1_0" = squeezenet::V1_0;
    SqueezeNet1_1 "squeezenet1_1" = squeezenet::V1_1;
    Vgg11 "vgg11" = vgg::VGG11;
    Vgg13 "vgg13" = vgg::VGG13;
    Vgg16 "vgg16" = vgg::VGG16;
    Vgg19 "vgg19" = vgg::VGG19;
}

#[derive(Debug, thiserror::Error)]
pub enum ArchitectureError {
    #[error("there is no architecture `{name}`; the nearest names are {}", nearest_names(.name))]
    Unknown { name: String },
    #[error("the weights lack `{name}` of shape {shape:?}; they may be of another architecture")]
    MissingParam { name: String, shape: Vec<usize> },
    #[error("the weights hold `{name}` of shape {got:?} where the architecture has {expected:?}")]
    ParamShape { name: String, expected: Vec<usize>, got: Vec<usize> },
    #[error("the architecture {architecture} has no layer `{node}`")]
    UnknownNode { architecture: Architecture, node: String },
    #[error(transparent)]
    Graph(#[from] GraphError),
}

/// The names most like one that is not known.
fn nearest_names(name: &str) -> String {
    const SHOWN: usize = 5;
    let likeness = |known: &Architecture| strsim::jaro_winkler(known.name(), &name.to_lowercase());
    let mut ranked = Architecture::ALL.to_vec();
    ranked.sort_by(|a, b| likeness(b).total_cmp(&likeness(a)));
    ranked.iter().take(SHOWN).map(|known| known.name()).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Architecture {
    type Err = ArchitectureError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let unknown = || ArchitectureError::Unknown { name: name.to_string() };
        Self::ALL.iter().copied().find(|architecture| architecture.name() == name).ok_or_else(unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::tensor::Shape;
    use crate::nn::graph_cost::macs;
    use crate::nn::ops::{Op, Operator as _};

    /// The learnt values and the multiply-accumulates of one 224-pixel picture, from shapes alone.
    fn count(blueprint: &Blueprint) -> (usize, u64) {
        let spec = |name: &String| blueprint.params().iter().find(|spec| spec.name == *name).unwrap();
        let mut shapes: Vec<Shape> = Vec::new();
        let mut total_macs = 0;
        for node in blueprint.nodes() {
            let inputs: Vec<&Shape> = node.inputs.iter().map(|&id| &shapes[id]).collect();
            let params: Vec<&[usize]> = node.params.iter().map(|name| spec(name).shape.as_slice()).collect();
            let shape = node.op.output_shape(&inputs, &params).unwrap_or_else(|error| panic!("{}: {error}", node.name));
            total_macs += macs(&node.op, &inputs, &params, &shape);
            shapes.push(shape);
        }
        let learnt = |spec: &&ParamSpec| !matches!(spec.role, ParamRole::Mean | ParamRole::Variance);
        (blueprint.params().iter().filter(learnt).map(ParamSpec::len).sum(), total_macs)
    }

    /// Against torchvision 0.29's published figures (`meta["num_params"]`, `meta["_ops"]` in 10⁹ to three decimals).
    #[test]
    fn sizes_and_costs_are_those_that_torchvision_publishes() {
        let published = [
            ("googlenet", 6_624_904, 1.498),
            ("resnet18", 11_689_512, 1.814),
            ("resnet34", 21_797_672, 3.664),
            ("resnet50", 25_557_032, 4.089),
            ("resnet101", 44_549_160, 7.801),
            ("resnet152", 60_192_808, 11.514),
            ("squeezenet1_0", 1_248_424, 0.819),
            ("squeezenet1_1", 1_235_496, 0.349),
            ("vgg11", 132_863_336, 7.609),
            ("vgg13", 133_047_848, 11.308),
            ("vgg16", 138_357_544, 15.47),
            ("vgg19", 143_667_240, 19.632),
        ];
        let mut failures = Vec::new();
        for (name, params, giga_macs) in published {
            let blueprint = name.parse::<Architecture>().unwrap().blueprint(IMAGENET_CLASSES);
            let (got_params, got_macs) = count(&blueprint);
            let got_giga = got_macs as f64 / 1e9;
            // torchvision cuts some figures and rounds others.
            let agrees = got_params == params && (got_giga - giga_macs).abs() <= 1e-3;
            if !agrees {
                failures.push(format!("{name}: {got_params} parameters, {got_giga} · 10⁹"));
            }
        }
        assert!(failures.is_empty(), "{failures:#?}");
        assert_eq!(published.len(), Architecture::ALL.len());
    }

    #[test]
    fn a_net_cut_at_a_layer_asks_for_no_parameter_behind_it() {
        let whole = Architecture::ResNet18.blueprint(10);
        let cut = whole.clone().up_to("layer1").unwrap();
        assert_eq!(cut.nodes().last().unwrap().name, "layer1");
        assert!(cut.params().iter().all(|spec| !spec.name.starts_with("layer2") && !spec.name.starts_with("fc")));
        assert_eq!(cut.params(), &whole.params()[..cut.params().len()]);
        assert_eq!(cut.params().last().unwrap().name, "layer1.1.bn2.running_var");
        let error = whole.up_to("layer9").unwrap_err();
        assert_eq!(error.to_string(), "the architecture resnet18 has no layer `layer9`");
    }

    #[test]
    fn the_classes_set_the_width_of_the_output() {
        for architecture in Architecture::ALL {
            let blueprint = architecture.blueprint(7);
            let bias = blueprint.params().iter().rfind(|spec| spec.role == ParamRole::Bias).unwrap();
            assert_eq!(bias.shape, [7], "{architecture}");
            assert!(matches!(blueprint.nodes().last().unwrap().op, Op::Softmax(_)), "{architecture}");
        }
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_nearest_ones() {
        let error = "resnet5".parse::<Architecture>().unwrap_err().to_string();
        assert!(error.starts_with("there is no architecture `resnet5`; the nearest names are resnet50, "), "{error}");
    }
}
