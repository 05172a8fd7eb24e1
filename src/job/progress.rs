//! How far a job is, how fast it goes, and when it will end.

use std::time::Duration;

use serde::Serialize;

/// Where a job stands, as the job itself knows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Position {
    /// What the stages are: "octave".
    pub stage_name: &'static str,
    /// The stage in work, counted from 1.
    pub stage: usize,
    pub stages: usize,
    /// Steps done in this stage.
    pub step: usize,
    pub steps: usize,
    /// Steps done in all stages.
    pub done: usize,
    pub total: usize,
    /// The share of the whole work that is done, from 0 to 1, by cost: late stages may be dearer than early ones.
    pub work_done: f64,
    /// The value of what is being maximized at the last step.
    pub objective: Option<f64>,
}

/// [`Position`] with the clock beside it. Pauses do not count.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Progress {
    #[serde(flatten)]
    pub position: Position,
    /// Speed over the last seconds of this stage; none before the first step is done.
    pub steps_per_second: Option<f64>,
    pub elapsed_s: f64,
    pub left_s: Option<f64>,
}

/// Over how long a time the speed is averaged.
const SPEED_WINDOW_S: f64 = 2.0;

/// Turns positions and a clock into progress.
pub(super) struct Meter {
    /// Since when, and since which step, the speed is measured.
    since_s: f64,
    since_done: usize,
    stage: usize,
    steps_per_second: Option<f64>,
    /// The share of the work that was done before this clock started: a job may go on from an earlier one.
    work_before: Option<f64>,
}

impl Meter {
    pub fn new() -> Self {
        Self { since_s: 0.0, since_done: 0, stage: 0, steps_per_second: None, work_before: None }
    }

    /// `running` is the time since the start without pauses.
    pub fn read(&mut self, position: Position, running: Duration) -> Progress {
        let now_s = running.as_secs_f64();
        if self.work_before.is_none() {
            (self.since_s, self.since_done) = (now_s, position.done);
        }
        let work_before = *self.work_before.get_or_insert(position.work_done);
        if position.stage != self.stage {
            // The steps of another stage cost something else.
            if self.stage != 0 {
                (self.since_s, self.since_done) = (now_s, position.done);
            }
            self.stage = position.stage;
        }
        let span_s = now_s - self.since_s;
        let steps = position.done.saturating_sub(self.since_done);
        if steps > 0 && span_s > 0.0 {
            self.steps_per_second = Some(steps as f64 / span_s);
            if span_s > SPEED_WINDOW_S {
                (self.since_s, self.since_done) = (now_s, position.done);
            }
        }
        // A job that was given more to do on the way may stand at a smaller share than it began with.
        let done = position.work_done - work_before;
        let left_s = (done > 0.0 && now_s > 0.0).then(|| (now_s / done * (1.0 - position.work_done)).max(0.0));
        Progress { position, steps_per_second: self.steps_per_second, elapsed_s: now_s, left_s }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub fn position(stage: usize, done: usize, total: usize) -> Position {
        Position {
            stage_name: "stage",
            stage,
            stages: 2,
            step: done,
            steps: total,
            done,
            total,
            work_done: done as f64 / total as f64,
            objective: None,
        }
    }

    #[test]
    fn speed_and_time_left_follow_the_clock() {
        let mut meter = Meter::new();
        let at_start = meter.read(position(1, 0, 10), Duration::ZERO);
        assert_eq!((at_start.steps_per_second, at_start.left_s), (None, None));
        let later = meter.read(position(1, 4, 10), Duration::from_secs(1));
        assert_eq!(later.steps_per_second, Some(4.0));
        assert_eq!(later.left_s, Some(1.5));
    }

    #[test]
    fn what_was_done_before_the_start_counts_for_nothing() {
        let mut meter = Meter::new();
        meter.read(position(1, 80, 100), Duration::ZERO);
        let later = meter.read(position(1, 85, 100), Duration::from_secs(1));
        assert_eq!(later.steps_per_second, Some(5.0));
        assert!(later.left_s.is_some_and(|left_s| (left_s - 3.0).abs() < 1e-9), "{later:?}");
    }

    #[test]
    fn a_new_stage_has_a_speed_of_its_own() {
        let mut meter = Meter::new();
        meter.read(position(1, 0, 100), Duration::ZERO);
        meter.read(position(1, 10, 100), Duration::from_secs(1));
        let kept = meter.read(position(2, 10, 100), Duration::from_secs(1));
        assert_eq!(kept.steps_per_second, Some(10.0));
        let fresh = meter.read(position(2, 11, 100), Duration::from_secs(2));
        assert_eq!(fresh.steps_per_second, Some(1.0));
    }

    #[test]
    fn old_speed_is_forgotten() {
        let mut meter = Meter::new();
        meter.read(position(1, 10, 100), Duration::from_secs(10));
        let now = meter.read(position(1, 30, 100), Duration::from_secs(12));
        assert_eq!(now.steps_per_second, Some(10.0));
    }
}
