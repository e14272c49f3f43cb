//! What every verb gets: where to print, which home, the options that may stand anywhere.

use super::ask::{self, Fleet};
use crate::cli::args::{AppOptions, Flags};
use crate::cli::error::CliError;
use crate::cli::out::{Ui, host, message, table};
use crate::client::{Client, Notice};
use crate::config::{self, Caller};
use crate::model::{Selector, skew};
use crate::sys::clock;
use crate::sys::paths::Home;
use std::path::PathBuf;

/// What every verb gets.
#[derive(Debug)]
pub struct Context {
    /// The printer.
    pub ui: Ui,
    /// The home.
    pub home: Home,
    /// Options of the whole program.
    pub flags: Flags,
    /// Options of an app, as typed.
    pub app: AppOptions,
}

impl Context {
    /// For this process.
    pub fn new(ui: Ui, flags: Flags, app: AppOptions) -> Context {
        Context { ui, home: Home::from_env(), flags, app }
    }

    /// The same with other options of an app.
    #[must_use]
    pub fn with_app(&self, app: AppOptions) -> Context {
        Context { ui: self.ui, home: self.home.clone(), flags: self.flags.clone(), app }
    }

    /// Connects; starts keeper and daemon if need be, as PM2 does for every verb. Its notices go to stderr,
    /// unlike PM2's: so `pmon jlist | jq` also works when it is the first command after a boot.
    pub fn connect(&self) -> Result<Client, CliError> {
        let colour = self.ui.error_colour;
        let mut said = Ok(());
        let mut client = Client::connect_or_start(&self.home, &mut |notice| {
            let text = match notice {
                Notice::Starting => {
                    format!("Spawning the daemon with pmon_home={}", self.home.root().display())
                }
                Notice::Started => "Daemon started".to_owned(),
            };
            if said.is_ok() {
                said = self.ui.warn(&message::note(text, colour));
            }
        })?;
        said?;
        self.hint_at_version(&mut client)?;
        Ok(client)
    }

    /// A daemon of another version works, but may not know everything that is asked of it.
    fn hint_at_version(&self, client: &mut Client) -> Result<(), CliError> {
        let ours = skew::version();
        match client.hello().map(|hello| hello.version.clone()) {
            Some(theirs) if theirs != ours => self.warn(format!(
                "The daemon is version {theirs}, this is {ours}: `pmon update` switches it, the workers go on"
            )),
            Some(_) | None => Ok(()),
        }
    }

    /// Says `[PM2] …` on stdout.
    pub fn note(&self, text: impl AsRef<str>) -> Result<(), CliError> {
        Ok(self.ui.say(&message::note(text, self.ui.colour))?)
    }

    /// Says `[PM2][WARN] …` on stderr.
    pub fn warn(&self, text: impl AsRef<str>) -> Result<(), CliError> {
        Ok(self.ui.warn(&message::warning(text, self.ui.error_colour))?)
    }

    /// What `word` selects, seen from here.
    pub fn selector(&self, word: &str) -> Selector {
        Selector::new(word, here())
    }

    /// Prints the table, as most verbs do at their end.
    pub fn show(&self, client: &mut Client) -> Result<(), CliError> {
        let fleet = ask::list(client, false)?;
        self.show_fleet(fleet)
    }

    /// Prints the table (or with `-m` the list) of this fleet.
    pub fn show_fleet(&self, fleet: Fleet) -> Result<(), CliError> {
        let Fleet { mut workers, host: usage, daemon } = fleet;
        let now = clock::now();
        self.flags.sort.unwrap_or_default().apply(&mut workers, now);
        let text = if self.flags.mini_list {
            table::mini_list(&workers, now)
        } else {
            let drawn = table::table(&workers, now, self.ui.width, self.ui.colour);
            format!("{drawn}\n{}", host::line(&usage, self.ui.colour))
        };
        self.ui.say(&text)?;
        daemon.notices.iter().try_for_each(|notice| self.warn(notice))
    }

    /// The options of an app for `config`; `args` are those behind `--`.
    pub fn options(&self, args: &[String]) -> config::Options {
        let typed = self.app.clone();
        config::Options {
            name: typed.name,
            namespace: typed.namespace,
            instances: typed.instances,
            interpreter: typed.interpreter,
            interpreter_args: typed.interpreter_args,
            args: args.to_vec(),
            cwd: typed.cwd,
            output: typed.output,
            error: typed.error,
            log: typed.log,
            merge_logs: typed.merge_logs,
            log_date_format: typed.log_date_format,
            time: typed.time,
            log_type: typed.log_type,
            log_overflow: typed.log_overflow,
            disable_logs: typed.disable_logs,
            max_memory_restart: typed.max_memory_restart,
            no_autorestart: typed.no_autorestart,
            max_restarts: typed.max_restarts,
            restart_delay: typed.restart_delay,
            exp_backoff_restart_delay: typed.exp_backoff_restart_delay,
            stop_exit_codes: typed.stop_exit_codes,
            kill_timeout: typed.kill_timeout,
            listen_timeout: typed.listen_timeout,
            wait_ready: typed.wait_ready,
            notify: typed.notify,
            health: typed.health,
            parallel: typed.parallel.map(|width| width.to_string()),
            shutdown_with_message: typed.shutdown_with_message,
            no_treekill: typed.no_treekill,
            uid: typed.uid,
            gid: typed.gid,
            env_name: typed.env,
            only: typed.only,
            filter_env: typed.filter_env,
            no_autostart: typed.no_autostart,
            execute_command: typed.execute_command,
            pid: typed.pid,
            cron: typed.cron,
            watch: typed.watch,
            ignore_watch: typed.ignore_watch,
            watch_delay: typed.watch_delay,
            min_uptime: typed.min_uptime,
            listen: typed.listen,
            scheduling: typed.scheduling,
            stop_signal: typed.stop_signal,
            no_preload: typed.no_preload,
        }
    }

    /// Who calls.
    pub fn caller(&self) -> Caller {
        Caller::from_process()
    }
}

/// The current directory; `/` if it was removed.
pub fn here() -> PathBuf {
    std::env::current_dir().unwrap_or_else(|_gone| PathBuf::from("/"))
}
