//! What may be typed. Only shapes; what they mean is in `cmd`.
//!
//! As with PM2, every option of an app and of the whole program may stand before or after the verb.

use super::cmd;
use super::out::table::Sort;
use clap::{Args, Parser, Subcommand};

/// A process manager and terminal monitor.
#[derive(Debug, Parser)]
#[command(name = "pmon", disable_version_flag = true, args_override_self = true, max_term_width = 110)]
pub struct Cli {
    /// Options of the whole program.
    #[command(flatten)]
    pub flags: Flags,
    /// Options of an app.
    #[command(flatten)]
    pub app: AppOptions,
    /// What to do.
    #[command(subcommand)]
    pub verb: Option<Verb>,
}

/// Options of the whole program.
#[derive(Debug, Clone, Default, Args)]
pub struct Flags {
    /// Print the version
    #[arg(short = 'v', long)]
    pub version: bool,
    /// Print nothing but data that was asked for
    #[arg(short, long, global = true)]
    pub silent: bool,
    /// Do not colour
    #[arg(long, global = true)]
    pub no_color: bool,
    /// List without a table
    #[arg(short, long, global = true)]
    pub mini_list: bool,
    /// Sort the table: name, namespace, pid, id, cpu, memory, uptime or status, with `:desc` for the reverse
    #[arg(long, global = true, value_name = "FIELD[:desc]")]
    pub sort: Option<Sort>,
    /// Start another copy; reload though the new process is not ready; save also an empty list
    #[arg(short, long, global = true)]
    pub force: bool,
    /// Give the workers this shell's environment on restart and reload
    #[arg(short = 'a', long, global = true)]
    pub update_env: bool,
}

