//! Checked attributes and the caller → `App`. No default, relative path or look-up is left.

use super::caller::Caller;
use super::env;
use super::error::ConfigError;
use super::file::RawApp;
use super::interpreter::{self, Search};
use super::origin::Origin;
use super::path;
use super::schema::Attributes;
use super::script::{self, Script};
use super::{health, sockets, units, version};
use crate::model::app::{App, Env, Mode, Program, SocketSpec, User};
use crate::model::exit::signal_number;
use crate::model::files::sanitize;
use crate::model::policy::{Limits, Logs, Overflow, Readiness, Reload, Restart, Scheduling, Stop};
use crate::model::units::Bytes;
use crate::sys::user;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// PM2's `time: true`.
const TIME_FORMAT: &str = "YYYY-MM-DDTHH:mm:ss";

/// What an app is resolved against.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// Who asks.
    pub caller: &'a Caller,
    /// `--env`.
    pub env_name: Option<&'a str>,
    /// The configuration file's directory.
    pub config_dir: Option<&'a Path>,
    /// `deploy` of the file.
    pub deploy: &'a RawApp,
}

/// Resolves one app. Warnings are lines for people.
pub fn app(
    attributes: &Attributes,
    origin: &Origin,
    context: Context<'_>,
    warnings: &mut Vec<String>,
) -> Result<App, ConfigError> {
    let caller = context.caller;
    let mut env = env::merge(attributes, context.deploy, context.env_name, caller);
    let search = env.get("PATH").map(String::as_str).or(caller.var("PATH")).unwrap_or_default().to_owned();
    let (cwd, program) = program(attributes, origin, context, &search)?;
    let user = run_as(attributes, &origin.app, caller)?;
    env.insert("PWD".to_owned(), cwd.display().to_string());
    if let Some(user) = &user {
        become_at_home(&mut env, user, attributes)?;
    }
    if program.interpreter.starts_with("python") {
        env.entry("PYTHONUNBUFFERED".to_owned()).or_insert_with(|| "1".to_owned());
    }
    let mode = mode(attributes, &program, origin, warnings);
    let name = name(attributes, context.env_name).unwrap_or_default();
    warnings.extend(attributes.without_effect(origin));
    Ok(App {
        namespace: attributes.text("namespace").unwrap_or("default").to_owned(),
        mode,
        instances: instances(attributes),
        instance_var: instance_var(attributes, caller),
        increment_var: attributes.text("increment_var").map(str::to_owned),
        user,
        autostart: attributes.flag("autostart").unwrap_or(true),
        restart: restart(attributes),
        stop: stop(attributes, caller),
        readiness: readiness(attributes, caller),
        reload: Reload { width: attributes.number("reload_width").map(|width| width.max(1)) },
        limits: Limits {
            max_memory: attributes.get("max_memory_restart").and_then(Value::as_u64).map(Bytes),
        },
        logs: logs(attributes, &name, mode, &cwd, caller),
        scheduling: scheduling(attributes, &env),
        sockets: sockets(attributes, &cwd),
        preload: attributes.flag("preload").unwrap_or(true),
        version: version::of(&program.script),
        node_version: None,
        pid_file: attributes.text("pid_file").map(|p| path::resolve(&cwd, p, caller.home_dir())),
        extra: extra(attributes, caller),
        env: Env(env),
        name,
        program,
        cwd,
    })
}

/// The name given, or the script's; with the environment's name if that is asked for.
pub fn name(attributes: &Attributes, env_name: Option<&str>) -> Option<String> {
    let given = attributes.text("name").map(str::to_owned);
    let name = given.or_else(|| attributes.text("script").map(script::default_name))?;
    match env_name {
        Some(env) if attributes.flag("append_env_to_name") == Some(true) => Some(format!("{name}-{env}")),
        Some(_) | None => Some(name),
    }
}

