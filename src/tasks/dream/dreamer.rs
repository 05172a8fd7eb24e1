//! From a spec and a net to dreams that can run: everything that can be wrong is found here.

use std::sync::Arc;

use super::check::check;
use super::error::DreamError;
use super::goal::{Goal, resolve};
use super::job::{DreamJob, Start};
use super::memory::{self, Needs, input_shape};
use super::photo::{Photo, noise};
use super::recipe::{Recipe, SourcePhoto};
use super::sizes;
use super::spec::{DreamSpec, OctaveFilter};
use crate::imageio::{Filter, Picture, zoom_linear};
use crate::nn::exec::FrozenNet;
use crate::nn::graph::{Graph, GraphError};
use crate::optvis::ascent::Rule;
use crate::optvis::regularizer::Penalties;
use crate::tasks::TaskError;

/// A net made ready to dream by one spec, for any number of photos.
pub struct Dreamer {
    spec: DreamSpec,
    goal: Goal,
    net: FrozenNet,
}

impl Dreamer {
    /// Checks `spec` against the net, and packs the weights up to the layers that it names.
    ///
    /// # Errors
    /// When a setting makes no sense, or a layer, channel or class is not there.
    pub fn new(spec: DreamSpec, graph: Arc<Graph>) -> Result<Self, TaskError> {
        let mut spec = spec;
        check(&spec)?;
        let goal = resolve(&mut spec, &graph)?;
        let net = FrozenNet::new(graph, &goal.objective.nodes());
        Ok(Self { spec, goal, net })
    }

    /// The spec with the layers that are in use.
    pub fn spec(&self) -> &DreamSpec {
        &self.spec
    }

    /// A dream of `photo`, or of noise when the spec asks for it.
    ///
    /// # Errors
    /// When the photo is too small for the net, or the dream too large for the machine.
    pub fn dream(&self, photo: Option<Photo>) -> Result<DreamJob, TaskError> {
        let (picture, source, mut warnings) = match (photo, self.spec.from_noise) {
            (Some(photo), None) => {
                let source = SourcePhoto::new(&photo.path, &photo.picture);
                (photo.picture, Some(source), photo.notes)
            }
            (None, Some(size)) => {
                self.check_size([size.height, size.width])?;
                (noise(size, self.spec.seed), None, Vec::new())
            }
            (Some(_), Some(_)) => return Err(DreamError::PhotoAndNoise.into()),
            (None, None) => return Err(DreamError::NothingToStartFrom.into()),
        };
        let size = self.dream_size(&picture);
        if self.spec.from_noise.is_none() {
            self.check_size(size)?;
        }
        let octaves = self.octaves(size, &mut warnings)?;
        let picture = picture.resized(size, Filter::Lanczos3);
        let alpha = picture.alpha;
        let bases = self.bases(picture.rgb, &octaves);
        let spec = DreamSpec { save_every: 0, max_memory: None, ..self.spec.clone() };
        let recipe = Recipe { program: Recipe::PROGRAM.into(), stopped_after: None, source, dream: spec };
        let start = Start { octaves, bases, alpha, warnings, recipe };
        Ok(DreamJob::new(self.spec.clone(), self.rule(), self.goal.objective.clone(), self.net.clone(), start))
    }

    fn rule(&self) -> Rule {
        let spec = &self.spec;
        Rule {
            normalization: spec.normalization,
            laplacian: spec.laplacian,
            penalties: Penalties::new(self.net.graph().preprocess(), spec.l2, spec.tv),
            step_size: spec.step_size,
            clip: spec.clip,
            relu_rule: Default::default(),
        }
    }

    /// `[height, width]` that `picture` is dreamt at.
    fn dream_size(&self, picture: &Picture) -> [usize; 2] {
        let own_px = picture.width.max(picture.height);
        let longest_px = match self.spec.size {
            Some(size_px) => size_px,
            None if self.spec.from_noise.is_some() => own_px,
            None => own_px.min(DreamSpec::DEFAULT_LONGEST_SIDE_PX),
        };
        sizes::with_longest_side(picture.size(), longest_px)
    }

