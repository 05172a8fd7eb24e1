//! From wired layers to a graph, and the search for the size of picture that they ask for.

use std::collections::HashMap;

use super::input::Described;
use super::layers::{self, Cx, Names, Refusal};
use super::net::Net;
use super::weights::Weights;
use super::wiring::{Source, Wiring, blob_name, names};
use crate::formats::ImportError;
use crate::nn::graph::{GraphBuilder, NodeId};
use crate::nn::ops::Op;
use crate::nn::ops::reshape::{Dim, Reshape};

/// A net and what is to be told about it.
pub struct Built {
    pub net: GraphBuilder,
    pub notes: Vec<String>,
}

/// Why a net cannot be built for a size of picture.
enum Failure {
    /// Another size may do.
    Size(ImportError),
    Other(ImportError),
}

impl Failure {
    fn into_error(self) -> ImportError {
        match self {
            Self::Size(error) | Self::Other(error) => error,
        }
    }
}

/// All that stays the same whatever the size of picture.
pub struct Plan<'p, 'a> {
    pub net: &'p Net<'a>,
    pub wiring: &'p Wiring,
    pub weights: &'p Weights<'p>,
    pub input: &'p Described,
}

impl Plan<'_, '_> {
    /// Builds the net for pictures of `[height, width]`, or for those that it must have been made for; `likely` is a
    /// size to try first.
    pub fn build(&self, size: Option<[usize; 2]>, likely: Option<[usize; 2]>) -> Result<Built, ImportError> {
        let Some(channels) = self.input.channels else {
            return Err(ImportError::Needs(
                "the files do not tell how many channels the net's pictures have: give the net's deploy prototxt"
                    .into(),
            ));
        };
        match size {
            Some(size) => self.try_build(channels, size).map_err(Failure::into_error),
            None => self.search(channels, likely),
        }
    }

    /// Fully connected layers fit few sizes. Of those that fit, a common one is meant; a net that fits sizes far apart
    /// does not tell.
    fn search(&self, channels: usize, likely: Option<[usize; 2]>) -> Result<Built, ImportError> {
        const COMMON: [usize; 15] = [224, 227, 28, 32, 64, 96, 112, 128, 160, 192, 256, 299, 331, 384, 448];
        const LARGEST: usize = 512;
        /// Of a net of more layers only the common sizes are tried.
        const MAX_LAYERS: usize = 1 << 10;
        if let Some(size) = likely
            && let Ok(built) = self.try_build(channels, size)
        {
            return Ok(assumed(built, size, "the mean image has them"));
        }
        let mut first_error = None;
        let others: Vec<usize> =
            if self.wiring.order.len() <= MAX_LAYERS { (1..=LARGEST).collect() } else { Vec::new() };
        for sides in [&COMMON[..], &others] {
            let mut fitting: Option<(usize, Built)> = None;
            for &side in sides {
                match (self.try_build(channels, [side; 2]), &fitting) {
                    (Ok(_), Some((other, _))) if side.abs_diff(*other) > LARGEST / 4 => return Err(size_needed()),
                    (Ok(built), None) => fitting = Some((side, built)),
                    (Ok(_), Some(_)) => {}
                    (Err(Failure::Other(error)), _) => return Err(error),
                    (Err(Failure::Size(error)), _) => _ = first_error.get_or_insert(error),
                }
            }
            if let Some((side, built)) = fitting {
                return Ok(assumed(built, [side; 2], "they fit its layers"));
            }
        }
        Err(first_error.unwrap_or_else(size_needed))
    }

