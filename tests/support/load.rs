//! Steady HTTP load that counts every kind of failure with its reason: clients that keep their connection and clients
//! that use one a request.
//!
//! What counts as a failure is what a person would see: a request that was written and not answered completely with
//! 200. A kept connection that the server has closed *before* the next request is written is no failure: that is how
//! servers end such connections, and every client copes.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Longer than any answer takes; who waits longer hangs.
const HANGS: Duration = Duration::from_secs(15);

/// How a client treats its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connections {
    /// One for as long as the server lets it.
    Kept,
    /// One a request.
    Fresh,
}

/// What a client asks for.
#[derive(Debug, Clone, Copy)]
pub enum Question {
    /// GET of a path.
    Get(&'static str),
    /// POST of so many bytes in pieces with pauses; the answer must be their number.
    Upload(usize),
}

/// What came of it.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Complete answers.
    pub ok: u64,
    /// Reason → how often.
    pub failed: BTreeMap<String, u64>,
    /// The longest answer.
    pub slowest: Duration,
}

impl Tally {
    /// Failed requests.
    pub fn failures(&self) -> u64 {
        self.failed.values().sum()
    }

    fn add(&mut self, other: Tally) {
        self.ok += other.ok;
        self.slowest = self.slowest.max(other.slowest);
        for (reason, count) in other.failed {
            *self.failed.entry(reason).or_default() += count;
        }
    }
}

/// Clients at work.
pub struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    /// Failures so far, with their reasons.
    pub failed: Arc<Mutex<Vec<String>>>,
    clients: Vec<JoinHandle<Tally>>,
}

impl Load {
    /// No clients yet.
    pub fn new() -> Load {
        Load { stop: Arc::default(), answered: Arc::default(), failed: Arc::default(), clients: Vec::new() }
    }

    /// Adds so many clients.
    pub fn with(mut self, count: usize, port: u16, connections: Connections, question: Question) -> Load {
        for _ in 0..count {
            let (stop, answered, failed) =
                (Arc::clone(&self.stop), Arc::clone(&self.answered), Arc::clone(&self.failed));
            let at = SocketAddr::from(([127, 0, 0, 1], port));
            let client = Client { at, connections, question, stream: None };
            self.clients.push(std::thread::spawn(move || client.work(&stop, &answered, &failed)));
        }
        self
    }

    /// Complete answers so far.
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Waits until so many more answers have come.
    #[track_caller]
    pub fn go_on(&self, more: u64) {
        let before = self.answered();
        super::wait_for(&format!("{more} more answers"), || {
            let now = self.answered();
            if now >= before + more { Ok(()) } else { Err(format!("{} came", now - before)) }
        });
    }

    /// Ends the clients after their present request.
    pub fn end(self) -> Tally {
        self.stop.store(true, Ordering::Relaxed);
        let mut sum = Tally::default();
        for client in self.clients {
            sum.add(client.join().unwrap());
        }
        sum
    }
}

struct Client {
    at: SocketAddr,
    connections: Connections,
    question: Question,
    stream: Option<TcpStream>,
}

impl Client {
    fn work(mut self, stop: &AtomicBool, answered: &AtomicU64, failed: &Mutex<Vec<String>>) -> Tally {
        let mut tally = Tally::default();
        while !stop.load(Ordering::Relaxed) {
            let begun = Instant::now();
            match self.ask() {
                Ok(()) => {
                    tally.ok += 1;
                    tally.slowest = tally.slowest.max(begun.elapsed());
                    answered.fetch_add(1, Ordering::Relaxed);
                }
                Err(reason) => {
                    self.stream = None;
                    failed.lock().unwrap().push(format!("{:?}: {reason}", self.connections));
                    *tally.failed.entry(reason).or_default() += 1;
                }
            }
            // Some hundred requests a second and client, or fewer: the load is steady, not a flood.
            super::pause_for(Duration::from_millis(4));
        }
        tally
    }

    fn ask(&mut self) -> Result<(), String> {
        let kept = self.stream.take().filter(is_open);
        let mut stream = match kept {
            Some(stream) => stream,
            None => connect(self.at)?,
        };
        let keep = self.connections == Connections::Kept;
        let expected = self.write(&mut stream, if keep { "keep-alive" } else { "close" })?;
        let Answer { code, body, closes } = read_answer(&mut stream)?;
        if code != 200 {
            return Err(format!("status {code}"));
        }
        if let Some(expected) = expected
            && body.trim_ascii() != expected.as_bytes()
        {
            return Err(format!("a body of {}", String::from_utf8_lossy(&body)));
        }
        self.stream = (keep && !closes).then_some(stream);
        Ok(())
    }

