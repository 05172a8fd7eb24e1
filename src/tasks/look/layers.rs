//! The layers of a net as a tree to pick from.

use crate::base::tensor::Shape;
use crate::nn::graph::{Graph, GraphError, Node};

/// A group with at most this many layers is shown without groups inside it.
const MOST_FLAT: usize = 12;

/// A layer to pick.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerInfo {
    pub name: String,
    /// The kind of operation: `Conv2d`, `MaxPool`, …
    pub kind: &'static str,
    /// Channels, height, width at the net's own size; one value a channel is 1 × 1. Without maps, all values are taken
    /// as channels.
    pub output: [usize; 3],
    /// Whether single channels can be picked: the output has channels, rows and columns, or one value a channel.
    pub has_maps: bool,
    /// The names of the groups that the layer is in, the outermost first; none for one that stands alone. Every group
    /// has at least two layers.
    pub group: Vec<String>,
}

/// All layers but the input, in the net's order.
///
/// Groups come from the names: `layer3.0.conv1` and `block4/expand` lie in `layer3` and `block4`, and so does the
/// layer `block4` itself; larger groups are cut further, `layer3` into `layer3` › `0`. Neighbours without such
/// separators are grouped by the number in their names: `block4_conv1` and `block4_pool` lie in `block4`, `conv1_1` and
/// `relu1_1` in `conv1`.
///
/// # Errors
/// Never for a checked graph.
pub fn dreamable_layers(graph: &Graph) -> Result<Vec<LayerInfo>, GraphError> {
    let shapes = graph.shapes(&graph.native_input_shape(1))?;
    let names: Vec<&str> = graph.nodes().iter().skip(1).map(|node| node.name.as_str()).collect();
    let layers = graph.nodes().iter().zip(&shapes).skip(1).zip(groups(&names));
    let layer = |((node, shape), group): ((&Node, &Shape), _)| {
        let maps = shape.as_maps();
        LayerInfo {
            name: node.name.clone(),
            kind: node.op.kind(),
            output: maps.map_or([shape.len(), 1, 1], |[_, channels, height, width]| [channels, height, width]),
            has_maps: maps.is_some(),
            group,
        }
    };
    Ok(layers.map(layer).collect())
}

/// The groups of every name.
fn groups(names: &[&str]) -> Vec<Vec<String>> {
    let parts: Vec<Vec<&str>> = names.iter().map(|name| parts(name)).collect();
    let mut groups = vec![Vec::new(); names.len()];
    let all: Vec<usize> = (0..names.len()).collect();
    split(&parts, &all, 0, &mut groups);
    // The number of a name that is in no group and has no separators.
    let key = |i: usize| number(names[i]).filter(|_| groups[i].is_empty() && parts[i].len() == 1);
    let keys: Vec<Option<&str>> = all.iter().map(|&i| key(i)).collect();
    for run in all.chunk_by(|&a, &b| keys[a].is_some() && keys[a] == keys[b]) {
        if run.len() > 1 && run.len() < names.len() {
            let name = group_name(names[run[0]]);
            run.iter().for_each(|&i| groups[i].push(name.to_string()));
        }
    }
    groups
}

/// A name cut at `/` and `.`; a part that only repeats the word before it (`/layer1/layer1/conv`) is left out.
fn parts(name: &str) -> Vec<&str> {
    let mut parts: Vec<&str> = name.split(['/', '.']).filter(|part| !part.is_empty()).collect();
    parts.dedup_by(|part, before| part == before && !part.bytes().all(|byte| byte.is_ascii_digit()));
    if parts.is_empty() { vec![name] } else { parts }
}

/// Puts `members`, which agree in the parts before `depth`, into groups by the part at `depth`.
fn split(parts: &[Vec<&str>], members: &[usize], mut depth: usize, groups: &mut [Vec<String>]) {
    // A part that all have in common tells nothing.
    let part = |i: usize, depth: usize| parts[i].get(depth).copied();
    while let Some(&first) = members.first()
        && part(first, depth).is_some()
        && members.iter().all(|&i| part(i, depth) == part(first, depth))
    {
        depth += 1;
    }
    let mut by_part: Vec<(&str, Vec<usize>)> = Vec::new();
    for &i in members {
        let Some(part) = part(i, depth) else { continue };
        match by_part.iter_mut().find(|(other, _)| *other == part) {
            Some((_, same)) => same.push(i),
            None => by_part.push((part, vec![i])),
        }
    }
    for (part, same) in by_part.into_iter().filter(|(_, same)| same.len() > 1) {
        same.iter().for_each(|&i| groups[i].push(part.to_string()));
        if same.len() > MOST_FLAT {
            split(parts, &same, depth + 1, groups);
        }
    }
}

/// Where the first number of a name begins and ends, with the letter behind it: `4a` in `mixed4a_3x3`.
fn number_span(name: &str) -> Option<(usize, usize)> {
    let start = name.find(|c: char| c.is_ascii_digit())?;
    let digits_end = name[start..].find(|c: char| !c.is_ascii_digit()).map_or(name.len(), |length| start + length);
    let letter = name[digits_end..].bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
    Some((start, digits_end + usize::from(letter)))
}

fn number(name: &str) -> Option<&str> {
    number_span(name).map(|(start, end)| &name[start..end])
}

