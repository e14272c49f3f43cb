//! The built-in HTTP worker (`pmon demo-worker`): what the demo runs where there is no Node. It serves HTTP/1.1 with
//! kept connections on the socket it inherited, with the habits of `assets/demo/server.js`: varying response times,
//! some work, a cache that grows and is trimmed, log lines with levels, now and then a warning on stderr.
//!
//! ```text
//! inherit the socket → poll { socket, interrupt } → accept → a thread a connection
//!                                     └ asked to end → no new connections, answer what has been asked, end
//! ```

use super::dice::Dice;
use crate::sys::clock;
use crate::sys::inherit::{self, InheritError};
use crate::sys::interrupt::{Interrupt, Ready, readable, wait_for_either};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// A client that says nothing for so long while it is heard is dropped.
const PATIENCE: Duration = Duration::from_secs(5);
/// A longer request head is refused.
const MAX_HEAD: u64 = 16 << 10;
/// More connections than this wait in the socket's queue.
const MAX_CONNECTIONS: usize = 256;

/// Why the worker cannot serve.
#[derive(Debug, thiserror::Error)]
enum WorkerError {
    #[error(transparent)]
    Inherit(#[from] InheritError),
    #[error("catch signals: {0}")]
    Signals(io::Error),
    #[error("serve: {0}")]
    Serve(#[from] io::Error),
}

/// Serves until SIGINT or SIGTERM, then finishes what is in flight.
pub fn worker() -> ExitCode {
    match serve_inherited() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log(&mut io::stderr(), "ERROR", &format!("failed to {error}"));
            ExitCode::FAILURE
        }
    }
}

fn serve_inherited() -> Result<(), WorkerError> {
    let interrupt = Interrupt::catch().map_err(WorkerError::Signals)?;
    let listener = TcpListener::from(inherit::listening_socket()?);
    let instance = std::env::var("NODE_APP_INSTANCE").unwrap_or_else(|_unset| "0".to_owned());
    serve(&listener, interrupt.as_fd().try_clone_to_owned()?, &instance)?;
    Ok(())
}

/// What all connections share.
#[derive(Debug)]
struct Server {
    instance: String,
    /// Readable once the worker is to end.
    stop: OwnedFd,
    served: AtomicU64,
    cache: Mutex<Vec<Vec<u8>>>,
}

/// Serves until `stop` is readable.
fn serve(listener: &TcpListener, stop: OwnedFd, instance: &str) -> io::Result<()> {
    // Every instance polls the same socket; the others' connections are gone when it comes to accept.
    listener.set_nonblocking(true)?;
    let server = Arc::new(Server {
        instance: instance.to_owned(),
        stop,
        served: AtomicU64::new(0),
        cache: Mutex::default(),
    });
    server.info(&format!("instance {instance} listens on port {}", listener.local_addr()?.port()));
    let mut connections: Vec<JoinHandle<()>> = Vec::new();
    while wait_for_either(listener.as_fd(), server.stop.as_fd())? == Ready::First {
        connections.retain(|connection| !connection.is_finished());
        if connections.len() >= MAX_CONNECTIONS {
            server.wait(Duration::from_millis(20));
            continue;
        }
        match listener.accept() {
            Ok((stream, _)) => {
                let server = Arc::clone(&server);
                connections.push(std::thread::spawn(move || server.attend(stream)));
            }
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::ConnectionAborted) => {}
            // Out of descriptors or memory: some are given back soon.
            Err(e) => {
                log(&mut io::stderr(), "WARN", &format!("failed to accept a connection: {e}"));
                server.wait(Duration::from_millis(100));
            }
        }
    }
    for connection in connections {
        // A panic there has been reported by the panic hook.
        connection.join().ok();
    }
    server.info(&format!("instance {instance} ends after {} answers", server.served.load(Ordering::Relaxed)));
    Ok(())
}

impl Server {
    /// One connection, to its end. A client that goes away is no event.
    fn attend(&self, stream: TcpStream) {
        self.converse(stream).ok();
    }

