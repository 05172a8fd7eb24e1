//! Which pictures a folder holds, and which file a dream goes to.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::{fs, io};

/// Endings of the pictures that a folder is searched for. A file that is named is opened whatever its ending.
pub const PICTURE_ENDINGS: [&str; 8] = ["png", "jpg", "jpeg", "webp", "tif", "tiff", "bmp", "gif"];

/// The pictures in a folder, by their endings, in the order of their names; not those in folders below, nor hidden ones.
pub fn pictures_in(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let is_hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
        let is_picture = ending.is_some_and(|ending| PICTURE_ENDINGS.contains(&ending.as_str()));
        if is_picture && !is_hidden && path.is_file() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// `STEM-dream.png`, or the first of `STEM-dream-2.png`, `STEM-dream-3.png`, … that is not there.
pub fn fresh_name(folder: &Path, stem: &OsStr) -> PathBuf {
    let mut stem = OsString::from(stem);
    stem.push("-dream");
    unused_name(folder, &stem)
}

/// `STEM.png`, or the first of `STEM-2.png`, `STEM-3.png`, … that is not there.
pub fn unused_name(folder: &Path, stem: &OsStr) -> PathBuf {
    let numbered = |number: usize| {
        let mut name = OsString::from(stem);
        name.push(if number == 1 { ".png".to_string() } else { format!("-{number}.png") });
        folder.join(name)
    };
    let is_free = |path: &PathBuf| path.symlink_metadata().is_err();
    (1..).map(numbered).find(is_free).expect("some number is free")
}

/// Whether both names lead to one file, through links or not.
pub fn is_same_file(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}
