//! DagNN: layers that read and write named variables.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::net::{Maps, Net};
use super::parse::{LayerFields, is_loss};
use super::value::{Numbers, Record, Value};
use crate::formats::ImportError;

struct Layer<'v, 'a> {
    name: &'v str,
    kind: &'v str,
    inputs: Vec<&'v str>,
    outputs: Vec<&'v str>,
    params: Vec<&'v str>,
    block: Record<'v, 'a>,
}

/// A DagNN whose layers are in an order in which they can run.
pub(super) struct Dag<'v, 'a> {
    layers: Vec<Layer<'v, 'a>>,
    params: HashMap<&'v str, &'v Numbers<'a>>,
    /// The variable that pictures go into.
    pub input: &'v str,
    /// The place of the layer that gives the result, and whether a softmax follows in training.
    output: (usize, bool),
    pub notes: Vec<String>,
}

pub(super) fn is_dag(layers: &[Record<'_, '_>]) -> bool {
    layers.first().is_some_and(|layer| layer.get("block").is_some() && layer.get("inputs").is_some())
}

impl<'v, 'a> Layer<'v, 'a> {
    fn new(record: &Record<'v, 'a>, number: usize) -> Result<Self, ImportError> {
        let name = record.text("name").unwrap_or_default();
        let label = if name.is_empty() { number.to_string() } else { name.to_string() };
        let texts = |field: &str| match record.get(field) {
            None => Ok(Vec::new()),
            Some(value) => value.texts().ok_or_else(|| {
                ImportError::layer(&label, format!("has a field `{field}` that is {}, not names", value.kind()))
            }),
        };
        let Some(block) = record.get("block") else {
            return Err(ImportError::layer(&label, "has no block"));
        };
        // A block without properties is saved as an empty struct.
        let block = match block {
            Value::Opaque(kind) => {
                return Err(ImportError::layer(
                    &label,
                    format!("has a block that is {kind}; {}", super::SAVE_AS_STRUCT),
                ));
            }
            block => block.record().unwrap_or_else(Record::empty),
        };
        let kind = record.text("type").unwrap_or_default();
        Ok(Self { name, kind, inputs: texts("inputs")?, outputs: texts("outputs")?, params: texts("params")?, block })
    }

    /// Whether it is there for training only: a loss, or a comparison with a variable that nobody computes.
    fn is_head(&self, produced: &HashSet<&str>) -> bool {
        let compares =
            || self.kind == "dagnn.PDist" && self.inputs.iter().skip(1).any(|input| !produced.contains(input));
        is_loss(self.kind) || compares()
    }
}

impl<'v, 'a> Dag<'v, 'a> {
    pub fn new(net: &Record<'v, 'a>, layers: &[Record<'v, 'a>]) -> Result<Self, ImportError> {
        let layers: Result<Vec<_>, _> = (1..).zip(layers).map(|(number, record)| Layer::new(record, number)).collect();
        let layers = layers?;
        let produced: HashSet<&str> = layers.iter().flat_map(|layer| layer.outputs.iter().copied()).collect();
        let (heads, layers): (Vec<_>, Vec<_>) = layers.into_iter().partition(|layer| layer.is_head(&produced));
        let input = free_variable(&layers)?;
        let layers = in_running_order(layers, input)?;
        let mut notes = Vec::new();
        let output = choose_output(&layers, &heads, &mut notes)?;
        Ok(Self { layers, params: params_of(net)?, input, output, notes })
    }

    pub fn first_depth(&self) -> Option<usize> {
        let conv = self.layers.iter().find(|layer| layer.kind == "dagnn.Conv" && layer.inputs.contains(&self.input))?;
        let numbers = self.params.get(conv.params.first()?)?;
        Some(numbers.dims().get(2).copied().unwrap_or(1))
    }

    pub fn add_layers(&self, net: &mut Net, input: Maps) -> Result<(), ImportError> {
        let (output, softmax) = self.output;
        let needed = self.needed_for(output);
        let mut variables = HashMap::from([(self.input, input)]);
        let mut last = input;
        // The output goes last, whatever else may follow it.
        for (place, layer) in self.layers.iter().enumerate().filter(|(place, _)| needed.contains(place)) {
            let inputs: Vec<Maps> = layer.inputs.iter().filter_map(|input| variables.get(input).copied()).collect();
            let &[variable] = layer.outputs.as_slice() else {
                return Err(ImportError::layer(
                    layer.name,
                    format!("has {} outputs where one is supported", layer.outputs.len()),
                ));
            };
            let fields =
                LayerFields { name: layer.name, kind: layer.kind, fields: layer.block, weights: self.weights(layer)? };
            let maps = fields.block()?.add_to(net, layer.name, &inputs)?;
            variables.insert(variable, maps);
            if place == output {
                last = maps;
            }
        }
        if softmax {
            super::block::Block::Softmax.add_to(net, "softmax", &[last])?;
        }
        Ok(())
    }

    fn weights(&self, layer: &Layer<'v, 'a>) -> Result<Vec<Option<&'v Numbers<'a>>>, ImportError> {
        let missing = |name: &str| {
            ImportError::layer(
                layer.name,
                format!("needs the parameter `{}`, which is missing", ImportError::brief(name)),
            )
        };
        let find = |name: &&'v str| self.params.get(*name).copied().ok_or_else(|| missing(name));
        let found: Result<Vec<_>, _> = layer.params.iter().map(find).collect();
        Ok(found?.into_iter().map(|numbers| Some(numbers).filter(|numbers| numbers.len() > 0)).collect())
    }

