//! A reload as it rolls: a line for each worker when its new process has taken over, and at the end what came of it.

use super::act;
use super::ask;
use super::context::Context;
use crate::cli::error::CliError;
use crate::cli::out::{message, reload};
use crate::client::{CallError, Client, Incoming};
use crate::model::change::{Change, What};
use crate::model::order::{Deed, Order, Touched};
use crate::model::{Reason, WorkerId};
use crate::proto::{Push, Request};
use crate::sys::clock;
use std::collections::{BTreeMap, BTreeSet};

/// Orders a reload and shows how it goes; fails if a worker was not reloaded.
pub fn reload(cx: &Context, order: Order) -> Result<(), CliError> {
    let begun = clock::monotonic_ns();
    let mut said = BTreeSet::new();
    let touched = follow(cx, order, &mut said)?;
    let took = clock::monotonic_ns().saturating_sub(begun) / 1_000_000;
    for one in touched.iter().filter(|one| !one.last_words.is_empty()) {
        cx.ui.warn(&reload::last_words(&one.name, one.id, &one.last_words))?;
    }
    let reported = act::report_all_but(cx, &touched, &said);
    let mut apps: BTreeMap<&str, Vec<&Touched>> = BTreeMap::new();
    touched.iter().for_each(|one| apps.entry(&one.name).or_default().push(one));
    for (name, workers) in apps {
        cx.ui.say(&reload::proof(name, &workers, took))?;
    }
    reported
}

/// Orders on a connection of its own, where the changes of the fleet come in as well. The ids that have been told
/// about go to `said`.
fn follow(cx: &Context, order: Order, said: &mut BTreeSet<WorkerId>) -> Result<Vec<Touched>, CliError> {
    let client = Client::connect(&cx.home)?;
    let wanted = client.repeatable(Request::Order { order });
    let mut stream = client.into_stream();
    let watch = stream.ask(Request::Watch)?;
    let mut request = Some(wanted.clone());
    let mut ordered = None;
    loop {
        let next = match stream.next() {
            Ok(Some(next)) => next,
            // The next daemon answers for what this one has done, and does the rest.
            Ok(None) | Err(CallError::Gone | CallError::Broken(_)) => {
                return ask::done(cx.connect()?.call_again(wanted)?);
            }
            Err(refused) => return Err(refused.into()),
        };
        match next {
            // Ordered only now, so that no change is missed. A daemon that cannot be watched still reloads.
            Incoming::Reply { id, .. } if id == watch => {
                if let Some(request) = request.take() {
                    ordered = Some(stream.ask(request)?);
                }
            }
            Incoming::Reply { id, reply } if Some(id) == ordered => return ask::done(reply),
            Incoming::Push { push: Push::Changed(change), .. } if ordered.is_some() => {
                if took_over(&change) && said.insert(change.worker) {
                    cx.note(message::done(&change.name, change.worker, Deed::Reloaded))?;
                }
            }
            Incoming::Reply { .. } | Incoming::Push { .. } | Incoming::Log(_) | Incoming::Missed { .. } => {}
        }
    }
}

/// It is up because of a reload. Workers that somebody else reloads meanwhile are shown too.
fn took_over(change: &Change) -> bool {
    match &change.what {
        What::State { state, reason: Reason::ReloadRequested } => state.is_online(),
        What::State { .. }
        | What::Spawned { .. }
        | What::Exited { .. }
        | What::Listening { .. }
        | What::Deleted
        | What::Note { .. } => false,
    }
}
