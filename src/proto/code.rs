//! Kinds of errors on the wire: a closed list that only grows at its end.

use serde::{Deserialize, Serialize};

/// What kind of error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// Nothing by that name or id.
    NotFound,
    /// It is there already.
    AlreadyLaunched,
    /// There is nothing to do.
    NothingToDo,
    /// Something else is under way with it.
    Busy,
    /// The request makes no sense.
    Invalid,
    /// A file or the system refused.
    Io,
    /// The daemon is shutting down.
    ShuttingDown,
    /// A bug.
    Internal,
    /// A later version's.
    #[serde(other)]
    Unknown,
}
