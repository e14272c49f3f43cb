//! A hub, a keeper that only keeps, and Node programs.

use crate::model::Run;
use crate::model::policy::Scheduling;
use crate::node::{ChannelSpec, Custody, Hub, Keep, NodeEvent, PRELOAD, channel, env};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub const PATIENCE: Duration = Duration::from_secs(30);

/// What a keeper would hold of one listener.
#[derive(Default)]
pub struct Kept {
    pub fds: BTreeMap<u32, OwnedFd>,
    pub connections: BTreeMap<Custody, OwnedFd>,
    pub blob: Vec<u8>,
}

#[derive(Default)]
pub struct Keeper(pub Mutex<BTreeMap<u64, Kept>>);

impl Keep for Keeper {
    fn keep(&self, entry: u64, index: u32, fd: BorrowedFd<'_>) {
        let fd = fd.try_clone_to_owned().unwrap();
        self.0.lock().unwrap().entry(entry).or_default().fds.insert(index, fd);
    }
    fn record(&self, entry: u64, blob: &[u8]) {
        self.0.lock().unwrap().entry(entry).or_default().blob = blob.to_vec();
    }
    fn forget(&self, entry: u64) {
        self.0.lock().unwrap().remove(&entry);
    }
    fn hold(&self, entry: u64, custody: Custody, fd: BorrowedFd<'_>) {
        let fd = fd.try_clone_to_owned().unwrap();
        self.0.lock().unwrap().entry(entry).or_default().connections.insert(custody, fd);
    }
    fn release(&self, entry: u64, custody: Custody) {
        if let Some(kept) = self.0.lock().unwrap().get_mut(&entry) {
            kept.connections.remove(&custody);
        }
    }
}

pub struct Worker {
    pub child: Child,
    app: &'static str,
    slot: u32,
    cluster: bool,
    /// It was told to end.
    pub ending: bool,
    /// The keeper's copy of the daemon's end.
    kept: Option<OwnedFd>,
}

pub struct Fleet {
    pub hub: Option<Hub>,
    pub keeper: Arc<Keeper>,
    pub workers: BTreeMap<Run, Worker>,
    pub seen: Vec<NodeEvent>,
    pub scheduling: Scheduling,
    events: Receiver<NodeEvent>,
    dir: tempfile::TempDir,
}

fn start(keeper: &Arc<Keeper>) -> (Hub, Receiver<NodeEvent>) {
    let (tx, mut rx) = tokio::sync::mpsc::channel(256);
    let hub = Hub::start(Arc::clone(keeper) as Arc<dyn Keep>, tx).unwrap();
    let (forward, events) = sync_channel(4096);
    std::thread::spawn(move || {
        while let Some(event) = rx.blocking_recv() {
            if forward.send(event).is_err() {
                return;
            }
        }
    });
    (hub, events)
}