    /// Writes the request; returns the answer's body if it is known.
    fn write(&self, stream: &mut TcpStream, connection: &str) -> Result<Option<String>, String> {
        let broken = |e: std::io::Error| format!("write: {}", e.kind());
        match self.question {
            Question::Get(path) => {
                let head =
                    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: {connection}\r\n\r\n");
                stream.write_all(head.as_bytes()).map_err(broken)?;
                Ok(None)
            }
            Question::Upload(bytes) => {
                let head = format!(
                    "POST /upload HTTP/1.1\r\nHost: localhost\r\nConnection: {connection}\r\n\
                     Content-Type: application/octet-stream\r\nContent-Length: {bytes}\r\n\r\n"
                );
                stream.write_all(head.as_bytes()).map_err(broken)?;
                for piece in vec![b'x'; bytes].chunks(bytes.div_ceil(4).max(1)) {
                    stream.write_all(piece).map_err(broken)?;
                    super::pause_for(Duration::from_millis(50));
                }
                Ok(Some(bytes.to_string()))
            }
        }
    }
}

fn connect(at: SocketAddr) -> Result<TcpStream, String> {
    let stream = TcpStream::connect_timeout(&at, HANGS).map_err(|e| format!("connect: {}", e.kind()))?;
    stream.set_read_timeout(Some(HANGS)).unwrap();
    stream.set_write_timeout(Some(HANGS)).unwrap();
    stream.set_nodelay(true).unwrap();
    Ok(stream)
}

/// The server has not closed it, as far as is known here.
fn is_open(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let peeked = stream.peek(&mut [0]);
    stream.set_nonblocking(false).unwrap();
    peeked.is_err_and(|e| e.kind() == ErrorKind::WouldBlock)
}

struct Answer {
    code: u16,
    body: Vec<u8>,
    closes: bool,
}

/// Reads a whole answer, by its length, by its chunks, or until the end.
fn read_answer(stream: &mut TcpStream) -> Result<Answer, String> {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            break end + 4;
        }
        if !more(stream, &mut bytes)? {
            let what = if bytes.is_empty() { "closed before an answer" } else { "closed within the head" };
            return Err(what.to_owned());
        }
    };
    let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
    let code = text.split_whitespace().nth(1).and_then(|c| c.parse().ok()).ok_or("no status line")?;
    let closes = text.contains("connection: close");
    let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse().ok());
    let chunked = text.contains("transfer-encoding: chunked");
    loop {
        let body = &bytes[head..];
        let done = match length {
            Some(length) => body.len() >= length,
            None => chunked && body.ends_with(b"0\r\n\r\n"),
        };
        if done {
            let body = if chunked { dechunked(body) } else { body.to_vec() };
            return Ok(Answer { code, body, closes });
        }
        if !more(stream, &mut bytes)? {
            if length.is_none() && !chunked {
                let body = bytes[head..].to_vec();
                return Ok(Answer { code, body, closes: true });
            }
            return Err("closed within the body".to_owned());
        }
    }
}

fn more(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> Result<bool, String> {
    let mut buffer = [0; 8192];
    match stream.read(&mut buffer) {
        Ok(0) => Ok(false),
        Ok(n) => {
            bytes.extend_from_slice(&buffer[..n]);
            Ok(true)
        }
        // A signal to the test itself.
        Err(e) if e.kind() == ErrorKind::Interrupted => more(stream, bytes),
        Err(e) if e.kind() == ErrorKind::WouldBlock => Err("no answer in time".to_owned()),
        Err(e) => {
            let when = if bytes.is_empty() { "before an answer" } else { "within an answer" };
            Err(format!("{} {when}", e.kind()))
        }
    }
}

/// The lines of small chunks: sizes are every other one.
fn dechunked(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = body;
    while let Some(end) = rest.windows(2).position(|w| w == b"\r\n") {
        let size = usize::from_str_radix(&String::from_utf8_lossy(&rest[..end]), 16).unwrap_or(0);
        if size == 0 {
            break;
        }
        out.extend_from_slice(&rest[end + 2..end + 2 + size]);
        rest = &rest[end + 2 + size + 2..];
    }
    out
}
