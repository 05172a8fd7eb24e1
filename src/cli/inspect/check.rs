//! Whether two nets compute the same on a photo.

use std::path::Path;
use std::sync::Arc;

use super::{InspectArgs, input_of, load, memory, report};
use crate::cli::failure::{Exit, Failure};
use crate::cli::net;
use crate::cli::output::{Report, table};
use crate::formats::LoadOptions;
use crate::nn::graph::Graph;
use crate::tasks::inspect::describe::dimensions;
use crate::tasks::inspect::{Answer, Comparison, DEFAULT_TOLERANCE, LayerDifference, compare};

pub fn run(args: &InspectArgs, graph: &Arc<Graph>, other: &str, photo: &Path) -> Result<Exit, Failure> {
    let other = net::open(other, &LoadOptions::default(), args.common.quiet)?;
    let picture = load(args, photo)?;
    let inputs = [input_of(args, graph, &picture)?, input_of(args, &other, &picture)?];
    let tolerance = args.tolerance.unwrap_or(DEFAULT_TOLERANCE);
    let nets: [(&Graph, _); 2] = [(graph, &inputs[0]), (&other, &inputs[1])];
    let comparison = compare(nets, args.layers, tolerance, memory(args)).map_err(Failure::input)?;
    let mut report = report(args);
    if report.is_json() {
        comparison.layers.iter().try_for_each(|layer| report.object(layer))?;
        report.object(&comparison)?;
    } else {
        write_text(&comparison, args.layers, &mut report)?;
    }
    report.finish()?;
    Ok(if comparison.same { Exit::Done } else { Exit::Failed })
}

fn write_text(comparison: &Comparison, with_layers: bool, report: &mut Report) -> Result<(), Failure> {
    if with_layers {
        write_layers(&comparison.layers, report)?;
    }
    for answer in &comparison.answers {
        report.line(answer_words(answer))?;
    }
    let Comparison { difference, tolerance, same, .. } = comparison;
    let verdict = if *same { "the same within" } else { "different by more than" };
    report.line(format_args!(
        "largest difference of the scores {:.3e}, {:.3e} of the largest value: {verdict} {tolerance:e}",
        difference.absolute, difference.relative
    ))
}

fn answer_words(answer: &Answer) -> String {
    let seen = match &answer.top {
        Some(top) => format!("{}, score {:.4}, {:.2} %", top.label, top.score, 100.0 * top.probability),
        None => "no class scores".to_string(),
    };
    format!("{}, {} of a picture of {}: {seen}", answer.net, answer.layer, dimensions(&answer.input))
}

fn write_layers(layers: &[LayerDifference], report: &mut Report) -> Result<(), Failure> {
    if layers.is_empty() {
        report.line("no layer has the same name and shape in both nets")?;
        return report.line("");
    }
    let header = ["layer", "", "output", "difference", "of the largest"];
    let mut rows = vec![header.map(str::to_string).to_vec()];
    rows.extend(layers.iter().map(|layer| {
        vec![
            layer.layer.clone(),
            if layer.same { String::new() } else { "differs".to_string() },
            dimensions(&layer.output),
            format!("{:.3e}", layer.difference.absolute),
            format!("{:.3e}", layer.difference.relative),
        ]
    }));
    table(&rows, 2).into_iter().try_for_each(|line| report.line(line))?;
    report.line("")?;
    if let Some(first) = layers.iter().find(|layer| !layer.same) {
        report.line(format_args!("the first layer that differs is {}", first.layer))?;
    }
    Ok(())
}
