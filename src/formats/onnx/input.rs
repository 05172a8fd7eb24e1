//! Which of a graph's inputs is the picture, how it lies, and of what size it is.

use std::collections::{HashMap, HashSet};

use super::super::{ImportError, LoadOptions};
use super::importer::Importer;
use super::proto::{GraphProto, NodeProto, TensorProto, ValueInfoProto};
use super::value::Computed;
use crate::nn::graph::GraphBuilder;
use crate::nn::ops::Op;
use crate::nn::ops::reshape::Reshape;

/// Pixels in each direction where neither the file nor the user says.
const USUAL_SIZE_PX: usize = 224;

/// The input that is the picture.
pub struct Picture {
    pub name: String,
    pub channels: usize,
    /// `[height, width]` in pixels.
    pub size: [usize; 2],
    layout: Layout,
    pub notes: Vec<String>,
}

#[derive(Clone, Copy, PartialEq)]
enum Layout {
    ChannelsFirst,
    ChannelsLast,
    /// One row a picture.
    Vector,
}

impl Picture {
    /// The net's input as the graph looks at it.
    pub fn value(&self, importer: &mut Importer) -> Result<Computed, ImportError> {
        let whole = Computed::whole(GraphBuilder::INPUT, 4);
        Ok(match self.layout {
            Layout::ChannelsFirst => whole,
            Layout::ChannelsLast => Computed { axes: vec![Some(0), Some(2), Some(3), Some(1)], ..whole },
            Layout::Vector => {
                let node = NodeProto { op_type: Some("Input".into()), ..NodeProto::default() };
                let name = super::importer::clean(&format!("{}/flat", self.name));
                let call = super::call::Call { node: &node, name, inputs: Vec::new(), opset: 1 };
                let flat = importer.add(&call, "", Op::Reshape(Reshape::flatten()), &[GraphBuilder::INPUT], &[])?;
                Computed::whole(flat, 2)
            }
        })
    }
}

/// Finds the picture among the inputs that `needed` nodes read.
pub fn find(
    graph: &GraphProto,
    needed: &[bool],
    initializers: &HashMap<String, TensorProto>,
    options: &LoadOptions,
) -> Result<Picture, ImportError> {
    let needed: Vec<&NodeProto> =
        graph.node.iter().zip(needed).filter_map(|(node, needed)| needed.then_some(node)).collect();
    let mut read = HashSet::new();
    needed.iter().for_each(|node| add_read(node, &mut read));
    let inputs: Vec<&ValueInfoProto> = (graph.input.iter())
        .filter(|input| !initializers.contains_key(input.name()) && read.contains(input.name()))
        .collect();
    let [input] = inputs[..] else {
        let names: Vec<String> =
            inputs.iter().take(8).map(|input| format!("`{}`", ImportError::brief(input.name()))).collect();
        return Err(ImportError::Unsupported(match names.is_empty() {
            true => "the ONNX graph has no input that its output depends on".into(),
            false => format!(
                "the ONNX graph takes {} inputs, {}; only nets of one picture are read",
                inputs.len(),
                names.join(", ")
            ),
        }));
    };
    let wrong = |reason: String| ImportError::field(input.name(), reason);
    match input.dims().as_deref() {
        Some([_, rest @ ..]) if rest.len() == 3 => {
            of_maps(input.name(), [rest[0], rest[1], rest[2]], &needed, initializers, options)
        }
        Some([_, length]) => of_vector(input.name(), *length, options),
        // Left open altogether.
        None => of_maps(input.name(), [None; 3], &needed, initializers, options),
        Some(dims) => Err(wrong(format!(
            "the net's input has {} axes; a picture has four: batch, channels, height and width",
            dims.len()
        ))),
    }
}

fn add_read<'n>(node: &'n NodeProto, names: &mut HashSet<&'n str>) {
    names.extend(node.input.iter().map(String::as_str));
    for graph in node.attribute.iter().filter_map(|attribute| attribute.g.as_ref()) {
        graph.node.iter().for_each(|node| add_read(node, names));
    }
}

