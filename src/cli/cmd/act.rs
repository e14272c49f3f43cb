//! The course that stop, restart, reload and delete have in common, and that of apps from a file.

use super::alter;
use super::ask::{self, Fleet};
use super::context::Context;
use super::progress;
use super::target::{self, Meant};
use crate::cli::error::CliError;
use crate::cli::out::message::{self, Action};
use crate::client::Client;
use crate::model::app::App;
use crate::model::order::{Deed, IfPresent, Order, Rolling, Touched, Update};
use crate::model::{Reason, Selector, State, WorkerId, app::Env};
use std::collections::{BTreeMap, BTreeSet};

/// Does `action` to each word in turn; the first that fails ends it. The table comes last.
pub fn each(cx: &Context, words: &[String], args: &[String], action: Action) -> Result<(), CliError> {
    let mut client = cx.connect()?;
    for word in words {
        match action {
            Action::Restart => again(cx, &mut client, word, args, (action, IfPresent::Restart))?,
            Action::Reload => again(cx, &mut client, word, args, (action, reloads(cx)))?,
            Action::Stop | Action::Delete => match target::meant_names(cx, word)? {
                Meant::Workers(select) => selected(cx, &mut client, &select, args, action)?,
                Meant::Apps(names) => named(cx, &mut client, &names, action)?,
            },
        }
    }
    cx.show(&mut client)
}

fn again(
    cx: &Context,
    client: &mut Client,
    word: &str,
    args: &[String],
    (action, if_present): (Action, IfPresent),
) -> Result<(), CliError> {
    match target::meant(cx, word, args)? {
        Meant::Workers(select) => selected(cx, client, &select, args, action),
        Meant::Apps(resolved) => start_apps(cx, client, resolved.apps, if_present),
    }
}

/// Does `action` to what `select` means. What is meant is said before it is done, as it may take a while.
pub fn selected(
    cx: &Context,
    client: &mut Client,
    select: &Selector,
    args: &[String],
    action: Action,
) -> Result<(), CliError> {
    let fleet = ask::list(client, false)?;
    let ids = fleet.resolve(select)?;
    let if_present = match action {
        Action::Restart => Some(IfPresent::Restart),
        Action::Reload => Some(reloads(cx)),
        Action::Stop | Action::Delete => None,
    };
    let order = match if_present {
        Some(if_present) if alter::is_wanted(cx, args) => {
            Order::Start { apps: alter::apps(cx, client, &ids, args)?, if_present }
        }
        _ => order_of(cx, select.clone(), action),
    };
    if if_present.is_some() && !cx.flags.update_env {
        cx.ui.say("Use --update-env to update environment variables")?;
    }
    cx.note(message::applying(action, &select.text, &ids))?;
    match action {
        Action::Reload => progress::reload(cx, order),
        Action::Stop | Action::Restart | Action::Delete => report(cx, &ask::order(client, order)?),
    }
}

/// What a reload does with apps that are there: `--force` goes on regardless.
fn reloads(cx: &Context) -> IfPresent {
    if cx.flags.force { IfPresent::ReloadAnyway } else { IfPresent::Reload }
}

fn rolling(cx: &Context) -> Rolling {
    Rolling { width: cx.app.parallel, force: cx.flags.force }
}

fn order_of(cx: &Context, select: Selector, action: Action) -> Order {
    let update = Update { env: cx.flags.update_env.then(|| Env(cx.caller().env)) };
    match action {
        Action::Stop => Order::Stop { select },
        Action::Restart => Order::Restart { select, update },
        Action::Reload => Order::Reload { select, update, rolling: rolling(cx) },
        Action::Delete => Order::Delete { select },
    }
}

/// Stops or deletes the apps of a file by name. One that is not there is no mistake.
fn named(cx: &Context, client: &mut Client, names: &[String], action: Action) -> Result<(), CliError> {
    for name in names {
        match selected(cx, client, &cx.selector(name), &[], action) {
            Err(error) if error.is_not_found() => cx.warn(format!("App [{name}] is not running"))?,
            other => other?,
        }
    }
    Ok(())
}

