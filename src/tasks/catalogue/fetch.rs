//! Fetching a net of the catalogue: its files one by one, then the whole net into its place.

use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::archive::{self, ArchiveError};
use super::checksum::Sums;
use super::download::{self, Arrived, DownloadError, Patience, Step, Wanted};
use super::manifest::{self, Manifest, Options};
use super::published::{Labels, Published, Remote};
use super::store::{self, Installed, Store, StoreError};
use crate::base::atomic;
use crate::formats::{self, FormatError, LoadOptions};
use crate::tasks::home::Home;

/// The environment variable that names a URL (http, https or file) or a folder where files of the catalogue are looked for
/// before their makers' own addresses, as `MIRROR/FILE`: for machines without internet, and for tests.
pub const MIRROR_VARIABLE: &str = "ONEIRIC_MIRROR";

/// Longer lists of names are not read.
const MAX_LABEL_BYTES: u64 = 16 << 20;
const LABEL_FILE: &str = "labels.txt";

/// How to fetch.
#[derive(Clone, Debug)]
pub struct Fetch {
    /// Fetches a net that is installed again, and puts the new one in its place. A damaged one is fetched again in any
    /// case.
    pub again: bool,
    /// A URL or a folder that is asked first.
    pub mirror: Option<String>,
    /// Whether the makers' own addresses are asked too.
    pub makers: bool,
    pub patience: Patience,
}

impl Default for Fetch {
    /// Not again, and by the mirror of the environment.
    fn default() -> Self {
        let mirror = std::env::var(MIRROR_VARIABLE).ok().filter(|mirror| !mirror.trim().is_empty());
        Self { again: false, mirror, makers: true, patience: Patience::default() }
    }
}

/// How far a net is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    pub stage: Stage,
    /// The file in work.
    pub file: &'static str,
    /// Its number, from 1, of how many.
    pub number: usize,
    pub files: usize,
    /// Of the file.
    pub bytes: u64,
    /// Of the file, as far as it is known.
    pub total: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Fetching,
    /// The sum of the file is compared.
    Checking,
    Unpacking,
    /// All files are there; the net is opened, to see that it can be.
    Opening,
}

