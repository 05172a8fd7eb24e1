//! What a file is: by its first bytes, by its shape where a format has no signature, and by its ending last.

use std::fmt;
use std::io::Cursor;
use std::path::Path;

use super::{caffe, convnetjs, netfile, onnx, tensorflow};

/// How much of a file [`FileKind::of_prefix`] looks at.
pub(super) const PREFIX_BYTES: usize = 64;

/// Archives of more files than this are not looked into.
const MAX_ARCHIVE_FILES: usize = 100_000;

/// What a file offered as a net turns out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    Empty,
    Safetensors,
    /// A zip archive with a pickle and storages.
    PyTorch,
    PyTorchLegacy,
    /// A pickle of another kind.
    Pickle,
    /// A zip archive of arrays.
    Npz,
    /// A zip archive with a TensorFlow graph in it, as Inception5h is published.
    ZippedTensorFlow,
    Keras,
    Zip,
    /// Weights as Caffe writes them with HDF5; only its reader can tell.
    Hdf5,
    Matlab,
    Gguf,
    TfLite,
    Onnx,
    Prototxt,
    Caffemodel,
    CaffeMean,
    CaffeSolverState,
    TensorFlow,
    ConvNetJs,
    NetFile,
    NumPy,
    Gzip,
    Picture,
    /// Of no format: labels, perhaps.
    Text,
    Unknown,
}

/// Files of these endings may be nets, or belong to one. Without the dot.
pub const NET_EXTENSIONS: [&str; 20] = [
    "safetensors",
    "caffemodel",
    "prototxt",
    "binaryproto",
    "h5",
    "mat",
    "onnx",
    "pth",
    "pt",
    "th",
    "tar",
    "bin",
    "pb",
    "npz",
    "pkl",
    "pickle",
    "json",
    "net",
    "zip",
    "ckpt",
];

impl FileKind {
    /// The formats of which nets are read, in words.
    pub const READABLE: &'static str = "Oneiric's own nets and PyTorch's weights (.safetensors), Caffe (.caffemodel, \
        .prototxt), MatConvNet (.mat), ONNX (.onnx), PyTorch (.pth, .pt), TensorFlow's frozen graphs (.pb), Lasagne \
        (.npz, .pkl), ConvNetJS (.json) and net files (.net)";

    /// Whether a file of this kind is a net, or can belong to one.
    pub(super) fn may_be_read(self) -> bool {
        !matches!(
            self,
            Self::Empty
                | Self::Keras
                | Self::Zip
                | Self::CaffeSolverState
                | Self::Gguf
                | Self::TfLite
                | Self::NumPy
                | Self::Gzip
                | Self::Picture
                | Self::Unknown
        )
    }

    /// Where the first bytes settle it. `prefix` is the file's start, up to `PREFIX_BYTES`.
    pub(super) fn of_prefix(prefix: &[u8]) -> Option<Self> {
        const SIGNATURES: [(usize, &[u8], FileKind); 14] = [
            (0, b"\x89HDF\r\n\x1a\n", FileKind::Hdf5),
            (0, b"MATLAB 5.0 MAT-file", FileKind::Matlab),
            (0, b"MATLAB 7.3 MAT-file", FileKind::Matlab),
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
            (0, PYTORCH_LEGACY, FileKind::PyTorchLegacy),
        ];
        let has = |at: usize, signature| prefix.get(at..).is_some_and(|rest| rest.starts_with(signature));
        if prefix.is_empty() {
            return Some(Self::Empty);
        }
        if let Some(&(_, _, kind)) = SIGNATURES.iter().find(|&&(at, signature, _)| has(at, signature)) {
            return Some(kind);
        }
        // Eight bytes of length, of which the highest is never used, and the brace of a JSON header.
        has(7, b"\0{").then_some(Self::Safetensors)
    }

    /// By the whole file; `path` is only asked for its extension.
    pub(super) fn of(bytes: &[u8], path: &Path) -> Self {
        if let Some(kind) = Self::of_prefix(&bytes[..bytes.len().min(PREFIX_BYTES)]) {
            return kind;
        }
        if bytes.starts_with(b"PK\x03\x04") {
            return Self::of_archive(bytes);
        }
        if let [0x80, 2..=5, ..] = bytes {
            return if is_pytorch_legacy(bytes) { Self::PyTorchLegacy } else { Self::Pickle };
        }
        // So that its own reader tells what is wrong in it; comments may be of any encoding.
        if extension(path) == "prototxt" && bytes.iter().all(is_text) {
            return Self::Prototxt;
        }
        if let Some(text) = text_of(bytes) {
            return Self::of_text(text, path);
        }
        if onnx::looks_like(bytes) {
            Self::Onnx
        } else if caffe::looks_like_solverstate(bytes) {
            Self::CaffeSolverState
        } else if caffe::looks_like_caffemodel(bytes) {
            Self::Caffemodel
        } else if caffe::looks_like_mean(bytes) {
            Self::CaffeMean
        } else if tensorflow::looks_like(bytes) {
            Self::TensorFlow
        } else {
            Self::of_extension(path)
        }
    }

    fn of_text(text: &str, path: &Path) -> Self {
        // The pickles of protocol 0 are text that ends so.
        let is_pickle = text.ends_with('.') && matches!(extension(path).as_str(), "pkl" | "pickle");
        if is_pickle {
            Self::Pickle
        } else if convnetjs::looks_like(text) {
            Self::ConvNetJs
        } else if caffe::looks_like_prototxt(text) {
            Self::Prototxt
        } else if netfile::looks_like(text) || extension(path) == "net" {
            Self::NetFile
        } else {
            Self::Text
        }
    }

