//! The catalogue of nets: listing, fetching, removing.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::worker::Outlet;
use super::{Event, Failed};
use crate::base::text::one_line;
use crate::tasks::catalogue::{self, FetchError, Progress, Stage, Store};
use crate::tasks::home::Home;

/// Progress is told this often, and whenever something new begins.
const TOLD_EVERY: Duration = Duration::from_millis(50);

const NO_HOME: &str = "nets cannot be kept: there is no folder for data on this system";

/// How far a net is that is being fetched.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fetching {
    /// What is being done, for people.
    pub doing: String,
    /// From 0 to 1, as far as it is known.
    pub share: Option<f32>,
    /// Whether the user has stopped it.
    pub is_stopping: bool,
}

/// How fetching ended, where nothing went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchOutcome {
    Here,
    /// What has arrived is kept.
    Stopped,
}

impl Fetching {
    fn of(progress: &Progress) -> Self {
        let Progress { stage, file: _, number, files, bytes, total } = progress;
        let doing = match stage {
            Stage::Fetching => megabytes(*bytes, *total),
            Stage::Checking => "comparing the sum".to_string(),
            Stage::Unpacking => "unpacking".to_string(),
            Stage::Opening => "opening".to_string(),
        };
        let doing = if *files > 1 { format!("file {number} of {files}: {doing}") } else { doing };
        let share = total.filter(|&total| total > 0).map(|total| *bytes as f32 / total as f32);
        Self { doing, share, is_stopping: false }
    }
}

fn megabytes(bytes: u64, total: Option<u64>) -> String {
    let mb = |bytes: u64| bytes as f64 / 1e6;
    match total {
        Some(total) => format!("{:.1} of {:.1} MB", mb(bytes), mb(total)),
        None => format!("{:.1} MB", mb(bytes)),
    }
}

pub fn list(home: Option<&Home>, outlet: &Outlet) {
    let Some(home) = home else { return outlet.fail(Failed::Other, NO_HOME) };
    let (nets, complaints) = catalogue::list(home);
    outlet.send(Event::NetsListed(nets));
    complaints.iter().for_each(|complaint| outlet.send(Event::Warned(one_line(complaint))));
}

/// Fetches a net until it is there or `stop` is set.
pub fn fetch(name: &str, home: Option<&Home>, stop: &AtomicBool, outlet: &Outlet) -> Result<FetchOutcome, String> {
    let home = home.ok_or(NO_HOME)?;
    let mut told: Option<(Stage, usize, Instant)> = None;
    let mut tell = |progress: Progress| {
        let is_new = told.is_none_or(|(stage, number, at)| {
            (stage, number) != (progress.stage, progress.number) || at.elapsed() >= TOLD_EVERY
        });
        if is_new {
            told = Some((progress.stage, progress.number, Instant::now()));
            outlet.send(Event::FetchProgress { name: name.into(), progress: Fetching::of(&progress) });
        }
        if stop.load(Ordering::SeqCst) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    match catalogue::fetch(name, home, &mut tell) {
        Ok(fetched) => {
            fetched.notes.into_iter().for_each(|note| outlet.send(Event::Noted(note)));
            Ok(FetchOutcome::Here)
        }
        Err(FetchError::Cancelled(_)) => Ok(FetchOutcome::Stopped),
        Err(error) => Err(one_line(&error)),
    }
}

pub fn remove(name: &str, home: Option<&Home>, outlet: &Outlet) {
    let Some(home) = home else { return outlet.fail(Failed::Other, NO_HOME) };
    if let Err(error) = Store::of(home).remove(name) {
        outlet.fail(Failed::Other, one_line(&error));
    }
    list(Some(home), outlet);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_told_in_words() {
        let progress = Progress {
            stage: Stage::Fetching,
            file: "a.caffemodel",
            number: 2,
            files: 3,
            bytes: 2_500_000,
            total: Some(10_000_000),
        };
        let told = Fetching::of(&progress);
        assert_eq!(
            told,
            Fetching { doing: "file 2 of 3: 2.5 of 10.0 MB".into(), share: Some(0.25), is_stopping: false }
        );
        let unknown = Fetching::of(&Progress { files: 1, number: 1, total: None, ..progress });
        assert_eq!(unknown, Fetching { doing: "2.5 MB".into(), share: None, is_stopping: false });
    }
}
