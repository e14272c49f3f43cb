//! pmon: one binary, four roles (client, daemon, keeper, worker), one direction of knowledge.
//! `docs/architecture.md` is the map.

pub mod cli;
pub mod client;
pub mod config;
pub mod daemon;
pub mod demo;
pub mod fmt;
pub mod keeper;
pub mod logs;
pub mod metrics;
pub mod model;
pub mod monit;
pub mod node;
pub mod proto;
pub mod search;
pub mod supervisor;
pub mod sys;
