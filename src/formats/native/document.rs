//! The net's description: the JSON document in the metadata.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::{NativeError, VERSION};
use crate::nn::graph::{Graph, Node, Preprocess, Provenance};

/// Names and labels may not be longer than this, in bytes.
const MAX_TEXT_BYTES: usize = 1000;

/// What a document says, checked field by field; only [`Graph::new`] checks it as a whole.
pub(super) struct Document {
    pub name: String,
    pub provenance: Provenance,
    pub preprocess: Preprocess,
    pub nodes: Vec<Node>,
    pub labels: Vec<String>,
}

#[derive(Deserialize)]
struct Versioned {
    version: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Read<'a> {
    #[serde(rename = "version")]
    _version: u64,
    name: String,
    #[serde(default)]
    source: String,
    #[serde(default)]
    licence: String,
    #[serde(borrow)]
    preprocess: &'a RawValue,
    /// Parsed one by one, so that an error can name its node.
    #[serde(borrow)]
    nodes: Vec<&'a RawValue>,
    #[serde(default)]
    labels: Vec<String>,
}

#[derive(Serialize)]
struct Written<'a> {
    version: u32,
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    source: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    licence: &'a str,
    preprocess: &'a Preprocess,
    nodes: &'a [Node],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    labels: &'a [String],
}

pub(super) fn parse(json: &str) -> Result<Document, NativeError> {
    let wrong = |error: serde_json::Error| NativeError::Document { reason: brief(&error.to_string()) };
    let Versioned { version } = serde_json::from_str(json).map_err(wrong)?;
    if version != u64::from(VERSION) {
        return Err(NativeError::Version { found: version });
    }
    let read: Read<'_> = serde_json::from_str(json).map_err(wrong)?;
    let preprocess = parse_strictly(read.preprocess)
        .map_err(|reason| NativeError::Field { field: "preprocess".into(), reason: brief(&reason) })?;
    let nodes = read.nodes.iter().enumerate().map(|(index, raw)| parse_node(index, raw)).collect::<Result<_, _>>()?;
    for (field, text) in [("name", &read.name), ("source", &read.source), ("licence", &read.licence)] {
        check_text(field, text)?;
    }
    for (index, label) in read.labels.iter().enumerate() {
        check_text(&format!("labels[{index}]"), label)?;
    }
    let provenance = Provenance { source: read.source, licence: read.licence };
    Ok(Document { name: read.name, provenance, preprocess, nodes, labels: read.labels })
}

fn parse_node(index: usize, raw: &RawValue) -> Result<Node, NativeError> {
    #[derive(Deserialize)]
    struct Named {
        name: String,
    }
    let wrong = |reason: String| {
        let name = serde_json::from_str(raw.get()).map_or(String::new(), |Named { name }| format!(" (`{name}`)"));
        NativeError::Node { index, name: brief(&name), reason: brief(&reason) }
    };
    let node: Node = parse_strictly(raw).map_err(wrong)?;
    check_text("node name", &node.name)?;
    Ok(node)
}

/// Parses a value and refuses what serde would ignore: fields that mean nothing, numbers that do not fit their type.
fn parse_strictly<T: DeserializeOwned + Serialize>(raw: &RawValue) -> Result<T, String> {
    let parsed: T = serde_json::from_str(raw.get()).map_err(|error| error.to_string())?;
    let given: Value = serde_json::from_str(raw.get()).map_err(|error| error.to_string())?;
    let understood = serde_json::to_value(&parsed).map_err(|error| error.to_string())?;
    match misunderstood(&given, &understood) {
        Some(reason) => Err(reason),
        None => Ok(parsed),
    }
}

/// The first difference between what was given and what was understood that is more than a default or a rounding.
fn misunderstood(given: &Value, understood: &Value) -> Option<String> {
    match (given, understood) {
        (Value::Object(given), Value::Object(understood)) => given.iter().find_map(|(key, value)| {
            match understood.get(key) {
                Some(known) => misunderstood(value, known).map(|reason| format!("`{key}`: {reason}")),
                // An empty list that is left out on writing.
                None if value.as_array().is_some_and(Vec::is_empty) => None,
                None => Some(format!("there is no field `{key}` here")),
            }
        }),
        (Value::Array(given), Value::Array(understood)) => {
            given.iter().zip(understood).find_map(|(given, understood)| misunderstood(given, understood))
        }
        (Value::Number(number), Value::Null) => Some(format!("{number} is too large a number")),
        _ => None,
    }
}

pub(super) fn print(graph: &Graph) -> Result<String, NativeError> {
    for (index, node) in graph.nodes().iter().enumerate() {
        check_writable(index, node)?;
    }
    let finite = |values: &[f32]| values.iter().all(|value| value.is_finite());
    if !finite(&graph.preprocess().mean) || !finite(&graph.preprocess().scale) {
        return Err(NativeError::Field { field: "preprocess".into(), reason: "a number is not finite".into() });
    }
    let Provenance { source, licence } = graph.provenance();
    for (field, text) in [("name", graph.name()), ("source", source), ("licence", licence)] {
        check_text(field, text)?;
    }
    for (index, label) in graph.labels().iter().enumerate() {
        check_text(&format!("labels[{index}]"), label)?;
    }
    let written = Written {
        version: VERSION,
        name: graph.name(),
        source,
        licence,
        preprocess: graph.preprocess(),
        nodes: graph.nodes(),
        labels: graph.labels(),
    };
    serde_json::to_string(&written).map_err(|error| NativeError::Document { reason: error.to_string() })
}

/// JSON has no infinity: a node must come back as it was.
fn check_writable(index: usize, node: &Node) -> Result<(), NativeError> {
    check_text("node name", &node.name)?;
    let comes_back = serde_json::to_string(node).and_then(|json| serde_json::from_str::<Node>(&json));
    if comes_back.is_ok_and(|read| read == *node) {
        return Ok(());
    }
    let reason = "it has an attribute that cannot be written, such as an infinite number".into();
    Err(NativeError::Node { index, name: format!(" (`{}`)", node.name), reason })
}

/// Names and labels end up on terminals: no control characters, no page-long texts.
pub(super) fn check_text(field: &str, text: &str) -> Result<(), NativeError> {
    let reason = if text.len() > MAX_TEXT_BYTES {
        format!("{} bytes of text are more than {MAX_TEXT_BYTES}", text.len())
    } else if text.chars().any(char::is_control) {
        format!("{} has a control character", brief(&format!("{text:?}")))
    } else {
        return Ok(());
    };
    Err(NativeError::Field { field: field.into(), reason })
}

/// A text from a file, made fit for an error message: one line, at most 200 characters.
pub(super) fn brief(text: &str) -> String {
    const MAX_CHARS: usize = 200;
    let mut brief: String =
        text.chars().take(MAX_CHARS).map(|char| if char.is_control() { '\u{fffd}' } else { char }).collect();
    if text.chars().nth(MAX_CHARS).is_some() {
        brief.push('…');
    }
    brief
}
