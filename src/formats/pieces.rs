//! The files of one net, by what they are to it.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::{FileKind, FormatError, LoadOptions, MAX_FILE_BYTES, sniff};

/// A file in memory.
pub(super) struct Part {
    pub path: PathBuf,
    pub kind: FileKind,
    pub bytes: Vec<u8>,
}

impl Part {
    pub fn read(path: &Path) -> Result<Self, FormatError> {
        let read_error = |source| FormatError::Read { path: path.into(), source };
        let metadata = regular(path)?;
        let mut file = File::open(path).map_err(read_error)?;
        let mut bytes = Vec::new();
        file.by_ref().take(sniff::PREFIX_BYTES as u64).read_to_end(&mut bytes).map_err(read_error)?;
        if let Some(found) = FileKind::of_prefix(&bytes).filter(|kind| !kind.may_be_read()) {
            return Err(FormatError::Unsupported { path: path.into(), found });
        }
        if metadata.len() > MAX_FILE_BYTES {
            return Err(FormatError::TooLarge { path: path.into(), bytes: metadata.len() });
        }
        let rest = metadata.len().saturating_sub(bytes.len() as u64);
        bytes.try_reserve_exact(rest as usize).map_err(|_| read_error(io::ErrorKind::OutOfMemory.into()))?;
        file.take(rest).read_to_end(&mut bytes).map_err(read_error)?;
        let kind = FileKind::of(&bytes, path);
        if kind.may_be_read() {
            Ok(Self { path: path.into(), kind, bytes })
        } else {
            Err(FormatError::Unsupported { path: path.into(), found: kind })
        }
    }

    /// A list of class names of any encoding, which their own reader reads.
    fn of_labels(path: &Path) -> Result<Self, FormatError> {
        regular(path)?;
        Ok(Self { path: path.into(), kind: FileKind::Text, bytes: Vec::new() })
    }

    /// The file's name without its ending.
    pub fn name(&self) -> String {
        self.path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
    }

    pub fn file_name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
}

/// What is known of a file before it is opened: opening a pipe would wait for its writer.
fn regular(path: &Path) -> Result<Metadata, FormatError> {
    let metadata = std::fs::metadata(path).map_err(|source| FormatError::Read { path: path.into(), source })?;
    if metadata.is_file() {
        return Ok(metadata);
    }
    let what = if metadata.is_dir() { "a folder" } else { "a device or a pipe" };
    Err(FormatError::NotAFile { path: path.into(), what })
}

/// The files of one net by what they are to it.
#[derive(Default)]
pub(super) struct Pieces {
    /// Weights, or a whole net.
    pub weights: Option<Part>,
    /// A prototxt or a net file.
    pub description: Option<Part>,
    pub mean: Option<Part>,
    /// A mean beside the net, which may be another net's.
    pub mean_beside: Option<Part>,
    pub labels: Option<Part>,
    /// Further files that these name.
    pub also: Vec<PathBuf>,
}

/// A place that a neighbour may fill.
#[derive(Clone, Copy)]
pub(super) enum Slot {
    Weights,
    Description,
}

impl Pieces {
    pub fn take(&mut self, part: Part) -> Result<(), FormatError> {
        let (slot, what) = match part.kind {
            FileKind::Prototxt | FileKind::NetFile => (&mut self.description, "both describe a net"),
            FileKind::CaffeMean => (&mut self.mean, "both are means"),
            FileKind::Text => (&mut self.labels, "both are texts, and one file of labels is all a net takes"),
            _ => (&mut self.weights, "both hold weights"),
        };
        if let Some(other) = slot {
            let paths = Box::new([other.path.clone(), part.path]);
            return Err(FormatError::NotOneNet { paths, reason: what.into() });
        }
        *slot = Some(part);
        Ok(())
    }

    /// The files that options name.
    pub fn take_named(&mut self, options: &LoadOptions) -> Result<(), FormatError> {
        if let Some(path) = &options.labels {
            self.labels = Some(Part::of_labels(path)?);
        }
        if let Some(path) = &options.weights {
            self.take(Part::read(path)?)?;
        }
        if let Some(architecture) = options.architecture.as_deref().map(Path::new)
            && self.description.is_none()
            && architecture.is_file()
        {
            self.description = Some(Part::read(architecture)?);
        }
        Ok(())
    }

