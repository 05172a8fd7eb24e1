//! `oneiric bench`: how fast this machine dreams.

use super::args::BenchArgs;
use super::failure::{Exit, Failure};
use super::output::{Report, table};
use crate::tasks::bench::{self, BenchSpec, Measurement};

pub fn run(args: &BenchArgs) -> Result<Exit, Failure> {
    let spec = spec(args);
    spec.validate().map_err(Failure::input)?;
    let mut report = Report::to_file_or_stdout(args.common.json, args.out.as_deref());
    report.line(row(&HEADER.map(str::to_string)))?;
    let mut written = Ok(());
    let mut write = |measurement: &Measurement| {
        if written.is_ok() {
            written = report.object(measurement).and_then(|()| report.line(row(&cells(measurement))));
        }
    };
    bench::run(&spec, &mut write).map_err(Failure::running)?;
    written?;
    report.finish()?;
    Ok(Exit::Done)
}

fn spec(args: &BenchArgs) -> BenchSpec {
    let mut spec = BenchSpec::default();
    if !args.nets.is_empty() {
        spec.nets.clone_from(&args.nets);
    }
    if !args.sizes.is_empty() {
        spec.sizes_px.clone_from(&args.sizes);
    }
    spec.rounds = args.rounds.unwrap_or(spec.rounds);
    spec
}

const HEADER: [&str; 6] = ["net", "size (px)", "median (ms)", "fastest (ms)", "GFLOP/s", "peak (MB)"];

fn cells(measurement: &Measurement) -> [String; 6] {
    let Measurement { net, size_px, median_ms, min_ms, gflops, peak_mb, .. } = measurement;
    let peak_mb = peak_mb.map_or_else(|| "unknown".to_string(), |peak| format!("{peak:.0}"));
    [
        net.to_string(),
        size_px.to_string(),
        format!("{median_ms:.1}"),
        format!("{min_ms:.1}"),
        format!("{gflops:.1}"),
        peak_mb,
    ]
}

/// One line of the table. Lines come minutes apart, so that columns are as wide as their headers from the start.
fn row(cells: &[String; 6]) -> String {
    let ruler = HEADER.map(|header| " ".repeat(header.len().max(10)));
    table(&[ruler.to_vec(), cells.to_vec()], 1).pop().unwrap_or_default()
}
