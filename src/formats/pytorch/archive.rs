//! `torch.save`'s zip archives: `NAME/data.pkl`, storages in `NAME/data/KEY`, `NAME/byteorder`. TorchScript's have code
//! beside that, which is not looked at.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::{Cursor, Read};

use zip::result::ZipError;
use zip::{CompressionMethod, ZipArchive};

use super::state::{self, StateDict};
use super::storage::{ByteOrder, Storages};
use crate::formats::ImportError;
use crate::formats::pickle::Pickle;

/// The entries of a zip archive, unpacked where they are packed.
pub(in crate::formats) struct Unpacked<'a> {
    pub entries: Vec<(String, Cow<'a, [u8]>)>,
}

/// How much larger than the archive its entries may be together, above [`ALWAYS_ALLOWED`]: weights hardly shrink.
const MAX_RATIO: u64 = 64;
const ALWAYS_ALLOWED: u64 = 16 << 20;

impl<'a> Unpacked<'a> {
    pub(in crate::formats) fn read(bytes: &'a [u8]) -> Result<Self, ImportError> {
        let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(|error| wrong(&error))?;
        let mut left =
            (bytes.len() as u64).saturating_mul(MAX_RATIO).clamp(ALWAYS_ALLOWED, crate::formats::MAX_FILE_BYTES);
        let mut entries = Vec::new();
        for index in 0..archive.len() {
            let file = archive.by_index(index).map_err(|error| wrong(&error))?;
            let name = file.name().map_err(|error| wrong(&error))?.into_owned();
            if file.is_dir() {
                continue;
            }
            let size = file.size();
            left = left.checked_sub(size).ok_or_else(|| {
                ImportError::TooLarge("the archive unpacks to far more than its own size, which is not read".into())
            })?;
            let content = match (file.compression(), file.data_start()) {
                (CompressionMethod::Stored, Some(start)) => {
                    let stored = usize::try_from(start)
                        .ok()
                        .zip(usize::try_from(size).ok())
                        .and_then(|(start, size)| bytes.get(start..start.checked_add(size)?));
                    Cow::Borrowed(
                        stored.ok_or_else(|| ImportError::CutShort(format!("`{}` ends behind it", brief(&name))))?,
                    )
                }
                _ => Cow::Owned(inflate(file, size, &name)?),
            };
            entries.push((name, content));
        }
        Ok(Self { entries })
    }

    /// The first entry whose path ends so.
    fn ending(&self, suffix: &str) -> Option<&(String, Cow<'a, [u8]>)> {
        let is_whole =
            |name: &str| name == suffix || name.strip_suffix(suffix).is_some_and(|start| start.ends_with('/'));
        self.entries.iter().find(|(name, _)| is_whole(name))
    }
}

/// Whether a file is a zip archive with an entry whose path ends so.
pub(in crate::formats) fn has_entry(bytes: &[u8], ending: &str) -> bool {
    bytes.starts_with(b"PK")
        && ZipArchive::new(Cursor::new(bytes))
            .is_ok_and(|archive| archive.file_names_raw().any(|name| name.ends_with(ending.as_bytes())))
}

/// A packed entry; its announced size bounds what is read, and nothing is reserved before it is there.
fn inflate(file: impl Read, size: u64, name: &str) -> Result<Vec<u8>, ImportError> {
    let mut content = Vec::new();
    let failed = |error| ImportError::Damaged(format!("`{}` cannot be unpacked: {error}", brief(name)));
    file.take(size.saturating_add(1)).read_to_end(&mut content).map_err(failed)?;
    if content.len() as u64 != size {
        return Err(ImportError::Damaged(format!("`{}` is not as long as the archive says", brief(name))));
    }
    Ok(content)
}

fn wrong(error: &ZipError) -> ImportError {
    match error {
        ZipError::UnsupportedArchive(reason) => {
            ImportError::Unsupported(format!("the zip archive is not read: {reason}"))
        }
        other => ImportError::Damaged(format!("its zip archive is wrong: {}", brief(&other.to_string()))),
    }
}

fn brief(text: &str) -> String {
    ImportError::brief(text)
}

pub(super) fn tensors(bytes: &[u8]) -> Result<StateDict, ImportError> {
    let archive = Unpacked::read(bytes)?;
    let Some((path, pickled)) = archive.ending("data.pkl") else {
        let reason = "the zip archive has no data.pkl: it is not a PyTorch checkpoint";
        return Err(ImportError::Unsupported(reason.into()));
    };
    let folder = path.strip_suffix("data.pkl").unwrap_or_default().to_string();
    let order = match archive.entries.iter().find(|(name, _)| *name == format!("{folder}byteorder")) {
        Some((_, order)) if order.trim_ascii() == b"big" => ByteOrder::Big,
        _ => ByteOrder::Little,
    };
    let pickle = Pickle::read(pickled)?;
    let keys = archive.entries.iter().filter_map(|(name, content)| {
        let key = name.strip_prefix(&folder)?.strip_prefix("data/")?;
        Some((key.to_string(), Cow::Borrowed(content.as_ref())))
    });
    let storages: HashMap<String, Cow<'_, [u8]>> = keys.collect();
    state::collect(&pickle, Storages::new(storages, order))
}
