//! Which photos are meant, and which file each dream goes to.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};

use super::failure::Failure;
use crate::tasks::destination::{fresh_name, is_same_file, pictures_in};

/// The photos that `paths` mean: files are themselves, folders the pictures in them (not those in folders below) in the
/// order of their names.
pub fn expand_folders(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut photos = Vec::new();
    for path in paths {
        if path.is_dir() {
            let found = pictures_in(path).with_context(|| format!("cannot read the folder {}", path.display()));
            let found = found.map_err(Failure::Input)?;
            if found.is_empty() {
                return Err(Failure::Input(anyhow!("there is no picture in the folder {}", path.display())));
            }
            photos.extend(found);
        } else {
            photos.push(path.clone());
        }
    }
    Ok(photos)
}

/// Where dreams go.
#[derive(Debug, PartialEq, Eq)]
pub enum Destination {
    /// One dream, to this very file, which is replaced.
    File(PathBuf),
    /// Dreams under fresh names in this folder.
    Folder(PathBuf),
}

impl Destination {
    /// What `--out` means: a folder where it says so, where one is there, or where there are `many` dreams; without it
    /// the present folder. A folder that is not there is made when the first dream is saved.
    pub fn new(out: Option<&Path>, many: bool) -> Result<Self, Failure> {
        let Some(out) = out else { return Ok(Self::Folder(PathBuf::new())) };
        let says_folder = out.as_os_str().to_string_lossy().ends_with(std::path::is_separator);
        if many && out.is_file() {
            let problem = "is a file, but several dreams need a folder: give --out a folder";
            return Err(Failure::Input(anyhow!("{} {problem}", out.display())));
        }
        let is_folder = many || says_folder || out.is_dir();
        Ok(if is_folder { Self::Folder(out.to_path_buf()) } else { Self::File(out.to_path_buf()) })
    }

    /// The file for the dream of `photo` (or of noise).
    pub fn file_for(&self, photo: Option<&Path>) -> Result<PathBuf, Failure> {
        match self {
            Self::File(path) => {
                if photo.is_some_and(|photo| is_same_file(photo, path)) {
                    let problem = "is the photo itself: choose another name for --out";
                    return Err(Failure::Input(anyhow!("{} {problem}", path.display())));
                }
                Ok(path.clone())
            }
            Self::Folder(folder) => {
                let stem = photo.and_then(Path::file_stem).unwrap_or("noise".as_ref());
                Ok(fresh_name(folder, stem))
            }
        }
    }
}

/// The name of `out` with the number of a step: `dream.png` becomes `dream-step0040.png`.
pub fn with_step(out: &Path, step: usize) -> PathBuf {
    let mut name = out.file_stem().unwrap_or_default().to_os_string();
    name.push(format!("-step{step:04}"));
    if let Some(extension) = out.extension() {
        name.push(".");
        name.push(extension);
    }
    out.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().expect("a folder for the test")
    }

    #[test]
    fn a_folder_is_its_pictures_in_order() {
        let folder = folder();
        for name in ["b.JPG", "a.png", "notes.txt", ".hidden.png", "c"] {
            fs::write(folder.path().join(name), "").expect("can write");
        }
        fs::create_dir(folder.path().join("d.png")).expect("can make a folder");
        let single = PathBuf::from("no such file");
        let photos = expand_folders(&[folder.path().to_path_buf(), single.clone()]).expect("there are pictures");
        assert_eq!(photos, [folder.path().join("a.png"), folder.path().join("b.JPG"), single]);
        let empty = folder.path().join("d.png");
        assert!(matches!(expand_folders(&[empty]), Err(Failure::Input(_))));
    }

    #[test]
    fn chosen_names_never_meet_a_file() {
        let folder = folder();
        let destination = Destination::new(Some(folder.path()), false).expect("a folder");
        let mut names = Vec::new();
        for photo in ["x/cat.jpg", "y/cat.png", "cat.jpg"] {
            let path = destination.file_for(Some(Path::new(photo))).expect("a name");
            fs::write(&path, "").expect("can write");
            names.push(path.file_name().expect("a name").to_string_lossy().into_owned());
        }
        assert_eq!(names, ["cat-dream.png", "cat-dream-2.png", "cat-dream-3.png"]);
        assert_eq!(destination.file_for(None).ok(), Some(folder.path().join("noise-dream.png")));
    }

    #[test]
    fn out_is_a_file_or_a_folder() {
        let folder = folder();
        let file = folder.path().join("is.png");
        fs::write(&file, "").expect("can write");
        let new = folder.path().join("new.png");
        let slash = PathBuf::from(format!("{}/", folder.path().join("new").display()));
        let made = |out: Option<&Path>, many| Destination::new(out, many).ok();
        assert_eq!(made(None, true), Some(Destination::Folder(PathBuf::new())));
        assert_eq!(made(Some(&new), false), Some(Destination::File(new.clone())));
        assert_eq!(made(Some(&new), true), Some(Destination::Folder(new.clone())));
        assert_eq!(made(Some(&slash), false), Some(Destination::Folder(slash.clone())));
        assert_eq!(made(Some(folder.path()), false), Some(Destination::Folder(folder.path().to_path_buf())));
        assert_eq!(made(Some(&file), true), None);
    }

    #[test]
    fn a_photo_is_never_replaced_by_its_own_dream() {
        let folder = folder();
        let photo = folder.path().join("photo.png");
        fs::write(&photo, "").expect("can write");
        let destination = Destination::new(Some(&photo), false).expect("a file");
        assert!(matches!(destination.file_for(Some(&photo)), Err(Failure::Input(_))));
    }

    #[test]
    fn steps_are_numbered_in_the_name() {
        assert_eq!(with_step(Path::new("a/b.c.png"), 40), Path::new("a/b.c-step0040.png"));
        assert_eq!(with_step(Path::new("b"), 12345), Path::new("b-step12345"));
    }
}
