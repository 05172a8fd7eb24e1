//! Where bytes come from, on a thread of its own: so that nobody has to wait for a silent server to be able to stop.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use ureq::http::{HeaderMap, Response, header};
use ureq::{Agent, Body, Error};

use super::Patience;

/// The status of an answer to somebody who has all already: "range not satisfiable".
pub const NOTHING_LEFT: u16 = 416;
/// How much is handed over at once.
const CHUNK_BYTES: usize = 1 << 16;
/// How many chunks may wait.
const QUEUE: usize = 8;
const MOST_REDIRECTS: u32 = 8;

/// A place that has the file.
pub enum Origin {
    Http(String),
    File(PathBuf),
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The first byte that is missing.
    pub from: u64,
    /// The version of which the bytes before are.
    pub validator: Option<String>,
}

/// What an origin says, in this order: a head, bytes, an end; or that something failed.
pub enum Message {
    Head(Head),
    Bytes(Vec<u8>),
    End,
    Failed(Trouble),
}

#[derive(Clone, Debug)]
pub struct Head {
    pub status: u16,
    /// Of what follows.
    pub length: Option<u64>,
    pub range: Option<ContentRange>,
    /// A mark of this version of the file, to be shown when the rest of it is asked for.
    pub validator: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentRange {
    pub first: u64,
    /// Of the whole file.
    pub total: Option<u64>,
}

/// Why nothing more comes, in words that follow the name of a host.
pub struct Trouble {
    pub why: String,
    /// Whether it will be no better in a moment.
    pub lasting: bool,
}

impl Trouble {
    fn passing(why: impl Into<String>) -> Self {
        Self { why: why.into(), lasting: false }
    }

    fn lasting(why: impl Into<String>) -> Self {
        Self { why: why.into(), lasting: true }
    }

    /// The thread has ended without a word.
    pub fn lost() -> Self {
        Self::passing("was lost")
    }

    fn of(error: Error) -> Self {
        match error {
            Error::HostNotFound => Self::lasting("is not to be found (is there a connection to the internet?)"),
            Error::Timeout(_) => Self::passing("does not answer in time"),
            Error::ConnectionFailed => Self::passing("cannot be reached"),
            Error::TooManyRedirects => Self::lasting("leads in circles"),
            Error::RedirectFailed => Self::lasting("leads nowhere"),
            Error::RequireHttpsOnly(_) => {
                Self::lasting("leads to an address without encryption, which is not followed")
            }
            Error::Io(error) => Self::of_io(&error),
            other => Self::lasting(format!("fails: {other}")),
        }
    }

    fn of_io(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::lasting("refuses the connection"),
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Self::passing("stalled"),
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => {
                Self::passing("broke the connection off")
            }
            _ => Self::passing(format!("fails: {error}")),
        }
    }
}

/// The host of a URL, or the path of a file.
pub fn host(address: &str) -> &str {
    match address.split_once("://") {
        Some((_, rest)) => rest.split('/').next().unwrap_or(rest),
        None => address,
    }
}

/// Whether a URL leads no further than this machine: no proxy could reach it.
fn is_this_machine(url: &str) -> bool {
    let host = host(url);
    let name = host.strip_prefix('[').map_or_else(|| host.split(':').next(), |rest| rest.split(']').next());
    matches!(name, Some("localhost" | "127.0.0.1" | "::1"))
}

impl Origin {
    pub fn of(address: &str) -> Self {
        if address.starts_with("http://") || address.starts_with("https://") {
            Self::Http(address.to_string())
        } else {
            Self::File(PathBuf::from(address))
        }
    }

    /// Begins to send. The thread ends by itself when the receiver is dropped or the origin stays silent for too long.
    pub fn start(self, ask: &Ask, patience: &Patience) -> Receiver<Message> {
        let (sender, receiver) = sync_channel(QUEUE);
        let (ask, patience) = (ask.clone(), patience.clone());
        let unstarted = sender.clone();
        let body = move || {
            let outcome = match &self {
                Self::Http(url) => send_http(url, &ask, &patience, &sender),
                Self::File(path) => send_file(path, &sender),
            };
            // Nobody may be listening any more.
            let _ = sender.send(outcome.map_or_else(Message::Failed, |()| Message::End));
        };
        if let Err(error) = std::thread::Builder::new().name("download".into()).spawn(body) {
            let _ = unstarted.send(Message::Failed(Trouble::lasting(format!("cannot be asked: {error}"))));
        }
        receiver
    }
}

