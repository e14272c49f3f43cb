//! Node's child channel and cluster protocol, spoken by the daemon.
pub mod codec;
pub mod dispatch;
pub mod message;
