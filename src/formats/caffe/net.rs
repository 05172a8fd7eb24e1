//! The layers of a net in the newest spelling, whatever the spelling of the file.

use std::collections::HashMap;

use super::message::{Message, Value};
use super::schema;
use crate::formats::ImportError;

/// More layers, or more blobs a layer, are refused.
const MAX_LAYERS: usize = 1 << 16;
const MAX_EDGES: usize = 1 << 18;

/// A net as its file tells it.
#[derive(Debug, Default)]
pub struct Net<'a> {
    pub name: String,
    /// Blobs that are given from outside.
    pub inputs: Vec<Given>,
    pub layers: Vec<Layer<'a>>,
    state: State,
}

/// A blob that is given from outside, with its dimensions where told.
#[derive(Debug, PartialEq)]
pub struct Given {
    pub name: String,
    pub dims: Option<Vec<i64>>,
}

#[derive(Debug, Default)]
struct State {
    level: i64,
    stages: Vec<String>,
}

/// A layer; `kind` is the type in its newest spelling.
#[derive(Clone, Debug)]
pub struct Layer<'a> {
    pub name: String,
    pub kind: String,
    pub bottoms: Vec<String>,
    pub tops: Vec<String>,
    pub message: Message<'a>,
}

impl<'a> Layer<'a> {
    /// The layer's own parameters, all of them known; none where there is no such message.
    pub fn params(&self, name: &str, known: &[schema::Field]) -> Result<Message<'a>, String> {
        let params = self.message.message(name).cloned().unwrap_or_default();
        params.expect_known(name, known)?;
        Ok(params)
    }

    /// The binary `BlobProto`s that lie in the layer.
    pub fn blobs(&self) -> Vec<&'a [u8]> {
        let blob = |value: &Value<'a>| match value {
            Value::Blob(bytes) => Some(*bytes),
            _ => None,
        };
        self.message.all("blobs").filter_map(blob).collect()
    }

    /// For messages about it: its name, or what else tells it.
    pub fn title(&self) -> &str {
        match (self.name.as_str(), self.tops.first()) {
            ("", Some(top)) => top,
            ("", None) => &self.kind,
            (name, _) => name,
        }
    }
}

