//! Nets from files: bytes to [`Graph`](crate::nn::graph::Graph).
//!
//! What a file is, is told by its content, and by its extension only where that says nothing ([`FileKind`]). Files that
//! belong together are found ([`load_files`]); one importer a format makes an [`Imported`] of them, in which the file's
//! silence stays visible; what is silent is said by the user ([`LoadOptions`]), known of published nets, or assumed, and
//! every assumption is told ([`Loaded::notes`]).

pub mod architectures;
mod beside;
pub mod caffe;
pub mod convnetjs;
mod error;
mod finish;
mod import;
mod imported;
mod known;
mod labels;
pub mod lasagne;
mod load;
pub mod matconvnet;
pub mod native;
pub mod netfile;
pub mod onnx;
mod options;
pub mod pickle;
mod pieces;
pub mod pytorch;
mod save;
mod sniff;
pub mod tensorflow;
mod wire;

pub use error::{FormatError, ImportError};
pub use imported::{FoundPreprocess, Imported};
pub use load::{Loaded, load, load_files};
pub use native::{NativeError, Precision};
pub use options::LoadOptions;
pub use save::{SaveFormat, save};
pub use sniff::{FileKind, NET_EXTENSIONS};

/// Files beyond this (4 GiB) are not read: a net is held in memory whole.
pub const MAX_FILE_BYTES: u64 = 1 << 32;
