//! The architecture of a state dict, by the names and shapes of its tensors.

use super::cifar;
use super::names::{self, Spelling};
use super::state::StateDict;
use crate::formats::architectures::{
    Architecture, ArchitectureError, Blueprint, IMAGENET_CLASSES, NamedParams, ParamRole, ParamSpec,
};
use crate::formats::imported::{FoundPreprocess, Imported};
use crate::formats::{ImportError, LoadOptions};
use crate::nn::graph::{Graph, GraphBuilder, GraphError};
use crate::nn::ops::Op;

/// More classes than any net distinguishes.
const MAX_CLASSES: usize = 1 << 20;

pub(super) fn net(dict: StateDict, options: &LoadOptions) -> Result<Imported, ImportError> {
    let forced = options.architecture.as_deref();
    if let Some(imported) = cifar::net(&dict)
        && forced.is_none_or(|name| name == imported.name)
    {
        return Ok(imported);
    }
    let mut spellings = names::spellings(dict);
    let candidates = match forced {
        Some(name) => vec![name.parse().map_err(|error: ArchitectureError| ImportError::Needs(error.to_string()))?],
        None => Architecture::ALL.to_vec(),
    };
    let mut fits = Vec::new();
    for (place, spelling) in spellings.iter().enumerate() {
        for &architecture in &candidates {
            fits.push((place, Fit::of(architecture, &spelling.dict)));
        }
    }
    let accepts = |fit: &Fit| if forced.is_some() { fit.misfits.is_empty() } else { fit.is_whole() };
    match fits.iter().position(|(_, fit)| accepts(fit)) {
        Some(best) => {
            let (place, fit) = fits.swap_remove(best);
            build(fit, spellings.swap_remove(place))
        }
        None if forced.is_some() => Err(lacking(&fits)),
        None => Err(unknown(&mut fits)),
    }
}

/// How well an architecture fits.
struct Fit {
    architecture: Architecture,
    blueprint: Blueprint,
    classes: usize,
    /// Tensors that the architecture has and the file has not, or of another shape.
    misfits: Vec<Misfit>,
    /// Tensors that only the file has.
    extras: Vec<String>,
}

pub(super) struct Misfit {
    pub wanted: ParamSpec,
    pub found: Option<Vec<usize>>,
}

impl Fit {
    fn of(architecture: Architecture, dict: &StateDict) -> Self {
        let mut blueprint = architecture.blueprint(IMAGENET_CLASSES);
        let classifier = blueprint.params().iter().rfind(|spec| spec.role == ParamRole::Bias);
        let found = classifier.and_then(|spec| dict.params.get(&spec.name));
        let classes = match found.map(|param| param.shape.as_slice()) {
            Some(&[classes]) if (1..=MAX_CLASSES).contains(&classes) => classes,
            _ => IMAGENET_CLASSES,
        };
        if classes != IMAGENET_CLASSES {
            blueprint = architecture.blueprint(classes);
        }
        let misfit = |spec: &ParamSpec| {
            let found = dict.params.get(&spec.name).map(|param| param.shape.clone());
            (found.as_ref() != Some(&spec.shape)).then(|| Misfit { wanted: spec.clone(), found })
        };
        let misfits = blueprint.params().iter().filter_map(misfit).collect();
        let wanted: std::collections::HashSet<&str> =
            blueprint.params().iter().map(|spec| spec.name.as_str()).collect();
        let is_extra = |name: &&String| !wanted.contains(name.as_str()) && !names::is_for_training(name);
        let extras = dict.order.iter().filter(is_extra).cloned().collect();
        Self { architecture, blueprint, classes, misfits, extras }
    }

    fn is_whole(&self) -> bool {
        self.misfits.is_empty() && self.extras.is_empty()
    }

    fn wanted(&self) -> usize {
        self.blueprint.params().len()
    }
}

