//! What the user says about a net beside its file.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::nn::graph::ChannelOrder;

/// Overrides what the files of a net say, and says what they do not. The default overrides nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoadOptions {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<ChannelOrder>,
    /// Pixel values of 0–255 in the net's own channel order; one value stands for all channels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean: Option<Vec<f32>>,
    /// Factors after the mean is subtracted, likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale: Option<Vec<f32>>,
    /// `[height, width]` in pixels that the net takes, where its files do not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_px: Option<[usize; 2]>,
    /// A text file of class names, one a line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<PathBuf>,
    /// The architecture of a bare list or dictionary of weights: a name, or the path of a net file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
    /// The weights of a net whose own file only describes it, where they do not lie beside it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weights: Option<PathBuf>,
}

impl LoadOptions {
    /// Whether nothing is overridden.
    pub fn is_silent(&self) -> bool {
        *self == Self::default()
    }
}
