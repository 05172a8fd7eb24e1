//! Which layer takes what from which, which one gives the net's output, and which are not needed for it.

use std::collections::{BTreeSet, HashMap};

use super::net::{Layer, Net};
use crate::formats::ImportError;

/// Where a blob comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Source {
    /// A top of a layer.
    Top { layer: usize, top: usize },
    /// A blob given from outside, by its place among the net's inputs.
    Given(usize),
    /// A blob that no layer gives.
    Nowhere(String),
}

/// What becomes of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Gives pictures, and perhaps labels.
    Data,
    Works,
    /// A loss of scores: the probabilities that it computes on the way are kept.
    Loss,
    /// A loss or a measurement of which nothing is kept.
    Dropped,
}

impl Role {
    pub fn of(layer: &Layer<'_>) -> Self {
        match layer.kind.as_str() {
            "Input" | "Data" | "ImageData" | "MemoryData" | "HDF5Data" | "DummyData" | "WindowData"
            | "AnnotatedData" => Self::Data,
            "Python" if layer.bottoms.is_empty() => Self::Data,
            "SoftmaxWithLoss" | "SigmoidCrossEntropyLoss" => Self::Loss,
            "Accuracy"
            | "ArgMax"
            | "Silence"
            | "HDF5Output"
            | "EuclideanLoss"
            | "HingeLoss"
            | "InfogainLoss"
            | "MultinomialLogisticLoss"
            | "ContrastiveLoss" => Self::Dropped,
            _ => Self::Works,
        }
    }
}

/// The layers to build, and what each takes.
#[derive(Debug)]
pub struct Wiring {
    /// Indices of layers: each after all that it needs, the output last.
    pub order: Vec<usize>,
    /// What each layer takes, for all layers; for a loss only the scores.
    pub takes: Vec<Vec<Source>>,
    /// Where the pictures come from.
    pub input: Source,
    /// Titles of the layers that give other outputs in training, and were left out with what only they need.
    pub heads: Vec<String>,
    /// Titles and types of layers at other outputs that are not supported, and were left out likewise.
    pub unsupported: Vec<(String, String)>,
}

impl Wiring {
    /// `is_supported` tells whether a type of layer can be built.
    pub fn new(net: &Net<'_>, is_supported: impl Fn(&str) -> bool) -> Result<Self, ImportError> {
        let roles: Vec<Role> = net.layers.iter().map(Role::of).collect();
        let takes = resolve(net, &roles);
        let builds = |i: usize| matches!(roles.get(i), Some(Role::Works | Role::Loss));
        let mut consumed = vec![false; net.layers.len()];
        for (i, sources) in takes.iter().enumerate().filter(|&(i, _)| builds(i)) {
            for source in sources {
                match *source {
                    Source::Top { layer, .. } if layer < i => consumed[layer] = true,
                    _ => {}
                }
            }
        }
        let ends: Vec<usize> = (0..net.layers.len()).filter(|&i| builds(i) && !consumed[i]).collect();
        let scores = |&&i: &&usize| matches!(net.layers[i].kind.as_str(), "Softmax" | "SoftmaxWithLoss");
        let Some(&output) = ends.iter().rev().find(scores).or(ends.last()) else {
            return Err(ImportError::Damaged("the net has no layer that computes anything".into()));
        };

        let read_by_dropped = read_by_dropped(&takes, &roles);
        let (mut heads, mut unsupported, mut targets) = (Vec::new(), Vec::new(), vec![output]);
        for &end in ends.iter().filter(|&&end| end != output) {
            let layer = &net.layers[end];
            if roles[end] == Role::Loss || read_by_dropped[end] {
                heads.push(layer.title().to_string());
            } else if is_supported(&layer.kind) {
                targets.push(end);
            } else {
                unsupported.push((layer.title().to_string(), layer.kind.clone()));
            }
        }
        let needed = ancestors(&takes, &roles, &targets);
        let order: Vec<usize> =
            (0..net.layers.len()).filter(|&i| needed[i] && builds(i) && i != output).chain([output]).collect();
        let input = input(net, &roles, &takes, &order)?;
        Ok(Self { order, takes, input, heads, unsupported })
    }
}