fn build(fit: Fit, spelling: Spelling) -> Result<Imported, ImportError> {
    let Fit { architecture, blueprint, classes, extras, .. } = fit;
    let Spelling { dict, epsilon, note } = spelling;
    let mut source = NamedParams::new(dict.params);
    let graph = blueprint.build(&mut source, Vec::new()).map_err(|error| match error {
        ArchitectureError::Graph(error) => ImportError::Graph(error),
        other => ImportError::Damaged(other.to_string()),
    })?;
    let mut imported = Imported::new(architecture.name(), rebuilt(&graph, epsilon)?);
    let preprocess = graph.preprocess();
    imported.preprocess = FoundPreprocess {
        order: Some(preprocess.order),
        mean: Some(preprocess.mean.clone()),
        scale: Some(preprocess.scale.clone()),
    };
    imported.notes = dict.notes;
    imported.notes.push(format!(
        "The tensors are those of {architecture} with {classes} classes; the file does not say so, nor how pictures are \
         to be prepared: as torchvision's {architecture} takes them is assumed."
    ));
    imported.notes.extend(note.map(str::to_string));
    if ["googlenet", "inception_v3"].contains(&architecture.name()) {
        imported.notes.push(format!(
            "torchvision's own {architecture} is made with transform_input=True, which turns pictures normalized for \
             ImageNet into (p − 127.5) / 127.5; that step is left out here, and pictures are taken so from the start."
        ));
    }
    if let Some(first) = extras.first() {
        let count = extras.len();
        let first = ImportError::brief(first);
        imported.notes.push(format!("The file has {count} tensors that {architecture} has not, such as `{first}`."));
    }
    Ok(imported)
}

/// The same nodes and parameters in a builder; all batch norms have the given epsilon, if any.
fn rebuilt(graph: &Graph, epsilon: Option<f32>) -> Result<GraphBuilder, ImportError> {
    let [first, nodes @ ..] = graph.nodes() else { return Err(GraphError::NoSingleInput.into()) };
    let input = graph.input();
    let mut net = GraphBuilder::new(&first.name, input.channels, input.size);
    for (name, param) in graph.params() {
        net.param(name, &param.shape, param.data.clone());
    }
    for node in nodes {
        let mut op = node.op.clone();
        if let (Op::BatchNorm(norm), Some(epsilon)) = (&mut op, epsilon) {
            norm.epsilon = epsilon;
        }
        let params: Vec<&str> = node.params.iter().map(String::as_str).collect();
        net.add(&node.name, op, &node.inputs, &params);
    }
    Ok(net)
}

/// Why the weights are not of the architecture that the user names, in the spelling that comes nearest.
fn lacking(fits: &[(usize, Fit)]) -> ImportError {
    const SHOWN: usize = 3;
    let Some((_, fit)) = fits.iter().min_by_key(|(_, fit)| fit.misfits.len()) else {
        return ImportError::Needs("name an architecture".into());
    };
    let shown: Vec<String> = fit.misfits.iter().take(SHOWN).map(Misfit::to_string).collect();
    let (misfits, wanted) = (fit.misfits.len(), fit.wanted());
    let more = if misfits > SHOWN { "; …" } else { "" };
    ImportError::Needs(format!(
        "of the {wanted} tensors of {}, {misfits} are missing or of another shape: {}{more}; name another architecture",
        fit.architecture,
        shown.join("; ")
    ))
}

impl std::fmt::Display for Misfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Misfit { wanted: ParamSpec { name, shape, .. }, found } = self;
        match found {
            Some(found) => write!(f, "`{name}` is {:?} and should be {shape:?}", found.get(..8).unwrap_or(found)),
            None => write!(f, "`{name}` is missing"),
        }
    }
}

