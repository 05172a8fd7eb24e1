//! Fetching one file over HTTP: resumed where it broke off, tried again, checked before anybody sees it.
//!
//! What has arrived is kept in `FILE.part` beside the place of the whole file, with a note of where it comes from; the next
//! call goes on from there. The file gets its name once its size and its sum are right.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::checksum::Sums;
use super::published::{Size, Sum};

mod origin;
mod part;
#[cfg(test)]
pub(super) mod server;
#[cfg(test)]
mod tests;

use origin::{Ask, Head, Message, Origin, Trouble};
use part::{Note, Part, Sink};

pub use part::{is_rejected, reject};

/// How often somebody who waits for the network is asked whether to go on.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Never waits longer than this before another attempt.
const LONGEST_PAUSE: Duration = Duration::from_secs(20);
/// An attempt that brought something does not count, but there is an end to everything.
const MOST_ATTEMPTS: u32 = 200;

/// What to fetch.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub file: String,
    /// Where it may be, tried in turn: URLs, and paths of files.
    pub addresses: Vec<String>,
    pub size: Size,
    pub sum: Option<Sum>,
}

/// How patient to be.
#[derive(Clone, Debug)]
pub struct Patience {
    /// For a connection to be made.
    pub connect: Duration,
    /// Without a single byte from a server that is connected.
    pub stall: Duration,
    /// How often an address is tried that brings nothing.
    pub attempts: u32,
    /// Before the second attempt; twice as long before each further one.
    pub pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(15),
            stall: Duration::from_secs(30),
            attempts: 3,
            pause: Duration::from_secs(1),
        }
    }
}

/// How far one file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Bytes that have arrived, and how many there will be.
    Fetching { bytes: u64, total: Option<u64> },
    /// Bytes that have been summed.
    Checking { bytes: u64, total: u64 },
}

/// A file that is there and right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrived {
    pub path: PathBuf,
    /// Where it came from; `None` where somebody put it there by hand.
    pub address: Option<String>,
    pub sums: Sums,
    /// What became of a wrong file that somebody had put in its place, as a sentence.
    pub note: Option<String>,
}

/// Why a file is not there.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    #[error("stopped")]
    Cancelled,
    #[error("{file} could not be fetched: {}", .tried.join("; "))]
    Unavailable {
        file: String,
        /// What each address did, in words that name its host.
        tried: Vec<String>,
    },
    #[error(
        "the disk is full: {} got no further than {bytes} bytes; make room and start again, it goes on from there",
        .path.display()
    )]
    DiskFull { path: PathBuf, bytes: u64 },
    #[error("cannot write {}: {source}", .path.display())]
    Disk { path: PathBuf, source: io::Error },
}

/// Whoever is told how far it is, and may break it off.
pub type Watch<'a> = &'a mut dyn FnMut(Step) -> ControlFlow<()>;

/// How one attempt at one address ended without the file.
enum Setback {
    /// Nothing more to be had there.
    GiveUp(String),
    /// Another attempt may bring more.
    TryAgain(String),
    Final(DownloadError),
}

/// Fetches a file into a folder that is there, under its name.
///
/// # Errors
/// When no address gives the file that is wanted, the disk is full, or `watch` broke it off; what has arrived stays, unless
/// its sum is wrong.
pub fn fetch(wanted: &Wanted, folder: &Path, patience: &Patience, watch: Watch<'_>) -> Result<Arrived, DownloadError> {
    let path = folder.join(&wanted.file);
    let note = match already_there(wanted, &path, watch)? {
        Found::Right(arrived) => return Ok(arrived),
        Found::Nothing => None,
        Found::PutAside(note) => Some(note),
    };
    let disk = |source| DownloadError::Disk { path: path.clone(), source };
    let mut part = Part::open(&path).map_err(disk)?;
    let mut tried: Vec<String> = note.iter().cloned().collect();
    for address in &wanted.addresses {
        match checked_from(wanted, address, &mut part, patience, watch) {
            Ok(sums) => {
                part.finish().map_err(disk)?;
                return Ok(Arrived { path, address: Some(address.clone()), sums, note });
            }
            Err(Setback::GiveUp(why) | Setback::TryAgain(why)) => {
                tried.push(format!("{} {why}", origin::host(address)))
            }
            Err(Setback::Final(error)) => return Err(error),
        }
    }
    if part.bytes() == 0 {
        part.discard();
    }
    Err(DownloadError::Unavailable { file: wanted.file.clone(), tried })
}

/// What is in the place of the whole file.
enum Found {
    Right(Arrived),
    Nothing,
    /// A wrong one that somebody had put there by hand; what became of it, as a sentence.
    PutAside(String),
}