/// Which layers a loss or a measurement reads of which nothing is kept.
fn read_by_dropped(takes: &[Vec<Source>], roles: &[Role]) -> Vec<bool> {
    let mut read = vec![false; takes.len()];
    for (sources, _) in takes.iter().zip(roles).filter(|(_, role)| **role == Role::Dropped) {
        for source in sources {
            match source {
                Source::Top { layer, .. } => read[*layer] = true,
                Source::Given(_) | Source::Nowhere(_) => {}
            }
        }
    }
    read
}

/// The sources of every layer's bottoms; in-place layers replace the blob for the layers after them.
fn resolve(net: &Net<'_>, roles: &[Role]) -> Vec<Vec<Source>> {
    let mut blobs: HashMap<&str, Source> =
        net.inputs.iter().enumerate().map(|(i, given)| (given.name.as_str(), Source::Given(i))).collect();
    let mut takes = Vec::with_capacity(net.layers.len());
    for (i, (layer, role)) in net.layers.iter().zip(roles).enumerate() {
        let bottoms = match role {
            Role::Loss | Role::Dropped => layer.bottoms.get(..1).unwrap_or_default(),
            Role::Data | Role::Works => &layer.bottoms,
        };
        let source = |bottom: &String| blobs.get(bottom.as_str()).cloned().unwrap_or(Source::Nowhere(bottom.clone()));
        takes.push(bottoms.iter().map(source).collect());
        for (top, name) in layer.tops.iter().enumerate() {
            blobs.insert(name, Source::Top { layer: i, top });
        }
    }
    takes
}

fn ancestors(takes: &[Vec<Source>], roles: &[Role], targets: &[usize]) -> Vec<bool> {
    let mut needed = vec![false; takes.len()];
    for &target in targets {
        needed[target] = true;
    }
    for i in (0..takes.len()).rev().filter(|&i| roles[i] != Role::Data) {
        if needed[i] {
            for source in &takes[i] {
                match source {
                    Source::Top { layer, .. } => needed[*layer] = true,
                    Source::Given(_) | Source::Nowhere(_) => {}
                }
            }
        }
    }
    needed
}

/// The one blob that is given from outside and that the layers in `order` take.
fn input(net: &Net<'_>, roles: &[Role], takes: &[Vec<Source>], order: &[usize]) -> Result<Source, ImportError> {
    let is_outside = |source: &&Source| match source {
        Source::Top { layer, .. } => roles[*layer] == Role::Data,
        Source::Given(_) | Source::Nowhere(_) => true,
    };
    let mut first: Option<&Source> = None;
    let mut order: Vec<usize> = order.to_vec();
    order.sort_unstable();
    for i in order {
        for source in takes[i].iter().filter(is_outside) {
            match (first, source) {
                (None, _) => first = Some(source),
                (Some(first), _) if first == source => {}
                (Some(_), Source::Nowhere(blob)) => {
                    let reason =
                        format!("takes the blob `{}`, which no layer before it gives", ImportError::brief(blob));
                    return Err(ImportError::layer(net.layers[i].title(), reason));
                }
                (Some(_), _) => {
                    let name = ImportError::brief(blob_name(net, source));
                    let reason = format!("takes `{name}`, a second input; only nets with one input are supported");
                    return Err(ImportError::layer(net.layers[i].title(), reason));
                }
            }
        }
    }
    let has_sources = !net.inputs.is_empty() || roles.contains(&Role::Data);
    match first {
        Some(Source::Nowhere(blob)) if has_sources => Err(ImportError::Damaged(format!(
            "the blob `{}` is taken by a layer, but no layer before it gives it",
            ImportError::brief(blob)
        ))),
        Some(source) => Ok(source.clone()),
        None => Err(ImportError::Damaged("no layer of the net takes an input".into())),
    }
}

