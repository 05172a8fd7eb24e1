//! The file that a dream can be gone on from after the program has ended.

use std::path::PathBuf;

use crate::base::atomic::replace_keeping_old;

/// Where a dream keeps its latest frame.
pub(super) struct Checkpoint {
    path: PathBuf,
    /// So that a full disk is told about once.
    has_failed: bool,
}

impl Checkpoint {
    pub fn new(path: PathBuf) -> Self {
        Self { path, has_failed: false }
    }

    /// Writes `bytes` in the place of the last ones, which stay beside them as `PATH.old`. Returns what the user should
    /// know of a failure: a dream is worth more than its checkpoint, and goes on without.
    pub fn write(&mut self, bytes: &[u8]) -> Option<String> {
        let written = replace_keeping_old(&self.path, bytes);
        let error = match written {
            Err(error) if !self.has_failed => error,
            Ok(()) | Err(_) => {
                self.has_failed = written.is_err();
                return None;
            }
        };
        self.has_failed = true;
        Some(format!("the dream goes on, but cannot be kept in {}: {error}", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_last_two_are_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("dream.frame");
        let mut checkpoint = Checkpoint::new(path.clone());
        for bytes in [b"1", b"2", b"3"] {
            assert_eq!(checkpoint.write(bytes), None);
            assert_eq!(fs::read(&path).expect("it is there"), bytes);
        }
        assert_eq!(fs::read(folder.path().join("dream.frame.old")).expect("it is there"), b"2");
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 2);
    }

    #[test]
    fn a_failure_is_told_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let in_the_way = folder.path().join("file");
        fs::write(&in_the_way, "").expect("can be written");
        let path = in_the_way.join("dream.frame");
        let mut checkpoint = Checkpoint::new(path.clone());
        let told = checkpoint.write(b"1").expect("a file is no folder");
        assert!(told.contains("dream.frame"), "{told}");
        assert_eq!(checkpoint.write(b"2"), None);
        fs::remove_file(&in_the_way).expect("can be removed");
        assert_eq!(checkpoint.write(b"3"), None);
        assert_eq!(fs::read(&path).expect("it is there"), b"3");
    }
}
