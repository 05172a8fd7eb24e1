//! Layers of Caffe as ops: what every conversion needs. Each returns a node for every top.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::blob::Blob;
use super::net::Layer;
use crate::formats::ImportError;
use crate::nn::graph::{GraphBuilder, NodeId};
use crate::nn::ops::{MapAxis, Op, Operator};

mod arithmetic;
mod normalize;
mod rearrange;
mod window;

/// Why a layer cannot be converted.
#[derive(Debug)]
pub enum Refusal {
    /// It does not fit the sizes of its inputs: another size of the picture may do.
    Shape(String),
    Other(String),
}

impl From<String> for Refusal {
    fn from(reason: String) -> Self {
        Self::Other(reason)
    }
}

impl From<&str> for Refusal {
    fn from(reason: &str) -> Self {
        Self::Other(reason.into())
    }
}

/// The names of nodes, each used once.
pub struct Names {
    /// The names in use, each with the highest number that was put behind it.
    used: HashMap<String, usize>,
    reserved: BTreeSet<String>,
}

impl Names {
    /// `reserved` names are only for those whose own they are.
    pub fn new(reserved: BTreeSet<String>) -> Self {
        Self { used: HashMap::new(), reserved }
    }

    /// The name itself, printable, or with a number where it is in use already.
    pub fn own(&mut self, name: &str) -> String {
        let name = ImportError::brief(name);
        let mut count = self.used.get(&name).copied().unwrap_or_default();
        let mut unique = name.clone();
        while count > 0 {
            count += 1;
            unique = format!("{name}_{count}");
            if !self.used.contains_key(&unique) && !self.reserved.contains(&unique) {
                break;
            }
        }
        self.used.insert(unique.clone(), 1);
        self.used.insert(name, count.max(1));
        unique
    }

    /// A name for a node that a layer needs beside its own.
    fn helper(&mut self, layer: &str, suffix: &str) -> String {
        let name = format!("{}/{suffix}", ImportError::brief(layer));
        self.own(&if self.reserved.contains(&name) { format!("{name}_of_layer") } else { name })
    }
}

/// One layer while it is converted.
pub struct Cx<'c, 'a> {
    pub layer: &'c Layer<'a>,
    pub inputs: Vec<NodeId>,
    pub blobs: Vec<Blob>,
    /// The number of pictures that the file gives to its input.
    pub batch: Option<i64>,
    pub net: &'c mut GraphBuilder,
    pub names: &'c mut Names,
    pub notes: &'c mut Vec<String>,
}

