//! The nets that are installed: one folder a net below the user's data, put there whole or not at all.
//!
//! A net is put together in `.partial`, beside the others, and its folder then gets its name. A lock a net keeps two
//! programs, or two windows of one, from changing it at a time.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::ops::ControlFlow;
use std::path::{Component, Path, PathBuf};

use super::checksum::Sums;
use super::manifest::{self, Entry, Manifest, Options};
use super::names::{self, NameError};
use super::published::Published;
use crate::base::atomic;
use crate::formats::{self, FormatError, LoadOptions, Loaded};
use crate::nn::graph::{Graph, Provenance};
use crate::tasks::destination::is_same_file;
use crate::tasks::home::Home;

/// Where nets are put together.
const PARTIAL: &str = ".partial";
const LOCKS: &str = ".locks";
/// What a net's name is followed by in [`PARTIAL`] while it is added, and while it is deleted. No net can have a `+` in its
/// name.
const ADDING: &str = "+add";
const GOING: &str = "+gone";

/// The folder of installed nets.
#[derive(Clone, Debug)]
pub struct Store {
    folder: PathBuf,
}

/// A net that is installed.
#[derive(Clone, Debug, PartialEq)]
pub struct Installed {
    pub folder: PathBuf,
    pub manifest: Manifest,
}

