//! Files that lie beside a net and may belong to it.

use std::fs;
use std::path::{Path, PathBuf};

/// Folders are not searched beyond this many files.
const MAX_FILES: usize = 10_000;
/// Names that begin with as many equal letters are akin.
const AKIN: usize = 4;
/// More candidates of one kind are not tried.
const MAX_CANDIDATES: usize = 6;

/// The other files of the folder, by name.
pub(super) fn files(path: &Path) -> Vec<PathBuf> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries
        .take(MAX_FILES)
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|file| file.file_name() != path.file_name() && file.is_file())
        .collect();
    files.sort();
    files
}

/// Those that end in one of the extensions (with their dots), the likeliest partner of `path` first: of the same name,
/// then of an akin one or to deploy rather than to train, then of the longest common start.
pub(super) fn partners(path: &Path, files: &[PathBuf], endings: &[&str]) -> Vec<PathBuf> {
    let name_of = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let stem_of = |name: &str| {
        let ending = endings.iter().filter(|ending| name.ends_with(**ending)).map(|ending| ending.len()).max();
        name[..name.len() - ending.unwrap_or_else(|| name.rfind('.').map_or(0, |dot| name.len() - dot))].to_string()
    };
    let own = name_of(path);
    let own_stem = stem_of(&own);
    let rank = |file: &PathBuf| {
        let name = name_of(file);
        let stem = stem_of(&name);
        let common = stem.bytes().zip(own_stem.bytes()).take_while(|(a, b)| a == b).count();
        let is_for_training = name.contains("train") || name.contains("quant");
        let is_akin = common >= AKIN || name.contains("deploy");
        (stem != own_stem, !is_akin, is_for_training, usize::MAX - common, name)
    };
    let is_partner = |file: &&PathBuf| {
        let name = name_of(file);
        endings.iter().any(|ending| name.ends_with(ending)) && !name.contains("solver")
    };
    let mut partners: Vec<PathBuf> = files.iter().filter(is_partner).cloned().collect();
    partners.sort_by_cached_key(rank);
    partners.truncate(MAX_CANDIDATES);
    partners
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_likeliest_partner_comes_first() {
        let files: Vec<PathBuf> =
            ["a/solver.prototxt", "a/train_val.prototxt", "a/bvlc.prototxt", "a/deploy.prototxt", "a/net.txt"]
                .map(Into::into)
                .to_vec();
        let ranked = partners(Path::new("a/bvlc_googlenet.caffemodel"), &files, &[".prototxt"]);
        let names: Vec<_> = ranked.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["bvlc.prototxt", "deploy.prototxt", "train_val.prototxt"]);
        let ranked = partners(Path::new("a/bvlc.caffemodel"), &files, &[".prototxt"]);
        assert_eq!(ranked[0], Path::new("a/bvlc.prototxt"));
    }
}
