//! A worker as PM2's `jlist` shows it: the same keys in the same order, because scripts read them.
//!
//! Differences on purpose: `exit_signal` tells a death by signal from exit code 0, and optional attributes are
//! there only where they differ from the default.

use super::number;
use super::table::user;
use crate::model::app::{App, Mode};
use crate::model::exit::signal_name;
use crate::model::files::WorkerFiles;
use crate::model::policy::{Readiness, Restart, Stop};
use crate::model::reason::millis;
use crate::model::snapshot::WorkerView;
use crate::model::{Exit, Stamp};
use serde_json::{Map, Value, json};
use std::path::Path;
use std::sync::Arc;

/// All workers.
pub fn fleet(workers: &[Arc<WorkerView>]) -> Value {
    workers.iter().map(|worker| element(worker)).collect()
}

/// One worker: `pid, name, pm2_env, pm_id, monit`.
fn element(worker: &WorkerView) -> Value {
    json!({
        "pid": worker.pid.unwrap_or(0),
        "name": worker.app.name,
        "pm2_env": pm2_env(worker),
        "pm_id": worker.id,
        "monit": {
            "memory": worker.usage.memory,
            "cpu": number::json(number::tenth(worker.usage.cpu)),
        },
    })
}

/// PM2's `pm2_env`: configuration, environment (twice: as `env` and flattened) and state in one object.
pub fn pm2_env(worker: &WorkerView) -> Map<String, Value> {
    let mut env = configuration(worker);
    for (key, value) in &worker.app.env.0 {
        put_if_absent(&mut env, key, || Value::from(value.as_str()));
    }
    env.append(&mut state(worker));
    env
}

fn configuration(worker: &WorkerView) -> Map<String, Value> {
    let app = &worker.app;
    let extra = |key: &str, default: Value| app.extra.get(key).cloned().unwrap_or(default);
    let log = |file: &Option<String>| file.clone().unwrap_or_else(|| "/dev/null".to_owned());
    let mut out = object(json!({
        "name": app.name,
        "filter_env": extra("filter_env", json!([])),
        "namespace": app.namespace,
        "env": environment(worker),
        "instances": app.instances,
        "vizion": extra("vizion", json!(true)),
        "autostart": app.autostart,
        "autorestart": app.restart.autorestart,
        "watch": extra("watch", json!(false)),
        "instance_var": app.instance_var,
        "pmx": extra("pmx", json!(true)),
        "automation": extra("automation", json!(true)),
        "treekill": app.stop.treekill,
        "username": user(worker),
        "windowsHide": extra("windowsHide", json!(true)),
        "kill_retry_time": extra("kill_retry_time", json!(100)),
        "node_args": app.program.interpreter_args,
        "pm_exec_path": app.program.script,
        "pm_cwd": app.cwd,
        "exec_interpreter": app.program.interpreter,
        "exec_mode": app.mode.pm2_name(),
        "pm_out_log_path": log(&worker.out_file),
        "pm_err_log_path": log(&worker.error_file),
        "pm_pid_path": worker.pid_file,
        "km_link": false,
        "vizion_running": false,
    }));
    out.append(&mut optional(worker));
    for (key, value) in &app.extra {
        put_if_absent(&mut out, key, || value.clone());
    }
    out.insert(app.instance_var.clone(), worker.instance.into());
    out
}

/// What PM2 puts into a worker's environment object: the variables, its module configuration, its id of this start.
fn environment(worker: &WorkerView) -> Map<String, Value> {
    let variables = worker.app.env.0.iter();
    let mut env: Map<String, Value> =
        variables.map(|(key, value)| (key.clone(), Value::from(value.as_str()))).collect();
    put_if_absent(&mut env, &worker.app.name, || json!({}));
    env.insert("unique_id".to_owned(), worker.unique_id.as_str().into());
    env
}