    fn converse(&self, stream: TcpStream) -> io::Result<()> {
        stream.set_nonblocking(false)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut dice = Dice::new(clock::monotonic_ns());
        let mut stream = BufReader::new(stream);
        loop {
            // Idle connections end with the worker, asked ones are answered first.
            if stream.buffer().is_empty()
                && wait_for_either(stream.get_ref().as_fd(), self.stop.as_fd())? == Ready::Second
            {
                return Ok(());
            }
            let Some(request) = Request::read(&mut stream)? else { return Ok(()) };
            let keeps = self.answer(&request, stream.get_mut(), &mut dice)?;
            if !keeps {
                return Ok(());
            }
        }
    }

    /// True if the connection stays open.
    fn answer(&self, request: &Request, stream: &mut TcpStream, dice: &mut Dice) -> io::Result<bool> {
        let started = clock::monotonic_ns();
        // Most answers take some milliseconds, a few take much longer.
        let delay = if dice.roll() < 0.03 { dice.between(0.12, 0.37) } else { dice.between(0.003, 0.028) };
        self.wait(Duration::from_secs_f64(delay));
        let digest = self.work(dice);
        let Request { method, path, .. } = request;
        let body = serde_json::json!({
            "instance": self.instance, "path": path, "digest": format!("{digest:016x}"),
        });
        let body = body.to_string();
        let status = if request.has_body { "413 Content Too Large" } else { "200 OK" };
        let keeps = request.keeps && !request.has_body && !readable(self.stop.as_fd(), Duration::ZERO);
        let connection = if keeps { "keep-alive" } else { "close" };
        write!(
            stream,
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
             Connection: {connection}\r\n\r\n{body}",
            body.len()
        )?;
        let took = clock::monotonic_ns().saturating_sub(started) / 1_000_000;
        let served = self.served.fetch_add(1, Ordering::Relaxed) + 1;
        if took > 200 {
            log(&mut io::stderr(), "WARN", &format!("slow answer: {method} {path} took {took} ms"));
        } else if served.is_multiple_of(4) {
            self.info(&format!("{method} {path} {} {took} ms", status.get(..3).unwrap_or_default()));
        }
        Ok(keeps)
    }

    /// Uses a little CPU, and memory that is given back from time to time.
    fn work(&self, dice: &mut Dice) -> u64 {
        let rounds = dice.between(20_000.0, 400_000.0) as u64;
        let digest = (0..rounds).fold(dice.roll().to_bits(), |digest, round| {
            (digest ^ round).wrapping_mul(0x0100_0000_01B3).rotate_left(7)
        });
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.push(vec![digest.to_le_bytes()[0]; 32 << 10]);
        if cache.len() > 400 {
            cache.drain(..250);
            self.info(&format!("cache trimmed to {} entries", cache.len()));
        }
        digest
    }

    /// Waits; not longer once the worker is to end.
    fn wait(&self, span: Duration) {
        readable(self.stop.as_fd(), span);
    }

    fn info(&self, text: &str) {
        log(&mut io::stdout(), "INFO", text);
    }
}

/// The parts of a request that matter here.
#[derive(Debug, PartialEq, Eq)]
struct Request {
    method: String,
    path: String,
    /// The client will send another one.
    keeps: bool,
    /// It announces a body, which is not read.
    has_body: bool,
}

impl Request {
    /// `None`: the client is done. An error: it speaks something else.
    fn read(stream: &mut impl BufRead) -> io::Result<Option<Request>> {
        let mut head = stream.take(MAX_HEAD);
        let mut line = String::new();
        if head.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let mut words = line.split_ascii_whitespace();
        let (Some(method), Some(path), Some(version)) = (words.next(), words.next(), words.next()) else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        let (method, path) = (method.to_owned(), path.escape_default().to_string());
        let mut request = Request { method, path, keeps: version == "HTTP/1.1", has_body: false };
        loop {
            let mut line = String::new();
            if head.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let line = line.trim_end();
            if line.is_empty() {
                return Ok(Some(request));
            }
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            match name.to_ascii_lowercase().as_str() {
                "connection" => request.keeps = value.trim().eq_ignore_ascii_case("keep-alive"),
                "content-length" => request.has_body |= value.trim() != "0",
                "transfer-encoding" => request.has_body = true,
                _unimportant => {}
            }
        }
    }
}

/// One line, in one write. Nobody may be there to read it.
fn log(out: &mut impl Write, level: &str, text: &str) {
    out.write_all(format!("{level:<5} {text}\n").as_bytes()).ok();
}

