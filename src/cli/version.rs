//! `oneiric --version --verbose`: what this build is, and what it uses of the machine.

use std::ffi::OsString;

use super::failure::{Exit, Failure};
use super::output::Report;
use crate::base::simd::Level;
use crate::base::{blas, parallel};

/// Whether the arguments are these two, in either order.
pub fn is_asked_for(arguments: impl Iterator<Item = OsString>) -> bool {
    let arguments: Vec<OsString> = arguments.collect();
    let any_of = |names: [&str; 2]| arguments.iter().any(|argument| names.iter().any(|name| argument == name));
    arguments.len() == 2 && any_of(["--version", "-V"]) && any_of(["--verbose", "-v"])
}

pub fn print() -> Result<Exit, Failure> {
    let mut report = Report::to_stdout(false);
    lines().into_iter().try_for_each(|line| report.line(line))?;
    report.finish()?;
    Ok(Exit::Done)
}

fn lines() -> Vec<String> {
    let available: Vec<&str> = Level::available().into_iter().map(Level::description).collect();
    let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
    vec![
        format!("oneiric {}", env!("CARGO_PKG_VERSION")),
        format!("instruction set: {} (available: {})", Level::active().description(), available.join(", ")),
        format!("threads: {}", parallel::threads()),
        format!("BLAS: {}", blas::description()),
        format!("build: {profile}, {}-{}", std::env::consts::ARCH, std::env::consts::OS),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_both_words_ask_for_it() {
        let asks = |line: &str| is_asked_for(line.split_whitespace().map(OsString::from));
        assert!(asks("--version --verbose") && asks("--verbose -V"));
        for line in ["--version", "--verbose", "dream --version --verbose", ""] {
            assert!(!asks(line), "{line}");
        }
    }

    #[test]
    fn every_line_says_something() {
        for line in lines() {
            assert!(line.lines().count() == 1 && !line.ends_with(": "), "{line}");
        }
    }
}