fn of_maps(
    name: &str,
    dims: [Option<usize>; 3],
    nodes: &[&NodeProto],
    initializers: &HashMap<String, TensorProto>,
    options: &LoadOptions,
) -> Result<Picture, ImportError> {
    let is_colour = |dim: Option<usize>| matches!(dim, Some(1 | 3));
    let layout = match (is_colour(dims[0]), is_colour(dims[2])) {
        (true, false) => Layout::ChannelsFirst,
        (false, true) => Layout::ChannelsLast,
        _ if first_transposed(name, nodes) => Layout::ChannelsLast,
        _ => Layout::ChannelsFirst,
    };
    let (channels, size) = match layout {
        Layout::ChannelsLast => (dims[2], [dims[0], dims[1]]),
        _ => (dims[0], [dims[1], dims[2]]),
    };
    let channels = channels.or_else(|| first_weights(nodes, initializers));
    let channels = match channels {
        Some(channels @ (1 | 3)) => channels,
        Some(channels) => {
            let reason = format!(
                "the net takes maps of {channels} channels; only pictures of 1 or 3 channels can be given to it"
            );
            return Err(ImportError::field(name, reason));
        }
        None => return Err(ImportError::field(name, "the file does not say how many channels the net's input has")),
    };
    let mut notes = Vec::new();
    let size = match (size, options.size_px) {
        ([Some(height), Some(width)], _) => [height, width],
        ([height, width], Some(said)) => [height.unwrap_or(said[0]), width.unwrap_or(said[1])],
        ([height, width], None) => {
            let side = height.or(width).unwrap_or(USUAL_SIZE_PX);
            notes.push(format!("The file leaves the size of pictures open; {side}×{side} pixels are assumed."));
            [side; 2]
        }
    };
    Ok(Picture { name: name.into(), channels, size, layout, notes })
}

/// A net on rows of numbers: pictures of one channel, if the numbers make a square or the user says the size.
fn of_vector(name: &str, length: Option<usize>, options: &LoadOptions) -> Result<Picture, ImportError> {
    let length = length.ok_or_else(|| ImportError::field(name, "the file does not say how long the net's input is"))?;
    let side = length.isqrt();
    let (size, notes) = match options.size_px {
        Some(size) => (size, Vec::new()),
        None if side * side == length => {
            let note = format!(
                "The net takes rows of {length} numbers; they are taken as grey pictures of {side}×{side} pixels."
            );
            ([side; 2], vec![note])
        }
        None => {
            let reason = format!("the net takes rows of {length} numbers; say of what size the pictures are");
            return Err(ImportError::Needs(reason));
        }
    };
    if size[0].checked_mul(size[1]) != Some(length) {
        let reason = format!(
            "the net takes rows of {length} numbers, which are no grey pictures of {}×{} pixels",
            size[0], size[1]
        );
        return Err(ImportError::field(name, reason));
    }
    Ok(Picture { name: name.into(), channels: 1, size, layout: Layout::Vector, notes })
}

/// Whether the input goes through a transposition from NHWC to NCHW.
fn first_transposed(name: &str, nodes: &[&NodeProto]) -> bool {
    let reader = nodes.iter().find(|node| node.input.iter().any(|input| input == name));
    reader.is_some_and(|node| {
        let axes = node.attribute("perm").map(|attribute| attribute.ints.as_slice());
        node.op_type() == "Transpose" && axes == Some(&[0, 3, 1, 2])
    })
}

/// The input channels of the first convolution.
fn first_weights(nodes: &[&NodeProto], initializers: &HashMap<String, TensorProto>) -> Option<usize> {
    let conv = nodes.iter().find(|node| node.op_type() == "Conv")?;
    let weights = initializers.get(conv.input.get(1)?)?;
    let groups = conv.attribute("group").and_then(|attribute| attribute.i).unwrap_or(1);
    usize::try_from(weights.dims.get(1)?.checked_mul(groups)?).ok()
}
