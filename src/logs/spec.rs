//! What the pump is told about an entry, and what it tells back.

use crate::model::policy::Overflow;
use crate::model::rotation::Words;
use crate::model::{StreamKind, WorkerId};
use crate::sys::fault;
use crate::sys::page::Page;
use crate::sys::pipe;
use rustix::fs::{MemfdFlags, Mode, OFlags, memfd_create, open};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Whose bytes they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The worker.
    pub worker: WorkerId,
    /// Its app's name.
    pub name: Arc<str>,
    /// Which copy of the app.
    pub instance: u32,
    /// Its present (or last) process.
    pub pid: Option<u32>,
}

/// Where they go and how. A file that several streams write to gets whole lines of each; this is found out from
/// the paths, or announced by `merged`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SinkSpec {
    /// stdout's file; `None`: off.
    pub out: Option<PathBuf>,
    /// stderr's file.
    pub error: Option<PathBuf>,
    /// Both streams, besides their own files.
    pub combined: Option<PathBuf>,
    /// Several workers share the files.
    pub merged: bool,
    /// PM2's (dayjs) format of a prefix of each line.
    pub date_format: Option<String>,
    /// One JSON object a line.
    pub json: bool,
    /// Neither files nor subscribers: what comes is thrown away.
    pub disabled: bool,
    /// What happens when no more bytes can be kept for files that take none.
    pub overflow: Overflow,
    /// Where the files are rotated otherwise than the home's.
    pub rotate: Words,
}

impl SinkSpec {
    /// The files of one stream, its own first, none of them twice.
    pub fn paths(&self, stream: StreamKind) -> [Option<&Path>; 2] {
        let own = match stream {
            StreamKind::Out => self.out.as_deref(),
            StreamKind::Err => self.error.as_deref(),
        };
        let combined = self.combined.as_deref().filter(|path| own != Some(*path));
        if self.disabled { [None, None] } else { [own, combined] }
    }
}

/// What must outlive the daemon: the keeper holds a copy of each before the first byte is moved.
#[derive(Debug)]
pub struct Held {
    /// stdout's bytes between its pipe and its file.
    pub out_staging: OwnedFd,
    /// stderr's.
    pub err_staging: OwnedFd,
    /// The page with both streams' records.
    pub record: OwnedFd,
}

/// Makes what an entry needs. `capacity`: bytes in a batch at most.
pub fn held(capacity: usize) -> std::io::Result<Held> {
    Ok(Held {
        out_staging: pipe::staging(capacity)?,
        err_staging: pipe::staging(capacity)?,
        record: Page::create("pmon log records")?,
    })
}

/// A stream's spill: one memfd behind two open file descriptions, whose positions are what counts.
#[derive(Debug)]
pub struct SpillFiles {
    /// Its position: bytes that came in.
    pub writer: OwnedFd,
    /// Its position: bytes that went out.
    pub reader: OwnedFd,
}

/// Makes what a stream needs to spill.
pub fn spill_files() -> std::io::Result<SpillFiles> {
    fault::at("spec.spill")?;
    let writer = memfd_create("pmon log spill", MemfdFlags::CLOEXEC)?;
    let path = format!("/proc/self/fd/{}", writer.as_raw_fd());
    let reader = open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    Ok(SpillFiles { writer, reader })
}

/// How much of a stream is not in its files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Overflowed {
    /// Bytes kept in memory.
    pub spilled: u64,
    /// Bytes dropped in the life of the stream.
    pub dropped: u64,
    /// Lines in them.
    pub dropped_lines: u64,
}

/// News from the pump.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PumpNotice {
    /// A pipe is at its end, what it held is in the files (or kept: the start of a line that goes on, or spilled), and
    /// its descriptor is closed. May be told again by the next daemon if the keeper still holds the pipe.
    PipeClosed {
        /// Whose.
        entry: u64,
        /// Which stream.
        stream: StreamKind,
        /// Which generation's.
        generation: u64,
    },
    /// An entry that was to be closed is: its last lines are in the files.
    Closed {
        /// Which.
        entry: u64,
    },
    /// A stream cannot be written. It is tried again every 50 ms; meanwhile the worker's pipe fills, then memory.
    /// Told again when the reason changes, and now and then while the amounts do.
    Trouble {
        /// Whose.
        entry: u64,
        /// Which stream.
        stream: StreamKind,
        /// Completes "failed to …".
        what: String,
        /// What became of its bytes.
        overflowed: Overflowed,
    },
    /// A stuck stream needs memory: answer with [`super::Pump::add_spill`] once the keeper holds it too.
    SpillWanted {
        /// Whose.
        entry: u64,
        /// Which stream.
        stream: StreamKind,
    },
    /// A log was put aside.
    Rotated {
        /// Whose (one of those, if several share it).
        source: Source,
        /// The log.
        path: PathBuf,
        /// Its old content.
        kept: PathBuf,
        /// How much that is.
        bytes: u64,
    },
    /// It is written again.
    Recovered {
        /// Whose.
        entry: u64,
        /// Which stream.
        stream: StreamKind,
        /// Attempts that failed.
        failures: u64,
        /// What became of its bytes.
        overflowed: Overflowed,
    },
}
