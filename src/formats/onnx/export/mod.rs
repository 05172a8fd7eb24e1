//! Nets written as ONNX, operator set 17.
//!
//! Every node becomes an ONNX node that has its name, as has its output; where it takes several, those before the last
//! are called `name/part`. The input is NCHW with a batch of 1, and with symbolic height and width where the net takes
//! any. Preprocessing is told in the metadata (`oneiric.mean`, `oneiric.scale`, `Image.BitmapPixelFormat`) and in the
//! description, as are the class names (`labels`); the graph takes what comes out of preprocessing.
//!
//! ONNX cannot say an average pooling with dilation, nor one that rounds up and divides by the whole window, nor a
//! response normalization over an even number of channels: these are errors.

use std::collections::{HashMap, HashSet};

use prost::Message;

use super::super::ImportError;
use super::metadata;
use super::proto::{
    AttributeProto, DimensionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto,
    TensorProto, TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto, attribute_type, data_type,
};
use crate::base::tensor::Shape;
use crate::nn::graph::{ChannelOrder, Graph, NodeId, Param, Preprocess};

mod ops;
mod windows;

const OPSET: i64 = 17;
/// The version of the file's messages that goes with it.
const IR_VERSION: i64 = 8;
/// Protobuf's messages must stay below 2 GiB.
const MAX_BYTES: usize = i32::MAX as usize;

/// Writes a net as a whole `.onnx` file.
pub fn to_bytes(graph: &Graph) -> Result<Vec<u8>, ImportError> {
    let shapes = graph.shapes(&graph.native_input_shape(1))?;
    let names = graph.nodes().iter().map(|node| node.name.clone()).collect();
    let (params, nodes, arrays) = (HashMap::new(), Vec::new(), Vec::new());
    let mut writer = Writer { graph, shapes, names, params, nodes, arrays, fixed_size: false };
    for id in 1..graph.nodes().len() {
        writer.write(id)?;
    }
    let bytes: usize = writer.arrays.iter().map(|array| array.raw_data.as_ref().map_or(0, Vec::len)).sum();
    let any_size = !writer.fixed_size && takes_any_size(graph);
    let Writer { nodes, arrays, shapes, .. } = writer;
    let model = ModelProto {
        ir_version: Some(IR_VERSION),
        producer_name: Some("Oneiric".into()),
        producer_version: Some(env!("CARGO_PKG_VERSION").into()),
        doc_string: Some(description(graph)),
        graph: Some(GraphProto {
            node: nodes,
            name: Some(graph.name().into()),
            initializer: arrays,
            doc_string: None,
            input: vec![value_info(&graph.node(0).name, &input_dims(graph, any_size))],
            output: vec![value_info(&graph.node(graph.output()).name, &output_dims(&shapes[graph.output()], any_size))],
        }),
        opset_import: vec![OperatorSetIdProto { domain: Some(String::new()), version: Some(OPSET) }],
        metadata_props: metadata_of(graph),
        functions: Vec::new(),
    };
    if bytes > MAX_BYTES || model.encoded_len() > MAX_BYTES {
        return Err(ImportError::TooLarge("the net is larger than the 2 GiB that one ONNX file may have".into()));
    }
    Ok(model.encode_to_vec())
}

