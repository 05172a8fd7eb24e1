//! ConvNetJS nets (Karpathy 2014): the JSON that `net.toJSON()` gives.
//!
//! Volumes are height × width × depth in memory. Layers have no names: they are called by type and number (`conv2`).
//! How pictures become numbers is left to the page that runs the net, so that a file says nothing about it.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::{ImportError, Imported, LoadOptions};
use crate::nn::graph::{GraphBuilder, NodeId};
use crate::nn::ops::Op;
use crate::nn::ops::activation::Activation;
use crate::nn::ops::conv::Conv2d;
use crate::nn::ops::dropout::Dropout;
use crate::nn::ops::elementwise::Elementwise;
use crate::nn::ops::linear::Linear;
use crate::nn::ops::lrn::{Lrn, LrnRegion};
use crate::nn::ops::pool::MaxPool;
use crate::nn::ops::reshape::Reshape;
use crate::nn::ops::scale::Scale;
use crate::nn::ops::softmax::Softmax;
use crate::nn::ops::window::{Padding, Window};

/// Bounds what layers without numbers of their own can ask for.
const MOST_INPUT_CHANNELS: usize = 4096;

/// Whether a text is such a net, judged by its start.
pub fn looks_like(text: &str) -> bool {
    const LOOKED_AT_CHARS: usize = 4096;
    let start: String = text.trim_start().chars().take(LOOKED_AT_CHARS).collect();
    start.starts_with('{') && start.contains("\"layers\"") && start.contains("\"layer_type\"")
}

/// Reads a net from its JSON. The options are not asked: the file states its input's size.
pub fn read(text: &str, _options: &LoadOptions) -> Result<Imported, ImportError> {
    let root: Value =
        serde_json::from_str(text).map_err(|error| ImportError::Damaged(format!("it is not valid JSON: {error}")))?;
    let layers = root.get("layers").and_then(Value::as_array).ok_or_else(|| wrong_file("it has no list `layers`"))?;
    let objects: Option<Vec<&Map<String, Value>>> = layers.iter().map(Value::as_object).collect();
    let objects = objects.ok_or_else(|| wrong_file("one of its layers is not an object"))?;
    let (first, others) = objects.split_first().ok_or_else(|| wrong_file("it has no layers"))?;
    if kind_of(first) != "input" {
        return Err(wrong_file("its first layer is not of the type `input`"));
    }
    let input = Layer { name: "input".into(), fields: first };
    let maps = Maps {
        id: GraphBuilder::INPUT,
        size: [input.count("out_sy")?, input.count("out_sx")?],
        channels: input.count("out_depth")?,
    };
    if maps.channels > MOST_INPUT_CHANNELS {
        let reason = format!("pictures of {} channels; at most {MOST_INPUT_CHANNELS} are read", maps.channels);
        return Err(ImportError::TooLarge(reason));
    }
    let mut net = Net { graph: GraphBuilder::new("input", maps.channels, maps.size) };
    add_layers(&mut net, others, maps)?;
    Ok(Imported::new("", net.graph))
}

fn wrong_file(reason: &str) -> ImportError {
    ImportError::Damaged(format!("as a ConvNetJS net, {reason}"))
}

fn kind_of(fields: &Map<String, Value>) -> &str {
    fields.get("layer_type").and_then(Value::as_str).unwrap_or_default()
}

fn add_layers(net: &mut Net, layers: &[&Map<String, Value>], input: Maps) -> Result<(), ImportError> {
    let mut numbers: HashMap<&str, usize> = HashMap::new();
    let mut maps = input;
    for fields in layers {
        let kind = kind_of(fields);
        let number = numbers.entry(kind).or_default();
        *number = number.saturating_add(1);
        let last = matches!(kind, "softmax" | "svm" | "regression");
        let name = if last { kind.to_string() } else { format!("{}{number}", ImportError::brief(kind)) };
        let layer = Layer { name, fields };
        maps = layer.add_to(net, kind, maps)?;
        layer.check_stated_size(maps)?;
    }
    Ok(())
}

/// The output of a node: channels × `[height, width]`.
#[derive(Clone, Copy)]
struct Maps {
    id: NodeId,
    channels: usize,
    size: [usize; 2],
}

struct Net {
    graph: GraphBuilder,
}

