//! One importer a format, and what each is called with.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::architectures::NamedParams;
use super::finish::Framework;
use super::onnx::External;
use super::pieces::{Part, Pieces};
use super::{
    FileKind, ImportError, Imported, LoadOptions, caffe, convnetjs, lasagne, matconvnet, netfile, onnx, pytorch,
    tensorflow,
};
use crate::nn::graph::Node;
use crate::nn::ops::Op;

/// Reads the net that the pieces are, by the kind of file that its weights are in. `also_read` gets further files that
/// these name.
pub(super) fn import(
    pieces: &Pieces,
    options: &LoadOptions,
    also_read: &mut Vec<PathBuf>,
) -> Result<(Imported, Framework), ImportError> {
    let Some(weights) = &pieces.weights else {
        let Some(description) = &pieces.description else {
            return Err(ImportError::Needs("there are no weights".into()));
        };
        return match description.kind {
            FileKind::NetFile => Ok((netfile::read(text(description)?)?, Framework::NetFile)),
            _ => Ok((caffe(pieces, options, also_read)?, Framework::Caffe)),
        };
    };
    let bytes = weights.bytes.as_slice();
    Ok(match weights.kind {
        FileKind::Caffemodel | FileKind::Hdf5 => (caffe(pieces, options, also_read)?, Framework::Caffe),
        FileKind::Matlab => (matconvnet::read(bytes, options)?, Framework::MatConvNet),
        FileKind::Onnx => {
            let folder = Recorded::folder_of(&weights.path);
            let imported = onnx::read(bytes, &folder, options)?;
            also_read.extend(folder.read.into_inner());
            (imported, Framework::Onnx)
        }
        FileKind::Safetensors | FileKind::PyTorch | FileKind::PyTorchLegacy => {
            (state_dict(weights, pieces.description.as_ref(), options)?, Framework::PyTorch)
        }
        FileKind::Npz | FileKind::Pickle => match &pieces.description {
            Some(net_file) => (list_in_net_file(bytes, text(net_file)?)?, Framework::Lasagne),
            None => (lasagne::read(bytes, options)?, Framework::Lasagne),
        },
        FileKind::TensorFlow | FileKind::ZippedTensorFlow => (tensorflow::read(bytes, options)?, Framework::TensorFlow),
        FileKind::ConvNetJs => (convnetjs::read(text(weights)?, options)?, Framework::ConvNetJs),
        other => return Err(ImportError::Unsupported(format!("it is {other}, of which no nets are read"))),
    })
}

/// Weights by their names, of the net that a net file describes or of a known one.
fn state_dict(weights: &Part, net_file: Option<&Part>, options: &LoadOptions) -> Result<Imported, ImportError> {
    let bytes = weights.bytes.as_slice();
    let is_safetensors = weights.kind == FileKind::Safetensors;
    match net_file {
        Some(net_file) => {
            let dict = if is_safetensors { pytorch::safetensors_tensors(bytes)? } else { pytorch::tensors(bytes)? };
            pytorch::read_with_net_file(dict, text(net_file)?)
        }
        None if is_safetensors => pytorch::read_safetensors(bytes, options),
        None => pytorch::read(bytes, options),
    }
}

/// A list of parameters poured into the net that a net file describes.
fn list_in_net_file(bytes: &[u8], net_file: &str) -> Result<Imported, ImportError> {
    let list = lasagne::ParamList::read(bytes)?;
    let wanted = netfile::layers_needing_params(net_file)?;
    // As Lasagne's own layers have it where nothing is said.
    let convention = lasagne::Convention { flips_filters: true, epsilon: netfile::EPSILON };
    let params = lasagne::assign(&list, &wanted, convention)?;
    let mut imported = netfile::build(net_file, &mut NamedParams::new(params))?;
    let other = |node: &&Node| matches!(&node.op, Op::BatchNorm(norm) if norm.epsilon != netfile::EPSILON);
    if let Some(node) = imported.net.nodes().iter().find(other) {
        // Lasagne keeps the inverse of the deviation, epsilon and all.
        return Err(ImportError::layer(&node.name, "an epsilon means nothing for weights of Lasagne: leave it out"));
    }
    imported.notes.extend(list.notes);
    let note = "kernels are taken to be stored turned by 180°, as Lasagne's Conv2DLayer stores them";
    imported.notes.push(note.into());
    Ok(imported)
}

fn caffe(pieces: &Pieces, options: &LoadOptions, also_read: &mut Vec<PathBuf>) -> Result<Imported, ImportError> {
    fn bytes_of(part: &Option<Part>, kind: FileKind) -> Option<&[u8]> {
        part.as_ref().filter(|part| part.kind == kind).map(|part| part.bytes.as_slice())
    }
    let description = pieces.description.as_ref().map(|part| String::from_utf8_lossy(&part.bytes));
    let sources = caffe::Sources {
        // Comments may be of any encoding.
        prototxt: description.as_deref(),
        caffemodel: bytes_of(&pieces.weights, FileKind::Caffemodel),
        h5: bytes_of(&pieces.weights, FileKind::Hdf5),
        mean: bytes_of(&pieces.mean, FileKind::CaffeMean),
        mean_beside: bytes_of(&pieces.mean_beside, FileKind::CaffeMean),
    };
    let (imported, mean_served) = caffe::read_and_tell(&sources, options)?;
    also_read.extend(pieces.mean_beside.iter().filter(|_| mean_served).map(|mean| mean.path.clone()));
    Ok(imported)
}

fn text(part: &Part) -> Result<&str, ImportError> {
    std::str::from_utf8(&part.bytes).map_err(|_| ImportError::Damaged("it is not text in UTF-8".into()))
}

/// The folder of an ONNX file, and which of its files were asked for.
struct Recorded<'a> {
    folder: onnx::Folder<'a>,
    read: RefCell<BTreeSet<PathBuf>>,
}

impl<'a> Recorded<'a> {
    fn folder_of(file: &'a Path) -> Self {
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
        Self { folder: onnx::Folder(folder.unwrap_or(Path::new("."))), read: RefCell::default() }
    }
}

impl External for Recorded<'_> {
    fn read(&self, name: &str, offset: u64, length: Option<u64>) -> Result<Vec<u8>, ImportError> {
        self.read.borrow_mut().insert(self.folder.0.join(name));
        self.folder.read(name, offset, length)
    }
}
