//! `oneiric inspect`: the layers of a net as a table or as JSON lines.

use serde::Serialize;

use super::args::InspectArgs;
use super::failure::{Exit, Failure};
use super::output::{Report, table, with_commas};
use crate::base::text::with_unit;
use crate::tasks::catalogue;
use crate::tasks::inspect::{Inspection, Layer, Totals, inspect};

pub fn run(args: &InspectArgs) -> Result<Exit, Failure> {
    let common = &args.common;
    let net = args.net_file.as_deref().or(common.net.as_deref());
    let graph = catalogue::open(net.unwrap_or(catalogue::DEFAULT)).map_err(Failure::input)?;
    let inspection = inspect(&graph, args.size.map(|size| [size.height, size.width])).map_err(Failure::input)?;
    let mut report = Report::to_file_or_stdout(common.json, args.out.as_deref());
    if report.is_json() {
        write_objects(&inspection, &mut report)?;
    } else {
        write_table(&inspection, &mut report)?;
    }
    report.finish()?;
    Ok(Exit::Done)
}

fn write_objects(inspection: &Inspection, report: &mut Report) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct TotalsLine<'a> {
        totals: &'a Totals,
    }
    for layer in &inspection.layers {
        report.object(layer)?;
    }
    report.object(&TotalsLine { totals: &inspection.totals })
}

fn write_table(inspection: &Inspection, report: &mut Report) -> Result<(), Failure> {
    let totals = &inspection.totals;
    report.line(format_args!("{}, for a picture of {}", totals.net, dimensions(&totals.input)))?;
    report.line("")?;
    let header = ["layer", "kind", "output", "weights", "MACs", "sees (px)", "every (px)"];
    let mut rows = vec![header.map(str::to_string).to_vec()];
    rows.extend(inspection.layers.iter().map(row));
    for line in table(&rows, 2) {
        report.line(line)?;
    }
    report.line("")?;
    report.line(format_args!(
        "{} layers, {} weights, {} multiply-accumulates a picture{}",
        totals.layers,
        with_commas(totals.params),
        with_unit(totals.macs),
        if totals.labels > 0 {
            format!(", {} named classes", with_commas(totals.labels as u64))
        } else {
            String::new()
        }
    ))
}

fn row(layer: &Layer) -> Vec<String> {
    let or_blank = |number: u64| if number == 0 { String::new() } else { with_unit(number) };
    vec![
        layer.name.clone(),
        layer.kind.to_string(),
        dimensions(&layer.output),
        or_blank(layer.params),
        or_blank(layer.macs),
        layer.receptive_field.map_or_else(|| "all".to_string(), pixels),
        layer.stride.map(pixels).unwrap_or_default(),
    ]
}

fn dimensions(dims: &[usize]) -> String {
    dims.iter().map(ToString::to_string).collect::<Vec<_>>().join("×")
}

/// `35`, or `35×7` where height and width differ.
fn pixels([vertical, horizontal]: [f64; 2]) -> String {
    // Strides below one pixel are fractions of two; everything else is whole.
    if vertical == horizontal { vertical.to_string() } else { format!("{vertical}×{horizontal}") }
}
