//! Chains: steps that hand large maps to one another and run together, a band of rows after the other, so that what lies
//! between them stays in a thread's cache and is never written to memory as a whole.
//!
//! A chain's target is cut into chunks, one a task, and a chunk into rounds. In each round the last stage computes some rows,
//! and every stage before it the rows that are then needed and not there yet. Chunks begin anew: the rows that two of them
//! need are computed by both, but only one keeps their mask bits.

use std::ops::Range;

use super::{Builder, Geometry, Place, Step, Task};
use crate::nn::exec::frozen::buffers::BufferId;
use crate::nn::exec::frozen::units::UnitKind;
use crate::nn::ops::conv::frozen::{Direction, Lattices};

/// Maps between two steps are handed over in bands if they are at least this large, in floats: smaller ones stay in the
/// second-level cache anyway.
pub const MIN_FLOATS: usize = 1 << 19;
/// The same for maps that Winograd's tiles go through.
pub const MIN_TILED_FLOATS: usize = 1 << 24;
/// Floats of all bands of a chain, at most: what a second-level cache holds.
const MAX_SCRATCH: usize = 3 << 17;
/// Rows of the target that are computed in a round, from the preferred number on down.
const ROUND_ROWS: [usize; 3] = [16, 8, 4];
/// Chunks that a chain's target is cut into, about.
const CHUNKS: usize = 12;
const MAX_STAGES: usize = 6;

/// Steps that run together.
#[derive(Clone, Debug)]
pub struct Chain {
    /// In order; what each but the last computes is read by the next only.
    pub stages: Vec<Step>,
    /// Images of the batch, each of which is cut into all chunks.
    pub images: usize,
    pub chunks: Vec<Chunk>,
    /// Where the band of each stage but the last begins in a task's scratch.
    pub bands: Vec<usize>,
    pub scratch_floats: usize,
}

/// A part of the target that one task computes: rounds, of as many rows a stage as its [`StageRows`] say.
#[derive(Clone, Debug)]
pub struct Chunk {
    pub rounds: Vec<Vec<StageRows>>,
}

/// What a stage computes in one round.
#[derive(Clone, Debug)]
pub struct StageRows {
    /// Rows of its target that the band holds from the round before, and that are still needed: they move to its front.
    pub kept: Range<usize>,
    /// The row at the front of the band before, and now.
    pub front_before: usize,
    pub front: usize,
    pub parts: Vec<Part>,
}

/// Rows of a stage's target.
#[derive(Clone, Debug)]
pub struct Part {
    pub rows: Range<usize>,
    /// Whether another chunk keeps their mask bits.
    pub silent: bool,
    /// Of a convolution.
    pub lattices: Option<Lattices>,
}

