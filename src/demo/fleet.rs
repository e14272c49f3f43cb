//! The demo's fleet: started, watched until there is something to see, and ended, with its home.

use super::http::Connection;
use super::place::Place;
use crate::client::{CallError, Client, ConnectError};
use crate::model::order::IfPresent;
use crate::model::snapshot::{DaemonView, WorkerView};
use crate::model::{App, Bytes, Order, State};
use crate::proto::{Reply, Request};
use crate::sys::clock;
use crate::sys::interrupt::{Interrupt, pause, readable};
use crate::sys::lease;
use crate::sys::lock::Lock;
use crate::sys::paths::Home;
use crate::sys::proc;
use anyhow::{Context, bail};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

/// A start, a first look and an end may each take this long: sixteen Nodes on one slow core.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks.
const STEP: Duration = Duration::from_millis(50);

/// A running fleet. Dropping it ends it too, for the case of a panic.
#[derive(Debug)]
pub(super) struct Fleet {
    place: Place,
    over: bool,
}

impl Fleet {
    /// Starts keeper, daemon and app and waits until the app answers. Interrupted, it returns early.
    pub(super) fn start(place: Place, app: App, interrupt: Interrupt) -> anyhow::Result<Fleet> {
        let mut fleet = Fleet { place, over: false };
        let started = fleet.launch(app, interrupt);
        match started {
            Ok(()) => Ok(fleet),
            Err(error) => {
                fleet.end().context(error.to_string())?;
                Err(error)
            }
        }
    }

    pub(super) fn home(&self) -> &Home {
        self.place.home()
    }

    fn launch(&self, app: App, interrupt: Interrupt) -> anyhow::Result<()> {
        let port = app.env.0.get("PORT").and_then(|port| port.parse().ok()).unwrap_or(0);
        // Should this process be killed, the fleet must not stay.
        lease::sign(self.home()).context("say whose the demo's home is")?;
        let mut client = Client::connect_or_start(self.home(), &mut |_notice| {})?;
        let order = Order::Start { apps: vec![app], if_present: IfPresent::Refuse };
        client.call(Request::Order { order }).context("start the demo's app")?;
        drop(client);
        let deadline = Deadline::new();
        while !interrupt.asked() {
            let answers = Connection::open(port).and_then(|mut connection| connection.get("/"));
            let Err(why) = answers else { break };
            let (workers, _) = self.list()?;
            if let Some(failed) = workers.iter().find(|worker| worker.state == State::Failed) {
                bail!("start the demo's app: {} {}: {}", failed.app.name, failed.id, self.last_words(failed));
            }
            if deadline.is_over() {
                bail!("reach the demo's app on port {port}: {why}");
            }
            interrupt.wait(STEP);
        }
        Ok(())
    }

    /// Waits until every worker is online and has been sampled, and one has logged.
    pub(super) fn wait_until_seen(&self, interrupt: Interrupt) -> anyhow::Result<()> {
        let deadline = Deadline::new();
        while !interrupt.asked() {
            let (workers, _) = self.list()?;
            let sampled = |w: &Arc<WorkerView>| w.state.is_online() && w.usage.memory > Bytes(0);
            let logged = |w: &Arc<WorkerView>| {
                w.out_file
                    .as_ref()
                    .and_then(|path| std::fs::metadata(path).ok())
                    .is_some_and(|file| file.len() > 0)
            };
            if !workers.is_empty() && workers.iter().all(sampled) && workers.iter().any(logged) {
                break;
            }
            if deadline.is_over() {
                let seen = workers.iter().filter(|w| sampled(w)).count();
                bail!("see the demo's workers: {seen} of {} are online and sampled", workers.len());
            }
            interrupt.wait(STEP);
        }
        Ok(())
    }

    /// Stops everything, waits until daemon and keeper are gone, and removes the home. The home stays where that
    /// fails, and the error names it.
    pub(super) fn end(&mut self) -> anyhow::Result<()> {
        if std::mem::replace(&mut self.over, true) {
            return Ok(());
        }
        let ended = self.shut_down();
        if ended.is_err() {
            self.place.keep();
        }
        ended.with_context(|| {
            format!("end the demo's fleet; its home `{}` stays", self.home().root().display())
        })
    }