/// Looks for a file that an earlier call fetched whole, or that somebody put there by hand; a wrong one is rejected.
fn already_there(wanted: &Wanted, path: &Path, watch: Watch<'_>) -> Result<Found, DownloadError> {
    let Ok(metadata) = fs::metadata(path) else { return Ok(Found::Nothing) };
    let sums = sums_of(path, metadata.len(), watch)?;
    let Some(instead) = instead(wanted, path, &sums) else {
        let address = part::origin_of(path).map(|note| note.address);
        return Ok(Found::Right(Arrived { path: path.into(), address, sums, note: None }));
    };
    let aside = reject(path).map_err(|source| DownloadError::Disk { path: path.into(), source })?;
    Ok(aside.map_or(Found::Nothing, |aside| {
        let file = &wanted.file;
        Found::PutAside(format!("what was put there by hand as {file} is {instead}; it is kept as {aside}"))
    }))
}

fn sums_of(path: &Path, total: u64, watch: Watch<'_>) -> Result<Sums, DownloadError> {
    Sums::of(path, &mut |bytes| watch(Step::Checking { bytes, total })).map_err(|source| {
        if source.kind() == io::ErrorKind::Interrupted {
            DownloadError::Cancelled
        } else {
            DownloadError::Disk { path: path.into(), source }
        }
    })
}

/// What a file is that is not the wanted one.
fn instead(wanted: &Wanted, path: &Path, sums: &Sums) -> Option<String> {
    if is_web_page(path) && !wanted.file.ends_with(".html") {
        return Some(format!("a web page instead of {}", wanted.file));
    }
    let complaint = match wanted.size {
        Size::Exact(bytes) if bytes != sums.bytes => Some(format!("size is {} bytes, not {bytes}", sums.bytes)),
        _ if sums.bytes == 0 => Some("size is 0 bytes".into()),
        _ => wanted.sum.and_then(|sum| sums.differs_from(sum)),
    };
    complaint.map(|complaint| format!("another file: its {complaint}"))
}

/// Whether a file begins as web pages do: many a server has one in place of a file that is gone.
fn is_web_page(path: &Path) -> bool {
    let mut start = Vec::new();
    let read = File::open(path).and_then(|file| file.take(1 << 10).read_to_end(&mut start));
    let start = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&start).trim_ascii_start().to_ascii_lowercase();
    read.is_ok() && [&b"<!doctype"[..], b"<html"].iter().any(|page| start.starts_with(page))
}

/// Takes the whole file from one address and sums it. A wrong file is forgotten; when a part of it was there before, it is
/// fetched once more from its beginning, for that part may have been of another version.
fn checked_from(
    wanted: &Wanted,
    address: &str,
    part: &mut Part,
    patience: &Patience,
    watch: Watch<'_>,
) -> Result<Sums, Setback> {
    loop {
        let resumed = part.bytes() > 0;
        from_address(wanted, address, part, patience, watch)?;
        part.sync().map_err(|source| disk(part, source))?;
        let sums = sums_of(&part.path, part.bytes(), watch).map_err(Setback::Final)?;
        let Some(instead) = instead(wanted, &part.path, &sums) else { return Ok(sums) };
        restart(part)?;
        if !resumed {
            return Err(Setback::GiveUp(format!("sent {instead}")));
        }
    }
}

/// Tries one address until all is there, or it brings no more.
fn from_address(
    wanted: &Wanted,
    address: &str,
    sink: &mut dyn Sink,
    patience: &Patience,
    watch: Watch<'_>,
) -> Result<(), Setback> {
    let (mut attempts, mut in_vain, mut pause) = (0, 0, patience.pause);
    loop {
        let before = sink.bytes();
        let why = match one_attempt(wanted, address, sink, patience, watch) {
            Err(Setback::TryAgain(why)) => why,
            outcome => return outcome,
        };
        attempts += 1;
        if sink.bytes() > before {
            (in_vain, pause) = (0, patience.pause);
        } else {
            in_vain += 1;
        }
        if in_vain >= patience.attempts || attempts >= MOST_ATTEMPTS {
            return Err(Setback::GiveUp(why));
        }
        rest(pause, sink.bytes(), wanted.size.bytes(), watch)?;
        pause = (2 * pause).min(LONGEST_PAUSE);
    }
}

