//! SimpleNN: a list of layers, each the input of the next.

use super::net::{Maps, Net};
use super::parse::{LayerFields, is_loss};
use super::value::{Numbers, Record, Value};
use crate::formats::ImportError;

/// Filters, biases and moments, by either spelling.
fn weights<'v, 'a>(layer: &Record<'v, 'a>) -> Vec<Option<&'v Numbers<'a>>> {
    let filled = |value: &'v Value<'a>| value.numbers().filter(|numbers| numbers.len() > 0);
    if let Some(cells) = layer.get("weights").and_then(Value::cells) {
        return cells.iter().map(filled).collect();
    }
    ["filters", "biases"].iter().map(|field| layer.get(field).and_then(filled)).collect()
}

pub(super) fn layer_kind<'v>(layer: &Record<'v, '_>) -> &'v str {
    layer.text("type").unwrap_or_default()
}

/// The depth of the first filters: the input's channels, unless they work in groups.
pub(super) fn first_depth(layers: &[Record<'_, '_>]) -> Option<usize> {
    let first = layers.iter().find(|layer| layer_kind(layer) == "conv")?;
    let numbers = weights(first).first().copied().flatten()?;
    Some(numbers.dims().get(2).copied().unwrap_or(1))
}

/// Adds all layers; a loss at the end becomes what it takes probabilities from.
pub(super) fn add_layers(net: &mut Net, layers: &[Record<'_, '_>], input: Maps) -> Result<(), ImportError> {
    let mut maps = input;
    for (number, layer) in (1usize..).zip(layers) {
        let kind = layer_kind(layer);
        // The names that MatConvNet's own conversion to a DagNN gives.
        let mut name = layer
            .text("name")
            .filter(|name| !name.trim().is_empty())
            .map_or_else(|| format!("layer{number}"), str::to_string);
        let last = number == layers.len();
        let compares_with_nothing = kind == "pdist" && layer.filled("class").and_then(Value::numbers).is_none();
        if is_loss(kind) || compares_with_nothing {
            if !last {
                return Err(ImportError::layer(&name, "is a loss, but not the last layer"));
            }
            if kind != "softmaxloss" {
                break;
            }
            if layer.get("name").is_none_or(Value::is_empty) {
                name = "softmax".into();
            }
        }
        let fields = LayerFields { name: &name, kind, fields: *layer, weights: weights(layer) };
        maps = fields.block()?.add_to(net, &name, &[maps])?;
    }
    Ok(())
}
