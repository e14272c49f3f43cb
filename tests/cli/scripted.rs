//! A daemon that only plays one: it speaks the wire, knows a few workers, and notes what was ordered.

use pmon::model::change::What;
use pmon::model::order::{Deed, IfPresent, Order, Refusal, ScaleTo, Touched};
use pmon::model::select::Candidate;
use pmon::model::snapshot::{DaemonView, WorkerView};
use pmon::model::usage::HostUsage;
use pmon::model::{App, Reason, Selector, State, WorkerId};
use pmon::proto::push::StreamKind;
use pmon::proto::request::LogsRequest;
use pmon::proto::{
    ClientMessage, Code, DaemonMessage, Decoder, Frame, Hello, LogHeader, Push, Reply, Request, WireError,
};
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

/// A home with a daemon in it.
pub struct Daemon {
    home: tempfile::TempDir,
    orders: Arc<Mutex<Vec<String>>>,
}

impl Daemon {
    /// With one online worker for each name.
    pub fn with(names: &[&str]) -> Daemon {
        let home = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(home.path().join("pmon.sock")).unwrap();
        let workers: Vec<Arc<WorkerView>> =
            names.iter().zip(0..).map(|(name, id)| Arc::new(worker(id, name))).collect();
        let orders = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&orders);
        // Ends with the test's process.
        std::thread::spawn(move || {
            for socket in listener.incoming() {
                let mut session =
                    Session { socket: socket.unwrap(), workers: workers.clone(), orders: Arc::clone(&noted) };
                std::thread::spawn(move || session.serve());
            }
        });
        Daemon { home, orders }
    }

    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// What was ordered, in words.
    pub fn orders(&self) -> Vec<String> {
        self.orders.lock().unwrap().clone()
    }
}

struct Session {
    socket: UnixStream,
    workers: Vec<Arc<WorkerView>>,
    orders: Arc<Mutex<Vec<String>>>,
}

impl Session {
    /// Until the client leaves, or a shutdown.
    fn serve(&mut self) -> Option<()> {
        self.send(&DaemonMessage::Hello(Hello::ours()))?;
        let mut decoder = Decoder::default();
        loop {
            while let Some(Frame::Json(json)) = decoder.next().unwrap() {
                if let ClientMessage::Request { id, request } = Frame::parse(&json).unwrap() {
                    let is_last = matches!(*request, Request::Order { order: Order::Shutdown });
                    self.answer(id, *request)?;
                    if is_last {
                        return None;
                    }
                }
            }
            let mut chunk = [0; 4096];
            let n = self.socket.read(&mut chunk).ok().filter(|n| *n > 0)?;
            decoder.buffer().extend_from_slice(&chunk[..n]);
        }
    }

    fn send(&mut self, message: &DaemonMessage) -> Option<()> {
        self.socket.write_all(&Frame::json(message).unwrap()).ok()
    }

    fn answer(&mut self, id: u64, request: Request) -> Option<()> {
        let refuse =
            |code, message: &str| Reply::Error(WireError { code, message: message.into(), hint: None });
        let reply = match request {
            Request::Ping => Reply::Pong,
            Request::List { .. } => {
                let (host, daemon) = (HostUsage::default(), DaemonView::default());
                Reply::Fleet { workers: self.workers.clone(), host, daemon }
            }
            Request::Order { order } => self.order(order),
            Request::Save { .. } => refuse(Code::NothingToDo, "the fleet is empty"),
            Request::Resurrect { .. } => refuse(Code::NotFound, "nothing was saved"),
            Request::Flush { .. } => refuse(Code::NotFound, "no"),
            Request::Logs(logs) => return self.logs(id, &logs),
            Request::Watch
            | Request::Settings
            | Request::Configure { .. }
            | Request::ReopenLogs
            | Request::LogSizes { .. }
            | Request::Upgrade { .. }
            | Request::Unknown => refuse(Code::Invalid, "no"),
        };
        self.send(&DaemonMessage::Reply { id, reply })
    }

    fn order(&self, order: Order) -> Reply {
        let order = match order {
            Order::Keyed { order, .. } => *order,
            other => other,
        };
        let (words, select, deed) = match order {
            Order::Keyed { .. } => unreachable!(),
            Order::Stop { select } => (format!("stop {}", select.text), select, Deed::Stopped),
            Order::Restart { select, update } => {
                let env = if update.env.is_some() { " with env" } else { "" };
                (format!("restart {}{env}", select.text), select, Deed::Restarted)
            }
            Order::Reload { select, .. } => (format!("reload {}", select.text), select, Deed::Reloaded),
            Order::Delete { select } => (format!("delete {}", select.text), select, Deed::Deleted),
            Order::Reset { select } => (format!("reset {}", select.text), select, Deed::Reset),
            Order::Signal { select, signal } => (format!("signal {signal}"), select, Deed::Signalled),
            Order::Shutdown => ("shutdown".to_owned(), Selector::all(), Deed::Deleted),
            Order::Scale { to: ScaleTo::To(_) | ScaleTo::By(_), .. } => {
                let message = Refusal::NothingToDo.to_string();
                return Reply::Error(WireError { code: Code::NothingToDo, message, hint: None });
            }
            Order::Start { apps, if_present } => return self.start(&apps, if_present),
            Order::Resurrect { .. } => panic!("not in the script: {order:?}"),
        };
        let candidates = self.workers.iter().map(|w| Candidate {
            id: w.id,
            name: &w.app.name,
            namespace: &w.app.namespace,
            script: &w.app.program.script,
        });
        match select.resolve(candidates) {
            Err(error) => {
                Reply::Error(WireError { code: Code::NotFound, message: error.to_string(), hint: None })
            }
            Ok(ids) => {
                self.orders.lock().unwrap().push(words);
                Reply::Done { touched: ids.into_iter().map(|id| self.touched(id, deed)).collect() }
            }
        }
    }

