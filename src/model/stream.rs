//! The two streams of a worker.

use serde::{Deserialize, Serialize};

/// stdout or stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StreamKind {
    /// stdout.
    Out,
    /// stderr.
    Err,
}
