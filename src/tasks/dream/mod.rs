//! Deep dreams: a photo, a net, and what the net sees in the photo.
//!
//! A [`DreamSpec`] says everything; a [`Dreamer`] checks it against a net; a [`DreamJob`] dreams one photo; the
//! [`Recipe`] inside the picture repeats it.
//!
//! A dream that runs takes new settings through its [`Steering`]; every [`Change`] is in its recipe. Its steps can be
//! kept as [`Frame`]s in a [`Reel`], and [`Dreamer::resume`] goes on from any of them, with the same settings or others.

mod canvas;
mod change;
mod channels;
mod check;
mod checkpoint;
mod dreamer;
mod error;
mod estimate;
mod frame;
mod frame_file;
pub(in crate::tasks) mod goal;
mod ground;
mod job;
mod looks;
pub(in crate::tasks) mod memory;
mod photo;
mod presets;
mod ready;
mod recipe;
mod reel;
pub(in crate::tasks) mod sizes;
mod spec;
mod steering;
mod user_presets;

pub use change::Change;
pub use channels::Channels;
pub use dreamer::Dreamer;
pub use error::DreamError;
pub use estimate::Estimate;
pub use frame::Frame;
pub use job::{Dream, DreamJob};
pub use looks::Look;
pub use photo::Photo;
pub use presets::DEFAULT_NET;
pub use recipe::{Recipe, SourcePhoto};
pub use reel::Reel;
pub use spec::{ClassGoal, ClassScore, DreamSpec, LayerWeight, Neuron, OctaveFilter, ParseError, Preset, SizePx};
pub use steering::Steering;
pub use user_presets::{PresetError, PresetShelf, UserPreset};

#[cfg(test)]
mod tests;
