//! The net as a drawing.

use std::path::Path;

use serde::Serialize;

use super::{InspectArgs, is_stdout, size_px};
use crate::base::atomic;
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::{Report, to_stdout, unwritten};
use crate::nn::graph::Graph;
use crate::tasks::inspect::{dot, inspect, svg};

#[derive(Serialize)]
struct Line {
    format: &'static str,
    file: String,
    layers: usize,
}

pub fn run(args: &InspectArgs, graph: &Graph) -> Result<Exit, Failure> {
    let inspection = inspect(graph, size_px(args)).map_err(Failure::input)?;
    let mut report = Report::to_stdout(args.common.json);
    // Where stdout carries a drawing it carries nothing else.
    let tells = ![&args.dot, &args.svg].into_iter().flatten().any(|path| is_stdout(path));
    let layers = inspection.totals.layers;
    let mut write = |format, path: &Path, text: String| -> Result<(), Failure> {
        if is_stdout(path) {
            return to_stdout(text.as_bytes());
        }
        atomic::write(path, text.as_bytes()).map_err(|error| unwritten(path, error))?;
        let file = path.to_string_lossy().into_owned();
        if tells {
            report.line(format_args!("{file} ({} with {layers} layers)", graph.name()))?;
            report.object(&Line { format, file, layers })?;
        }
        Ok(())
    };
    if let Some(path) = &args.dot {
        write("dot", path, dot(graph, &inspection))?;
    }
    if let Some(path) = &args.svg {
        write("svg", path, svg(graph, &inspection))?;
    }
    report.finish()?;
    Ok(Exit::Done)
}
