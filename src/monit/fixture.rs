//! A synthetic world for tests: sixteen instances that serve, one that crash-loops, one that failed, one that is
//! stopped; with history, logs and events.

use super::ansi;
use super::event::{Event, Fresh, News};
use super::state::State;
use crate::model::app::{Mode, Program};
use crate::model::change::{Change, What};
use crate::model::snapshot::{DaemonView, WorkerView};
use crate::model::usage::{HostUsage, NodeUsage, Usage};
use crate::model::{App, Bytes, Desired, Epoch, Exit, Reason, Stamp, State as WorkerState, WorkerId};
use crate::proto::push::StreamKind;
use std::sync::Arc;
use std::time::Duration;

/// 2026-11-22T14:03:20Z, ten days after boot.
pub const NOW: Stamp = Stamp { boot_ms: 864_000_000, wall_ms: 1_795_356_200_000 };

const SECONDS: u64 = 240;

/// A fleet of this size, all there is to it, at the end of four minutes of watching.
pub fn sixteen() -> State {
    let start = ago(SECONDS);
    let mut state = State::new(start, (160, 45), false, "/home/dev/.pmon".to_owned());
    state.update(Event::News(News::Up), start);
    for second in 0..=SECONDS {
        let now = start.after(Duration::from_secs(second));
        state.update(push(second == 0, fleet(second)), now);
        if second % 3 == 0 {
            state.update(Event::News(News::Lines(lines(second))), now);
        }
    }
    for change in changes() {
        state.update(Event::News(News::Changed(change)), NOW);
    }
    state.update(Event::News(News::HistoryEnd), NOW);
    state
}

/// Connected to a daemon without workers.
pub fn empty() -> State {
    let mut state = State::new(NOW, (80, 24), false, "/home/dev/.pmon".to_owned());
    state.update(Event::News(News::Up), NOW);
    state.update(push(true, Vec::new()), NOW);
    state
}

/// The fleet of [`sixteen`], seven seconds after its daemon went away.
pub fn gone() -> State {
    let mut state = sixteen();
    let why = "hear the daemon: it went away".to_owned();
    state.update(Event::News(News::Gone { why }), ago(7));
    state.update(Event::Tick, NOW);
    state
}

/// So many single-instance apps.
pub fn many(n: u32) -> State {
    let mut state = empty();
    let workers = (0..n).map(|id| Arc::new(worker(id, &format!("app-{id}"), 0))).collect();
    state.update(push(true, workers), NOW);
    state
}

/// A push of these workers.
pub fn push(whole: bool, workers: Vec<Arc<WorkerView>>) -> Event {
    let host = HostUsage {
        cpu: 46.2,
        cores: 8,
        memory_used: Bytes(11 << 30),
        memory_total: Bytes(32 << 30),
        load1: 3.42,
        ..HostUsage::default()
    };
    let daemon = DaemonView {
        pid: 811,
        keeper_pid: 810,
        started: ago(90_000),
        restarts: 0,
        version: "0.1.0".into(),
        notices: Vec::new(),
        aside: Vec::new(),
    };
    Event::News(News::Fleet { whole, workers, removed: Vec::new(), host, daemon })
}

/// One worker that is online and serves.
pub fn worker(id: u32, name: &str, instance: u32) -> WorkerView {
    WorkerView {
        id: WorkerId(id),
        instance,
        desired: Desired::Up,
        state: WorkerState::Ready,
        reason: Reason::Started,
        epoch: Epoch(3),
        pid: Some(4000 + id),
        created: ago(200_000),
        started: Some(ago(11_520 + u64::from(id) * 7)),
        restarts: 0,
        unstable_restarts: 0,
        last_exit: None,
        next_start: None,
        usage: Usage { cpu: 12.5, memory: Bytes(64 << 20), processes: 1 },
        node: None,
        listening: Vec::new(),
        reloading: false,
        axm: None,
        node_version: None,
        trouble: None,
        log_trouble: None,
        out_file: Some(format!("/home/dev/.pmon/logs/{name}-out-{id}.log")),
        error_file: Some(format!("/home/dev/.pmon/logs/{name}-error-{id}.log")),
        pid_file: Some(format!("/home/dev/.pmon/pids/{name}-{id}.pid")),
        unique_id: format!("u{id}"),
        app: Arc::new(app(name)),
    }
}

fn ago(seconds: u64) -> Stamp {
    let ms = seconds * 1000;
    Stamp { boot_ms: NOW.boot_ms - ms, wall_ms: NOW.wall_ms - ms as i64 }
}

fn app(name: &str) -> App {
    let mut program = Program::sample(format!("/srv/{name}/server.js"));
    program.args = vec!["--port".to_owned(), "3001".to_owned()];
    let (version, node_version) = (Some("1.4.2".to_owned()), Some("20.20.2".to_owned()));
    App { version, node_version, ..App::of(name, program, format!("/srv/{name}")) }
}

/// Waves that differ between workers and repeat with the seconds.
fn wave(id: u32, second: u64, slow: f32) -> f32 {
    let t = second as f32 / slow + id as f32 * 1.7;
    (t.sin() + (t * 2.3).sin() * 0.5 + (t * 7.1).sin() * 0.25 + 1.75) / 3.5
}

