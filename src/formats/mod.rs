//! Nets from files: bytes to [`Graph`].
//!
//! What a file is, is told by its first bytes, and by its extension only where a format has no signature.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::nn::graph::Graph;

pub mod architectures;
pub mod caffe;
pub mod convnetjs;
mod error;
mod imported;
pub mod lasagne;
pub mod matconvnet;
pub mod native;
pub mod netfile;
pub mod onnx;
mod options;
pub mod pickle;
pub mod pytorch;
mod sniff;
pub mod tensorflow;

pub use error::{FormatError, ImportError};
pub use imported::{FoundPreprocess, Imported};
pub use native::{NativeError, Precision};
pub use options::LoadOptions;
pub use sniff::FileKind;

/// Files beyond this (4 GiB) are not read: a net is held in memory whole.
pub const MAX_FILE_BYTES: u64 = 1 << 32;

/// A net and what was assumed to read it.
pub struct Loaded {
    pub graph: Graph,
    /// Whole sentences for the user to read.
    pub notes: Vec<String>,
    /// All files that were read.
    pub files: Vec<PathBuf>,
}

/// Reads a net from its files.
pub fn load_files(paths: &[PathBuf], _options: &LoadOptions) -> Result<Loaded, FormatError> {
    let path = paths.first().cloned().unwrap_or_default();
    Ok(Loaded { graph: load(&path)?, notes: Vec::new(), files: vec![path] })
}

/// Reads a net of any known format.
pub fn load(path: &Path) -> Result<Graph, FormatError> {
    let read_error = |source| FormatError::Read { path: path.into(), source };
    // Asked before opening: opening a pipe would wait for its writer.
    let metadata = std::fs::metadata(path).map_err(read_error)?;
    if !metadata.is_file() {
        let what = if metadata.is_dir() { "a folder" } else { "a device or a pipe" };
        return Err(FormatError::NotAFile { path: path.into(), what });
    }
    let mut file = File::open(path).map_err(read_error)?;
    let mut bytes = Vec::new();
    file.by_ref().take(sniff::PREFIX_BYTES as u64).read_to_end(&mut bytes).map_err(read_error)?;
    let found = FileKind::of(&bytes, path);
    if found != FileKind::Safetensors {
        return Err(FormatError::Unsupported { path: path.into(), found });
    }
    if metadata.len() > MAX_FILE_BYTES {
        return Err(FormatError::TooLarge { path: path.into(), bytes: metadata.len() });
    }
    let rest = metadata.len().saturating_sub(bytes.len() as u64);
    bytes.try_reserve_exact(rest as usize).map_err(|_| read_error(io::ErrorKind::OutOfMemory.into()))?;
    file.take(rest).read_to_end(&mut bytes).map_err(read_error)?;
    native::read(&bytes).map_err(|source| FormatError::Native { path: path.into(), source })
}
