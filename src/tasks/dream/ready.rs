//! A spec that has been checked against a net, and which sizes of pictures it can dream at.

use std::sync::Arc;

use super::check::check;
use super::error::DreamError;
use super::goal::{Goal, resolve};
use super::ground::Ground;
use super::memory::{self, Needs, input_shape};
use super::sizes;
use super::spec::DreamSpec;
use crate::nn::exec::FrozenNet;
use crate::nn::graph::{Graph, GraphError};
use crate::nn::tiling::Tiling;
use crate::optvis::ascent::{Pieces, Rule};
use crate::optvis::regularizer::Penalties;

/// Settings that make sense, and the net packed up to the layers that they name.
#[derive(Clone)]
pub(super) struct Ready {
    /// With the layers that are in use.
    pub spec: DreamSpec,
    pub goal: Goal,
    pub net: FrozenNet,
}

impl Ready {
    pub fn new(spec: DreamSpec, graph: Arc<Graph>) -> Result<Self, DreamError> {
        let (spec, goal) = checked(spec, &graph)?;
        let net = FrozenNet::new(graph, &goal.objective.nodes());
        Ok(Self { spec, goal, net })
    }

    /// Other settings for the same net, in the middle of a dream. The weights are packed anew only for other layers.
    pub fn changed(&self, spec: DreamSpec) -> Result<Self, DreamError> {
        let (spec, goal) = self.check_change(spec)?;
        let targets = goal.objective.nodes();
        let packs_the_same = targets == self.net.targets();
        let net = if packs_the_same { self.net.clone() } else { FrozenNet::new(self.net.graph().clone(), &targets) };
        Ok(Self { spec, goal, net })
    }

    /// Refuses what could at no step of a dream take the place of these settings.
    pub fn check_change(&self, spec: DreamSpec) -> Result<(DreamSpec, Goal), DreamError> {
        self.spec.can_become(&spec).map_err(|setting| DreamError::NeedsNewStart { setting })?;
        checked(spec, self.net.graph())
    }

    pub fn rule(&self) -> Rule {
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

    fn accepts(&self, size: [usize; 2]) -> Result<(), GraphError> {
        self.net.graph().shapes_for(&input_shape(&self.net, size)?, self.net.targets()).map(drop)
    }

    /// How the net looks at pictures of `size`.
    pub fn tiling(&self, size: [usize; 2]) -> Result<Tiling, DreamError> {
        memory::tiling(&self.net, size, self.spec.tile).map_err(|error| DreamError::tiling(error, &self.goal.name))
    }

    /// The net made ready for pictures of `size`. `old` hands its memory on.
    pub fn pieces(&self, size: [usize; 2], old: Option<Pieces>) -> Result<Pieces, DreamError> {
        let tiling = self.tiling(size)?;
        let input = input_shape(&self.net, tiling.tile_size())?;
        let session = self.net.session(&input, true, old.map(|old| old.session))?;
        Ok(Pieces { session, tiling })
    }

    /// Bytes of memory of the whole process for a dream of `size`.
    pub fn memory_bytes(&self, size: [usize; 2], ground: &Ground) -> Result<u64, DreamError> {
        let needs = self.needs(Some(ground));
        let dreaming = needs.bytes(size, self.spec.tile).map_err(|error| DreamError::tiling(error, &self.goal.name))?;
        Ok(needs.held_bytes() + dreaming.max(ground.loading_bytes() as u64))
    }

    fn needs<'a>(&'a self, ground: Option<&'a Ground>) -> Needs<'a> {
        let spec = &self.spec;
        Needs {
            net: &self.net,
            octaves: spec.octaves,
            octave_scale: spec.octave_scale,
            laplacian: spec.laplacian,
            delivers: spec.save_every > 0,
            ground,
        }
    }

    /// The tiles that a picture of `size` is dreamt in, none for the whole, with `held` bytes that will be free by then.
    ///
    /// # Errors
    /// For sizes that the net cannot take and those that need too much memory.
    pub fn tile(&self, size: [usize; 2], ground: Option<&Ground>, held: u64) -> Result<Option<usize>, DreamError> {
        self.check_takes(size)?;
        let needs = self.needs(ground);
        let (asked_for, goal) = (self.spec.tile, self.goal.name.as_str());
        // What is held already no longer counts as available, but against what may be used.
        let allowed = self.spec.max_memory.map(|most| most.saturating_sub(needs.held_bytes()));
        let free = memory::available_bytes().map(|bytes| bytes.saturating_add(held));
        let most = allowed.into_iter().chain(free).min().unwrap_or(u64::MAX);
        // Where nobody said how much, tiles leave half of the rest to others.
        let modest = if self.spec.max_memory.is_none() { most / 2 } else { most };
        match needs.tile(size, asked_for, modest, goal) {
            Err(DreamError::Memory { .. }) if modest < most => needs.tile(size, asked_for, most, goal),
            tile => tile,
        }
    }

    /// Refuses sizes that the net cannot take.
    pub fn check_takes(&self, size: [usize; 2]) -> Result<(), DreamError> {
        self.accepts(size).map_err(|source| self.refused(size, source))
    }

    /// Refuses to take the place of `old` in a dream of the octaves `to_come`, the full one first, of which that of
    /// `size` is in work. Returns the tiles that they are dreamt in.
    pub fn check_rest(
        &self,
        old: &Self,
        to_come: &[[usize; 2]],
        size: [usize; 2],
    ) -> Result<Option<usize>, DreamError> {
        to_come.iter().try_for_each(|&size| self.check_takes(size))?;
        let Some(&full) = to_come.first() else { return Ok(self.spec.tile) };
        let bytes = |ready: &Self, size| ready.needs(None).bytes(size, ready.spec.tile);
        let held = bytes(old, size).unwrap_or(0);
        if self.spec.max_memory.is_none()
            && bytes(self, full).is_ok_and(|new| bytes(old, full).is_ok_and(|old| new <= old))
        {
            return Ok(self.spec.tile);
        }
        self.tile(full, None, held)
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
    pub fn octaves(&self, size: [usize; 2], warnings: &mut Vec<String>) -> Result<Vec<[usize; 2]>, DreamError> {
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
}

fn checked(mut spec: DreamSpec, graph: &Graph) -> Result<(DreamSpec, Goal), DreamError> {
    check(&spec)?;
    let goal = resolve(&mut spec, graph)?;
    Ok((spec, goal))
}