    fn of_archive(bytes: &[u8]) -> Self {
        let Ok(archive) = zip::ZipArchive::new(Cursor::new(bytes)) else { return Self::Zip };
        let has = |is_it: &dyn Fn(&str) -> bool| {
            archive.file_names().take(MAX_ARCHIVE_FILES).flatten().any(|name| is_it(&name))
        };
        if has(&|name| name.ends_with("/data.pkl") || name == "data.pkl") {
            Self::PyTorch
        } else if has(&|name| name.ends_with(".npy")) {
            Self::Npz
        } else if has(&|name| name.ends_with(".weights.h5")) {
            Self::Keras
        } else if has(&|name| name.ends_with(".pb")) {
            Self::ZippedTensorFlow
        } else {
            Self::Zip
        }
    }

    /// A damaged file of a format without a signature gets the error of the format that its name promises.
    fn of_extension(path: &Path) -> Self {
        match extension(path).as_str() {
            "onnx" => Self::Onnx,
            "caffemodel" => Self::Caffemodel,
            "binaryproto" => Self::CaffeMean,
            "pb" => Self::TensorFlow,
            "pth" | "pt" | "th" => Self::PyTorchLegacy,
            "mat" => Self::Matlab,
            _ => Self::Unknown,
        }
    }
}

const PYTORCH_LEGACY: &[u8] = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19";

/// Of any protocol of pickles.
fn is_pytorch_legacy(bytes: &[u8]) -> bool {
    let magic = &PYTORCH_LEGACY[4..];
    bytes[..bytes.len().min(PREFIX_BYTES)].windows(magic.len()).any(|window| window == magic)
}

fn extension(path: &Path) -> String {
    path.extension().and_then(|extension| extension.to_str()).unwrap_or_default().to_ascii_lowercase()
}

/// No control character but those that lay out a text.
fn is_text(byte: &u8) -> bool {
    matches!(byte, b'\t' | b'\n' | b'\r' | 0x0c | b' '..=b'~' | 0x80..)
}

/// The whole of a file, where it holds nothing but text.
fn text_of(bytes: &[u8]) -> Option<&str> {
    if bytes.iter().all(is_text) { std::str::from_utf8(bytes).ok() } else { None }
}

/// With its article, to follow "is".
impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "an empty file",
            Self::Safetensors => "a safetensors file",
            Self::PyTorch => "a PyTorch checkpoint",
            Self::PyTorchLegacy => "a PyTorch checkpoint of the old kind",
            Self::Pickle => "a Python pickle",
            Self::Npz => "an archive of NumPy arrays",
            Self::ZippedTensorFlow => "a zip archive with a TensorFlow graph",
            Self::Keras => "a Keras net (save it as ONNX with tf2onnx)",
            Self::Zip => "a zip archive of another kind",
            Self::Hdf5 => "an HDF5 file",
            Self::Matlab => "a MATLAB file",
            Self::Gguf => "a GGUF file",
            Self::TfLite => "a TensorFlow Lite net",
            Self::Onnx => "an ONNX net",
            Self::Prototxt => "a Caffe net's description",
            Self::Caffemodel => "a Caffe net",
            Self::CaffeMean => "a Caffe mean",
            Self::CaffeSolverState => "the state of a Caffe solver (the net is in the .caffemodel of the same step)",
            Self::TensorFlow => "a TensorFlow graph",
            Self::ConvNetJs => "a ConvNetJS net",
            Self::NetFile => "a net file",
            Self::NumPy => "a single NumPy array",
            Self::Gzip => "a gzip archive (unpack it first)",
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
    fn files_are_told_apart_by_their_content() {
        let cases: [(&[u8], &str, FileKind); 18] = [
            (b"", "net.safetensors", FileKind::Empty),
            (b"\x10\0\0\0\0\0\0\0{\"a\":{}}", "net.png", FileKind::Safetensors),
            (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "net.safetensors", FileKind::Picture),
            (b"PK\x03\x04\x14\0", "net.pt", FileKind::Zip),
            (b"\x80\x04\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.", "net.bin", FileKind::PyTorchLegacy),
            (b"\x80\x02]q\0.", "net.pkl", FileKind::Pickle),
            (b"(lp0\n.", "net.pkl", FileKind::Pickle),
            (b"\xff\x03\x12\x07pytorch\0", "net.ONNX", FileKind::Onnx),
            (b"\xff\x03\x12\x07pytorch\0", "net", FileKind::Unknown),
            (b"name: \"LeNet\"\nlayer { name: \"a\" type: \"ReLU\" }\n", "x", FileKind::Prototxt),
            (b"layer { name: \"a\"", "net.prototxt", FileKind::Prototxt),
            (b"net: \"train_val.prototxt\"\n", "solver.prototxt", FileKind::Prototxt),
            (b"# na\xefve\nlayer { }\n", "net.Prototxt", FileKind::Prototxt),
            (b"cat\ndog\n", "labels.txt", FileKind::Text),
            (b"GIF89a\x01", "net.safetensors", FileKind::Picture),
            (b"MATLAB 5.0 MAT-file, Platform: GLNXA64", "net.mat", FileKind::Matlab),
            (b"a text {with a brace}", "net.safetensors", FileKind::Text),
            (b"\0", "x", FileKind::Unknown),
        ];
        let wrong: Vec<_> = cases
            .iter()
            .map(|&(bytes, name, kind)| (name, FileKind::of(bytes, Path::new(name)), kind))
            .filter(|(_, got, kind)| got != kind)
            .collect();
        assert!(wrong.is_empty(), "{wrong:?}");
    }
}