/// Options of an app. Longer descriptions are in the documentation of the configuration file.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Options of an app")]
pub struct AppOptions {
    /// Its name
    #[arg(short, long, global = true, hide_short_help = true)]
    pub name: Option<String>,
    /// Its namespace
    #[arg(long, global = true, hide_short_help = true)]
    pub namespace: Option<String>,
    /// How many instances: a number, `max` (one a core), or `-1` (one less)
    #[arg(short, long, global = true, hide_short_help = true, allow_negative_numbers = true)]
    pub instances: Option<String>,
    /// What runs the script: a name, a path, or `none`
    #[arg(long, global = true, hide_short_help = true)]
    pub interpreter: Option<String>,
    /// Arguments of the interpreter
    #[arg(
        long,
        visible_alias = "node-args",
        global = true,
        hide_short_help = true,
        allow_hyphen_values = true,
        value_name = "ARGS"
    )]
    pub interpreter_args: Option<String>,
    /// Its working directory
    #[arg(long, global = true, hide_short_help = true)]
    pub cwd: Option<String>,
    /// File for its stdout
    #[arg(short, long, global = true, hide_short_help = true, value_name = "PATH")]
    pub output: Option<String>,
    /// File for its stderr
    #[arg(short, long, global = true, hide_short_help = true, value_name = "PATH")]
    pub error: Option<String>,
    /// File for both streams together
    #[arg(short, long, global = true, hide_short_help = true, num_args = 0..=1, value_name = "PATH")]
    pub log: Option<Option<String>>,
    /// One log file for all instances
    #[arg(long, global = true, hide_short_help = true)]
    pub merge_logs: bool,
    /// Put the time before each line, in this format (`YYYY-MM-DD HH:mm:ss`)
    #[arg(long, global = true, hide_short_help = true, value_name = "FORMAT")]
    pub log_date_format: Option<String>,
    /// Put the time before each line
    #[arg(long, global = true, hide_short_help = true)]
    pub time: bool,
    /// `json`: one object a line
    #[arg(long, global = true, hide_short_help = true, value_name = "TYPE")]
    pub log_type: Option<String>,
    /// When no log file and no memory takes output: `drop` it (and count), or `block` the worker
    #[arg(long, global = true, hide_short_help = true, value_name = "POLICY")]
    pub log_overflow: Option<String>,
    /// Keep no logs
    #[arg(long, global = true, hide_short_help = true)]
    pub disable_logs: bool,
    /// Restart above so much memory (`300M`)
    #[arg(long, global = true, hide_short_help = true, value_name = "SIZE")]
    pub max_memory_restart: Option<String>,
    /// Leave it down when it ends
    #[arg(long, global = true, hide_short_help = true)]
    pub no_autorestart: bool,
    /// So many unstable restarts in a row until it counts as failed
    #[arg(long, global = true, hide_short_help = true, value_name = "N")]
    pub max_restarts: Option<String>,
    /// Wait before a restart
    #[arg(long, global = true, hide_short_help = true, value_name = "MS")]
    pub restart_delay: Option<String>,
    /// First wait before a restart; grows with each
    #[arg(long, global = true, hide_short_help = true, value_name = "MS")]
    pub exp_backoff_restart_delay: Option<String>,
    /// Exit codes after which it stays down
    #[arg(long, global = true, hide_short_help = true, value_delimiter = ',', value_name = "CODES")]
    pub stop_exit_codes: Vec<i32>,
    /// Wait between the stop signal and SIGKILL
    #[arg(short, long, global = true, hide_short_help = true, value_name = "MS")]
    pub kill_timeout: Option<String>,
    /// Wait at most so long until it is ready
    #[arg(long, global = true, hide_short_help = true, value_name = "MS")]
    pub listen_timeout: Option<String>,
    /// It says itself when it is ready
    #[arg(long, global = true, hide_short_help = true)]
    pub wait_ready: bool,
    /// It says when it is ready by READY=1 on the socket in NOTIFY_SOCKET, as under systemd
    #[arg(long, global = true, hide_short_help = true)]
    pub notify: bool,
    /// It is ready when a GET of this path is answered
    #[arg(long, global = true, hide_short_help = true, value_name = "PATH")]
    pub health: Option<String>,
    /// Reload so many instances at a time
    #[arg(long, global = true, hide_short_help = true, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub parallel: Option<u32>,
    /// Ask it to end by a message instead of a signal
    #[arg(long, global = true, hide_short_help = true)]
    pub shutdown_with_message: bool,
    /// Signal only its own process, not the whole tree
    #[arg(long, global = true, hide_short_help = true)]
    pub no_treekill: bool,
    /// Run it as this user
    #[arg(long, global = true, hide_short_help = true)]
    pub uid: Option<String>,
    /// Run it as this group
    #[arg(long, global = true, hide_short_help = true)]
    pub gid: Option<String>,
    /// Use `env_<NAME>` of the file
    #[arg(long, global = true, hide_short_help = true, value_name = "NAME")]
    pub env: Option<String>,
    /// Only these apps of the file
    #[arg(long, global = true, hide_short_help = true, value_name = "NAMES")]
    pub only: Vec<String>,
    /// Keep variables whose name contains this from it
    #[arg(long, global = true, hide_short_help = true, num_args = 0..=1, value_name = "TEXT")]
    pub filter_env: Option<Vec<String>>,
    /// Register it, do not start it
    #[arg(long, global = true, hide_short_help = true)]
    pub no_autostart: bool,
    /// Run it in fork mode whatever else is said
    #[arg(short = 'x', long, global = true, hide_short_help = true)]
    pub execute_command: bool,
    /// Its pid file
    #[arg(short, long, global = true, hide_short_help = true, value_name = "PATH")]
    pub pid: Option<String>,
    /// Restart it at these times
    #[arg(
        short,
        long,
        visible_alias = "cron-restart",
        global = true,
        hide_short_help = true,
        value_name = "PATTERN"
    )]
    pub cron: Option<String>,
    /// Restart it when files change
    #[arg(long, global = true, hide_short_help = true, num_args = 0..=1, value_name = "PATH")]
    pub watch: Option<Vec<String>>,
    /// Not when these change
    #[arg(long, global = true, hide_short_help = true, value_name = "PATTERN")]
    pub ignore_watch: Option<String>,
    /// Wait after a change
    #[arg(long, global = true, hide_short_help = true, value_name = "TIME")]
    pub watch_delay: Option<String>,
    /// Living shorter than this counts as unstable
    #[arg(long, global = true, hide_short_help = true, value_name = "TIME")]
    pub min_uptime: Option<String>,
    /// The signal that asks it to end
    #[arg(long, global = true, hide_short_help = true, value_name = "SIGNAL")]
    pub stop_signal: Option<String>,
    /// A socket that every instance inherits
    #[arg(long, global = true, hide_short_help = true, value_name = "ADDRESS")]
    pub listen: Vec<String>,
    /// How the connections of a cluster app are shared out
    #[arg(long, global = true, hide_short_help = true, value_name = "HOW")]
    pub scheduling: Option<String>,
    /// Load nothing into Node workers: no metrics, no draining
    #[arg(long, visible_alias = "no-pmx", global = true, hide_short_help = true)]
    pub no_preload: bool,
    /// PM2's switches for what pmon does not have: accepted, without effect
    #[command(flatten)]
    pub ignored: Ignored,
}

