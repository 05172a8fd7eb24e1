//! Runs a chain: its chunks on all threads, the stages of a chunk one after the other, band by band.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::plan::chain::{Chain, Part, StageRows};
use super::plan::{Ending, Place, Step, Task};
use super::run::Machine;
use crate::base::parallel;
use crate::nn::ops::maps::{Source, Target};

thread_local! {
    /// The bands of the chunk that a thread has in work.
    static BANDS: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// One chunk of one image, in work.
struct Work<'a> {
    machine: &'a Machine<'a>,
    chain: &'a Chain,
    image: usize,
    bands: *mut f32,
}

impl Machine<'_> {
    /// Runs all stages of a chain; adds the nanoseconds that all threads spent in each to `times`, if there are any.
    ///
    /// # Safety
    /// As for [`Machine::run`].
    pub(super) unsafe fn run_chain(&self, chain: &Chain, times: Option<&[AtomicU64]>) {
        let chunks = chain.chunks.len();
        parallel::for_each_index(chain.images * chunks, |task| {
            BANDS.with_borrow_mut(|bands| {
                if bands.len() < chain.scratch_floats {
                    bands.resize(chain.scratch_floats, 0.0);
                }
                let work = Work { machine: self, chain, image: task / chunks, bands: bands.as_mut_ptr() };
                parallel::alone(|| {
                    for round in &chain.chunks[task % chunks].rounds {
                        for stage in 0..round.len() {
                            let start = times.map(|_| Instant::now());
                            // SAFETY: as the caller vouches; chunks write disjoint rows of the target, and disjoint
                            // mask bits.
                            unsafe { work.stage(stage, round) };
                            if let (Some(times), Some(start)) = (times, start) {
                                times[stage].fetch_add(start.elapsed().as_nanos() as u64, Ordering::Relaxed);
                            }
                        }
                    }
                });
            });
        });
    }
}

impl Work<'_> {
    unsafe fn stage(&self, stage: usize, round: &[StageRows]) {
        let step = &self.chain.stages[stage];
        let rows = &round[stage];
        // SAFETY: as the caller vouches; bands hold all rows that the plan lets stages read and write.
        unsafe {
            self.keep(stage, rows);
            for part in &rows.parts {
                self.compute(step, stage, round, part);
            }
        }
    }

    /// Moves the rows that are still needed to the front of the band.
    unsafe fn keep(&self, stage: usize, rows: &StageRows) {
        let Some(&band) = self.chain.bands.get(stage).filter(|_| !rows.kept.is_empty()) else { return };
        let place = target_of(&self.chain.stages[stage]);
        let row_len = place.maps[3] * place.pixel_stride;
        let moved = (rows.kept.start - rows.front_before) * row_len;
        // SAFETY: both ranges of rows lie in the band.
        unsafe {
            let band = self.bands.add(band);
            std::ptr::copy(band.add(moved), band, rows.kept.len() * row_len);
        }
    }

    unsafe fn compute(&self, step: &Step, stage: usize, round: &[StageRows], part: &Part) {
        let machine = self.machine;
        let source = |place: &Place| {
            let whole = machine.source(place).image(self.image);
            match stage.checked_sub(1) {
                None => whole,
                Some(before) => Source { data: self.band(before, round[before].front).cast_const(), ..whole },
            }
        };
        let target = |place: &Place, add: &Option<Place>, ending: &Ending| {
            let whole = machine.target(place, add, ending).image(self.image);
            let whole = if part.silent { whole.silent() } else { whole };
            match self.chain.bands.get(stage) {
                None => whole,
                Some(_) => Target { data: self.band(stage, round[stage].front), ..whole },
            }
        };
        // SAFETY: as the caller vouches.
        unsafe {
            match (&step.task, &part.lattices) {
                (Task::ConvForward { source: from, target: to, add, ending }, Some(lattices)) => {
                    let conv = &machine.conv(step.unit).0.conv;
                    let mut to = target(to, add, ending);
                    to.finish.bias = conv.bias().as_ptr();
                    conv.forward(lattices, source(from), to);
                }
                (Task::ConvBackward { source: from, target: to, add, ending }, Some(lattices)) => {
                    machine.conv(step.unit).0.conv.backward(lattices, source(from), target(to, add, ending));
                }
                (Task::PoolForward { source: from, target: to, winners }, _) => {
                    let pool = machine.pool(step.unit);
                    let winners = winners.filter(|_| !part.silent).map_or(std::ptr::null_mut(), |winners| {
                        machine.winners(winners).wrapping_add(self.image * pool.winners_of_image())
                    });
                    let to = target(to, &None, &Ending::Plain);
                    pool.of_one_image().forward(machine.level, part.rows.clone(), &source(from), &to, winners);
                }
                (Task::PoolBackward { source: from, target: to, add, ending, winners }, _) => {
                    let pool = machine.pool(step.unit);
                    let winners = machine.winners(*winners).wrapping_add(self.image * pool.winners_of_image());
                    let to = target(to, add, ending);
                    pool.of_one_image().backward(machine.level, part.rows.clone(), &source(from), &to, winners);
                }
                _ => unreachable!("a chain is made of convolutions and pools"),
            }
        }
    }

    /// Where row 0 of a stage's target would lie if the band reached up to it.
    fn band(&self, stage: usize, front: usize) -> *mut f32 {
        let place = target_of(&self.chain.stages[stage]);
        let row_len = place.maps[3] * place.pixel_stride;
        self.bands.wrapping_add(self.chain.bands[stage]).wrapping_sub(front * row_len)
    }
}

fn target_of(step: &Step) -> Place {
    match step.task.ends() {
        Some((_, target, _)) => target,
        None => unreachable!("a chain is made of convolutions and pools"),
    }
}
