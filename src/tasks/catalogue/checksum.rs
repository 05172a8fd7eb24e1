//! Sums of files, to know that what arrived is what was published.

use std::fs::File;
use std::io::{self, Read as _};
use std::ops::ControlFlow;
use std::path::Path;

use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::published::Sum;

/// How much of a file is read at once.
const CHUNK_BYTES: usize = 1 << 18;

/// The sums of one file, in hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sums {
    pub bytes: u64,
    pub sha1: String,
    pub sha256: String,
}

impl Sums {
    /// Reads a file to its end; `watch` is told how many bytes were read and may break off.
    ///
    /// # Errors
    /// When the file cannot be read; [`io::ErrorKind::Interrupted`] when `watch` broke off.
    pub fn of(path: &Path, watch: &mut dyn FnMut(u64) -> ControlFlow<()>) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let (mut sha1, mut sha256, mut bytes) = (Sha1::new(), Sha256::new(), 0);
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let read = match file.read(&mut chunk) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            sha1.update(&chunk[..read]);
            sha256.update(&chunk[..read]);
            bytes += read as u64;
            if watch(bytes).is_break() {
                return Err(io::ErrorKind::Interrupted.into());
            }
        }
        Ok(Self { bytes, sha1: hexadecimal(&sha1.finalize()), sha256: hexadecimal(&sha256.finalize()) })
    }

    /// What is wrong with a file that should have this sum, in words that follow "its"; `None` where it has it.
    pub fn differs_from(&self, expected: Sum) -> Option<String> {
        let (kind, got, expected, whole) = match expected {
            Sum::Sha1(expected) => ("SHA-1", &self.sha1, expected, true),
            Sum::Sha256(expected) => ("SHA-256", &self.sha256, expected, true),
            Sum::Sha256Start(expected) => ("SHA-256", &self.sha256, expected, false),
        };
        let matches = if whole { got == expected } else { got.starts_with(expected) };
        let dots = if whole { "" } else { "…" };
        (!matches).then(|| format!("{kind} is {got} where {expected}{dots} was published"))
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_the_standards() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("abc");
        std::fs::write(&path, "abc").expect("writable");
        let sums = Sums::of(&path, &mut |_| ControlFlow::Continue(())).expect("readable");
        assert_eq!(sums.bytes, 3);
        // FIPS 180-4, the examples of one block.
        assert_eq!(sums.sha1, "a9993e364706816aba3e25717850c26c9cd0d89d");
        assert_eq!(sums.sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(sums.differs_from(Sum::Sha1("a9993e364706816aba3e25717850c26c9cd0d89d")), None);
        assert_eq!(sums.differs_from(Sum::Sha256Start("ba7816bf")), None);
        let wrong = sums.differs_from(Sum::Sha256Start("00000000")).expect("another file");
        assert!(wrong.contains("SHA-256 is ba7816bf") && wrong.contains("00000000…"), "{wrong}");
        let stopped = Sums::of(&path, &mut |_| ControlFlow::Break(())).expect_err("broken off");
        assert_eq!(stopped.kind(), io::ErrorKind::Interrupted);
    }
}
