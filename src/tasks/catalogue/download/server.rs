//! A server on this machine that does what servers do, good and bad, for tests.

use std::io::{BufRead as _, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub path: String,
    pub range: Option<u64>,
    pub if_range: Option<String>,
}

/// An answer to one request.
#[derive(Clone)]
pub enum Answer {
    /// The file, or the range of it that was asked for.
    Serve,
    /// The file, whatever was asked for.
    ServeWhole,
    /// As `Serve`, but the connection breaks after so many bytes.
    BreakAfter(usize),
    /// As `Serve`, but nothing comes after so many bytes.
    StallAfter(usize),
    /// The head of an answer to a range that was not asked for, and bytes.
    WrongRange,
    Status(u16),
    Redirect(String),
    /// Bytes without a length, in one chunk.
    Chunked,
    /// Another file.
    Other(Vec<u8>),
}

type Plan = dyn Fn(usize, &Asked) -> Answer + Send + Sync;

/// Answers until it is dropped.
pub struct Server {
    port: u16,
    asked: Arc<Mutex<Vec<Asked>>>,
    closed: Arc<AtomicBool>,
}

impl Server {
    /// Serves `content` as `plan` says for the number of the request, from 0.
    pub fn new(content: Vec<u8>, plan: impl Fn(usize, &Asked) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("this machine has a port to spare");
        let port = listener.local_addr().expect("bound").port();
        let (asked, closed) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (all, ended) = (asked.clone(), closed.clone());
        let (content, plan): (Arc<Vec<u8>>, Arc<Plan>) = (Arc::new(content), Arc::new(plan));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if ended.load(Ordering::SeqCst) {
                    return;
                }
                let (content, plan, all, ended) = (content.clone(), plan.clone(), all.clone(), ended.clone());
                std::thread::spawn(move || answer(stream, &content, &*plan, &all, &ended));
            }
        });
        Self { port, asked, closed }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{path}", self.port)
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::SeqCst);
        // Wakes the listener.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

/// The mark of the version that is served.
pub const TAG: &str = "\"v1\"";

fn answer(mut stream: TcpStream, content: &[u8], plan: &Plan, all: &Mutex<Vec<Asked>>, ended: &AtomicBool) {
    let Some(asked) = read_request(&stream) else { return };
    let number = {
        let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(asked.clone());
        all.len() - 1
    };
    let first = asked.range.map_or(0, |first| first as usize);
    let matches = asked.if_range.as_deref().is_none_or(|tag| tag == TAG);
    let total = content.len();
    let (status, body) = match (asked.range, matches) {
        (Some(_), true) if first < total => {
            (format!("206 Partial Content\r\nContent-Range: bytes {first}-{}/{total}", total - 1), &content[first..])
        }
        (Some(_), true) => (format!("416 Range Not Satisfiable\r\nContent-Range: bytes */{total}"), &content[..0]),
        _ => ("200 OK".to_string(), content),
    };
    let head = |status: &str, length: usize| {
        format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nETag: {TAG}\r\nConnection: close\r\n\r\n")
    };
    let _ = match plan(number, &asked) {
        Answer::Serve => stream.write_all(&[head(&status, body.len()).as_bytes(), body].concat()),
        Answer::ServeWhole => stream.write_all(&[head("200 OK", total).as_bytes(), content].concat()),
        Answer::BreakAfter(bytes) => {
            stream.write_all(&[head(&status, body.len()).as_bytes(), &body[..bytes.min(body.len())]].concat())
        }
        Answer::StallAfter(bytes) => {
            let sent = stream.write_all(&[head(&status, body.len()).as_bytes(), &body[..bytes]].concat());
            while !ended.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(5));
            }
            sent
        }
        Answer::WrongRange => {
            let status = format!("206 Partial Content\r\nContent-Range: bytes 1-{}/{total}", total - 1);
            stream.write_all(&[head(&status, total - 1).as_bytes(), &content[1..]].concat())
        }
        Answer::Status(code) => stream.write_all(head(&format!("{code} So It Is"), 0).as_bytes()),
        Answer::Redirect(to) => stream.write_all(head(&format!("302 Found\r\nLocation: {to}"), 0).as_bytes()),
        Answer::Other(other) => stream.write_all(&[head("200 OK", other.len()).as_bytes(), &other].concat()),
        Answer::Chunked => {
            let start =
                format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n{total:x}\r\n");
            stream.write_all(&[start.as_bytes(), content, b"\r\n0\r\n\r\n"].concat())
        }
    };
    let _ = stream.shutdown(Shutdown::Write);
    // Closing with unread bytes would reset the connection before the other side has read ours.
    let _ = stream.set_read_timeout(Some(Duration::from_millis(200)));
    let _ = std::io::copy(&mut stream, &mut std::io::sink());
}

fn read_request(stream: &TcpStream) -> Option<Asked> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next()?.ok()?;
    let path = first.split(' ').nth(1)?.trim_start_matches('/').to_string();
    let mut asked = Asked { path, range: None, if_range: None };
    for line in lines {
        let line = line.ok()?;
        if line.is_empty() {
            return Some(asked);
        }
        let Some((name, value)) = line.split_once(':') else { continue };
        match name.to_ascii_lowercase().as_str() {
            "range" => asked.range = value.trim().strip_prefix("bytes=")?.trim_end_matches('-').parse().ok(),
            "if-range" => asked.if_range = Some(value.trim().to_string()),
            _ => {}
        }
    }
    None
}
