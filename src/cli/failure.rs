//! How a command ends: exit codes, and the one sentence on stderr that goes with them.

use std::any::Any;
use std::io::Write as _;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

use anyhow::anyhow;

use crate::base::text::one_line;
use crate::imageio::ImageError;

/// How a command ended; the numbers are the program's exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Done = 0,
    /// Failed while running.
    Failed = 1,
    /// Wrong arguments or input.
    BadInput = 2,
    /// Stopped by Ctrl-C; what was there is saved.
    Interrupted = 130,
}

impl Exit {
    /// Of two ends the one to tell: a failure of the run before one of the input, both before success.
    pub fn or_worse(self, other: Self) -> Self {
        let badness = |exit: Self| match exit {
            Self::Done => 0,
            Self::BadInput => 1,
            Self::Failed => 2,
            Self::Interrupted => 3,
        };
        if badness(other) > badness(self) { other } else { self }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command could not go on.
#[derive(Debug)]
pub enum Failure {
    /// The arguments or the files are at fault.
    Input(anyhow::Error),
    /// The machine or this program is.
    Running(anyhow::Error),
    /// The reader of our standard output has gone, as in `oneiric inspect | head`: nothing is wrong.
    NobodyReads,
}

impl Failure {
    /// Blames the user's arguments or files.
    pub fn input(error: impl Into<anyhow::Error>) -> Self {
        Self::Input(error.into())
    }

    /// Blames the run.
    pub fn running(error: impl Into<anyhow::Error>) -> Self {
        Self::Running(error.into())
    }

    /// Says what is wrong on stderr, in one line, and which exit code it means.
    pub fn report(&self) -> Exit {
        match self {
            Self::Input(error) => {
                complain(&one_line(error.as_ref()));
                Exit::BadInput
            }
            Self::Running(error) => {
                complain(&one_line(error.as_ref()));
                Exit::Failed
            }
            Self::NobodyReads => Exit::Done,
        }
    }
}

impl From<ImageError> for Failure {
    fn from(error: ImageError) -> Self {
        if error.is_of_machine() { Self::running(error) } else { Self::input(error) }
    }
}

/// Writes one sentence to stderr. Where stderr is closed there is nobody to tell.
pub fn complain(sentence: &str) {
    let _ = writeln!(std::io::stderr(), "oneiric: {sentence}");
}

/// Where in the source a thread panicked last.
static PANICKED_AT: Mutex<Option<String>> = Mutex::new(None);

/// Runs `body`; a panic in it becomes a [`Failure`] that asks to report the bug, without a backtrace.
pub fn catch_panics(body: impl FnOnce() -> Result<Exit, Failure>) -> Result<Exit, Failure> {
    panic::set_hook(Box::new(|info: &PanicHookInfo<'_>| {
        let place = info.location().map(|place| format!(" at {}:{}", place.file(), place.line()));
        *PANICKED_AT.lock().unwrap_or_else(PoisonError::into_inner) = place;
    }));
    let outcome = panic::catch_unwind(AssertUnwindSafe(body));
    // Back to the default hook.
    let _ = panic::take_hook();
    outcome.unwrap_or_else(|payload| Err(bug(panic_message(payload.as_ref()))))
}

/// What to say of a panic, on this thread or another.
pub fn bug(message: &str) -> Failure {
    let place = PANICKED_AT.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default();
    Failure::Running(anyhow!("this is a bug, please report it: {message}{place}"))
}

fn panic_message(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("a panic without a message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_not_the_user_s_mistake() {
        let path = std::path::PathBuf::from("dream.png");
        let full = Failure::from(ImageError::DiskFull { path: path.clone() });
        assert!(matches!(full, Failure::Running(_)), "{full:?}");
        let folder = Failure::from(ImageError::OutputIsFolder { path });
        assert!(matches!(folder, Failure::Input(_)), "{folder:?}");
    }

    #[test]
    fn a_panic_is_a_failure_that_names_its_place() {
        let outcome = catch_panics(|| panic!("lost the thread"));
        let Err(Failure::Running(error)) = outcome else { panic!("{outcome:?}") };
        let text = one_line(error.as_ref());
        assert!(text.contains("lost the thread at ") && text.contains("failure.rs:"), "{text}");
    }
}
