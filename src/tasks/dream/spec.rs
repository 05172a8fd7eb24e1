//! What a dream is made of, as plain data.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::formats::LoadOptions;
use crate::optvis::ascent::Normalization;
use crate::optvis::objective::Measure;
use crate::optvis::transform::Jitter;

/// A named set of values for every setting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// Strong and clean on the net that ships: the gradient is evened out over its Laplacian bands.
    #[default]
    Vivid,
    /// The algorithm of Mordvintsev 2015 ("Inceptionism") to the letter.
    #[serde(rename = "google-2015")]
    Google2015,
}

impl Preset {
    pub const ALL: [Self; 2] = [Self::Vivid, Self::Google2015];

    pub fn name(self) -> &'static str {
        match self {
            Self::Vivid => "vivid",
            Self::Google2015 => "google-2015",
        }
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A layer to ascend and its share in the objective.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerWeight {
    pub name: String,
    #[serde(default = "one")]
    pub weight: f32,
}

fn one() -> f32 {
    1.0
}

/// A text of a setting that cannot be understood.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("`{text}` is not {expected}")]
pub struct ParseError {
    pub text: String,
    pub expected: &'static str,
}

/// `NAME` or `NAME=WEIGHT`.
impl FromStr for LayerWeight {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let error = || ParseError { text: text.into(), expected: "a layer (NAME or NAME=WEIGHT)" };
        let (name, weight) = match text.rsplit_once('=') {
            Some((name, weight)) => (name, weight.parse().map_err(|_| error())?),
            None => (text, 1.0),
        };
        if name.is_empty() {
            return Err(error());
        }
        Ok(Self { name: name.into(), weight })
    }
}

/// One channel at one place of a layer's maps.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Neuron {
    pub channel: usize,
    /// From 0 at the left edge to 1 at the right, so that it means the same place in every octave.
    #[serde(default = "half")]
    pub x: f32,
    /// From 0 at the top to 1 at the bottom.
    #[serde(default = "half")]
    pub y: f32,
}

fn half() -> f32 {
    0.5
}

/// `CHANNEL` or `CHANNEL@X,Y`.
impl FromStr for Neuron {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let error =
            || ParseError { text: text.into(), expected: "a neuron (CHANNEL or CHANNEL@X,Y with X and Y from 0 to 1)" };
        let (channel, place) = match text.split_once('@') {
            Some((channel, place)) => (channel, Some(place.split_once(',').ok_or_else(error)?)),
            None => (text, None),
        };
        let coordinate = |text: &str| text.trim().parse::<f32>().map_err(|_| error());
        let (x, y) = match place {
            Some((x, y)) => (coordinate(x)?, coordinate(y)?),
            None => (half(), half()),
        };
        Ok(Self { channel: channel.trim().parse().map_err(|_| error())?, x, y })
    }
}

/// What of a class is ascended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClassScore {
    /// The score before the softmax, as Simonyan 2014 advises.
    #[default]
    Logit,
    /// The probability, which also rises when other classes fall.
    Posterior,
}

impl ClassScore {
    pub const ALL: [Self; 2] = [Self::Logit, Self::Posterior];

    pub fn name(self) -> &'static str {
        match self {
            Self::Logit => "logit",
            Self::Posterior => "posterior",
        }
    }
}

/// A class to ascend.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassGoal {
    /// An index from 0, or a part of the class's name that no other name contains.
    pub class: String,
    #[serde(default)]
    pub score: ClassScore,
}

/// A size in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SizePx {
    pub width: usize,
    pub height: usize,
}

/// How pictures are resized between octaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OctaveFilter {
    /// `scipy.ndimage.zoom` of order 1: each octave is sampled linearly from the one above, corner on corner.
    Zoom,
    /// Each octave is filtered down from the whole picture; details go up by a cubic filter.
    Smooth,
}

