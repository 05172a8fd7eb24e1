//! Where nets are found: those that ship, those that are installed, those that can be fetched, and all others by path.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::formats::{self, FormatError, LoadOptions, Loaded, NativeError, native};
use crate::nn::graph::Graph;
use crate::tasks::home::{Home, HomeError};

mod archive;
mod checksum;
mod download;
mod fetch;
mod listing;
mod manifest;
mod names;
mod published;
mod store;
#[cfg(test)]
mod tests;

pub use archive::ArchiveError;
pub use download::{DownloadError, Patience};
pub use fetch::{Fetch, FetchError, Fetched, MIRROR_VARIABLE, Progress, Stage, fetch};
pub use listing::{Listing, State, list};
pub use manifest::{Entry as FileEntry, Manifest, Options as StoredOptions};
pub use names::NameError;
pub use published::{Dreams, Labels, Member, Preset, Published, Remote, Size, Sum, Task};
pub use store::{Added, Installed, Store, StoreError};

/// A net that is part of the program.
#[derive(Debug)]
pub struct Entry {
    pub name: &'static str,
    /// Other names that open it.
    pub aliases: &'static [&'static str],
    /// What it is, in one line.
    pub summary: &'static str,
    pub licence: &'static str,
    pub task: Task,
    /// As for [`Published::top_1`].
    pub top_1: Option<f32>,
    pub dreams: Dreams,
    bytes: &'static [u8],
}

/// The net that is used where none is named.
pub const DEFAULT: &str = "efficientnet-lite0";

static ENTRIES: [Entry; 1] = [Entry {
    name: DEFAULT,
    aliases: &["lite0"],
    summary: "EfficientNet-Lite0, trained on ImageNet: small and fast, 1000 classes",
    licence: "Apache-2.0",
    task: Task::ImageNet,
    top_1: Some(75.1),
    dreams: Dreams::Well,
    bytes: include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/models/efficientnet-lite0.safetensors")),
}];

#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    #[error("there is no net `{name}`: it is neither a file nor one of {}", .known.join(", "))]
    Unknown { name: String, known: Vec<String> },
    #[error("`{0}` is not installed: fetch it with `oneiric nets get {0}` (a file of that name is opened as ./{0})")]
    NotInstalled(&'static str),
    #[error("the built-in net `{name}` cannot be read: {source}")]
    BuiltIn { name: &'static str, source: NativeError },
    #[error("the built-in net `{0}` is used as it is: a mean, a file of labels and the like go with other nets only")]
    BuiltInOptions(&'static str),
    #[error(transparent)]
    Home(#[from] HomeError),
    #[error(transparent)]
    Installed(#[from] StoreError),
    #[error(transparent)]
    File(#[from] FormatError),
}

/// A net, opened.
#[derive(Clone, Debug)]
pub struct Opened {
    pub graph: Arc<Graph>,
    /// Whole sentences about what was assumed of its files, for the user to read.
    pub notes: Vec<String>,
    /// All files that were read; none of a built-in net.
    pub files: Vec<PathBuf>,
}

impl Opened {
    fn of(loaded: Loaded) -> Self {
        let Loaded { graph, notes, files } = loaded;
        Self { graph: Arc::new(graph), notes, files }
    }
}

impl Entry {
    fn answers_to(&self, name: &str) -> bool {
        self.aliases.iter().chain([&self.name]).any(|known| known.eq_ignore_ascii_case(name))
    }

    /// How many bytes of the program it is.
    pub fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Reads the net.
    pub fn open(&self) -> Result<Graph, CatalogueError> {
        native::read(self.bytes).map_err(|source| CatalogueError::BuiltIn { name: self.name, source })
    }
}

/// All nets that are part of the program.
pub fn entries() -> &'static [Entry] {
    &ENTRIES
}

/// The net of this name or alias that is part of the program.
pub fn built_in(name: &str) -> Option<&'static Entry> {
    ENTRIES.iter().find(|entry| entry.answers_to(name))
}

/// Opens a net by name or path, as its files are. Names come first: a file called `lite0` is opened as `./lite0`.
pub fn open(name_or_path: &str) -> Result<Arc<Graph>, CatalogueError> {
    Ok(open_with(name_or_path, &LoadOptions::default())?.graph)
}

/// Opens a net by name or path; the options go before what is known of it.
///
/// # Errors
/// When there is no such net, it can be fetched but is not installed, or it cannot be read.
pub fn open_with(name_or_path: &str, options: &LoadOptions) -> Result<Opened, CatalogueError> {
    if let Some(entry) = built_in(name_or_path) {
        // A size is only for files that do not say theirs.
        if !(LoadOptions { size_px: None, ..options.clone() }).is_silent() {
            return Err(CatalogueError::BuiltInOptions(entry.name));
        }
        return Ok(Opened { graph: Arc::new(entry.open()?), notes: Vec::new(), files: Vec::new() });
    }
    let path = Path::new(name_or_path);
    let has_folder = path.components().count() > 1;
    if !has_folder && names::checked(name_or_path).is_ok() {
        // A user without a home has no nets there.
        let store = Home::find().ok().map(|home| Store::of(&home));
        let net = Published::find(name_or_path);
        let name = net.map_or(name_or_path, |net| net.name);
        if let Some(installed) = store.map(|store| store.find(name)).transpose()?.flatten() {
            return Ok(Opened::of(installed.open(options)?));
        }
        if let Some(net) = net {
            return Err(CatalogueError::NotInstalled(net.name));
        }
    }
    let looks_like_a_path = has_folder || path.extension().is_some();
    if !looks_like_a_path && !path.exists() {
        return Err(unknown(name_or_path));
    }
    Ok(Opened::of(formats::load_files(&[path.to_path_buf()], options)?))
}

/// What to say of a name that nothing has.
fn unknown(name: &str) -> CatalogueError {
    let built_in = ENTRIES.iter().map(|entry| entry.name.to_string());
    let installed = Home::find().map(|home| Store::of(&home).installed().0).unwrap_or_default();
    let installed = installed.into_iter().map(|net| net.manifest.name);
    let mut known: Vec<String> = built_in.chain(installed).collect();
    let more = Published::all().iter().map(|net| net.name.to_string()).filter(|name| !known.contains(name));
    let more: Vec<String> = more.collect();
    known.extend(more);
    CatalogueError::Unknown { name: name.into(), known }
}