/// Waits, unless somebody breaks it off.
fn rest(pause: Duration, bytes: u64, total: Option<u64>, watch: Watch<'_>) -> Result<(), Setback> {
    let until = Instant::now() + pause;
    loop {
        if watch(Step::Fetching { bytes, total }).is_break() {
            return Err(Setback::Final(DownloadError::Cancelled));
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        std::thread::sleep(left.min(LOOK_EVERY));
    }
}

/// Asks once for what is missing and takes what comes.
fn one_attempt(
    wanted: &Wanted,
    address: &str,
    sink: &mut dyn Sink,
    patience: &Patience,
    watch: Watch<'_>,
) -> Result<(), Setback> {
    // Bytes of another address, or of an unknown version, may only be added to where a sum will tell. They stay until
    // there are others: this address may have none.
    let same_version = sink.note().filter(|note| note.address == address).and_then(|note| note.validator.clone());
    let is_added_to = same_version.is_some() || wanted.sum.is_some();
    if is_added_to && wanted.size == Size::Exact(sink.bytes()) {
        return Ok(());
    }
    let ask = Ask { from: if is_added_to { sink.bytes() } else { 0 }, validator: same_version };
    let origin = Origin::of(address);
    let messages = origin.start(&ask, patience);
    // What the server says of the size of the whole.
    let mut announced = None;
    let mut heard = Instant::now();
    loop {
        let message = match messages.recv_timeout(LOOK_EVERY) {
            Ok(message) => Some(message),
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => None,
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => Some(Message::Failed(Trouble::lost())),
        };
        match message {
            // A connection may take the whole of its own time first.
            None if heard.elapsed() > patience.stall + patience.connect => {
                return Err(Setback::TryAgain("stalled".into()));
            }
            None => {}
            Some(Message::Head(head)) => {
                announced = begin(wanted, address, ask.from, &head, sink)?;
                heard = Instant::now();
                if head.status == origin::NOTHING_LEFT {
                    return Ok(());
                }
            }
            Some(Message::Bytes(bytes)) => {
                append(wanted, &bytes, sink)?;
                heard = Instant::now();
            }
            Some(Message::End) => return ended(sink.bytes(), announced),
            Some(Message::Failed(trouble)) if trouble.lasting => return Err(Setback::GiveUp(trouble.why)),
            Some(Message::Failed(trouble)) => return Err(Setback::TryAgain(trouble.why)),
        }
        let total = announced.or(wanted.size.bytes());
        if watch(Step::Fetching { bytes: sink.bytes(), total }).is_break() {
            return Err(Setback::Final(DownloadError::Cancelled));
        }
    }
}

/// What the head of an answer to somebody who asked for all `from` some byte means for what is there already; gives the
/// size of the whole.
fn begin(wanted: &Wanted, address: &str, from: u64, head: &Head, sink: &mut dyn Sink) -> Result<Option<u64>, Setback> {
    let have = sink.bytes();
    let total = match head.status {
        200 => head.length,
        206 => match head.range {
            Some(range) if range.first == from => range.total.or(head.length.map(|rest| from.saturating_add(rest))),
            _ => {
                restart(sink)?;
                return Err(Setback::TryAgain("sent another part of the file than was asked for".into()));
            }
        },
        origin::NOTHING_LEFT => {
            let total = head.range.and_then(|range| range.total);
            if from > 0 && total == Some(have) {
                return Ok(total);
            }
            restart(sink)?;
            return Err(Setback::TryAgain("has a shorter file now".into()));
        }
        408 | 429 | 500..=599 => return Err(Setback::TryAgain(format!("answers {}", in_words(head.status)))),
        status => return Err(Setback::GiveUp(format!("answers {}", in_words(status)))),
    };
    if let Some(total) = total {
        match wanted.size {
            Size::Exact(bytes) if bytes != total => {
                return Err(Setback::GiveUp(format!(
                    "has a file of {total} bytes, where one of {bytes} was published"
                )));
            }
            size if total > size.bound() => return Err(Setback::GiveUp(too_large(size))),
            _ => {}
        }
    }
    if have > 0 && (head.status == 200 || from < have) {
        restart(sink)?;
    }
    sink.keep_note(Note { address: address.to_string(), validator: head.validator.clone() })
        .map_err(|e| disk(sink, e))?;
    Ok(total)
}

fn append(wanted: &Wanted, bytes: &[u8], sink: &mut dyn Sink) -> Result<(), Setback> {
    if sink.bytes() + bytes.len() as u64 > wanted.size.bound() {
        restart(sink)?;
        return Err(Setback::GiveUp(too_large(wanted.size)));
    }
    sink.append(bytes).map_err(|source| disk(sink, source))
}

/// Whether all is there once nothing more comes.
fn ended(bytes: u64, announced: Option<u64>) -> Result<(), Setback> {
    match announced {
        Some(total) if bytes < total => Err(Setback::TryAgain(format!("broke off after {bytes} of {total} bytes"))),
        _ => Ok(()),
    }
}

fn restart(sink: &mut dyn Sink) -> Result<(), Setback> {
    sink.restart().map_err(|source| disk(sink, source))
}

fn disk(sink: &dyn Sink, source: io::Error) -> Setback {
    let path = sink.path().to_path_buf();
    Setback::Final(if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
        DownloadError::DiskFull { path, bytes: sink.bytes() }
    } else {
        DownloadError::Disk { path, source }
    })
}

fn too_large(size: Size) -> String {
    format!("has a file of more than {} bytes, which is not the one that was published", size.bound())
}

fn in_words(status: u16) -> String {
    let words = match status {
        401 | 403 => " (not allowed)",
        404 => " (no such file)",
        410 => " (gone)",
        429 => " (too many asked)",
        500..=599 => " (out of order)",
        _ => "",
    };
    format!("{status}{words}")
}
