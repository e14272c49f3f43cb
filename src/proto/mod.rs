//! The wire between client and daemon, and nothing else: it does not know who speaks.
//!
//! A frame is `u32 length (big endian, of kind and payload), u8 kind, payload`. Kind 0 is one JSON message, kind 1 a
//! log batch: `u32 length (big endian) of the header, header (JSON), log bytes`. Both sides open with a [`Hello`]; a client
//! may send its first request right behind its own. Unknown kinds, messages and fields are skipped.

pub mod code;
pub mod frame;
pub mod hello;
pub mod push;
pub mod reply;
pub mod request;

pub use code::Code;
pub use frame::{Decoder, Frame, FrameError};
pub use hello::Hello;
pub use push::{LogBatch, LogFile, LogHeader, LogSpot, Push};
pub use reply::{Reply, WireError};
pub use request::Request;

use serde::{Deserialize, Serialize};

/// What a client says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ClientMessage {
    /// First.
    Hello(Hello),
    /// One request; `id` is the client's, answers and pushes carry it.
    Request {
        /// The client's number for it.
        id: u64,
        /// What.
        request: Box<Request>,
    },
    /// Ends a subscription that the request `id` opened.
    Cancel {
        /// The request's number.
        id: u64,
    },
    /// Something of a later version.
    #[serde(other)]
    Unknown,
}

/// What the daemon says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum DaemonMessage {
    /// First.
    Hello(Hello),
    /// The answer to the request `id`. A subscription is answered when it stands; its pushes follow.
    Reply {
        /// The request's number.
        id: u64,
        /// What came of it.
        reply: Reply,
    },
    /// News for the subscription `id`.
    Push {
        /// The request's number.
        id: u64,
        /// What.
        push: Push,
    },
    /// Something of a later version.
    #[serde(other)]
    Unknown,
}
