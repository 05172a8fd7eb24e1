//! Zip archives in which graphs are published, beside lists of class names.

use std::io::{Cursor, Read as _};

use zip::ZipArchive;

use crate::formats::{ImportError, MAX_FILE_BYTES};

/// What an archive holds.
pub struct Unpacked {
    pub graph: Vec<u8>,
    /// The lines of the only text that has as many as there may be classes; empty where there is none.
    pub labels: Vec<String>,
}

/// More text than any list of classes has.
const MAX_LABEL_BYTES: u64 = 1 << 22;
const MAX_ENTRIES: usize = 1 << 12;

/// Unpacks a zip archive; `None` if bytes are none.
pub fn unpacked(bytes: &[u8]) -> Result<Option<Unpacked>, ImportError> {
    if bytes.starts_with(b"\x1f\x8b") {
        let reason = "the graph is in a compressed archive (.tgz): unpack it and load the .pb file in it";
        return Err(ImportError::Unsupported(reason.into()));
    }
    if !bytes.starts_with(b"PK\x03\x04") {
        return Ok(None);
    }
    let damaged = |error: zip::result::ZipError| ImportError::Damaged(format!("the archive: {error}"));
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(damaged)?;
    if archive.len() > MAX_ENTRIES {
        return Err(ImportError::TooLarge(format!("archives of more than {MAX_ENTRIES} files are not read")));
    }
    let named = |ending: &str| -> Vec<String> {
        archive.file_names().flatten().filter(|name| name.ends_with(ending)).map(Into::into).collect()
    };
    let (graphs, texts) = (named(".pb"), named(".txt"));
    let [graph] = graphs.as_slice() else {
        let reason = format!("the archive holds {} graphs (.pb); unpack it and load the one you mean", graphs.len());
        return Err(ImportError::Unsupported(reason));
    };
    let graph = content(&mut archive, graph, MAX_FILE_BYTES)?;
    let mut lists = Vec::new();
    for name in &texts {
        let text = content(&mut archive, name, MAX_LABEL_BYTES).ok().and_then(|text| String::from_utf8(text).ok());
        let lines: Vec<String> = text.unwrap_or_default().lines().map(|line| line.trim().to_string()).collect();
        if lines.len() > 1 && lines.iter().all(|line| !line.is_empty() && line.len() < 1000) {
            lists.push(lines);
        }
    }
    let labels = if lists.len() == 1 { lists.remove(0) } else { Vec::new() };
    Ok(Some(Unpacked { graph, labels }))
}

/// A file of the archive. It grows with what is really there, not with what is claimed.
fn content(archive: &mut ZipArchive<Cursor<&[u8]>>, name: &str, limit: u64) -> Result<Vec<u8>, ImportError> {
    /// Weights hardly shrink, and text shrinks by less.
    const MAX_RATIO: u64 = 200;
    let shown = ImportError::brief(name);
    let entry = archive.by_name(name).map_err(|error| ImportError::field(name, error.to_string()))?;
    let limit = limit.min(entry.compressed_size().saturating_mul(MAX_RATIO));
    let mut content = Vec::new();
    let read = entry.take(limit.saturating_add(1)).read_to_end(&mut content);
    read.map_err(|error| ImportError::Damaged(format!("`{shown}` in the archive: {error}")))?;
    if content.len() as u64 > limit {
        return Err(ImportError::TooLarge(format!("`{shown}` in the archive holds more than is read of any file")));
    }
    Ok(content)
}
