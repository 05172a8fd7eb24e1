//! The layers of a net as a table or as JSON lines.

use std::sync::Arc;

use serde::Serialize;

use super::{InspectArgs, report, size_px};
use crate::base::text::with_unit;
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::{Report, table, with_commas};
use crate::nn::graph::{ChannelOrder, Graph};
use crate::tasks::inspect::describe::dimensions;
use crate::tasks::inspect::{DreamMemory, Inspection, Layer, Role, Totals, dream_memory, inspect};

pub fn run(args: &InspectArgs, graph: &Arc<Graph>) -> Result<Exit, Failure> {
    let inspection = inspect(graph, size_px(args)).map_err(Failure::input)?;
    let memory = dream_memory(graph, size_px(args)).map_err(Failure::input)?;
    let mut report = report(args);
    if report.is_json() {
        write_objects(&inspection, &memory, &mut report)?;
    } else {
        write_table(&inspection, &mut report)?;
        write_totals(&inspection.totals, &memory, &mut report)?;
    }
    report.finish()?;
    Ok(Exit::Done)
}

fn write_objects(inspection: &Inspection, memory: &[DreamMemory], report: &mut Report) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct TotalsLine<'a> {
        totals: &'a Totals,
        dream_memory: &'a [DreamMemory],
    }
    for layer in &inspection.layers {
        report.object(layer)?;
    }
    report.object(&TotalsLine { totals: &inspection.totals, dream_memory: memory })
}

fn write_table(inspection: &Inspection, report: &mut Report) -> Result<(), Failure> {
    let totals = &inspection.totals;
    report.line(format_args!("{}, for a picture of {}", totals.net, dimensions(&totals.input)))?;
    report.line("")?;
    let header = ["layer", "kind", "output", "bytes", "weights", "MACs", "sees (px)", "every (px)"];
    let mut rows = vec![header.map(str::to_string).to_vec()];
    rows.extend(inspection.layers.iter().map(row));
    table(&rows, 2).into_iter().try_for_each(|line| report.line(line))?;
    report.line("")
}

fn write_totals(totals: &Totals, memory: &[DreamMemory], report: &mut Report) -> Result<(), Failure> {
    let named = match totals.labels {
        0 => String::new(),
        labels => format!(", {} named classes", with_commas(labels as u64)),
    };
    report.line(format_args!(
        "{} layers, {} weights, {} multiply-accumulates a picture, {}B of outputs{named}",
        totals.layers,
        with_commas(totals.params),
        with_unit(totals.macs),
        with_unit(totals.bytes),
    ))?;
    report.line(preprocessing(totals))?;
    for DreamMemory { layer, role, weight_bytes, session_bytes } in memory {
        let role = match role {
            Role::Default => "the default",
            Role::Deepest => "the deepest",
        };
        report.line(format_args!(
            "a dream with {layer} ({role}) of this size: {}B of packed weights, {}B of working memory",
            with_unit(*weight_bytes),
            with_unit(*session_bytes)
        ))?;
    }
    for (what, words) in [("source", &totals.source), ("licence", &totals.licence)] {
        if !words.is_empty() {
            report.line(format_args!("{what}: {words}"))?;
        }
    }
    Ok(())
}

/// `trained at 224×224 pixels; RGB, (value − 127) · 0.0078125`.
fn preprocessing(totals: &Totals) -> String {
    let order = match totals.preprocess.order {
        ChannelOrder::Rgb => "red, green, blue",
        ChannelOrder::Bgr => "blue, green, red",
        ChannelOrder::Gray => "gray",
    };
    let size = match totals.native_input.as_slice() {
        [_, height, width] => format!("{width}×{height}"),
        other => dimensions(other),
    };
    let (mean, scale) = (numbers(&totals.preprocess.mean), numbers(&totals.preprocess.scale));
    format!("made for {size} pixels: {order}, each (value from 0 to 255 − mean) · scale, mean {mean}, scale {scale}")
}

/// One number where all are equal.
fn numbers(values: &[f32]) -> String {
    match values {
        [first, rest @ ..] if rest.iter().all(|value| value == first) => first.to_string(),
        _ => format!("({})", values.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
    }
}

fn row(layer: &Layer) -> Vec<String> {
    let or_blank = |number: u64| if number == 0 { String::new() } else { with_unit(number) };
    vec![
        layer.name.clone(),
        layer.kind.to_string(),
        dimensions(&layer.output),
        with_unit(layer.bytes),
        or_blank(layer.params),
        or_blank(layer.macs),
        layer.receptive_field.map_or_else(|| "all".to_string(), pixels),
        layer.stride.map(pixels).unwrap_or_default(),
    ]
}

/// `35`, or `35×7` where height and width differ.
fn pixels([vertical, horizontal]: [f64; 2]) -> String {
    // Strides below one pixel are fractions of two; everything else is whole.
    if vertical == horizontal { vertical.to_string() } else { format!("{vertical}×{horizontal}") }
}
