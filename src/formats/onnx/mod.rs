//! ONNX, read and written: Open Neural Network Exchange, a protobuf of nodes, tensors and names.
//!
//! Read are inference graphs of opset 1 and newer whose one input is a picture (NCHW, or NHWC as TensorFlow's exporters
//! write it). What depends on weights and shapes alone is computed while reading, for one picture of the net's size;
//! transpositions, squeezes and the like become ways of looking at a node's output, so that they cancel.
//! Of quantized nets the weights are dequantized, and activations keep the range of their integers but not the rounding.
//!
//! Source: <https://onnx.ai/onnx/operators/>.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use super::{ImportError, Imported, LoadOptions};

mod budget;
mod call;
mod constant;
mod export;
mod fold;
mod importer;
mod input;
mod metadata;
mod ops;
mod proto;
mod sniff;
mod value;

pub use export::to_bytes;
pub use sniff::looks_like;

/// Reads bytes of files that lie beside the model (external data).
pub trait External {
    /// `length` bytes from `offset` on, or all that follows. `name` is a relative path that stays in the model's folder.
    fn read(&self, name: &str, offset: u64, length: Option<u64>) -> Result<Vec<u8>, ImportError>;
}

/// For models that come without a folder: every other file is missing.
pub struct Nowhere;

impl External for Nowhere {
    fn read(&self, name: &str, _offset: u64, _length: Option<u64>) -> Result<Vec<u8>, ImportError> {
        let name = ImportError::brief(name);
        Err(ImportError::Needs(format!("the net's weights lie in another file, `{name}`, which is not at hand")))
    }
}

/// The folder that a model lies in.
pub struct Folder<'a>(pub &'a Path);

impl External for Folder<'_> {
    fn read(&self, name: &str, offset: u64, length: Option<u64>) -> Result<Vec<u8>, ImportError> {
        let shown = ImportError::brief(name);
        let failed = |reason: std::io::Error| {
            ImportError::Needs(format!("the net's weights lie in `{shown}` beside it, which cannot be read: {reason}"))
        };
        let path = self.0.join(name);
        let metadata = std::fs::metadata(&path).map_err(failed)?;
        if !metadata.is_file() {
            return Err(ImportError::Needs(format!("the net's weights should lie in `{shown}`, which is not a file")));
        }
        let rest = metadata.len().saturating_sub(offset);
        let length = length.unwrap_or(rest);
        if length > rest {
            return Err(ImportError::CutShort(format!("`{shown}` has {} bytes and should have more", metadata.len())));
        }
        let mut file = File::open(&path).map_err(failed)?;
        file.seek(SeekFrom::Start(offset)).map_err(failed)?;
        let mut bytes = Vec::new();
        file.take(length).read_to_end(&mut bytes).map_err(failed)?;
        Ok(bytes)
    }
}

/// Reads a net from the bytes of a `.onnx` file.
pub fn read(bytes: &[u8], external: &dyn External, options: &LoadOptions) -> Result<Imported, ImportError> {
    importer::read(bytes, external, options)
}