    fn shut_down(&self) -> anyhow::Result<()> {
        let deadline = Deadline::new();
        loop {
            // Both are known only while they live, and neither can be another process once it is held.
            let held = match self.list() {
                Ok((_, daemon)) => [daemon.pid, daemon.keeper_pid].map(proc::hold),
                Err(error) if no_daemon(&error) => break,
                Err(error) if deadline.is_over() => return Err(error),
                Err(_restarting) => {
                    pause(STEP);
                    continue;
                }
            };
            let told = Client::connect(self.home())?.call(Request::Order { order: Order::Shutdown });
            if let Err(CallError::Refused(error)) = told
                && error.code != crate::proto::Code::ShuttingDown
            {
                return Err(error.into());
            }
            for process in held.into_iter().flatten() {
                if !readable(process.as_fd(), deadline.left()) {
                    bail!("see daemon and keeper end within {} s", PATIENCE.as_secs());
                }
            }
            break;
        }
        // Held by the keeper and the daemon for as long as either lives: also by one that had not yet served.
        while Lock::attempt(&self.home().keeper_lock())?.is_none() {
            if deadline.is_over() {
                bail!("see the keeper end within {} s", PATIENCE.as_secs());
            }
            pause(STEP);
        }
        Ok(())
    }

    fn list(&self) -> anyhow::Result<(Vec<Arc<WorkerView>>, DaemonView)> {
        match Client::connect(self.home())?.call(Request::List { with_env: false })? {
            Reply::Fleet { workers, daemon, .. } => Ok((workers, daemon)),
            other => bail!("list the demo's fleet: the daemon answered {other:?}"),
        }
    }

    /// The last line that a worker wrote to its stderr, or why it is what it is.
    fn last_words(&self, worker: &WorkerView) -> String {
        let text = worker
            .error_file
            .as_ref()
            .and_then(|path| std::fs::read_to_string(path).ok())
            .unwrap_or_default();
        match text.lines().rfind(|line| !line.trim().is_empty()) {
            Some(line) => line.to_owned(),
            None => worker.reason.to_string(),
        }
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        // Nobody is left to be told; the home stays if this fails.
        self.end().ok();
    }
}

fn no_daemon(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref::<ConnectError>(), Some(ConnectError::NoDaemon(_)))
}

/// [`PATIENCE`] from now.
#[derive(Debug, Clone, Copy)]
struct Deadline {
    started_ns: u64,
}

impl Deadline {
    fn new() -> Deadline {
        Deadline { started_ns: clock::monotonic_ns() }
    }

    fn left(self) -> Duration {
        PATIENCE.saturating_sub(Duration::from_nanos(clock::monotonic_ns().saturating_sub(self.started_ns)))
    }

    fn is_over(self) -> bool {
        self.left().is_zero()
    }
}

#[cfg(test)]
mod tests {
    use super::super::app;
    use super::*;
    use crate::model::Reason;
    use crate::proto::{ClientMessage, Code, DaemonMessage, Decoder, Frame, Hello, WireError};
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::path::PathBuf;
    use std::process::{Child, Command};
    use std::thread::JoinHandle;

    /// As much of a daemon as the demo asks for; `keeper` stands for both processes and ends on `Shutdown`.
    struct Daemon {
        keeper: Child,
        shutdown: Reply,
        state: State,
    }

    impl Daemon {
        fn serve(mut self, home: &Home) -> JoinHandle<()> {
            let listener = UnixListener::bind(home.socket()).unwrap();
            let socket = home.socket();
            std::thread::spawn(move || {
                while let Ok((stream, _)) = listener.accept() {
                    if self.attend(stream) {
                        break;
                    }
                }
                // As the keeper does: nobody can connect once it is gone. The home itself may be gone too.
                std::fs::remove_file(socket).ok();
                self.keeper.kill().unwrap();
                self.keeper.wait().unwrap();
            })
        }

        /// True once `Shutdown` was ordered.
        fn attend(&self, mut stream: UnixStream) -> bool {
            let mut decoder = Decoder::default();
            let mut send = stream.try_clone().unwrap();
            send.write_all(&Frame::json(&DaemonMessage::Hello(Hello::ours())).unwrap()).unwrap();
            let mut chunk = [0u8; 65536];
            loop {
                while let Some(Frame::Json(json)) = decoder.next().unwrap() {
                    let ClientMessage::Request { id, request } = Frame::parse(&json).unwrap() else {
                        continue;
                    };
                    let reply = self.answer(&request);
                    send.write_all(&Frame::json(&DaemonMessage::Reply { id, reply }).unwrap()).unwrap();
                    if *request == (Request::Order { order: Order::Shutdown }) {
                        return true;
                    }
                }
                match stream.read(&mut chunk).unwrap() {
                    0 => return false,
                    n => decoder.buffer().extend_from_slice(&chunk[..n]),
                }
            }
        }

