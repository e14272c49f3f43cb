//! `restart web --max-memory-restart 200M -- --port 2`: options and arguments given to a selector verb change the
//! apps of the workers it means.
//!
//! The options are read by `config`, as for a script that is started; what was given is then put into the app as
//! it is, and the rest of the app stays. Settings belong to an app, so all workers of that name change with it.

use super::ask;
use super::context::Context;
use crate::cli::error::CliError;
use crate::client::Client;
use crate::config;
use crate::model::WorkerId;
use crate::model::app::App;
use std::sync::Arc;

/// True if anything was given that changes an app.
pub fn is_wanted(cx: &Context, args: &[String]) -> bool {
    let o = &cx.app;
    let texts = [
        &o.interpreter_args,
        &o.output,
        &o.error,
        &o.log_date_format,
        &o.log_overflow,
        &o.max_memory_restart,
        &o.cron,
        &o.max_restarts,
        &o.min_uptime,
        &o.restart_delay,
        &o.exp_backoff_restart_delay,
        &o.kill_timeout,
        &o.listen_timeout,
        &o.health,
        &o.stop_signal,
    ];
    let flags = [
        o.time,
        o.merge_logs,
        o.disable_logs,
        o.no_autorestart,
        o.wait_ready,
        o.notify,
        o.no_treekill,
        o.shutdown_with_message,
    ];
    !args.is_empty()
        || !o.stop_exit_codes.is_empty()
        || o.log.is_some()
        || o.watch.is_some()
        || texts.iter().any(|text| text.is_some())
        || flags.contains(&true)
}

/// The apps of these workers, each once, with what was given put in.
pub fn apps(
    cx: &Context,
    client: &mut Client,
    ids: &[WorkerId],
    args: &[String],
) -> Result<Vec<App>, CliError> {
    let fleet = ask::list(client, true)?;
    let mut apps: Vec<App> = Vec::new();
    for worker in fleet.workers.iter().filter(|w| ids.contains(&w.id)) {
        if apps.iter().any(|app| app.name == worker.app.name) {
            continue;
        }
        let mut app = Arc::unwrap_or_clone(Arc::clone(&worker.app));
        app.instances = u32::try_from(fleet.named(&app.name).count()).unwrap_or(app.instances);
        put_in(cx, &mut app, args)?;
        apps.push(app);
    }
    Ok(apps)
}

fn put_in(cx: &Context, app: &mut App, args: &[String]) -> Result<(), CliError> {
    let given = &cx.app;
    let script = app.program.script.display().to_string();
    let options = config::Options { name: Some(app.name.clone()), ..cx.options(args) };
    let resolved = config::from_script(&script, &options, &cx.caller())?;
    let Some(new) = resolved.apps.into_iter().next() else { return Ok(()) };
    let mut put = |is_given: bool, change: &mut dyn FnMut(&mut App)| {
        if is_given {
            change(app);
        }
    };
    put(!args.is_empty(), &mut |app| app.program.args.clone_from(&new.program.args));
    put(given.interpreter_args.is_some(), &mut |app| {
        app.program.interpreter_args.clone_from(&new.program.interpreter_args);
    });
    put(given.max_memory_restart.is_some(), &mut |app| app.limits = new.limits.clone());
    put(given.no_autorestart, &mut |app| app.restart.autorestart = false);
    put(given.max_restarts.is_some(), &mut |app| app.restart.max_restarts = new.restart.max_restarts);
    put(given.restart_delay.is_some(), &mut |app| app.restart.restart_delay = new.restart.restart_delay);
    put(given.exp_backoff_restart_delay.is_some(), &mut |app| {
        app.restart.exp_backoff = new.restart.exp_backoff
    });
    put(!given.stop_exit_codes.is_empty(), &mut |app| {
        app.restart.stop_exit_codes.clone_from(&new.restart.stop_exit_codes);
    });
    put(given.min_uptime.is_some(), &mut |app| app.restart.min_uptime = new.restart.min_uptime);
    put(given.stop_signal.is_some(), &mut |app| app.stop.signal = new.stop.signal);
    put(given.kill_timeout.is_some(), &mut |app| app.stop.kill_timeout = new.stop.kill_timeout);
    put(given.no_treekill, &mut |app| app.stop.treekill = false);
    put(given.shutdown_with_message, &mut |app| app.stop.shutdown_with_message = true);
    put(given.wait_ready, &mut |app| app.readiness.wait_ready = true);
    put(given.notify, &mut |app| app.readiness.notify = true);
    put(given.health.is_some(), &mut |app| app.readiness.health.clone_from(&new.readiness.health));
    put(given.listen_timeout.is_some(), &mut |app| {
        app.readiness.listen_timeout = new.readiness.listen_timeout
    });
    put(given.output.is_some(), &mut |app| app.logs.out_file.clone_from(&new.logs.out_file));
    put(given.error.is_some(), &mut |app| app.logs.error_file.clone_from(&new.logs.error_file));
    put(given.log.is_some(), &mut |app| app.logs.log_file.clone_from(&new.logs.log_file));
    put(given.merge_logs, &mut |app| app.logs.merge = true);
    put(given.log_overflow.is_some(), &mut |app| app.logs.overflow = new.logs.overflow);
    put(given.disable_logs, &mut |app| app.logs.disabled = true);
    put(given.time || given.log_date_format.is_some(), &mut |app| {
        app.logs.date_format.clone_from(&new.logs.date_format);
    });
    for (key, is_given) in [("cron_restart", given.cron.is_some()), ("watch", given.watch.is_some())] {
        put(is_given, &mut |app| {
            app.extra.remove(key);
            app.extra.extend(new.extra.get(key).map(|value| (key.to_owned(), value.clone())));
        });
    }
    put(cx.flags.update_env, &mut |app| app.env.0.extend(cx.caller().env));
    Ok(())
}
