//! `oneiric bench`: how fast this machine dreams, looks and learns.

use super::args::BenchArgs;
use super::failure::{Exit, Failure};
use super::output::{Report, table};
use crate::base::simd::Level;
use crate::base::{blas, parallel};
use crate::tasks::bench::{self, BenchSpec, Measurement};

pub fn run(args: &BenchArgs) -> Result<Exit, Failure> {
    let spec = spec(args);
    spec.validate().map_err(Failure::input)?;
    let mut report = Report::to_file_or_stdout(args.common.json, args.out.as_deref());
    report.line(format!(
        "{} threads, instruction set {}, {}",
        parallel::threads(),
        Level::active().description(),
        blas::description()
    ))?;
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
    if !args.kinds.is_empty() {
        spec.kinds.clone_from(&args.kinds);
    }
    if !args.nets.is_empty() {
        spec.nets.clone_from(&args.nets);
    }
    if !args.sizes.is_empty() {
        spec.sizes_px.clone_from(&args.sizes);
    }
    spec.rounds = args.rounds.unwrap_or(spec.rounds);
    spec
}

const HEADER: [&str; 9] =
    ["kind", "net", "pictures", "size (px)", "median (ms)", "fastest (ms)", "GFLOP/s", "of peak", "memory (MB)"];

fn cells(measurement: &Measurement) -> [String; 9] {
    let Measurement { kind, net, size_px, batch, median_ms, min_ms, gflops, share_of_peak, peak_mb, .. } = measurement;
    let peak_mb = peak_mb.map_or_else(|| "unknown".to_string(), |peak| format!("{peak:.0}"));
    [
        kind.to_string(),
        net.to_string(),
        batch.to_string(),
        size_px.to_string(),
        format!("{median_ms:.1}"),
        format!("{min_ms:.1}"),
        format!("{gflops:.1}"),
        format!("{:.0} %", 100.0 * share_of_peak),
        peak_mb,
    ]
}

/// One line of the table. Lines come minutes apart, so that columns are as wide as their headers from the start.
fn row(cells: &[String; 9]) -> String {
    /// As wide as the longest name of a kind and of a net.
    const NAMES: [usize; 2] = [7, 14];
    let width = |column: usize| NAMES.get(column).copied().unwrap_or(8).max(HEADER[column].len());
    let ruler: Vec<String> = (0..HEADER.len()).map(|column| " ".repeat(width(column))).collect();
    table(&[ruler, cells.to_vec()], NAMES.len()).pop().unwrap_or_default()
}
