//! Well-known architectures, so that bare weight files (a PyTorch state dict) become whole nets: torchvision's
//! convolutional classifiers from AlexNet to EfficientNet and RegNet. Heads that only training uses are left out.
//!
//! Nodes and parameters are named as torchvision 0.29 names its modules and state-dict entries (`layer3.2.conv1`,
//! `features.25`, `inception4c.branch2.1.bn`). The output of a block carries the block's name (`inception4c`,
//! `features.3`), also where its last operation is one with a name and parameters of its own (`features.2.conv.3.weight`
//! belongs to `features.2`); the last block of a stage carries that of the stage (`layer3`). What torchvision computes
//! without a module is named after its kind (`avgpool`, `layer3.2.add`, `Mixed_5b.pool`). Each net ends in a softmax.
//!
//! A net's input has the size of the pictures that torchvision's own weights were tested with.

mod alexnet;
mod blocks;
mod blueprint;
mod densenet;
mod efficientnet;
mod googlenet;
mod inception_v3;
mod mnasnet;
mod mobilenet_v2;
mod mobilenet_v3;
mod params;
mod regnet;
mod resnet;
mod shufflenet_v2;
mod squeezenet;
mod vgg;

use std::fmt;
use std::str::FromStr;

pub use blueprint::Blueprint;
pub use params::{NamedParams, ParamRole, ParamSource, ParamSpec, RandomParams, current_name};

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
    AlexNet "alexnet" = alexnet::AlexNet;
    DenseNet121 "densenet121" = densenet::DENSENET121;
    DenseNet161 "densenet161" = densenet::DENSENET161;
    DenseNet169 "densenet169" = densenet::DENSENET169;
    DenseNet201 "densenet201" = densenet::DENSENET201;
    EfficientNetB0 "efficientnet_b0" = efficientnet::B0;
    EfficientNetB1 "efficientnet_b1" = efficientnet::B1;
    EfficientNetB2 "efficientnet_b2" = efficientnet::B2;
    EfficientNetB3 "efficientnet_b3" = efficientnet::B3;
    EfficientNetB4 "efficientnet_b4" = efficientnet::B4;
    EfficientNetB5 "efficientnet_b5" = efficientnet::B5;
    EfficientNetB6 "efficientnet_b6" = efficientnet::B6;
    EfficientNetB7 "efficientnet_b7" = efficientnet::B7;
    GoogLeNet "googlenet" = googlenet::GoogLeNet;
    InceptionV3 "inception_v3" = inception_v3::InceptionV3;
    MnasNet0_5 "mnasnet0_5" = mnasnet::MnasNet { width: 0.5 };
    MnasNet0_75 "mnasnet0_75" = mnasnet::MnasNet { width: 0.75 };
    MnasNet1_0 "mnasnet1_0" = mnasnet::MnasNet { width: 1.0 };
    MnasNet1_3 "mnasnet1_3" = mnasnet::MnasNet { width: 1.3 };
    MobileNetV2 "mobilenet_v2" = mobilenet_v2::MobileNetV2;
    MobileNetV3Small "mobilenet_v3_small" = mobilenet_v3::SMALL;
    MobileNetV3Large "mobilenet_v3_large" = mobilenet_v3::LARGE;
    RegNetX400mf "regnet_x_400mf" = regnet::X_400MF;
    RegNetX800mf "regnet_x_800mf" = regnet::X_800MF;
    RegNetX1_6gf "regnet_x_1_6gf" = regnet::X_1_6GF;
    RegNetX3_2gf "regnet_x_3_2gf" = regnet::X_3_2GF;
    RegNetX8gf "regnet_x_8gf" = regnet::X_8GF;
    RegNetX16gf "regnet_x_16gf" = regnet::X_16GF;
    RegNetX32gf "regnet_x_32gf" = regnet::X_32GF;
    RegNetY400mf "regnet_y_400mf" = regnet::Y_400MF;
    RegNetY800mf "regnet_y_800mf" = regnet::Y_800MF;
    RegNetY1_6gf "regnet_y_1_6gf" = regnet::Y_1_6GF;
    RegNetY3_2gf "regnet_y_3_2gf" = regnet::Y_3_2GF;
    RegNetY8gf "regnet_y_8gf" = regnet::Y_8GF;
    RegNetY16gf "regnet_y_16gf" = regnet::Y_16GF;
    RegNetY32gf "regnet_y_32gf" = regnet::Y_32GF;
    ResNet18 "resnet18" = resnet::RESNET18;
    ResNet34 "resnet34" = resnet::RESNET34;
    ResNet50 "resnet50" = resnet::RESNET50;
    ResNet101 "resnet101" = resnet::RESNET101;
    ResNet152 "resnet152" = resnet::RESNET152;
    ResNeXt50_32x4d "resnext50_32x4d" = resnet::RESNEXT50_32X4D;
    ResNeXt101_32x8d "resnext101_32x8d" = resnet::RESNEXT101_32X8D;
    ResNeXt101_64x4d "resnext101_64x4d" = resnet::RESNEXT101_64X4D;
    ShuffleNetV2X0_5 "shufflenet_v2_x0_5" = shufflenet_v2::X0_5;
    ShuffleNetV2X1_0 "shufflenet_v2_x1_0" = shufflenet_v2::X1_0;
    ShuffleNetV2X1_5 "shufflenet_v2_x1_5" = shufflenet_v2::X1_5;
    ShuffleNetV2X2_0 "shufflenet_v2_x2_0" = shufflenet_v2::X2_0;
    SqueezeNet1_0 "squeezenet1_0" = squeezenet::V1_0;
    SqueezeNet1_1 "squeezenet1_1" = squeezenet::V1_1;
    Vgg11 "vgg11" = vgg::VGG11;
    Vgg11Bn "vgg11_bn" = vgg::VGG11_BN;
    Vgg13 "vgg13" = vgg::VGG13;
    Vgg13Bn "vgg13_bn" = vgg::VGG13_BN;
    Vgg16 "vgg16" = vgg::VGG16;
    Vgg16Bn "vgg16_bn" = vgg::VGG16_BN;
    Vgg19 "vgg19" = vgg::VGG19;
    Vgg19Bn "vgg19_bn" = vgg::VGG19_BN;
    WideResNet50_2 "wide_resnet50_2" = resnet::WIDE_RESNET50_2;
    WideResNet101_2 "wide_resnet101_2" = resnet::WIDE_RESNET101_2;
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
    use std::collections::HashSet;

    use super::*;
    use crate::base::tensor::Shape;
    use crate::nn::graph::{ChannelOrder, Preprocess};
    use crate::nn::graph_cost::macs;
    use crate::nn::ops::{Op, Operator as _};

    /// The learnt values and the multiply-accumulates of one picture as in training, from shapes alone.
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
            ("alexnet", 61_100_840, 0.714),
            ("densenet121", 7_978_856, 2.834),
            ("densenet161", 28_681_000, 7.728),
            ("densenet169", 14_149_480, 3.36),
            ("densenet201", 20_013_928, 4.291),
            ("efficientnet_b0", 5_288_548, 0.386),
            ("efficientnet_b1", 7_794_184, 0.687),
            ("efficientnet_b2", 9_109_994, 1.088),
            ("efficientnet_b3", 12_233_232, 1.827),
            ("efficientnet_b4", 19_341_616, 4.394),
            ("efficientnet_b5", 30_389_784, 10.266),
            ("efficientnet_b6", 43_040_704, 19.068),
            ("efficientnet_b7", 66_347_960, 37.746),
            ("googlenet", 6_624_904, 1.498),
            // Less the 3 326 696 of the head that only training uses.
            ("inception_v3", 27_161_264 - 3_326_696, 5.713),
            ("mnasnet0_5", 2_218_512, 0.104),
            ("mnasnet0_75", 3_170_208, 0.215),
            ("mnasnet1_0", 4_383_312, 0.314),
            ("mnasnet1_3", 6_282_256, 0.526),
            ("mobilenet_v2", 3_504_872, 0.301),
            ("mobilenet_v3_small", 2_542_856, 0.057),
            ("mobilenet_v3_large", 5_483_032, 0.217),
            ("regnet_x_400mf", 5_495_976, 0.414),
            ("regnet_x_800mf", 7_259_656, 0.8),
            ("regnet_x_1_6gf", 9_190_136, 1.603),
            ("regnet_x_3_2gf", 15_296_552, 3.177),
            ("regnet_x_8gf", 39_572_648, 7.995),
            ("regnet_x_16gf", 54_278_536, 15.941),
            ("regnet_x_32gf", 107_811_560, 31.736),
            ("regnet_y_400mf", 4_344_144, 0.402),
            ("regnet_y_800mf", 6_432_512, 0.834),
            ("regnet_y_1_6gf", 11_202_430, 1.612),
            ("regnet_y_3_2gf", 19_436_338, 3.176),
            ("regnet_y_8gf", 39_381_472, 8.473),
            ("regnet_y_16gf", 83_590_140, 15.912),
            ("regnet_y_32gf", 145_046_770, 32.28),
            ("resnet18", 11_689_512, 1.814),
            ("resnet34", 21_797_672, 3.664),
            ("resnet50", 25_557_032, 4.089),
            ("resnet101", 44_549_160, 7.801),
            ("resnet152", 60_192_808, 11.514),
            ("resnext50_32x4d", 25_028_904, 4.23),
            ("resnext101_32x8d", 88_791_336, 16.414),
            ("resnext101_64x4d", 83_455_272, 15.46),
            ("shufflenet_v2_x0_5", 1_366_792, 0.04),
            ("shufflenet_v2_x1_0", 2_278_604, 0.145),
            ("shufflenet_v2_x1_5", 3_503_624, 0.296),
            ("shufflenet_v2_x2_0", 7_393_996, 0.583),
            ("squeezenet1_0", 1_248_424, 0.819),
            ("squeezenet1_1", 1_235_496, 0.349),
            ("vgg11", 132_863_336, 7.609),
            ("vgg11_bn", 132_868_840, 7.609),
            ("vgg13", 133_047_848, 11.308),
            ("vgg13_bn", 133_053_736, 11.308),
            ("vgg16", 138_357_544, 15.47),
            ("vgg16_bn", 138_365_992, 15.47),
            ("vgg19", 143_667_240, 19.632),
            ("vgg19_bn", 143_678_248, 19.632),
            ("wide_resnet50_2", 68_883_240, 11.398),
            ("wide_resnet101_2", 126_886_696, 22.753),
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

    /// White, as the nets' own recipes have it: for two of them, before torchvision's `transform_input`.
    #[test]
    fn pictures_enter_as_in_training() {
        let imagenet = [(1.0 - 0.485) / 0.229, (1.0 - 0.456) / 0.224, (1.0 - 0.406) / 0.225];
        for &architecture in Architecture::ALL {
            let converted = matches!(architecture, Architecture::GoogLeNet | Architecture::InceptionV3);
            let expected = if converted { [1.0; 3] } else { imagenet };
            let bare = architecture.blueprint(10).up_to("input").unwrap();
            let graph = bare.build(&mut RandomParams::new(0), Vec::new()).unwrap();
            let Preprocess { order, mean, scale } = graph.preprocess();
            assert_eq!(*order, ChannelOrder::Rgb);
            for ((mean, scale), expected) in mean.iter().zip(scale).zip(expected) {
                assert!(((255.0 - mean) * scale - expected).abs() < 1e-5, "{architecture}");
            }
        }
    }

    #[test]
    fn no_two_nodes_or_parameters_have_one_name() {
        let mut failures = Vec::new();
        for architecture in Architecture::ALL {
            let blueprint = architecture.blueprint(10);
            let nodes = blueprint.nodes().iter().map(|node| node.name.as_str()).collect::<HashSet<_>>();
            let params = blueprint.params().iter().map(|spec| spec.name.as_str()).collect::<HashSet<_>>();
            if (nodes.len(), params.len()) != (blueprint.nodes().len(), blueprint.params().len()) {
                failures.push(architecture.name());
            }
        }
        assert!(failures.is_empty(), "{failures:?}");
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_nearest_ones() {
        let error = "resnet5".parse::<Architecture>().unwrap_err().to_string();
        assert!(error.starts_with("there is no architecture `resnet5`; the nearest names are resnet50, "), "{error}");
    }
}
