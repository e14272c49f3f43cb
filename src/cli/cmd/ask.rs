//! Typed questions: each takes the one answer that fits it.

use crate::cli::error::CliError;
use crate::client::Client;
use crate::model::Order;
use crate::model::order::Touched;
use crate::model::rotation::MODULE;
use crate::model::select::Candidate;
use crate::model::snapshot::{DaemonView, SetAside, WorkerView};
use crate::model::usage::HostUsage;
use crate::model::{Selector, WorkerId, select::SelectError};
use crate::proto::reply::LogSize;
use crate::proto::{Reply, Request};
use serde_json::{Map, Value};
use std::sync::Arc;

/// The fleet as the daemon showed it.
#[derive(Debug, Clone, Default)]
pub struct Fleet {
    /// By id.
    pub workers: Vec<Arc<WorkerView>>,
    /// The host.
    pub host: HostUsage,
    /// The daemon.
    pub daemon: DaemonView,
}

impl Fleet {
    /// Ids that `select` means.
    pub fn resolve(&self, select: &Selector) -> Result<Vec<WorkerId>, SelectError> {
        let found = select.resolve(self.workers.iter().map(|w| Candidate {
            id: w.id,
            name: &w.app.name,
            namespace: &w.app.namespace,
            script: &w.app.program.script,
        }));
        found.or_else(|none| match self.aside(select).filter_map(|one| one.worker).collect::<Vec<_>>() {
            ids if ids.is_empty() => Err(none),
            ids => Ok(ids),
        })
    }

    /// Those that `select` names of the workers that the daemon does not lead.
    pub fn aside(&self, select: &Selector) -> impl Iterator<Item = &SetAside> {
        let text = select.text.clone();
        self.daemon.aside.iter().filter(move |one| {
            one.name.as_ref() == Some(&text) || one.worker.is_some_and(|id| id.to_string() == text)
        })
    }

    /// Workers that `select` means.
    pub fn select(&self, select: &Selector) -> Result<Vec<Arc<WorkerView>>, SelectError> {
        let ids = self.resolve(select)?;
        Ok(self.workers.iter().filter(|w| ids.contains(&w.id)).cloned().collect())
    }

    /// Workers of this name.
    pub fn named(&self, name: &str) -> impl Iterator<Item = &Arc<WorkerView>> {
        self.workers.iter().filter(move |w| w.app.name == name)
    }
}

/// The fleet, with environments or without.
pub fn list(client: &mut Client, with_env: bool) -> Result<Fleet, CliError> {
    match client.call(Request::List { with_env })? {
        Reply::Fleet { workers, host, daemon } => Ok(Fleet { workers, host, daemon }),
        other => Err(unfit(other)),
    }
}

/// Orders, and waits until it is done.
pub fn order(client: &mut Client, order: Order) -> Result<Vec<Touched>, CliError> {
    done(client.call(Request::Order { order })?)
}

/// Starts what was saved.
pub fn resurrect(client: &mut Client) -> Result<Vec<Touched>, CliError> {
    done(client.call(Request::Resurrect { key: None })?)
}

/// Saves; the file and how many.
pub fn save(client: &mut Client, force: bool) -> Result<(String, usize), CliError> {
    match client.call(Request::Save { force })? {
        Reply::Saved { path, workers } => Ok((path, workers)),
        other => Err(unfit(other)),
    }
}

/// Empties log files; which, and what that freed.
pub fn flush(client: &mut Client, select: Option<Selector>) -> Result<Vec<(String, u64)>, CliError> {
    match client.call(Request::Flush { select })? {
        Reply::Flushed { files } => Ok(files),
        other => Err(unfit(other)),
    }
}

/// What is set.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// As it is in the file.
    pub conf: Map<String, Value>,
    rotation: Vec<(String, String)>,
}

impl Settings {
    /// With the log rotation in force, whether it was set or not.
    pub fn effective(self) -> Map<String, Value> {
        let mut conf = self.conf;
        let words = self.rotation.into_iter().map(|(word, value)| (word, Value::String(value)));
        conf.insert(MODULE.to_owned(), Value::Object(words.collect()));
        conf
    }
}

/// What is set.
pub fn settings(client: &mut Client) -> Result<Settings, CliError> {
    as_settings(client.call(Request::Settings)?)
}

/// Sets and removes keys, all or nothing.
pub fn configure(
    client: &mut Client,
    set: Vec<(String, String)>,
    unset: Vec<String>,
) -> Result<Settings, CliError> {
    as_settings(client.call(Request::Configure { set, unset })?)
}

fn as_settings(reply: Reply) -> Result<Settings, CliError> {
    match reply {
        Reply::Settings { conf, rotation } => Ok(Settings { conf, rotation }),
        other => Err(unfit(other)),
    }
}

/// Opens the log files anew.
pub fn reopen_logs(client: &mut Client) -> Result<(), CliError> {
    done(client.call(Request::ReopenLogs)?).map(drop)
}

/// How large the logs of some workers are.
pub fn log_sizes(client: &mut Client, select: Selector) -> Result<Vec<LogSize>, CliError> {
    match client.call(Request::LogSizes { select })? {
        Reply::LogSizes { logs } => Ok(logs),
        other => Err(unfit(other)),
    }
}

/// Waits for the answer.
pub fn ping(client: &mut Client) -> Result<(), CliError> {
    match client.call(Request::Ping)? {
        Reply::Pong => Ok(()),
        other => Err(unfit(other)),
    }
}

/// The answer to an order.
pub fn done(reply: Reply) -> Result<Vec<Touched>, CliError> {
    match reply {
        Reply::Done { touched } => Ok(touched),
        other => Err(unfit(other)),
    }
}

fn unfit(reply: Reply) -> CliError {
    match reply {
        Reply::Error(error) => error.into(),
        Reply::Pong
        | Reply::Fleet { .. }
        | Reply::Done { .. }
        | Reply::Saved { .. }
        | Reply::Flushed { .. }
        | Reply::Settings { .. }
        | Reply::LogSizes { .. }
        | Reply::Upgrading
        | Reply::Subscribed
        | Reply::Unknown => CliError::Answer,
    }
}