fn send_http(url: &str, ask: &Ask, patience: &Patience, sender: &SyncSender<Message>) -> Result<(), Trouble> {
    let mut config = Agent::config_builder()
        .http_status_as_error(false)
        .https_only(url.starts_with("https://"))
        .max_redirects(MOST_REDIRECTS)
        .timeout_connect(Some(patience.connect))
        .timeout_resolve(Some(patience.connect))
        .timeout_recv_response(Some(patience.stall))
        .timeout_per_read(Some(patience.stall))
        .timeout_per_write(Some(patience.stall))
        .user_agent(concat!("oneiric/", env!("CARGO_PKG_VERSION")));
    if is_this_machine(url) {
        config = config.proxy(None);
    }
    let agent = config.build().new_agent();
    let mut request = agent.get(url);
    if ask.from > 0 {
        request = request.header(header::RANGE, format!("bytes={}-", ask.from));
        if let Some(validator) = &ask.validator {
            request = request.header(header::IF_RANGE, validator);
        }
    }
    let mut response = request.call().map_err(Trouble::of)?;
    let head = head_of(&response);
    let has_content = matches!(head.status, 200 | 206);
    if sender.send(Message::Head(head)).is_err() || !has_content {
        return Ok(());
    }
    send_all(&mut response.body_mut().as_reader(), sender).map_err(|error| Trouble::of_io(&error))
}

fn send_file(path: &Path, sender: &SyncSender<Message>) -> Result<(), Trouble> {
    let of_io = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Trouble::lasting("is not there"),
        _ => Trouble::lasting(format!("cannot be read: {error}")),
    };
    let metadata = std::fs::metadata(path).map_err(of_io)?;
    if !metadata.is_file() {
        return Err(Trouble::lasting("is not a file"));
    }
    let mut file = File::open(path).map_err(of_io)?;
    let head = Head { status: 200, length: Some(metadata.len()), range: None, validator: None };
    if sender.send(Message::Head(head)).is_err() {
        return Ok(());
    }
    send_all(&mut file, sender).map_err(of_io)
}

/// Sends what can be read, as long as somebody listens.
fn send_all(content: &mut dyn Read, sender: &SyncSender<Message>) -> io::Result<()> {
    loop {
        let mut chunk = vec![0; CHUNK_BYTES];
        let read = match content.read(&mut chunk) {
            Ok(0) => return Ok(()),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        chunk.truncate(read);
        if sender.send(Message::Bytes(chunk)).is_err() {
            return Ok(());
        }
    }
}

fn head_of(response: &Response<Body>) -> Head {
    let headers = response.headers();
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    Head {
        status: response.status().as_u16(),
        length: text(header::CONTENT_LENGTH).and_then(|length| length.trim().parse().ok()),
        range: text(header::CONTENT_RANGE).and_then(content_range),
        validator: validator(headers),
    }
}

/// A strong entity tag, or else the date of the last change (RFC 9110, section 13.1.5: weak tags do not do).
fn validator(headers: &HeaderMap) -> Option<String> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_string);
    text(header::ETAG).filter(|tag| !tag.starts_with("W/")).or_else(|| text(header::LAST_MODIFIED))
}

/// `bytes 100-199/200`, `bytes 100-199/*`, and of a range that cannot be had `bytes */200`.
fn content_range(text: &str) -> Option<ContentRange> {
    let (range, total) = text.trim().strip_prefix("bytes")?.trim().split_once('/')?;
    let total = if total.trim() == "*" { None } else { Some(total.trim().parse().ok()?) };
    if range.trim() == "*" {
        return Some(ContentRange { first: u64::MAX, total });
    }
    let (first, last) = range.split_once('-')?;
    let (first, last): (u64, u64) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    (first <= last && total.is_none_or(|total| last < total)).then_some(ContentRange { first, total })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_and_nonsense_is_none() {
        let range = |first, total| Some(ContentRange { first, total });
        assert_eq!(content_range("bytes 100-199/200"), range(100, Some(200)));
        assert_eq!(content_range("bytes 0-0/*"), range(0, None));
        assert_eq!(content_range("bytes */200"), range(u64::MAX, Some(200)));
        for bad in
            ["", "bytes", "bytes 5-4/9", "bytes 0-9/5", "items 0-1/2", "bytes -1-2/3", "bytes 0-1", "bytes x-y/z"]
        {
            assert_eq!(content_range(bad), None, "{bad}");
        }
    }

    #[test]
    fn hosts_are_named() {
        assert_eq!(host("https://a.example:80/b/c"), "a.example:80");
        assert_eq!(host("/a/b"), "/a/b");
        for here in ["http://127.0.0.1:80/x", "http://localhost/x", "https://[::1]:443/x"] {
            assert!(is_this_machine(here), "{here}");
        }
        assert!(!is_this_machine("http://127.0.0.1.example/x") && !is_this_machine("http://[::2]/localhost"));
    }
}
