//! The nodes of a `GraphDef` and how they hang together, before anything is known of what they compute.

use std::collections::HashMap;

use prost::Message as _;

use super::proto::{AttrValue, DataType, TensorShapeProto};
use crate::formats::ImportError;
use crate::formats::wire::{Fields, Wire, within};

/// More nodes than any net has.
const MAX_NODES: usize = 1 << 20;

/// Longer names are refused.
const MAX_NAME_BYTES: usize = 900;

/// A node of a graph; text and attributes lie in the file.
#[derive(Debug)]
pub struct Node<'a> {
    pub name: &'a str,
    pub op: &'a str,
    /// What flows in; `None` where the graph has no such node. Control edges are left out.
    pub inputs: Vec<Option<Edge>>,
    /// Names, and the bytes of `AttrValue` messages.
    attributes: Vec<(&'a str, &'a [u8])>,
    input_names: Vec<&'a str>,
}

/// An output of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge {
    pub node: usize,
    pub output: usize,
}

pub struct Graph<'a> {
    pub nodes: Vec<Node<'a>>,
    by_name: HashMap<&'a str, usize>,
}

impl<'a> Graph<'a> {
    /// Reads the bytes of a `GraphDef`.
    pub fn read(bytes: &'a [u8]) -> Result<Self, ImportError> {
        let mut nodes = Vec::new();
        for field in Fields::new(bytes) {
            let (number, payload) = field.map_err(|error| within(error, "the graph"))?;
            let (1, Wire::Bytes(message)) = (number, payload) else { continue };
            if nodes.len() == MAX_NODES {
                return Err(ImportError::TooLarge(format!("graphs of more than {MAX_NODES} nodes are not read")));
            }
            nodes.push(Node::read(message)?);
        }
        let mut by_name = HashMap::with_capacity(nodes.len());
        for (index, node) in nodes.iter().enumerate() {
            if by_name.insert(node.name, index).is_some() {
                return Err(ImportError::layer(node.name, "two nodes have this name"));
            }
        }
        for node in &mut nodes {
            let edge = |name: &&str| {
                let (name, output) = split_input(name);
                by_name.get(name).map(|&node| Edge { node, output })
            };
            node.inputs = node.input_names.iter().map(edge).collect();
        }
        Ok(Self { nodes, by_name })
    }

    pub fn has(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    pub fn index(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// The node at the end of an edge.
    pub fn from(&self, edge: Edge) -> Option<&Node<'a>> {
        self.nodes.get(edge.node)
    }

    /// All nodes, those that others read from before them; nodes of loops and what hangs on them are left out.
    pub fn in_order(&self) -> Vec<usize> {
        let mut waiting: Vec<usize> = self.nodes.iter().map(|node| node.inputs.iter().flatten().count()).collect();
        let mut readers = self.readers();
        let mut order: Vec<usize> = (0..self.nodes.len()).filter(|&index| waiting[index] == 0).collect();
        let mut at = 0;
        while let Some(&index) = order.get(at) {
            at += 1;
            for reader in std::mem::take(&mut readers[index]) {
                waiting[reader] -= 1;
                if waiting[reader] == 0 {
                    order.push(reader);
                }
            }
        }
        order
    }

    /// For each node, who reads from it, once an edge.
    pub fn readers(&self) -> Vec<Vec<usize>> {
        let mut readers = vec![Vec::new(); self.nodes.len()];
        for (index, node) in self.nodes.iter().enumerate() {
            for edge in node.inputs.iter().flatten() {
                readers[edge.node].push(index);
            }
        }
        readers
    }

    /// A node and all that it depends on, in the order in which they can be computed.
    pub fn needed_for(&self, target: usize) -> Result<Vec<usize>, ImportError> {
        #[derive(Clone, Copy, PartialEq)]
        enum State {
            New,
            Open,
            Done,
        }
        let mut state = vec![State::New; self.nodes.len()];
        let mut order = Vec::new();
        let mut stack = vec![(target, 0)];
        while let Some((index, next)) = stack.pop() {
            state[index] = State::Open;
            let node = &self.nodes[index];
            let Some(input) = node.inputs.get(next) else {
                state[index] = State::Done;
                order.push(index);
                continue;
            };
            stack.push((index, next + 1));
            let Some(edge) = input else {
                let missing = node.input_names.get(next).copied().unwrap_or_default();
                let reason = format!("its input `{}` is not in the file", ImportError::brief(missing));
                return Err(ImportError::layer(node.name, reason));
            };
            match state[edge.node] {
                State::New => stack.push((edge.node, 0)),
                State::Open => {
                    let reason = "it depends on its own output; graphs with loops are not supported";
                    return Err(ImportError::layer(self.nodes[edge.node].name, reason));
                }
                State::Done => {}
            }
        }
        Ok(order)
    }
}

/// `name:2` is the third output of `name`.
fn split_input(text: &str) -> (&str, usize) {
    match text.rsplit_once(':') {
        Some((name, output)) => match output.parse() {
            Ok(output) => (name, output),
            Err(_) => (text, 0),
        },
        None => (text, 0),
    }
}

impl<'a> Node<'a> {
    fn read(message: &'a [u8]) -> Result<Self, ImportError> {
        let (mut name, mut op, mut input_names, mut attributes) = ("", "", Vec::new(), Vec::new());
        let text = |bytes| {
            std::str::from_utf8(bytes).map_err(|_| ImportError::Damaged("a name in the graph is not text".into()))
        };
        for field in Fields::new(message) {
            let (number, payload) = field.map_err(|error| within(error, "a node of the graph"))?;
            let Wire::Bytes(bytes) = payload else { continue };
            match number {
                1 => name = text(bytes)?,
                2 => op = text(bytes)?,
                3 if bytes.starts_with(b"^") => {}
                3 => input_names.push(text(bytes)?),
                5 => attributes.extend(entry(bytes)?),
                _ => {}
            }
        }
        if name.is_empty() || name.len() > MAX_NAME_BYTES || name.chars().any(char::is_control) {
            let shown = ImportError::brief(name);
            return Err(ImportError::Damaged(format!("`{shown}` is not the name of a node")));
        }
        Ok(Self { name, op, inputs: Vec::new(), attributes, input_names })
    }