    fn try_build(&self, channels: usize, size: [usize; 2]) -> Result<Built, Failure> {
        let mut names = Names::new(names(self.net));
        let mut net = GraphBuilder::new(&names.own(&self.input.name), channels, size);
        if net.shape(GraphBuilder::INPUT).is_none() {
            let [height, width] = size;
            let reason = format!("pictures of {height}×{width} pixels with {channels} channels are too large");
            return Err(Failure::Other(ImportError::TooLarge(reason)));
        }
        let mut notes = Vec::new();
        let mut nodes: HashMap<Source, NodeId> = HashMap::from([(self.wiring.input.clone(), GraphBuilder::INPUT)]);
        let mut output = GraphBuilder::INPUT;
        for &index in &self.wiring.order {
            let (Some(layer), Some(takes)) = (self.net.layers.get(index), self.wiring.takes.get(index)) else {
                continue;
            };
            let located = |reason: String| ImportError::layer(layer.title(), reason);
            let mut inputs = Vec::with_capacity(takes.len());
            for source in takes {
                match nodes.get(source) {
                    Some(&node) => inputs.push(node),
                    None => return Err(Failure::Other(located(self.not_given(source)))),
                }
            }
            let blobs = self.weights.of(&layer.name).map_err(|reason| Failure::Other(located(reason)))?;
            let batch = self.input.batch;
            let mut cx = Cx { layer, inputs, blobs, batch, net: &mut net, names: &mut names, notes: &mut notes };
            let tops = layers::convert(&mut cx).map_err(|refusal| match refusal {
                Refusal::Shape(reason) => Failure::Size(located(reason)),
                Refusal::Other(reason) => Failure::Other(self.with_names(located(reason))),
            })?;
            output = tops.first().copied().unwrap_or(output);
            nodes.extend(tops.into_iter().enumerate().map(|(top, node)| (Source::Top { layer: index, top }, node)));
        }
        end_with(&mut net, &mut names, output);
        Ok(Built { net, notes })
    }

    /// Why a blob that a layer takes is not there.
    fn not_given(&self, source: &Source) -> String {
        let giver = match source {
            Source::Top { layer, .. } => self.net.layers.get(*layer),
            Source::Given(_) | Source::Nowhere(_) => None,
        };
        let name = ImportError::brief(blob_name(self.net, source));
        let kind =
            giver.map_or(String::new(), |giver| format!(" of a layer of type {}", ImportError::brief(&giver.kind)));
        format!("takes the blob `{name}`{kind}, which is not supported as an input")
    }

    /// Adds to an error about missing weights which layers have some, where none of the net's layers has.
    fn with_names(&self, error: ImportError) -> ImportError {
        let ImportError::Layer { layer, reason } = &error else { return error };
        let has_some = self
            .wiring
            .order
            .iter()
            .filter_map(|&i| self.net.layers.get(i))
            .any(|layer| self.weights.of(&layer.name).is_ok_and(|blobs| !blobs.is_empty()));
        let others = self.weights.some_names();
        if has_some || !reason.contains("missing from the weights") {
            return error;
        }
        let found = if others.is_empty() {
            "the file of weights has none".to_string()
        } else {
            format!("the file of weights has some for {}, …: is it of another net?", others.join(", "))
        };
        ImportError::layer(layer, format!("{reason}; {found}"))
    }
}

fn assumed(mut built: Built, [height, width]: [usize; 2], why: &str) -> Built {
    let note = format!(
        "The files do not tell the size of the net's pictures: {height}×{width} pixels are assumed, for {why}."
    );
    built.notes.push(note);
    built
}

fn size_needed() -> ImportError {
    ImportError::Needs(
        "the files do not tell the size of the net's pictures: give it with --size, or give the net's deploy prototxt"
            .into(),
    )
}

/// Makes sure that the output is the last node, also where its layer added none.
fn end_with(net: &mut GraphBuilder, names: &mut Names, output: NodeId) {
    if output + 1 != net.nodes().len() {
        let rank = net.shape(output).map_or(2, |shape| shape.rank());
        let same = Reshape { dims: vec![Dim::Same; rank.saturating_sub(1)] };
        net.add(&names.own("output"), Op::Reshape(same), &[output], &[]);
    }
}