/// Nothing fits: what comes nearest.
fn unknown(fits: &mut [(usize, Fit)]) -> ImportError {
    const NEAREST: usize = 3;
    fits.sort_by(|(_, a), (_, b)| likeness(b).total_cmp(&likeness(a)));
    let mut shown: Vec<Architecture> = Vec::new();
    let mut nearest = Vec::new();
    for (_, fit) in fits.iter() {
        if nearest.len() == NEAREST || shown.contains(&fit.architecture) {
            continue;
        }
        shown.push(fit.architecture);
        let (wanted, matching) = (fit.wanted(), fit.wanted() - fit.misfits.len());
        let mut line = format!("{} ({matching} of its {wanted} tensors match", fit.architecture);
        if let Some(misfit) = fit.misfits.first() {
            line.push_str(&format!("; {misfit}"));
        } else if let Some(extra) = fit.extras.first() {
            line.push_str(&format!(
                "; the file has {} more, such as `{}`",
                fit.extras.len(),
                ImportError::brief(extra)
            ));
        }
        nearest.push(line + ")");
    }
    ImportError::Needs(format!(
        "the file holds weights alone, and they are of no known architecture; the nearest are {}; name one with \
         --architecture, or give a net file that describes the net",
        nearest.join(", ")
    ))
}

