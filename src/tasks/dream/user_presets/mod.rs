//! The user's own presets: settings under a name, with a small picture of what they do.
//!
//! A preset is `NAME.toml` (what differs from the bundled preset that it names, see [`DreamSpec::to_toml`]) and, beside
//! it, `NAME.png`. Files are written whole; the settings are the preset, and a picture without them is nothing. The
//! folder is the user's: files of other kinds are left alone, and a file that cannot be read costs only itself.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::check::check;
use super::error::DreamError;
use super::spec::{DreamSpec, Preset};
use crate::base::atomic;
use crate::imageio::{self, Filter, ImageError, Limits, OutputFormat, Picture, SaveOptions};
use crate::tasks::home::Home;

mod file_name;
#[cfg(test)]
mod tests;

/// The longest side of a preset's picture in pixels. Larger ones are made smaller.
pub const PICTURE_SIDE_PX: usize = 128;
/// The longest name of a preset.
pub const MAX_NAME_CHARS: usize = 64;

/// File systems allow 255 bytes, some that encrypt far fewer characters; the extension comes on top.
const MAX_FILE_NAME_BYTES: usize = 200;
/// Settings take a few hundred bytes; lists of channels may take more.
const MAX_SETTINGS_BYTES: u64 = 256 << 10;
/// A picture that someone else put there may be larger than ours, but not any size.
const PICTURE_LIMITS: Limits = Limits { max_pixels: 4 << 20, max_alloc_bytes: 128 << 20 };

/// One of the user's presets.
#[derive(Clone, Debug, PartialEq)]
pub struct UserPreset {
    pub name: String,
    /// The settings, without what belongs to the picture at hand ([`DreamSpec::look`]).
    pub spec: DreamSpec,
    /// At most [`PICTURE_SIDE_PX`] a side.
    pub picture: Option<Picture>,
}

/// Why a preset cannot be kept, renamed or deleted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PresetError {
    #[error("a preset needs a name: type one")]
    NoName,
    #[error("the name of a preset has at most {MAX_NAME_CHARS} characters: choose a shorter one")]
    LongName,
    #[error("`{name}` is a preset that comes with the program: choose another name")]
    Bundled { name: String },
    #[error("there is a preset `{taken}` already: choose another name than `{name}`")]
    Taken { name: String, taken: String },
    #[error("there is no preset `{name}`: it may have been renamed or deleted elsewhere")]
    Unknown { name: String },
    #[error("these settings cannot be kept as a preset: {0}")]
    Settings(#[source] DreamError),
    #[error("the picture of the preset cannot be kept: {0}")]
    Picture(#[source] ImageError),
    #[error("cannot {action} {}: {source}", .path.display())]
    File { action: &'static str, path: PathBuf, source: io::Error },
}

/// The folder of the user's presets. Every call looks at the disk, so two windows see the same presets.
#[derive(Clone, Debug)]
pub struct PresetShelf {
    folder: PathBuf,
}

impl PresetShelf {
    /// The shelf of this user. Nothing is made before the first preset is saved.
    pub fn open(home: &Home) -> Self {
        Self { folder: home.presets_folder() }
    }

    /// All presets by name, and a sentence for each file that could not be read.
    pub fn list(&self) -> (Vec<UserPreset>, Vec<String>) {
        let (mut presets, mut complaints) = (Vec::new(), Vec::new());
        let files = self.files().unwrap_or_else(|error| {
            complaints.push(error.to_string());
            Vec::new()
        });
        for path in files {
            match self.read(&path) {
                Ok((preset, complaint)) => {
                    presets.push(preset);
                    complaints.extend(complaint);
                }
                Err(complaint) => complaints.push(complaint),
            }
        }
        presets.sort_by_cached_key(|preset| (folded(&preset.name), preset.name.clone()));
        (presets, complaints)
    }

    /// The name of the preset that [`PresetShelf::save`] under `name` would meet: the same, or one that differs only in
    /// capitals (which some file systems take for the same).
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn find(&self, name: &str) -> Result<Option<String>, PresetError> {
        let wanted = folded(name.trim());
        let names: Vec<String> = self.files()?.iter().filter_map(|path| name_of(path)).collect();
        let exact = names.iter().find(|found| *found == name.trim());
        Ok(exact.or_else(|| names.iter().find(|found| folded(found) == wanted)).cloned())
    }

    /// Keeps settings under a name and returns the name, trimmed. A preset of the very same name is replaced, with its
    /// picture.
    ///
    /// # Errors
    /// When the name is empty, too long, a bundled preset's, or differs from another preset's only in capitals; when the
    /// settings make no sense; when the files cannot be written.
    pub fn save(&self, name: &str, spec: &DreamSpec, picture: Option<&Picture>) -> Result<String, PresetError> {
        let name = checked(name)?;
        if let Some(taken) = self.find(name)?.filter(|found| found != name) {
            return Err(PresetError::Taken { name: name.into(), taken });
        }
        let look = spec.look();
        check(&look).map_err(PresetError::Settings)?;
        let picture_path = self.picture_path(name);
        if let Some(picture) = picture {
            let options = SaveOptions::new(OutputFormat::Png);
            imageio::save(&picture_path, &small(picture), &options).map_err(PresetError::Picture)?;
        }
        let path = self.settings_path(name);
        atomic::write(&path, look.to_toml().as_bytes()).map_err(file_error("write", &path))?;
        if picture.is_none() {
            remove_if_there(&picture_path)?;
        }
        Ok(name.into())
    }

    /// Gives a preset another name and returns it, trimmed. Capitals alone may change.
    ///
    /// # Errors
    /// When there is no preset `old`; when `new` is no name for [`PresetShelf::save`] or another preset has it; when
    /// the files cannot be renamed.
    pub fn rename(&self, old: &str, new: &str) -> Result<String, PresetError> {
        let new = checked(new)?;
        self.must_be_there(old)?;
        if let Some(taken) = self.find(new)?.filter(|found| found != old) {
            return Err(PresetError::Taken { name: new.into(), taken });
        }
        if new == old {
            return Ok(new.into());
        }
        let (old_picture, new_picture) = (self.picture_path(old), self.picture_path(new));
        let (old, new_path) = (self.settings_path(old), self.settings_path(new));
        fs::rename(&old, &new_path).map_err(file_error("rename", &old))?;
        match fs::rename(&old_picture, &new_picture) {
            // One that is there without settings is not this preset's.
            Err(error) if error.kind() == io::ErrorKind::NotFound => remove_if_there(&new_picture)?,
            renamed => renamed.map_err(file_error("rename", &old_picture))?,
        }
        Ok(new.into())
    }

    /// Deletes a preset and its picture.
    ///
    /// # Errors
    /// When there is no such preset, or its files cannot be removed.
    pub fn delete(&self, name: &str) -> Result<(), PresetError> {
        self.must_be_there(name)?;
        let path = self.settings_path(name);
        fs::remove_file(&path).map_err(file_error("delete", &path))?;
        remove_if_there(&self.picture_path(name))
    }

    fn must_be_there(&self, name: &str) -> Result<(), PresetError> {
        // A file of this name may be another preset's, where file systems do not tell capitals apart.
        match self.find(name)? {
            Some(found) if found == name => Ok(()),
            _ => Err(PresetError::Unknown { name: name.into() }),
        }
    }

    fn settings_path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{}.toml", file_name::encode(name)))
    }

    fn picture_path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{}.png", file_name::encode(name)))
    }

    /// The files that hold settings, sorted. Hidden ones are other programs'.
    fn files(&self) -> Result<Vec<PathBuf>, PresetError> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(file_error("read", &self.folder)(error)),
        };
        let mut files = Vec::new();
        for entry in entries {
            let path = entry.map_err(file_error("read", &self.folder))?.path();
            let is_hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
            if !is_hidden && path.extension().is_some_and(|extension| extension == "toml") {
                files.push(path);
            }
        }
        files.sort();
        Ok(files)
    }

    /// A preset, perhaps with a complaint about its picture; or a complaint.
    fn read(&self, path: &Path) -> Result<(UserPreset, Option<String>), String> {
        let name = name_of(path).ok_or_else(|| {
            format!("{} is not named as presets' files are: rename it to plain letters", path.display())
        })?;
        checked(&name).map_err(|error| format!("{} is not used: {error}", path.display()))?;
        let text =
            read_settings(path).map_err(|error| format!("cannot read the preset {}: {error}", path.display()))?;
        let spec = DreamSpec::from_toml(&text).and_then(|spec| check(&spec).map(|()| spec.look()));
        let spec = spec.map_err(|error| format!("the preset {} cannot be used: {error}", path.display()))?;
        match imageio::load(&self.picture_path(&name), &PICTURE_LIMITS) {
            Ok(loaded) => Ok((UserPreset { name, spec, picture: Some(small(&loaded.picture)) }, None)),
            Err(ImageError::Missing { .. }) => Ok((UserPreset { name, spec, picture: None }, None)),
            Err(error) => Ok((UserPreset { name, spec, picture: None }, Some(error.to_string()))),
        }
    }
}

