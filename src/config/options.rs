//! Flags of `start` and its kin, as the command line has them, and which attribute each one sets.

use super::error::ConfigError;
use super::schema::Attributes;
use serde_json::{Value, json};

/// What the flags say; unset ones are `None`, `false` or empty. Values stay text: the table of
/// attributes checks them as it checks a file's.
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
    /// `drop` or `block`.
    pub log_overflow: Option<String>,
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
    /// `--notify`.
    pub notify: bool,
    /// `--health`.
    pub health: Option<String>,
    /// `--parallel`.
    pub parallel: Option<String>,
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

impl Options {
    /// Puts what is set over the attributes of a file.
    pub(super) fn overlay(&self, attributes: &mut Attributes) -> Result<(), ConfigError> {
        for (name, flag, value) in self.set() {
            attributes.set(name, flag, &value)?;
        }
        Ok(())
    }

    /// Attribute, flag and value of everything that is set.
    fn set(&self) -> Vec<(&'static str, &'static str, Value)> {
        let mut set = Vec::new();
        let texts = [
            ("namespace", "--namespace", &self.namespace),
            ("instances", "--instances", &self.instances),
            ("exec_interpreter", "--interpreter", &self.interpreter),
            ("node_args", "--interpreter-args", &self.interpreter_args),
            ("cwd", "--cwd", &self.cwd),
            ("out_file", "--output", &self.output),
            ("error_file", "--error", &self.error),
            ("log_date_format", "--log-date-format", &self.log_date_format),
            ("log_type", "--log-type", &self.log_type),
            ("log_overflow", "--log-overflow", &self.log_overflow),
            ("max_memory_restart", "--max-memory-restart", &self.max_memory_restart),
            ("max_restarts", "--max-restarts", &self.max_restarts),
            ("min_uptime", "--min-uptime", &self.min_uptime),
            ("restart_delay", "--restart-delay", &self.restart_delay),
            ("exp_backoff_restart_delay", "--exp-backoff-restart-delay", &self.exp_backoff_restart_delay),
            ("kill_timeout", "--kill-timeout", &self.kill_timeout),
            ("listen_timeout", "--listen-timeout", &self.listen_timeout),
            ("health", "--health", &self.health),
            ("reload_width", "--parallel", &self.parallel),
            ("uid", "--uid", &self.uid),
            ("gid", "--gid", &self.gid),
            ("pid_file", "--pid", &self.pid),
            ("cron_restart", "--cron-restart", &self.cron),
            ("ignore_watch", "--ignore-watch", &self.ignore_watch),
            ("watch_delay", "--watch-delay", &self.watch_delay),
            ("scheduling", "--scheduling", &self.scheduling),
            ("stop_signal", "--stop-signal", &self.stop_signal),
        ];
        let given = |(name, flag, text): (_, _, &Option<String>)| Some((name, flag, json!(text.as_ref()?)));
        set.extend(texts.into_iter().filter_map(given));
        let flags = [
            ("merge_logs", "--merge-logs", self.merge_logs, true),
            ("time", "--time", self.time, true),
            ("disable_logs", "--disable-logs", self.disable_logs, true),
            ("autorestart", "--no-autorestart", self.no_autorestart, false),
            ("wait_ready", "--wait-ready", self.wait_ready, true),
            ("notify", "--notify", self.notify, true),
            ("shutdown_with_message", "--shutdown-with-message", self.shutdown_with_message, true),
            ("treekill", "--no-treekill", self.no_treekill, false),
            ("autostart", "--no-autostart", self.no_autostart, false),
            ("execute_command", "--execute-command", self.execute_command, true),
            ("preload", "--no-preload", self.no_preload, false),
        ];
        set.extend(
            flags.into_iter().filter(|f| f.2).map(|(name, flag, _, value)| (name, flag, json!(value))),
        );
        let lists = [
            ("args", "--", json!(self.args), !self.args.is_empty()),
            (
                "stop_exit_codes",
                "--stop-exit-codes",
                json!(self.stop_exit_codes),
                !self.stop_exit_codes.is_empty(),
            ),
            ("sockets", "--listen", json!(self.listen), !self.listen.is_empty()),
        ];
        set.extend(lists.into_iter().filter(|l| l.3).map(|(name, flag, value, _)| (name, flag, value)));
        let or_true = |list: &Vec<String>| if list.is_empty() { json!(true) } else { json!(list) };
        set.extend(self.filter_env.as_ref().map(|l| ("filter_env", "--filter-env", or_true(l))));
        set.extend(self.watch.as_ref().map(|l| ("watch", "--watch", or_true(l))));
        let log = self.log.as_ref().map(|path| path.as_ref().map_or(json!(true), |path| json!(path)));
        set.extend(log.map(|value| ("log_file", "--log", value)));
        set
    }

    /// True if `--only` is not given or names this app.
    pub(super) fn wants(&self, name: &str) -> bool {
        let mut names = self.only.iter().flat_map(|list| list.split([',', ' '])).filter(|n| !n.is_empty());
        self.only.is_empty() || names.any(|wanted| wanted == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_splits_at_commas_and_spaces() {
        let options = Options { only: vec!["web,api".into(), "cron job".into()], ..Options::default() };
        assert!(["web", "api", "cron", "job"].iter().all(|name| options.wants(name)));
        assert!(!options.wants("other"));
        assert!(Options::default().wants("anything"));
    }

    #[test]
    fn a_wrong_flag_is_named_as_a_flag() {
        let options = Options { max_memory_restart: Some("lots".into()), ..Options::default() };
        let error = options.overlay(&mut Attributes::default()).unwrap_err().to_string();
        let expected = "a number of bytes or a string such as '500M'";
        assert_eq!(error, format!("`--max-memory-restart` must be {expected}, found the string 'lots'"));
    }

    #[test]
    fn flags_without_a_value_mean_all() {
        let options = Options {
            watch: Some(Vec::new()),
            filter_env: Some(Vec::new()),
            log: Some(None),
            ..Options::default()
        };
        let mut attributes = Attributes::default();
        options.overlay(&mut attributes).unwrap();
        for name in ["watch", "filter_env", "log_file"] {
            assert_eq!(attributes.flag(name), Some(true), "{name}");
        }
    }
}