/// Attributes that are there only if they were given.
fn optional(worker: &WorkerView) -> Map<String, Value> {
    let app = &worker.app;
    let (restart, stop, readiness) = (Restart::default(), Stop::default(), Readiness::default());
    let combined = WorkerFiles::of(app, worker.id, Path::new("/"), Path::new("/")).combined;
    let mut out = Map::new();
    let mut put = |key: &str, given: bool, value: Value| {
        if given {
            out.insert(key.to_owned(), value);
        }
    };
    put("args", !app.program.args.is_empty(), json!(app.program.args));
    put("log_date_format", app.logs.date_format.is_some(), json!(app.logs.date_format));
    put("log_type", app.logs.json, json!("json"));
    put("merge_logs", app.logs.merge, json!(true));
    put("disable_logs", app.logs.disabled, json!(true));
    put("pm_log_path", combined.is_some(), json!(combined));
    put("max_memory_restart", app.limits.max_memory.is_some(), json!(app.limits.max_memory));
    put("min_uptime", app.restart.min_uptime != restart.min_uptime, json!(millis(app.restart.min_uptime)));
    put("max_restarts", app.restart.max_restarts != restart.max_restarts, json!(app.restart.max_restarts));
    put("restart_delay", !app.restart.restart_delay.is_zero(), json!(millis(app.restart.restart_delay)));
    put(
        "exp_backoff_restart_delay",
        !app.restart.exp_backoff.is_zero(),
        json!(millis(app.restart.exp_backoff)),
    );
    put("stop_exit_codes", !app.restart.stop_exit_codes.is_empty(), json!(app.restart.stop_exit_codes));
    put("wait_ready", app.readiness.wait_ready, json!(true));
    let listen = app.readiness.listen_timeout;
    put("listen_timeout", listen != readiness.listen_timeout, json!(millis(listen)));
    put("kill_timeout", app.stop.kill_timeout != stop.kill_timeout, json!(millis(app.stop.kill_timeout)));
    put("shutdown_with_message", app.stop.shutdown_with_message, json!(true));
    put("increment_var", app.increment_var.is_some(), json!(app.increment_var));
    put("uid", app.user.is_some(), json!(app.user.as_ref().map(|user| user.uid)));
    put("gid", app.user.is_some(), json!(app.user.as_ref().map(|user| user.gid)));
    out
}

fn state(worker: &WorkerView) -> Map<String, Value> {
    let axm = worker.axm.as_deref().cloned().unwrap_or_default();
    let wall = |at: Option<Stamp>| at.map(|at| at.wall_ms);
    let mut out = object(json!({
        "unique_id": worker.unique_id,
        "status": worker.state.pm2_name(),
        "pm_uptime": wall(worker.started),
        "axm_actions": axm.actions,
        "axm_monitor": axm.monitor,
        "axm_options": axm.options,
        "axm_dynamic": {},
        "created_at": worker.created.wall_ms,
        "pm_id": worker.id,
        "restart_time": worker.restarts,
        "unstable_restarts": worker.unstable_restarts,
    }));
    let app: &App = &worker.app;
    if app.mode == Mode::Cluster {
        out.insert("_pm2_version".to_owned(), env!("CARGO_PKG_VERSION").into());
    }
    out.insert("version".to_owned(), app.version.as_deref().unwrap_or("N/A").into());
    if let Some(version) = worker.node_version() {
        out.insert("node_version".to_owned(), version.into());
    }
    match worker.last_exit {
        Some(Exit::Code(code)) => {
            out.insert("exit_code".to_owned(), code.into());
        }
        Some(Exit::Signal(signal)) => {
            // PM2 reports 0 for a signal; the key keeps its meaning and the signal gets one of its own.
            out.insert("exit_code".to_owned(), 0.into());
            out.insert("exit_signal".to_owned(), signal_name(signal).into());
        }
        Some(Exit::Unknown) | None => {}
    }
    out
}

fn put_if_absent(map: &mut Map<String, Value>, key: &str, value: impl FnOnce() -> Value) {
    if !map.contains_key(key) {
        map.insert(key.to_owned(), value());
    }
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{inspect, sample};
    use super::*;

    #[test]
    fn keys_stand_in_pm2s_order() {
        let list = fleet(&sample::fleet());
        let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ");
        assert_eq!(keys(&list[0]), "pid name pm2_env pm_id monit");
        assert_eq!(keys(&list[0]["monit"]), "memory cpu");
        assert_eq!(
            keys(&list[0]["pm2_env"]),
            "name filter_env namespace env instances vizion autostart autorestart watch instance_var pmx \
             automation treekill username windowsHide kill_retry_time node_args pm_exec_path pm_cwd \
             exec_interpreter exec_mode pm_out_log_path pm_err_log_path pm_pid_path km_link vizion_running \
             NODE_APP_INSTANCE HOME NODE_ENV USER unique_id status pm_uptime axm_actions axm_monitor \
             axm_options axm_dynamic created_at pm_id restart_time unstable_restarts _pm2_version version \
             node_version"
        );
    }

    #[test]
    fn jlist_of_a_fleet() {
        insta::assert_snapshot!(serde_json::to_string_pretty(&fleet(&sample::fleet())).unwrap());
    }

    #[test]
    fn prettylist_of_a_fleet() {
        insta::assert_snapshot!(inspect::inspect(&fleet(&sample::fleet())));
    }

    #[test]
    fn a_variable_never_hides_a_fact() {
        let mut app = sample::app("web");
        app.env.0.insert("status".into(), "fine".into());
        app.env.0.insert("name".into(), "other".into());
        let shown = pm2_env(&sample::worker(0, app));
        assert_eq!(shown["status"], "online");
        assert_eq!(shown["name"], "web");
        assert_eq!(shown["env"]["status"], "fine");
    }
}
