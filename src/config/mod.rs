//! What the user wrote → `model::App`. Placeholder signatures until the room itself is merged.

pub mod find;

pub use find::default_file;

use crate::model::App;
use std::path::{Path, PathBuf};

/// Who calls: directory, environment, user.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The current directory.
    pub cwd: PathBuf,
    /// Its environment.
    pub env: std::collections::BTreeMap<String, String>,
    /// Its user.
    pub uid: u32,
}

impl Caller {
    /// This process.
    pub fn from_process() -> Caller {
        let cwd = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
        Caller { cwd, env: std::env::vars().collect(), uid: 0 }
    }
}

/// Flags.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// `-n`, `--name`.
    pub name: Option<String>,
    /// `--namespace`.
    pub namespace: Option<String>,
    /// `-i`, `--instances`: a number or `max`.
    pub instances: Option<String>,
    /// `--interpreter`.
    pub interpreter: Option<String>,
    /// `--interpreter-args`, `--node-args`.
    pub interpreter_args: Option<String>,
    /// Everything after `--`.
    pub args: Vec<String>,
    /// `--cwd`.
    pub cwd: Option<String>,
    /// `-o`, `--output`.
    pub output: Option<String>,
    /// `-e`, `--error`.
    pub error: Option<String>,
    /// `-l`, `--log [path]`; `Some(None)`: the default path.
    pub log: Option<Option<String>>,
    /// `--merge-logs`.
    pub merge_logs: bool,
    /// `--log-date-format`.
    pub log_date_format: Option<String>,
    /// `--time`.
    pub time: bool,
    /// `--log-type`.
    pub log_type: Option<String>,
    /// `--disable-logs`.
    pub disable_logs: bool,
    /// `--max-memory-restart`.
    pub max_memory_restart: Option<String>,
    /// `--no-autorestart`.
    pub no_autorestart: bool,
    /// `--max-restarts`.
    pub max_restarts: Option<String>,
    /// `--min-uptime`.
    pub min_uptime: Option<String>,
    /// `--restart-delay`.
    pub restart_delay: Option<String>,
    /// `--exp-backoff-restart-delay`.
    pub exp_backoff_restart_delay: Option<String>,
    /// `--stop-exit-codes`.
    pub stop_exit_codes: Vec<i32>,
    /// `-k`, `--kill-timeout`.
    pub kill_timeout: Option<String>,
    /// `--listen-timeout`.
    pub listen_timeout: Option<String>,
    /// `--wait-ready`.
    pub wait_ready: bool,
    /// `--shutdown-with-message`.
    pub shutdown_with_message: bool,
    /// `--no-treekill`.
    pub no_treekill: bool,
    /// `--uid`.
    pub uid: Option<String>,
    /// `--gid`.
    pub gid: Option<String>,
    /// `--env`: which `env_<name>` to add. Files only.
    pub env_name: Option<String>,
    /// `--only`: names of the apps of a file; each may hold several, by commas or spaces.
    pub only: Vec<String>,
    /// `--filter-env [name]`, repeatable; `Some` and empty: drop the caller's whole environment.
    pub filter_env: Option<Vec<String>>,
    /// `--no-autostart`.
    pub no_autostart: bool,
    /// `-x`, `--execute-command`: fork mode, whatever else is said.
    pub execute_command: bool,
    /// `-p`, `--pid`.
    pub pid: Option<String>,
    /// `-c`, `--cron`, `--cron-restart`.
    pub cron: Option<String>,
    /// `--watch [paths]`; `Some` and empty: the working directory.
    pub watch: Option<Vec<String>>,
    /// `--ignore-watch`.
    pub ignore_watch: Option<String>,
    /// `--watch-delay`.
    pub watch_delay: Option<String>,
    /// `--listen`: sockets for every instance.
    pub listen: Vec<String>,
    /// `--scheduling`.
    pub scheduling: Option<String>,
    /// `--stop-signal`.
    pub stop_signal: Option<String>,
    /// `--no-preload`.
    pub no_preload: bool,
}

/// What came of it.
#[derive(Debug, Clone, Default)]
pub struct Resolved {
    /// The apps.
    pub apps: Vec<App>,
    /// Lines for people.
    pub warnings: Vec<String>,
}

/// Why not.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(String);

impl ConfigError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        None
    }
}

/// Apps of a file.
pub fn from_file(path: &Path, _options: &Options, _caller: &Caller) -> Result<Resolved, ConfigError> {
    Err(ConfigError(format!("File {} not found", path.display())))
}

/// The app of one script or command.
pub fn from_script(word: &str, _options: &Options, _caller: &Caller) -> Result<Resolved, ConfigError> {
    Err(ConfigError(format!("Script not found: {word}")))
}

/// Apps of a JSON text.
pub fn from_stdin_json(_text: &str, _options: &Options, _caller: &Caller) -> Result<Resolved, ConfigError> {
    Err(ConfigError("read the standard input".to_owned()))
}

fn missing(path: &Path) -> ConfigError {
    ConfigError(format!("File {} not found", path.display()))
}
