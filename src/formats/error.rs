//! Why a net cannot be read or written.

use std::io;
use std::path::PathBuf;

use super::{FileKind, MAX_FILE_BYTES, NativeError};
use crate::nn::graph::GraphError;

/// Why a net cannot be read from a file or written to one.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    #[error("cannot read {}: {source}", .path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is {what}, not a file", .path.display())]
    NotAFile { path: PathBuf, what: &'static str },
    #[error("no file of a net is given")]
    NoFiles,
    #[error("{} has {bytes} bytes; nets of more than {MAX_FILE_BYTES} bytes are not read", .path.display())]
    TooLarge { path: PathBuf, bytes: u64 },
    #[error("{} is {found}, not a net that can be read; these can: {}", .path.display(), FileKind::READABLE)]
    Unsupported { path: PathBuf, found: FileKind },
    #[error("{}: {source}", .path.display())]
    Native { path: PathBuf, source: NativeError },
    #[error("{}: {source}", .path.display())]
    Import { path: PathBuf, source: ImportError },
    #[error("{} and {} do not belong to one net: {reason}", .paths[0].display(), .paths[1].display())]
    NotOneNet { paths: Box<[PathBuf; 2]>, reason: String },
    #[error("{}: {reason}", .path.display())]
    Labels { path: PathBuf, reason: String },
    #[error("cannot write {}: {source}", .path.display())]
    Write { path: PathBuf, source: io::Error },
}

/// Why bytes of a foreign format are not a net that can run. The file is named by [`FormatError`].
///
/// Text from a file is shortened by [`ImportError::brief`] before it gets in here.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ImportError {
    /// Ends before something that it announced.
    #[error("the file is cut short: {0}")]
    CutShort(String),
    /// Contradicts itself or its format.
    #[error("the file is damaged: {0}")]
    Damaged(String),
    /// Of a kind that the format allows and nobody here reads. Says what to do where there is something.
    #[error("{0}")]
    Unsupported(String),
    /// More than is read of any file; says what, and the bound.
    #[error("{0}")]
    TooLarge(String),
    /// What the user must say or give in addition.
    #[error("{0}")]
    Needs(String),
    /// A layer or node of the file that cannot become part of a net.
    #[error("layer `{layer}`: {reason}")]
    Layer { layer: String, reason: String },
    /// A blob, tensor or field that is wrong.
    #[error("`{field}`: {reason}")]
    Field { field: String, reason: String },
    #[error(transparent)]
    Graph(#[from] GraphError),
}

impl ImportError {
    pub fn layer(layer: &str, reason: impl Into<String>) -> Self {
        Self::Layer { layer: Self::brief(layer), reason: reason.into() }
    }

    pub fn field(field: &str, reason: impl Into<String>) -> Self {
        Self::Field { field: Self::brief(field), reason: reason.into() }
    }

    /// The start of a text that a file may have made up, printable and on one line.
    pub fn brief(text: &str) -> String {
        const SHOWN_CHARS: usize = 120;
        let mut shown: String =
            text.chars().take(SHOWN_CHARS).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
        if text.chars().nth(SHOWN_CHARS).is_some() {
            shown.push('…');
        }
        shown
    }
}