impl Builder<'_> {
    /// Replaces steps that hand over maps of `min_floats` or more by chains, and forgets the buffers between their stages.
    pub(super) fn fuse_chains(&mut self, [min_floats, min_tiled]: [usize; 2]) {
        self.tiled_floats = min_tiled;
        let mut uses = vec![0usize; self.layout.len()];
        for step in self.forward.iter().chain(&self.backward) {
            step.task.buffers(&mut |buffer| uses[buffer] += 1);
        }
        for value in self.targets.iter().chain(&[super::GRAPH_INPUT]) {
            let value = &self.values[value];
            for place in std::iter::once(value.place).chain(value.d_place) {
                uses[place.buffer] += 1;
            }
        }
        for backward in [false, true] {
            let steps = std::mem::take(if backward { &mut self.backward } else { &mut self.forward });
            let fused = self.fused(steps, &uses, backward, min_floats);
            *(if backward { &mut self.backward } else { &mut self.forward }) = fused;
        }
    }

    fn fused(&mut self, mut steps: Vec<Step>, uses: &[usize], backward: bool, min_floats: usize) -> Vec<Step> {
        let mut fused = Vec::with_capacity(steps.len());
        let mut first = 0;
        while first < steps.len() {
            let linked = |pair: &[Step]| hands_over(&pair[0].task, &pair[1].task, uses, min_floats);
            let most = 1 + steps[first..].windows(2).take_while(|pair| linked(pair)).take(MAX_STAGES - 1).count();
            let chain = (2..=most).rev().find_map(|len| self.chain(&steps[first..first + len]));
            match chain {
                None => {
                    fused.push(steps[first].clone());
                    first += 1;
                }
                Some(mut chain) => {
                    let len = chain.stages.len();
                    self.part_ends(&mut chain, &mut steps[first + len..]);
                    self.settle(&chain, backward);
                    fused.push(Step { unit: steps[first + len - 1].unit, task: Task::Chain(Box::new(chain)) });
                    first += len;
                }
            }
        }
        fused
    }

    /// A gradient that goes on in the memory of the one that it is made from, as that of a residual block's input does: in
    /// a chain, whose source is still read when its target is written already, it goes on in memory of its own.
    fn part_ends(&mut self, chain: &mut Chain, later: &mut [Step]) {
        let (Some((source, ..)), Some(last)) = (chain.stages[0].task.ends(), chain.stages.last_mut()) else { return };
        let Some(target) = last.task.target_mut().filter(|target| target.buffer == source.buffer) else { return };
        let [batch, _, height, width] = target.maps;
        let own = self.layout.add(batch * height * width * target.pixel_stride, self.end());
        let shared = std::mem::replace(&mut target.buffer, own);
        for step in later {
            let unit = step.unit;
            step.task.rename(shared, own);
            let moment = self.backward_moment(unit);
            step.task.buffers(&mut |buffer| {
                if buffer == own {
                    self.layout.touch(own, moment);
                }
            });
        }
    }

    /// All that the stages use must last for the whole chain; what lies between them is not needed at all.
    fn settle(&mut self, chain: &Chain, backward: bool) {
        let moment = |step: &Step| if backward { self.backward_moment(step.unit) } else { step.unit + 1 };
        let moments: Vec<usize> = chain.stages.iter().map(moment).collect();
        for stage in &chain.stages {
            stage.task.buffers(&mut |buffer| moments.iter().for_each(|&moment| self.layout.touch(buffer, moment)));
        }
        for stage in &chain.stages[..chain.stages.len() - 1] {
            if let Some((_, target, _)) = stage.task.ends() {
                self.layout.discard(target.buffer);
            }
        }
    }

    /// The steps as a chain, if there is a cut whose bands are small enough.
    fn chain(&self, stages: &[Step]) -> Option<Chain> {
        // A square of pixels begins at an even row, which only the target's cut sees to.
        let granules: Vec<usize> = stages.iter().map(|step| self.granule(step)).collect();
        let squares_between = granules[..stages.len() - 1].contains(&2);
        // Strips of tiles have memory and weights of their own that fill the cache: only where maps are huge, and only with
        // the pool that shrinks them, does it pay to hand them over in bands.
        let tiled = granules.contains(&4);
        let with_its_pool = matches!(stages, [first, second] if matches!(first.task, Task::PoolBackward { .. })
            || matches!(second.task, Task::PoolForward { .. }));
        let handed_over =
            |step: &Step| step.task.ends().map_or(0, |(_, place, _)| place.maps.iter().product::<usize>());
        let worth_it = with_its_pool && handed_over(&stages[0]) >= self.tiled_floats;
        if squares_between || (tiled && !worth_it) || !self.may_run_together(stages) {
            return None;
        }
        ROUND_ROWS.iter().find_map(|&rows| self.cut(stages, &granules, rows))
    }

    /// Whether no stage reads elsewhere what the last one writes, unless that can be parted.
    fn may_run_together(&self, stages: &[Step]) -> bool {
        let all: Vec<_> = stages.iter().filter_map(|step| step.task.ends()).collect();
        let (Some(&(source, ..)), Some((&(_, target, last_add), others))) = (all.first(), all.split_last()) else {
            return false;
        };
        if others.iter().any(|(_, _, add)| add.is_some_and(|add| add.buffer == target.buffer)) {
            return false;
        }
        let of_input = self.values[&super::GRAPH_INPUT].d_place;
        let whole = target.channel == 0 && source == target;
        source.buffer != target.buffer
            || (whole && last_add == Some(target) && of_input.is_none_or(|place| place.buffer != target.buffer))
    }

    fn granule(&self, step: &Step) -> usize {
        match (&self.units.units[step.unit].kind, &step.task) {
            (UnitKind::Conv(conv), Task::ConvForward { .. }) => conv.conv.granule(Direction::Forward),
            (UnitKind::Conv(conv), Task::ConvBackward { .. }) => conv.conv.granule(Direction::Backward),
            _ => 1,
        }
    }

    fn cut(&self, stages: &[Step], granules: &[usize], round_rows: usize) -> Option<Chain> {
        let places: Vec<(Place, Place)> =
            stages.iter().filter_map(|step| step.task.ends()).map(|(source, target, _)| (source, target)).collect();
        let last = stages.len() - 1;
        let [images, _, height, _] = places[last].1.maps;
        let chunk_rows = height.div_ceil(CHUNKS).next_multiple_of(round_rows);
        let mut chunks = Vec::new();
        // Rows that each stage has computed in the chunks before, and rows that its band must hold.
        let mut ends_before = vec![0; stages.len()];
        let mut band_rows = vec![0; stages.len()];
        for chunk in (0..height).step_by(chunk_rows) {
            let mut rounds: Vec<Vec<StageRows>> = Vec::new();
            let mut done: Vec<Option<Range<usize>>> = vec![None; stages.len()];
            for round in (chunk..(chunk + chunk_rows).min(height)).step_by(round_rows) {
                let mut needed = round..(round + round_rows).min(chunk + chunk_rows).min(height);
                let mut of_stages = Vec::with_capacity(stages.len());
                for stage in (0..stages.len()).rev() {
                    let before = done[stage].clone().unwrap_or(needed.start..needed.start);
                    let new = needed.start.max(before.end)..needed.end.max(before.end);
                    let kept = needed.start.max(before.start).min(before.end)..before.end;
                    let front = if kept.is_empty() { new.start } else { kept.start };
                    band_rows[stage] = band_rows[stage].max(new.end - front);
                    let middle = ends_before[stage].clamp(new.start, new.end);
                    let parts = [(new.start..middle, true), (middle..new.end, false)];
                    let parts = parts.into_iter().filter(|(rows, _)| !rows.is_empty());
                    let parts: Vec<Part> =
                        parts.map(|(rows, silent)| self.part(&stages[stage], rows, silent)).collect();
                    let height = places[stage].0.maps[2];
                    let read = parts.iter().map(|part| self.reads(&stages[stage], part, height, granules[stage]));
                    let read = read.filter(|rows| !rows.is_empty());
                    needed = read.reduce(|a, b| a.start.min(b.start)..a.end.max(b.end)).unwrap_or(0..0);
                    done[stage] = Some(front..new.end);
                    of_stages.push(StageRows { kept, front_before: before.start, front, parts });
                }
                of_stages.reverse();
                rounds.push(of_stages);
            }
            for (end, done) in ends_before.iter_mut().zip(&done) {
                *end = done.as_ref().map_or(*end, |done| done.end.max(*end));
            }
            chunks.push(Chunk { rounds });
        }
        /// Floats behind a band that kernels may read.
        const SLACK: usize = 32;
        let mut scratch_floats = 0;
        let bands = (0..last).map(|stage| {
            let [_, _, _, width] = places[stage].1.maps;
            let band = scratch_floats;
            scratch_floats += (band_rows[stage] * width * places[stage].1.pixel_stride + SLACK).next_multiple_of(SLACK);
            band
        });
        let bands = bands.collect();
        (scratch_floats <= MAX_SCRATCH).then(|| Chain {
            stages: stages.to_vec(),
            images,
            chunks,
            bands,
            scratch_floats,
        })
    }

    fn part(&self, step: &Step, rows: Range<usize>, silent: bool) -> Part {
        let lattices = match (&self.geometries[step.unit], &step.task) {
            (Geometry::Conv(lattices), Task::ConvForward { .. }) => Some(lattices.of_rows(Direction::Forward, &rows)),
            (Geometry::Conv(lattices), _) => Some(lattices.of_rows(Direction::Backward, &rows)),
            _ => None,
        };
        Part { rows, silent, lattices }
    }

    /// The rows of its source, of `height` rows, that a stage reads for a part.
    fn reads(&self, step: &Step, part: &Part, height: usize, granule: usize) -> Range<usize> {
        match (&self.geometries[step.unit], &part.lattices, &step.task) {
            (_, Some(lattices), Task::ConvForward { .. }) => lattices.source_rows(Direction::Forward, height, granule),
            (_, Some(lattices), _) => lattices.source_rows(Direction::Backward, height, granule),
            (Geometry::MaxPool(pool), _, Task::PoolForward { .. }) => pool.input_rows(&part.rows),
            (Geometry::MaxPool(pool), ..) => pool.output_rows(&part.rows),
            _ => 0..height,
        }
    }
}

/// Whether what `first` computes is large, and read by `second` only, as a whole.
fn hands_over(first: &Task, second: &Task, uses: &[usize], min_floats: usize) -> bool {
    let (Some((_, target, first_add)), Some((source, second_target, add))) = (first.ends(), second.ends()) else {
        return false;
    };
    let buffer: BufferId = target.buffer;
    let [batch, _, height, width] = target.maps;
    target == source
        && target.channel == 0
        // A buffer that has been added since is that of a gradient that others contribute to.
        && uses.get(buffer) == Some(&2)
        && second_target.buffer != buffer
        && first_add.is_none_or(|add| add.buffer != buffer)
        && add.is_none_or(|add| add.buffer != buffer)
        && batch * height * width * target.pixel_stride >= min_floats
}