/// A parameter of a node: what it is to the node, its shape and its numbers.
type Array = (&'static str, Vec<usize>, Arc<[f32]>);

pub type Converted = Result<Vec<NodeId>, Refusal>;

type Convert = fn(&mut Cx<'_, '_>) -> Converted;

fn conversion(kind: &str) -> Option<Convert> {
    Some(match kind {
        "Convolution" | "DepthwiseConvolution" | "ConvolutionDepthwise" => window::convolution,
        "Deconvolution" => window::deconvolution,
        "Pooling" => window::pooling,
        "InnerProduct" => window::inner_product,
        "LRN" => normalize::lrn,
        "BatchNorm" => normalize::batch_norm,
        "MVN" => normalize::mvn,
        "Scale" => normalize::scale,
        "Bias" => normalize::bias,
        "Softmax" | "SoftmaxWithLoss" => normalize::softmax,
        "ReLU" => arithmetic::relu,
        "ReLU6" => arithmetic::relu6,
        "PReLU" => arithmetic::prelu,
        "ELU" => arithmetic::elu,
        "Swish" => arithmetic::swish,
        "Clip" => arithmetic::clip,
        "Sigmoid" | "SigmoidCrossEntropyLoss" => arithmetic::sigmoid,
        "TanH" => arithmetic::tanh,
        "AbsVal" => arithmetic::abs,
        "Power" => arithmetic::power,
        "Dropout" => arithmetic::dropout,
        "Eltwise" => arithmetic::eltwise,
        "Concat" => rearrange::concat,
        "Slice" => rearrange::slice,
        "Split" => rearrange::split,
        "Flatten" => rearrange::flatten,
        "Reshape" => rearrange::reshape,
        "Permute" => rearrange::permute,
        "Crop" => rearrange::crop,
        _ => return None,
    })
}

pub fn is_supported(kind: &str) -> bool {
    conversion(kind).is_some()
}

/// Adds the nodes of a layer; gives one for each top.
pub fn convert(cx: &mut Cx<'_, '_>) -> Converted {
    match conversion(&cx.layer.kind) {
        Some(convert) => convert(cx),
        None => Err(format!("its type {} is not supported", ImportError::brief(&cx.layer.kind)).into()),
    }
}

impl Cx<'_, '_> {
    /// The one input.
    fn input(&self) -> Result<NodeId, Refusal> {
        match *self.inputs {
            [input] => Ok(input),
            _ => Err(format!("has {} inputs, but takes one", self.inputs.len()).into()),
        }
    }

    /// The dimensions of a node's output for one picture.
    fn dims(&self, node: NodeId) -> Result<Vec<usize>, Refusal> {
        match self.net.shape(node) {
            Some(shape) => Ok(shape.dims().to_vec()),
            None => Err(Refusal::Shape("the size of its input cannot be told".into())),
        }
    }

    /// The channels of a node's output.
    fn channels(&self, node: NodeId) -> Result<usize, Refusal> {
        match *self.dims(node)? {
            [_, channels, ..] => Ok(channels),
            _ => Err(Refusal::Shape("its input has no channels".into())),
        }
    }

    /// Adds the node that bears the layer's name.
    fn add(&mut self, op: Op, inputs: &[NodeId], params: &[Array]) -> Result<NodeId, Refusal> {
        let name = self.names.own(self.layer.title());
        self.add_named(&name, op, inputs, params)
    }

    fn add_helper(&mut self, suffix: &str, op: Op, inputs: &[NodeId]) -> Result<NodeId, Refusal> {
        let name = self.names.helper(self.layer.title(), suffix);
        self.add_named(&name, op, inputs, &[])
    }

    fn add_named(&mut self, name: &str, op: Op, inputs: &[NodeId], params: &[Array]) -> Result<NodeId, Refusal> {
        let input_shapes: Option<Vec<_>> = inputs.iter().map(|&input| self.net.shape(input)).collect();
        let Some(input_shapes) = input_shapes else {
            return Err(Refusal::Shape("the size of its input cannot be told".into()));
        };
        let param_shapes: Vec<&[usize]> = params.iter().map(|(_, shape, _)| shape.as_slice()).collect();
        op.output_shape(&input_shapes, &param_shapes).map_err(|error| Refusal::Shape(error.to_string()))?;
        let mut param_names = Vec::with_capacity(params.len());
        for (suffix, shape, data) in params {
            let param = format!("{name}.{suffix}");
            self.net.param(&param, shape, data.clone());
            param_names.push(param);
        }
        let param_names: Vec<&str> = param_names.iter().map(String::as_str).collect();
        Ok(self.net.add(name, op, inputs, &param_names))
    }

    /// The numbers of the layer's blob `i`, which must be able to take the shape.
    fn blob(&self, i: usize, what: &str, shape: &[usize]) -> Result<Arc<[f32]>, Refusal> {
        match self.blobs.get(i) {
            Some(blob) => blob.of_shape(shape).map_err(|reason| format!("its {what} (blob {i}) {reason}").into()),
            None => Err(format!("its {what} (blob {i}) is missing from the weights").into()),
        }
    }

    /// An axis that may count from the end, by its place among those of an input of that rank.
    fn axis(&self, axis: i64, rank: usize) -> Result<usize, Refusal> {
        let rank_signed = i64::try_from(rank).unwrap_or(i64::MAX);
        let place = if axis < 0 { axis.saturating_add(rank_signed) } else { axis };
        usize::try_from(place)
            .ok()
            .filter(|&place| place < rank)
            .ok_or_else(|| Refusal::Other(format!("its input of {rank} dimensions has no axis {axis}")))
    }

    /// An axis of maps other than the batch.
    fn map_axis(&self, place: usize) -> Result<MapAxis, Refusal> {
        match place {
            1 => Ok(MapAxis::Channel),
            2 => Ok(MapAxis::Height),
            3 => Ok(MapAxis::Width),
            0 => Err("works along the axis of pictures (0), which is not supported".into()),
            _ => Err(format!("works along axis {place}, which is not supported").into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_used_once() {
        let mut names = Names::new(["conv", "conv/flat", "conv_2"].map(String::from).into());
        assert_eq!(names.own("conv"), "conv");
        assert_eq!(names.own("conv"), "conv_3");
        assert_eq!(names.own("conv_2"), "conv_2");
        assert_eq!(names.own("conv"), "conv_4");
        assert_eq!(names.helper("conv", "flat"), "conv/flat_of_layer");
        let many: BTreeSet<String> = (0..20_000).map(|_| names.own("a")).collect();
        assert_eq!(many.len(), 20_000);
    }
}
