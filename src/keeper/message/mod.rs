//! What keeper and daemon say to each other, version 1, as bytes and back. No I/O: see `datagram`.
//!
//! A header of 32 bytes, little endian: `kind:u16 version:u16 body_len:u32 id:u64 generation:u64 request:u64`,
//! then the body. In bodies `bytes` is a u32 length and data, a list a u32 count and items. Unknown kinds are
//! skipped, what follows the known fields of a body too; so both ends may be of different versions.
//! `id` is an entry; entry 0 is the daemon's own. Times are milliseconds of `CLOCK_BOOTTIME`.
//!
//! | to the keeper | request | body | descriptors |
//! |---|---|---|---|
//! | 1 spawn | token | flags (2 creds, 4 listen_pid), uid, gid, groups, program, cwd, argv, envp, map (child's number, place), keep (tag, place), blob | all |
//! | 2 keep, 3 drop | tag | | 1, none |
//! | 4 blob | | blob | |
//! | 5 ack, 6 forget | | | |
//! | 7 kill | signal | u8: 1 for the group | |
//! | 8 ready | | | |
//! | 9 upgrade daemon, 10 upgrade keeper | | path | (the file) |
//! | 11 shutdown | | | |
//! | 12 adopt | pid | exited, status, spawned, keep (tag, place), blob | kept, pidfd |
//! | 13 ping | | | |
//! | 14 blobs | | list of (entry, blob) | |
//! | 15 trying (entry 0: done with it) | | | |
//! | 16 aside, 17 take back | the order's key | | |
//! | 18 last words | | text | |
//!
//! | to the daemon | request | body | descriptors |
//! |---|---|---|---|
//! | 64 welcome (id: entries, generation: restarts) | keeper's pid | marks (1 search: this keeper may not know all that lives; 2 all are aside), then, if there is anything to say: deaths, status of the last, its words, undone, aside (entry, key) | |
//! | 65 entry | pid | state (0 none, 1 running, 2 exited), status, spawned, exited, has_pidfd, tags, blob | pidfd, then as tags |
//! | 66 end | | | |
//! | 67 spawned | token | pid, 0, spawned | pidfd |
//! | 68 spawn failed | token | 0, errno \| stage << 16 | |
//! | 69 exited | pid | status (negative: unknown), exited, user µs, system µs, peak KiB | |
//! | 70 upgraded | keeper's pid | why not; empty if it is done | |

use super::bytes::{Malformed, Reader, Writer};
use crate::model::Run;
use std::fmt;
use std::time::Duration;

mod news;
mod order;
#[cfg(test)]
mod tests;

pub use news::{Past, ProcessState, ToDaemon};
pub use order::{Adopt, Spawn, ToKeeper};

/// Of the protocol.
pub const VERSION: u16 = 1;
/// Length of the header.
pub const HEADER: usize = 32;

/// What a kept descriptor is, within its entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag {
    /// One of the constants.
    pub kind: u8,
    /// Generation for pipes and channels, slot for listening sockets, else 0. The wire has 24 bits for it.
    pub index: u32,
}

impl Tag {
    /// Read end of a run's stdout.
    pub const OUT_PIPE: u8 = 1;
    /// Read end of a run's stderr.
    pub const ERR_PIPE: u8 = 2;
    /// Staging pipe of stdout.
    pub const OUT_STAGING: u8 = 3;
    /// Staging pipe of stderr.
    pub const ERR_STAGING: u8 = 4;
    /// Our end of a run's Node channel.
    pub const CHANNEL: u8 = 5;
    /// The page with the pump's intent.
    pub const LOG_RECORD: u8 = 6;
    /// Memory that a stream's log bytes are spilled to; index 0 stdout's, 1 stderr's.
    pub const LOG_SPILL: u8 = 7;
    /// The same as it is read.
    pub const LOG_SPILL_READER: u8 = 8;
    /// A listening socket.
    pub const LISTENER: u8 = 101;
    /// The socket that clients connect to (entry 0).
    pub const CONTROL: u8 = 102;
    /// The keeper's lock (entry 0).
    pub const LOCK: u8 = 103;
    /// The socket on which workers say `READY=1` (entry 0).
    pub const NOTIFY: u8 = 104;
    /// A connection to a listener that waits for a worker to take it.
    pub const WAITING: u8 = 105;
    /// One that was handed to a worker, which has not answered.
    pub const HANDED: u8 = 106;
    /// The control socket's file (O_PATH), to be known again by.
    pub const CONTROL_FILE: u8 = 107;
    /// Who was begun (entry 0).
    pub const LEDGER: u8 = 108;
    /// The pipe through which the pump looks at batches (entry 0): it may be that there is none as large to be had.
    pub const SCRATCH: u8 = 109;

