//! Which output of a graph is the net's, and which node its pictures come from.

use super::graph::{Graph, Node};
use super::proto::DataType;
use crate::formats::ImportError;

/// Operations that turn the bytes of a picture file into pixels.
const DECODERS: [&str; 5] = ["DecodeJpeg", "DecodePng", "DecodeBmp", "DecodeImage", "DecodeGif"];

/// What no net computes in the end: decisions, losses, training, saving. Neither what depends on it.
const BEYOND_THE_NET: [&str; 17] = [
    "ArgMax",
    "ArgMin",
    "TopK",
    "TopKV2",
    "InTopK",
    "InTopKV2",
    "Equal",
    "NotEqual",
    "SoftmaxCrossEntropyWithLogits",
    "SparseSoftmaxCrossEntropyWithLogits",
    "L2Loss",
    "Assert",
    "NoOp",
    "Assign",
    "AssignAdd",
    "AssignSub",
    "PyFunc",
];

/// Names that outputs often have, where nothing else tells them apart.
const OUTPUT_NAMES: [&str; 7] =
    ["final_result", "softmax2", "softmax", "Predictions/Reshape_1", "predictions", "prob", "output"];

pub fn is_placeholder(op: &str) -> bool {
    matches!(op, "Placeholder" | "PlaceholderV2" | "PlaceholderWithDefault")
}

/// Operations whose output only tells of shapes.
fn tells_shapes(op: &str) -> bool {
    matches!(op, "Shape" | "ShapeN" | "Size" | "Rank")
}

fn is_beyond(op: &str) -> bool {
    BEYOND_THE_NET.contains(&op)
        || op.ends_with("Grad")
        || op.ends_with("Summary")
        || op.starts_with("Apply")
        || op.starts_with("Save")
        || op.starts_with("ResourceApply")
}

/// The node that gives the class scores, and how many others nobody reads from either.
pub struct Output {
    pub node: usize,
    /// Other outputs that pictures lead to.
    pub others: Vec<usize>,
}

/// Chooses the output: a softmax before all else, then the one that most operations lead to, then by name.
pub fn output(graph: &Graph<'_>) -> Result<Output, ImportError> {
    let order = graph.in_order();
    let mut depth: Vec<Option<usize>> = vec![None; graph.nodes.len()];
    let mut beyond = vec![false; graph.nodes.len()];
    for &index in &order {
        let node = &graph.nodes[index];
        let inputs = || node.inputs.iter().flatten();
        beyond[index] = is_beyond(node.op) || inputs().any(|edge| beyond[edge.node]);
        let deepest = inputs().filter_map(|edge| depth[edge.node]).max();
        depth[index] = match deepest {
            _ if tells_shapes(node.op) => None,
            Some(depth) => Some(depth + 1),
            None => (is_placeholder(node.op) || DECODERS.contains(&node.op)).then_some(0),
        };
    }
    let counts = |index: usize| depth[index].is_some_and(|depth| depth > 0) && !beyond[index];
    let readers = graph.readers();
    let ends: Vec<usize> =
        order.into_iter().filter(|&i| counts(i) && !readers[i].iter().any(|&reader| counts(reader))).collect();
    let rank = |index: usize| {
        let name = graph.nodes[index].name;
        let by_name = OUTPUT_NAMES.iter().position(|known| name == *known || name.ends_with(&format!("/{known}")));
        (is_softmax(graph, index), depth[index], by_name.is_some(), std::cmp::Reverse(by_name), index)
    };
    let Some(node) = ends.iter().copied().max_by_key(|&index| rank(index)) else {
        let reason = "nothing in the graph is computed from an input (a `Placeholder`), so that it is not a net";
        return Err(ImportError::Unsupported(reason.into()));
    };
    Ok(Output { node, others: ends.into_iter().filter(|&end| end != node).collect() })
}

