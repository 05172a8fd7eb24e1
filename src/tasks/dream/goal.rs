//! From the names in a spec to what is maximized.

use super::error::DreamError;
use super::presets::layers_for;
use super::spec::{ClassGoal, ClassScore, DreamSpec, LayerWeight};
use crate::base::tensor::Shape;
use crate::nn::graph::{Graph, GraphBuilder, NodeId};
use crate::optvis::objective::{Objective, Score, Units};

/// How many names an error lists.
const NAMES_SHOWN: usize = 5;

/// A net unknown to the presets dreams at the last layer whose maps are at least this part of the picture's side: late
/// enough for things, early enough for many of them.
const SMALLEST_MAP: usize = 16;

/// What is maximized, and how an error calls it.
#[derive(Clone, Debug)]
pub struct Goal {
    pub objective: Objective,
    pub name: String,
}

/// Finds what `spec` names in `graph`. Fills in [`DreamSpec::layers`] when neither layers nor a class are named.
pub fn resolve(spec: &mut DreamSpec, graph: &Graph) -> Result<Goal, DreamError> {
    let shapes = graph.shapes(&graph.native_input_shape(1))?;
    if let Some(goal) = &spec.class {
        return class_goal(goal, graph, &shapes);
    }
    if spec.layers.is_empty() {
        spec.layers = chosen_layers(spec, graph, &shapes)?;
    }
    let units = match (spec.neuron, spec.channels.as_slice()) {
        (Some(neuron), _) => Units::Neuron { channel: neuron.channel, x: neuron.x, y: neuron.y },
        (None, []) => Units::All,
        (None, channels) => Units::Channels(distinct(channels)),
    };
    let mut objective: Option<Objective> = None;
    for layer in &spec.layers {
        let node = graph.find(&layer.name)?;
        if node == GraphBuilder::INPUT {
            return Err(DreamError::InputLayer { layer: layer.name.clone() });
        }
        check_units(&units, &layer.name, &shapes[node])?;
        let score = Score::Units { measure: spec.objective, units: units.clone() };
        let term = layer.weight * Objective::new(node, score);
        objective = Some(objective.map_or(term.clone(), |sum| sum + term));
    }
    let objective = objective.ok_or_else(|| DreamError::NoLayer { net: graph.name().into() })?;
    let names: Vec<&str> = spec.layers.iter().map(|layer| layer.name.as_str()).collect();
    Ok(Goal { objective, name: format!("layer {}", names.join(", ")) })
}

/// The preset's layers for a net, or those that suit an unknown one.
fn chosen_layers(spec: &DreamSpec, graph: &Graph, shapes: &[Shape]) -> Result<Vec<LayerWeight>, DreamError> {
    match layers_for(graph, spec.preset) {
        Some(layers) => Ok(layers),
        None => Ok(vec![LayerWeight { name: default_layer(graph, shapes)?, weight: 1.0 }]),
    }
}

impl DreamSpec {
    /// The layers that are dreamt with: those that are named, else the preset's choice for the net. None for a class, and
    /// where the net has no layer to dream with.
    pub fn layers_for(&self, graph: &Graph) -> Vec<LayerWeight> {
        if self.class.is_some() || !self.layers.is_empty() {
            return self.layers.clone();
        }
        let shapes = graph.shapes(&graph.native_input_shape(1));
        shapes.ok().and_then(|shapes| chosen_layers(self, graph, &shapes).ok()).unwrap_or_default()
    }
}

fn distinct(channels: &[usize]) -> Vec<usize> {
    let mut channels = channels.to_vec();
    channels.sort_unstable();
    channels.dedup();
    channels
}

fn check_units(units: &Units, layer: &str, shape: &Shape) -> Result<(), DreamError> {
    let highest = match units {
        Units::All => return Ok(()),
        Units::Channels(channels) => channels.last().copied().unwrap_or(0),
        Units::Neuron { channel, .. } => *channel,
    };
    match shape.as_maps() {
        Some([_, channels, _, _]) if highest < channels => Ok(()),
        Some([_, channels, _, _]) => Err(DreamError::Channel { layer: layer.into(), channel: highest, channels }),
        None => Err(DreamError::NoMaps { layer: layer.into() }),
    }
}

/// The last layer with large enough maps that all of the net's signal goes through.
fn default_layer(graph: &Graph, shapes: &[Shape]) -> Result<String, DreamError> {
    let [native_height, native_width] = graph.input().size;
    // The earliest node that is still read at or behind each one.
    let mut first_read = vec![NodeId::MAX; graph.nodes().len() + 1];
    for id in (0..graph.nodes().len()).rev() {
        let own = graph.node(id).inputs.iter().copied().min().unwrap_or(NodeId::MAX);
        first_read[id] = first_read[id + 1].min(own);
    }
    let is_large = |shape: &Shape| {
        shape.as_maps().is_some_and(|[_, _, height, width]| {
            height.min(width) > 1 && height * SMALLEST_MAP >= native_height && width * SMALLEST_MAP >= native_width
        })
    };
    let carries_all = |id: NodeId| first_read[id + 1] >= id;
    let found = (1..shapes.len()).rev().find(|&id| carries_all(id) && is_large(&shapes[id]));
    let id = found.ok_or_else(|| DreamError::NoLayer { net: graph.name().into() })?;
    Ok(graph.node(id).name.clone())
}

fn class_goal(goal: &ClassGoal, graph: &Graph, shapes: &[Shape]) -> Result<Goal, DreamError> {
    let node = graph.logits();
    let Some([_, classes, _, _]) = shapes[node].as_maps() else {
        return Err(DreamError::NoMaps { layer: graph.node(node).name.clone() });
    };
    let class = class_index(&goal.class, graph, classes)?;
    let score = match goal.score {
        ClassScore::Logit => Score::Logit(class),
        ClassScore::Posterior => Score::Posterior(class),
    };
    let label = graph.labels().get(class).map_or_else(|| class.to_string(), String::clone);
    Ok(Goal { objective: Objective::new(node, score), name: format!("class {label}") })
}

/// A number, a whole name (case aside), or a part of one name.
pub fn class_index(class: &str, graph: &Graph, classes: usize) -> Result<usize, DreamError> {
    if let Ok(index) = class.trim().parse::<usize>() {
        let net = graph.name().to_string();
        return if index < classes { Ok(index) } else { Err(DreamError::ClassIndex { net, class: index, classes }) };
    }
    let labels = graph.labels();
    if labels.is_empty() {
        return Err(DreamError::NoClassNames { net: graph.name().into() });
    }
    let sought = class.trim().to_lowercase();
    let lower: Vec<String> = labels.iter().take(classes).map(|label| label.to_lowercase()).collect();
    if let Some(index) = lower.iter().position(|label| *label == sought) {
        return Ok(index);
    }
    let containing: Vec<usize> = (0..lower.len()).filter(|&i| lower[i].contains(&sought)).collect();
    let named = |indices: &[usize]| indices.iter().take(NAMES_SHOWN).map(|&i| labels[i].clone()).collect();
    match containing.as_slice() {
        &[index] => Ok(index),
        [] => {
            let mut ranked: Vec<usize> = (0..lower.len()).collect();
            let likeness = |i: usize| strsim::jaro_winkler(&lower[i], &sought);
            ranked.sort_by(|&a, &b| likeness(b).total_cmp(&likeness(a)));
            Err(DreamError::UnknownClass { class: class.into(), nearest: named(&ranked) })
        }
        several => Err(DreamError::AmbiguousClass { class: class.into(), count: several.len(), some: named(several) }),
    }
}