/// Everything that decides how a picture comes out.
///
/// [`DreamSpec::preset`] fills every field; written as TOML, only what differs from the preset needs saying
/// ([`DreamSpec::from_toml`]).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DreamSpec {
    pub preset: Preset,
    /// A name in the catalogue or a file. Default `efficientnet-lite0`.
    pub net: String,
    /// What is said of the net beside its file. Default: nothing.
    #[serde(default, skip_serializing_if = "LoadOptions::is_silent")]
    pub net_options: LoadOptions,
    /// Default: the preset's choice for the net.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<LayerWeight>,
    /// Channels of the layers to ascend; default (empty) all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub channels: Vec<usize>,
    /// One neuron of the layers instead of whole maps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub neuron: Option<Neuron>,
    /// A class instead of layers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<ClassGoal>,
    /// What of the layers is ascended. Default [`Measure::L2`].
    pub objective: Measure,
    /// Sizes that are dreamt at, the photo's own and smaller ones. Default 4.
    pub octaves: usize,
    /// The ratio of the sizes of neighbouring octaves. Default 1.4.
    pub octave_scale: f64,
    /// Ascent steps an octave. Default 20 (vivid), 10 (google-2015).
    pub steps: usize,
    /// How far a step goes, in pixel values of 0 to 255 for a normalized gradient of 1.
    pub step_size: f32,
    /// Random shifts before each step: the largest, in pixels, or a list of them. Default 32.
    pub jitter: Jitter,
    /// How the gradient is scaled, when `laplacian` is 0. Default [`Normalization::MeanAbs`].
    pub normalization: Normalization,
    /// Frequency bands that the gradient is split into, each scaled to a standard deviation of 1; 0 for none.
    pub laplacian: usize,
    /// The pull towards the net's mean gray, relative to the normalized gradient: the L2 regularizer of Simonyan 2014.
    /// Default 0.
    pub l2: f32,
    /// The weight of total variation, relative to the normalized gradient: smooths. Default 0.
    pub tv: f32,
    /// Whether each step is cut to the valid pixel values. Default true.
    pub clip: bool,
    pub octave_filter: OctaveFilter,
    /// The longest side of the dream in pixels. Default: the photo's own, but no more than
    /// [`DreamSpec::DEFAULT_LONGEST_SIDE_PX`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<usize>,
    /// Starts from noise of this size instead of a photo.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_noise: Option<SizePx>,
    /// The net looks at tiles of about this many pixels a side, one after the other, instead of at the whole picture. The
    /// dream is the same, but for rounding, and takes less memory. Default: the whole picture where memory allows, else
    /// tiles as large as it allows; recipes then say how large.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tile: Option<usize>,
    /// Whether the photo's hues stay and only brightness is dreamt. Default false.
    pub keep_colors: bool,
    /// The seed of all randomness. Default 0.
    pub seed: u64,
    /// Delivers an intermediate picture after every so many steps; 0 for none. Changes nothing in the result.
    #[serde(default, skip_serializing)]
    pub save_every: usize,
    /// Bytes of memory that the dream may take. Default: what the machine has left. Changes nothing in the result.
    #[serde(default, skip_serializing)]
    pub max_memory: Option<u64>,
}

impl DreamSpec {
    /// Photos larger than this are dreamt smaller unless a size is asked for: patterns have a size in pixels, and
    /// vanish in a picture of many.
    pub const DEFAULT_LONGEST_SIDE_PX: usize = 1024;

    /// The settings that any picture can be dreamt with: without size, start from noise, tiles, intermediate pictures and
    /// memory, which belong to the picture and the machine at hand. The seed stays, for it decides how a dream looks.
    #[must_use]
    pub fn look(&self) -> Self {
        Self { size: None, from_noise: None, tile: None, save_every: 0, max_memory: None, ..self.clone() }
    }

    /// The settings of `look`, with this one's size, start from noise, tiles, intermediate pictures and memory.
    #[must_use]
    pub fn with_look(&self, look: &Self) -> Self {
        let Self { size, from_noise, tile, save_every, max_memory, .. } = *self;
        Self { size, from_noise, tile, save_every, max_memory, ..look.clone() }
    }
}

impl Default for DreamSpec {
    fn default() -> Self {
        Self::preset(Preset::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_and_neurons_are_read_from_text() {
        let layer = |name: &str, weight| Ok(LayerWeight { name: name.into(), weight });
        assert_eq!("block4".parse(), layer("block4", 1.0));
        assert_eq!("inception_4c/output=-0.5".parse(), layer("inception_4c/output", -0.5));
        for bad in ["", "=2", "a=", "a=b"] {
            assert!(bad.parse::<LayerWeight>().is_err(), "{bad}");
        }
        assert_eq!("7".parse(), Ok(Neuron { channel: 7, x: 0.5, y: 0.5 }));
        assert_eq!("7@0.25, 1".parse(), Ok(Neuron { channel: 7, x: 0.25, y: 1.0 }));
        for bad in ["", "x", "-1", "7@", "7@0.5", "7@a,b", "7@0.1,0.2,0.3"] {
            assert!(bad.parse::<Neuron>().is_err(), "{bad}");
        }
    }
}