#[cfg(test)]
mod tests {
    use super::super::http::Connection;
    use super::super::load::Load;
    use super::*;
    use std::process::{Child, Command, Stdio};

    fn until(what: &str, mut holds: impl FnMut() -> bool) {
        let start = clock::monotonic_ns();
        while !holds() {
            assert!(clock::monotonic_ns() - start < 20_000_000_000, "never came: {what}");
            std::thread::yield_now();
        }
    }

    /// Not a test of its own: what the children of the tests below run.
    #[test]
    #[ignore = "only for the children of other tests"]
    fn serve_as_a_child() {
        assert!(serve_inherited().inspect_err(|e| log(&mut io::stderr(), "ERROR", &e.to_string())).is_ok());
    }

    /// This test binary as a worker on `listener`, which becomes its descriptor 3.
    fn spawn(listener: &TcpListener, listen_pid: &str) -> Child {
        let script = format!("export LISTEN_FDS=1 LISTEN_PID={listen_pid}; exec \"$@\" 3<&0 </dev/null");
        Command::new("sh")
            .args(["-c", &script, "sh"])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "demo::worker::tests::serve_as_a_child", "--ignored", "--nocapture"])
            .stdin(OwnedFd::from(listener.try_clone().unwrap()))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    fn terminate(child: &Child) {
        let pid = rustix::process::Pid::from_child(child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    }

    fn listener() -> (TcpListener, u16) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        (listener, port)
    }

    #[test]
    fn two_workers_on_one_inherited_socket_answer_all_load_and_end_in_order() {
        let (listener, port) = listener();
        let workers = [spawn(&listener, "$$"), spawn(&listener, "$$")];
        drop(listener);
        let load = Load::start(port, 2);
        until("forty answers", || load.tally().answered >= 40);
        let tally = load.stop();
        assert_eq!(tally.failed, 0, "{tally:?}");
        for worker in workers {
            terminate(&worker);
            let output = worker.wait_with_output().unwrap();
            let out = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success(), "{output:?}");
            assert!(out.contains("INFO  instance 0 listens on port"), "{out}");
            assert!(out.contains("INFO  instance 0 ends after"), "{out}");
        }
    }

    #[test]
    fn a_request_in_flight_is_answered_before_the_worker_ends() {
        let (listener, port) = listener();
        let worker = spawn(&listener, "$$");
        drop(listener);
        let mut kept = Connection::open(port).unwrap();
        kept.get("/before").unwrap();
        let asking = std::thread::spawn(move || {
            // The answer that comes after the signal says that it is the last.
            while !kept.is_over() {
                match kept.get("/again") {
                    Ok(answer) => assert_eq!(answer.status, 200),
                    // The signal came between two requests: the connection was idle.
                    Err(e)
                        if matches!(e.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) =>
                    {
                        break;
                    }
                    Err(e) => panic!("{e}"),
                }
            }
        });
        terminate(&worker);
        asking.join().unwrap();
        assert!(worker.wait_with_output().unwrap().status.success());
    }

    #[test]
    fn a_socket_that_is_for_another_process_is_refused() {
        let (listener, _) = listener();
        let output = spawn(&listener, "1").wait_with_output().unwrap();
        assert!(!output.status.success());
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(err.contains("take the inherited socket: it is for process 1"), "{err}");
    }

    #[test]
    fn requests_say_whether_they_keep_the_connection() {
        let read = |text: &str| Request::read(&mut text.as_bytes()).map_err(|e| e.kind());
        let keeps = |text: &str| read(text).unwrap().unwrap().keeps;
        assert!(keeps("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert!(!keeps("GET / HTTP/1.1\r\nConnection: close\r\n\r\n"));
        assert!(!keeps("GET / HTTP/1.0\r\n\r\n"));
        assert!(read("POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc").unwrap().unwrap().has_body);
        assert_eq!(read(""), Ok(None));
        assert_eq!(read("GET / HTTP/1.1\r\nHost: a\r\n"), Err(io::ErrorKind::UnexpectedEof));
        assert_eq!(read("\x16\x03\x01 nonsense\r\n\r\n"), Err(io::ErrorKind::InvalidData));
        assert_eq!(read("GET /\x1b[2J HTTP/1.1\r\n\r\n").unwrap().unwrap().path, "/\\u{1b}[2J");
    }
}