/// What [`Store::add`] has done.
#[derive(Debug)]
pub struct Added {
    pub net: Installed,
    /// Whole sentences about what was assumed of the files.
    pub notes: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error(transparent)]
    Name(#[from] NameError),
    #[error("give the net a name with --name: none can be made of {}", .0.display())]
    NoName(PathBuf),
    #[error("`{0}` is the name of a net that is part of the program: choose another one with --name")]
    BuiltIn(String),
    #[error("`{0}` is a net of the catalogue, and these are not its files: choose another name with --name")]
    OfCatalogue(String),
    #[error("there is a net `{0}` already: remove it first, or choose another name with --name")]
    Taken(String),
    #[error("`{0}` is not installed")]
    NotInstalled(String),
    #[error("another download or change of `{0}` is running: wait until it is done")]
    Busy(String),
    #[error("there are no files to add")]
    NoFiles,
    #[error("{} cannot be kept in a net's folder under its name: rename it", .0.display())]
    FileName(PathBuf),
    #[error("{} does not lie beside the net, nor in a folder there: move it, or the net", .0.display())]
    Outside(PathBuf),
    #[error("{} and {} have one name: rename one of them", .0.display(), .1.display())]
    SameName(PathBuf, PathBuf),
    #[error("the net `{name}` is damaged: {reason}; remove it, or fetch it again")]
    Damaged { name: String, reason: String },
    #[error("the disk is full: {} could not be written; make room and try again", .0.display())]
    DiskFull(PathBuf),
    #[error("cannot {what} {}: {source}", .path.display())]
    Disk { what: &'static str, path: PathBuf, source: io::Error },
    #[error(transparent)]
    Format(#[from] FormatError),
}

impl StoreError {
    /// Whether the machine is at fault, and not what the user asked for.
    pub fn is_of_machine(&self) -> bool {
        matches!(self, Self::Busy(_) | Self::DiskFull(_) | Self::Disk { .. })
    }

    fn disk(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull(path.into()),
            _ => Self::Disk { what, path: path.into(), source },
        }
    }
}

/// The right to change one net, until it is dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Store {
    /// The nets of a user. Makes and reads nothing.
    pub fn of(home: &Home) -> Self {
        Self { folder: home.nets_folder() }
    }

    /// Where a net of this name is or would be.
    pub fn folder_of(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Where a net that is being fetched is put together.
    pub fn staging(&self, name: &str) -> PathBuf {
        self.folder.join(PARTIAL).join(name)
    }

    /// The installed net of this name, in letters of either case.
    ///
    /// # Errors
    /// When its folder is damaged.
    pub fn find(&self, name: &str) -> Result<Option<Installed>, StoreError> {
        let Ok(name) = names::checked(name) else { return Ok(None) };
        let folder = self.folder_of(&name);
        if !folder.is_dir() {
            return Ok(None);
        }
        let damaged = |reason: String| StoreError::Damaged { name: name.clone(), reason };
        let manifest = Manifest::read(&folder).map_err(|reason| damaged(format!("{} {reason}", manifest::FILE)))?;
        if manifest.name != name {
            return Err(damaged(format!("{} is that of `{}`", manifest::FILE, manifest.name)));
        }
        Ok(Some(Installed { folder, manifest }))
    }

    /// All installed nets by name, and what is wrong with those that are damaged.
    pub fn installed(&self) -> (Vec<Installed>, Vec<StoreError>) {
        let (mut nets, mut complaints) = (Vec::new(), Vec::new());
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let mut found: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        found.sort();
        for name in found.iter().filter(|name| names::checked(name).as_ref() == Ok(*name)) {
            match self.find(name) {
                Ok(net) => nets.extend(net),
                Err(complaint) => complaints.push(complaint),
            }
        }
        (nets, complaints)
    }

    /// How much room the folder of a net takes, whatever is in it.
    pub fn bytes_of(&self, name: &str) -> u64 {
        bytes_in(&self.folder_of(name))
    }

    /// How many bytes of a net have been fetched that is not installed.
    pub fn begun_bytes(&self, name: &str) -> u64 {
        let entries = fs::read_dir(self.staging(name)).into_iter().flatten().flatten();
        entries
            .filter_map(|entry| entry.metadata().ok())
            .filter(fs::Metadata::is_file)
            .map(|metadata| metadata.len())
            .sum()
    }

    /// Installs copies of the user's own files under `name`, or one made of the first file's. Files that are those of a net
    /// of the catalogue bring what is known of it.
    ///
    /// # Errors
    /// When the files are no net, the name is none or taken, or the disk is full.
    pub fn add(&self, files: &[PathBuf], name: Option<&str>, options: &LoadOptions) -> Result<Added, StoreError> {
        let files: Vec<PathBuf> = files.iter().chain(&options.weights).cloned().collect();
        let files = files.as_slice();
        let options = &LoadOptions { weights: None, ..options.clone() };
        let published = published_as(files)?;
        let name = name_for(files, name, published)?;
        let options = manifest::merged(options, published.map(Published::options).unwrap_or_default());
        let Loaded { graph, notes, files: read } = formats::load_files(files, &options)?;

        let _lock = self.lock(&name)?;
        if self.folder_of(&name).exists() {
            return Err(StoreError::Taken(name));
        }
        let copies = Copies::of(files, &read, &options)?;
        let staging = self.fresh_staging(&format!("{name}{ADDING}"))?;
        let made = copies.make(&staging).and_then(|entries| {
            let open = files.iter().filter_map(|file| copies.name_of(file)).collect();
            let mut manifest = Manifest::new(&name, open, entries, Options::of(&options, |file| copies.name_of(file)));
            manifest.classes = classes(&graph);
            let Provenance { source, licence } = graph.provenance().clone();
            let or_published = |own: String, known: fn(&Published) -> &'static str| match published {
                Some(net) if own.is_empty() => known(net).to_string(),
                _ => own,
            };
            manifest.summary = or_published(String::new(), |net| net.summary);
            manifest.source = or_published(source, |net| net.page);
            manifest.licence = or_published(licence, |net| net.licence);
            let staged = Installed { folder: staging.clone(), manifest };
            // Apart from what lay beside them, the files may be no net any more.
            staged.open(&LoadOptions::default())?;
            self.commit(staged)
        });
        if made.is_err() {
            let _ = fs::remove_dir_all(&staging);
        }
        Ok(Added { net: made?, notes })
    }

    /// Removes an installed net, and what was fetched of one; gives how many bytes that were.
    ///
    /// # Errors
    /// When there is nothing of that name, or it cannot be removed.
    pub fn remove(&self, name: &str) -> Result<u64, StoreError> {
        let name = names::checked(name)?;
        let name = Published::find(&name).map_or(name, |net| net.name.to_string());
        let (folder, staging) = (self.folder_of(&name), self.staging(&name));
        let [adding, going] = self.left_of(&name);
        let all = [&folder, &staging, &adding, &going];
        if !all.iter().any(|folder| folder.exists()) {
            return Err(StoreError::NotInstalled(name));
        }
        let bytes = all.iter().map(|folder| bytes_in(folder)).sum();
        // Removes the last two.
        let _lock = self.lock(&name)?;
        if folder.exists() {
            // At once for everybody else, even if deleting takes a while.
            let gone = self.fresh_staging(&format!("{name}{GOING}"))?;
            let inside = gone.join(&name);
            fs::rename(&folder, &inside).map_err(StoreError::disk("remove", &folder))?;
            fs::remove_dir_all(&gone).map_err(StoreError::disk("remove", &gone))?;
        }
        if staging.exists() {
            fs::remove_dir_all(&staging).map_err(StoreError::disk("remove", &staging))?;
        }
        Ok(bytes)
    }

    /// Locks a net, and tidies up after a program that was killed while it changed it.
    ///
    /// # Errors
    /// [`StoreError::Busy`] while somebody else has the lock.
    pub(super) fn lock(&self, name: &str) -> Result<Lock, StoreError> {
        let locks = self.folder.join(LOCKS);
        fs::create_dir_all(&locks).map_err(StoreError::disk("make the folder", &locks))?;
        let path = locks.join(name);
        let opened = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let file = opened.map_err(StoreError::disk("write", &path))?;
        match file.try_lock() {
            // Nobody works on these now.
            Ok(()) => self.left_of(name).iter().for_each(|left| _ = fs::remove_dir_all(left)),
            Err(TryLockError::WouldBlock) => return Err(StoreError::Busy(name.into())),
            // Some file systems know no locks; the renames keep a net whole there too.
            Err(TryLockError::Error(_)) => {}
        }
        let (folder, old) = (self.folder_of(name), self.old_of(name));
        if old.is_dir() {
            let _ = if folder.exists() { fs::remove_dir_all(&old) } else { fs::rename(&old, &folder) };
        }
        Ok(Lock { _file: file })
    }

    /// Gives a net that was put together its name, in place of one that was there. The lock must be held.
    pub(super) fn commit(&self, staged: Installed) -> Result<Installed, StoreError> {
        let Installed { folder: staging, manifest } = staged;
        let path = staging.join(manifest::FILE);
        let text = manifest.to_toml().map_err(|error| StoreError::disk("write", &path)(io::Error::other(error)))?;
        atomic::write(&path, text.as_bytes()).map_err(StoreError::disk("write", &path))?;
        let (folder, old) = (self.folder_of(&manifest.name), self.old_of(&manifest.name));
        let replaces = folder.exists();
        if replaces {
            fs::rename(&folder, &old).map_err(StoreError::disk("replace", &folder))?;
        }
        if let Err(error) = fs::rename(&staging, &folder) {
            if replaces {
                // Should this fail too, the next lock puts it back.
                let _ = fs::rename(&old, &folder);
            }
            return Err(StoreError::disk("write", &folder)(error));
        }
        if replaces {
            let _ = fs::remove_dir_all(&old);
        }
        Ok(Installed { folder, manifest })
    }

    /// An empty folder to put something together in.
    pub(super) fn fresh_staging(&self, name: &str) -> Result<PathBuf, StoreError> {
        let staging = self.staging(name);
        if staging.exists() {
            fs::remove_dir_all(&staging).map_err(StoreError::disk("remove", &staging))?;
        }
        fs::create_dir_all(&staging).map_err(StoreError::disk("make the folder", &staging))?;
        Ok(staging)
    }

    /// What is there of a net that is being added or deleted, or was when the program was killed.
    fn left_of(&self, name: &str) -> [PathBuf; 2] {
        [ADDING, GOING].map(|ending| self.staging(&format!("{name}{ending}")))
    }

    /// The predecessor of a net while it is replaced.
    fn old_of(&self, name: &str) -> PathBuf {
        self.staging(&format!("{name}+old"))
    }
}

