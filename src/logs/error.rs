//! Why log bytes stay where they are.

use std::io;
use std::path::PathBuf;

/// Completes "failed to …".
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The file cannot be had.
    #[error("open log file `{path}`")]
    Open {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file takes no bytes.
    #[error("write log file `{path}`")]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another stream has begun a batch in this file and must end it first.
    #[error("write log file `{path}`: a batch of another stream is unfinished")]
    Reserved {
        /// Which.
        path: PathBuf,
    },
    /// The disk has not answered for a while; it is not asked again before it does.
    #[error("write log file `{path}`: the disk hangs")]
    Hangs {
        /// Which.
        path: PathBuf,
        /// Since when, boot clock.
        since_ms: u64,
    },
    /// A pipe failed: a bug, or no memory.
    #[error("move log bytes between pipes")]
    Pipe(#[source] io::Error),
    /// Memory takes no bytes.
    #[error("spill log bytes to memory")]
    Spill(#[source] io::Error),
    /// The entry's record page cannot be mapped.
    #[error("map the record page")]
    Record(#[source] io::Error),
}

impl LogError {
    /// The system's error number; 0 if it has none.
    pub fn errno(&self) -> i32 {
        match self {
            LogError::Open { source, .. }
            | LogError::Write { source, .. }
            | LogError::Pipe(source)
            | LogError::Spill(source)
            | LogError::Record(source) => source.raw_os_error().unwrap_or(0),
            LogError::Reserved { .. } | LogError::Hangs { .. } => 0,
        }
    }

    /// Since when the disk hangs, boot clock.
    pub fn hangs_since(&self) -> Option<u64> {
        match self {
            LogError::Hangs { since_ms, .. } => Some(*since_ms),
            LogError::Open { .. }
            | LogError::Write { .. }
            | LogError::Reserved { .. }
            | LogError::Pipe(_)
            | LogError::Spill(_)
            | LogError::Record(_) => None,
        }
    }

    /// The error and its cause in one line.
    pub fn told(&self) -> String {
        match std::error::Error::source(self) {
            Some(cause) => format!("{self}: {cause}"),
            None => self.to_string(),
        }
    }
}