    /// Refuses what the net has no use for.
    pub fn check_belonging(&self) -> Result<(), FormatError> {
        let kind_of = |part: &Option<Part>| part.as_ref().map(|part| part.kind);
        let (weights, description) = (kind_of(&self.weights), kind_of(&self.description));
        if let Some(part) = &self.description {
            let fits = match part.kind {
                FileKind::Prototxt => matches!(weights, None | Some(FileKind::Caffemodel | FileKind::Hdf5)),
                FileKind::NetFile => matches!(
                    weights,
                    None | Some(
                        FileKind::Npz
                            | FileKind::Pickle
                            | FileKind::PyTorch
                            | FileKind::PyTorchLegacy
                            | FileKind::Safetensors
                    )
                ),
                _ => false,
            };
            if !fits {
                return Err(self.stranger(part));
            }
        }
        let is_of_caffe = matches!(weights, Some(FileKind::Caffemodel | FileKind::Hdf5))
            || (weights, description) == (None, Some(FileKind::Prototxt));
        match &self.mean {
            Some(mean) if !is_of_caffe => Err(self.stranger(mean)),
            _ => Ok(()),
        }
    }

    /// Refuses what a net that says everything itself has no use for.
    pub fn check_alone(&self) -> Result<(), FormatError> {
        match self.description.as_ref().or(self.mean.as_ref()) {
            Some(part) => Err(self.stranger(part)),
            None => Ok(()),
        }
    }

    fn stranger(&self, part: &Part) -> FormatError {
        match self.lead() {
            Ok(lead) if lead.path != part.path => FormatError::NotOneNet {
                paths: Box::new([lead.path.clone(), part.path.clone()]),
                reason: format!("{} takes nothing from {}", lead.kind, part.kind),
            },
            Ok(_) => FormatError::Unsupported { path: part.path.clone(), found: part.kind },
            Err(error) => error,
        }
    }

    /// What the others belong to.
    pub fn lead(&self) -> Result<&Part, FormatError> {
        if let Some(lead) = self.weights.as_ref().or(self.description.as_ref()) {
            return Ok(lead);
        }
        match self.mean.as_ref().or(self.labels.as_ref()) {
            Some(Part { path, kind, .. }) => Err(FormatError::Unsupported { path: path.clone(), found: *kind }),
            None => Err(FormatError::NoFiles),
        }
    }

    pub fn paths(&self) -> Vec<PathBuf> {
        let parts = [&self.weights, &self.description, &self.mean, &self.labels];
        parts.into_iter().flatten().map(|part| part.path.clone()).chain(self.also.iter().cloned()).collect()
    }

    pub fn is_of_caffe(&self) -> bool {
        let kinds = [&self.weights, &self.description].map(|part| part.as_ref().map(|part| part.kind));
        kinds.contains(&Some(FileKind::Caffemodel)) || kinds.contains(&Some(FileKind::Prototxt))
    }

    pub fn slot(&mut self, slot: Slot) -> &mut Option<Part> {
        match slot {
            Slot::Weights => &mut self.weights,
            Slot::Description => &mut self.description,
        }
    }

    /// What a neighbour may give, and the endings of such files.
    pub fn missing(&self, options: &LoadOptions) -> Option<(Slot, &'static [&'static str])> {
        match (&self.weights, &self.description) {
            (Some(Part { kind: FileKind::Caffemodel | FileKind::Hdf5, .. }), None) => {
                Some((Slot::Description, &[".prototxt"]))
            }
            (None, Some(Part { kind: FileKind::Prototxt, .. })) => {
                Some((Slot::Weights, &[".caffemodel", ".caffemodel.h5"]))
            }
            (Some(Part { kind: FileKind::Npz | FileKind::Pickle, .. }), None) if options.architecture.is_none() => {
                Some((Slot::Description, &[".net"]))
            }
            _ => None,
        }
    }
}