/// A trimmed name that a preset may have.
fn checked(name: &str) -> Result<&str, PresetError> {
    let name = name.trim();
    if name.is_empty() {
        return Err(PresetError::NoName);
    }
    if name.chars().count() > MAX_NAME_CHARS || file_name::encode(name).len() > MAX_FILE_NAME_BYTES {
        return Err(PresetError::LongName);
    }
    match Preset::ALL.map(Preset::name).into_iter().find(|bundled| folded(bundled) == folded(name)) {
        Some(bundled) => Err(PresetError::Bundled { name: bundled.into() }),
        None => Ok(name),
    }
}

/// What is the same of names that differ only in capitals.
fn folded(name: &str) -> String {
    // Upper case first: it makes one of `ß` and `ss`, and of the two small sigmas.
    name.to_uppercase().to_lowercase()
}

fn name_of(path: &Path) -> Option<String> {
    path.file_stem().and_then(|stem| stem.to_str()).and_then(file_name::decode)
}

fn read_settings(path: &Path) -> io::Result<String> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let mut text = String::new();
    fs::File::open(path)?.take(MAX_SETTINGS_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_SETTINGS_BYTES {
        return Err(io::Error::other("it is too long for settings"));
    }
    Ok(text)
}

/// The picture, at most [`PICTURE_SIDE_PX`] a side.
fn small(picture: &Picture) -> Picture {
    let longest = picture.width.max(picture.height);
    if longest <= PICTURE_SIDE_PX {
        return picture.clone();
    }
    let scaled = |side: usize| ((side as f64 * PICTURE_SIDE_PX as f64 / longest as f64).round() as usize).max(1);
    picture.resized(picture.size().map(scaled), Filter::Lanczos3)
}

fn remove_if_there(path: &Path) -> Result<(), PresetError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(file_error("delete", path)(error)),
        _ => Ok(()),
    }
}

fn file_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> PresetError + use<> {
    let path = path.to_path_buf();
    move |source| PresetError::File { action, path, source }
}
