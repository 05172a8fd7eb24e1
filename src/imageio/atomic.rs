//! Writing a picture whole or not at all: what may be replaced, and what the errors mean.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::error::ImageError;
use crate::base::atomic::{self, folder_of};

/// Checks that a picture could be written to `path`, before hours of work are spent on it: that no folder, device or
/// read-only file is in its place, and that its folder is writable or can be made. Nothing is left behind.
pub fn check_writable(path: &Path) -> Result<(), ImageError> {
    let target = real_target(path)?;
    let mut folder = folder_of(&target);
    while !folder.exists() {
        folder = folder_of(folder);
    }
    if !folder.is_dir() {
        return Err(ImageError::ParentNotAFolder { path: path.to_path_buf(), blocking: folder.to_path_buf() });
    }
    atomic::temporary_in(folder).map_err(|error| ImageError::writing(path, error))?;
    Ok(())
}

/// Writes `bytes` to `path`, making its folder where it is missing (see [`atomic::write`]). Read-only files are not
/// replaced.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), ImageError> {
    write_with(path, |file| file.write_all(bytes))
}

fn write_with(path: &Path, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), ImageError> {
    let mut draft = Draft::new(path)?;
    fill(draft.draft.file_mut()).map_err(|error| ImageError::writing(path, error))?;
    draft.commit()
}

/// As [`atomic::Draft`], with errors that name the picture.
pub(super) struct Draft<'a> {
    path: &'a Path,
    draft: atomic::Draft,
}

impl<'a> Draft<'a> {
    pub(super) fn new(path: &'a Path) -> Result<Self, ImageError> {
        let target = real_target(path)?;
        let draft = atomic::Draft::new(&target).map_err(|error| match error.kind() {
            // Making folders fails so where a file is in the place of one.
            io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
                ImageError::ParentNotAFolder { path: path.to_path_buf(), blocking: folder_of(&target).to_path_buf() }
            }
            _ => ImageError::writing(path, error),
        })?;
        Ok(Self { path, draft })
    }

    pub(super) fn file(&self) -> &fs::File {
        self.draft.file()
    }

    /// Puts what has been written to disk, then under its name.
    pub(super) fn commit(self) -> Result<(), ImageError> {
        self.draft.commit().map_err(|error| ImageError::writing(self.path, error))
    }
}

/// A file without a name for what is needed until `path` is written, in the folder of `path`: there is room for pictures
/// there, while the system's folder for temporary files may lie in memory.
pub(super) fn scratch_beside(path: &Path) -> Result<fs::File, ImageError> {
    let target = real_target(path)?;
    let folder = folder_of(&target);
    let file = fs::create_dir_all(folder).and_then(|()| tempfile::tempfile_in(folder));
    file.map_err(|error| ImageError::writing(path, error))
}

/// The file that will be replaced: `path`, or what it links to. Refuses what is not a file that may be written.
fn real_target(path: &Path) -> Result<PathBuf, ImageError> {
    if path.file_name().is_none() {
        return Err(ImageError::OutputIsFolder { path: path.to_path_buf() });
    }
    let found = match fs::metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(path.to_path_buf()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            let blocking = path.ancestors().skip(1).find(|folder| folder.exists()).unwrap_or(path);
            return Err(ImageError::ParentNotAFolder { path: path.to_path_buf(), blocking: blocking.to_path_buf() });
        }
        Err(error) => return Err(ImageError::writing(path, error)),
    };
    if found.is_dir() {
        return Err(ImageError::OutputIsFolder { path: path.to_path_buf() });
    }
    if !found.is_file() {
        return Err(ImageError::OutputNotAFile { path: path.to_path_buf() });
    }
    if found.permissions().readonly() {
        return Err(ImageError::OutputReadOnly { path: path.to_path_buf() });
    }
    fs::canonicalize(path).map_err(|error| ImageError::writing(path, error))
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
    fn a_full_disk_leaves_the_old_file_alone() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("a.png");
        fs::write(&path, "old").expect("writable");
        let failed = write_with(&path, |file| {
            file.write_all(b"half of the n")?;
            Err(io::ErrorKind::StorageFull.into())
        });
        assert!(matches!(failed, Err(ImageError::DiskFull { .. })), "{failed:?}");
        assert_eq!(fs::read(&path).expect("still there"), b"old");
        assert_eq!(names(folder.path()), ["a.png"]);
        write(&path, b"new").expect("writable");
        assert_eq!(fs::read(&path).expect("there"), b"new");
        assert_eq!(names(folder.path()), ["a.png"]);
    }

    #[test]
    fn missing_folders_are_made_and_files_in_their_place_refused() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let deep = folder.path().join("x/y/a.png");
        check_writable(&deep).expect("it can be made");
        assert!(names(folder.path()).is_empty(), "checking makes nothing");
        write(&deep, b"new").expect("writable");
        assert_eq!(fs::read(&deep).expect("there"), b"new");

        let below_a_file = deep.join("b.png");
        let deeper_below_a_file = deep.join("z/b.png");
        for path in [&below_a_file, &deeper_below_a_file] {
            for refused in [check_writable(path), write(path, b"new")] {
                let Err(ImageError::ParentNotAFolder { blocking, .. }) = &refused else { panic!("{refused:?}") };
                assert_eq!(blocking, &deep);
            }
        }
        assert_eq!(fs::read(&deep).expect("there"), b"new");
    }

    #[test]
    fn folders_and_read_only_files_are_refused() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for path in [folder.path(), Path::new("/"), Path::new(".."), Path::new("")] {
            let refused = check_writable(path);
            assert!(matches!(refused, Err(ImageError::OutputIsFolder { .. })), "{}: {refused:?}", path.display());
        }
        let path = folder.path().join("a.png");
        fs::write(&path, "old").expect("writable");
        let mut permissions = fs::metadata(&path).expect("there").permissions();
        permissions.set_readonly(true);
        fs::set_permissions(&path, permissions).expect("ours");
        assert!(matches!(check_writable(&path), Err(ImageError::OutputReadOnly { .. })));
        assert!(matches!(write(&path, b"new"), Err(ImageError::OutputReadOnly { .. })));
        assert_eq!(fs::read(&path).expect("there"), b"old");
        check_writable(Path::new("a-name-in-the-working-folder.png")).expect("a bare name is fine");
    }

    #[cfg(unix)]
    #[test]
    fn devices_are_refused_links_followed_and_permissions_kept() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        for device in ["/dev/full", "/dev/null"] {
            assert!(matches!(write(Path::new(device), b"x"), Err(ImageError::OutputNotAFile { .. })));
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (path, link) = (folder.path().join("a.png"), folder.path().join("link.png"));
        fs::write(&path, "old").expect("writable");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("ours");
        symlink(&path, &link).expect("links are made");
        write(&link, b"new").expect("writable");
        assert!(fs::symlink_metadata(&link).expect("there").is_symlink());
        assert_eq!(fs::read(&path).expect("there"), b"new");
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o640);
        // A new file is as readable as one that any other program makes.
        let (fresh, plain) = (folder.path().join("fresh.png"), folder.path().join("plain"));
        write(&fresh, b"new").expect("writable");
        fs::write(&plain, "x").expect("writable");
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode();
        assert_eq!(mode(&fresh), mode(&plain));
    }
}
