//! A spec that has been checked against a net, and which sizes of pictures it can dream at.

use std::sync::Arc;

use super::check::check;
use super::error::DreamError;
use super::goal::{Goal, resolve};
use super::memory::{self, Needs, input_shape};
use super::sizes;
use super::spec::DreamSpec;
use crate::nn::exec::FrozenNet;
use crate::nn::graph::{Graph, GraphError};
use crate::optvis::ascent::Rule;
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
        self.session_bytes(size).map(drop)
    }

    fn session_bytes(&self, size: [usize; 2]) -> Result<u64, GraphError> {
        self.net.session_bytes(&input_shape(&self.net, size)?, true).map(|bytes| bytes as u64)
    }

    fn needs(&self) -> Needs<'_> {
        let spec = &self.spec;
        Needs { net: &self.net, octaves: spec.octaves, octave_scale: spec.octave_scale, laplacian: spec.laplacian }
    }

    /// Refuses sizes that the net cannot take and those that need too much memory.
    pub fn check_size(&self, size: [usize; 2]) -> Result<(), DreamError> {
        self.check_takes(size)?;
        self.check_limit(size)?;
        // The weights are packed already: they no longer count as available.
        memory::available_bytes().map_or(Ok(()), |available| self.needs().check(size, available))
    }

    /// Refuses sizes that the net cannot take.
    pub fn check_takes(&self, size: [usize; 2]) -> Result<(), DreamError> {
        self.accepts(size).map_err(|source| self.refused(size, source))
    }

    fn check_limit(&self, size: [usize; 2]) -> Result<(), DreamError> {
        let Some(max_memory) = self.spec.max_memory else { return Ok(()) };
        self.needs().check(size, max_memory.saturating_sub(self.net.weight_bytes() as u64))
    }

    /// Refuses to take the place of `old` in a dream of the octaves `to_come`, the full one first, of which that of
    /// `size` is in work.
    pub fn check_rest(&self, old: &Self, to_come: &[[usize; 2]], size: [usize; 2]) -> Result<(), DreamError> {
        to_come.iter().try_for_each(|&size| self.check_takes(size))?;
        let Some(&full) = to_come.first() else { return Ok(()) };
        self.check_limit(full)?;
        if self.needs().bytes(full)? <= old.needs().bytes(full)? {
            return Ok(());
        }
        // The memory of the session in work is used again.
        let held = old.session_bytes(size)?;
        memory::available_bytes().map_or(Ok(()), |available| self.needs().check(full, available.saturating_add(held)))
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
