//! Writing a file whole or not at all.
//!
//! Bytes go to a temporary file beside the target, then to disk, then under the target's name. Missing folders are
//! made, symbolic links are followed, and the permissions of a file that is replaced are kept. On any error what was at
//! the path is untouched and the temporary file is gone.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::{Builder, NamedTempFile};

/// Writes `bytes` to `path`.
///
/// # Errors
/// When the folder cannot be made or written, when the disk is full, and when what is at `path` is no regular file.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_with(path, |file| file.write_all(bytes))
}

/// Writes to `path` what `fill` writes.
///
/// # Errors
/// As for [`write`], and those of `fill`.
pub fn write_with(path: &Path, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut draft = Draft::new(path)?;
    fill(draft.file_mut())?;
    draft.commit()
}

/// A file that is being written beside the one that it will replace. Dropped before [`Draft::commit`] it is removed, and
/// the file that was there is untouched.
#[derive(Debug)]
pub struct Draft {
    target: PathBuf,
    temporary: NamedTempFile,
}

impl Draft {
    /// An empty file that may become `path`. Makes its folder where it is missing.
    ///
    /// # Errors
    /// When the folder cannot be made or written, and when what is at `path` is no regular file.
    pub fn new(path: &Path) -> io::Result<Self> {
        let target = real_target(path)?;
        let folder = folder_of(&target);
        fs::create_dir_all(folder)?;
        let temporary = temporary_in(folder)?;
        Ok(Self { target, temporary })
    }

    pub fn file(&self) -> &fs::File {
        self.temporary.as_file()
    }

    pub fn file_mut(&mut self) -> &mut fs::File {
        self.temporary.as_file_mut()
    }

    /// Puts what has been written to disk, then under its name.
    ///
    /// # Errors
    /// When the disk is full, or the file cannot be replaced.
    pub fn commit(self) -> io::Result<()> {
        let (target, temporary) = self.on_disk()?;
        temporary.persist(&target).map_err(|error| error.error)?;
        sync_folder_of(&target);
        Ok(())
    }

    /// What was written, safe on disk and with the permissions of what it will replace.
    fn on_disk(self) -> io::Result<(PathBuf, NamedTempFile)> {
        let Self { target, temporary } = self;
        if let Ok(existing) = fs::metadata(&target) {
            temporary.as_file().set_permissions(existing.permissions())?;
        }
        temporary.as_file().sync_all()?;
        Ok((target, temporary))
    }
}

/// Writes `bytes` to `path` and keeps the file that was there as [`old_of`] it, in place of an older one.
///
/// At every moment there is a whole file under one of the two names: after a power cut between the two renames the
/// newest is the old one, so a reader that finds no file at `path` looks there.
///
/// # Errors
/// As for [`write`]; the file that was there is then at `path` still.
pub fn replace_keeping_old(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut draft = Draft::new(path)?;
    draft.file_mut().write_all(bytes)?;
    let (target, temporary) = draft.on_disk()?;
    let old = old_of(&target);
    let had_predecessor = match fs::rename(&target, &old) {
        Ok(()) => true,
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => return Err(error),
    };
    if let Err(error) = temporary.persist(&target) {
        if had_predecessor {
            // Nothing better can be done should this fail too: the file is whole, under its other name.
            let _ = fs::rename(&old, &target);
        }
        return Err(error.error);
    }
    sync_folder_of(&target);
    Ok(())
}

/// Where [`replace_keeping_old`] keeps the predecessor of `path`: `NAME.old` beside it.
pub fn old_of(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".old");
    path.with_file_name(name)
}

/// The folder that `path` lies in; the working folder for a bare name.
pub fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
        Some(folder) => folder,
        None => path,
    }
}

/// A temporary file that can become a file like any other: with the permissions of any new file, not the private ones
/// that temporary files have. Removed when dropped.
pub fn temporary_in(folder: &Path) -> io::Result<NamedTempFile> {
    let mut builder = Builder::new();
    builder.prefix(".oneiric-").suffix(".part");
    #[cfg(unix)]
    let readable = <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o666);
    #[cfg(unix)]
    builder.permissions(readable);
    builder.tempfile_in(folder)
}

