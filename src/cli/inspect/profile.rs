//! How long each layer takes, as a table or as JSON lines.

use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use super::{InspectArgs, input_of, load, memory, report};
use crate::base::text::with_unit;
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::{Report, table};
use crate::nn::graph::Graph;
use crate::tasks::inspect::describe::{dimensions, shortened};
use crate::tasks::inspect::{DEFAULT_ROUNDS, FamilyTime, Profile, ProfileRow, ProfileTotals, profile};

/// Longer names and lists lose their middle.
const MOST_NAME: usize = 44;
const MOST_FUSED: usize = 48;

pub fn run(args: &InspectArgs, graph: &Arc<Graph>, photo: &Path) -> Result<Exit, Failure> {
    let input = input_of(args, graph, &load(args, photo)?)?;
    let rounds = args.rounds.unwrap_or(DEFAULT_ROUNDS);
    let profile = profile(graph, &input, args.layer.as_deref(), rounds, memory(args)).map_err(Failure::input)?;
    let mut report = report(args);
    if report.is_json() {
        write_objects(&profile, &mut report)?
    } else {
        write_tables(&profile, &mut report)?
    }
    report.finish()?;
    Ok(Exit::Done)
}

fn write_objects(profile: &Profile, report: &mut Report) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Sums<'a> {
        families: &'a [FamilyTime],
        totals: &'a ProfileTotals,
    }
    for row in &profile.rows {
        report.object(row)?;
    }
    report.object(&Sums { families: &profile.families, totals: &profile.totals })
}

fn write_tables(profile: &Profile, report: &mut Report) -> Result<(), Failure> {
    let totals = &profile.totals;
    report.line(format_args!(
        "{}, for a picture of {}, forward to {} and back to the picture: medians of {} rounds on {} threads",
        totals.net,
        dimensions(&totals.input),
        totals.layer,
        totals.rounds,
        totals.threads
    ))?;
    report.line("")?;
    let header = ["layers", "run together", "output", "forward (ms)", "back (ms)", "share", "GFLOP/s", "bytes"];
    let mut rows = vec![header.map(str::to_string).to_vec()];
    rows.extend(profile.rows.iter().map(row));
    table(&rows, 2).into_iter().try_for_each(|line| report.line(line))?;
    report.line("")?;
    let header = ["kind", "rows", "forward (ms)", "back (ms)", "share"];
    let mut rows = vec![header.map(str::to_string).to_vec()];
    rows.extend(profile.families.iter().map(family_row));
    table(&rows, 1).into_iter().try_for_each(|line| report.line(line))?;
    report.line("")?;
    report.line(format_args!(
        "{:.2} ms forward and {:.2} ms back, {:.1} GFLOP/s, about {:.1} GB/s",
        totals.forward_ms, totals.backward_ms, totals.gflops, totals.gigabytes_a_second
    ))?;
    report.line(
        "GFLOP/s: two operations a multiply-accumulate, both ways; bytes: an estimate for one way, inputs, outputs and \
         weights each once",
    )
}

fn row(row: &ProfileRow) -> Vec<String> {
    let name = match row.layers.as_slice() {
        [] => String::new(),
        [only] => shortened(only, MOST_NAME),
        [first, .., last] => {
            format!("{} … {}", shortened(first, MOST_NAME / 2), shortened(last, MOST_NAME / 2))
        }
    };
    vec![
        name,
        shortened(&row.fused.join(" + "), MOST_FUSED),
        dimensions(&row.output),
        format!("{:.3}", row.forward_ms),
        format!("{:.3}", row.backward_ms),
        percent(row.share),
        row.gflops.map(|rate| format!("{rate:.1}")).unwrap_or_default(),
        with_unit(row.bytes),
    ]
}

fn family_row(family: &FamilyTime) -> Vec<String> {
    vec![
        family.family.name().to_string(),
        family.rows.to_string(),
        format!("{:.3}", family.forward_ms),
        format!("{:.3}", family.backward_ms),
        percent(family.share),
    ]
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}