/// The name up to its first number: `mixed4a` of `mixed4a_3x3`.
fn group_name(name: &str) -> &str {
    number_span(name).map_or(name, |(_, end)| &name[..end])
}

#[cfg(test)]
mod tests {
    use super::super::testing::{shipped, sketch};
    use super::*;
    use crate::formats::architectures::Architecture;

    fn paths(names: &[&str]) -> Vec<String> {
        groups(names).iter().map(|group| group.join(" › ")).collect()
    }

    #[test]
    fn a_block_holds_its_layers_and_its_output() {
        let names = ["stem/conv", "stem", "block0/conv", "block0/conv/bn", "block0", "pool", "logits"];
        assert_eq!(paths(&names), ["stem", "stem", "block0", "block0", "block0", "", ""]);
    }

    #[test]
    fn no_group_has_one_layer_and_none_has_all() {
        assert_eq!(paths(&["conv1/7x7_s2", "pool1/3x3_s2", "fc"]), ["", "", ""]);
        assert_eq!(paths(&["model.a.conv", "model.a.relu", "model.fc"]), ["a", "a", ""]);
        assert_eq!(paths(&["model.a.conv", "model.a.relu"]), ["", ""]);
        assert_eq!(paths(&["/layer1/layer1/conv", "/layer1/relu", "/fc/Gemm"]), ["layer1", "layer1", ""]);
        assert_eq!(paths(&[]), [""; 0]);
        assert_eq!(paths(&["", ".", "é2é", "é2ü"]), ["", "", "é2", "é2"]);
    }

    #[test]
    fn caffes_googlenet_has_its_inceptions() {
        let names = [
            "conv1/7x7_s2",
            "conv1/relu_7x7",
            "pool1/3x3_s2",
            "pool1/norm1",
            "inception_3a/1x1",
            "inception_3a/relu_1x1",
            "inception_3a/output",
            "loss3/classifier",
            "prob",
        ];
        let expected = ["conv1", "conv1", "pool1", "pool1", "inception_3a", "inception_3a", "inception_3a", "", ""];
        assert_eq!(paths(&names), expected);
    }

    #[test]
    fn names_without_separators_are_grouped_by_their_number() {
        let names = ["conv1_1", "relu1_1", "conv1_2", "pool1", "conv2_1", "relu2_1", "fc6", "prob"];
        assert_eq!(paths(&names), ["conv1", "conv1", "conv1", "conv1", "conv2", "conv2", "", ""]);
        let names = ["block4_conv1", "block4_pool", "block5_conv1", "mixed4a_1x1", "mixed4a_3x3", "mixed4b_1x1"];
        assert_eq!(paths(&names), ["block4", "block4", "", "mixed4a", "mixed4a", ""]);
    }

    #[test]
    fn large_groups_are_cut_further() {
        let blueprint = Architecture::ResNet50.blueprint(10);
        let names: Vec<&str> = blueprint.nodes().iter().skip(1).map(|node| node.name.as_str()).collect();
        let paths = paths(&names);
        let path_of = |name: &str| paths[names.iter().position(|other| *other == name).unwrap()].as_str();
        assert_eq!(path_of("layer3.0.conv1"), "layer3 › 0");
        assert_eq!(path_of("layer3"), "layer3");
        assert_eq!(path_of("layer3.5.bn2"), "layer3 › 5");
        assert_eq!((path_of("conv1"), path_of("bn1"), path_of("fc")), ("conv1", "conv1", ""));
    }

    #[test]
    fn no_group_of_any_net_has_one_layer() {
        for architecture in Architecture::ALL {
            let blueprint = architecture.blueprint(10);
            let names: Vec<&str> = blueprint.nodes().iter().skip(1).map(|node| node.name.as_str()).collect();
            let groups = groups(&names);
            for path in &groups {
                for depth in 1..=path.len() {
                    let members = groups.iter().filter(|other| other.starts_with(&path[..depth])).count();
                    assert!(members > 1, "{architecture}: {path:?}");
                }
            }
        }
    }

    #[test]
    fn layers_say_what_they_are() {
        let layers = dreamable_layers(&sketch()).unwrap();
        let facts: Vec<_> = layers.iter().map(|layer| (layer.name.as_str(), layer.output, layer.has_maps)).collect();
        let expected = [
            ("maps", [2, 4, 6], true),
            ("flat", [48, 1, 1], true),
            ("rows", [48, 1, 1], false),
            ("scores", [3, 1, 1], true),
        ];
        assert_eq!(facts, expected);
    }

    #[test]
    fn the_shipped_net_is_a_tree_of_blocks() {
        let layers = dreamable_layers(&shipped()).unwrap();
        let find = |name: &str| layers.iter().find(|layer| layer.name == name).unwrap();
        assert_eq!(layers.len(), shipped().nodes().len() - 1);
        assert_eq!((&find("block4").group, find("block4").kind), (&vec!["block4".to_string()], "Elementwise"));
        assert_eq!(find("block4/expand/bn").group, ["block4"]);
        assert_eq!((find("block4/expand").output, find("logits").output), ([240, 28, 28], [1000, 1, 1]));
        assert!(find("logits").group.is_empty());
    }
}
