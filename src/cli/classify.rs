//! `oneiric classify`: what a net takes photos for.

use std::path::Path;

use serde::Serialize;

use super::args::ClassifyArgs;
use super::failure::{Exit, Failure, complain};
use super::net;
use super::output::Report;
use crate::imageio::{self, Limits};
use crate::tasks::catalogue;
use crate::tasks::classify::{ClassScore, Classifier};

/// One photo's line of JSON.
#[derive(Serialize)]
struct Line<'a> {
    file: String,
    top: &'a [ClassScore],
}

/// Classifies every photo. One that cannot be read is complained about and does not stop the others.
pub fn run(args: &ClassifyArgs) -> Result<Exit, Failure> {
    let common = &args.common;
    let name = common.net.as_deref().unwrap_or(catalogue::DEFAULT);
    let graph = net::open(name, &common.net_args.options(args.size), common.quiet)?;
    let mut classifier = Classifier::new(graph).map_err(Failure::input)?;
    let mut report = Report::to_file_or_stdout(common.json, args.out.as_deref());
    let limits = common.limits();
    let mut exit = Exit::Done;
    for (i, photo) in args.photos.iter().enumerate() {
        match classify_one(&mut classifier, photo, args.top, &limits, common.quiet) {
            Ok(top) => write(&mut report, photo, &top, i == 0)?,
            Err(failure) => exit = exit.or_worse(failure.report()),
        }
    }
    report.finish()?;
    Ok(exit)
}

fn classify_one(
    classifier: &mut Classifier,
    photo: &Path,
    top: usize,
    limits: &Limits,
    quiet: bool,
) -> Result<Vec<ClassScore>, Failure> {
    let loaded = imageio::load(photo, limits).map_err(Failure::input)?;
    if !quiet {
        for note in &loaded.notes {
            complain(note);
        }
    }
    Ok(classifier.classify(&loaded.picture, top))
}

fn write(report: &mut Report, photo: &Path, top: &[ClassScore], first: bool) -> Result<(), Failure> {
    if report.is_json() {
        return report.object(&Line { file: photo.to_string_lossy().into_owned(), top });
    }
    if !first {
        report.line("")?;
    }
    report.line(photo.display())?;
    for score in top {
        report.line(format_args!(
            "  {:5.1} %  {}  {}",
            100.0 * score.probability,
            bar(score.probability),
            score.label
        ))?;
    }
    Ok(())
}

/// A bar of ten characters.
fn bar(share: f64) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = (share.clamp(0.0, 1.0) * 80.0).round() as usize;
    let text = "█".repeat(eighths / 8) + EIGHTHS[eighths % 8];
    format!("{text:<10}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_ten_characters_wide() {
        for (share, expected) in [(0.0, "          "), (0.05, "▌         "), (0.5, "█████     "), (1.0, "██████████")]
        {
            assert_eq!(bar(share), expected);
        }
    }
}