impl<'a> Net<'a> {
    /// The net of a `NetParameter`, with all its layers of either phase.
    pub fn new(message: &Message<'a>) -> Result<Self, ImportError> {
        let layers: Vec<Layer<'a>> = if message.has("layers") {
            merge_padding(message.messages("layers").map(upgraded).collect::<Result<_, _>>()?)?
        } else {
            message.messages("layer").map(newest).collect()
        };
        let edges: usize = layers.iter().map(|layer| layer.bottoms.len() + layer.tops.len()).sum();
        if layers.len() > MAX_LAYERS || edges > MAX_EDGES {
            return Err(ImportError::TooLarge(format!(
                "the net has {} layers with {edges} blobs; at most {MAX_LAYERS} with {MAX_EDGES} are read",
                layers.len()
            )));
        }
        if layers.is_empty() {
            return Err(ImportError::Damaged("the net has no layers".into()));
        }
        let state = message.message("state");
        let state = State {
            level: state.map_or(Ok(None), |state| state.integer("level")).map_err(in_field("state"))?.unwrap_or(0),
            stages: state.map(|state| state.strings("stage")).unwrap_or_default(),
        };
        let name = message.word("name", "").to_string();
        Ok(Self { name, inputs: inputs(message)?, layers, state })
    }

    /// The net as it runs after training. What is only there in training goes, but for a source of pictures that has
    /// no counterpart.
    pub fn deployed(&mut self) -> Result<(), ImportError> {
        let located = |layer: &Layer<'_>, reason| ImportError::layer(layer.title(), reason);
        let mut included =
            self.layers.iter().map(|layer| self.includes(layer).map_err(|reason| located(layer, reason)));
        let included: Vec<bool> = included.by_ref().collect::<Result<_, _>>()?;
        let is_source = |layer: &Layer<'_>| layer.bottoms.is_empty() && !layer.tops.is_empty();
        let fed = self.layers.iter().zip(&included).any(|(layer, included)| *included && is_source(layer));
        let fed = fed || !self.inputs.is_empty();
        let mut included = included.into_iter();
        self.layers.retain(|layer| included.next().unwrap_or(false) || (!fed && is_source(layer)));
        Ok(())
    }

    fn includes(&self, layer: &Layer<'_>) -> Result<bool, String> {
        let mut included = layer.message.messages("include").peekable();
        if included.peek().is_none() {
            for rule in layer.message.messages("exclude") {
                if self.meets(rule)? {
                    return Ok(false);
                }
            }
            return Ok(true);
        }
        for rule in included {
            if self.meets(rule)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn meets(&self, rule: &Message<'_>) -> Result<bool, String> {
        let State { level, stages } = &self.state;
        let in_level = rule.integer("min_level")?.is_none_or(|min: i64| *level >= min)
            && rule.integer("max_level")?.is_none_or(|max: i64| *level <= max);
        let has = |stage: &str| stages.iter().any(|present| present == stage);
        let in_stages = rule.scalars("stage").all(has) && !rule.scalars("not_stage").any(has);
        Ok(matches!(rule.word("phase", "TEST"), "TEST" | "1") && in_level && in_stages)
    }
}

fn in_field(name: &'static str) -> impl Fn(String) -> ImportError {
    move |reason| ImportError::field(name, reason)
}

/// The old way to name a net's inputs: `input`, with four `input_dim` each or an `input_shape` each.
fn inputs(message: &Message<'_>) -> Result<Vec<Given>, ImportError> {
    let dims: Vec<i64> = message.integers("input_dim").map_err(in_field("input_dim"))?;
    let shapes: Result<Vec<Vec<i64>>, String> =
        message.messages("input_shape").map(|shape| shape.integers("dim")).collect();
    let shapes = shapes.map_err(in_field("input_shape"))?;
    let shape = |i: usize| shapes.get(i).cloned().or_else(|| dims.chunks_exact(4).nth(i).map(<[i64]>::to_vec));
    Ok(message.strings("input").into_iter().enumerate().map(|(i, name)| Given { name, dims: shape(i) }).collect())
}

fn newest<'a>(message: &Message<'a>) -> Layer<'a> {
    Layer {
        name: message.word("name", "").to_string(),
        kind: message.word("type", "").to_string(),
        bottoms: message.strings("bottom"),
        tops: message.strings("top"),
        message: message.clone(),
    }
}

/// A layer of the field `layers`: of the middle spelling, or of the oldest, which nests a `layer` in it.
fn upgraded<'a>(message: &Message<'a>) -> Result<Layer<'a>, ImportError> {
    let mut layer = match message.message("layer") {
        Some(inner) => Layer { message: upgraded_params(inner), ..newest(inner) },
        None => newest(message),
    };
    layer.bottoms = message.strings("bottom");
    layer.tops = message.strings("top");
    layer.kind = newest_kind(&layer.kind).to_string();
    for (name, value) in &message.fields {
        if matches!(*name, "include" | "exclude") && message.has("layer") {
            layer.message.push(name, value.clone());
        }
    }
    Ok(layer)
}