/// A net that is installed now.
#[derive(Debug)]
pub struct Fetched {
    pub net: Installed,
    /// Whether it was before; then nothing was fetched.
    pub was_there: bool,
    /// Whole sentences about what was assumed of its files.
    pub notes: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("no net `{name}` can be fetched; these can: {}", .known.join(", "))]
    Unknown { name: String, known: Vec<&'static str> },
    #[error("`{0}` is part of the program: there is nothing to fetch")]
    BuiltIn(&'static str),
    #[error("{MIRROR_VARIABLE} is `{0}`: give a folder, or an address that begins with http://, https:// or file:///")]
    Mirror(String),
    #[error("stopped; what has arrived of `{0}` is kept, and `oneiric nets get {0}` goes on from there")]
    Cancelled(&'static str),
    #[error("{source}; try again later, or put {file} into {} by hand and run `oneiric nets get {net}` again", .folder.display())]
    Unavailable { net: &'static str, file: &'static str, folder: PathBuf, source: DownloadError },
    #[error(transparent)]
    Disk(DownloadError),
    /// `fate` says what became of the archive, as the end of the sentence.
    #[error("{source}{fate}")]
    Archive { source: ArchiveError, fate: String },
    /// `fate` says what became of its files, as the end of the sentence.
    #[error("`{net}` has arrived in {}, but cannot be opened: {source}{fate}", .folder.display())]
    Unusable { net: &'static str, folder: PathBuf, source: Box<FormatError>, fate: String },
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl FetchError {
    /// Whether the machine or the network is at fault, and not what the user asked for.
    pub fn is_of_machine(&self) -> bool {
        match self {
            Self::Unknown { .. } | Self::BuiltIn(_) | Self::Mirror(_) => false,
            Self::Store(error) => error.is_of_machine(),
            _ => true,
        }
    }
}

/// Fetches a net into the user's data unless it is there. `on_progress` may break it off; what has arrived is then kept,
/// and the next call goes on from there.
///
/// # Errors
/// When there is no such net, no address has its files, the disk is full, or somebody else is fetching it.
pub fn fetch(
    name: &str,
    home: &Home,
    on_progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Fetched, FetchError> {
    Fetch::default().run(name, home, on_progress)
}

impl Fetch {
    /// As [`fetch`].
    pub fn run(
        &self,
        name: &str,
        home: &Home,
        on_progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Fetched, FetchError> {
        if let Some(entry) = super::built_in(name) {
            return Err(FetchError::BuiltIn(entry.name));
        }
        let Some(net) = Published::find(name) else {
            let known = Published::all().iter().map(|net| net.name).collect();
            return Err(FetchError::Unknown { name: name.chars().take(80).collect(), known });
        };
        self.run_for(net, &Store::of(home), on_progress)
    }

    pub(super) fn run_for(
        &self,
        net: &'static Published,
        store: &Store,
        on_progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Fetched, FetchError> {
        let _lock = store.lock(net.name)?;
        if !self.again
            && let Some(installed) = whole(store, net)?
        {
            return Ok(Fetched { net: installed, was_there: true, notes: Vec::new() });
        }
        let staging = store.staging(net.name);
        let disk = |source| FetchError::Disk(DownloadError::Disk { path: staging.clone(), source });
        fs::create_dir_all(&staging).map_err(disk)?;
        let (mut files, mut notes) = (Vec::new(), Vec::new());
        for (i, remote) in net.files.iter().enumerate() {
            let (kept, note) = self.fetch_file(net, remote, i, &staging, on_progress)?;
            files.extend(kept);
            notes.extend(note);
        }
        let (manifest, more_notes) = assemble(net, files, &staging, on_progress)?;
        notes.extend(more_notes);
        let installed = store.commit(Installed { folder: staging, manifest })?;
        Ok(Fetched { net: installed, was_there: false, notes })
    }

    /// Fetches one file, unpacks it if it is an archive, and gives the names of what is to be kept with the address that
    /// it came from, and what is to be told.
    fn fetch_file(
        &self,
        net: &'static Published,
        remote: &'static Remote,
        i: usize,
        staging: &Path,
        on_progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<(Vec<FromWhere>, Option<String>), FetchError> {
        let progress = |stage, bytes, total| Progress {
            stage,
            file: remote.file,
            number: i + 1,
            files: net.files.len(),
            bytes,
            total,
        };
        let mirrored = self.mirror.as_ref().map(|mirror| in_mirror(mirror, remote.file)).transpose()?;
        let urls = remote.urls.iter().filter(|_| self.makers).map(|url| url.to_string());
        let addresses = mirrored.into_iter().chain(urls).collect();
        let wanted = Wanted { file: remote.file.into(), addresses, size: remote.size, sum: remote.sum };
        let watch = &mut |step| match step {
            Step::Fetching { bytes, total } => on_progress(progress(Stage::Fetching, bytes, total)),
            Step::Checking { bytes, total } => on_progress(progress(Stage::Checking, bytes, Some(total))),
        };
        let arrived = download::fetch(&wanted, staging, &self.patience, watch).map_err(|error| match error {
            DownloadError::Cancelled => FetchError::Cancelled(net.name),
            DownloadError::Unavailable { .. } => {
                let folder = staging.to_path_buf();
                FetchError::Unavailable { net: net.name, file: remote.file, folder, source: error }
            }
            error => FetchError::Disk(error),
        })?;
        let Arrived { path, address, sums, note } = arrived;
        if remote.members.is_empty() {
            return Ok((vec![(remote.file, address)], note));
        }
        if on_progress(progress(Stage::Unpacking, sums.bytes, Some(sums.bytes))).is_break() {
            return Err(FetchError::Cancelled(net.name));
        }
        let taken = unpacked(&path, remote, staging).map_err(|source| {
            // Otherwise the next call would find the same file there and go no further.
            let is_wrong = !matches!(source, ArchiveError::Write { .. });
            let fate = if is_wrong { reject(staging, [remote.file]) } else { String::new() };
            FetchError::Archive { source, fate }
        })?;
        Ok((taken.into_iter().map(|file| (file, address.clone())).collect(), note))
    }
}

/// The installed net; a damaged one is as good as none.
fn whole(store: &Store, net: &Published) -> Result<Option<Installed>, StoreError> {
    let found = store.find(net.name).and_then(|found| match found {
        Some(installed) => installed.check().map(|()| Some(installed)),
        None => Ok(None),
    });
    match found {
        Err(StoreError::Damaged { .. }) => Ok(None),
        found => found,
    }
}

/// A file of a net, and the address that it came from unless it was put there by hand.
type FromWhere = (&'static str, Option<String>);

/// Takes out of an archive what is wanted of it, and gives the names.
fn unpacked(archive: &Path, remote: &Remote, staging: &Path) -> Result<Vec<&'static str>, ArchiveError> {
    let taken = archive::unpack(archive, remote.members, staging)?;
    for member in remote.members.iter().filter(|member| taken.contains(&member.file)) {
        let Some(expected) = member.sum else { continue };
        let path = staging.join(member.file);
        let sums = Sums::of(&path, &mut |_| ControlFlow::Continue(()))
            .map_err(|source| ArchiveError::Write { path, source })?;
        if let Some(how) = sums.differs_from(expected) {
            let reason = format!("of {} in it, the {how}", member.file);
            return Err(ArchiveError::Damaged { archive: archive.into(), reason });
        }
    }
    Ok(taken)
}

/// Takes files that are of no use out of the way of the next call; gives what became of them, as the end of a sentence.
fn reject(staging: &Path, files: impl IntoIterator<Item = &'static str>) -> String {
    let told = files.into_iter().filter_map(|file| match download::reject(&staging.join(file)) {
        Ok(None) => Some(format!("; {file} was removed")),
        Ok(Some(aside)) => Some(format!("; {file} is kept as {aside}")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => Some(format!("; remove {file}, which cannot be removed: {error}")),
    });
    told.collect()
}

/// Where a mirror has a file: a URL, or a path.
fn in_mirror(mirror: &str, file: &str) -> Result<String, FetchError> {
    let in_folder = |folder: &str| Ok(Path::new(folder).join(file).to_string_lossy().into_owned());
    let refused = || Err(FetchError::Mirror(mirror.chars().take(200).collect()));
    let Some((scheme, rest)) = mirror.split_once("://") else { return in_folder(mirror) };
    match scheme.to_ascii_lowercase().as_str() {
        scheme @ ("http" | "https") => Ok(format!("{scheme}://{}/{file}", rest.trim_end_matches('/'))),
        "file" => {
            let path = rest.strip_prefix("localhost").unwrap_or(rest);
            // Windows writes file:///C:/nets.
            let drive = path.strip_prefix('/').filter(|path| path.as_bytes().get(1) == Some(&b':'));
            if path.starts_with('/') { in_folder(drive.unwrap_or(path)) } else { refused() }
        }
        _ => refused(),
    }
}

/// Opens what has arrived, to see that it is a net, and writes down what it is. Leaves nothing else in the folder.
fn assemble(
    net: &'static Published,
    files: Vec<FromWhere>,
    staging: &Path,
    on_progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<(Manifest, Vec<String>), FetchError> {
    let (number, total) = (net.files.len(), net.bytes());
    let bytes = total.unwrap_or_default();
    let opening = Progress { stage: Stage::Opening, file: net.weights, number, files: number, bytes, total };
    if on_progress(opening).is_break() {
        return Err(FetchError::Cancelled(net.name));
    }
    // Files with a sum are right; what is wrong is another one, or this program.
    let doubtful = || net.files.iter().filter(|remote| remote.sum.is_none()).map(|remote| remote.file);
    let unusable = |source| {
        let (source, fate) = (Box::new(source), reject(staging, doubtful()));
        FetchError::Unusable { net: net.name, folder: staging.into(), source, fate }
    };
    let paths = [staging.join(net.weights)];
    let loaded = formats::load_files(&paths, &net.options()).map_err(unusable)?;
    let classes = store::classes(&loaded.graph);
    drop(loaded.graph);

    let mut kept = files;
    let labels = labels_of(net, staging, classes)?;
    if labels.is_some() {
        kept.push((LABEL_FILE, None));
    }
    let options = LoadOptions { labels, ..net.options() };
    // Once more with its names, which the loader may find wrong.
    if options.labels.is_some() {
        formats::load_files(&paths, &options).map_err(unusable)?;
    }
    let entries =
        kept.into_iter().map(|(file, from)| store::entry(staging, file, from)).collect::<Result<Vec<_>, _>>()?;
    let open = vec![net.weights.to_string()];
    let stored = |path: &Path| path.starts_with(staging).then(|| LABEL_FILE.to_string());
    let mut manifest = Manifest::new(net.name, open, entries, Options::of(&options, stored));
    manifest.summary = net.summary.into();
    manifest.source = net.page.into();
    manifest.licence = net.licence.into();
    manifest.classes = classes;
    clear(staging, &manifest)
        .map_err(|source| FetchError::Disk(DownloadError::Disk { path: staging.into(), source }))?;
    Ok((manifest, loaded.notes))
}

/// Writes the names of the classes, one a line, where the loader does not know them; gives the file.
fn labels_of(net: &Published, staging: &Path, classes: usize) -> Result<Option<PathBuf>, FetchError> {
    let (file, name): (_, fn(&str) -> String) = match net.labels {
        Labels::Known => return Ok(None),
        Labels::Lines(file) => (file, |line| line.trim().to_string()),
        Labels::Places(file) => (file, place),
    };
    let path = staging.join(file);
    let disk = |path: &Path, source| FetchError::Disk(DownloadError::Disk { path: path.into(), source });
    let text = match fs::metadata(&path) {
        Ok(metadata) if metadata.len() <= MAX_LABEL_BYTES => fs::read(&path).map_err(|source| disk(&path, source))?,
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(disk(&path, error)),
        // An archive may lack them; a list of that size is none.
        _ => return Ok(None),
    };
    let text = String::from_utf8_lossy(&text);
    let mut names: Vec<String> = text.lines().map(name).filter(|name| !name.is_empty()).collect();
    if names.is_empty() || names.len() > classes {
        // No names are better than wrong ones.
        return Ok(None);
    }
    // Google's Inception has outputs that no class was ever given.
    let named = names.len();
    names.extend((named..classes).map(|class| format!("unused {class}")));
    let path = staging.join(LABEL_FILE);
    atomic::write(&path, (names.join("\n") + "\n").as_bytes()).map_err(|source| disk(&path, source))?;
    Ok(Some(path))
}

/// `airport terminal` of `/a/airport_terminal 2`, and `apartment building, outdoor` of
/// `/a/apartment_building/outdoor 8`.
fn place(line: &str) -> String {
    let path = line.trim().rsplit_once([' ', ',', '\t']).map_or(line.trim(), |(path, _)| path.trim());
    let mut parts = path.split('/').filter(|part| !part.is_empty());
    // The folder is the first letter of the name.
    let rest: Vec<&str> = match parts.next() {
        Some(letter) if letter.len() == 1 => parts.collect(),
        Some(first) => std::iter::once(first).chain(parts).collect(),
        None => Vec::new(),
    };
    rest.join(", ").replace('_', " ")
}

/// Removes what a download leaves that is no part of the net: archives, notes, parts; not what the user was told is kept.
fn clear(staging: &Path, manifest: &Manifest) -> io::Result<()> {
    for entry in fs::read_dir(staging)? {
        let entry = entry?;
        let name = entry.file_name();
        let is_listed = manifest.files.iter().any(|file| name == *file.file);
        let is_kept = is_listed || name == manifest::FILE || download::is_rejected(name.as_ref());
        if !is_kept {
            let is_folder = entry.file_type()?.is_dir();
            if is_folder { fs::remove_dir_all(entry.path())? } else { fs::remove_file(entry.path())? }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_named_as_people_do() {
        for (line, name) in [
            ("/a/airport_terminal 2", "airport terminal"),
            ("/a/apartment_building/outdoor 8", "apartment building, outdoor"),
            ("/a/abbey,0", "abbey"),
            ("", ""),
            ("abbey 3", "abbey"),
        ] {
            assert_eq!(place(line), name, "{line}");
        }
    }

    #[test]
    fn lists_of_names_fit_their_net_or_are_left_out() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let net = Published::find("inception5h").expect("it is in the catalogue");
        let Labels::Lines(file) = net.labels else { panic!("it has a list of names") };
        let labels = |classes| {
            let path = labels_of(net, folder.path(), classes).expect("readable")?;
            fs::read_to_string(path).ok()
        };
        assert_eq!(labels(3), None, "there is no list");
        fs::write(folder.path().join(file), "dummy\r\nkit fox\n\n").expect("writable");
        assert_eq!(labels(3).as_deref(), Some("dummy\nkit fox\nunused 2\n"));
        assert_eq!(labels(2).as_deref(), Some("dummy\nkit fox\n"));
        assert_eq!(labels(1), None, "there are more names than classes");
    }

    #[test]
    fn mirrors_are_urls_or_folders() {
        let at = |mirror: &str| in_mirror(mirror, "x.pb").map(PathBuf::from).map_err(|error| error.to_string());
        for (mirror, place) in [
            ("http://a:1/nets/", "http://a:1/nets/x.pb"),
            ("HTTPS://a", "https://a/x.pb"),
            ("nets", "nets/x.pb"),
            ("file:///media/stick", "/media/stick/x.pb"),
            ("file://localhost/media/stick/", "/media/stick/x.pb"),
            ("file:///C:/nets", "C:/nets/x.pb"),
        ] {
            assert_eq!(at(mirror), Ok(PathBuf::from(place)), "{mirror}");
        }
        for mirror in ["ftp://a/nets", "file://server/nets", "file://", "://a", "s3://nets"] {
            let error = at(mirror).expect_err(mirror);
            assert!(error.contains(MIRROR_VARIABLE) && error.contains(&format!("`{mirror}`")), "{error}");
        }
    }
}
