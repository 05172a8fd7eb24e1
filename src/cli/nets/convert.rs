//! `oneiric nets convert`: a net in another format.

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use serde::Serialize;

use crate::cli::args::ConvertArgs;
use crate::cli::failure::{Exit, Failure, complain};
use crate::cli::output::{Report, spare, unwritten};
use crate::formats::{self, FormatError, Precision, SaveFormat};
use crate::tasks::catalogue::{self, Opened};

#[derive(Serialize)]
struct Line<'a> {
    net: &'a str,
    file: String,
    format: &'static str,
    bytes: u64,
}

pub fn run(args: &ConvertArgs) -> Result<Exit, Failure> {
    let format = args.to.or_else(|| SaveFormat::of_path(&args.out)).ok_or_else(|| {
        let name = args.out.display();
        Failure::Input(anyhow!("{name} does not tell its format: end it in .safetensors or .onnx, or say --to FORMAT"))
    })?;
    let precision = if args.half { Precision::F16 } else { Precision::F32 };
    if args.half && format != SaveFormat::Native {
        return Err(Failure::Input(anyhow!("--half goes with native files only: {format} files hold 32-bit floats")));
    }
    let options = args.net_args.options(args.size);
    let Opened { graph, notes, files } = catalogue::open_with(&args.net, &options).map_err(Failure::input)?;
    if !args.speech.quiet {
        notes.iter().for_each(|note| complain(note));
    }
    let read: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
    spare(&read, &options, &args.out, "OUT")?;
    formats::save(&graph, &args.out, format, precision).map_err(|error| match error {
        FormatError::Write { path, source } => unwritten(&path, source),
        error => Failure::input(error),
    })?;
    let bytes = std::fs::metadata(&args.out).map(|metadata| metadata.len()).unwrap_or_default();
    let mut report = Report::to_stdout(args.speech.json);
    let (name, file) = (graph.name(), args.out.display().to_string());
    report.line(format_args!("{file}: {name} as {format}, {:.1} MB", bytes as f64 / 1e6))?;
    report.object(&Line { net: name, file, format: format.name(), bytes })?;
    report.finish()?;
    Ok(Exit::Done)
}