/// Types of the middle and the oldest spelling; others stay.
fn newest_kind(kind: &str) -> &str {
    const KINDS: &[(&str, &str, &str)] = &[
        ("ABSVAL", "", "AbsVal"),
        ("ACCURACY", "accuracy", "Accuracy"),
        ("ARGMAX", "", "ArgMax"),
        ("BNLL", "bnll", "BNLL"),
        ("CONCAT", "concat", "Concat"),
        ("CONTRASTIVE_LOSS", "", "ContrastiveLoss"),
        ("CONVOLUTION", "conv", "Convolution"),
        ("DATA", "data", "Data"),
        ("DECONVOLUTION", "", "Deconvolution"),
        ("DROPOUT", "dropout", "Dropout"),
        ("DUMMY_DATA", "", "DummyData"),
        ("ELTWISE", "", "Eltwise"),
        ("EUCLIDEAN_LOSS", "euclidean_loss", "EuclideanLoss"),
        ("EXP", "", "Exp"),
        ("FLATTEN", "flatten", "Flatten"),
        ("HDF5_DATA", "hdf5_data", "HDF5Data"),
        ("HDF5_OUTPUT", "hdf5_output", "HDF5Output"),
        ("HINGE_LOSS", "", "HingeLoss"),
        ("IM2COL", "im2col", "Im2col"),
        ("IMAGE_DATA", "images", "ImageData"),
        ("INFOGAIN_LOSS", "infogain_loss", "InfogainLoss"),
        ("INNER_PRODUCT", "innerproduct", "InnerProduct"),
        ("LRN", "lrn", "LRN"),
        ("MEMORY_DATA", "", "MemoryData"),
        ("MULTINOMIAL_LOGISTIC_LOSS", "multinomial_logistic_loss", "MultinomialLogisticLoss"),
        ("MVN", "", "MVN"),
        ("POOLING", "pool", "Pooling"),
        ("POWER", "", "Power"),
        ("RELU", "relu", "ReLU"),
        ("SIGMOID", "sigmoid", "Sigmoid"),
        ("SIGMOID_CROSS_ENTROPY_LOSS", "", "SigmoidCrossEntropyLoss"),
        ("SILENCE", "", "Silence"),
        ("SLICE", "", "Slice"),
        ("SOFTMAX", "softmax", "Softmax"),
        ("SOFTMAX_LOSS", "softmax_loss", "SoftmaxWithLoss"),
        ("SPLIT", "split", "Split"),
        ("TANH", "tanh", "TanH"),
        ("THRESHOLD", "", "Threshold"),
        ("WINDOW_DATA", "window_data", "WindowData"),
    ];
    let found = KINDS.iter().find(|&&(middle, oldest, _)| !kind.is_empty() && (kind == middle || kind == oldest));
    found.map_or(kind, |&(_, _, newest)| newest)
}

/// Where the parameters of a padding layer of the oldest spelling are put.
const PADDING: &str = "padding_param";

/// The parameters of a layer of the oldest spelling, which has all of them side by side.
fn upgraded_params<'a>(old: &Message<'a>) -> Message<'a> {
    const MOVED: &[(&str, &str, &str)] = &[
        ("num_output", "num_output", "conv innerproduct"),
        ("biasterm", "bias_term", "conv innerproduct"),
        ("pad", "pad", "conv pool padding"),
        ("kernelsize", "kernel_size", "conv pool"),
        ("group", "group", "conv"),
        ("stride", "stride", "conv pool"),
        ("pool", "pool", "pool"),
        ("dropout_ratio", "dropout_ratio", "dropout"),
        ("local_size", "local_size", "lrn"),
        ("alpha", "alpha", "lrn"),
        ("beta", "beta", "lrn"),
        ("k", "k", "lrn"),
        ("concat_dim", "concat_dim", "concat"),
        ("new_height", "new_height", "images"),
        ("new_width", "new_width", "images"),
        ("scale", "scale", ""),
        ("meanfile", "mean_file", ""),
        ("cropsize", "crop_size", ""),
    ];
    let kind = old.word("type", "");
    let own = match kind {
        "conv" => "convolution_param",
        "innerproduct" => "inner_product_param",
        "pool" => "pooling_param",
        "dropout" => "dropout_param",
        "lrn" => "lrn_param",
        "concat" => "concat_param",
        "images" => "image_data_param",
        "padding" => PADDING,
        _ => "",
    };
    let (mut new, mut params, mut transform) = (Message::default(), Message::default(), Message::default());
    for (name, value) in &old.fields {
        match MOVED.iter().find(|(from, ..)| from == name) {
            Some((_, to, "")) => transform.push(to, value.clone()),
            Some((_, to, kinds)) if kinds.split(' ').any(|of| of == kind) => params.push(to, value.clone()),
            Some(_) => {}
            None => new.push(name, value.clone()),
        }
    }
    new.push(own, Value::Message(params));
    new.push("transform_param", Value::Message(transform));
    new
}

