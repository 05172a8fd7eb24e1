//! Why a task did not do what was asked.

use std::error::Error;
use std::fmt;

type Source = Box<dyn Error + Send + Sync>;

/// A failure, and whose it is: the distinction that exit codes are made of.
#[derive(Debug)]
pub enum TaskError {
    /// The arguments, the files or the net that the user gave cannot be used; found before any work was done.
    Input(Source),
    /// Something failed while the task ran.
    Run(Source),
}

impl TaskError {
    pub fn input(source: impl Into<Source>) -> Self {
        Self::Input(source.into())
    }

    pub fn run(source: impl Into<Source>) -> Self {
        Self::Run(source.into())
    }

    /// 2 for wrong arguments or input, 1 for a failure on the way.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Input(_) => 2,
            Self::Run(_) => 1,
        }
    }
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Input(source) | Self::Run(source)) = self;
        source.fmt(f)
    }
}

impl Error for TaskError {
    /// The message is the inner error's own, so the chain goes on behind it.
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        let (Self::Input(source) | Self::Run(source)) = self;
        source.source()
    }
}
