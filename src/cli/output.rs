//! What a command says to its reader: lines for people or JSON for programs, on stdout or in a file.

use std::fmt::Display;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use serde::Serialize;

use super::failure::Failure;
use crate::base::atomic;
use crate::formats::LoadOptions;
use crate::tasks::destination::is_same_file;

/// Takes a command's results.
pub struct Report {
    json: bool,
    target: Target,
}

enum Target {
    Stdout,
    /// Collected, and written whole at the end.
    File {
        path: PathBuf,
        text: Vec<u8>,
    },
}

impl Report {
    /// A report on stdout.
    pub fn to_stdout(json: bool) -> Self {
        Self { json, target: Target::Stdout }
    }

    /// A report in a file, or on stdout without one.
    pub fn to_file_or_stdout(json: bool, path: Option<&Path>) -> Self {
        let target = path.map_or(Target::Stdout, |path| Target::File { path: path.to_path_buf(), text: Vec::new() });
        Self { json, target }
    }

    /// Whether programs read this, one JSON object a line.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// One line for people. Nothing in JSON.
    pub fn line(&mut self, text: impl Display) -> Result<(), Failure> {
        if self.json { Ok(()) } else { self.write(&format!("{text}\n")) }
    }

    /// One JSON object. Nothing for people.
    pub fn object(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        if !self.json {
            return Ok(());
        }
        let text = serde_json::to_string(value).context("cannot write JSON").map_err(Failure::Running)?;
        self.write(&format!("{text}\n"))
    }

    fn write(&mut self, text: &str) -> Result<(), Failure> {
        match &mut self.target {
            Target::File { text: collected, .. } => {
                collected.extend_from_slice(text.as_bytes());
                Ok(())
            }
            Target::Stdout => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(stdout_failure)
            }
        }
    }

    /// Ends the report: a file is written now, whole or not at all.
    pub fn finish(self) -> Result<(), Failure> {
        match self.target {
            Target::Stdout => Ok(()),
            Target::File { path, text } => atomic::write(&path, &text).map_err(|error| unwritten(&path, error)),
        }
    }
}

/// Why a file is not written: its path is at fault where there can be no file, or else the machine.
pub fn unwritten(path: &Path, error: io::Error) -> Failure {
    use io::ErrorKind::{AlreadyExists, InvalidFilename, InvalidInput, IsADirectory, NotADirectory, NotFound};
    let kinds = [AlreadyExists, InvalidFilename, InvalidInput, IsADirectory, NotADirectory, NotFound];
    let is_of_path = path.is_dir() || kinds.contains(&error.kind());
    let error = anyhow::Error::new(error).context(format!("cannot write {}", path.display()));
    if is_of_path { Failure::Input(error) } else { Failure::Running(error) }
}

fn stdout_failure(error: io::Error) -> Failure {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Failure::NobodyReads;
    }
    Failure::running(anyhow::Error::new(error).context("cannot write to the standard output"))
}

/// Refuses to write over what is read: these files, and those that the options of the net name. `argument` names the file
/// that is written.
pub fn spare(read: &[&Path], options: &LoadOptions, written: &Path, argument: &str) -> Result<(), Failure> {
    let architecture = options.architecture.as_deref().map(Path::new);
    let named = [options.labels.as_deref(), options.weights.as_deref(), architecture].into_iter().flatten();
    if read.iter().copied().chain(named).any(|read| is_same_file(read, written)) {
        let problem = "is what is read: choose another name for";
        return Err(Failure::Input(anyhow!("{} {problem} {argument}", written.display())));
    }
    Ok(())
}

/// Writes bytes to stdout, for what has no lines.
pub fn to_stdout(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(stdout_failure)
}

/// `1234567` as `1,234,567`.
pub fn with_commas(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3 + 1);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Lays out rows in columns: the first columns left-aligned, the rest right-aligned.
pub fn table(rows: &[Vec<String>], left_aligned: usize) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let lay_out = |row: &Vec<String>| {
        let cell = |(column, text): (usize, &String)| {
            let width = widths[column];
            if column < left_aligned { format!("{text:<width$}") } else { format!("{text:>width$}") }
        };
        row.iter().enumerate().map(cell).collect::<Vec<_>>().join("  ").trim_end().to_string()
    };
    rows.iter().map(lay_out).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_numbers_have_commas() {
        let cases = [(0, "0"), (999, "999"), (1000, "1,000"), (4_652_008, "4,652,008")];
        for (number, text) in cases {
            assert_eq!(with_commas(number), text);
        }
    }

    #[test]
    fn what_is_read_is_not_written_over() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let [net, labels, net_file, weights] = ["net", "labels", "net-file", "weights"].map(|name| {
            let path = folder.path().join(name);
            std::fs::write(&path, "x").expect("can write");
            path
        });
        let options = LoadOptions {
            labels: Some(labels.clone()),
            architecture: Some(net_file.to_string_lossy().into_owned()),
            weights: Some(weights.clone()),
            ..LoadOptions::default()
        };
        for read in [&net, &labels, &net_file, &weights] {
            let written = folder.path().join(".").join(read.file_name().expect("it has a name"));
            let refused = spare(&[&net], &options, &written, "OUT");
            let Err(Failure::Input(error)) = refused else { panic!("{refused:?}") };
            assert!(error.to_string().ends_with("choose another name for OUT"), "{error}");
        }
        assert!(spare(&[&net], &options, &folder.path().join("other"), "OUT").is_ok());
        assert!(spare(&[&net], &LoadOptions::default(), &labels, "OUT").is_ok());
    }

    #[test]
    fn a_path_that_can_be_no_file_is_the_user_s_mistake_and_a_full_disk_is_not() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        std::fs::write(folder.path().join("plain"), "x").expect("can write");
        for path in [folder.path().to_path_buf(), folder.path().join("plain").join("x")] {
            let error = atomic::write(&path, b"x").expect_err("no file can be there");
            assert!(matches!(unwritten(&path, error), Failure::Input(_)), "{}", path.display());
        }
        for kind in [io::ErrorKind::StorageFull, io::ErrorKind::PermissionDenied] {
            assert!(matches!(unwritten(&folder.path().join("x"), kind.into()), Failure::Running(_)), "{kind}");
        }
    }

    #[test]
    fn columns_are_aligned_by_characters() {
        let rows = [vec!["a".to_string(), "1×1".to_string()], vec!["long".to_string(), "11×11".to_string()]];
        assert_eq!(table(&rows, 1), ["a       1×1", "long  11×11"]);
    }
}