    /// The places of a layer and of all that it depends on.
    fn needed_for(&self, place: usize) -> HashSet<usize> {
        let producer = producers(&self.layers);
        let (mut needed, mut open) = (HashSet::new(), vec![place]);
        while let Some(place) = open.pop() {
            if needed.insert(place)
                && let Some(layer) = self.layers.get(place)
            {
                open.extend(layer.inputs.iter().filter_map(|input| producer.get(input)));
            }
        }
        needed
    }
}

fn params_of<'v, 'a>(net: &Record<'v, 'a>) -> Result<HashMap<&'v str, &'v Numbers<'a>>, ImportError> {
    let records = net.filled("params").map(|params| params.records().unwrap_or_default()).unwrap_or_default();
    let mut params = HashMap::new();
    for param in records {
        let name = param.text("name").ok_or_else(|| ImportError::field("params", "one of them has no name"))?;
        match param.get("value") {
            Some(Value::Numbers(numbers)) => _ = params.insert(name, numbers),
            Some(other) => {
                return Err(ImportError::field(name, format!("is {}, not an array of numbers", other.kind())));
            }
            None => return Err(ImportError::field(name, "has no value")),
        }
    }
    Ok(params)
}

fn producers<'v>(layers: &[Layer<'v, '_>]) -> HashMap<&'v str, usize> {
    let outputs = |(place, layer): (usize, &Layer<'v, '_>)| {
        layer.outputs.iter().map(move |&output| (output, place)).collect::<Vec<_>>()
    };
    layers.iter().enumerate().flat_map(outputs).collect()
}

/// The one variable that layers read and none writes.
fn free_variable<'v>(layers: &[Layer<'v, '_>]) -> Result<&'v str, ImportError> {
    const SHOWN: usize = 5;
    let producer = producers(layers);
    let free: BTreeSet<&str> = layers
        .iter()
        .flat_map(|layer| layer.inputs.iter().copied())
        .filter(|input| !producer.contains_key(input))
        .collect();
    let mut names = free.iter();
    match (names.next(), names.next()) {
        (Some(&input), None) => Ok(input),
        (None, _) => Err(ImportError::Damaged("no layer of the net reads an input".into())),
        _ => {
            let names: Vec<String> = free.iter().take(SHOWN).map(|name| ImportError::brief(name)).collect();
            Err(ImportError::Unsupported(format!(
                "the net has several inputs ({}); one is supported",
                names.join(", ")
            )))
        }
    }
}

/// Layers after those that they depend on; otherwise in the order of the file.
fn in_running_order<'v, 'a>(layers: Vec<Layer<'v, 'a>>, input: &str) -> Result<Vec<Layer<'v, 'a>>, ImportError> {
    let mut readers: HashMap<&str, Vec<usize>> = HashMap::new();
    let mut waiting: Vec<usize> = Vec::new();
    let mut ready = BTreeSet::new();
    let mut written = HashSet::new();
    for (place, layer) in layers.iter().enumerate() {
        if let Some(twice) = layer.outputs.iter().find(|output| !written.insert(**output) || **output == input) {
            let reason = format!("writes the variable `{}` again", ImportError::brief(twice));
            return Err(ImportError::layer(layer.name, reason));
        }
        let open: Vec<&str> = layer.inputs.iter().copied().filter(|name| *name != input).collect();
        if open.is_empty() {
            ready.insert(place);
        }
        waiting.push(open.len());
        open.into_iter().for_each(|name| readers.entry(name).or_default().push(place));
    }
    let mut slots: Vec<Option<Layer<'v, 'a>>> = layers.into_iter().map(Some).collect();
    let mut ordered = Vec::new();
    while let Some(place) = ready.pop_first() {
        let Some(layer) = slots.get_mut(place).and_then(Option::take) else { continue };
        for reader in layer.outputs.iter().filter_map(|output| readers.get(output)).flatten() {
            if let Some(count) = waiting.get_mut(*reader) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    ready.insert(*reader);
                }
            }
        }
        ordered.push(layer);
    }
    match slots.into_iter().flatten().next() {
        Some(stuck) => Err(ImportError::layer(stuck.name, "depends on its own output")),
        None => Ok(ordered),
    }
}

/// The layer that gives the result, and whether the loss that reads it puts a softmax on it.
fn choose_output(
    layers: &[Layer<'_, '_>],
    heads: &[Layer<'_, '_>],
    notes: &mut Vec<String>,
) -> Result<(usize, bool), ImportError> {
    let read: HashSet<&str> = layers.iter().flat_map(|layer| layer.inputs.iter().copied()).collect();
    let is_end = |layer: &Layer<'_, '_>| layer.outputs.iter().all(|output| !read.contains(output));
    let ends: Vec<(usize, &Layer<'_, '_>)> = layers.iter().enumerate().filter(|(_, layer)| is_end(layer)).collect();
    let by_softmax = ends.iter().rfind(|(_, layer)| layer.kind == "dagnn.SoftMax");
    let Some(&(place, layer)) = by_softmax.or(ends.last()) else {
        return Err(ImportError::Damaged("the net has no layers".into()));
    };
    if ends.len() > 1 {
        let name = ImportError::brief(layer.name);
        notes.push(format!("The net has {} outputs; the last one, `{name}`, is taken as its result.", ends.len()));
    }
    // `dagnn.Loss` without a field `loss` is of the default kind.
    let puts_softmax = |head: &Layer<'_, '_>| {
        let by_softmax = head.kind == "dagnn.SoftMaxLoss"
            || head.kind == "dagnn.Loss" && matches!(head.block.text("loss"), None | Some("softmaxlog"));
        by_softmax && head.inputs.first().is_some_and(|input| layer.outputs.contains(input))
    };
    Ok((place, layer.kind != "dagnn.SoftMax" && heads.iter().any(puts_softmax)))
}