/// Whether a node is a softmax, or one in another shape.
fn is_softmax(graph: &Graph<'_>, mut index: usize) -> bool {
    const MOST_HOPS: usize = 8;
    for _ in 0..MOST_HOPS {
        let node = &graph.nodes[index];
        match (node.op, node.inputs.first()) {
            ("Softmax" | "LogSoftmax", _) => return true,
            ("Identity" | "Reshape" | "Squeeze" | "StopGradient" | "CheckNumerics" | "Cast", Some(&Some(edge))) => {
                index = edge.node;
            }
            _ => return false,
        }
    }
    false
}

/// Where pictures enter.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    pub node: usize,
    /// The dimensions that the graph states, `None` for unknown ones; no list where even their number is unknown.
    pub dims: Option<Vec<Option<usize>>>,
    /// Whether it gives pixel values of 0–255: whole numbers, or a decoded picture file.
    pub pixels: bool,
    /// Whether channels are known to be red, green, blue.
    pub rgb: bool,
}

/// Finds the one source of pictures among the nodes that the output needs.
pub fn source(graph: &Graph<'_>, needed: &[usize]) -> Result<Source, ImportError> {
    let mut decoders = needed.iter().copied().filter(|&index| DECODERS.contains(&graph.nodes[index].op));
    if let Some(node) = decoders.next() {
        return decoded(node, &graph.nodes[node]);
    }
    let mut found = Vec::new();
    for &index in needed {
        let node = &graph.nodes[index];
        if is_placeholder(node.op) && switch_value(node)?.is_none() {
            found.push(placeholder(index, node)?);
        }
    }
    if found.len() > 1 && found.iter().filter(|source| rank_of(source) == Some(4)).count() == 1 {
        found.retain(|source| rank_of(source) == Some(4));
    }
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => Err(ImportError::Unsupported("the graph has no input (a `Placeholder`) for pictures".into())),
        _ => {
            const SHOWN: usize = 8;
            let names: Vec<String> = found
                .iter()
                .take(SHOWN)
                .map(|source| format!("`{}`", ImportError::brief(graph.nodes[source.node].name)))
                .collect();
            let reason = format!("the graph has several inputs, {}; nets of one input can be run", names.join(", "));
            Err(ImportError::Unsupported(reason))
        }
    }
}

fn rank_of(source: &Source) -> Option<usize> {
    source.dims.as_ref().map(Vec::len)
}

fn decoded(index: usize, node: &Node<'_>) -> Result<Source, ImportError> {
    let channels = node.int("channels", 0).map_err(|reason| node.error(reason))?;
    let channels = match channels {
        0 | 3 => 3,
        1 => 1,
        other => return Err(node.error(format!("it decodes pictures of {other} channels; 1 and 3 are supported"))),
    };
    Ok(Source { node: index, dims: Some(vec![None, None, Some(channels)]), pixels: true, rgb: channels == 3 })
}

fn placeholder(index: usize, node: &Node<'_>) -> Result<Source, ImportError> {
    let dtype = node.data_type("dtype").map_err(|reason| node.error(reason))?;
    let shape = node.shape("shape").map_err(|reason| node.error(reason))?.unwrap_or_default();
    // Old graphs state the shape of a scalar where they mean an unknown one.
    let dims = (!shape.unknown_rank && !shape.dim.is_empty())
        .then(|| shape.dim.iter().map(|dim| usize::try_from(dim.size).ok()).collect());
    let pixels = matches!(dtype, Some(DataType::Uint8));
    Ok(Source { node: index, dims, pixels, rgb: false })
}

/// The value at inference of a placeholder that is a switch of training, or the probability of dropout.
pub fn switch_value(node: &Node<'_>) -> Result<Option<f64>, ImportError> {
    let dtype = node.data_type("dtype").map_err(|reason| node.error(reason))?;
    if dtype == Some(DataType::Bool) {
        return Ok(Some(0.0));
    }
    let shape = node.shape("shape").map_err(|reason| node.error(reason))?.unwrap_or_default();
    if !shape.dim.is_empty() || !dtype.is_none_or(DataType::is_floating) {
        return Ok(None);
    }
    let name = node.name.to_ascii_lowercase();
    Ok(match name {
        _ if name.contains("keep") => Some(1.0),
        _ if name.contains("dropout") => Some(if name.contains("rate") { 0.0 } else { 1.0 }),
        _ => None,
    })
}
