//! What people order of the fleet, and what came of it.

use super::app::{App, Env};
use super::reason::Reason;
use super::select::{SelectError, Selector};
use super::state::{Desired, State};
use super::worker::{Run, WorkerId};
use serde::{Deserialize, Serialize};

/// A verb about the fleet. The answer comes when it is done, not when it is accepted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Start these apps; what happens to those whose name is taken is `if_present`.
    Start {
        /// Resolved apps.
        apps: Vec<App>,
        /// What to do with a name that is there already.
        if_present: IfPresent,
    },
    /// Stop, keep listed.
    Stop {
        /// Which.
        select: Selector,
    },
    /// Stop, then start (only start what is down).
    Restart {
        /// Which.
        select: Selector,
        /// What changes on the way.
        update: Update,
    },
    /// Replace without a gap where possible (cluster mode), otherwise restart.
    Reload {
        /// Which.
        select: Selector,
        /// What changes on the way.
        update: Update,
        /// How.
        #[serde(default)]
        rolling: Rolling,
    },
    /// Stop and remove.
    Delete {
        /// Which.
        select: Selector,
    },
    /// Change the number of instances of an app.
    Scale {
        /// App name.
        name: String,
        /// To or by how many.
        to: ScaleTo,
    },
    /// Zero the restart counters.
    Reset {
        /// Which.
        select: Selector,
    },
    /// Send a signal to the worker's process only.
    Signal {
        /// Which.
        select: Selector,
        /// Signal number.
        signal: i32,
    },
    /// Start what a dump holds, but for names that are present.
    Resurrect {
        /// From the dump.
        saved: Vec<Saved>,
    },
    /// An order that the client asks again, should the daemon not live to answer. Only for daemons with the feature
    /// `again`.
    Keyed {
        /// Its name: no other order has it.
        key: u64,
        /// What.
        order: Box<Order>,
    },
    /// Stop and remove everything, then end the daemon and its keeper.
    Shutdown,
}

/// What `Start` does with an app whose name is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IfPresent {
    /// `start script.js`: refuse if one of that name *and* script is online, start it again if all are down.
    Refuse,
    /// `start file.config.js`, `restart file.config.js`: restart all of that name with the new settings.
    Restart,
    /// `reload file.config.js`: reload all of that name with the new settings.
    Reload,
    /// `reload --force file.config.js`: as `Reload`, and each takes over in the end, ready or not.
    ReloadAnyway,
    /// `start -f`: add more of the same name.
    Add,
}

/// What a restart or reload changes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Update {
    /// Merged over the worker's environment (`--update-env`).
    pub env: Option<Env>,
}

/// How a reload rolls over the instances of an app.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rolling {
    /// So many at a time, whatever the app says.
    #[serde(default)]
    pub width: Option<u32>,
    /// Go on regardless, as PM2: a process that is not ready in time takes over all the same.
    #[serde(default)]
    pub force: bool,
}

/// Target of `scale`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScaleTo {
    /// Exactly so many.
    To(u32),
    /// So many more (or fewer, at least 0 remain).
    By(i32),
}

/// One worker in the dump that `save` writes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Saved {
    /// Its app.
    pub app: App,
    /// Its instance number.
    pub instance: u32,
    /// Whether it was to run.
    pub desired: Desired,
}

/// What came of an order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is done; these workers were touched, in order of id.
    Done {
        /// One a worker and deed.
        touched: Vec<Touched>,
    },
    /// It was not done; nothing has changed.
    Refused(Refusal),
}

/// One worker that an order touched, as it is at the moment of the answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Touched {
    /// Which.
    pub id: WorkerId,
    /// Its app's name.
    pub name: String,
    /// What was done.
    pub deed: Deed,
    /// What it is now (`Down` for a deleted one).
    pub state: State,
    /// Why.
    pub reason: Reason,
    /// The new process that was abandoned.
    #[serde(default)]
    pub abandoned: Option<Run>,
    /// The end of what an abandoned new process wrote to its stderr.
    #[serde(default)]
    pub last_words: Vec<String>,
}

/// What was done to a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deed {
    /// New in the fleet.
    Launched,
    /// Was down and runs again.
    Started,
    /// Stopped.
    Stopped,
    /// Stopped and started.
    Restarted,
    /// Replaced without a gap.
    Reloaded,
    /// The replacement did not become ready: the old one stays.
    ReloadAbandoned,
    /// Removed.
    Deleted,
    /// Counters zeroed.
    Reset,
    /// Signalled.
    Signalled,
    /// Nothing was to be done.
    Untouched,
}

/// Why an order is refused: a closed list; the text is PM2's where its users match on it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// The selector found nothing; the text says which.
    #[error("{text}")]
    NotFound {
        /// See [`SelectError`].
        text: String,
    },
    /// `start` of a script that is online under this name.
    #[error("Script already launched, add -f option to force re-execution")]
    AlreadyLaunched {
        /// Its name.
        name: String,
    },
    /// `scale` to the number there is.
    #[error("Nothing to do")]
    NothingToDo,
    /// A reload of the same worker is under way.
    #[error("Reload already in progress for process id {id}")]
    ReloadInProgress {
        /// Which.
        id: WorkerId,
    },
    /// The daemon is shutting down.
    #[error("the daemon is shutting down")]
    ShuttingDown,
    /// It is about a worker that the daemon does not lead.
    #[error("{what}")]
    SetAside {
        /// Who, why, and what to do.
        what: String,
    },
}

impl Order {
    /// The word by which it says whom it means.
    pub fn selected(&self) -> Option<&str> {
        match self {
            Order::Stop { select }
            | Order::Restart { select, .. }
            | Order::Reload { select, .. }
            | Order::Delete { select }
            | Order::Reset { select }
            | Order::Signal { select, .. } => Some(&select.text),
            Order::Scale { name, .. } => Some(name),
            Order::Keyed { order, .. } => order.selected(),
            Order::Start { .. } | Order::Resurrect { .. } | Order::Shutdown => None,
        }
    }

    /// Whether it can be asked again with the same outcome, if each worker remembers who has told it.
    pub fn may_be_repeated(&self) -> bool {
        match self {
            Order::Start { .. }
            | Order::Stop { .. }
            | Order::Restart { .. }
            | Order::Reload { .. }
            | Order::Delete { .. }
            | Order::Reset { .. }
            | Order::Resurrect { .. }
            | Order::Scale { to: ScaleTo::To(_), .. } => true,
            // Who is gone already is not remembered.
            Order::Scale { to: ScaleTo::By(step), .. } => *step > 0,
            Order::Signal { .. } | Order::Shutdown | Order::Keyed { .. } => false,
        }
    }
}

impl From<SelectError> for Refusal {
    fn from(error: SelectError) -> Refusal {
        Refusal::NotFound { text: error.to_string() }
    }
}