    /// A tag; only the low 24 bits of `index` count.
    pub const fn new(kind: u8, index: u32) -> Tag {
        Tag { kind, index: index & 0x00ff_ffff }
    }

    /// The tag of a descriptor that every run has anew.
    pub const fn of_run(kind: u8, run: Run) -> Tag {
        Tag::new(kind, (run.generation & 0x00ff_ffff) as u32)
    }

    const fn to_wire(self) -> u32 {
        self.kind as u32 | self.index << 8
    }

    const fn from_wire(number: u32) -> Tag {
        Tag { kind: (number & 0xff) as u8, index: number >> 8 }
    }
}

/// What a process has used in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Spent {
    /// CPU time in user mode.
    pub user: Duration,
    /// CPU time in the kernel.
    pub system: Duration,
    /// Peak resident memory, KiB.
    pub max_rss_kib: u64,
}

/// Kind and the three numbers of a header, and the body.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// What.
    pub kind: u16,
    /// Entry.
    pub id: u64,
    /// Its generation.
    pub generation: u64,
    /// Token, tag, pid or signal.
    pub request: u64,
    /// The rest.
    pub body: Vec<u8>,
}

/// Bodies may hold secrets: environments and records.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Message { kind, id, generation, request, body } = self;
        write!(
            f,
            "Message {{ kind: {kind}, id: {id}, generation: {generation}, request: {request}, body: {} bytes }}",
            body.len()
        )
    }
}

const SPAWN: u16 = 1;
impl Message {
    /// The header for a body of `body_len` bytes that `marks` says how to find.
    pub fn header(&self, marks: u16) -> [u8; HEADER] {
        let mut header = Writer(Vec::with_capacity(HEADER));
        header.u16(self.kind | marks).u16(VERSION).count(self.body.len());
        header.u64(self.id).u64(self.generation).u64(self.request);
        header.0.try_into().unwrap_or([0; HEADER])
    }

    /// Kind, length of the body, and the message still without its body.
    pub fn from_header(bytes: &[u8]) -> Result<(Message, usize), Malformed> {
        let mut from = Reader(bytes);
        let (kind, _version, len) = (from.u16()?, from.u16()?, from.u32()?);
        let (id, generation, request) = (from.u64()?, from.u64()?, from.u64()?);
        let message = Message { kind, id, generation, request, body: Vec::new() };
        Ok((message, usize::try_from(len).unwrap_or(usize::MAX)))
    }

    /// The run it is about.
    pub fn run(&self) -> Run {
        Run { entry: self.id, generation: self.generation }
    }

    /// True for a spawn, also for one whose body or descriptors are lost: it must still be answered.
    pub fn is_spawn(&self) -> bool {
        self.kind == SPAWN
    }

    fn new(kind: u16, run: Run, request: u64) -> Message {
        Message { kind, id: run.entry, generation: run.generation, request, body: Vec::new() }
    }

    fn with(mut self, write: impl FnOnce(&mut Writer)) -> Message {
        let mut body = Writer(Vec::new());
        write(&mut body);
        self.body = body.0;
        self
    }
}

const fn entry_only(entry: u64) -> Run {
    Run { entry, generation: 0 }
}

const NOBODY: Run = entry_only(0);
