//! The command line: arguments to specs, specs to jobs, progress bars, exit codes.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::base::parallel;
use crate::base::simd::Level;

mod animation;
mod args;
mod bench;
mod classify;
mod destination;
mod dream;
mod failure;
mod follow;
mod inspect;
mod interrupt;
mod net;
mod nets;
mod output;
mod progress;
mod transfer;
mod version;

use args::{Cli, Command};
use failure::{Exit, Failure, catch_panics, complain};

/// Files to open in the window, and how many threads may dream there.
pub type OpenWindow = fn(Vec<PathBuf>, Option<usize>) -> anyhow::Result<()>;

/// Runs the program as the process's arguments ask. `open_window` is what the window is opened with.
pub fn main(open_window: OpenWindow) -> ExitCode {
    if let Err(error) = Level::requested() {
        complain(&error.to_string());
        return Exit::BadInput.into();
    }
    if version::is_asked_for(std::env::args_os().skip(1)) {
        return catch_panics(version::print).unwrap_or_else(|failure| failure.report()).into();
    }
    let cli = match Cli::from_process() {
        Ok(cli) => cli,
        Err(error) => return refuse(&error).into(),
    };
    catch_panics(|| run(cli.command, open_window)).unwrap_or_else(|failure| failure.report()).into()
}

/// Help and the version go to stdout and are no error; a mistake is told in the program's own voice.
fn refuse(error: &clap::Error) -> Exit {
    if !error.use_stderr() {
        let _ = error.print();
        return Exit::Done;
    }
    complain(&one_sentence(&error.to_string()));
    Exit::BadInput
}

/// What the parser of arguments says is wrong, and its tips, on one line; not the usage that it goes on with.
fn one_sentence(text: &str) -> String {
    let text = text.strip_prefix("error: ").unwrap_or(text);
    let said = text.lines().map(str::trim).take_while(|line| !line.starts_with("Usage:"));
    said.filter(|line| !line.is_empty() && !line.starts_with("For more information")).collect::<Vec<_>>().join(" ")
}

/// Carries out a command; without one the window opens.
fn run(command: Option<Command>, open_window: OpenWindow) -> Result<Exit, Failure> {
    if let Some(common) = command.as_ref().and_then(Command::common) {
        parallel::configure(common.threads);
    }
    let window = |files, threads| open_window(files, threads).map(|()| Exit::Done).map_err(Failure::Running);
    match command {
        None => window(Vec::new(), None),
        Some(Command::Gui(args)) => window(args.files, args.threads),
        Some(Command::Dream(args)) => dream::run(&args),
        Some(Command::Classify(args)) => classify::run(&args),
        Some(Command::Inspect(args)) => inspect::run(&args),
        Some(Command::Nets(args)) => nets::run(&args.action),
        Some(Command::Bench(args)) => bench::run(&args),
    }
}
