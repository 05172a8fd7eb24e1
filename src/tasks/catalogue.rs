//! Where nets are found: those that ship by name, all others by path.

use std::path::Path;
use std::sync::Arc;

use crate::formats::{self, FormatError, NativeError, native};
use crate::nn::graph::Graph;

/// A net that is part of the program.
#[derive(Debug)]
pub struct Entry {
    pub name: &'static str,
    /// Other names that open it.
    pub aliases: &'static [&'static str],
    /// What it is, in one line.
    pub summary: &'static str,
    bytes: &'static [u8],
}

/// The net that is used where none is named.
pub const DEFAULT: &str = "efficientnet-lite0";

static ENTRIES: [Entry; 1] = [Entry {
    name: DEFAULT,
    aliases: &["lite0"],
    summary: "EfficientNet-Lite0, trained on ImageNet: small and fast, 1000 classes",
    bytes: include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/models/efficientnet-lite0.safetensors")),
}];

#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    #[error("there is no net `{name}`: it is neither a file nor one of {}", .known.join(", "))]
    Unknown { name: String, known: Vec<&'static str> },
    #[error("the built-in net `{name}` cannot be read: {source}")]
    BuiltIn { name: &'static str, source: NativeError },
    #[error(transparent)]
    File(#[from] FormatError),
}

impl Entry {
    fn answers_to(&self, name: &str) -> bool {
        self.aliases.iter().chain([&self.name]).any(|known| known.eq_ignore_ascii_case(name))
    }

    /// Reads the net.
    pub fn open(&self) -> Result<Graph, CatalogueError> {
        native::read(self.bytes).map_err(|source| CatalogueError::BuiltIn { name: self.name, source })
    }
}

/// All nets that can be opened by name.
pub fn entries() -> &'static [Entry] {
    &ENTRIES
}

/// Opens a net by name or path. Names come first: a file called `lite0` is opened as `./lite0`.
pub fn open(name_or_path: &str) -> Result<Arc<Graph>, CatalogueError> {
    if let Some(entry) = ENTRIES.iter().find(|entry| entry.answers_to(name_or_path)) {
        return Ok(Arc::new(entry.open()?));
    }
    let path = Path::new(name_or_path);
    let looks_like_a_path = path.components().count() > 1 || path.extension().is_some();
    if !looks_like_a_path && !path.exists() {
        let known = ENTRIES.iter().map(|entry| entry.name).collect();
        return Err(CatalogueError::Unknown { name: name_or_path.into(), known });
    }
    Ok(Arc::new(formats::load(path)?))
}