        fn answer(&self, request: &Request) -> Reply {
            let pid = self.keeper.id();
            match request {
                Request::Order { order: Order::Start { .. } | Order::Keyed { .. } } => {
                    Reply::Done { touched: Vec::new() }
                }
                Request::Order { order: Order::Shutdown } => self.shutdown.clone(),
                Request::List { .. } => Reply::Fleet {
                    workers: vec![Arc::new(worker(self.state))],
                    host: crate::model::usage::HostUsage::default(),
                    daemon: DaemonView { pid, keeper_pid: pid, ..DaemonView::default() },
                },
                other => panic!("{other:?}"),
            }
        }
    }

    fn worker(state: State) -> WorkerView {
        let place = Place::create(3001, 1).unwrap();
        let app = app::demo(&place, None, 3001, 1).unwrap();
        let json = serde_json::json!({
            "id": 0, "instance": 0, "desired": "up", "state": state, "reason": Reason::TooManyUnstable {
                count: 16, last: crate::model::Exit::Code(1),
            },
            "epoch": 1, "pid": null, "created": {"boot_ms": 0, "wall_ms": 0}, "started": null, "restarts": 16,
            "unstable_restarts": 16, "last_exit": null, "next_start": null,
            "usage": {"cpu": 0.0, "memory": 0, "processes": 0}, "node": null, "listening": [], "reloading": false,
            "axm": null, "out_file": null, "error_file": null, "pid_file": null, "unique_id": "", "app": app,
        });
        serde_json::from_value(json).unwrap()
    }

    /// A place with a daemon in it, and the app for a port.
    fn scene(port: u16, shutdown: Reply, state: State) -> (Place, App, JoinHandle<()>, PathBuf) {
        let place = Place::create(port, 1).unwrap();
        let app = app::demo(&place, None, port, 1).unwrap();
        let root = place.home().root().to_owned();
        let keeper = Command::new("sleep").arg("1000").spawn().unwrap();
        let daemon = Daemon { keeper, shutdown, state }.serve(place.home());
        (place, app, daemon, root)
    }

    /// A server that answers one connection.
    fn server() -> (u16, JoinHandle<()>) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let thread = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            assert!(stream.read(&mut [0u8; 1024]).unwrap() > 0);
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").unwrap();
        });
        (port, thread)
    }

    #[test]
    fn a_fleet_ends_with_its_daemon_gone_and_its_home_removed() {
        let (port, server) = server();
        let (place, app, daemon, root) = scene(port, Reply::Done { touched: Vec::new() }, State::Running);
        let mut fleet = Fleet::start(place, app, Interrupt::catch().unwrap()).unwrap();
        fleet.end().unwrap();
        assert!(daemon.is_finished() || !root.join("pmon.sock").exists());
        drop(fleet);
        assert!(!root.exists());
        daemon.join().unwrap();
        server.join().unwrap();
    }

    #[test]
    fn a_panic_ends_the_fleet_too() {
        let (port, server) = server();
        let (place, app, daemon, root) = scene(port, Reply::Done { touched: Vec::new() }, State::Running);
        let fleet = Fleet::start(place, app, Interrupt::catch().unwrap()).unwrap();
        drop(fleet);
        daemon.join().unwrap();
        server.join().unwrap();
        assert!(!root.exists());
    }

    #[test]
    fn an_app_that_fails_is_an_error_with_its_reason_and_leaves_nothing() {
        // Nobody listens on port 1.
        let (place, app, daemon, root) = scene(1, Reply::Done { touched: Vec::new() }, State::Failed);
        let error = Fleet::start(place, app, Interrupt::catch().unwrap()).unwrap_err().to_string();
        assert!(
            error.contains("timeline-app 0: 16 unstable restarts in a row, last: exit code 1"),
            "{error}"
        );
        daemon.join().unwrap();
        assert!(!root.exists());
    }

    #[test]
    fn a_fleet_that_cannot_be_ended_keeps_its_home_and_says_so() {
        let (port, server) = server();
        let refusal = WireError { code: Code::Busy, message: "no".to_owned(), hint: None };
        let (place, app, daemon, root) = scene(port, Reply::Error(refusal), State::Running);
        let mut fleet = Fleet::start(place, app, Interrupt::catch().unwrap()).unwrap();
        let error = format!("{:#}", fleet.end().unwrap_err());
        assert!(error.contains(root.to_str().unwrap()) && error.ends_with(": no"), "{error}");
        drop(fleet);
        assert!(root.exists());
        daemon.join().unwrap();
        server.join().unwrap();
        std::fs::remove_dir_all(&root).unwrap();
    }
}
