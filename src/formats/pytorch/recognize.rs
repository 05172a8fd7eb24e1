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
    if forced.is_none()
        && let Some(imported) = cifar::net(&dict)
    {
        return Ok(imported);
    }
    let spellings = names::spellings(dict);
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
    // The best first; of equals, the first architecture and the file's own spelling.
    fits.sort_by_key(|(_, fit)| (fit.misfits.len() + fit.extras.len()) * usize::from(!fit.is_whole()));
    let Some((place, fit)) = fits.first() else {
        return Err(ImportError::Unsupported("no architectures are known".into()));
    };
    let is_accepted = if forced.is_some() { fit.misfits.is_empty() } else { fit.is_whole() };
    let place = *place;
    if !is_accepted {
        return Err(if forced.is_some() { lacking(fit) } else { unknown(&mut fits) });
    }
    let Some((_, fit)) = fits.into_iter().next() else { return Err(ImportError::Unsupported(String::new())) };
    match spellings.into_iter().nth(place) {
        Some(spelling) => build(fit, spelling),
        None => Err(ImportError::Unsupported("no spelling fits".into())),
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

struct Misfit {
    wanted: ParamSpec,
    found: Option<Vec<usize>>,
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

/// Why the weights are not of the architecture that the user names.
fn lacking(fit: &Fit) -> ImportError {
    const SHOWN: usize = 3;
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
            line.push_str(&format!("; the file has {} more, such as `{}`", fit.extras.len(), ImportError::brief(extra)));
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