/// The name of a source's blob.
pub fn blob_name<'n>(net: &'n Net<'_>, source: &'n Source) -> &'n str {
    match source {
        Source::Top { layer, top } => {
            net.layers.get(*layer).and_then(|layer| layer.tops.get(*top)).map_or("", |top| top)
        }
        Source::Given(i) => net.inputs.get(*i).map_or("", |given| &given.name),
        Source::Nowhere(name) => name,
    }
}

/// Every name that a layer or a blob has, so that made-up ones can keep clear of them.
pub fn names(net: &Net<'_>) -> BTreeSet<String> {
    let of_layers = net.layers.iter().flat_map(|layer| layer.tops.iter().chain([&layer.name]));
    of_layers.chain(net.inputs.iter().map(|given| &given.name)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::super::text;
    use super::*;

    fn wiring(text: &str) -> (Wiring, Vec<String>) {
        let message = text::parse(text).unwrap();
        let net = Net::new(&message).unwrap();
        let wiring = Wiring::new(&net, |kind| kind != "Strange").unwrap();
        let order = wiring.order.iter().map(|&i| net.layers[i].name.clone()).collect();
        (wiring, order)
    }

    #[test]
    fn in_place_layers_replace_their_blob() {
        let (wiring, order) = wiring(
            r#"input: "x" layer { name: "c" type: "Convolution" bottom: "x" top: "c" }
               layer { name: "r" type: "ReLU" bottom: "c" top: "c" }
               layer { name: "d" type: "Dropout" bottom: "c" top: "c" }
               layer { name: "p" type: "Pooling" bottom: "c" top: "p" }"#,
        );
        assert_eq!(order, ["c", "r", "d", "p"]);
        assert_eq!(wiring.takes[3], [Source::Top { layer: 2, top: 0 }]);
        assert_eq!(wiring.input, Source::Given(0));
    }

    #[test]
    fn the_last_softmax_is_the_output_and_other_heads_of_training_go() {
        let text = r#"
            layer { name: "data" type: "Data" top: "x" top: "label" }
            layer { name: "a" type: "ReLU" bottom: "x" top: "a" }
            layer { name: "aux" type: "ReLU" bottom: "a" top: "aux" }
            layer { name: "loss1" type: "SoftmaxWithLoss" bottom: "aux" bottom: "label" }
            layer { name: "main" type: "ReLU" bottom: "a" top: "main" }
            layer { name: "loss2" type: "SoftmaxWithLoss" bottom: "main" bottom: "label" }
            layer { name: "right" type: "Accuracy" bottom: "main" bottom: "label" top: "right" }
            layer { name: "view" type: "TanH" bottom: "a" top: "view" }
            layer { name: "odd" type: "Strange" bottom: "a" top: "odd" }"#;
        let (wiring, order) = wiring(text);
        assert_eq!(order, ["a", "main", "view", "loss2"]);
        assert_eq!((wiring.heads, wiring.input), (vec!["loss1".to_string()], Source::Top { layer: 0, top: 0 }));
        assert_eq!(wiring.unsupported, [("odd".to_string(), "Strange".to_string())]);
    }

    #[test]
    fn wrong_inputs_are_named() {
        let cases = [
            (r#"input: "x" input: "y" layer { name: "s" type: "Eltwise" bottom: "x" bottom: "y" top: "s" }"#, "`y`"),
            (r#"input: "x" layer { name: "s" type: "Eltwise" bottom: "x" bottom: "y" top: "s" }"#, "no layer before"),
            (r#"input: "x" layer { name: "s" type: "ReLU" bottom: "y" top: "s" }"#, "`y`"),
            (r#"input: "x" layer { name: "s" type: "Accuracy" bottom: "x" top: "s" }"#, "computes anything"),
        ];
        for (text, expected) in cases {
            let message = text::parse(text).unwrap();
            let error = Wiring::new(&Net::new(&message).unwrap(), |_| true).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
