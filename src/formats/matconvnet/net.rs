//! The graph in the making.

use std::collections::HashMap;
use std::sync::Arc;

use crate::formats::ImportError;
use crate::nn::graph::{GraphBuilder, NodeId};
use crate::nn::ops::Op;

/// The output of a node.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Maps {
    pub id: NodeId,
    pub channels: usize,
}

/// A graph builder that keeps names unique and printable.
pub(super) struct Net {
    pub graph: GraphBuilder,
    /// Whether the pictures' size in the graph is the net's own.
    pub size_is_stated: bool,
    /// Names in use, with the number that the next of that name gets.
    taken: HashMap<String, usize>,
    /// How many more values layers may have that the file does not spell out.
    spare_values: usize,
}

/// A quarter of a gigabyte: more than any net needs, and few enough for any machine.
const MOST_SPARE_VALUES: usize = 1 << 26;

impl Net {
    /// Without a size, one is to be found once all layers are there.
    pub fn new(input: &str, channels: usize, size: Option<[usize; 2]>) -> Self {
        let input = printable(input);
        let graph = GraphBuilder::new(&input, channels, size.unwrap_or([1, 1]));
        let size_is_stated = size.is_some();
        Self { graph, size_is_stated, taken: HashMap::from([(input, 2)]), spare_values: MOST_SPARE_VALUES }
    }

    /// The name that the next node gets: the wish, made printable, with a number if it is taken.
    pub fn unique(&mut self, wish: &str) -> String {
        let base = printable(wish);
        let Some(&(mut number)) = self.taken.get(&base) else { return base };
        let mut name = format!("{base}_{number}");
        while self.taken.contains_key(&name) {
            number = number.saturating_add(1);
            name = format!("{base}_{number}");
        }
        self.taken.insert(base, number);
        name
    }

    /// Adds a node that leaves the channels of its first input as they are.
    pub fn node(&mut self, name: &str, op: Op, inputs: &[Maps], params: &[&str]) -> Maps {
        let name = self.unique(name);
        let ids: Vec<NodeId> = inputs.iter().map(|maps| maps.id).collect();
        let id = self.graph.add(&name, op, &ids, params);
        self.taken.insert(name, 2);
        Maps { id, channels: inputs.first().map_or(0, |maps| maps.channels) }
    }

    /// The same value many times over, which the file need not have room for.
    pub fn filled(&mut self, layer: &str, value: f32, count: usize) -> Result<Vec<f32>, ImportError> {
        let left = self.spare_values.checked_sub(count);
        self.spare_values = left.ok_or_else(|| {
            ImportError::layer(layer, "makes the net too large: it has far more channels than the file has numbers")
        })?;
        Ok(vec![value; count])
    }

    /// Adds a parameter of a layer; returns its name.
    pub fn param(&mut self, layer: &str, suffix: &str, shape: &[usize], data: impl Into<Arc<[f32]>>) -> String {
        let data = data.into();
        let mut name = format!("{}.{suffix}", self.unique(layer));
        while self.graph.param_named(&name).is_some() {
            name.push('_');
        }
        self.graph.param(&name, shape, data);
        name
    }
}

/// A name of at most 200 characters that can be shown. Control characters become their number: MATLAB code that joins
/// text and a number without formatting it makes `conv` + 1 a `conv` and a character 1.
pub(super) fn printable(name: &str) -> String {
    const MOST_CHARS: usize = 200;
    let mut shown = String::new();
    for c in name.trim_matches(' ').chars().take(MOST_CHARS) {
        if c.is_control() {
            shown.push_str(&u32::from(c).to_string());
        } else {
            shown.push(c);
        }
    }
    if shown.is_empty() { "layer".into() } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::ops::activation::Activation;

    #[test]
    fn names_are_printable_and_unique() {
        assert_eq!(printable("conv\u{1}-compRand-gen"), "conv1-compRand-gen");
        assert_eq!(printable("pool\n"), "pool10");
        assert_eq!(printable(" relu "), "relu");
        assert_eq!(printable(""), "layer");
        let mut net = Net::new("data", 3, Some([4, 4]));
        let input = Maps { id: 0, channels: 3 };
        for _ in 0..3 {
            net.node("relu", Op::Activation(Activation::Relu), &[input], &[]);
        }
        let names: Vec<&str> = net.graph.nodes().iter().map(|node| node.name.as_str()).collect();
        assert_eq!(names, ["data", "relu", "relu_2", "relu_3"]);
        assert_eq!(net.param("relu", "weight", &[1], vec![1.0]), "relu_4.weight");
    }
}
