//! Nets from files: which files belong together, which importer reads them, and what is told about it.

use std::path::{Path, PathBuf};

use super::finish::{self, Framework, class_count, finish};
use super::import::import;
use super::pieces::{Part, Pieces, Slot};
use super::{FileKind, FormatError, ImportError, Imported, LoadOptions, NativeError, beside, labels, native};
use crate::nn::graph::Graph;

/// A net that was read, and how.
#[derive(Debug)]
pub struct Loaded {
    pub graph: Graph,
    /// Sentences without their full stops about what was found beside the net, assumed or left out.
    pub notes: Vec<String>,
    /// All files that were read.
    pub files: Vec<PathBuf>,
}

/// Reads a net of any known format; what belongs to it and lies beside it is found.
pub fn load(path: &Path) -> Result<Graph, FormatError> {
    Ok(load_files(&[path.to_path_buf()], &LoadOptions::default())?.graph)
}

/// Reads the net that these files are together: a prototxt and a caffemodel, weights and a net file, a net and labels.
/// What is missing is looked for beside them.
///
/// # Errors
/// Where a file cannot be read, is no net, or does not belong to the others.
pub fn load_files(paths: &[PathBuf], options: &LoadOptions) -> Result<Loaded, FormatError> {
    let mut pieces = Pieces::default();
    for path in paths {
        pieces.take(Part::read(path)?)?;
    }
    pieces.take_named(options)?;
    let given_labels = pieces.labels.as_ref().map(|part| labels::read(&part.path)).transpose()?.unwrap_or_default();
    let lead = pieces.lead()?;
    pieces.check_belonging()?;
    if lead.kind == FileKind::Safetensors {
        match native::read(&lead.bytes) {
            Err(NativeError::NoNet) => {}
            Err(source) => return Err(FormatError::Native { path: lead.path.clone(), source }),
            Ok(graph) => {
                pieces.check_alone()?;
                return overridden(graph, &pieces, options, given_labels);
            }
        }
    }
    let (path, fallback_name) = (lead.path.clone(), lead.name());
    let neighbours = beside::files(&path);
    let mut notes = Vec::new();
    find_mean(&mut pieces, &neighbours, options);
    let (mut imported, framework) = complete(&mut pieces, &neighbours, options, &mut notes)?;
    if given_labels.is_empty() && imported.labels.is_empty() {
        find_labels(&mut imported, &neighbours, &mut pieces, &mut notes);
    }
    let finished = finish(imported, framework, options, given_labels, &fallback_name);
    let (graph, more_notes) = finished.map_err(|source| FormatError::Import { path, source })?;
    notes.extend(more_notes);
    Ok(Loaded { graph, notes, files: pieces.paths() })
}

/// A net of the native format says everything itself; the user may say otherwise.
fn overridden(
    graph: Graph,
    pieces: &Pieces,
    options: &LoadOptions,
    given_labels: Vec<String>,
) -> Result<Loaded, FormatError> {
    let files = pieces.paths();
    let path = files.first().cloned().unwrap_or_default();
    let graph =
        finish::overridden(graph, options, given_labels).map_err(|source| FormatError::Import { path, source })?;
    Ok(Loaded { graph, notes: Vec::new(), files })
}

/// A list beside the net is its own where it has as many names as the net has classes.
fn find_labels(imported: &mut Imported, neighbours: &[PathBuf], pieces: &mut Pieces, notes: &mut Vec<String>) {
    for path in labels::candidates(neighbours) {
        let Ok(names) = labels::read(path) else { continue };
        if class_count(&imported.net) == Some(names.len()) {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            notes.push(format!("{name} beside it names its classes"));
            imported.labels = names;
            pieces.labels = Some(Part { path: path.clone(), kind: FileKind::Text, bytes: Vec::new() });
            return;
        }
    }
}

/// A mean that lies beside a net of Caffe may be its own, where there is one only.
fn find_mean(pieces: &mut Pieces, neighbours: &[PathBuf], options: &LoadOptions) {
    if pieces.mean.is_some() || options.mean.is_some() || !pieces.is_of_caffe() {
        return;
    }
    let ends_so = |path: &&PathBuf| path.extension().is_some_and(|extension| extension == "binaryproto");
    let found: Vec<&PathBuf> = neighbours.iter().filter(ends_so).collect();
    if let [only] = found.as_slice()
        && let Ok(part) = Part::read(only)
        && part.kind == FileKind::CaffeMean
    {
        pieces.mean_beside = Some(part);
    }
}

/// Imports the net, with whichever neighbour completes it.
fn complete(
    pieces: &mut Pieces,
    neighbours: &[PathBuf],
    options: &LoadOptions,
    notes: &mut Vec<String>,
) -> Result<(Imported, Framework), FormatError> {
    let lead = pieces.lead()?.path.clone();
    let located = |path: &Path, source: ImportError| FormatError::Import { path: path.into(), source };
    let Some((slot, endings)) = pieces.missing(options) else {
        return import_noting(pieces, options, notes).map_err(|source| located(&lead, source));
    };
    let mut first_error = None;
    for candidate in beside::partners(&lead, neighbours, endings) {
        let Ok(part) = Part::read(&candidate) else { continue };
        let fits = matches!(
            (slot, part.kind),
            (Slot::Description, FileKind::Prototxt | FileKind::NetFile)
                | (Slot::Weights, FileKind::Caffemodel | FileKind::Hdf5)
        );
        if !fits {
            continue;
        }
        let name = part.file_name();
        *pieces.slot(slot) = Some(part);
        match import_noting(pieces, options, notes) {
            Ok(imported) => {
                notes.push(format!("{name} beside it was taken as belonging to it"));
                return Ok(imported);
            }
            Err(error) => first_error = first_error.or(Some(located(&candidate, error))),
        }
    }
    *pieces.slot(slot) = None;
    import_noting(pieces, options, notes).map_err(|source| first_error.unwrap_or_else(|| located(&lead, source)))
}

/// Imports the net, and tells which further files it was read from.
fn import_noting(
    pieces: &mut Pieces,
    options: &LoadOptions,
    notes: &mut Vec<String>,
) -> Result<(Imported, Framework), ImportError> {
    let mut also_read = Vec::new();
    let imported = import(pieces, options, &mut also_read)?;
    if let Some(mean) = pieces.mean_beside.as_ref().filter(|mean| also_read.contains(&mean.path)) {
        notes.push(format!("{} beside it was used as its mean (--mean 0 does without)", mean.file_name()));
    }
    pieces.also = also_read;
    Ok(imported)
}