/// In the oldest spelling a layer of its own pads for the convolution or the pooling after it.
fn merge_padding(layers: Vec<Layer<'_>>) -> Result<Vec<Layer<'_>>, ImportError> {
    let mut padding: HashMap<String, (String, Message<'_>)> = HashMap::new();
    let mut merged = Vec::with_capacity(layers.len());
    for mut layer in layers {
        if layer.kind == "padding" {
            let ([bottom], [top]) = (layer.bottoms.as_slice(), layer.tops.as_slice()) else {
                return Err(ImportError::layer(layer.title(), "padding takes one blob and gives one"));
            };
            padding.insert(top.clone(), (bottom.clone(), layer.message));
            continue;
        }
        let of = layer.bottoms.first().and_then(|bottom| padding.get(bottom));
        if let Some((bottom, message)) = of {
            let own = match layer.kind.as_str() {
                "Convolution" => "convolution_param",
                "Pooling" => "pooling_param",
                kind => {
                    let reason = format!("its input is padded for it, which is not supported for the type {kind}");
                    return Err(ImportError::layer(layer.title(), reason));
                }
            };
            let pad = Value::Scalar(message.message(PADDING).map_or("0", |params| params.word("pad", "0")).to_string());
            layer.bottoms = vec![bottom.clone()];
            let mut params = layer.message.message(own).cloned().unwrap_or_default();
            params.push("pad", pad);
            layer.message.push(own, Value::Message(params));
        }
        for top in &layer.tops {
            padding.remove(top);
        }
        merged.push(layer);
    }
    Ok(merged)
}

#[cfg(test)]
mod tests {
    use super::super::text;
    use super::*;

    fn net(text: &str) -> Net<'_> {
        let mut net = Net::new(&text::parse(text).unwrap()).unwrap();
        net.deployed().unwrap();
        net
    }

    fn names(net: &Net<'_>) -> Vec<String> {
        net.layers.iter().map(|layer| format!("{}:{}", layer.name, layer.kind)).collect()
    }

    #[test]
    fn the_oldest_spelling_becomes_the_newest() {
        let net = net(r#"
            layers { layer { name: "data" type: "data" meanfile: "m" scale: 0.5 cropsize: 24 } top: "data" }
            layers { layer { name: "pad" type: "padding" pad: 2 } bottom: "data" top: "pad" }
            layers { layer { name: "conv" type: "conv" num_output: 8 kernelsize: 5 biasterm: false }
                     bottom: "pad" top: "conv" }
            layers { layer { name: "norm" type: "lrn" alpha: 0.1 } bottom: "conv" top: "norm" }"#);
        assert_eq!(names(&net), ["data:Data", "conv:Convolution", "norm:LRN"]);
        assert_eq!(net.layers[1].bottoms, ["data"]);
        let params = net.layers[1].params("convolution_param", schema::CONVOLUTION).unwrap();
        assert_eq!((params.text("pad"), params.text("kernel_size")), (Some("2"), Some("5")));
        assert_eq!(params.flag("bias_term", true), Ok(false));
        let transform = net.layers[0].message.message("transform_param").unwrap();
        assert_eq!((transform.text("mean_file"), transform.text("crop_size")), (Some("m"), Some("24")));
    }

    #[test]
    fn layers_of_training_alone_go() {
        let text = r#"
            layer { name: "a" type: "Data" top: "data" include { phase: TRAIN } }
            layer { name: "b" type: "Data" top: "data" include: { phase: TEST } }
            layer { name: "c" type: "ReLU" bottom: "data" top: "c" exclude { phase: TEST } }
            layer { name: "d" type: "ReLU" bottom: "data" top: "d" exclude { phase: TRAIN } }
            layer { name: "e" type: "ReLU" bottom: "d" top: "e" include { stage: "deploy" } }
            layer { name: "f" type: "ReLU" bottom: "d" top: "f" include { not_stage: "deploy" min_level: 0 } }"#;
        assert_eq!(names(&net(text)), ["b:Data", "d:ReLU", "f:ReLU"]);
        let staged = format!("{text} state {{ stage: 'deploy' level: -1 }}");
        assert_eq!(names(&net(&staged)), ["b:Data", "d:ReLU", "e:ReLU"]);
        // A net for training alone still has its input.
        let train = r#"layer { name: "a" type: "Data" top: "x" include { phase: TRAIN } }
                       layer { name: "r" type: "ReLU" bottom: "x" top: "r" }"#;
        assert_eq!(names(&net(train)), ["a:Data", "r:ReLU"]);
    }

    #[test]
    fn old_inputs_have_their_dimensions() {
        let net = net(r#"input: "data" input_dim: 10 input_dim: 3 input_dim: 227 input_dim: 227 input: "b"
                         layer { name: "r" type: "ReLU" bottom: "data" top: "r" }"#);
        let given = |name: &str, dims| Given { name: name.into(), dims };
        assert_eq!(net.inputs, [given("data", Some(vec![10, 3, 227, 227])), given("b", None)]);
    }
}