/// A length, or the name of one that is left open.
enum Length {
    Of(usize),
    Open(&'static str),
}

fn takes_any_size(graph: &Graph) -> bool {
    let [_, channels, height, width] = graph.native_input_shape(1).as_maps().unwrap_or_default();
    let larger = [[height.saturating_mul(2), width.saturating_mul(2)], [height + 37, width + 64]];
    larger.into_iter().all(|[height, width]| graph.shapes(&Shape::maps(1, channels, height, width)).is_ok())
}

fn input_dims(graph: &Graph, any_size: bool) -> Vec<Length> {
    let input = graph.input();
    let [height, width] = match any_size {
        true => [Length::Open("height"), Length::Open("width")],
        false => input.size.map(Length::Of),
    };
    vec![Length::Of(1), Length::Of(input.channels), height, width]
}

fn output_dims(shape: &Shape, any_size: bool) -> Vec<Length> {
    let dims = shape.dims().iter().zip(["", "channels", "out_height", "out_width", "d4", "d5"]);
    dims.enumerate()
        .map(|(axis, (&dim, name))| if any_size && axis > 1 { Length::Open(name) } else { Length::Of(dim) })
        .collect()
}

fn value_info(name: &str, dims: &[Length]) -> ValueInfoProto {
    let dim = dims
        .iter()
        .map(|length| match length {
            Length::Of(length) => DimensionProto { dim_value: Some(signed(*length)), dim_param: None },
            Length::Open(name) => DimensionProto { dim_value: None, dim_param: Some(name.to_string()) },
        })
        .collect();
    let tensor_type = TensorTypeProto { elem_type: Some(data_type::FLOAT), shape: Some(TensorShapeProto { dim }) };
    ValueInfoProto { name: Some(name.into()), r#type: Some(TypeProto { tensor_type: Some(tensor_type) }) }
}

fn signed(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

fn order_in_words(order: ChannelOrder) -> [&'static str; 2] {
    match order {
        ChannelOrder::Rgb => ["red, green, blue", "Rgb8"],
        ChannelOrder::Bgr => ["blue, green, red", "Bgr8"],
        ChannelOrder::Gray => ["grey", "Gray8"],
    }
}

fn description(graph: &Graph) -> String {
    let Preprocess { order, mean, scale } = graph.preprocess();
    let [channels, _] = order_in_words(*order);
    format!(
        "The input has the channels {channels}; channel c of a pixel value p in 0-255 is given as (p - mean[c]) * scale[c] \
         with mean {mean:?} and scale {scale:?}."
    )
}

fn metadata_of(graph: &Graph) -> Vec<StringStringEntryProto> {
    let Preprocess { order, mean, scale } = graph.preprocess();
    let [_, format] = order_in_words(*order);
    let json = |value: Result<String, serde_json::Error>| value.unwrap_or_default();
    let provenance = graph.provenance();
    let entries = [
        (metadata::PIXEL_FORMAT, format.to_string()),
        (metadata::MEAN, json(serde_json::to_string(mean))),
        (metadata::SCALE, json(serde_json::to_string(scale))),
        (
            metadata::LABELS,
            if graph.labels().is_empty() { String::new() } else { json(serde_json::to_string(graph.labels())) },
        ),
        (metadata::SOURCE, provenance.source.clone()),
        (metadata::LICENCE, provenance.licence.clone()),
    ];
    let entry = |(key, value): (&str, String)| StringStringEntryProto { key: Some(key.into()), value: Some(value) };
    entries.into_iter().filter(|(_, value)| !value.is_empty()).map(entry).collect()
}

/// The ONNX graph so far.
struct Writer<'g> {
    graph: &'g Graph,
    shapes: Vec<Shape>,
    /// All names of tensors.
    names: HashSet<String>,
    /// The arrays that parameters became, by their names and dimensions.
    params: HashMap<(String, Vec<usize>), String>,
    nodes: Vec<NodeProto>,
    arrays: Vec<TensorProto>,
    /// Something was written that fits the net's own size only.
    fixed_size: bool,
}

impl Writer<'_> {
    fn name(&self, id: NodeId) -> &str {
        &self.graph.node(id).name
    }

    fn rank(&self, id: NodeId) -> usize {
        self.shapes[id].rank()
    }

    fn unique(&mut self, wanted: String) -> String {
        let mut name = wanted.clone();
        let mut number = 2;
        while !self.names.insert(name.clone()) {
            name = format!("{wanted}.{number}");
            number += 1;
        }
        name
    }

    /// Adds the last ONNX node of a node of the net.
    fn last(&mut self, id: NodeId, op: &str, inputs: &[&str], attributes: Vec<AttributeProto>) {
        let name = self.name(id).to_string();
        self.push(&name, op, inputs, attributes);
    }

    /// Adds an ONNX node before the last; returns the name of its output.
    fn part(&mut self, id: NodeId, part: &str, op: &str, inputs: &[&str], attributes: Vec<AttributeProto>) -> String {
        let name = self.unique(format!("{}/{part}", self.name(id)));
        self.push(&name, op, inputs, attributes);
        name
    }

    fn push(&mut self, name: &str, op: &str, inputs: &[&str], attribute: Vec<AttributeProto>) {
        self.nodes.push(NodeProto {
            input: inputs.iter().map(|input| input.to_string()).collect(),
            output: vec![name.into()],
            name: Some(name.into()),
            op_type: Some(op.into()),
            attribute,
            domain: None,
        });
    }

    fn array(&mut self, wanted: String, dims: &[usize], kind: i32, raw_data: Vec<u8>) -> String {
        let name = self.unique(wanted);
        let dims = dims.iter().map(|&dim| signed(dim)).collect();
        self.arrays.push(TensorProto {
            dims,
            data_type: Some(kind),
            name: Some(name.clone()),
            raw_data: Some(raw_data),
            ..TensorProto::default()
        });
        name
    }

    /// One float as an array without axes.
    fn number(&mut self, id: NodeId, what: &str, value: f32) -> String {
        self.array(format!("{}/{what}", self.name(id)), &[], data_type::FLOAT, value.to_le_bytes().to_vec())
    }

    fn floats(&mut self, id: NodeId, what: &str, values: &[f32]) -> String {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.array(format!("{}/{what}", self.name(id)), &[values.len()], data_type::FLOAT, bytes)
    }

    fn ints(&mut self, id: NodeId, what: &str, values: &[i64]) -> String {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.array(format!("{}/{what}", self.name(id)), &[values.len()], data_type::INT64, bytes)
    }

    /// The arrays of a node's parameters.
    fn params(&mut self, id: NodeId) -> Vec<String> {
        (0..self.graph.node(id).params.len()).map(|place| self.param(id, place, 0)).collect()
    }

    /// A parameter, with axes of length 1 behind its own.
    fn param(&mut self, id: NodeId, place: usize, trailing: usize) -> String {
        let graph = self.graph;
        let name = &graph.node(id).params[place];
        let Param { shape, data } = &graph.params()[name];
        let mut dims = shape.clone();
        dims.extend(std::iter::repeat_n(1, trailing));
        let key = (name.clone(), dims);
        if let Some(array) = self.params.get(&key) {
            return array.clone();
        }
        let bytes = bytemuck::cast_slice::<f32, [u8; 4]>(data);
        // Files are little-endian whatever the machine is.
        let bytes = match cfg!(target_endian = "little") {
            true => bytes.as_flattened().to_vec(),
            false => data.iter().flat_map(|value| value.to_le_bytes()).collect(),
        };
        let array = self.array(name.clone(), &key.1, data_type::FLOAT, bytes);
        self.params.insert(key, array.clone());
        array
    }

    /// The output of a node as maps: a vector gets height and width of 1.
    fn maps(&mut self, id: NodeId, input: NodeId) -> String {
        if self.rank(input) == 4 {
            return self.name(input).to_string();
        }
        let axes = self.ints(id, "map_axes", &[2, 3]);
        let vector = self.name(input).to_string();
        self.part(id, "maps", "Unsqueeze", &[&vector, &axes], Vec::new())
    }

    /// Adds the last ONNX node, of maps, of a node that gives maps or a vector.
    fn last_of_maps(&mut self, id: NodeId, op: &str, inputs: &[&str], attributes: Vec<AttributeProto>) {
        if self.rank(id) == 4 {
            return self.last(id, op, inputs, attributes);
        }
        let maps = self.part(id, "as_maps", op, inputs, attributes);
        let axes = self.ints(id, "vector_axes", &[2, 3]);
        self.last(id, "Squeeze", &[&maps, &axes], Vec::new());
    }

    fn error(&self, id: NodeId, reason: &str) -> ImportError {
        ImportError::layer(self.name(id), format!("ONNX cannot say {reason}"))
    }
}

fn attribute(name: &str, kind: i32) -> AttributeProto {
    AttributeProto { name: Some(name.into()), r#type: Some(kind), ..AttributeProto::default() }
}

fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto { i: Some(value), ..attribute(name, attribute_type::INT) }
}

fn ints(name: &str, values: &[usize]) -> AttributeProto {
    AttributeProto {
        ints: values.iter().map(|&value| signed(value)).collect(),
        ..attribute(name, attribute_type::INTS)
    }
}

fn float(name: &str, value: f32) -> AttributeProto {
    AttributeProto { f: Some(value), ..attribute(name, attribute_type::FLOAT) }
}

fn text(name: &str, value: &str) -> AttributeProto {
    AttributeProto { s: Some(value.as_bytes().to_vec()), ..attribute(name, attribute_type::STRING) }
}
