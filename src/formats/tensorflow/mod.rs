//! TensorFlow's frozen graphs: a `GraphDef` in which the weights are constants.
//!
//! The messages are described in TensorFlow's `tensorflow/core/framework/*.proto`, the operations in its
//! `core/ops/*.cc`. What a graph holds beside the path from its input to its class scores (training, other heads,
//! the decoding of picture files) is left out.

mod archive;
mod convert;
mod graph;
mod proto;
mod select;
mod tensor;

use convert::{Converted, Converter};
use graph::Graph;
use select::Source;

use super::{ImportError, Imported, LoadOptions};

/// Sides in pixels that nets are made for, tried in this order where a graph says none.
const USUAL_SIDES: [usize; 9] = [224, 299, 227, 256, 192, 160, 128, 96, 32];

/// Whether bytes are, or are the start of, a TensorFlow graph or a `SavedModel`.
pub fn looks_like(bytes: &[u8]) -> bool {
    graph::looks_like_graph(bytes) || graph::graph_of_saved_model(bytes).is_some()
}

/// Reads a frozen graph, or a zip archive of one beside a list of its classes.
///
/// The size of pictures is the graph's own, else that of `options`, else the first usual one that its layers take.
pub fn read(bytes: &[u8], options: &LoadOptions) -> Result<Imported, ImportError> {
    if let Some(archive) = archive::unpacked(bytes)? {
        let mut imported = read_graph(&archive.graph, options)?;
        let scores = imported.net.shape(imported.net.nodes().len().saturating_sub(1));
        let classes = scores.and_then(|shape| shape.dims().get(1).copied());
        if classes == Some(archive.labels.len()) {
            imported.labels = archive.labels;
        }
        return Ok(imported);
    }
    let saved = graph::graph_of_saved_model(bytes);
    read_graph(saved.unwrap_or(bytes), options)
}

fn read_graph(bytes: &[u8], options: &LoadOptions) -> Result<Imported, ImportError> {
    if !graph::looks_like_graph(bytes) {
        return Err(ImportError::Unsupported("it is not a TensorFlow graph".into()));
    }
    let graph = Graph::read(bytes)?;
    let output = select::output(&graph)?;
    let needed = graph.needed_for(output.node)?;
    let source = select::source(&graph, &needed)?;
    let attempt = |size| Converter::new(&graph, &needed, &source, size, bytes.len()).convert();
    let (converted, size_note) = match options.size_px {
        Some(size) => (attempt(size)?, None),
        None => of_usual_size(&source, attempt)?,
    };
    let Converted { net, picture, notes } = converted;
    let mut imported = Imported::new("", net);
    imported.preprocess = picture.preprocess();
    imported.notes = notes;
    imported.notes.extend(size_note);
    if !output.others.is_empty() {
        imported.notes.push(other_outputs(&graph, &output));
    }
    Ok(imported)
}

/// Tries usual sizes until the layers fit. Where the graph states its own, the first try is that.
fn of_usual_size(
    source: &Source,
    attempt: impl Fn([usize; 2]) -> Result<Converted, ImportError>,
) -> Result<(Converted, Option<String>), ImportError> {
    let [usual, others @ ..] = USUAL_SIDES;
    let first = attempt([usual; 2]);
    let open = match &source.dims {
        Some(dims) => dims.len() == 4 && dims[1..].iter().filter(|dim| dim.is_none()).count() >= 2,
        None => true,
    };
    let note = |side: usize| {
        let text = "The graph does not say for what size of pictures it was made;";
        Some(format!("{text} {side}×{side} pixels are assumed, which its layers take."))
    };
    match first {
        Ok(converted) => Ok((converted, if open { note(usual) } else { None })),
        Err(error) if !open => Err(error),
        Err(error) => {
            let fitting = others.into_iter().find_map(|side| Some((attempt([side; 2]).ok()?, note(side))));
            fitting.ok_or(error)
        }
    }
}

/// A sentence about the heads that are left out.
fn other_outputs(graph: &Graph<'_>, output: &select::Output) -> String {
    const SHOWN: usize = 4;
    let name = |&node: &usize| format!("`{}`", ImportError::brief(graph.nodes[node].name));
    let others: Vec<String> = output.others.iter().take(SHOWN).map(name).collect();
    let more = if output.others.len() > SHOWN { " and others" } else { "" };
    format!("The net's output is {}; left out are {}{more}.", name(&output.node), others.join(", "))
}
