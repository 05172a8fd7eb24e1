//! Other spellings of torchvision's names: its own old ones, and timm's.

use std::collections::BTreeMap;

use super::StateDict;
use crate::nn::graph::Param;

/// A state dict with torchvision's names.
pub(super) struct Spelling {
    pub dict: StateDict,
    /// Of all batch norms, where it is not torchvision's.
    pub epsilon: Option<f32>,
    pub note: Option<&'static str>,
}

/// Entries that torchvision's nets have for training only.
pub(super) fn is_for_training(name: &str) -> bool {
    ["aux1.", "aux2.", "AuxLogits."].iter().any(|prefix| name.starts_with(prefix))
        || name == "num_batches_tracked"
        || name.ends_with(".num_batches_tracked")
}

/// The state dict as it is, and as it would be named if its names were timm's.
pub(super) fn spellings(dict: StateDict) -> Vec<Spelling> {
    let dict = dict.renamed(modern);
    let timm = timm(&dict);
    let mut spellings = vec![Spelling { dict, epsilon: None, note: None }];
    spellings.extend(timm);
    spellings
}

/// Before torchvision 0.2, densenet's layers were `norm.1`, `conv.1`, ….
fn modern(name: &str) -> String {
    let mut name = name.to_string();
    if name.contains("denselayer") {
        for part in ["norm", "conv"] {
            for number in ["1", "2"] {
                name = name.replace(&format!(".{part}.{number}."), &format!(".{part}{number}."));
            }
        }
    }
    name
}

const TIMM_NOTE: &str = "The names are timm's; a few of timm's weights take pictures as (p − 127.5) / 127.5 instead.";
const TF_NOTE: &str = "The names are timm's; a few of timm's weights take pictures as (p − 127.5) / 127.5 instead, and its \
                       nets whose names begin with `tf_` have the same tensors but pad and normalize differently: if this \
                       is one of those, its outputs are not quite right.";

/// timm's batch norms in nets of this family; torchvision's differ in some.
const TIMM_EPSILON: f32 = 1e-5;

fn timm(dict: &StateDict) -> Option<Spelling> {
    let has = |name: &str| dict.params.contains_key(name);
    if has("pre_logits.fc1.weight") {
        return Some(respelled(dict, vgg, None, TIMM_NOTE));
    }
    if has("s1.b1.conv1.conv.weight") {
        return Some(respelled(dict, regnet, None, TIMM_NOTE));
    }
    if has("conv_stem.weight") && has("blocks.0.0.conv_dw.weight") {
        let family = MobileFamily::of(dict);
        return Some(respelled(dict, |name| family.rename(name), Some(TIMM_EPSILON), TF_NOTE));
    }
    None
}

fn respelled(
    dict: &StateDict,
    rename: impl Fn(&str) -> Option<String>,
    epsilon: Option<f32>,
    note: &'static str,
) -> Spelling {
    let rename = |name: &str| rename(name).unwrap_or_else(|| name.to_string());
    let mut dict = dict.clone().renamed(rename);
    flatten_classifiers(&mut dict.params);
    Spelling { dict, epsilon, note: Some(note) }
}

/// timm writes some fully connected layers as convolutions.
fn flatten_classifiers(params: &mut BTreeMap<String, Param>) {
    for (name, param) in params {
        if let (true, &[out, ..]) = (name.starts_with("classifier.") && param.shape.len() == 4, param.shape.as_slice())
        {
            param.shape = vec![out, param.data.len().checked_div(out).unwrap_or(0)];
        }
    }
}

fn vgg(name: &str) -> Option<String> {
    let heads =
        [("pre_logits.fc1.", "classifier.0."), ("pre_logits.fc2.", "classifier.3."), ("head.fc.", "classifier.6.")];
    heads.iter().find_map(|(from, to)| name.strip_prefix(from).map(|rest| format!("{to}{rest}")))
}

/// `s2.b1.conv1.bn.weight` is `trunk_output.block2.block2-0.f.a.1.weight`.
fn regnet(name: &str) -> Option<String> {
    let parts: Vec<&str> = name.split('.').collect();
    let number = |part| match part {
        "conv" => Some("0"),
        "bn" => Some("1"),
        _ => None,
    };
    match parts.as_slice() {
        ["stem", part, kind] => Some(format!("stem.{}.{kind}", number(part)?)),
        ["head", "fc", kind] => Some(format!("fc.{kind}")),
        [stage, block, rest @ ..] => {
            let stage = stage.strip_prefix('s')?;
            let block = block.strip_prefix('b')?.parse::<usize>().ok()?.checked_sub(1)?;
            let rest = match rest {
                ["conv1", part, kind] => format!("f.a.{}.{kind}", number(part)?),
                ["conv2", part, kind] => format!("f.b.{}.{kind}", number(part)?),
                ["conv3", part, kind] => format!("f.c.{}.{kind}", number(part)?),
                ["se", part, kind] => format!("f.se.{part}.{kind}"),
                ["downsample", part, kind] => format!("proj.{}.{kind}", number(part)?),
                _ => return None,
            };
            Some(format!("trunk_output.block{stage}.block{stage}-{block}.{rest}"))
        }
        _ => None,
    }
}