    fn accepts(&self, size: [usize; 2]) -> Result<(), GraphError> {
        self.net.session_bytes(&input_shape(&self.net, size)?, true).map(drop)
    }

    /// Refuses sizes that the net cannot take and those that need too much memory.
    fn check_size(&self, size: [usize; 2]) -> Result<(), DreamError> {
        if let Err(source) = self.accepts(size) {
            return Err(self.refused(size, source));
        }
        let spec = &self.spec;
        let needs =
            Needs { net: &self.net, octaves: spec.octaves, octave_scale: spec.octave_scale, laplacian: spec.laplacian };
        if let Some(max_memory) = spec.max_memory {
            needs.check(size, max_memory.saturating_sub(self.net.weight_bytes() as u64))?;
        }
        // The weights are packed already: they no longer count as available.
        memory::available_bytes().map_or(Ok(()), |available| needs.check(size, available))
    }

    /// Why the net does not take `size`, with the size that it would take.
    fn refused(&self, size: [usize; 2], source: GraphError) -> DreamError {
        match sizes::smallest_usable(size, |size| self.accepts(size)) {
            Some(needed) if needed > size => return self.too_small(size, needed),
            // It is too large for any machine.
            Some(_) => return source.into(),
            None => {}
        }
        let [native_height_px, native_width_px] = self.net.graph().input().size;
        if self.accepts([native_height_px, native_width_px]).is_err() {
            return source.into();
        }
        DreamError::FixedSize {
            net: self.net.graph().name().into(),
            goal: self.goal.name.clone(),
            native_width_px,
            native_height_px,
            width_px: size[1],
            height_px: size[0],
            source: Box::new(source),
        }
    }

    fn too_small(&self, [height_px, width_px]: [usize; 2], needed: [usize; 2]) -> DreamError {
        let [needed_height_px, needed_width_px] = needed;
        DreamError::TooSmall {
            width_px,
            height_px,
            goal: self.goal.name.clone(),
            needed_width_px,
            needed_height_px,
            needed_size_px: needed_height_px.max(needed_width_px),
        }
    }

    /// The sizes of the octaves, the full one first; fewer than asked for where the net needs larger pictures.
    fn octaves(&self, size: [usize; 2], warnings: &mut Vec<String>) -> Result<Vec<[usize; 2]>, DreamError> {
        let mut octaves = sizes::octave_sizes(size, self.spec.octaves, self.spec.octave_scale);
        let accepts = |size| self.accepts(size);
        let usable = sizes::usable_octaves(&octaves, accepts);
        if usable == 0 {
            // The net takes this size (that was checked), so it is smaller than the smallest of all.
            return Err(self.too_small(size, sizes::smallest_usable(size, accepts).unwrap_or(size)));
        }
        if let Some([height, width]) = octaves.get(usable) {
            warnings.push(format!(
                "{usable} of {} octaves are dreamt: {} does not work on {width}×{height} pixels or fewer",
                self.spec.octaves, self.goal.name
            ));
            octaves.truncate(usable);
        }
        Ok(octaves)
    }

    /// The picture at the size of every octave, the full one first.
    fn bases(&self, full: Vec<f32>, octaves: &[[usize; 2]]) -> Vec<Vec<f32>> {
        let mut bases = vec![full];
        for sizes in octaves.windows(2) {
            let smaller = match self.spec.octave_filter {
                OctaveFilter::Zoom => zoom_linear(bases.last().unwrap_or(&bases[0]), 3, sizes[0], sizes[1]),
                OctaveFilter::Smooth => crate::imageio::resize(&bases[0], 3, octaves[0], sizes[1], Filter::CatmullRom),
            };
            bases.push(smaller);
        }
        bases
    }
}
