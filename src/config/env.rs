//! The environment of an app: the caller's, less what is filtered, and over it `env`, `deploy.<X>.env`
//! and `env_<X>` of the chosen environment, and `port`.

use super::caller::Caller;
use super::file::RawApp;
use super::schema::Attributes;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Names and values.
pub type Table = BTreeMap<String, String>;

/// What a daemon (ours or PM2's) sets for one worker and must not leak into another, when a worker starts an app.
const OF_ONE_WORKER: [&str; 9] = [
    "LISTEN_FDNAMES",
    "LISTEN_FDS",
    "LISTEN_PID",
    "NODE_APP_INSTANCE",
    "NODE_CHANNEL_FD",
    "NODE_CHANNEL_SERIALIZATION_MODE",
    "NODE_UNIQUE_ID",
    "NOTIFY_SOCKET",
    "pm_id",
];

/// What PM2 puts into the environment of its workers besides, under names that others may use for
/// themselves: they go only if `pm_id` tells that the caller is a worker.
const OF_A_WORKER_OF_PM2: &[&str] = &[
    "PM2_INTERACTOR_PROCESSING",
    "PM2_JSON_PROCESSING",
    "PM2_PROGRAMMATIC",
    "PM2_USAGE",
    "_pm2_version",
    "_tree_pids",
    "args",
    "automation",
    "autorestart",
    "autostart",
    "axm_actions",
    "axm_dynamic",
    "axm_monitor",
    "axm_options",
    "created_at",
    "env",
    "exec_interpreter",
    "exec_mode",
    "exit_code",
    "filter_env",
    "instance_var",
    "instances",
    "kill_retry_time",
    "km_link",
    "merge_logs",
    "name",
    "namespace",
    "node_args",
    "node_version",
    "pm_cwd",
    "pm_err_log_path",
    "pm_exec_path",
    "pm_log_path",
    "pm_out_log_path",
    "pm_pid_path",
    "pm_uptime",
    "pmx",
    "prev_restart_delay",
    "restart_time",
    "status",
    "treekill",
    "unique_id",
    "unstable_restarts",
    "username",
    "version",
    "vizion",
    "vizion_running",
    "watch",
    "windowsHide",
];

/// Merges all of it. `chosen` is `--env`'s argument.
pub fn merge(attributes: &Attributes, deploy: &RawApp, chosen: Option<&str>, caller: &Caller) -> Table {
    let mut env = inherited(caller);
    filter(&mut env, attributes.get("filter_env"));
    let empty = Map::new();
    let deployed = chosen.and_then(|name| deploy.get(name)?.get("env")?.as_object());
    let overlays = [attributes.table("env"), deployed, chosen.and_then(|name| attributes.environment(name))];
    for (name, value) in overlays.into_iter().flat_map(|table| table.unwrap_or(&empty)) {
        env.insert(name.clone(), text(value));
    }
    if let Some(port) = attributes.get("port") {
        env.insert("PORT".to_owned(), text(port));
    }
    env
}

/// True if the file says anything about the environment of this name.
pub fn is_defined(name: &str, attributes: &Attributes, deploy: &RawApp) -> bool {
    attributes.environment(name).is_some() || deploy.contains_key(name)
}

fn inherited(caller: &Caller) -> Table {
    let mut env = caller.env.clone();
    let is_worker = env.contains_key("pm_id");
    let more = if is_worker { OF_A_WORKER_OF_PM2 } else { &[] };
    for name in OF_ONE_WORKER.iter().chain(more) {
        env.remove(*name);
    }
    env
}

/// A list drops what *contains* an item, a string exactly that name, true everything: PM2's documented rule.
fn filter(env: &mut Table, rule: Option<&Value>) {
    match rule {
        Some(Value::Bool(true)) => env.clear(),
        Some(Value::String(name)) => {
            env.remove(name);
        }
        Some(Value::Array(parts)) => {
            let parts: Vec<&str> = parts.iter().filter_map(Value::as_str).collect();
            env.retain(|name, _| !parts.iter().any(|part| name.contains(part)));
        }
        Some(Value::Null | Value::Bool(false) | Value::Number(_) | Value::Object(_)) | None => {}
    }
}

/// As JavaScript would write it; objects and lists as JSON.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            value.to_string()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::origin::Origin;
    use serde_json::json;

    fn merged(caller: &[(&str, &str)], app: Value, chosen: Option<&str>) -> Vec<String> {
        let env = caller.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let caller = Caller { cwd: "/".into(), env, uid: 0 };
        let raw = app.as_object().unwrap();
        let attributes = Attributes::read(raw, &Origin::default(), &mut Vec::new()).unwrap();
        let deploy = json!({"staging": {"env": {"B": "deploy"}}});
        let env = merge(&attributes, deploy.as_object().unwrap(), chosen, &caller);
        env.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
    }

    #[test]
    fn later_overlays_win() {
        let app = json!({"env": {"B": 1, "C": true}, "env_staging": {"C": "x"}, "port": 3000});
        assert_eq!(
            merged(&[("A", "a"), ("B", "b")], app.clone(), None),
            ["A=a", "B=1", "C=true", "PORT=3000"]
        );
        assert_eq!(merged(&[], app, Some("staging")), ["B=deploy", "C=x", "PORT=3000"]);
    }

    #[test]
    fn objects_become_json() {
        let app = json!({"env": {"O": {"a": [1]}, "L": ["x"], "N": null, "F": 0.5}});
        assert_eq!(merged(&[], app, None), ["F=0.5", "L=[\"x\"]", "N=null", "O={\"a\":[1]}"]);
    }

    #[test]
    fn filter_env_has_three_forms() {
        let caller = [("SECRET_A", "1"), ("MY_SECRET", "2"), ("HOME", "/h")];
        assert_eq!(merged(&caller, json!({"filter_env": ["SECRET"]}), None), ["HOME=/h"]);
        assert_eq!(merged(&caller, json!({"filter_env": "SECRET_A"}), None), ["HOME=/h", "MY_SECRET=2"]);
        assert_eq!(merged(&caller, json!({"filter_env": true, "env": {"A": 1}}), None), ["A=1"]);
        assert_eq!(merged(&caller, json!({"filter_env": false}), None).len(), 3);
    }

    #[test]
    fn a_worker_hands_nothing_of_its_own_on() {
        let worker =
            [("pm_id", "3"), ("NODE_CHANNEL_FD", "3"), ("name", "web"), ("status", "online"), ("A", "1")];
        assert_eq!(merged(&worker, json!({}), None), ["A=1"]);
        assert_eq!(merged(&[("name", "mine"), ("LISTEN_FDS", "2")], json!({}), None), ["name=mine"]);
    }
}
