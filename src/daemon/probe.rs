//! Health checks that only the process in question can answer, asked until it is well.
//!
//! A port proves nothing while two processes of an app share it. So a cluster worker is handed the connection itself,
//! whatever shares out its other ones; any other process is asked only on a socket that it alone has.

use crate::model::Run;
use crate::model::app::{App, Mode};
use crate::model::policy::Health;
use crate::node::Hub;
use crate::sys::{listening, socket};
use std::collections::HashMap;
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

/// More of an answer is not looked at.
const HEAD: usize = 512;

/// What came of a question.
#[derive(Debug)]
pub(super) struct Probed {
    pub(super) run: Run,
    pub(super) health: Result<(), String>,
}

/// Who is asked, and how it is reached.
#[derive(Debug, Clone)]
pub(super) enum Subject {
    /// A worker of Node's cluster.
    Cluster(Hub),
    /// A process that listens for itself.
    Process(u32),
}

impl Subject {
    pub(super) fn of(app: &App, pid: u32, hub: &Hub) -> Subject {
        match app.mode {
            Mode::Cluster => Subject::Cluster(hub.clone()),
            Mode::Fork => Subject::Process(pid),
        }
    }
}

/// The questions under way.
#[derive(Debug)]
pub(super) struct Probes {
    asking: HashMap<Run, AbortHandle>,
    results: mpsc::Sender<Probed>,
}

impl Probes {
    pub(super) fn new(results: mpsc::Sender<Probed>) -> Probes {
        Probes { asking: HashMap::new(), results }
    }

    /// Asks from now on, until it is well.
    pub(super) fn begin(&mut self, run: Run, subject: Subject, health: Health) {
        let asking = tokio::spawn(ask_until_well(run, subject, health, self.results.clone()));
        if let Some(earlier) = self.asking.insert(run, asking.abort_handle()) {
            earlier.abort();
        }
    }

    /// It is gone.
    pub(super) fn end(&mut self, run: Run) {
        if let Some(asking) = self.asking.remove(&run) {
            asking.abort();
        }
    }
}

async fn ask_until_well(run: Run, subject: Subject, health: Health, results: mpsc::Sender<Probed>) {
    let mut last = None;
    loop {
        let found = match timeout(health.timeout, ask(run, &subject, &health)).await {
            Ok(found) => found,
            Err(_elapsed) => {
                Err(format!("GET {} was not answered within {} ms", health.path, health.timeout.as_millis()))
            }
        };
        let well = found.is_ok();
        if last.as_ref() != Some(&found) {
            last = Some(found.clone());
            if results.send(Probed { run, health: found }).await.is_err() {
                return;
            }
        }
        if well {
            return;
        }
        sleep(health.interval).await;
    }
}

async fn ask(run: Run, subject: &Subject, health: &Health) -> Result<(), String> {
    let stream = match subject {
        Subject::Cluster(hub) => lend(hub, run, health.port).await?,
        Subject::Process(pid) => connect(*pid, health.port).await?,
    };
    let path = &health.path;
    match status(stream, path).await {
        Ok(Some(code)) if code < 400 => Ok(()),
        Ok(Some(code)) => Err(format!("GET {path} was answered with {code}")),
        Ok(None) => Err(format!("GET {path} was not answered in HTTP")),
        Err(error) => Err(format!("GET {path} was not answered: {error}")),
    }
}

/// A connection whose other end is that worker.
async fn lend(hub: &Hub, run: Run, port: Option<u16>) -> Result<TcpStream, String> {
    let pair = || -> io::Result<_> {
        let (ours, theirs) = socket::tcp_pair()?;
        Ok((TcpStream::from_std(ours)?, theirs))
    };
    let (ours, theirs) = pair().map_err(|error| format!("its health cannot be asked: {error}"))?;
    match hub.lend(run, port, theirs).await {
        Ok(true) => Ok(ours),
        Ok(false) | Err(_) => Err(nowhere(port)),
    }
}

async fn connect(pid: u32, port: Option<u16>) -> Result<TcpStream, String> {
    let search = tokio::task::spawn_blocking(move || listening::alone(pid, port));
    let places = match search.await {
        Ok(found) => found.map_err(|why| why.to_string())?,
        Err(_panic) => return Err(nowhere(port)),
    };
    let mut last = nowhere(port);
    for place in places {
        match TcpStream::connect(place).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = format!("it cannot be reached at {place}: {error}"),
        }
    }
    Err(last)
}

fn nowhere(port: Option<u16>) -> String {
    listening::Why::Nowhere { port }.to_string()
}

/// The status code of a GET; `None`: what came is not HTTP.
async fn status(mut stream: TcpStream, path: &str) -> io::Result<Option<u16>> {
    let question = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: pmon-health\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(question.as_bytes()).await?;
    let mut head = Vec::with_capacity(HEAD);
    while head.len() < HEAD && !head.contains(&b'\n') {
        if stream.read_buf(&mut head).await? == 0 {
            break;
        }
    }
    let head = String::from_utf8_lossy(&head);
    let mut words = head.split_ascii_whitespace();
    let is_http = words.next().is_some_and(|word| word.starts_with("HTTP/"));
    Ok(words.next().filter(|_| is_http).and_then(|code| code.parse().ok()))
}
