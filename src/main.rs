//! The program: everything is in the library.

use std::path::PathBuf;

use oneiric::{cli, gui};

fn main() -> std::process::ExitCode {
    cli::main(open_window)
}

fn open_window(files: Vec<PathBuf>, threads: Option<usize>) -> anyhow::Result<()> {
    Ok(gui::run(gui::Desktop { files, threads })?)
}