/// PM2's switches for what pmon does not have.
#[derive(Debug, Clone, Default, Args)]
pub struct Ignored {
    /// git metadata
    #[arg(long, global = true, hide = true)]
    no_vizion: bool,
    /// metrics of its injected library
    #[arg(long, global = true, hide = true)]
    no_automation: bool,
    /// source maps
    #[arg(long, global = true, hide = true)]
    source_map_support: bool,
    /// source maps
    #[arg(long, global = true, hide = true)]
    disable_source_map_support: bool,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Start scripts, binaries, commands or the apps of a file; restart what is there already
    Start(cmd::start::Args),
    /// Stop, keep listed
    Stop(cmd::stop::Args),
    /// Stop, then start
    Restart(cmd::restart::Args),
    /// Replace without a gap in cluster mode, restart otherwise
    Reload(cmd::reload::Args),
    /// Stop and remove
    #[command(visible_alias = "del")]
    Delete(cmd::delete::Args),
    /// Change the number of instances
    Scale(cmd::scale::Args),
    /// Start or restart the apps of a file
    #[command(name = "startOrRestart")]
    StartOrRestart(cmd::start_or::Args),
    /// Start or reload the apps of a file
    #[command(name = "startOrReload", alias = "startOrGracefulReload")]
    StartOrReload(cmd::start_or::Args),
    /// Show the fleet
    #[command(visible_aliases = ["ls", "l", "ps", "status"])]
    List(cmd::list::Args),
    /// The monitor
    #[command(visible_aliases = ["dashboard", "dash"])]
    Monit(cmd::monit::Args),
    /// Show logs and follow them
    #[command(visible_alias = "log")]
    Logs(cmd::logs::Args),
    /// Everything about a worker
    #[command(visible_aliases = ["show", "desc", "info"])]
    Describe(cmd::describe::Args),
    /// The fleet as JSON
    Jlist(cmd::jlist::Args),
    /// The fleet as Node prints objects
    Prettylist(cmd::prettylist::Args),
    /// The environment of a worker
    Env(cmd::env::Args),
    /// Pids, one a line
    Pid(cmd::pid::Args),
    /// The ids of an app
    Id(cmd::id::Args),
    /// Remember the fleet for `resurrect`
    #[command(visible_alias = "dump")]
    Save(cmd::save::Args),
    /// Start what was saved
    Resurrect(cmd::resurrect::Args),
    /// Empty the log files
    Flush(cmd::flush::Args),
    /// Open the log files anew
    #[command(name = "reloadLogs")]
    ReloadLogs(cmd::reload_logs::Args),
    /// Change a setting: pm2-logrotate:max_size 10M
    Set(cmd::set::Args),
    /// Show a setting
    Get(cmd::get::Args),
    /// Change several settings: "key value key value"
    Multiset(cmd::multiset::Args),
    /// Back to the default
    Unset(cmd::unset::Args),
    /// Show all settings
    #[command(visible_alias = "config")]
    Conf(cmd::conf::Args),
    /// Turn a built-in module on: pm2-logrotate
    #[command(alias = "module:install")]
    Install(cmd::install::Args),
    /// Turn it off
    #[command(alias = "module:uninstall")]
    Uninstall(cmd::install::Args),
    /// Zero the restart counters
    Reset(cmd::reset::Args),
    /// Send a signal
    #[command(name = "sendSignal")]
    SendSignal(cmd::signal::Args),
    /// See whether the daemon answers
    Ping(cmd::ping::Args),
    /// Switch daemon and keeper to this version; the workers go on
    #[command(visible_alias = "upgrade", alias = "updatePM2")]
    Update(cmd::update::Args),
    /// Stop everything, then the daemon
    Kill(cmd::kill::Args),
    /// Print the completions of a shell
    Completion(cmd::completion::Args),
    /// Be the keeper
    #[command(hide = true)]
    Keeper(cmd::role::Args),
    /// Be the daemon
    #[command(hide = true)]
    Daemon(cmd::role::Args),
    /// A fleet to play with
    #[command(hide = true)]
    Demo(cmd::demo::Args),
    /// Be a worker of the demo
    #[command(hide = true)]
    DemoWorker,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_is_sound() {
        Cli::command().debug_assert();
    }
}