fn fleet(second: u64) -> Vec<Arc<WorkerView>> {
    let mut workers: Vec<WorkerView> = (0..16).map(|id| api(id, second)).collect();
    let mut mailer = worker(16, "mailer", 0);
    mailer.usage = Usage { cpu: 3.0 + wave(16, second, 30.0) * 6.0, memory: Bytes(38 << 20), processes: 2 };
    mailer.state = WorkerState::Running;
    let mut crashy = worker(17, "crashy", 0);
    crashy.state = WorkerState::Backoff;
    crashy.reason = Reason::Died(Exit::Code(1));
    (crashy.pid, crashy.restarts, crashy.unstable_restarts) = (None, 27, 4);
    crashy.last_exit = Some(Exit::Code(1));
    crashy.next_start = Some(NOW.after(Duration::from_millis(2400)));
    let mut billing = worker(18, "billing", 0);
    billing.state = WorkerState::Failed;
    billing.reason = Reason::TooManyUnstable { count: 16, last: Exit::Signal(9) };
    (billing.pid, billing.restarts) = (None, 16);
    let mut nightly = worker(19, "nightly-report", 0);
    nightly.state = WorkerState::Down;
    (nightly.reason, nightly.desired, nightly.pid) = (Reason::StopRequested, Desired::Down, None);
    workers.extend([mailer, crashy, billing, nightly]);
    workers.into_iter().map(Arc::new).collect()
}

fn api(id: u32, second: u64) -> WorkerView {
    let mut view = worker(id, "api", id);
    let mut app = app("api");
    (app.mode, app.instances) = (Mode::Cluster, 16);
    app.limits.max_memory = Some(Bytes(128 << 20));
    view.app = Arc::new(app);
    let load = wave(id, second, 14.0);
    view.restarts = u32::from(id == 5) * 2;
    view.usage = Usage {
        cpu: load * if id == 3 { 96.0 } else { 42.0 },
        memory: Bytes(((52.0 + id as f32 * 2.0 + wave(id, second, 60.0) * 30.0) * 1048576.0) as u64),
        processes: 1,
    };
    view.node = Some(NodeUsage {
        rps: 20.0 + load * 60.0,
        http_mean: 6.0,
        http_p50: 4.0 + load * 4.0,
        http_p95: 14.0 + load * 20.0,
        http_p99: 24.0 + load * 60.0,
        loop_p50: 0.3,
        loop_p95: 1.0 + load * 4.0,
        elu: load,
        heap_used: Bytes(31 << 20),
        heap_total: Bytes(48 << 20),
        handles: 14,
    });
    view.listening = vec![":::3001".to_owned()];
    view
}

/// A line of this worker.
pub fn line(id: u32, stream: StreamKind, at: Stamp, text: &str) -> Fresh {
    Fresh { source: Some(WorkerId(id)), stream, at_ms: Some(at.wall_ms), clean: ansi::clean(text.as_bytes()) }
}

fn lines(second: u64) -> Vec<Fresh> {
    let at = ago(SECONDS - second);
    let out = StreamKind::Out;
    let mut lines: Vec<Fresh> = (0..16)
        .map(|id| {
            let ms = 3 + (second * 7 + u64::from(id) * 13) % 90;
            match (second + u64::from(id)) % 23 {
                0 => line(id, out, at, &format!("WARN slow query on timeline took {}ms", ms * 9)),
                7 => line(
                    id,
                    out,
                    at,
                    &format!("\u{1b}[32mGET\u{1b}[0m /users/{ms}/avatar \u{1b}[33m304\u{1b}[0m {ms}ms 画像"),
                ),
                11 => line(
                    id,
                    StreamKind::Err,
                    at,
                    &format!("ERROR upstream refused: connect ECONNREFUSED 10.0.0.7:{}", 5432 + ms),
                ),
                _ => line(id, out, at, &format!("INFO GET /timeline?page={} 200 {ms}ms", second % 9)),
            }
        })
        .collect();
    lines.push(line(16, out, at, &format!("sent {} mails", second % 17)));
    let trace = [
        "Error: listen EADDRINUSE: address already in use :::3001",
        "    at Server.setupListenHandle (node:net:1817:16)",
    ];
    lines.extend(trace.map(|text| line(17, StreamKind::Err, at, text)));
    lines
}

fn changes() -> Vec<Change> {
    let change = |seconds, worker, name: &str, what| Change {
        at: ago(seconds),
        worker: WorkerId(worker),
        name: name.into(),
        what,
    };
    let died = Exit::Code(1);
    vec![
        change(200, 5, "api", What::Exited { pid: 3900, exit: Exit::Signal(9), wanted: false }),
        change(
            200,
            5,
            "api",
            What::State { state: WorkerState::Starting, reason: Reason::Died(Exit::Signal(9)) },
        ),
        change(199, 5, "api", What::Spawned { pid: 4005 }),
        change(199, 5, "api", What::Listening { address: ":::3001".into() }),
        change(199, 5, "api", What::State { state: WorkerState::Ready, reason: Reason::Started }),
        change(9, 17, "crashy", What::Spawned { pid: 5120 }),
        change(8, 17, "crashy", What::Exited { pid: 5120, exit: died, wanted: false }),
        change(8, 17, "crashy", What::State { state: WorkerState::Backoff, reason: Reason::Died(died) }),
        change(3, 16, "mailer", What::Note { text: "reload abandoned: not ready within 3000 ms".into() }),
    ]
}
