//! Progress of downloads on stderr: a bar a file on a terminal, a line a file elsewhere, nothing when quiet.

use std::time::Instant;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::progress::{Style, say};
use crate::base::text::{duration, with_unit};
use crate::tasks::catalogue::{Progress, Stage};

/// Shows how far a net is.
pub struct Transfer {
    style: Style,
    /// What is shown, since when, and at how many bytes it was then.
    latest: Option<(Progress, Instant, u64)>,
    bar: Option<ProgressBar>,
}

impl Transfer {
    pub fn new(quiet: bool) -> Self {
        Self { style: Style::of(quiet), latest: None, bar: None }
    }

    pub fn update(&mut self, progress: &Progress) {
        if self.style == Style::Quiet {
            return;
        }
        let same = |(latest, _, _): &(Progress, Instant, u64)| {
            (latest.stage, latest.number) == (progress.stage, progress.number)
        };
        if !self.latest.as_ref().is_some_and(same) {
            self.end_stage();
            self.latest = Some((progress.clone(), Instant::now(), progress.bytes));
            if self.style == Style::Bars {
                self.bar = Some(new_bar(progress));
            }
        }
        if let Some((latest, _, _)) = &mut self.latest {
            latest.clone_from(progress);
        }
        if let Some(bar) = &self.bar {
            if let Some(total) = progress.total {
                bar.set_length(total);
            }
            bar.set_position(progress.bytes);
        }
    }

    /// Says something beside the progress.
    pub fn note(&self, sentence: &str) {
        match (self.style, &self.bar) {
            (Style::Quiet, _) => {}
            (_, Some(bar)) => bar.suspend(|| super::failure::complain(sentence)),
            (_, None) => super::failure::complain(sentence),
        }
    }

    /// Ends what is shown; another net may follow.
    pub fn finish(&mut self) {
        self.end_stage();
    }

    /// What is shown of a download stays; of what takes a moment it does not.
    fn end_stage(&mut self) {
        let Some((latest, since, from)) = self.latest.take() else { return };
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        // A file that was there already has brought nothing.
        if latest.stage == Stage::Fetching && self.style != Style::Quiet {
            say(&summary(&latest, latest.bytes.saturating_sub(from), since.elapsed().as_secs_f64()));
        }
    }
}

fn new_bar(progress: &Progress) -> ProgressBar {
    let template = match (progress.stage, progress.total) {
        (Stage::Fetching, Some(_)) => {
            "{prefix} {bar:24} {decimal_bytes:>10} of {decimal_total_bytes}  {decimal_bytes_per_sec}  {eta} left"
        }
        (Stage::Fetching, None) => "{prefix} {decimal_bytes:>10}  {decimal_bytes_per_sec}",
        _ => "{prefix} …",
    };
    let style = ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("█▉▊▋▌▍▎▏ ");
    let bar = ProgressBar::with_draw_target(progress.total, ProgressDrawTarget::stderr());
    let verb = match progress.stage {
        Stage::Fetching => "",
        Stage::Checking => "checking ",
        Stage::Unpacking => "unpacking ",
        Stage::Opening => "opening ",
    };
    bar.with_style(style).with_prefix(format!("{verb}{}", progress.file)).with_position(progress.bytes)
}

/// `net.pb: 53.5 MB in 12 s, 4.46 MB/s`.
fn summary(progress: &Progress, arrived: u64, seconds: f64) -> String {
    let total = progress.total.filter(|&total| total > progress.bytes);
    let of = total.map(|total| format!(" of {}B", with_unit(total))).unwrap_or_default();
    let speed = if seconds > 0.0 { arrived as f64 / seconds } else { 0.0 };
    let rest = if arrived > 0 { format!(", {}B/s", with_unit(speed as u64)) } else { String::new() };
    format!("{}: {}B{of} in {}{rest}", progress.file, with_unit(progress.bytes), duration(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_summed_up_in_one_line() {
        let progress = |bytes| Progress {
            stage: Stage::Fetching,
            file: "net.pb",
            number: 1,
            files: 1,
            bytes,
            total: Some(53_500_000),
        };
        assert_eq!(summary(&progress(53_500_000), 53_500_000, 12.0), "net.pb: 53.5 MB in 12 s, 4.46 MB/s");
        assert_eq!(summary(&progress(1_000_000), 0, 3.0), "net.pb: 1.00 MB of 53.5 MB in 3.0 s");
    }
}