impl Installed {
    pub fn name(&self) -> &str {
        &self.manifest.name
    }

    /// Whether all its files are there, by their sizes.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when a file is missing or has another size than it had.
    pub fn check(&self) -> Result<(), StoreError> {
        for entry in &self.manifest.files {
            let found = fs::metadata(self.folder.join(&entry.file)).map(|metadata| metadata.len());
            let reason = match found {
                Ok(bytes) if bytes == entry.bytes => continue,
                Ok(bytes) => format!("{} has {bytes} bytes where {} were installed", entry.file, entry.bytes),
                Err(error) => format!("{} cannot be read: {error}", entry.file),
            };
            return Err(StoreError::Damaged { name: self.name().into(), reason });
        }
        Ok(())
    }

    /// Opens the net; `over` goes before what its manifest says.
    ///
    /// # Errors
    /// As for [`Installed::check`], and when a file cannot be read.
    pub fn open(&self, over: &LoadOptions) -> Result<Loaded, StoreError> {
        self.check()?;
        let paths: Vec<PathBuf> = self.manifest.open.iter().map(|name| self.folder.join(name)).collect();
        let options = manifest::merged(over, self.manifest.options.in_folder(&self.folder));
        let mut loaded = formats::load_files(&paths, &options)?;
        if *over == LoadOptions::default() {
            // They were told when the net was installed.
            loaded.notes.clear();
        }
        let Provenance { mut source, mut licence } = loaded.graph.provenance().clone();
        for (known, here) in [(&mut source, &self.manifest.source), (&mut licence, &self.manifest.licence)] {
            if known.is_empty() {
                known.clone_from(here);
            }
        }
        loaded.graph = loaded.graph.with_provenance(Provenance { source, licence });
        Ok(loaded)
    }
}

