//! The first message of both sides.

use crate::model::skew;
use serde::{Deserialize, Serialize};

/// Number of this protocol; changes only when skipping the unknown is not enough.
pub const PROTOCOL: u32 = 1;

/// The feature of a daemon that knows `Order::Keyed`.
pub const AGAIN: &str = "again";

/// Who speaks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`PROTOCOL`].
    pub protocol: u32,
    /// `0.1.0`.
    pub version: String,
    /// Optional abilities.
    #[serde(default)]
    pub features: Vec<String>,
    /// Pid of the speaker.
    #[serde(default)]
    pub pid: u32,
}

impl Hello {
    /// This program's.
    pub fn ours() -> Hello {
        Hello {
            protocol: PROTOCOL,
            version: skew::version().to_owned(),
            features: vec![AGAIN.to_owned()],
            pid: std::process::id(),
        }
    }
}