fn program(
    attributes: &Attributes,
    origin: &Origin,
    context: Context<'_>,
    search: &str,
) -> Result<(PathBuf, Program), ConfigError> {
    let caller = context.caller;
    let written = attributes
        .text("script")
        .ok_or_else(|| ConfigError::NoScript { place: Box::new(origin.whole()), app: origin.app.clone() })?;
    let cwd = attributes.text("cwd");
    let (cwd, found) = script::locate(written, cwd, context.config_dir, search, &origin.app, caller)?;
    let args = attributes.words("args");
    let script = match found {
        Script::Command(line) => {
            let program = shell(line, args, search, &cwd);
            return Ok((cwd, program));
        }
        Script::File(path) | Script::Program(path) => path,
    };
    let place = Search { path: search, cwd: &cwd, caller };
    let interpreter = interpreter::choose(&script, attributes.text("exec_interpreter"), place)?;
    let interpreter_args = [interpreter.args, attributes.words("node_args")].concat();
    let program = Program {
        script,
        interpreter: interpreter.name,
        interpreter_path: interpreter.path,
        interpreter_args,
        args,
    };
    Ok((cwd, program))
}

/// `bash -c "<line>"`; arguments after it are the line's `$1` and on.
fn shell(line: String, args: Vec<String>, search: &str, cwd: &Path) -> Program {
    let script = path::executable("bash", search, cwd).unwrap_or_else(|| PathBuf::from("/bin/sh"));
    let mut words = vec!["-c".to_owned(), line];
    if !args.is_empty() {
        words.push(script.display().to_string());
        words.extend(args);
    }
    Program {
        script,
        interpreter: "none".to_owned(),
        interpreter_path: None,
        interpreter_args: Vec::new(),
        args: words,
    }
}

/// Cluster if asked for, or if `instances` is given at all; only node can.
fn mode(attributes: &Attributes, program: &Program, origin: &Origin, warnings: &mut Vec<String>) -> Mode {
    let asked = attributes.text("exec_mode");
    let wanted = match asked {
        Some(mode) => mode == "cluster",
        None => attributes.get("instances").is_some(),
    };
    if !wanted || attributes.flag("execute_command") == Some(true) {
        return Mode::Fork;
    }
    if program.is_node() {
        return Mode::Cluster;
    }
    // PM2 would call the first two clustered as well, by the end of their name.
    if asked.is_some() || ["node", "bun", "deno"].iter().any(|end| program.interpreter.ends_with(end)) {
        let what = if program.interpreter == "none" { "this script" } else { &program.interpreter };
        warnings.push(format!("app `{}`: cluster mode needs node; {what} runs in fork mode", origin.app));
    }
    Mode::Fork
}

