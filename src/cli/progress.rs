//! Progress on stderr: a bar per octave on a terminal, a line per octave elsewhere, nothing when quiet.

use std::io::{IsTerminal as _, Write as _};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::failure::complain;
use crate::base::text::duration;
use crate::job::{Position, Progress};

/// Shows how far the work is.
pub struct Reporter {
    style: Style,
    /// The stage that is shown, and where it stands.
    latest: Option<Progress>,
    bar: Option<ProgressBar>,
}

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    Quiet,
    Lines,
    Bars,
}

impl Style {
    /// Bars where stderr is a terminal.
    pub fn of(quiet: bool) -> Self {
        match (quiet, std::io::stderr().is_terminal()) {
            (true, _) => Self::Quiet,
            (false, true) => Self::Bars,
            (false, false) => Self::Lines,
        }
    }
}

impl Reporter {
    pub fn new(quiet: bool) -> Self {
        Self { style: Style::of(quiet), latest: None, bar: None }
    }

    /// Shows the latest progress.
    pub fn update(&mut self, progress: &Progress) {
        if self.style == Style::Quiet || self.latest.as_ref() == Some(progress) {
            return;
        }
        if self.latest.as_ref().is_some_and(|latest| latest.position.stage != progress.position.stage) {
            // Another stage has begun, so this one was done to its end, whether that was seen or not.
            self.complete_stage();
            self.end_stage();
        }
        if self.style == Style::Bars {
            let bar = self.bar.get_or_insert_with(|| new_bar(&progress.position));
            bar.set_message(rates(progress));
            bar.set_position(progress.position.step as u64);
        }
        self.latest = Some(progress.clone());
    }

    fn complete_stage(&mut self) {
        if let Some(Progress { position, .. }) = &mut self.latest {
            position.step = position.steps;
            if let Some(bar) = &self.bar {
                bar.set_position(position.steps as u64);
            }
        }
    }

    /// Ends the stage that is shown; what is shown of it stays.
    fn end_stage(&mut self) {
        let Some(latest) = self.latest.take() else { return };
        match self.bar.take() {
            Some(bar) => bar.abandon(),
            None => say(&format!("{}: {}", stage_of(&latest.position), summary(&latest))),
        }
    }

    /// Says what is worked on now, when there is more than one thing.
    pub fn heading(&self, text: &str) {
        if self.style != Style::Quiet {
            say(text);
        }
    }

    /// Says something beside the progress.
    pub fn note(&self, sentence: &str) {
        match (self.style, &self.bar) {
            (Style::Quiet, _) => {}
            (_, Some(bar)) => bar.suspend(|| complain(sentence)),
            (_, None) => complain(sentence),
        }
    }

    /// Ends what is shown of this job; another may follow.
    pub fn finish(&mut self, last: Option<&Progress>) {
        if let Some(last) = last {
            self.update(last);
        }
        if self.style != Style::Quiet {
            self.end_stage();
        }
    }
}

fn new_bar(position: &Position) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix} {bar:24} {pos:>3}/{len}  {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("█▉▊▋▌▍▎▏ ");
    let bar = ProgressBar::with_draw_target(Some(position.steps as u64), ProgressDrawTarget::stderr());
    bar.with_style(style).with_prefix(stage_of(position))
}

/// `octave 2/4`.
fn stage_of(position: &Position) -> String {
    format!("{} {}/{}", position.stage_name, position.stage, position.stages)
}

fn rates(progress: &Progress) -> String {
    let speed = progress.steps_per_second.map(|speed| format!("{speed:.1} steps/s"));
    let left = progress.left_s.filter(|&left| left > 0.0).map(|left| format!("{} left", duration(left)));
    [speed, left].into_iter().flatten().collect::<Vec<_>>().join("  ")
}

fn summary(progress: &Progress) -> String {
    let steps = format!("{} of {} steps", progress.position.step, progress.position.steps);
    [steps, rates(progress)].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("  ")
}

pub fn say(line: &str) {
    // Where stderr is closed there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_is_summed_up_in_one_line() {
        let position = Position {
            stage_name: "octave",
            stage: 2,
            stages: 4,
            step: 20,
            steps: 20,
            done: 40,
            total: 80,
            work_done: 0.25,
            objective: Some(3.0),
        };
        let progress = Progress { position, steps_per_second: Some(8.26), elapsed_s: 5.0, left_s: Some(15.2) };
        assert_eq!(stage_of(&progress.position), "octave 2/4");
        assert_eq!(summary(&progress), "20 of 20 steps  8.3 steps/s  15 s left");
    }
}
