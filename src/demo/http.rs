//! As much of an HTTP/1.1 client as load needs: GET on a kept connection, one request after another.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// Nothing in the demo takes longer when all is well.
const PATIENCE: Duration = Duration::from_secs(2);
/// A head that is longer is no answer of the demo's app.
const MAX_HEAD: u64 = 16 << 10;

/// A connection to a server on this host.
#[derive(Debug)]
pub(super) struct Connection {
    stream: BufReader<TcpStream>,
    /// Answers received on it.
    answers: u32,
    /// The server will not take another request.
    closing: bool,
}

/// What came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) length: u64,
}

impl Connection {
    pub(super) fn open(port: u16) -> io::Result<Connection> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Connection { stream: BufReader::new(stream), answers: 0, closing: false })
    }

    /// How many answers came on this connection.
    pub(super) fn answers(&self) -> u32 {
        self.answers
    }

    /// The server takes no more requests on it.
    pub(super) fn is_over(&self) -> bool {
        self.closing
    }

    /// One request. [`io::ErrorKind::ConnectionReset`] and its like: the server closed the connection before it
    /// answered; on a reused connection that only means that the request has to be sent on another.
    pub(super) fn get(&mut self, path: &str) -> io::Result<Answer> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: pmon-demo\r\n\r\n");
        self.stream.get_mut().write_all(request.as_bytes())?;
        let (answer, closing) = self.receive()?;
        self.answers += 1;
        self.closing = closing;
        Ok(answer)
    }

    fn receive(&mut self) -> io::Result<(Answer, bool)> {
        let mut head = (&mut self.stream).take(MAX_HEAD);
        let status_line = line(&mut head)?;
        if status_line.is_empty() {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        let status =
            status_line.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1)?.parse().ok());
        let status = status.ok_or_else(|| malformed("status line"))?;
        let (mut length, mut closing) = (None, false);
        loop {
            let header = line(&mut head)?;
            if header.is_empty() {
                break;
            }
            let Some((name, value)) = header.split_once(':') else { return Err(malformed("header")) };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse::<u64>().ok();
            } else if name.eq_ignore_ascii_case("connection") {
                closing = value.trim().eq_ignore_ascii_case("close");
            }
        }
        let length = length.ok_or_else(|| malformed("length"))?;
        let body = io::copy(&mut (&mut self.stream).take(length), &mut io::sink())?;
        if body < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok((Answer { status, length }, closing))
    }
}

/// A line without its end; empty also at the end of the stream.
fn line(reader: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    line.truncate(line.trim_end().len());
    Ok(line)
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("an answer without a usable {what}"))
}