/// 0 is one a core, -1 one less than that; at least 1.
fn instances(attributes: &Attributes) -> u32 {
    let cores = std::thread::available_parallelism().map_or(1, |n| i64::try_from(n.get()).unwrap_or(1));
    let count = match attributes.get("instances").and_then(Value::as_i64) {
        None => 1,
        Some(n) if n > 0 => n,
        Some(n) => cores.saturating_add(n).max(1),
    };
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn instance_var(attributes: &Attributes, caller: &Caller) -> String {
    let forced = caller.var("PM2_PROCESS_INSTANCE_VAR");
    forced.or(attributes.text("instance_var")).unwrap_or("NODE_APP_INSTANCE").to_owned()
}

/// Whose the workers are; `None`: the caller's own.
fn run_as(attributes: &Attributes, app: &str, caller: &Caller) -> Result<Option<User>, ConfigError> {
    let (asked_uid, asked_gid) = (attributes.text("uid"), attributes.text("gid"));
    if asked_uid.is_none() && asked_gid.is_none() {
        return Ok(None);
    }
    let unknown =
        |kind, name: &str| ConfigError::UnknownUser { app: app.to_owned(), kind, name: name.to_owned() };
    let (uid, default_gid, name) = match asked_uid {
        None => (caller.uid, user::current_gid(), user::name_of(caller.uid)),
        Some(written) => {
            let number = written.parse::<u32>().ok();
            let account = match number {
                Some(uid) => user::by_uid(uid),
                None => user::by_name(written),
            };
            match (account.map_err(ConfigError::Users)?, number) {
                (Some(account), _) => (account.uid, account.gid, account.name),
                // A number without a line in passwd(5), as in containers.
                (None, Some(uid)) => (uid, uid, written.to_owned()),
                (None, None) => return Err(unknown("user", written)),
            }
        }
    };
    let gid = match asked_gid.map(|written| (written, written.parse::<u32>())) {
        None => default_gid,
        Some((_, Ok(gid))) => gid,
        Some((written, Err(_))) => user::group_by_name(written)
            .map_err(ConfigError::Users)?
            .ok_or_else(|| unknown("group", written))?,
    };
    if caller.uid == 0 {
        return Ok(Some(User { uid, gid, name }));
    }
    if uid == caller.uid && gid == user::current_gid() {
        return Ok(None);
    }
    Err(ConfigError::NeedsRoot { app: app.to_owned() })
}

/// HOME, USER and LOGNAME of somebody else, unless the app says otherwise.
fn become_at_home(env: &mut env::Table, user: &User, attributes: &Attributes) -> Result<(), ConfigError> {
    let account = user::by_uid(user.uid).map_err(ConfigError::Users)?;
    let home = account.map(|account| account.home);
    let own = attributes.table("env");
    let values = [("HOME", home), ("USER", Some(user.name.clone())), ("LOGNAME", Some(user.name.clone()))];
    for (name, value) in values {
        if let Some(value) = value.filter(|_| !own.is_some_and(|own| own.contains_key(name))) {
            env.insert(name.to_owned(), value);
        }
    }
    Ok(())
}

fn restart(attributes: &Attributes) -> Restart {
    let default = Restart::default();
    let codes = attributes.get("stop_exit_codes").and_then(Value::as_array);
    let codes = codes.into_iter().flatten().filter_map(Value::as_i64);
    Restart {
        autorestart: attributes.flag("autorestart").unwrap_or(default.autorestart),
        max_restarts: attributes.number("max_restarts").unwrap_or(default.max_restarts),
        min_uptime: attributes.span("min_uptime").unwrap_or(default.min_uptime),
        restart_delay: attributes.span("restart_delay").unwrap_or(default.restart_delay),
        exp_backoff: attributes.span("exp_backoff_restart_delay").unwrap_or(default.exp_backoff),
        stop_exit_codes: codes.filter_map(|code| i32::try_from(code).ok()).collect(),
    }
}

/// `PM2_KILL_SIGNAL`, `PM2_KILL_TIMEOUT` and `PM2_KILL_USE_MESSAGE` change the defaults, as in PM2.
fn stop(attributes: &Attributes, caller: &Caller) -> Stop {
    let default = Stop::default();
    let signal = attributes.get("stop_signal").and_then(Value::as_i64);
    let signal = signal.and_then(|n| i32::try_from(n).ok());
    Stop {
        signal: signal.or_else(|| signal_number(caller.var("PM2_KILL_SIGNAL")?)).unwrap_or(default.signal),
        kill_timeout: attributes
            .span("kill_timeout")
            .or_else(|| span_of(caller, "PM2_KILL_TIMEOUT"))
            .unwrap_or(default.kill_timeout),
        treekill: attributes.flag("treekill").unwrap_or(default.treekill),
        shutdown_with_message: attributes
            .flag("shutdown_with_message")
            .unwrap_or_else(|| caller.var("PM2_KILL_USE_MESSAGE").is_some()),
    }
}

fn readiness(attributes: &Attributes, caller: &Caller) -> Readiness {
    let default = Readiness::default();
    Readiness {
        wait_ready: attributes.flag("wait_ready").unwrap_or(default.wait_ready),
        listen_timeout: attributes
            .span("listen_timeout")
            .or_else(|| span_of(caller, "PM2_GRACEFUL_LISTEN_TIMEOUT"))
            .unwrap_or(default.listen_timeout),
        notify: attributes.flag("notify").unwrap_or(default.notify),
        health: attributes.get("health").and_then(health::parse),
    }
}

fn span_of(caller: &Caller, variable: &str) -> Option<Duration> {
    units::span_ms(caller.var(variable)?).map(Duration::from_millis)
}

fn logs(attributes: &Attributes, name: &str, mode: Mode, cwd: &Path, caller: &Caller) -> Logs {
    let file = |attribute| {
        attributes.text(attribute).map(|written| match written {
            "NULL" | "/dev/null" => PathBuf::from("/dev/null"),
            _ => path::resolve(cwd, written, caller.home_dir()),
        })
    };
    let counted = attributes.get("instances").and_then(Value::as_i64).is_some_and(|n| n != 0);
    let date_format = attributes.text("log_date_format").map(str::to_owned);
    let time = attributes.flag("time") == Some(true);
    Logs {
        out_file: file("out_file"),
        error_file: file("error_file"),
        log_file: match attributes.flag("log_file") {
            Some(true) => Some(caller.logs_dir().join(format!("{}.log", sanitize(name)))),
            Some(false) => None,
            None => file("log_file"),
        },
        merge: attributes.flag("merge_logs").unwrap_or(mode == Mode::Fork && !counted),
        date_format: date_format.or_else(|| time.then(|| TIME_FORMAT.to_owned())),
        json: attributes.text("log_type") == Some("json"),
        disabled: attributes.flag("disable_logs").unwrap_or(false),
        overflow: match attributes.text("log_overflow") {
            Some("block") => Overflow::Block,
            Some(_) | None => Overflow::Drop,
        },
        rotate: attributes.texts("rotate"),
    }
}

/// Node's own switch is honoured: `NODE_CLUSTER_SCHED_POLICY=none` leaves accepting to the workers.
fn scheduling(attributes: &Attributes, env: &env::Table) -> Scheduling {
    match attributes.text("scheduling") {
        Some("shared") => Scheduling::Shared,
        Some("reuseport") => Scheduling::ReusePort,
        Some(_) => Scheduling::RoundRobin,
        None if env.get("NODE_CLUSTER_SCHED_POLICY").is_some_and(|p| p == "none") => Scheduling::Shared,
        None => Scheduling::RoundRobin,
    }
}

/// The schema has parsed them once already, so there is nothing left to refuse.
fn sockets(attributes: &Attributes, cwd: &Path) -> Vec<SocketSpec> {
    attributes.get("sockets").and_then(|value| sockets::parse(value, cwd).ok()).unwrap_or_default()
}

fn extra(attributes: &Attributes, caller: &Caller) -> serde_json::Map<String, Value> {
    let mut extra = attributes.extra();
    extra.entry("username").or_insert_with(|| user::name_of(caller.uid).into());
    extra
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Options, from_stdin_json};
    use serde_json::json;

    /// Resolves one app of `sh`, for a caller with these variables besides PATH and HOME.
    fn resolved(fields: Value, variables: &[(&str, &str)], options: &Options) -> (App, Vec<String>) {
        let mut app = json!({"script": "sh", "name": "my app"});
        app.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let basics = [("PATH", "/usr/bin:/bin"), ("HOME", "/home/dev")];
        let env = basics.iter().chain(variables).map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let caller = Caller { cwd: "/".into(), env, uid: 0 };
        let mut resolved = from_stdin_json(&app.to_string(), options, &caller).unwrap();
        (resolved.apps.remove(0), resolved.warnings)
    }

    fn app(fields: Value) -> App {
        resolved(fields, &[], &Options::default()).0
    }

    #[test]
    fn instances_count_from_the_cores_when_not_positive() {
        let cores = u32::try_from(std::thread::available_parallelism().unwrap().get()).unwrap();
        let count = |value: Value| app(json!({ "instances": value })).instances;
        assert_eq!(count(json!("max")), cores);
        assert_eq!(count(json!(0)), cores);
        assert_eq!(count(json!("-1")), (cores - 1).max(1));
        assert_eq!(count(json!(-10_000)), 1);
        assert_eq!(count(json!("4")), 4);
        assert_eq!(app(json!({})).instances, 1);
    }

    #[test]
    fn only_node_is_clustered() {
        let (app, warnings) = resolved(json!({"instances": 2}), &[], &Options::default());
        assert_eq!((app.mode, app.logs.merge), (Mode::Fork, false));
        assert!(warnings.is_empty(), "{warnings:?}");
        let (app, warnings) = resolved(json!({"exec_mode": "cluster"}), &[], &Options::default());
        assert_eq!((app.mode, app.logs.merge), (Mode::Fork, true));
        assert_eq!(warnings, ["app `my app`: cluster mode needs node; this script runs in fork mode"]);
    }

    #[test]
    fn root_may_run_it_as_somebody_else_at_home_there() {
        let nobody = user::by_name("nobody").unwrap().unwrap();
        let found = app(json!({"user": "nobody", "env": {"USER": "mine"}}));
        let expected = User { uid: nobody.uid, gid: nobody.gid, name: "nobody".into() };
        assert_eq!(found.user, Some(expected));
        assert_eq!(found.env.0["HOME"], nobody.home);
        assert_eq!((found.env.0["USER"].as_str(), found.env.0["LOGNAME"].as_str()), ("mine", "nobody"));
        let found = app(json!({"uid": 54321, "gid": 1})).user.unwrap();
        assert_eq!((found.uid, found.gid), (54321, 1));
        assert_eq!(app(json!({})).user, None);
    }

    #[test]
    fn pm2s_variables_change_the_defaults_only() {
        let variables = [
            ("PM2_KILL_SIGNAL", "SIGTERM"),
            ("PM2_KILL_TIMEOUT", "500"),
            ("PM2_GRACEFUL_LISTEN_TIMEOUT", "700"),
            ("PM2_PROCESS_INSTANCE_VAR", "SLOT"),
        ];
        let (app, _) = resolved(json!({"kill_timeout": 900}), &variables, &Options::default());
        assert_eq!((app.stop.signal, app.stop.kill_timeout), (15, Duration::from_millis(900)));
        assert_eq!(app.readiness.listen_timeout, Duration::from_millis(700));
        assert_eq!(app.instance_var, "SLOT");
    }

    #[test]
    fn log_true_is_the_default_place() {
        let home = [("PMON_HOME", "/srv/pmon")];
        let place = |fields, variables| resolved(fields, variables, &Options::default()).0.logs.log_file;
        assert_eq!(place(json!({"log": true}), &[]), Some("/home/dev/.pmon/logs/my-app.log".into()));
        assert_eq!(place(json!({"log_file": true}), &home), Some("/srv/pmon/logs/my-app.log".into()));
        assert_eq!(place(json!({"log_file": false}), &home), None);
    }

    #[test]
    fn nodes_own_scheduling_switch_is_honoured() {
        let env = json!({"env": {"NODE_CLUSTER_SCHED_POLICY": "none"}});
        assert_eq!(app(env).scheduling, Scheduling::Shared);
        let both = json!({"scheduling": "rr", "env": {"NODE_CLUSTER_SCHED_POLICY": "none"}});
        assert_eq!(app(both).scheduling, Scheduling::RoundRobin);
        assert_eq!(app(json!({})).scheduling, Scheduling::RoundRobin);
    }

    #[test]
    fn the_environments_name_goes_to_the_apps_if_asked() {
        let options = Options { env_name: Some("blue".into()), ..Options::default() };
        let (app, _) = resolved(json!({"append_env_to_name": true, "env_blue": {}}), &[], &options);
        assert_eq!(app.name, "my app-blue");
    }

    #[test]
    fn arguments_of_a_command_are_the_shells() {
        let options = Options { args: vec!["x y".into()], ..Options::default() };
        let (app, _) = resolved(json!({"script": "echo $1 | cat"}), &[], &options);
        assert_eq!(app.program.args.get(1).map(String::as_str), Some("echo $1 | cat"));
        assert_eq!(app.program.args.last().map(String::as_str), Some("x y"));
    }
}
