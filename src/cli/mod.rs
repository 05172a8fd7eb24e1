//! The command line: arguments to specs, specs to jobs, progress bars, exit codes.

use std::process::ExitCode;

use crate::base::parallel;

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
mod output;
mod progress;

use args::{Cli, Command};
use failure::{Exit, Failure, catch_panics, complain};

/// Runs the program as the process's arguments ask.
pub fn main() -> ExitCode {
    let cli = match Cli::from_process() {
        Ok(cli) => cli,
        Err(error) => return refuse(&error).into(),
    };
    let Some(command) = cli.command else {
        // Where nobody reads there is nobody to tell.
        let _ = Cli::definition().print_help();
        return Exit::Done.into();
    };
    catch_panics(|| run(&command)).unwrap_or_else(|failure| failure.report()).into()
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

fn run(command: &Command) -> Result<Exit, Failure> {
    parallel::configure(command.common().threads);
    match command {
        Command::Dream(args) => dream::run(args),
        Command::Classify(args) => classify::run(args),
        Command::Inspect(args) => inspect::run(args),
        Command::Bench(args) => bench::run(args),
    }
}