impl Fleet {
    pub fn new(scheduling: Scheduling) -> Fleet {
        let node = Command::new("node").arg("--version").output();
        assert!(
            node.is_ok_and(|out| out.status.success()),
            "these tests need `node` (16 or later) in PATH: `apt install nodejs`, or https://nodejs.org"
        );
        let keeper = Arc::new(Keeper::default());
        let (hub, events) = start(&keeper);
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("preload.js"), PRELOAD).unwrap();
        Fleet { hub: Some(hub), keeper, workers: BTreeMap::new(), seen: Vec::new(), scheduling, events, dir }
    }

    pub fn hub(&self) -> &Hub {
        self.hub.as_ref().unwrap()
    }

    pub fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    /// A worker of the cluster.
    pub fn spawn(&mut self, app: &'static str, slot: u32, code: &str) -> Run {
        self.spawn_as(app, slot, true, code)
    }

    pub fn spawn_as(&mut self, app: &'static str, slot: u32, cluster: bool, code: &str) -> Run {
        let run = Run::first(self.workers.keys().map(|run| run.entry).max().unwrap_or(0) + 1);
        // One name for one program: it is part of what TLS servers recognise their sessions by.
        let script = self.path(&format!("{app}-{}.js", code.len()));
        std::fs::write(&script, code).unwrap();
        let (ours, theirs) = channel().unwrap();
        // The shell moves its standard input to descriptor 3; no descriptor is inherited by others' children.
        let child = Command::new("sh")
            .args(["-c", "ulimit -n 256; exec node --require \"$0\" \"$1\" 3<&0 </dev/null"])
            .args([self.path("preload.js"), script])
            .envs(env(run.entry, 3, cluster))
            .stdin(Stdio::from(theirs))
            .spawn()
            .unwrap();
        let kept = Some(ours.try_clone().unwrap());
        self.workers.insert(run, Worker { child, app, slot, cluster, ending: false, kept });
        self.give(run, ours, false);
        run
    }

    fn give(&self, run: Run, fd: OwnedFd, adopted: bool) {
        let worker = &self.workers[&run];
        let (slot, cluster, scheduling) = (worker.slot, worker.cluster, self.scheduling);
        self.hub().add(ChannelSpec {
            run,
            app: worker.app.into(),
            slot,
            cluster,
            scheduling,
            fd,
            adopted,
            preload: true,
            ending: worker.ending,
        });
    }

    /// Several workers, until all listen; their address.
    pub fn serve(&mut self, count: u32, code: &str) -> (Vec<Run>, SocketAddr) {
        let runs: Vec<Run> = (0..count).map(|slot| self.spawn("web", slot, code)).collect();
        let address = runs.iter().map(|run| self.listening(*run)).last().unwrap();
        (runs, address)
    }

    /// Waits until it listens on TCP, on whichever address.
    pub fn listening(&mut self, run: Run) -> SocketAddr {
        let event = self.wait("listening", |e| matches!(e, NodeEvent::Listening { run: r, .. } if *r == run));
        let NodeEvent::Listening { address, .. } = event else { panic!("{event:?}") };
        let port = address.rsplit_once(':').unwrap().1.parse().unwrap();
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    /// Waits until such an event has come, now or earlier.
    pub fn wait(&mut self, what: &str, mut is: impl FnMut(&NodeEvent) -> bool) -> NodeEvent {
        if let Some(event) = self.seen.iter().find(|e| is(e)) {
            return event.clone();
        }
        loop {
            match self.events.recv_timeout(PATIENCE) {
                Ok(event) => {
                    self.seen.push(event.clone());
                    if is(&event) {
                        return event;
                    }
                }
                Err(e) => panic!("waited for {what} ({e}) and saw {:#?}", self.seen),
            }
        }
    }

    /// Waits until something that happens outside of the hub is so.
    pub fn until(&mut self, what: &str, mut is: impl FnMut(&Fleet) -> bool) {
        for _ in 0..3000 {
            if is(self) {
                return;
            }
            if let Ok(event) = self.events.recv_timeout(Duration::from_millis(10)) {
                self.seen.push(event);
            }
        }
        panic!("waited until {what} and saw {:#?}", self.seen);
    }

    pub fn bus(&mut self, run: Run, kind: &str) -> serde_json::Value {
        let event = self.wait(
            kind,
            |e| matches!(e, NodeEvent::Message { run: r, value } if *r == run && value["type"] == kind),
        );
        let NodeEvent::Message { value, .. } = event else { panic!("{event:?}") };
        value["data"].clone()
    }

    pub fn is_disconnected(&self, run: Run) -> bool {
        self.seen.iter().any(|e| *e == NodeEvent::Disconnected { run })
    }

    pub fn disconnected(&mut self, run: Run) {
        self.wait("disconnected", |e| *e == NodeEvent::Disconnected { run });
    }

    pub fn signal(&self, run: Run, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.workers[&run].child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Kills it and tells the hub as the daemon would.
    pub fn kill(&mut self, run: Run) {
        self.signal(run, rustix::process::Signal::KILL);
        self.reap(run);
    }

    /// Waits for its end and tells the hub.
    pub fn reap(&mut self, run: Run) -> ExitStatus {
        let status = self.workers.get_mut(&run).unwrap().child.wait().unwrap();
        self.workers.get_mut(&run).unwrap().kept = None;
        self.hub().remove(run);
        status
    }

    /// The daemon dies; all that is left is what the keeper has and what is in the kernel.
    pub fn kill_daemon(&mut self) {
        self.hub = None;
        while let Ok(event) = self.events.recv_timeout(PATIENCE) {
            self.seen.push(event);
        }
    }

    /// The next daemon attaches.
    pub fn start_daemon(&mut self) {
        let (hub, events) = start(&self.keeper);
        self.events = events;
        for (entry, kept) in self.keeper.0.lock().unwrap().iter() {
            let fds = kept.fds.iter().map(|(index, fd)| (*index, fd.try_clone().unwrap())).collect();
            let connections =
                kept.connections.iter().map(|(custody, fd)| (*custody, fd.try_clone().unwrap())).collect();
            hub.adopt_listener(*entry, fds, connections, kept.blob.clone());
        }
        self.hub = Some(hub);
        for (run, worker) in &self.workers {
            if let Some(kept) = &worker.kept {
                self.give(*run, kept.try_clone().unwrap(), true);
            }
        }
    }

    /// Bytes it has sent that no daemon has read.
    pub fn unread(&self, run: Run) -> u64 {
        rustix::io::ioctl_fionread(self.workers[&run].kept.as_ref().unwrap()).unwrap()
    }

    /// Connections that the keeper has.
    pub fn waiting(&self) -> usize {
        self.keeper.0.lock().unwrap().values().map(|kept| kept.connections.len()).sum()
    }

    /// The socket that listens there.
    pub fn inode(&self, address: SocketAddr) -> u64 {
        let port = address.port();
        let mut all = crate::sys::holder::listening_tcp().into_iter();
        all.find(|one| one.address.port() == port).unwrap().inode
    }

    /// Listeners that the keeper has.
    pub fn kept(&self) -> usize {
        self.keeper.0.lock().unwrap().len()
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for worker in self.workers.values_mut() {
            worker.child.kill().ok();
            worker.child.wait().ok();
        }
    }
}

/// A client that keeps its connection.
pub struct Client(BufReader<TcpStream>);

impl Client {
    pub fn connect(to: SocketAddr) -> std::io::Result<Client> {
        let stream = TcpStream::connect_timeout(&to, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Client(BufReader::new(stream)))
    }

    pub fn ask(&mut self, path: &str) -> std::io::Result<()> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        self.0.get_mut().write_all(request.as_bytes())
    }

    /// The body, and whether the connection stays.
    pub fn answer(&mut self) -> std::io::Result<(String, bool)> {
        let (mut length, mut keeps) = (0, true);
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line)? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            let lower = line.trim().to_ascii_lowercase();
            if let Some(n) = lower.strip_prefix("content-length: ") {
                length = n.parse().unwrap();
            }
            keeps &= lower != "connection: close";
            if lower.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body)?;
        Ok((String::from_utf8(body).unwrap(), keeps))
    }
}

/// One request on a connection of its own.
pub fn get(to: SocketAddr) -> String {
    let mut client = Client::connect(to).unwrap();
    client.ask("/").unwrap();
    client.answer().unwrap().0
}

/// A server that answers with the number of its worker.
pub fn web(port: u16) -> String {
    format!(
        "const id = String(require('cluster').worker.id);
         require('http').createServer((q, s) => {{ s.setHeader('Content-Length', id.length); s.end(id); }}).listen({port});"
    )
}

/// A port that nobody has at the moment.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("[::]:0").unwrap().local_addr().unwrap().port()
}
