//! What has arrived of a file, on disk.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::base::atomic;

/// A longer note is not one of ours.
const MAX_NOTE_BYTES: u64 = 1 << 16;

/// Takes bytes as they arrive.
pub trait Sink {
    fn path(&self) -> &Path;
    /// How many there are.
    fn bytes(&self) -> u64;
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Forgets all.
    fn restart(&mut self) -> io::Result<()>;
    /// Where they come from.
    fn note(&self) -> Option<&Note>;
    fn keep_note(&mut self, note: Note) -> io::Result<()>;
}

/// Where a part comes from, kept beside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    pub address: String,
    /// The server's mark of the version.
    pub validator: Option<String>,
}

impl Note {
    /// The note about the file that will be at `path`, if there is one that can be read.
    pub fn beside(path: &Path) -> Option<Self> {
        let mut text = String::new();
        File::open(with(path, NOTE)).ok()?.take(MAX_NOTE_BYTES).read_to_string(&mut text).ok()?;
        toml::from_str(&text).ok()
    }
}

const PART: &str = ".part";
const NOTE: &str = ".from";
const WRONG: &str = ".wrong";

/// Where the whole file at `path` was fetched from; `None` where somebody put it there by hand.
pub fn origin_of(path: &Path) -> Option<Note> {
    // A note beside a part is about the part.
    if with(path, PART).exists() { None } else { Note::beside(path) }
}

/// Takes a whole file that is not the one that is wanted out of the way. One that was fetched is removed; what somebody
/// put there by hand is kept beside it as `FILE.wrong`, and that name is given.
pub fn reject(path: &Path) -> io::Result<Option<String>> {
    if origin_of(path).is_some() {
        fs::remove_file(path)?;
        let _ = fs::remove_file(with(path, NOTE));
        return Ok(None);
    }
    let aside = with(path, WRONG);
    fs::rename(path, &aside)?;
    Ok(Some(aside.file_name().unwrap_or_default().to_string_lossy().into_owned()))
}

/// Whether [`reject`] gave a file this name.
pub fn is_rejected(name: &Path) -> bool {
    name.to_string_lossy().ends_with(WRONG)
}

/// A file that is arriving.
pub struct Part {
    /// The place of the whole file.
    target: PathBuf,
    /// The place of the part.
    pub path: PathBuf,
    file: File,
    bytes: u64,
    note: Option<Note>,
}

impl Part {
    /// The part of the file that will be at `target`; an empty one where there is none.
    pub fn open(target: &Path) -> io::Result<Self> {
        let path = with(target, PART);
        let file = OpenOptions::new().create(true).append(true).open(&path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "what is there is not a regular file"));
        }
        Ok(Self { target: target.into(), path, file, bytes: metadata.len(), note: Note::beside(target) })
    }

    /// Puts what has arrived to disk.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    /// Gives the file its name.
    pub fn finish(self) -> io::Result<()> {
        drop(self.file);
        fs::rename(&self.path, &self.target)
    }

    /// Removes every trace.
    pub fn discard(self) {
        drop(self.file);
        let _ = fs::remove_file(&self.path);
        let _ = fs::remove_file(with(&self.target, NOTE));
    }
}

impl Sink for Part {
    fn path(&self) -> &Path {
        &self.path
    }

    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let written = self.file.write_all(bytes);
        match written {
            Ok(()) => self.bytes += bytes.len() as u64,
            // Some of it may be there.
            Err(_) => self.bytes = self.file.metadata()?.len(),
        }
        written
    }

    fn restart(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        (self.bytes, self.note) = (0, None);
        match fs::remove_file(with(&self.target, NOTE)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn note(&self) -> Option<&Note> {
        self.note.as_ref()
    }

    fn keep_note(&mut self, note: Note) -> io::Result<()> {
        let text = toml::to_string(&note).map_err(io::Error::other)?;
        atomic::write(&with(&self.target, NOTE), text.as_bytes())?;
        self.note = Some(note);
        Ok(())
    }
}

fn with(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(ending);
    path.with_file_name(name)
}