    /// An error that names the node.
    pub fn error(&self, reason: impl Into<String>) -> ImportError {
        ImportError::layer(self.name, reason)
    }

    /// An attribute; `None` where it is not given, which means its default.
    pub fn attribute(&self, name: &str) -> Result<Option<AttrValue>, String> {
        let Some((_, bytes)) = self.attributes.iter().find(|(attribute, _)| *attribute == name) else {
            return Ok(None);
        };
        match AttrValue::decode(*bytes) {
            Ok(value) => Ok(Some(value)),
            Err(_) => Err(format!("its attribute `{name}` is damaged")),
        }
    }

    pub fn flag(&self, name: &str, default: bool) -> Result<bool, String> {
        Ok(self.attribute(name)?.and_then(|value| value.b).unwrap_or(default))
    }

    pub fn float(&self, name: &str, default: f32) -> Result<f32, String> {
        Ok(self.attribute(name)?.and_then(|value| value.f).unwrap_or(default))
    }

    pub fn int(&self, name: &str, default: i64) -> Result<i64, String> {
        Ok(self.attribute(name)?.and_then(|value| value.i).unwrap_or(default))
    }

    pub fn data_type(&self, name: &str) -> Result<Option<DataType>, String> {
        Ok(self.attribute(name)?.and_then(|value| value.r#type).map(DataType::of))
    }

    pub fn shape(&self, name: &str) -> Result<Option<TensorShapeProto>, String> {
        Ok(self.attribute(name)?.and_then(|value| value.shape).map(|shape| *shape))
    }

    /// A text attribute; empty where it is not given.
    pub fn text(&self, name: &str) -> Result<String, String> {
        let bytes = self.attribute(name)?.and_then(|value| value.s).unwrap_or_default();
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// A list of whole numbers; empty where it is not given.
    pub fn ints(&self, name: &str) -> Result<Vec<i64>, String> {
        Ok(self.attribute(name)?.and_then(|value| value.list).map(|list| list.i).unwrap_or_default())
    }
}

/// An entry of the map of attributes: its key and its value.
fn entry(message: &[u8]) -> Result<Option<(&str, &[u8])>, ImportError> {
    let (mut key, mut value) = (None, None);
    for field in Fields::new(message) {
        match field.map_err(|error| within(error, "an attribute of the graph"))? {
            (1, Wire::Bytes(bytes)) => key = std::str::from_utf8(bytes).ok(),
            (2, Wire::Bytes(bytes)) => value = Some(bytes),
            _ => {}
        }
    }
    Ok(key.zip(value))
}

/// Whether bytes are, or are the start of, a `GraphDef`: they start with a node that has a name and an operation.
pub fn looks_like_graph(bytes: &[u8]) -> bool {
    let mut start = Start { rest: bytes };
    let Some(node) = start.announced(0x0a) else { return false };
    let mut node = Start { rest: node };
    let named = node.announced(0x0a).is_some_and(|name| is_text(name, |c| !c.is_ascii_control()));
    // A name that fills all that is there leaves nothing to tell the operation by.
    let operated = match node.rest {
        [] => bytes.len() < 64,
        _ => node.announced(0x12).is_some_and(|op| is_text(op, |c| c.is_ascii_alphanumeric() || "_>.".contains(c))),
    };
    named && operated
}

fn is_text(bytes: &[u8], allowed: impl Fn(char) -> bool) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| !text.is_empty() && text.chars().all(allowed))
}

/// The start of a message that may be cut off.
struct Start<'a> {
    rest: &'a [u8],
}

impl<'a> Start<'a> {
    /// What is there of a field that starts with `key` and a length.
    fn announced(&mut self, key: u8) -> Option<&'a [u8]> {
        let after_key = self.rest.strip_prefix(&[key])?;
        let mut length = 0usize;
        for (i, &byte) in after_key.iter().enumerate().take(5) {
            length |= usize::from(byte & 0x7f) << (7 * i);
            if byte < 0x80 {
                let content = &after_key[i + 1..];
                let (taken, rest) = content.split_at(length.min(content.len()));
                self.rest = rest;
                return (length > 0).then_some(taken);
            }
        }
        None
    }
}

/// The graph within a `SavedModel`, if bytes are one.
pub fn graph_of_saved_model(bytes: &[u8]) -> Option<&[u8]> {
    const SCHEMA_VERSION: u32 = 1;
    let mut fields = Fields::new(bytes);
    let (1, Wire::Varint(version)) = fields.next()?.ok()? else { return None };
    let (2, Wire::Bytes(meta_graph)) = fields.next()?.ok()? else { return None };
    (version == u64::from(SCHEMA_VERSION)).then_some(())?;
    graph_of_meta_graph(meta_graph)
}

/// The graph within a `MetaGraphDef`.
fn graph_of_meta_graph(bytes: &[u8]) -> Option<&[u8]> {
    Fields::new(bytes).find_map(|field| match field {
        Ok((2, Wire::Bytes(graph))) if looks_like_graph(graph) => Some(graph),
        _ => None,
    })
}