/// Which of the nets that timm builds of `conv_stem` and `blocks`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    MobileNetV2,
    MobileNetV3,
    EfficientNet,
}

struct MobileFamily {
    kind: Kind,
    /// Blocks a stage.
    stages: Vec<usize>,
    /// For a block, by `stage.block`, the kinds of layers that it has.
    layers: BTreeMap<[usize; 2], Layers>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Layers {
    /// A pointwise convolution before the depthwise one.
    expands: bool,
    squeezes: bool,
    /// One convolution and nothing else.
    is_plain: bool,
}

impl MobileFamily {
    fn of(dict: &StateDict) -> Self {
        let mut layers: BTreeMap<[usize; 2], Layers> = BTreeMap::new();
        for name in &dict.order {
            let Some((place, rest)) = block_place(name) else { continue };
            let block = layers.entry(place).or_default();
            match rest {
                "conv_pwl.weight" => block.expands = true,
                "se.conv_reduce.weight" => block.squeezes = true,
                "conv.weight" => block.is_plain = true,
                _ => {}
            }
        }
        let mut stages = Vec::new();
        for &[stage, _] in layers.keys() {
            if stage == stages.len() {
                stages.push(0);
            }
            if let Some(count) = stages.last_mut() {
                *count += 1;
            }
        }
        let kind = if dict.params.contains_key("conv_head.bias") {
            Kind::MobileNetV3
        } else if layers.values().any(|block| block.squeezes) {
            Kind::EfficientNet
        } else {
            Kind::MobileNetV2
        };
        Self { kind, stages, layers }
    }

    fn rename(&self, name: &str) -> Option<String> {
        if let Some(([stage, block], rest)) = block_place(name) {
            let (layer, kind) = rest.rsplit_once('.')?;
            let first_of_stage: usize = self.stages.iter().take(stage).sum();
            let start = match self.kind {
                Kind::EfficientNet => format!("features.{}.{block}", stage + 1),
                Kind::MobileNetV2 | Kind::MobileNetV3 => format!("features.{}", first_of_stage + block + 1),
            };
            let layer = self.layer(*self.layers.get(&[stage, block])?, layer)?;
            return Some(format!("{start}.{layer}.{kind}"));
        }
        let last = match self.kind {
            Kind::EfficientNet => self.stages.len() + 1,
            Kind::MobileNetV2 | Kind::MobileNetV3 => self.stages.iter().sum::<usize>() + 1,
        };
        let (layer, kind) = name.rsplit_once('.')?;
        let layer = match (self.kind, layer) {
            (_, "conv_stem") => "features.0.0".to_string(),
            (_, "bn1") => "features.0.1".to_string(),
            (Kind::MobileNetV3, "conv_head") => "classifier.0".to_string(),
            (Kind::MobileNetV3, "classifier") => "classifier.3".to_string(),
            (_, "conv_head") => format!("features.{last}.0"),
            (_, "bn2") => format!("features.{last}.1"),
            (_, "classifier") => "classifier.1".to_string(),
            _ => return None,
        };
        Some(format!("{layer}.{kind}"))
    }

    /// A layer within its block.
    fn layer(&self, block: Layers, layer: &str) -> Option<String> {
        let depthwise = usize::from(block.expands);
        let squeeze = depthwise + 1;
        let project = squeeze + usize::from(block.squeezes);
        let (place, part) = match (block.expands, layer) {
            (_, "conv") if block.is_plain => return Some("0".into()),
            (_, "bn1") if block.is_plain => return Some("1".into()),
            (true, "conv_pw") => (0, "0"),
            (true, "bn1") => (0, "1"),
            (_, "conv_dw") => (depthwise, "0"),
            (true, "bn2") | (false, "bn1") => (depthwise, "1"),
            (_, "se.conv_reduce") => (squeeze, "fc1"),
            (_, "se.conv_expand") => (squeeze, "fc2"),
            (true, "conv_pwl") | (false, "conv_pw") => (project, "0"),
            (true, "bn3") | (false, "bn2") => (project, "1"),
            _ => return None,
        };
        Some(match (self.kind, part) {
            // The last two layers lie in no container of their own.
            (Kind::MobileNetV2, "0") if place == project => format!("conv.{project}"),
            (Kind::MobileNetV2, "1") if place == project => format!("conv.{}", project + 1),
            (Kind::MobileNetV2, part) => format!("conv.{place}.{part}"),
            (Kind::MobileNetV3 | Kind::EfficientNet, part) => format!("block.{place}.{part}"),
        })
    }
}

/// The stage and block of `blocks.STAGE.BLOCK.REST`, and the rest.
fn block_place(name: &str) -> Option<([usize; 2], &str)> {
    let (stage, rest) = name.strip_prefix("blocks.")?.split_once('.')?;
    let (block, rest) = rest.split_once('.')?;
    Some(([stage.parse().ok()?, block.parse().ok()?], rest))
}
