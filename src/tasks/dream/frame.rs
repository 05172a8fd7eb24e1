//! One step of a dream, whole: to be shown, kept in a file, and gone on from.

use std::sync::Arc;

use super::error::DreamError;
use super::recipe::Recipe;
use super::spec::DreamSpec;
use crate::optvis::param::Pixels;

/// The whole state after a step: what is needed to show it, to save it, and to go on from it, bit for bit.
#[derive(Debug, PartialEq)]
pub struct Frame {
    /// Steps done in all octaves.
    pub done: usize,
    /// The octave in work; 1 is the smallest.
    pub octave: usize,
    pub octaves: usize,
    /// `[height, width]` of the octave in work.
    pub size_px: [usize; 2],
    /// At the last step; none right after a change of settings.
    pub objective: Option<f64>,
    pub(super) state: State,
}

/// What of a frame only a dream understands.
#[derive(Debug, PartialEq)]
pub(super) struct State {
    /// Height × width × RGB.
    pub rgb: Vec<f32>,
    /// Steps done in the octave in work, as [`DreamSpec::steps`] counts them.
    pub step: usize,
    /// Steps done in each octave up to that in work, the smallest first.
    pub steps_by_octave: Vec<usize>,
    /// At the first step of the octave in work since its last change of settings.
    pub first_objective: Option<f64>,
    /// What the dream started with, and its changes so far.
    pub recipe: Arc<Recipe>,
}

impl Frame {
    /// The picture at the octave's size: interleaved RGB from 0 to 255 (beyond it where [`DreamSpec::clip`] is off),
    /// without alpha, and without [`DreamSpec::keep_colors`].
    pub fn rgb(&self) -> &[f32] {
        &self.state.rgb
    }

    /// Bytes of memory that the frame takes.
    pub fn bytes(&self) -> usize {
        let State { rgb, steps_by_octave, recipe, .. } = &self.state;
        size_of::<Self>()
            + size_of_val(rgb.as_slice())
            + size_of_val(steps_by_octave.as_slice())
            + size_of_val(recipe.changes.as_slice())
    }

    /// The settings in force after this step.
    pub fn spec(&self) -> &DreamSpec {
        self.state.recipe.spec()
    }

    /// Whether the dream was complete here.
    pub fn is_last(&self) -> bool {
        self.octave == self.octaves && self.state.step >= self.spec().steps
    }

    /// What the dream started with, and its changes up to this step.
    pub fn recipe(&self) -> &Recipe {
        &self.state.recipe
    }

    /// As a safetensors file with what is no picture in its header: the same frame again, bit for bit, by
    /// [`Frame::from_bytes`].
    ///
    /// # Errors
    /// When a value of the picture is not finite: nothing could go on from it.
    pub fn to_bytes(&self) -> Result<Vec<u8>, DreamError> {
        super::frame_file::write(self)
    }

    /// Reads what [`Frame::to_bytes`] wrote. Trusts nothing.
    ///
    /// # Errors
    /// When the bytes are no frame that a dream could have come to.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DreamError> {
        super::frame_file::read(bytes)
    }

    /// How many octaves, counted from the full one, still have steps to do with that many an octave.
    pub(super) fn octaves_to_come(&self, steps: usize) -> usize {
        let larger = self.octaves - self.octave;
        if larger == 0 || self.state.step < steps { larger + 1 } else { larger }
    }

    pub(super) fn pixels(&self) -> Pixels {
        Pixels::new(self.size_px, self.state.rgb.clone())
    }

    /// At the first and at the last step of the octave in work.
    pub(super) fn objectives(&self) -> Option<[f64; 2]> {
        Some([self.state.first_objective?, self.objective?])
    }
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;

    /// A frame of a dream of two octaves of `steps` steps, after so many in each.
    pub fn frame(steps_by_octave: &[usize], steps: usize) -> Arc<Frame> {
        let spec = DreamSpec { octaves: 2, steps, ..DreamSpec::default() };
        let done = steps_by_octave.iter().sum();
        Arc::new(Frame {
            done,
            octave: steps_by_octave.len(),
            octaves: 2,
            size_px: [2, 3],
            objective: Some(done as f64),
            state: State {
                rgb: (0..18).map(|i| (i * 7 + done) as f32 * 0.37).collect(),
                step: steps_by_octave.last().copied().unwrap_or(0),
                steps_by_octave: steps_by_octave.to_vec(),
                first_objective: Some(0.1),
                recipe: Arc::new(Recipe::new(None, &spec)),
            },
        })
    }
}
