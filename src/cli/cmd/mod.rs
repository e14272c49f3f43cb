//! One file a verb, named as the verb; this file finds the right one. What verbs share: [`Context`], [`ask`]
//! (typed questions to the daemon), [`target`] (what a word means) and [`act`] (the selector verbs' common course).

pub mod act;
pub mod alter;
pub mod ask;
pub mod completion;
pub mod conf;
pub mod context;
pub mod delete;
pub mod demo;
pub mod describe;
pub mod env;
pub mod flush;
pub mod get;
pub mod id;
pub mod install;
pub mod jlist;
pub mod kill;
pub mod list;
pub mod logs;
pub mod monit;
pub mod multiset;
pub mod pid;
pub mod ping;
pub mod prettylist;
mod progress;
pub mod reload;
pub mod reload_logs;
pub mod reset;
pub mod restart;
pub mod resurrect;
pub mod role;
pub mod save;
pub mod scale;
pub mod set;
pub mod signal;
pub mod start;
pub mod start_or;
pub mod stop;
pub mod target;
pub mod unset;
pub mod update;

pub use context::Context;

use super::args::Verb;
use super::error::CliError;
use crate::model::order::IfPresent;
use std::process::ExitCode;

/// Does what was asked for.
pub fn run(cx: &Context, verb: Verb) -> Result<ExitCode, CliError> {
    match verb {
        Verb::Start(args) => start::run(cx, args),
        Verb::Stop(args) => stop::run(cx, args),
        Verb::Restart(args) => restart::run(cx, args),
        Verb::Reload(args) => reload::run(cx, args),
        Verb::Delete(args) => delete::run(cx, args),
        Verb::Scale(args) => scale::run(cx, args),
        Verb::StartOrRestart(args) => start_or::run(cx, args, IfPresent::Restart),
        Verb::StartOrReload(args) => start_or::run(cx, args, IfPresent::Reload),
        Verb::List(args) => list::run(cx, args),
        Verb::Monit(args) => monit::run(cx, args),
        Verb::Logs(args) => logs::run(cx, args),
        Verb::Describe(args) => describe::run(cx, args),
        Verb::Jlist(args) => jlist::run(cx, args),
        Verb::Prettylist(args) => prettylist::run(cx, args),
        Verb::Env(args) => env::run(cx, args),
        Verb::Pid(args) => pid::run(cx, args),
        Verb::Id(args) => id::run(cx, args),
        Verb::Save(args) => save::run(cx, args),
        Verb::Resurrect(args) => resurrect::run(cx, args),
        Verb::Flush(args) => flush::run(cx, args),
        Verb::ReloadLogs(args) => reload_logs::run(cx, args),
        Verb::Set(args) => set::run(cx, args),
        Verb::Get(args) => return get::run(cx, args),
        Verb::Multiset(args) => multiset::run(cx, args),
        Verb::Unset(args) => unset::run(cx, args),
        Verb::Conf(args) => conf::run(cx, args),
        Verb::Install(args) => install::install(cx, args),
        Verb::Uninstall(args) => install::uninstall(cx, args),
        Verb::Reset(args) => reset::run(cx, args),
        Verb::SendSignal(args) => signal::run(cx, args),
        Verb::Ping(args) => ping::run(cx, args),
        Verb::Update(args) => update::run(cx, args),
        Verb::Kill(args) => kill::run(cx, args),
        Verb::Completion(args) => completion::run(cx, args),
        Verb::Keeper(args) => role::keeper(cx, args),
        Verb::Daemon(args) => role::daemon(cx, args),
        Verb::Demo(args) => return demo::run(cx, args),
        Verb::DemoWorker => return Ok(crate::demo::worker()),
    }?;
    Ok(ExitCode::SUCCESS)
}
