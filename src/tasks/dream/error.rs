//! Why a dream cannot be dreamt.

use std::path::PathBuf;

use crate::imageio::ImageError;
use crate::nn::graph::GraphError;
use crate::nn::tiling::TilingError;
use crate::optvis::ascent::AscentError;
use crate::tasks::TaskError;

#[derive(Debug, thiserror::Error)]
pub enum DreamError {
    #[error("{setting} is {value}, but must be {expected}")]
    Setting { setting: &'static str, value: String, expected: &'static str },
    #[error("a class and {other} cannot be dreamt together: leave one of them out")]
    ClassAnd { other: &'static str },
    #[error("channels and a neuron cannot be asked for together: leave one of them out")]
    ChannelsAndNeuron,
    #[error(transparent)]
    Graph(#[from] GraphError),
    #[error("layer `{layer}` has {channels} channels, 0 to {}, but channel {channel} is asked for", .channels.saturating_sub(1))]
    Channel { layer: String, channel: usize, channels: usize },
    #[error("layer `{layer}` has no maps with channels: choose another layer")]
    NoMaps { layer: String },
    #[error("`{layer}` is the picture itself, as the net takes it: choose a layer behind it")]
    InputLayer { layer: String },
    #[error("the net `{net}` has no layer with maps to dream of: name a layer")]
    NoLayer { net: String },
    #[error("the net `{net}` has {classes} classes, 0 to {}, but class {class} is asked for", .classes.saturating_sub(1))]
    ClassIndex { net: String, class: usize, classes: usize },
    #[error("the net `{net}` has no class names: give the class by its number")]
    NoClassNames { net: String },
    #[error("no class of the net has `{class}` in its name; the nearest are {}", .nearest.join(", "))]
    UnknownClass { class: String, nearest: Vec<String> },
    #[error("{count} classes have `{class}` in their names, such as {}: be more precise, or give a number", .some.join(", "))]
    AmbiguousClass { class: String, count: usize, some: Vec<String> },
    #[error("a dream starts from a photo or from noise, not from both: leave one of them out")]
    PhotoAndNoise,
    #[error("there is neither a photo nor a size of noise to start from")]
    NothingToStartFrom,
    #[error(
        "{width_px}×{height_px} is too small for {goal}, which needs {needed_width_px}×{needed_height_px}: \
         set the size to {needed_size_px} or more"
    )]
    TooSmall {
        width_px: usize,
        height_px: usize,
        goal: String,
        needed_width_px: usize,
        needed_height_px: usize,
        needed_size_px: usize,
    },
    #[error(
        "{goal} of the net `{net}` works only on pictures of {native_width_px}×{native_height_px}, not on \
         {width_px}×{height_px} ({source}): bring the picture to that size, or choose an earlier layer"
    )]
    FixedSize {
        net: String,
        goal: String,
        native_width_px: usize,
        native_height_px: usize,
        width_px: usize,
        height_px: usize,
        source: Box<GraphError>,
    },
    #[error(
        "dreaming at {width_px}×{height_px} takes {} MiB of memory and {} MiB can be had{}: {}",
        needed_bytes.div_ceil(1 << 20), available_bytes >> 20, reason(whole.as_deref()), advice_on_size(*.fitting_size_px)
    )]
    Memory {
        width_px: usize,
        height_px: usize,
        needed_bytes: u64,
        available_bytes: u64,
        /// The longest side that would fit.
        fitting_size_px: Option<usize>,
        /// Why it cannot be dreamt in tiles, which would take less; none where it can, or was asked for so.
        whole: Option<Box<TilingError>>,
    },
    #[error("{goal} cannot be dreamt in tiles, for {source}: leave the size of tiles out")]
    NoTiles { goal: String, source: Box<TilingError> },
    #[error(transparent)]
    Picture(#[from] ImageError),
    #[error("{path} carries no recipe: only pictures that this program made do")]
    NoRecipe { path: PathBuf },
    #[error("the recipe cannot be understood: {reason}")]
    BadRecipe { reason: String },
    #[error("the photo {file} that the recipe starts from is not there: give the photo too")]
    MissingSource { file: String },
    #[error("{setting} stays as it is from the start of a dream to its end: start a new dream to change it")]
    NeedsNewStart { setting: &'static str },
    #[error("the settings cannot change after step {after}: {source}")]
    Change { after: usize, source: Box<DreamError> },
    #[error("this is not a step of a dream that can be gone on from: {reason}")]
    BadFrame { reason: String },
    #[error("{given} is not the photo that the dream was made of: give {dreamt}")]
    AnotherPhoto { given: String, dreamt: String },
    #[error("a dream of {width_px}×{height_px} has no step of the size that was kept: give what it was made of")]
    AnotherSize { width_px: usize, height_px: usize },
    #[error(transparent)]
    Ascent(#[from] AscentError),
}

impl DreamError {
    /// Why `goal` is not dreamt in the tiles that are asked for.
    pub(super) fn tiling(error: TilingError, goal: &str) -> Self {
        match error {
            TilingError::Graph(error) => error.into(),
            source => Self::NoTiles { goal: goal.into(), source: Box::new(source) },
        }
    }

    pub(super) fn change(after: usize, source: Self) -> Self {
        Self::Change { after, source: Box::new(source) }
    }
}

fn reason(whole: Option<&TilingError>) -> String {
    whole.map_or_else(String::new, |why| format!(" (it cannot be dreamt in tiles, for {why})"))
}

fn advice_on_size(fitting_size_px: Option<usize>) -> String {
    match fitting_size_px {
        Some(size_px) => format!("a size of {size_px} would fit"),
        None => "no size would fit, choose an earlier layer or a smaller net".into(),
    }
}

impl From<DreamError> for TaskError {
    fn from(error: DreamError) -> Self {
        match error {
            DreamError::Ascent(_) => Self::run(error),
            _ => Self::input(error),
        }
    }
}
