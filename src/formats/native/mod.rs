//! Oneiric's own net files: safetensors with the graph in the metadata (`models/README.md` describes the format).
//!
//! Reading trusts nothing: lengths are checked before they are used, memory is bounded by the file's size, names must be
//! printable, fields that are not understood are errors, and weights that are not finite are refused, because one NaN
//! would silently blank every picture.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

use safetensors::{Dtype, SafeTensorError, SafeTensors};

use super::FormatError;
use crate::base::atomic;
use crate::nn::graph::{Graph, GraphError, Param};

mod document;
mod weights;

pub use weights::Precision;

/// The version of the format that is written and read.
pub const VERSION: u32 = 1;

/// Longer headers are not read: the largest nets of today need a tenth of this.
pub const MAX_HEADER_BYTES: u64 = 8 << 20;

/// The key of the net's description in a safetensors file's metadata.
const METADATA_KEY: &str = "oneiric";

/// Why bytes are not a net, or a net cannot be put into bytes.
#[derive(Debug, thiserror::Error)]
pub enum NativeError {
    #[error("the file is cut short: it ends after {available} bytes, inside its header")]
    CutShort { available: usize },
    #[error("the header claims {bytes} bytes, and more than {MAX_HEADER_BYTES} are not read")]
    HeaderTooLarge { bytes: u64 },
    #[error("the file is damaged: {0}")]
    Container(SafeTensorError),
    #[error("this safetensors file holds tensors but no net: its metadata has no `{METADATA_KEY}`")]
    NoNet,
    #[error("the net has version {found} of the format; this program reads version {VERSION}")]
    Version { found: u64 },
    #[error("the net's description is wrong: {reason}")]
    Document { reason: String },
    #[error("node {index}{name} is wrong: {reason}")]
    Node { index: usize, name: String, reason: String },
    #[error("`{field}` is wrong: {reason}")]
    Field { field: String, reason: String },
    #[error("tensor `{tensor}` is of type {found}; weights must be F16, BF16, F32 or F64")]
    Type { tensor: String, found: Dtype },
    #[error("tensor `{tensor}` is not finite: value {index} is {value} as {precision}")]
    NotFinite { tensor: String, index: usize, value: f64, precision: Precision },
    #[error(transparent)]
    Graph(#[from] GraphError),
}

/// Reads a net from the bytes of a file.
pub fn read(bytes: &[u8]) -> Result<Graph, NativeError> {
    check_header_length(bytes)?;
    let (header_bytes, metadata) = SafeTensors::read_metadata(bytes).map_err(container_error)?;
    let json = metadata.metadata().as_ref().and_then(|entries| entries.get(METADATA_KEY)).ok_or(NativeError::NoNet)?;
    let document = document::parse(json)?;
    let data = &bytes[size_of::<u64>() + header_bytes..];
    let mut params = BTreeMap::new();
    // Sorted, so that of several errors the same is always reported.
    let tensors: BTreeMap<_, _> = metadata.tensors().into_iter().collect();
    for (name, tensor) in tensors {
        document::check_text("tensor name", &name)?;
        let (start, end) = tensor.data_offsets;
        let data = weights::decode(&name, tensor.dtype, &data[start..end])?;
        params.insert(name, Param { shape: tensor.shape.clone(), data });
    }
    let graph = Graph::new(document.name, document.nodes, params, document.preprocess, document.labels)?;
    Ok(graph.with_provenance(document.provenance))
}

fn check_header_length(bytes: &[u8]) -> Result<(), NativeError> {
    let cut_short = NativeError::CutShort { available: bytes.len() };
    let Some((length, rest)) = bytes.split_first_chunk::<8>() else { return Err(cut_short) };
    let length = u64::from_le_bytes(*length);
    if length > MAX_HEADER_BYTES {
        return Err(NativeError::HeaderTooLarge { bytes: length });
    }
    if length > rest.len() as u64 { Err(cut_short) } else { Ok(()) }
}

fn container_error(error: SafeTensorError) -> NativeError {
    match error {
        SafeTensorError::InvalidHeaderDeserialization(source) => {
            NativeError::Document { reason: document::brief(&format!("its header is not what it should be: {source}")) }
        }
        SafeTensorError::InvalidOffset(tensor) => {
            let reason = "its bytes do not lie where they should".into();
            NativeError::Field { field: document::brief(&tensor), reason }
        }
        other => NativeError::Container(other),
    }
}

/// The bytes of a net's file: the same for the same net.
///
/// Weights of two dimensions and more have the `precision`; vectors (biases, statistics) are few and stay f32.
pub fn to_bytes(graph: &Graph, precision: Precision) -> Result<Vec<u8>, NativeError> {
    let json = document::print(graph)?;
    let mut tensors = Vec::with_capacity(graph.params().len());
    for (name, param) in graph.params() {
        document::check_text("tensor name", name)?;
        let precision = if param.shape.len() < 2 { Precision::F32 } else { precision };
        tensors.push((name, weights::encode(name, param, precision)?));
    }
    let metadata = HashMap::from([(METADATA_KEY.to_string(), json)]);
    let views = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor));
    safetensors::serialize(views, Some(metadata)).map_err(NativeError::Container)
}

/// Writes a net to a file, in a folder that is there. The file is replaced whole or, on any error, left as it was.
pub fn write(graph: &Graph, path: &Path, precision: Precision) -> Result<(), FormatError> {
    let bytes = to_bytes(graph, precision).map_err(|source| FormatError::Native { path: path.into(), source })?;
    let written = fs::metadata(atomic::folder_of(path)).and_then(|_| atomic::write(path, &bytes));
    written.map_err(|source| FormatError::Write { path: path.into(), source })
}