impl Net {
    fn node(&mut self, name: &str, op: Op, inputs: &[NodeId], params: &[&str]) -> NodeId {
        self.graph.add(name, op, inputs, params)
    }

    fn param(&mut self, layer: &str, suffix: &str, shape: &[usize], data: Vec<f32>) -> String {
        let name = format!("{layer}.{suffix}");
        self.graph.param(&name, shape, data);
        name
    }
}

struct Layer<'j> {
    name: String,
    fields: &'j Map<String, Value>,
}

impl Layer<'_> {
    fn add_to(&self, net: &mut Net, kind: &str, input: Maps) -> Result<Maps, ImportError> {
        let same = |net: &mut Net, op| Maps { id: net.node(&self.name, op, &[input.id], &[]), ..input };
        Ok(match kind {
            "conv" => self.conv(net, input)?,
            "fc" => self.fully_connected(net, input)?,
            "pool" => {
                let window = self.window()?;
                let size = self.slide(&window, input.size)?;
                Maps { size, ..same(net, Op::MaxPool(MaxPool { window })) }
            }
            "relu" => same(net, Op::Activation(Activation::Relu)),
            "sigmoid" => same(net, Op::Activation(Activation::Sigmoid)),
            "tanh" => same(net, Op::Activation(Activation::Tanh)),
            "maxout" => self.maxout(net, input)?,
            "dropout" => self.dropout(net, input)?,
            "lrn" => same(net, Op::Lrn(self.lrn()?)),
            "softmax" if input.size != [1, 1] => {
                return Err(self.wrong("takes the softmax over pixels, which is not supported"));
            }
            "softmax" => same(net, Op::Softmax(Softmax {})),
            // Losses that pass their input on.
            "svm" | "regression" => input,
            other => {
                return Err(
                    self.wrong(format!("is of the type `{}`, which is not supported", ImportError::brief(other)))
                );
            }
        })
    }

    fn wrong(&self, reason: impl Into<String>) -> ImportError {
        ImportError::layer(&self.name, reason)
    }

    fn number(&self, field: &str) -> Result<f64, ImportError> {
        let number = self.fields.get(field).and_then(Value::as_f64);
        number.ok_or_else(|| self.wrong(format!("has no number `{field}`")))
    }

    fn count(&self, field: &str) -> Result<usize, ImportError> {
        const MOST: u64 = 1 << 20;
        let count = self.fields.get(field).and_then(Value::as_u64).filter(|&count| count <= MOST);
        let wrong = || self.wrong(format!("has no `{field}` that is a whole number up to {MOST}"));
        usize::try_from(count.ok_or_else(wrong)?).map_err(|_| wrong())
    }

    /// Of `sx` × `sy` pixels. Files of the first versions say nothing of padding.
    fn window(&self) -> Result<Window, ImportError> {
        let pad = if self.fields.contains_key("pad") { self.count("pad")? } else { 0 };
        let window =
            Window { kernel: [self.count("sy")?, self.count("sx")?], ..Window::square(1, self.count("stride")?) };
        Ok(window.padded(Padding::all(pad)))
    }

    fn slide(&self, window: &Window, size: [usize; 2]) -> Result<[usize; 2], ImportError> {
        let axes = window.resolve(size).map_err(|error| self.wrong(error.to_string()))?;
        Ok(axes.map(|axis| axis.output))
    }

    /// The library computes sizes once and stores them; they must be those that the layers make.
    fn check_stated_size(&self, maps: Maps) -> Result<(), ImportError> {
        let made = [("out_sy", maps.size[0]), ("out_sx", maps.size[1]), ("out_depth", maps.channels)];
        for (field, made) in made {
            let stated = self.count(field)?;
            if stated != made {
                return Err(self.wrong(format!("states {stated} for `{field}`, but makes {made}")));
            }
        }
        Ok(())
    }

    fn conv(&self, net: &mut Net, input: Maps) -> Result<Maps, ImportError> {
        let window = self.window()?;
        let size = self.slide(&window, input.size)?;
        let channels = self.count("out_depth")?;
        let weight = self.filters(channels, window.kernel, input.channels)?;
        let [height, width] = window.kernel;
        let weight = net.param(&self.name, "weight", &[channels, input.channels, height, width], weight);
        let bias = net.param(&self.name, "bias", &[channels], self.biases(channels)?);
        let op = Op::Conv2d(Conv2d { window, groups: 1 });
        Ok(Maps { id: net.node(&self.name, op, &[input.id], &[&weight, &bias]), channels, size })
    }

    fn fully_connected(&self, net: &mut Net, input: Maps) -> Result<Maps, ImportError> {
        let channels = self.count("out_depth")?;
        let weight = self.filters(channels, input.size, input.channels)?;
        let inputs = weight.len().checked_div(channels).unwrap_or(0);
        let weight = net.param(&self.name, "weight", &[channels, inputs], weight);
        let bias = net.param(&self.name, "bias", &[channels], self.biases(channels)?);
        let flat = net.node(&format!("{}/flatten", self.name), Op::Reshape(Reshape::flatten()), &[input.id], &[]);
        let id = net.node(&self.name, Op::Linear(Linear {}), &[flat], &[&weight, &bias]);
        Ok(Maps { id, channels, size: [1, 1] })
    }

    /// The filters, each of height × width × depth in the file, as \[count, depth, height, width\].
    fn filters(&self, count: usize, [height, width]: [usize; 2], depth: usize) -> Result<Vec<f32>, ImportError> {
        let filters = self.fields.get("filters").and_then(Value::as_array);
        let filters = filters.ok_or_else(|| self.wrong("has no list `filters`"))?;
        if filters.len() != count {
            return Err(self.wrong(format!("has {} filters where {count} are stated", filters.len())));
        }
        let pixels = height.saturating_mul(width);
        let len = pixels.checked_mul(depth).ok_or_else(|| self.wrong("has filters of an impossible size"))?;
        let mut all = Vec::new();
        for filter in filters {
            let values = self.volume(filter, len)?;
            for d in 0..depth {
                all.extend(values.iter().skip(d).step_by(depth));
            }
        }
        Ok(all)
    }

    fn biases(&self, count: usize) -> Result<Vec<f32>, ImportError> {
        self.volume(self.fields.get("biases").unwrap_or(&Value::Null), count)
    }

    /// The `len` numbers of a volume: a list, or an object with the places as keys (a typed array in JSON).
    fn volume(&self, volume: &Value, len: usize) -> Result<Vec<f32>, ImportError> {
        // What is not finite becomes null in JSON.
        let number = |value: &Value| value.as_f64().map_or(f32::NAN, |number| number as f32);
        let values: Vec<f32> = match volume.get("w") {
            Some(Value::Array(values)) => values.iter().map(number).collect(),
            Some(Value::Object(values)) => {
                let mut all = vec![None; values.len()];
                for (place, value) in values {
                    let slot = place.parse::<usize>().ok().and_then(|place| all.get_mut(place));
                    *slot.ok_or_else(|| self.wrong("has a volume whose places are not numbered"))? =
                        Some(number(value));
                }
                let all: Option<Vec<f32>> = all.into_iter().collect();
                all.ok_or_else(|| self.wrong("has a volume in which a place is missing"))?
            }
            _ => return Err(self.wrong("has a volume without numbers `w`")),
        };
        if values.len() != len {
            return Err(self.wrong(format!("has a volume of {} numbers where {len} are expected", values.len())));
        }
        Ok(values)
    }

    /// The largest of each `group_size` consecutive channels.
    fn maxout(&self, net: &mut Net, input: Maps) -> Result<Maps, ImportError> {
        const MOST_CHANNELS: usize = 4096;
        let group = self.count("group_size")?;
        if group == 0 || group > input.channels || input.channels > MOST_CHANNELS {
            let reason =
                format!("takes the largest of each {group} of {} channels, which is not supported", input.channels);
            return Err(self.wrong(reason));
        }
        if group == 1 {
            return Ok(input);
        }
        let channels = input.channels / group;
        let mut members = Vec::new();
        for member in 0..group {
            // A 1×1 convolution that picks the channel of this place in every group.
            let mut weight = vec![0.0; channels.saturating_mul(input.channels)];
            let stride = input.channels.saturating_add(group);
            weight.iter_mut().skip(member).step_by(stride).take(channels).for_each(|w| *w = 1.0);
            let name = format!("{}/{member}", self.name);
            let weight = net.param(&name, "pick", &[channels, input.channels, 1, 1], weight);
            let op = Op::Conv2d(Conv2d { window: Window::square(1, 1), groups: 1 });
            members.push(net.node(&name, op, &[input.id], &[&weight]));
        }
        let id = net.node(&self.name, Op::Elementwise(Elementwise::Max), &members, &[]);
        Ok(Maps { id, channels, ..input })
    }

    /// When it does not train, the library multiplies by the probability of being DROPPED; it drops without scaling.
    fn dropout(&self, net: &mut Net, input: Maps) -> Result<Maps, ImportError> {
        let rate = self.number("drop_prob")? as f32;
        if !(0.0..=1.0).contains(&rate) {
            return Err(self.wrong(format!("drops with the probability {rate}")));
        }
        let scaled = if rate < 1.0 { format!("{}/scale", self.name) } else { self.name.clone() };
        let factor = net.param(&self.name, "factor", &[input.channels], vec![rate; input.channels]);
        let mut id = net.node(&scaled, Op::Scale(Scale {}), &[input.id], &[&factor]);
        if rate < 1.0 {
            id = net.node(&self.name, Op::Dropout(Dropout { rate }), &[id], &[]);
        }
        Ok(Maps { id, ..input })
    }

    /// The window reaches n / 2, rounded down, to both sides; alpha is for n terms.
    fn lrn(&self) -> Result<Lrn, ImportError> {
        let n = self.count("n")?;
        if n == 0 {
            return Err(self.wrong("normalizes over no channels"));
        }
        Ok(Lrn {
            size: (n / 2).saturating_mul(2).saturating_add(1),
            alpha: (self.number("alpha")? / n as f64) as f32,
            beta: self.number("beta")? as f32,
            bias: self.number("k")? as f32,
            region: LrnRegion::AcrossChannels,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        match read(text, &LoadOptions::default()) {
            Ok(_) => "nothing wrong".into(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let input = r#"{"layer_type":"input","out_sx":4,"out_sy":3,"out_depth":2}"#;
        let with = |layer: &str| format!(r#"{{"layers":[{input},{layer}]}}"#);
        let volume = r#"{"sx":1,"sy":1,"depth":2,"w":{"0":1,"1":null}}"#;
        let conv = |filters: &str, out_sx: usize| {
            with(&format!(
                r#"{{"layer_type":"conv","sx":1,"sy":1,"stride":1,"pad":0,"in_depth":2,
                    "out_depth":1,"out_sx":{out_sx},"out_sy":3,
                    "filters":[{filters}],"biases":{{"w":[0.5]}}}}"#
            ))
        };
        let cases = [
            ("[1", "not valid JSON"),
            ("{}", "no list `layers`"),
            (r#"{"layers":[]}"#, "no layers"),
            (r#"{"layers":[{"layer_type":"conv"}]}"#, "first layer is not of the type `input`"),
            (&with(r#"{"layer_type":"quadtransform"}"#), "layer `quadtransform1`: is of the type `quadtransform`"),
            (&conv("", 4), "layer `conv1`: has 0 filters where 1 are stated"),
            (&conv(r#"{"w":[1]}"#, 4), "a volume of 1 numbers where 2"),
            (&conv(r#"{"w":{"0":1,"7":1}}"#, 4), "places are not numbered"),
            (&conv(volume, 5), "states 5 for `out_sx`, but makes 4"),
            (&with(r#"{"layer_type":"softmax","out_sx":1,"out_sy":1,"out_depth":24}"#), "softmax over pixels"),
        ];
        let wrong: Vec<_> = cases.iter().filter(|(text, expected)| !error(text).contains(expected)).collect();
        assert!(wrong.is_empty(), "{:#?}", wrong.iter().map(|(text, _)| error(text)).collect::<Vec<_>>());
        let net = read(&conv(volume, 4), &LoadOptions::default()).unwrap().net;
        let weight = &net.param_named("conv1.weight").unwrap().data;
        assert!(weight[0] == 1.0 && weight[1].is_nan());
    }

    #[test]
    fn other_texts_do_not_look_like_nets() {
        assert!(looks_like(" \n{\"layers\":[{\"out_depth\":1,\"layer_type\":\"input\"}]}"));
        assert!(!looks_like("{\"layers\":[]}") && !looks_like("name: \"LeNet\"") && !looks_like(""));
    }
}
