//! The steps of a dream, kept to be looked through and gone back to.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::frame::Frame;

/// Kept steps under a budget of bytes.
///
/// When the budget is exceeded, every second frame of the octave with the densest steps goes, but never the first
/// frame, the newest, the last of an octave or the last of a dream. When nothing else is left, the budget gives way.
#[derive(Debug)]
pub struct Reel {
    budget_bytes: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// By [`Frame::done`].
    frames: Vec<Arc<Frame>>,
    bytes: usize,
    version: u64,
}

impl Reel {
    pub fn new(budget_bytes: usize) -> Self {
        Self::starting_with(budget_bytes, Vec::new())
    }

    /// A reel that goes on from the frames of another one.
    pub fn starting_with(budget_bytes: usize, frames: Vec<Arc<Frame>>) -> Self {
        let mut kept = Kept::default();
        for frame in frames {
            kept.push(frame);
        }
        kept.thin_to(budget_bytes);
        Self { budget_bytes, kept: Mutex::new(kept) }
    }

    pub fn budget_bytes(&self) -> usize {
        self.budget_bytes
    }

    /// The kept frames in the order of their steps.
    pub fn frames(&self) -> Vec<Arc<Frame>> {
        self.lock().frames.clone()
    }

    /// Grows with every frame that is kept.
    pub fn version(&self) -> u64 {
        self.lock().version
    }

    /// Keeps one more frame. It takes the place of those of the same and of later steps: the dream went another way.
    pub fn push(&self, frame: Arc<Frame>) {
        let mut kept = self.lock();
        kept.push(frame);
        kept.thin_to(self.budget_bytes);
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn push(&mut self, frame: Arc<Frame>) {
        while self.frames.last().is_some_and(|newest| newest.done >= frame.done) {
            self.bytes -= self.frames.pop().map_or(0, |dropped| dropped.bytes());
        }
        self.bytes += frame.bytes();
        self.frames.push(frame);
        self.version += 1;
    }

    fn thin_to(&mut self, budget_bytes: usize) {
        while self.bytes > budget_bytes {
            let Some((octave, gap)) = self.densest() else { return };
            self.drop_every_second(octave, gap);
        }
    }

    /// Steps between the neighbours of frame `i`; none when it has to stay.
    fn gap_without(&self, i: usize) -> Option<usize> {
        let [before, frame, after] = self.frames.get(i.checked_sub(1)?..i + 2)? else { return None };
        (frame.octave == after.octave && !frame.is_last()).then_some(after.done - before.done)
    }

    /// The octave whose frames lie closest together, and how close; of several such octaves the largest.
    fn densest(&self) -> Option<(usize, usize)> {
        let candidates = (0..self.frames.len()).filter_map(|i| Some((self.frames[i].octave, self.gap_without(i)?)));
        candidates.min_by_key(|&(octave, gap)| (gap, std::cmp::Reverse(octave)))
    }

    fn drop_every_second(&mut self, octave: usize, gap: usize) {
        let mut dropped_last = false;
        let drops: Vec<bool> = (0..self.frames.len())
            .map(|i| {
                dropped_last = !dropped_last && self.frames[i].octave == octave && self.gap_without(i) == Some(gap);
                dropped_last
            })
            .collect();
        let mut drops = drops.into_iter();
        self.frames.retain(|_| !drops.next().unwrap_or(false));
        self.bytes = self.frames.iter().map(|frame| frame.bytes()).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::testing::frame;
    use super::*;

    fn steps(reel: &Reel) -> Vec<usize> {
        reel.frames().iter().map(|frame| frame.done).collect()
    }

    /// Frames of an octave of `small` and one of `full` steps, all of the same bytes.
    fn frames(small: usize, full: usize) -> impl Iterator<Item = Arc<Frame>> {
        let small_ones = (1..=small).map(move |step| frame(&[step], small));
        small_ones.chain((1..=full).map(move |step| frame(&[small, step], full)))
    }

    #[test]
    fn everything_is_kept_within_the_budget() {
        let one = frame(&[5, 1], 5).bytes();
        let reel = Reel::new(10 * one);
        for (i, frame) in frames(5, 5).enumerate() {
            reel.push(frame);
            assert_eq!(reel.version(), i as u64 + 1);
        }
        assert_eq!(steps(&reel), (1..=10).collect::<Vec<_>>());
    }

    #[test]
    fn the_densest_steps_go_first_and_ends_stay() {
        let one = frame(&[1], 9).bytes();
        let reel = Reel::new(12 * one);
        for frame in frames(9, 40) {
            reel.push(frame);
            assert!(reel.frames().iter().map(|frame| frame.bytes()).sum::<usize>() <= 12 * one);
        }
        let kept = steps(&reel);
        for needed in [1, 9, 49] {
            assert!(kept.contains(&needed), "{needed} is gone: {kept:?}");
        }
        assert!(kept.is_sorted() && kept.len() > 6, "{kept:?}");
        let gaps: Vec<usize> = kept.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(gaps.iter().all(|gap| *gap <= 16), "steps are spread: {kept:?}");
    }

    #[test]
    fn every_second_frame_of_the_larger_octave_goes() {
        let one = frame(&[1], 3).bytes();
        let reel = Reel::starting_with(9 * one, frames(3, 7).collect());
        assert_eq!(steps(&reel), [1, 2, 3, 5, 7, 9, 10]);
    }

    #[test]
    fn what_must_stay_stays_above_the_budget() {
        let reel = Reel::starting_with(0, frames(3, 3).collect());
        assert_eq!(steps(&reel), [1, 3, 6]);
    }

    #[test]
    fn another_way_takes_the_place_of_later_steps() {
        let reel = Reel::starting_with(usize::MAX, frames(3, 3).collect());
        let version = reel.version();
        reel.push(frame(&[3, 1], 9));
        assert_eq!(steps(&reel), [1, 2, 3, 4]);
        assert!(reel.version() > version);
        assert_eq!(reel.frames()[3].spec().steps, 9);
    }
}