/// The net of the catalogue whose weights are among these files, by name and sum.
fn published_as(files: &[PathBuf]) -> Result<Option<&'static Published>, StoreError> {
    for net in Published::all() {
        let is_named = |path: &&PathBuf| path.file_name().is_some_and(|name| name.eq_ignore_ascii_case(net.weights));
        let Some(path) = files.iter().find(is_named) else { continue };
        let Some(expected) = net.sum_of(net.weights) else { return Ok(Some(net)) };
        let sums = Sums::of(path, &mut |_| ControlFlow::Continue(())).map_err(StoreError::disk("read", path))?;
        return Ok(sums.differs_from(expected).is_none().then_some(net));
    }
    Ok(None)
}

/// What a net of these files is called.
fn name_for(files: &[PathBuf], name: Option<&str>, published: Option<&Published>) -> Result<String, StoreError> {
    let first = files.first().ok_or(StoreError::NoFiles)?;
    let name = match (name, published) {
        (Some(name), _) => names::checked(name)?,
        (None, Some(net)) => net.name.to_string(),
        (None, None) => first
            .file_stem()
            .and_then(|stem| names::from_file(&stem.to_string_lossy()))
            .ok_or_else(|| StoreError::NoName(first.clone()))?,
    };
    if super::built_in(&name).is_some() {
        return Err(StoreError::BuiltIn(name));
    }
    match Published::find(&name) {
        Some(of_catalogue) if published.is_some_and(|net| net.name == of_catalogue.name) => {
            Ok(of_catalogue.name.into())
        }
        Some(_) => Err(StoreError::OfCatalogue(name)),
        None => Ok(name),
    }
}

/// How many channels the net's output has.
pub(super) fn classes(graph: &Graph) -> usize {
    let shapes = graph.shapes(&graph.native_input_shape(1)).unwrap_or_default();
    shapes.get(graph.output()).and_then(|shape| shape.dims().get(1).copied()).unwrap_or_default()
}

/// What a folder and those below take; links are not followed.
fn bytes_in(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let bytes_of = |entry: fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => bytes_in(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    };
    entries.map(bytes_of).sum()
}

/// Files to be copied into a net's folder, by the names that they get there.
struct Copies {
    by_name: BTreeMap<String, PathBuf>,
}

impl Copies {
    /// The files that the user gave and those that the options name, by their own names; and those that were found beside
    /// them, or in folders there, where they were found.
    fn of(given: &[PathBuf], read: &[PathBuf], options: &LoadOptions) -> Result<Self, StoreError> {
        let architecture = options.architecture.as_ref().map(PathBuf::from).filter(|path| path.is_file());
        let mut copies = Self { by_name: BTreeMap::new() };
        for path in given.iter().chain(&options.labels).chain(&architecture) {
            let folder = path.parent().unwrap_or(Path::new(""));
            copies.take(path, folder)?;
        }
        for path in read {
            if copies.name_of(path).is_some() {
                continue;
            }
            // The weights come first; files that they name are found from their folder.
            let of_weights =
                read.first().and_then(|weights| weights.parent()).filter(|folder| path.starts_with(folder));
            let beside = || given.iter().filter_map(|file| file.parent()).find(|folder| path.parent() == Some(folder));
            let folder = of_weights.or_else(beside).ok_or_else(|| StoreError::Outside(path.clone()))?;
            copies.take(path, folder)?;
        }
        Ok(copies)
    }

