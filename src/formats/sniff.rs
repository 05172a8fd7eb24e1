//! What a file is, by its first bytes.

use std::fmt;
use std::path::Path;

/// How much of a file [`FileKind::of`] looks at.
pub(super) const PREFIX_BYTES: usize = 64;

/// What a file offered as a net turns out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    Empty,
    Safetensors,
    PyTorchLegacy,
    Zip,
    Hdf5,
    Matlab,
    Gguf,
    TfLite,
    Onnx,
    Caffe,
    TensorFlow,
    NumPy,
    Gzip,
    Picture,
    Text,
    Unknown,
}

impl FileKind {
    /// The formats of which nets are read, in words.
    pub const READABLE: &'static str = "Oneiric's own nets (.safetensors)";

    /// `prefix` is the file's start, up to `PREFIX_BYTES`; `path` is only asked for its extension.
    pub fn of(prefix: &[u8], path: &Path) -> Self {
        const SIGNATURES: [(usize, &[u8], FileKind); 14] = [
            (0, b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19", FileKind::PyTorchLegacy),
            (0, b"PK\x03\x04", FileKind::Zip),
            (0, b"\x89HDF\r\n\x1a\n", FileKind::Hdf5),
            (0, b"MATLAB 5.0 MAT-file", FileKind::Matlab),
            (0, b"GGUF", FileKind::Gguf),
            (4, b"TFL3", FileKind::TfLite),
            (0, b"\x93NUMPY", FileKind::NumPy),
            (0, b"\x1f\x8b", FileKind::Gzip),
            (0, b"\x89PNG\r\n\x1a\n", FileKind::Picture),
            (0, b"\xff\xd8\xff", FileKind::Picture),
            (0, b"GIF8", FileKind::Picture),
            (0, b"II*\0", FileKind::Picture),
            (0, b"MM\0*", FileKind::Picture),
            (8, b"WEBP", FileKind::Picture),
        ];
        let has = |at: usize, signature| prefix.get(at..).is_some_and(|rest| rest.starts_with(signature));
        if prefix.is_empty() {
            return Self::Empty;
        }
        if let Some(&(_, _, kind)) = SIGNATURES.iter().find(|&&(at, signature, _)| has(at, signature)) {
            return kind;
        }
        // Eight bytes of length, of which the highest is never used, and the brace of a JSON header.
        if has(7, b"\0{") {
            return Self::Safetensors;
        }
        if prefix.iter().all(|byte| matches!(byte, b'\t' | b'\n' | b'\r' | b' '..=b'~' | 0x80..)) {
            return Self::Text;
        }
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        match extension.to_ascii_lowercase().as_str() {
            "onnx" => Self::Onnx,
            "caffemodel" => Self::Caffe,
            "pb" => Self::TensorFlow,
            _ => Self::Unknown,
        }
    }
}

/// With its article, to follow "is".
impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "an empty file",
            Self::Safetensors => "a safetensors file",
            Self::PyTorchLegacy => "a PyTorch checkpoint of the old kind",
            Self::Zip => "a zip archive (as new PyTorch checkpoints and .npz files are)",
            Self::Hdf5 => "an HDF5 file (as Keras nets and new MATLAB files are)",
            Self::Matlab => "a MATLAB file",
            Self::Gguf => "a GGUF file",
            Self::TfLite => "a TensorFlow Lite net",
            Self::Onnx => "an ONNX net",
            Self::Caffe => "a Caffe net",
            Self::TensorFlow => "a TensorFlow graph",
            Self::NumPy => "a NumPy array",
            Self::Gzip => "a gzip archive",
            Self::Picture => "a picture",
            Self::Text => "a text file",
            Self::Unknown => "a file of an unknown kind",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_apart_by_their_first_bytes() {
        let cases: [(&[u8], &str, FileKind); 12] = [
            (b"", "net.safetensors", FileKind::Empty),
            (b"\x10\0\0\0\0\0\0\0{\"a\":{}}", "net.png", FileKind::Safetensors),
            (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "net.safetensors", FileKind::Picture),
            (b"PK\x03\x04\x14\0", "net.pt", FileKind::Zip),
            (b"\x08\x03\x12\x07pytorch", "net.onnx", FileKind::Onnx),
            (b"\x08\x03\x12\x07pytorch", "net.ONNX", FileKind::Onnx),
            (b"\x08\x03\x12\x07pytorch", "net", FileKind::Unknown),
            (b"name: \"LeNet\"\n", "deploy.prototxt", FileKind::Text),
            (b"GIF89a\x01", "net.safetensors", FileKind::Picture),
            (b"MATLAB 5.0 MAT-file, Platform: GLNXA64", "net.mat", FileKind::Matlab),
            (b"a text {with a brace}", "net.safetensors", FileKind::Text),
            (b"\0", "x", FileKind::Unknown),
        ];
        let wrong: Vec<_> =
            cases.iter().filter(|(bytes, name, kind)| FileKind::of(bytes, Path::new(name)) != *kind).collect();
        assert!(wrong.is_empty(), "{wrong:?}");
    }
}