/// The file that will be replaced: `path`, or what it links to. Folders and devices are not replaced.
fn real_target(path: &Path) -> io::Result<PathBuf> {
    let refused = |kind, reason| Err(io::Error::new(kind, reason));
    if path.file_name().is_none() {
        return refused(io::ErrorKind::IsADirectory, "it names a folder");
    }
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => refused(io::ErrorKind::IsADirectory, "a folder of that name is there"),
        Ok(found) if !found.is_file() => refused(io::ErrorKind::InvalidInput, "what is there is not a regular file"),
        Ok(_) => fs::canonicalize(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(path.to_path_buf()),
        Err(error) => Err(error),
    }
}

/// A new name lasts through a power cut once its folder is on disk too; not every system can do it.
fn sync_folder_of(target: &Path) {
    #[cfg(unix)]
    let _ = fs::File::open(folder_of(target)).and_then(|folder| folder.sync_all());
    #[cfg(not(unix))]
    let _ = target;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("the folder is there");
        let mut names: Vec<_> =
            entries.map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_failure_half_way_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("deep/er/a.txt");
        write(&path, b"old").expect("missing folders are made");
        let failed = write_with(&path, |file| {
            file.write_all(b"half of the n")?;
            Err(io::ErrorKind::StorageFull.into())
        });
        assert_eq!(failed.expect_err("the disk is full").kind(), io::ErrorKind::StorageFull);
        assert_eq!(fs::read(&path).expect("still there"), b"old");
        assert_eq!(names(folder_of(&path)), ["a.txt"]);
    }

    #[test]
    fn folders_are_not_replaced() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for path in [folder.path(), Path::new("/"), Path::new(".."), Path::new("")] {
            for refused in [write(path, b"x"), replace_keeping_old(path, b"x")] {
                let error = refused.expect_err("a folder");
                assert_eq!(error.kind(), io::ErrorKind::IsADirectory, "{}", path.display());
            }
        }
        let below_a_file = folder.path().join("a.txt/b.txt");
        write(&folder.path().join("a.txt"), b"old").expect("writable");
        write(&below_a_file, b"x").expect_err("below a file");
        assert_eq!(names(folder.path()), ["a.txt"]);
    }

    #[test]
    fn the_predecessor_is_kept() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("session.toml");
        for (text, expected) in [("1", &["session.toml"][..]), ("2", &["session.toml", "session.toml.old"]), ("3", &[])]
        {
            replace_keeping_old(&path, text.as_bytes()).expect("writable");
            if !expected.is_empty() {
                assert_eq!(names(folder.path()), expected);
            }
        }
        assert_eq!(fs::read(&path).expect("there"), b"3");
        assert_eq!(fs::read(old_of(&path)).expect("there"), b"2");
        // Something is in the way of the predecessor's name: the file stays where it was.
        fs::remove_file(old_of(&path)).expect("ours");
        fs::create_dir_all(old_of(&path).join("x")).expect("ours");
        replace_keeping_old(&path, b"4").expect_err("a folder cannot be replaced");
        assert_eq!(fs::read(&path).expect("there"), b"3");
        assert_eq!(names(folder.path()), ["session.toml", "session.toml.old"]);
    }

    #[cfg(unix)]
    #[test]
    fn devices_are_refused_links_followed_and_permissions_kept() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        for device in ["/dev/full", "/dev/null"] {
            let error = write(Path::new(device), b"x").expect_err("a device");
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (path, link) = (folder.path().join("a"), folder.path().join("link"));
        fs::write(&path, "old").expect("writable");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("ours");
        symlink(&path, &link).expect("links are made");
        for write in [write, replace_keeping_old] {
            write(&link, b"new").expect("writable");
            assert!(fs::symlink_metadata(&link).expect("there").is_symlink());
            assert_eq!(fs::read(&path).expect("there"), b"new");
            assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o640);
        }
        assert_eq!(names(folder.path()), ["a", "a.old", "link"]);
        // A new file is as readable as one that any other program makes.
        let (fresh, plain) = (folder.path().join("fresh"), folder.path().join("plain"));
        write(&fresh, b"new").expect("writable");
        fs::write(&plain, "x").expect("writable");
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode();
        assert_eq!(mode(&fresh), mode(&plain));
    }
}
