//! Deep dreams: a photo, a net, and what the net sees in the photo.

mod presets;
mod spec;

pub use presets::DEFAULT_NET;
pub use spec::{ClassGoal, ClassScore, DreamSpec, LayerWeight, Neuron, OctaveFilter, ParseError, Preset, SizePx};
