//! A hand-made fleet for the snapshots.

use crate::model::app::{Env, Mode, Program};
use crate::model::snapshot::{Axm, WorkerView};
use crate::model::usage::Usage;
use crate::model::*;
use serde_json::json;
use std::sync::Arc;

/// The moment at which the samples are shown.
pub(crate) const NOW: Stamp = Stamp { boot_ms: 1_000_000, wall_ms: 1_795_341_000_000 };

/// `ms` before [`NOW`].
pub(crate) fn ago(ms: u64) -> Stamp {
    Stamp { boot_ms: NOW.boot_ms - ms, wall_ms: NOW.wall_ms - i64::try_from(ms).unwrap() }
}

/// A fork-mode app.
pub(crate) fn app(name: &str) -> App {
    let env = [("HOME", "/root"), ("NODE_ENV", "production"), ("USER", "root")];
    App {
        env: Env(env.map(|(k, v)| (k.to_owned(), v.to_owned())).into()),
        version: Some("1.4.2".into()),
        node_version: Some("20.20.2".into()),
        ..App::of(name, Program::sample(format!("/srv/{name}.js")), "/srv")
    }
}

/// A worker of an app, online for 63 seconds.
pub(crate) fn worker(id: u32, app: App) -> WorkerView {
    let files = files::WorkerFiles::of(&app, WorkerId(id), "/h/logs".as_ref(), "/h/pids".as_ref());
    let shown = |path: Option<std::path::PathBuf>| path.map(|p| p.display().to_string());
    WorkerView {
        id: WorkerId(id),
        instance: 0,
        desired: Desired::Up,
        state: State::Running,
        reason: Reason::Started,
        epoch: Epoch(2),
        pid: Some(10_270 + id),
        created: ago(63_500),
        started: Some(ago(63_000)),
        restarts: 0,
        unstable_restarts: 0,
        last_exit: None,
        next_start: None,
        usage: Usage { cpu: 0.9, memory: Bytes(54_940_672), processes: 1 },
        node: None,
        listening: Vec::new(),
        reloading: false,
        axm: None,
        node_version: None,
        trouble: None,
        log_trouble: None,
        out_file: shown(files.out),
        error_file: shown(files.error),
        pid_file: shown(Some(files.pid)),
        unique_id: "61a37caa-6a5c-4fe3-9f37-6deb7d177f80".into(),
        app: Arc::new(app),
    }
}

/// Two cluster workers, one in backoff, one stopped with a long name and every optional attribute.
pub(crate) fn fleet() -> Vec<Arc<WorkerView>> {
    let mut cluster = app("timeline-app");
    cluster.mode = Mode::Cluster;
    cluster.instances = 2;
    let mut first = worker(0, cluster.clone());
    first.axm = Some(Arc::new(axm()));
    let mut second = worker(1, cluster);
    second.instance = 1;
    second.usage.memory = Bytes(53_000_000);

    let mut crashy = worker(4, app("crashy"));
    crashy.state = State::Backoff;
    crashy.reason = Reason::Died(Exit::Code(1));
    crashy.last_exit = Some(Exit::Code(1));
    crashy.pid = None;
    crashy.restarts = 31;
    crashy.usage = Usage::default();

    let mut full = worker(12, full());
    full.state = State::Down;
    full.desired = Desired::Down;
    full.pid = None;
    full.started = None;
    full.usage = Usage::default();
    full.last_exit = Some(Exit::Signal(9));
    vec![first, second, crashy, full].into_iter().map(Arc::new).collect()
}

/// An app with every optional attribute.
fn full() -> App {
    let mut app = app("worker-with-a-name-that-goes-on-and-on-and-on");
    app.program.args = vec!["--port".into(), "1 2".into()];
    app.program.interpreter_args = vec!["--trace-warnings".into()];
    app.version = None;
    app.namespace = "background-jobs".into();
    app.restart.stop_exit_codes = vec![0, 3];
    app.restart.max_restarts = 2;
    app.restart.restart_delay = std::time::Duration::from_millis(1500);
    app.limits.max_memory = Some(Bytes(314_572_800));
    app.logs.log_file = Some("/srv/all.log".into());
    app.logs.date_format = Some("YYYY".into());
    app.readiness.wait_ready = true;
    app.user = Some(app::User { uid: 33, gid: 33, name: "www-data".into() });
    app.extra.insert("watch".into(), json!(["src"]));
    app.extra.insert("cron_restart".into(), json!("0 3 * * *"));
    app
}

fn axm() -> Axm {
    let serde_json::Value::Object(monitor) = json!({
        "Heap Size": {"historic": true, "unit": "MiB", "type": "internal/v8/heap/total", "value": "6.73"},
        "Active requests": {"historic": true, "type": "internal/libuv/requests", "value": 0},
        "HTTP P95 Latency": {"type": "x", "unit": "ms", "value": 27.14999999999999},
    }) else {
        unreachable!()
    };
    Axm {
        monitor,
        actions: vec![json!({"action_name": "km:heapdump", "action_type": "internal", "arity": 2})],
        options: serde_json::Map::new(),
    }
}
