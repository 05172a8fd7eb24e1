//! Deep dreams: a photo, a net, and what the net sees in the photo.
//!
//! A [`DreamSpec`] says everything; a [`Dreamer`] checks it against a net; a [`DreamJob`] dreams one photo; the
//! [`Recipe`] inside the picture repeats it.

mod check;
mod dreamer;
mod error;
mod goal;
mod job;
mod looks;
mod memory;
mod photo;
mod presets;
mod recipe;
mod sizes;
mod spec;
mod user_presets;

pub use dreamer::Dreamer;
pub use error::DreamError;
pub use job::{Dream, DreamJob};
pub use looks::Look;
pub use photo::Photo;
pub use presets::DEFAULT_NET;
pub use recipe::{Recipe, SourcePhoto};
pub use spec::{ClassGoal, ClassScore, DreamSpec, LayerWeight, Neuron, OctaveFilter, ParseError, Preset, SizePx};
pub use user_presets::{PresetError, PresetShelf, UserPreset};

#[cfg(test)]
mod tests;