    /// Launches what is not there, restarts what is; ids of new ones are above all others.
    fn start(&self, apps: &[App], if_present: IfPresent) -> Reply {
        let mut touched = Vec::new();
        for app in apps {
            let present: Vec<WorkerId> =
                self.workers.iter().filter(|w| w.app.name == app.name).map(|w| w.id).collect();
            let args = app.program.args.join(" ");
            self.orders.lock().unwrap().push(format!("start {} {if_present:?} [{args}]", app.name));
            if present.is_empty() || if_present == IfPresent::Add {
                let new = |n| Touched {
                    id: WorkerId(100 + n),
                    name: app.name.clone(),
                    deed: Deed::Launched,
                    state: State::Running,
                    reason: Reason::Started,
                    abandoned: None,
                    last_words: Vec::new(),
                };
                touched.extend((0..app.instances).map(new));
            } else if if_present == IfPresent::Refuse {
                let message = Refusal::AlreadyLaunched { name: app.name.clone() }.to_string();
                return Reply::Error(WireError { code: Code::AlreadyLaunched, message, hint: None });
            } else {
                touched.extend(present.into_iter().map(|id| self.touched(id, Deed::Restarted)));
            }
        }
        Reply::Done { touched }
    }

    fn touched(&self, id: WorkerId, deed: Deed) -> Touched {
        let name = self.workers[id.0 as usize].app.name.clone();
        Touched {
            id,
            name,
            deed,
            state: State::Running,
            reason: Reason::Started,
            abandoned: None,
            last_words: Vec::new(),
        }
    }

    /// Two lines of history; then, if followed, lines for ever.
    fn logs(&mut self, id: u64, request: &LogsRequest) -> Option<()> {
        self.send(&DaemonMessage::Reply { id, reply: Reply::Subscribed })?;
        let header = LogHeader {
            id,
            worker: Some(WorkerId(0)),
            name: "web".into(),
            stream: StreamKind::Out,
            instance: None,
            pid: None,
            at_ms: None,
            history: true,
            path: Some("/h/web-out.log".into()),
            spot: None,
            at_spot: None,
        };
        if request.lines > 0 {
            self.socket.write_all(&Frame::log(&header, b"line 1\nline 2\n").unwrap()).ok()?;
            // An app of this name stands for a daemon that dies now.
            self.workers.first().filter(|w| w.app.name != "mortal")?;
        }
        self.send(&DaemonMessage::Push { id, push: Push::HistoryEnd })?;
        let live = LogHeader { history: false, path: None, at_ms: Some(1), ..header };
        if !request.follow {
            return Some(());
        }
        loop {
            let note = What::Note { text: "on".into() };
            let change = pmon::model::change::Change {
                at: pmon::model::Stamp::default(),
                worker: WorkerId(0),
                name: "web".into(),
                what: note,
            };
            self.send(&DaemonMessage::Push { id, push: Push::Changed(change) })?;
            self.socket.write_all(&Frame::log(&live, b"live\n").unwrap()).ok()?;
        }
    }
}

fn worker(id: u32, name: &str) -> WorkerView {
    let start = pmon::model::Stamp::default();
    let json = serde_json::json!({
        "id": id, "instance": 0, "desired": "up", "state": "running", "reason": "started", "epoch": 1,
        "pid": 1000 + id, "created": start, "started": start, "restarts": 0, "unstable_restarts": 0,
        "usage": pmon::model::usage::Usage::default(), "listening": [], "reloading": false,
        "unique_id": "u", "app": app(name),
    });
    serde_json::from_value(json).unwrap()
}

fn app(name: &str) -> serde_json::Value {
    use pmon::model::policy::{Limits, Logs, Readiness, Restart, Scheduling, Stop};
    let program = serde_json::json!({
        "script": "/bin/sh", "interpreter": "none", "interpreter_args": [], "args": [],
    });
    serde_json::json!({
        "name": name, "namespace": "default", "cwd": "/", "mode": "fork", "instances": 1, "env": {},
        "program": program, "instance_var": "NODE_APP_INSTANCE", "autostart": true,
        "restart": Restart::default(), "stop": Stop::default(), "readiness": Readiness::default(),
        "limits": Limits::default(), "logs": Logs::default(), "scheduling": Scheduling::default(),
        "sockets": [], "preload": false, "extra": {},
    })
}