/// The share of common tensors in all tensors of both.
fn likeness(fit: &Fit) -> f64 {
    let matching = (fit.wanted() - fit.misfits.len()) as f64;
    matching / (fit.wanted() + fit.extras.len()) as f64
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::formats::architectures::{ParamSource, RandomParams};
    use crate::nn::graph::Param;

    /// The names and shapes of a net's tensors, without numbers.
    fn hollow(architecture: Architecture, classes: usize) -> StateDict {
        let mut dict = StateDict::default();
        for spec in architecture.blueprint(classes).params() {
            dict.order.push(spec.name.clone());
            dict.params.insert(spec.name.clone(), Param { shape: spec.shape.clone(), data: [].into() });
        }
        dict
    }

    fn random(architecture: Architecture, classes: usize) -> StateDict {
        let mut dict = hollow(architecture, classes);
        for spec in architecture.blueprint(classes).params() {
            let data = RandomParams::new(1).take(spec).unwrap();
            dict.params.insert(spec.name.clone(), Param { shape: spec.shape.clone(), data });
        }
        dict
    }

    fn message(dict: StateDict, architecture: Option<&str>) -> String {
        let options = LoadOptions { architecture: architecture.map(str::to_string), ..LoadOptions::default() };
        net(dict, &options).err().unwrap().to_string()
    }

    #[test]
    fn every_architecture_fits_its_own_tensors_and_no_others() {
        let mut failures = Vec::new();
        for &architecture in Architecture::ALL {
            let dict = hollow(architecture, 12);
            for &candidate in Architecture::ALL {
                let fit = Fit::of(candidate, &dict);
                if fit.is_whole() != (candidate == architecture) {
                    failures.push(format!("{candidate} for the tensors of {architecture}"));
                }
                if candidate == architecture && fit.classes != 12 {
                    failures.push(format!("{} classes of {architecture}", fit.classes));
                }
            }
        }
        assert!(failures.is_empty(), "{failures:#?}");
    }

    #[test]
    fn a_state_dict_becomes_the_net_that_has_its_tensors() {
        let mut dict = random(Architecture::SqueezeNet1_1, 7);
        dict.insert("features.0.num_batches_tracked".into(), Param { shape: vec![], data: [1.0].into() });
        let expected = dict.params["features.3.squeeze.weight"].clone();
        let imported = net(dict, &LoadOptions::default()).unwrap();
        assert_eq!((imported.name.as_str(), imported.notes.len()), ("squeezenet1_1", 1));
        assert_eq!(imported.net.param_named("features.3.squeeze.weight"), Some(&expected));
        assert_eq!(imported.net.nodes().last().unwrap().name, "softmax");
        assert_eq!(imported.net.shape(imported.net.nodes().len() - 1).unwrap().dims(), [1, 7]);
        assert!(imported.preprocess.mean.is_some());
    }

    #[test]
    fn what_does_not_fit_is_told_with_the_nearest() {
        let mut dict = hollow(Architecture::ResNet18, 10);
        dict.insert("extra.weight".into(), Param { shape: vec![1], data: [1.0].into() });
        let all = message(dict.clone(), None);
        assert!(
            all.contains(
                "nearest are resnet18 (102 of its 102 tensors match; the file has 1 more, such as `extra.weight`), "
            ),
            "{all}"
        );
        assert!(all.contains("resnet34 (") && all.contains("--architecture"), "{all}");
        dict.params.remove("layer4.1.conv2.weight");
        let lacks = message(dict.clone(), Some("resnet18"));
        assert!(
            lacks.contains("of the 102 tensors of resnet18, 1 are missing")
                && lacks.contains("`layer4.1.conv2.weight` is missing"),
            "{lacks}"
        );
        let wrong = message(dict.clone(), Some("vgg11"));
        assert!(wrong.contains("22 are missing or of another shape") && wrong.contains("; …"), "{wrong}");
        assert!(message(dict, Some("resnet5")).starts_with("there is no architecture `resnet5`"));
    }

    #[test]
    fn training_heads_are_no_obstacle_and_what_is_forced_may_have_more() {
        let mut dict = hollow(Architecture::GoogLeNet, 1000);
        dict.insert("aux1.fc2.bias".into(), Param { shape: vec![1], data: [1.0].into() });
        assert!(Fit::of(Architecture::GoogLeNet, &dict).is_whole());
        let mut dict = random(Architecture::SqueezeNet1_0, 3);
        dict.insert("extra.weight".into(), Param { shape: vec![1], data: [1.0].into() });
        let options = LoadOptions { architecture: Some("squeezenet1_0".into()), ..LoadOptions::default() };
        let imported = net(dict, &options).unwrap();
        assert!(imported.notes[1].contains("1 tensors that squeezenet1_0 has not, such as `extra.weight`"));
    }

    #[test]
    fn an_epsilon_reaches_all_batch_norms() {
        let spelling = Spelling { dict: random(Architecture::ResNet18, 2), epsilon: Some(0.5), note: Some("So.") };
        let fit = Fit::of(Architecture::ResNet18, &spelling.dict);
        let imported = build(fit, spelling).unwrap();
        let epsilons = imported.net.nodes().iter().filter_map(|node| match &node.op {
            Op::BatchNorm(norm) => Some(norm.epsilon),
            _ => None,
        });
        assert!(epsilons.clone().count() == 20 && epsilons.into_iter().all(|epsilon| epsilon == 0.5));
        assert_eq!(imported.notes[1], "So.");
    }

    #[test]
    fn timm_names_become_torchvisions() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/nets/pytorch/timm_names.json");
        let nets: BTreeMap<String, Vec<[String; 2]>> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        assert_eq!(nets.len(), 6);
        let mut failures = Vec::new();
        for (net, pairs) in nets {
            let mut dict = StateDict::default();
            for (index, [timm, _]) in pairs.iter().enumerate() {
                dict.insert(timm.clone(), Param { shape: vec![1, 1], data: [index as f32].into() });
            }
            let spellings = names::spellings(dict);
            let [_, Spelling { dict, .. }] = spellings.as_slice() else { panic!("{net} is not recognized as timm's") };
            for (index, [timm, torchvision]) in pairs.iter().enumerate() {
                if dict.params.get(torchvision).is_none_or(|param| param.data[0] != index as f32) {
                    failures.push(format!("{net}: {timm} is not {torchvision} but {}", dict.order[index]));
                }
            }
        }
        assert!(failures.is_empty(), "{failures:#?}");
    }

    #[test]
    fn old_names_of_densenet() {
        let mut dict = StateDict::default();
        dict.insert(
            "features.denseblock1.denselayer2.norm.1.weight".into(),
            Param { shape: vec![1], data: [1.0].into() },
        );
        dict.insert(
            "features.denseblock1.denselayer2.conv.2.weight".into(),
            Param { shape: vec![1], data: [1.0].into() },
        );
        let order = &names::spellings(dict)[0].dict.order;
        assert_eq!(
            *order,
            ["features.denseblock1.denselayer2.norm1.weight", "features.denseblock1.denselayer2.conv2.weight"]
        );
    }
}
