//! Taking known files out of zip and tar.gz archives. Paths in an archive are never followed: a member is found by its own
//! name, in whatever folder, and written where the caller says. No more than a bound is ever unpacked.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use zip::ZipArchive;

use super::published::Member;
use crate::formats::MAX_FILE_BYTES;

/// One entry of a tar archive begins with so many bytes, and is padded to a multiple of them.
const TAR_BLOCK_BYTES: usize = 512;

#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error("{} is neither a zip nor a tar.gz archive", .0.display())]
    Unknown(PathBuf),
    #[error("{} is damaged: {reason}", .archive.display())]
    Damaged { archive: PathBuf, reason: String },
    #[error("{} unpacks to more than {MAX_FILE_BYTES} bytes, which is more than any net has", .0.display())]
    TooLarge(PathBuf),
    #[error("there is no {member} in {}", .archive.display())]
    Missing { archive: PathBuf, member: &'static str },
    #[error("cannot write {}: {source}", .path.display())]
    Write { path: PathBuf, source: io::Error },
}

/// Writes the members of an archive into a folder and gives the names that those have there which were in it.
///
/// # Errors
/// When the archive is damaged or lacks a member that is needed, or the disk is full.
pub fn unpack(archive: &Path, members: &[Member], into: &Path) -> Result<Vec<&'static str>, ArchiveError> {
    let damaged = |reason: io::Error| ArchiveError::Damaged { archive: archive.into(), reason: reason.to_string() };
    let mut start = [0; 4];
    File::open(archive).and_then(|mut file| file.read_exact(&mut start)).map_err(damaged)?;
    let taken = match start {
        [b'P', b'K', 3, 4] => from_zip(archive, members, into)?,
        [0x1f, 0x8b, ..] => from_tar_gz(archive, members, into)?,
        _ => return Err(ArchiveError::Unknown(archive.into())),
    };
    match members.iter().find(|member| member.needed && !taken.contains(&member.file)) {
        Some(missing) => Err(ArchiveError::Missing { archive: archive.into(), member: missing.inside }),
        None => Ok(taken),
    }
}

/// The member that a path in an archive is, unless it was taken already.
fn wanted<'a>(path: &str, members: &'a [Member], taken: &[&str]) -> Option<&'a Member> {
    let name = path.rsplit(['/', '\\']).next().unwrap_or_default();
    members.iter().find(|member| member.inside == name && !taken.contains(&member.file))
}

fn from_zip(archive: &Path, members: &[Member], into: &Path) -> Result<Vec<&'static str>, ArchiveError> {
    let damaged = |reason: &dyn ToString| ArchiveError::Damaged { archive: archive.into(), reason: reason.to_string() };
    let file = File::open(archive).map_err(|error| damaged(&error))?;
    let mut zip = ZipArchive::new(BufReader::new(file)).map_err(|error| damaged(&error))?;
    let mut taken = Vec::new();
    let mut left = MAX_FILE_BYTES;
    for i in 0..zip.len() {
        let mut entry = zip.by_index(i).map_err(|error| damaged(&error))?;
        let Ok(name) = entry.name().map(|name| name.into_owned()) else { continue };
        let Some(member) = wanted(&name, members, &taken) else { continue };
        left = write_member(&mut entry, left, archive, &into.join(member.file))?;
        taken.push(member.file);
    }
    Ok(taken)
}

fn from_tar_gz(archive: &Path, members: &[Member], into: &Path) -> Result<Vec<&'static str>, ArchiveError> {
    let damaged = |reason: &dyn ToString| ArchiveError::Damaged { archive: archive.into(), reason: reason.to_string() };
    let file = File::open(archive).map_err(|error| damaged(&error))?;
    // What is skipped counts too.
    let mut tar = GzDecoder::new(BufReader::new(file)).take(MAX_FILE_BYTES + 1);
    let mut taken = Vec::new();
    loop {
        let mut header = [0; TAR_BLOCK_BYTES];
        match tar.read_exact(&mut header) {
            Ok(()) => {}
            Err(_) if tar.limit() == 0 => return Err(ArchiveError::TooLarge(archive.into())),
            // Two blocks of noughts end an archive; some end without.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && !taken.is_empty() => return Ok(taken),
            Err(error) => return Err(damaged(&error)),
        }
        if header.iter().all(|&byte| byte == 0) {
            return Ok(taken);
        }
        let Some(size) = octal(&header[124..136]) else { return Err(damaged(&"a file in it has no size")) };
        let name = header[..100].split(|&byte| byte == 0).next().unwrap_or_default();
        let is_file = matches!(header[156], b'0' | 0);
        let found = if is_file { wanted(&String::from_utf8_lossy(name), members, &taken) } else { None };
        let mut content = tar.by_ref().take(size);
        let read = match found {
            Some(member) => {
                let left = write_member(&mut content, size, archive, &into.join(member.file))?;
                taken.push(member.file);
                size - left
            }
            None => io::copy(&mut content, &mut io::sink()).map_err(|error| damaged(&error))?,
        };
        if read < size {
            return Err(if tar.limit() == 0 {
                ArchiveError::TooLarge(archive.into())
            } else {
                damaged(&"it is cut short")
            });
        }
        let padding = size.next_multiple_of(TAR_BLOCK_BYTES as u64) - size;
        io::copy(&mut tar.by_ref().take(padding), &mut io::sink()).map_err(|error| damaged(&error))?;
    }
}

