//! What was asked for, fully resolved: no default, relative path or environment look-up is left.

use super::policy::{Limits, Logs, Readiness, Reload, Restart, Scheduling, Stop};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::fmt;
use std::path::PathBuf;

/// A declared program. The client resolves it from flags and files; the daemon takes it as it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct App {
    /// Name; several apps may share it, all selectors by name then hit all of them.
    pub name: String,
    /// Namespace, `default` if none was given.
    pub namespace: String,
    /// What is run.
    pub program: Program,
    /// Working directory, absolute.
    pub cwd: PathBuf,
    /// How Node's port sharing is offered.
    pub mode: Mode,
    /// How many instances to start, at least 1.
    pub instances: u32,
    /// The complete environment of the worker, without what the daemon adds per instance.
    pub env: Env,
    /// Name of the variable that holds the instance number (`NODE_APP_INSTANCE`).
    pub instance_var: String,
    /// Variable incremented per instance from its value in `env`.
    pub increment_var: Option<String>,
    /// Run as somebody else (root only).
    pub user: Option<User>,
    /// Start at registration; false leaves it `Down`.
    pub autostart: bool,
    /// What happens when it ends.
    pub restart: Restart,
    /// How it is asked to end.
    pub stop: Stop,
    /// When it is ready.
    pub readiness: Readiness,
    /// How its instances are replaced.
    #[serde(default)]
    pub reload: Reload,
    /// Limits.
    pub limits: Limits,
    /// Output.
    pub logs: Logs,
    /// Port sharing of cluster mode.
    pub scheduling: Scheduling,
    /// Sockets the daemon binds and every instance inherits (`LISTEN_FDS`).
    pub sockets: Vec<SocketSpec>,
    /// Load pmon's preload into Node workers (soft drain, metrics).
    pub preload: bool,
    /// Version from the nearest package.json.
    pub version: Option<String>,
    /// Version of the node that runs it, where known (`20.11.0`).
    pub node_version: Option<String>,
    /// Pid file as configured, absolute; the instance id goes before `.pid`. `None`: the default name.
    pub pid_file: Option<PathBuf>,
    /// Attributes that only outputs need (`watch`, `vizion`, `cron_restart` …), as PM2 spells them.
    pub extra: Map<String, Value>,
}

impl App {
    /// One instance of `program` of which nothing else was said: what holds then, and an empty environment.
    pub fn of(name: impl Into<String>, program: Program, cwd: impl Into<PathBuf>) -> App {
        App {
            name: name.into(),
            namespace: "default".to_owned(),
            program,
            cwd: cwd.into(),
            mode: Mode::Fork,
            instances: 1,
            env: Env::default(),
            instance_var: "NODE_APP_INSTANCE".to_owned(),
            increment_var: None,
            user: None,
            autostart: true,
            restart: Restart::default(),
            stop: Stop::default(),
            readiness: Readiness::default(),
            reload: Reload::default(),
            limits: Limits::default(),
            logs: Logs::default(),
            scheduling: Scheduling::default(),
            sockets: Vec::new(),
            preload: true,
            version: None,
            node_version: None,
            pid_file: None,
            extra: Map::new(),
        }
    }
}

/// What is run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// PM2's `pm_exec_path`: the script or binary, absolute.
    pub script: PathBuf,
    /// PM2's `exec_interpreter`: `node`, `python3`, `bash`, a path; `none` runs the script itself.
    pub interpreter: String,
    /// The interpreter's executable, absolute. `None` with `none`.
    pub interpreter_path: Option<PathBuf>,
    /// Arguments of the interpreter, before the script.
    pub interpreter_args: Vec<String>,
    /// Arguments of the script.
    pub args: Vec<String>,
}

impl Program {
    /// `script`, run by Node as found at /usr/bin/node.
    #[cfg(test)]
    pub(crate) fn sample(script: impl Into<PathBuf>) -> Program {
        Program {
            script: script.into(),
            interpreter: "node".to_owned(),
            interpreter_path: Some("/usr/bin/node".into()),
            interpreter_args: Vec::new(),
            args: Vec::new(),
        }
    }

    /// True if Node (or something that calls itself so) runs it: it can be a worker of a cluster.
    pub fn is_node(&self) -> bool {
        let base = self.interpreter_name();
        base == "node" || base == "nodejs" || base.starts_with("node@")
    }

    /// True if `process.send` is for it: Bun and Deno speak Node's child channel too, but not its cluster protocol.
    pub fn has_channel(&self) -> bool {
        self.is_node() || matches!(self.interpreter_name(), "bun" | "deno")
    }

    fn interpreter_name(&self) -> &str {
        self.interpreter.rsplit('/').next().unwrap_or("")
    }

    /// The whole command line.
    pub fn argv(&self) -> Vec<String> {
        let script = self.script.to_string_lossy().into_owned();
        let mut argv = Vec::with_capacity(2 + self.interpreter_args.len() + self.args.len());
        if let Some(path) = &self.interpreter_path {
            argv.push(path.to_string_lossy().into_owned());
            argv.extend(self.interpreter_args.iter().cloned());
        }
        argv.push(script);
        argv.extend(self.args.iter().cloned());
        argv
    }
}

/// PM2's `exec_mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// A plain process; a Node one still gets the message channel.
    Fork,
    /// The daemon is the worker's `node:cluster` primary.
    Cluster,
}

impl Mode {
    /// `fork_mode` or `cluster_mode`, as in `jlist`.
    pub fn pm2_name(self) -> &'static str {
        match self {
            Mode::Fork => "fork_mode",
            Mode::Cluster => "cluster_mode",
        }
    }
}

/// Who runs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Numeric user.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// Name, for people.
    pub name: String,
}

/// A listening socket that the daemon binds for an app.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SocketSpec {
    /// Name in `LISTEN_FDNAMES`.
    pub name: String,
    /// What to bind.
    pub address: SocketAddress,
}

/// Where a socket listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SocketAddress {
    /// TCP host and port; host empty: all addresses, both families.
    Tcp {
        /// Address literal or empty.
        host: String,
        /// Port; 0 lets the system choose.
        port: u16,
    },
    /// UDP host and port.
    Udp {
        /// Address literal or empty.
        host: String,
        /// Port.
        port: u16,
    },
    /// A Unix stream socket.
    Unix {
        /// Absolute path.
        path: PathBuf,
    },
}

/// Environment variables, in order. Values may be secrets: `Debug` shows names only.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Env(pub std::collections::BTreeMap<String, String>);

impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_of_an_environment_shows_no_value() {
        let env = Env([("TOKEN".to_owned(), "hunter2".to_owned())].into());
        let shown = format!("{env:?}");
        assert!(shown.contains("TOKEN") && !shown.contains("hunter2"), "{shown}");
    }
}
