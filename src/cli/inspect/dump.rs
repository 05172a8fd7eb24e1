//! What layers compute on a photo, as NumPy files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::anyhow;
use serde::Serialize;

use super::{InspectArgs, input_of, is_stdout, load, memory};
use crate::base::atomic;
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::{Report, to_stdout, unwritten};
use crate::nn::graph::Graph;
use crate::tasks::inspect::describe::dimensions;
use crate::tasks::inspect::{Dump, Dumper, FileNames, Objective, file_names, npy};

const ENDING: &str = ".npy";

/// One layer's line of JSON.
#[derive(Serialize)]
struct Line<'a> {
    layer: &'a str,
    shape: &'a [usize],
    file: String,
    /// `None` where the objective does not depend on the layer.
    gradient_file: Option<String>,
}

#[derive(Serialize)]
struct ObjectiveLine {
    objective: String,
    value: f64,
}

pub fn run(args: &InspectArgs, graph: &Arc<Graph>, photo: &Path) -> Result<Exit, Failure> {
    let objective = match &args.class {
        Some(class) => Objective::of_class(graph, class),
        None => Objective::of_layer(graph, args.layer.as_deref()),
    };
    let objective = objective.map_err(Failure::input)?;
    let input = input_of(args, graph, &load(args, photo)?)?;
    let dumper = Dumper::new(graph, &input, &args.dump, objective, memory(args)).map_err(Failure::input)?;
    if args.out.as_deref().is_some_and(is_stdout) {
        let mut bytes = Vec::new();
        for dump in dumper.dumps() {
            npy::write(&mut bytes, &dump.shape, &dump.values).map_err(Failure::running)?;
        }
        to_stdout(&bytes)?;
        return Ok(Exit::Done);
    }
    let files = files(&dumper.names(), args.out.as_deref())?;
    let mut report = Report::to_stdout(args.common.json);
    for (dump, (values, gradient)) in dumper.dumps().zip(&files) {
        write_layer(&dump, values, gradient, &mut report)?;
    }
    let (objective, value) = (objective.words(graph), dumper.objective());
    report.line(format_args!("derivatives are those of {objective}, which is {value:.6e}"))?;
    report.object(&ObjectiveLine { objective, value })?;
    report.finish()?;
    Ok(Exit::Done)
}

/// The files of values and derivatives, one pair a layer.
fn files(layers: &[&str], out: Option<&Path>) -> Result<Vec<(PathBuf, PathBuf)>, Failure> {
    let refuse = |out: &Path, problem: &str| Err(Failure::Input(anyhow!("{} {problem}", out.display())));
    let folder = out.unwrap_or(Path::new(""));
    let text = folder.to_string_lossy();
    if text.ends_with(ENDING) && !folder.is_dir() {
        let &[_] = layers else {
            return refuse(folder, "is one file, but several layers need a folder: give --out a folder");
        };
        let stem = folder.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        return Ok(vec![(folder.to_path_buf(), folder.with_file_name(format!("{stem}.grad{ENDING}")))]);
    }
    if folder.is_file() {
        return refuse(folder, "is a file: give --out a folder, or a name that ends in .npy");
    }
    let in_folder = |FileNames { values, gradient }: FileNames| (folder.join(values), folder.join(gradient));
    Ok(file_names(layers).into_iter().map(in_folder).collect())
}

fn write_layer(dump: &Dump, values: &Path, gradient: &Path, report: &mut Report) -> Result<(), Failure> {
    write_file(values, &dump.shape, &dump.values)?;
    if let Some(derivative) = &dump.gradient {
        write_file(gradient, &dump.shape, derivative)?;
    }
    let told = |path: &Path| path.to_string_lossy().into_owned();
    let gradient_file = dump.gradient.as_ref().map(|_| told(gradient));
    let with_gradient = match &gradient_file {
        Some(file) => format!(" and {file}"),
        None => ", no derivative: what is differentiated does not depend on it".to_string(),
    };
    report.line(format_args!("{} ({}): {}{with_gradient}", dump.layer, dimensions(&dump.shape), told(values)))?;
    report.object(&Line { layer: &dump.layer, shape: &dump.shape, file: told(values), gradient_file })
}

fn write_file(path: &Path, shape: &[usize], values: &[f32]) -> Result<(), Failure> {
    atomic::write_with(path, |file| npy::write(file, shape, values)).map_err(|error| unwritten(path, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn out_is_a_file_for_one_layer_and_a_folder_for_more() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("plain"), "x").expect("can write");
        let pair = |values: &str, gradient: &str| Some(vec![(at(values), at(gradient))]);
        let made = |layers: &[&str], out: &str| files(layers, Some(&at(out))).ok();
        assert_eq!(made(&["a/b"], "x.npy"), pair("x.npy", "x.grad.npy"));
        assert_eq!(made(&["a/b"], "new"), pair("new/a-b.npy", "new/a-b.grad.npy"));
        assert_eq!(made(&["a", "b"], "x.npy"), None);
        assert_eq!(made(&["a"], "plain"), None);
        let here = files(&["a"], None).expect("the present folder");
        assert_eq!(here, [(PathBuf::from("a.npy"), PathBuf::from("a.grad.npy"))]);
    }
}