/// Writes one file of at most `most` bytes and gives how many of them were not needed.
fn write_member(content: &mut dyn Read, most: u64, archive: &Path, path: &Path) -> Result<u64, ArchiveError> {
    let write_error = |source| ArchiveError::Write { path: path.into(), source };
    let mut file = File::create(path).map_err(write_error)?;
    let mut left = most;
    let mut chunk = vec![0; 1 << 16];
    loop {
        let read = content
            .read(&mut chunk)
            .map_err(|error| ArchiveError::Damaged { archive: archive.into(), reason: error.to_string() })?;
        if read == 0 {
            break;
        }
        left = left.checked_sub(read as u64).ok_or_else(|| ArchiveError::TooLarge(archive.into()))?;
        file.write_all(&chunk[..read]).map_err(write_error)?;
    }
    file.sync_all().map_err(write_error)?;
    Ok(left)
}

/// A number as tar writes it: octal digits, then blanks or a nought.
fn octal(field: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(field).ok()?.trim_matches([' ', '\0']);
    u64::from_str_radix(text, 8).ok().filter(|&size| size <= MAX_FILE_BYTES)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    const MEMBERS: [Member; 2] = [
        Member { inside: "net.pb", file: "better.pb", sum: None, needed: true },
        Member { inside: "LICENSE", file: "LICENSE", sum: None, needed: false },
    ];

    fn zip_of(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for (name, bytes) in files {
            zip.start_file(*name, zip::write::SimpleFileOptions::default()).expect("in memory");
            zip.write_all(bytes).expect("in memory");
        }
        zip.finish().expect("in memory").into_inner()
    }

    fn tar_gz_of(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
        for (name, bytes) in files {
            let mut header = [0; TAR_BLOCK_BYTES];
            header[..name.len()].copy_from_slice(name.as_bytes());
            header[124..135].copy_from_slice(format!("{:011o}", bytes.len()).as_bytes());
            header[156] = b'0';
            gz.write_all(&header).expect("in memory");
            gz.write_all(bytes).expect("in memory");
            gz.write_all(&vec![0; bytes.len().next_multiple_of(TAR_BLOCK_BYTES) - bytes.len()]).expect("in memory");
        }
        gz.write_all(&[0; 2 * TAR_BLOCK_BYTES]).expect("in memory");
        gz.finish().expect("in memory")
    }

    #[test]
    fn members_are_found_by_their_own_names_and_nothing_else_is_written() {
        let files: [(&str, &[u8]); 3] =
            [("../../evil.pb", b"evil"), ("deep/er/net.pb", b"a net"), ("net.pb", b"another")];
        for bytes in [zip_of(&files), tar_gz_of(&files)] {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let (archive, into) = (folder.path().join("a"), folder.path().join("into"));
            std::fs::write(&archive, bytes).expect("writable");
            std::fs::create_dir(&into).expect("writable");
            assert_eq!(unpack(&archive, &MEMBERS, &into).expect("sound"), ["better.pb"]);
            assert_eq!(std::fs::read(into.join("better.pb")).expect("there"), b"a net");
            assert_eq!(std::fs::read_dir(&into).expect("there").count(), 1);
            assert_eq!(std::fs::read_dir(folder.path()).expect("there").count(), 2);
        }
    }

    #[test]
    fn a_member_that_is_needed_must_be_there() {
        for bytes in [zip_of(&[("LICENSE", b"free")]), tar_gz_of(&[("LICENSE", b"free")])] {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let archive = folder.path().join("a");
            std::fs::write(&archive, bytes).expect("writable");
            let error = unpack(&archive, &MEMBERS, folder.path()).expect_err("no net").to_string();
            assert!(error.contains("there is no net.pb in "), "{error}");
        }
    }

    #[test]
    fn cut_and_foreign_archives_are_errors() {
        let content: Vec<u8> = (0..20_000_u32).flat_map(|i| (i.wrapping_mul(2_654_435_761)).to_le_bytes()).collect();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let archive = folder.path().join("a");
        for bytes in [zip_of(&[("net.pb", &content)]), tar_gz_of(&[("net.pb", &content)])] {
            for length in (0..bytes.len() - 40).step_by(bytes.len() / 23) {
                std::fs::write(&archive, &bytes[..length]).expect("writable");
                unpack(&archive, &MEMBERS, folder.path()).expect_err("cut short");
            }
        }
        std::fs::write(&archive, "<html>not found</html>").expect("writable");
        let error = unpack(&archive, &MEMBERS, folder.path()).expect_err("no archive").to_string();
        assert!(error.contains("neither a zip nor a tar.gz"), "{error}");
    }

    #[test]
    fn a_size_that_lies_is_an_error_at_once() {
        assert_eq!((octal(b"00000000017\0"), octal(b"      17 \0 ")), (Some(15), Some(15)));
        assert_eq!((octal(b"777777777777"), octal(b"\x80\0\0\0\0\0\0\0"), octal(b"8")), (None, None, None));
    }
}
