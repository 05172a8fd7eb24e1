//! Nets to files.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use super::{FormatError, ImportError, Precision, native, onnx, pytorch};
use crate::base::atomic;
use crate::nn::graph::Graph;

/// A format that nets are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaveFormat {
    /// Oneiric's own: safetensors with the graph in the metadata, which says everything of the net.
    Native,
    /// For other programs to run.
    Onnx,
    /// A safetensors file of the weights alone, under the names that PyTorch's `load_state_dict` takes.
    StateDict,
}

impl SaveFormat {
    pub const ALL: [Self; 3] = [Self::Native, Self::Onnx, Self::StateDict];

    pub fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Onnx => "onnx",
            Self::StateDict => "state-dict",
        }
    }

    /// What the ending of a file's name promises.
    pub fn of_path(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "safetensors" => Some(Self::Native),
            "onnx" => Some(Self::Onnx),
            _ => None,
        }
    }
}

impl fmt::Display for SaveFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for SaveFormat {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|format| format.name() == name);
        found.ok_or_else(|| format!("expected one of {}", Self::ALL.map(Self::name).join(", ")))
    }
}

/// Writes a net. The file is replaced whole or, on any error, left as it was. `precision` is that of the weights in a
/// native file; the other formats hold 32-bit floats.
///
/// # Errors
/// Where the format cannot say what the net does, or the file cannot be written.
pub fn save(graph: &Graph, path: &Path, format: SaveFormat, precision: Precision) -> Result<(), FormatError> {
    let located = |source: ImportError| FormatError::Import { path: path.into(), source };
    let bytes = match format {
        SaveFormat::Native => return native::write(graph, path, precision),
        SaveFormat::Onnx => onnx::to_bytes(graph).map_err(located)?,
        SaveFormat::StateDict => pytorch::to_state_dict_safetensors(graph).map_err(located)?,
    };
    let written = std::fs::metadata(atomic::folder_of(path)).and_then(|_| atomic::write(path, &bytes));
    written.map_err(|source| FormatError::Write { path: path.into(), source })
}
