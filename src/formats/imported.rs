//! What importers give: a net in which the file's silence stays visible.

use crate::nn::graph::{ChannelOrder, GraphBuilder, Provenance};

/// A net as an importer reads it. What its files do not say is left open, for `finish` to fill in and to tell about.
pub struct Imported {
    /// The name that the file gives the net; empty where it gives none.
    pub name: String,
    /// The nodes, input first; the node added last is the net's output: class scores, or probabilities.
    pub net: GraphBuilder,
    pub preprocess: FoundPreprocess,
    /// Class names in the order of the output's channels; empty where the files have none.
    pub labels: Vec<String>,
    pub provenance: Provenance,
    /// Whole sentences about what was assumed, left out or changed, for the user to read.
    pub notes: Vec<String>,
}

/// What the files say about how a picture becomes the input: `(p − mean[c]) · scale[c]` for pixel values of 0–255.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FoundPreprocess {
    pub order: Option<ChannelOrder>,
    /// In the net's own channel order; one value stands for all channels.
    pub mean: Option<Vec<f32>>,
    /// In the net's own channel order; one value stands for all channels.
    pub scale: Option<Vec<f32>>,
}

impl Imported {
    pub fn new(name: impl Into<String>, net: GraphBuilder) -> Self {
        Self {
            name: name.into(),
            net,
            preprocess: FoundPreprocess::default(),
            labels: Vec::new(),
            provenance: Provenance::default(),
            notes: Vec::new(),
        }
    }
}
