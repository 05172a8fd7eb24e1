//! From a spec and a net to dreams that can run: everything that can be wrong is found here.

use std::sync::Arc;

use super::canvas::Canvas;
use super::change::Change;
use super::error::DreamError;
use super::frame::Frame;
use super::ground::Ground;
use super::job::{Dream, DreamJob};
use super::photo::{Photo, noise};
use super::ready::Ready;
use super::recipe::{Recipe, SourcePhoto};
use super::sizes;
use super::spec::DreamSpec;
use crate::imageio::Picture;
use crate::nn::graph::Graph;
use crate::tasks::TaskError;

/// A net made ready to dream by one spec, for any number of photos.
pub struct Dreamer {
    ready: Ready,
    changes: Vec<Change>,
}

impl Dreamer {
    /// Checks `spec` against the net, and packs the weights up to the layers that it names.
    ///
    /// # Errors
    /// When a setting makes no sense, or a layer, channel or class is not there.
    pub fn new(spec: DreamSpec, graph: Arc<Graph>) -> Result<Self, TaskError> {
        Ok(Self { ready: Ready::new(spec, graph)?, changes: Vec::new() })
    }

    /// Makes these changes on the way in every [`Dreamer::dream`], as [`Recipe::changes`] has them.
    ///
    /// # Errors
    /// When they are out of order, or a change makes no sense or needs a new start.
    pub fn with_changes(self, changes: Vec<Change>) -> Result<Self, TaskError> {
        if !changes.is_sorted_by_key(|change| change.after) {
            return Err(
                DreamError::BadRecipe { reason: "its changes are not in the order of their steps".into() }.into()
            );
        }
        for change in &changes {
            let checked = self.ready.check_change(change.dream.clone());
            checked.map_err(|source| DreamError::change(change.after, source))?;
        }
        Ok(Self { changes, ..self })
    }

    /// The spec with the layers that are in use.
    pub fn spec(&self) -> &DreamSpec {
        &self.ready.spec
    }

    /// A dream of `photo`, or of noise when the spec asks for it.
    ///
    /// # Errors
    /// When the photo is too small for the net, or the dream too large for the machine.
    pub fn dream(&self, photo: Option<Photo>) -> Result<DreamJob, TaskError> {
        let spec = &self.ready.spec;
        let Origin { picture, source, mut warnings } = self.origin(photo, spec)?;
        let size = dream_size(spec, &picture);
        self.ready.check_takes(size)?;
        let octaves = self.ready.octaves(size, &mut warnings)?;
        let ground = Ground::new(picture, size);
        let mut ready = self.ready.clone();
        ready.spec.tile = ready.tile(size, Some(&ground), 0)?;
        let recipe = Recipe::new(source, &ready.spec);
        let canvas = Canvas::new(ground, octaves, spec.octave_filter);
        Ok(DreamJob::new(ready, canvas, recipe, warnings).with_changes(self.changes.clone()))
    }

    /// Goes on from a frame of a dream of the same photo, with this dreamer's spec from the next step on. From a
    /// frame that [is the last](Frame::is_last) it goes on with another [`DreamSpec::steps`] steps at full size.
    /// [`Dreamer::with_changes`] is not heeded.
    ///
    /// # Errors
    /// When the frame is of a dream of something else, or the spec would have needed a new start, or as for
    /// [`Dreamer::dream`].
    pub fn resume(&self, photo: Option<Photo>, frame: &Frame) -> Result<DreamJob, TaskError> {
        let start = &frame.recipe().dream;
        start.can_become(&self.ready.spec).map_err(|setting| DreamError::NeedsNewStart { setting })?;
        let mut ready = self.ready.clone();
        // Tiles stay as they are where nothing is said of them.
        ready.spec.tile = ready.spec.tile.or(frame.spec().tile);
        let (canvas, recipe, warnings) = self.canvas(&mut ready, photo, frame)?;
        let to_come = &canvas.octaves()[..frame.octaves_to_come(self.ready.spec.steps)];
        to_come.iter().try_for_each(|&size| self.ready.check_takes(size))?;
        Ok(DreamJob::new(ready, canvas, recipe, warnings).at(frame))
    }

    /// The frame at full size, as if the dream had been stopped there: with the frame's settings, not this dreamer's.
    ///
    /// # Errors
    /// When the frame is of a dream of something else, or too large for the machine.
    pub fn develop(&self, photo: Option<Photo>, frame: &Frame) -> Result<Dream, TaskError> {
        let (canvas, recipe, _) = self.canvas(&mut self.ready.clone(), photo, frame)?;
        let recipe = Recipe { stopped_after: (!frame.is_last()).then_some(frame.done), ..recipe };
        let picture = canvas.full(frame.pixels(), frame.spec().keep_colors);
        Ok(Dream { picture, recipe, steps_done: frame.done, objective: frame.objectives() })
    }

    /// What `frame` was painted on, and its recipe with what `photo` is called now. Finds the tiles for `ready`.
    fn canvas(
        &self,
        ready: &mut Ready,
        photo: Option<Photo>,
        frame: &Frame,
    ) -> Result<(Canvas, Recipe, Vec<String>), DreamError> {
        let recipe = frame.recipe();
        let start = &recipe.dream;
        let Origin { picture, source, warnings } = self.origin(photo, start)?;
        if let (Some(old), Some(new)) = (&recipe.source, &source)
            && old.crc32 != new.crc32
        {
            return Err(DreamError::AnotherPhoto { given: new.file.clone(), dreamt: old.file.clone() });
        }
        let size = dream_size(start, &picture);
        let octaves = sizes::octave_sizes(size, frame.octaves, start.octave_scale);
        let octave = frame.octaves - frame.octave;
        if octaves.get(octave) != Some(&frame.size_px) {
            return Err(DreamError::AnotherSize { width_px: size[1], height_px: size[0] });
        }
        let ground = Ground::new(picture, size);
        ready.spec.tile = ready.tile(size, Some(&ground), 0)?;
        let mut canvas = Canvas::new(ground, octaves, start.octave_filter);
        canvas.go_to(octave);
        Ok((canvas, Recipe { source, ..recipe.clone() }, warnings))
    }

    /// The photo or the noise that a dream of `spec` starts from.
    fn origin(&self, photo: Option<Photo>, spec: &DreamSpec) -> Result<Origin, DreamError> {
        match (photo, spec.from_noise) {
            (Some(photo), None) => {
                let source = SourcePhoto::new(&photo.path, &photo.picture);
                Ok(Origin { picture: photo.picture, source: Some(source), warnings: photo.notes })
            }
            (None, Some(size)) => {
                self.ready.tile([size.height, size.width], None, 0)?;
                Ok(Origin { picture: noise(size, spec.seed), source: None, warnings: Vec::new() })
            }
            (Some(_), Some(_)) => Err(DreamError::PhotoAndNoise),
            (None, None) => Err(DreamError::NothingToStartFrom),
        }
    }
}

/// What a dream starts from.
struct Origin {
    picture: Picture,
    source: Option<SourcePhoto>,
    warnings: Vec<String>,
}

/// `[height, width]` that `picture` is dreamt at.
fn dream_size(spec: &DreamSpec, picture: &Picture) -> [usize; 2] {
    let own_px = picture.width.max(picture.height);
    let longest_px = match spec.size {
        Some(size_px) => size_px,
        None if spec.from_noise.is_some() => own_px,
        None => own_px.min(DreamSpec::DEFAULT_LONGEST_SIDE_PX),
    };
    sizes::with_longest_side(picture.size(), longest_px)
}
