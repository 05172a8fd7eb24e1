//! Settings that change in the middle of a dream.

use serde::{Deserialize, Serialize};

use super::spec::DreamSpec;

/// New settings from the step after `after` on.
///
/// A change after the last step of all makes the dream go on: with another [`DreamSpec::steps`] steps at full size.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// Steps done in all octaves when the settings change.
    pub after: usize,
    /// All settings, as [`super::Recipe::dream`] has them.
    pub dream: DreamSpec,
}

/// The settings that a dream keeps from its start to its end, as recipes name them.
pub(super) const LASTING: [&str; 6] = ["octaves", "octave_scale", "octave_filter", "size", "from_noise", "net"];

impl DreamSpec {
    /// Whether `other` can take this spec's place in the middle of a dream.
    ///
    /// # Errors
    /// The first setting that differs and needs a new start.
    pub fn can_become(&self, other: &Self) -> Result<(), &'static str> {
        let lasting = [
            (self.octaves == other.octaves, "octaves"),
            (self.octave_scale == other.octave_scale, "octave_scale"),
            (self.octave_filter == other.octave_filter, "octave_filter"),
            (self.size == other.size, "size"),
            (self.from_noise == other.from_noise, "from_noise"),
            (self.net == other.net && self.net_options == other.net_options, "net"),
        ];
        lasting.into_iter().find(|(same, _)| !same).map_or(Ok(()), |(_, setting)| Err(setting))
    }

    /// Without what changes nothing in the result.
    pub(super) fn recorded(&self) -> Self {
        Self { save_every: 0, max_memory: None, ..self.clone() }
    }
}