    /// Keeps a file by its way from a folder above it.
    fn take(&mut self, path: &Path, folder: &Path) -> Result<(), StoreError> {
        let below = path.strip_prefix(folder).map_err(|_| StoreError::Outside(path.into()))?;
        let parts = below.components().map(|part| match part {
            Component::Normal(part) => Ok(part.to_str()),
            _ => Err(StoreError::Outside(path.into())),
        });
        let parts = parts.collect::<Result<Option<Vec<&str>>, _>>()?;
        let is_kept = |name: &String| names::is_file_below(name) && !name.eq_ignore_ascii_case(manifest::FILE);
        let name = parts.map(|parts| parts.join("/")).filter(is_kept);
        let name = name.ok_or_else(|| StoreError::FileName(path.into()))?;
        // Where capitals do not count, two files that differ in them only are one.
        let other = self.by_name.iter().find(|(other, _)| other.eq_ignore_ascii_case(&name)).map(|(_, other)| other);
        match other {
            Some(other) if !is_same_file(other, path) => Err(StoreError::SameName(other.clone(), path.into())),
            Some(_) => Ok(()),
            None => {
                self.by_name.insert(name, path.into());
                Ok(())
            }
        }
    }

    fn name_of(&self, path: &Path) -> Option<String> {
        let is_it = |copied: &Path| copied == path || is_same_file(copied, path);
        self.by_name.iter().find(|(_, copied)| is_it(copied)).map(|(name, _)| name.clone())
    }

    fn make(&self, folder: &Path) -> Result<Vec<Entry>, StoreError> {
        let copy = |(name, from): (&String, &PathBuf)| {
            let to = folder.join(name);
            if let Some(parent) = to.parent() {
                fs::create_dir_all(parent).map_err(StoreError::disk("make the folder", parent))?;
            }
            fs::copy(from, &to).map_err(|error| match StoreError::disk("copy", from)(error) {
                StoreError::DiskFull(_) => StoreError::DiskFull(to.clone()),
                other => other,
            })?;
            entry(folder, name, None)
        };
        self.by_name.iter().map(copy).collect()
    }
}

/// What the manifest says of a file in a folder, which is put to disk.
pub(super) fn entry(folder: &Path, name: &str, from: Option<String>) -> Result<Entry, StoreError> {
    let path = folder.join(name);
    let sums = Sums::of(&path, &mut |_| ControlFlow::Continue(())).map_err(StoreError::disk("read", &path))?;
    // A file that is not writable cannot be put to disk on some systems, and need not be.
    let _ = OpenOptions::new().write(true).open(&path).and_then(|file| file.sync_all());
    Ok(Entry { file: name.to_string(), bytes: sums.bytes, sha256: sums.sha256, from })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_lie_as_their_originals_do_and_nothing_comes_from_elsewhere() {
        let names = |given: &[&str], read: &[&str]| {
            let [given, read] = [given, read].map(|paths| paths.iter().map(PathBuf::from).collect::<Vec<_>>());
            let copies = Copies::of(&given, &read, &LoadOptions::default())?;
            Ok::<_, StoreError>(copies.by_name.into_keys().collect::<Vec<_>>().join(" "))
        };
        let beside = names(&["zoo/a.onnx"], &["zoo/a.onnx", "zoo/data/w.bin", "zoo/labels.txt"]);
        assert_eq!(beside.ok().as_deref(), Some("a.onnx data/w.bin labels.txt"));
        // A mean that was found beside the description, which was given with weights of another folder.
        let apart = names(&["a/net.prototxt", "b/net.caffemodel"], &["b/net.caffemodel", "a/mean.binaryproto"]);
        assert_eq!(apart.ok().as_deref(), Some("mean.binaryproto net.caffemodel net.prototxt"));
        for outside in ["w.bin", "other/w.bin", "zoo/../w.bin", "/w.bin"] {
            let error = names(&["zoo/a.onnx"], &["zoo/a.onnx", outside]).expect_err(outside);
            assert!(matches!(error, StoreError::Outside(_)), "{error}");
        }
        for strange in ["zoo/.git/w.bin", "zoo/a:b", "zoo/NET.TOML"] {
            let error = names(&["zoo/a.onnx"], &["zoo/a.onnx", strange]).expect_err(strange);
            assert!(matches!(error, StoreError::FileName(_)), "{error}");
        }
    }
}