/// Starts the apps of a file; those whose name is there already are restarted or reloaded.
pub fn start_apps(
    cx: &Context,
    client: &mut Client,
    apps: Vec<App>,
    if_present: IfPresent,
) -> Result<(), CliError> {
    if apps.is_empty() {
        return Ok(());
    }
    let fleet = ask::list(client, false)?;
    announce(cx, &fleet, &apps, if_present)?;
    let order = Order::Start { apps, if_present };
    match if_present {
        IfPresent::Reload | IfPresent::ReloadAnyway => progress::reload(cx, order),
        IfPresent::Refuse | IfPresent::Restart | IfPresent::Add => report(cx, &ask::order(client, order)?),
    }
}

fn announce(cx: &Context, fleet: &Fleet, apps: &[App], if_present: IfPresent) -> Result<(), CliError> {
    let action = match if_present {
        IfPresent::Restart => Action::Restart,
        IfPresent::Reload | IfPresent::ReloadAnyway => Action::Reload,
        IfPresent::Refuse | IfPresent::Add => return Ok(()),
    };
    let mut absent: Vec<&str> = Vec::new();
    for app in apps {
        let ids: Vec<WorkerId> = fleet.named(&app.name).map(|w| w.id).collect();
        if ids.is_empty() {
            absent.push(&app.name);
        } else {
            cx.note(message::applying(action, &app.name, &ids))?;
        }
    }
    if !absent.is_empty() {
        cx.warn(format!("Applications {} not running, starting...", absent.join(", ")))?;
    }
    Ok(())
}

/// Says what was done to whom, and who is not well. A worker that fails at once is no failure of `start`, as with
/// PM2; but a reload whose replacement did not become ready is one: the old process still runs, and whoever
/// deploys must know.
pub fn report(cx: &Context, touched: &[Touched]) -> Result<(), CliError> {
    report_all_but(cx, touched, &BTreeSet::new())
}

/// As [`report`], but of those that were `said` to be done no more is said.
pub fn report_all_but(cx: &Context, touched: &[Touched], said: &BTreeSet<WorkerId>) -> Result<(), CliError> {
    let mut launched: BTreeMap<&str, usize> = BTreeMap::new();
    for one in touched {
        let unfinished = matches!(one.deed, Deed::ReloadAbandoned | Deed::Untouched);
        if one.deed == Deed::Launched {
            *launched.entry(&one.name).or_default() += 1;
        } else if unfinished || !said.contains(&one.id) {
            cx.note(message::done(&one.name, one.id, one.deed))?;
        }
    }
    for (name, count) in launched {
        cx.note(message::launched(name, count))?;
    }
    warn_of_failed(cx, touched)?;
    match touched.iter().find(|one| one.deed == Deed::ReloadAbandoned) {
        Some(one) => {
            Err(CliError::Said(format!("[{}]({}) was not reloaded: {}", one.name, one.id, one.reason)))
        }
        None => Ok(()),
    }
}

/// Names the touched workers that are not well. One that cannot even be made is a failure.
pub fn warn_of_failed(cx: &Context, touched: &[Touched]) -> Result<(), CliError> {
    let mut impossible = None;
    for one in touched {
        let unmade = matches!(one.reason, Reason::SpawnFailed { .. });
        let again = match one.state {
            State::Failed => "",
            State::Backoff if unmade => "; it is tried again",
            State::Backoff | State::Down | State::Starting => continue,
            State::Running | State::Ready | State::Stopping => continue,
        };
        cx.warn(format!("[{}]({}) is not running: {}{again}", one.name, one.id, one.reason))?;
        if unmade {
            impossible = impossible.or(Some(one));
        }
    }
    match impossible {
        Some(one) => Err(CliError::Said(format!("[{}]({}) {}", one.name, one.id, one.reason))),
        None => Ok(()),
    }
}
