//! What the user says about a net beside its file.

use std::path::PathBuf;

use crate::nn::graph::ChannelOrder;

/// Overrides what the files of a net say, and says what they do not. The default overrides nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LoadOptions {
    pub order: Option<ChannelOrder>,
    /// Pixel values of 0–255 in the net's own channel order; one value stands for all channels.
    pub mean: Option<Vec<f32>>,
    /// Factors after the mean is subtracted, likewise.
    pub scale: Option<Vec<f32>>,
    /// `[height, width]` in pixels that the net takes.
    pub size_px: Option<[usize; 2]>,
    /// A text file of class names, one a line.
    pub labels: Option<PathBuf>,
    /// The architecture of a bare list or dictionary of weights: a name, or the path of a net file.
    pub architecture: Option<String>,
}
