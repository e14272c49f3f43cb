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
use crate::model::skew::{self, Skew};
use crate::sys::spawn::{Creds, Stage};
use std::fmt;
use std::time::Duration;

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

/// Start a process; see `link::SpawnRequest`. `map` and `keep` name descriptors by their place in the message.
#[derive(Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields of link::SpawnRequest")]
pub struct Spawn {
    pub run: Run,
    pub token: u64,
    pub creds: Option<Creds>,
    pub listen_pid: bool,
    pub program: Vec<u8>,
    pub cwd: Vec<u8>,
    pub argv: Vec<Vec<u8>>,
    pub envp: Vec<Vec<u8>>,
    pub map: Vec<(u32, u32)>,
    pub keep: Vec<(Tag, u32)>,
    pub blob: Vec<u8>,
}

/// From the daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "described by the methods of link::Link")]
pub enum ToKeeper {
    Spawn(Spawn),
    Keep {
        entry: u64,
        tag: Tag,
    },
    Drop {
        entry: u64,
        tag: Tag,
    },
    Blob {
        entry: u64,
        blob: Vec<u8>,
    },
    /// Records of many entries, all or none.
    Blobs(Vec<(u64, Vec<u8>)>),
    Ack(Run),
    Forget {
        entry: u64,
    },
    Kill {
        run: Run,
        signal: i32,
        group: bool,
    },
    Ready,
    UpgradeDaemon {
        path: Vec<u8>,
    },
    UpgradeKeeper {
        path: Vec<u8>,
    },
    Shutdown,
    /// What a daemon tells a keeper that replaces a dead one. `exited`: the status, if it is known to have ended.
    Adopt(Adopt),
    /// Only that this daemon is not frozen. Who has said it once must go on.
    Ping,
    /// The daemon begins with an entry: should it die now, it has died of that. 0: it is done with the last one.
    Trying {
        entry: u64,
    },
    /// To a new keeper: daemons do without this entry.
    Aside {
        entry: u64,
        key: u64,
    },
    /// The order `key` wants it led again.
    TakeBack {
        entry: u64,
        key: u64,
    },
    /// Why the daemon is about to end.
    LastWords(Vec<u8>),
}

/// What became of the daemons before this one, and what it is to do without.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Past {
    /// Daemons that died by their own fault, none of which had served for long.
    pub deaths: u32,
    /// How the last of them ended: raw status of wait4(2).
    pub status: i32,
    /// What that had said of it.
    pub words: Vec<u8>,
    /// A sentence about a program that was tried and given up.
    pub undone: Vec<u8>,
    /// Entries that are set aside, and the order that wanted each back last (0: none).
    pub aside: Vec<(u64, u64)>,
    /// Everything is, also what is found by other means.
    pub all: bool,
}

/// An entry for a keeper that does not know it. `pid` 0: it has no process. The last descriptor is its pidfd if it lives.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "see ToKeeper::Adopt")]
pub struct Adopt {
    pub run: Run,
    pub pid: u32,
    pub exited: Option<i32>,
    pub spawned_ms: u64,
    pub keep: Vec<(Tag, u32)>,
    pub blob: Vec<u8>,
}

/// What there is of an entry's process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "see link::EntryState")]
pub enum ProcessState {
    None,
    Running,
    Exited { status: i32, exit_ms: u64 },
}

/// From the keeper.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "see link::FromKeeper")]
pub enum ToDaemon {
    Welcome {
        keeper_pid: u32,
        entries: u64,
        restarts: u64,
        search: bool,
        past: Past,
    },
    Entry {
        run: Run,
        pid: u32,
        state: ProcessState,
        spawned_ms: u64,
        has_pidfd: bool,
        tags: Vec<Tag>,
        blob: Vec<u8>,
    },
    End,
    Spawned {
        run: Run,
        token: u64,
        pid: u32,
        spawned_ms: u64,
    },
    SpawnFailed {
        run: Run,
        token: u64,
        errno: i32,
        stage: Stage,
    },
    Exited {
        run: Run,
        pid: u32,
        status: i32,
        exit_ms: u64,
        usage: Spent,
    },
    Upgraded {
        keeper_pid: u32,
        refusal: Vec<u8>,
    },
    Pong,
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

impl fmt::Debug for Spawn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Spawn { run, token, program, cwd, .. } = self;
        let (program, cwd) = (String::from_utf8_lossy(program), String::from_utf8_lossy(cwd));
        let mut shown = f.debug_struct("Spawn");
        shown
            .field("run", run)
            .field("token", token)
            .field("program", &program)
            .field("cwd", &cwd)
            .finish_non_exhaustive()
    }
}

/// From here on kinds are not known to what pretends to be an older version.
const NEWEST: u16 = 15;

const SPAWN: u16 = 1;
const WITH_CREDS: u32 = 2;
const WITH_LISTEN_PID: u32 = 4;

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

impl ToKeeper {
    /// As bytes.
    pub fn encode(&self) -> Message {
        match self {
            ToKeeper::Spawn(spawn) => Message::new(SPAWN, spawn.run, spawn.token).with(|to| spawn.write(to)),
            ToKeeper::Keep { entry, tag } => Message::new(2, entry_only(*entry), tag.to_wire().into()),
            ToKeeper::Drop { entry, tag } => Message::new(3, entry_only(*entry), tag.to_wire().into()),
            ToKeeper::Blob { entry, blob } => Message::new(4, entry_only(*entry), 0).with(|to| {
                to.bytes(blob);
            }),
            ToKeeper::Ack(run) => Message::new(5, *run, 0),
            ToKeeper::Forget { entry } => Message::new(6, entry_only(*entry), 0),
            ToKeeper::Kill { run, signal, group } => Message::new(7, *run, u64::from(signal.unsigned_abs()))
                .with(|to| {
                    to.u8(u8::from(*group));
                }),
            ToKeeper::Ready => Message::new(8, NOBODY, 0),
            ToKeeper::UpgradeDaemon { path } => Message::new(9, NOBODY, 0).with(|to| {
                to.bytes(path);
            }),
            ToKeeper::UpgradeKeeper { path } => Message::new(10, NOBODY, 0).with(|to| {
                to.bytes(path);
            }),
            ToKeeper::Shutdown => Message::new(11, NOBODY, 0),
            ToKeeper::Adopt(Adopt { run, pid, exited, spawned_ms, keep, blob }) => {
                Message::new(12, *run, u64::from(*pid)).with(|to| {
                    to.u32(u32::from(exited.is_some())).i32(exited.unwrap_or(0)).u64(*spawned_ms);
                    to.pairs(keep.iter().map(|(tag, place)| (tag.to_wire(), *place))).bytes(blob);
                })
            }
            ToKeeper::Ping => Message::new(13, NOBODY, 0),
            ToKeeper::Trying { entry } => Message::new(15, entry_only(*entry), 0),
            ToKeeper::Aside { entry, key } => Message::new(16, entry_only(*entry), *key),
            ToKeeper::TakeBack { entry, key } => Message::new(17, entry_only(*entry), *key),
            ToKeeper::LastWords(words) => Message::new(18, NOBODY, 0).with(|to| {
                to.bytes(words);
            }),
            ToKeeper::Blobs(blobs) => Message::new(14, NOBODY, 0).with(|to| {
                to.count(blobs.len());
                for (entry, blob) in blobs {
                    to.u64(*entry).bytes(blob);
                }
            }),
        }
    }

    /// From bytes; `None` is a kind this version does not know.
    pub fn decode(message: &Message) -> Result<Option<ToKeeper>, Malformed> {
        if skew::skew() == Skew::Older && (NEWEST..64).contains(&message.kind) {
            return Ok(None);
        }
        let (run, entry, request) = (message.run(), message.id, message.request);
        let tag = || u32::try_from(request).map(Tag::from_wire).map_err(|_big| Malformed);
        let mut body = Reader(&message.body);
        Ok(Some(match message.kind {
            SPAWN => ToKeeper::Spawn(Spawn::read(run, request, &mut body)?),
            2 => ToKeeper::Keep { entry, tag: tag()? },
            3 => ToKeeper::Drop { entry, tag: tag()? },
            4 => ToKeeper::Blob { entry, blob: body.bytes()? },
            5 => ToKeeper::Ack(run),
            6 => ToKeeper::Forget { entry },
            7 => {
                let signal = i32::try_from(request).map_err(|_big| Malformed)?;
                ToKeeper::Kill { run, signal, group: body.u8()? == 1 }
            }
            8 => ToKeeper::Ready,
            9 => ToKeeper::UpgradeDaemon { path: body.bytes()? },
            10 => ToKeeper::UpgradeKeeper { path: body.bytes()? },
            11 => ToKeeper::Shutdown,
            12 => {
                let pid = u32::try_from(request).map_err(|_big| Malformed)?;
                let (exited, status, spawned_ms) = (body.u32()?, body.i32()?, body.u64()?);
                let (keep, blob) = (tagged(&mut body)?, body.bytes()?);
                let exited = (exited == 1).then_some(status);
                ToKeeper::Adopt(Adopt { run, pid, exited, spawned_ms, keep, blob })
            }
            13 => ToKeeper::Ping,
            14 => ToKeeper::Blobs(body.many(12, |from| Ok((from.u64()?, from.bytes()?)))?),
            15 => ToKeeper::Trying { entry },
            16 => ToKeeper::Aside { entry, key: request },
            17 => ToKeeper::TakeBack { entry, key: request },
            18 => ToKeeper::LastWords(body.bytes()?),
            _ => return Ok(None),
        }))
    }
}

impl Spawn {
    fn write(&self, to: &mut Writer) {
        let creds = if self.creds.is_some() { WITH_CREDS } else { 0 };
        to.u32(creds | if self.listen_pid { WITH_LISTEN_PID } else { 0 });
        let (uid, gid, groups) =
            self.creds.as_ref().map_or((0, 0, &[][..]), |creds| (creds.uid, creds.gid, &creds.groups));
        to.u32(uid).u32(gid).count(groups.len());
        for group in groups {
            to.u32(*group);
        }
        to.bytes(&self.program).bytes(&self.cwd).list(&self.argv).list(&self.envp);
        to.pairs(self.map.iter().copied());
        to.pairs(self.keep.iter().map(|(tag, place)| (tag.to_wire(), *place))).bytes(&self.blob);
    }

    fn read(run: Run, token: u64, from: &mut Reader<'_>) -> Result<Spawn, Malformed> {
        let flags = from.u32()?;
        let creds = Creds { uid: from.u32()?, gid: from.u32()?, groups: from.many(4, Reader::u32)? };
        Ok(Spawn {
            run,
            token,
            creds: (flags & WITH_CREDS != 0).then_some(creds),
            listen_pid: flags & WITH_LISTEN_PID != 0,
            program: from.bytes()?,
            cwd: from.bytes()?,
            argv: from.many(4, Reader::bytes)?,
            envp: from.many(4, Reader::bytes)?,
            map: from.pairs()?,
            keep: tagged(from)?,
            blob: from.bytes()?,
        })
    }
}

impl Past {
    /// Nothing, if there is nothing to say; but whatever has words of its own behind this writes it.
    fn write(&self, to: &mut Writer) {
        let Past { deaths, status, words, undone, aside, all: _in_the_marks } = self;
        if *self == (Past { all: self.all, ..Past::default() }) && skew::skew() != Skew::Newer {
            return;
        }
        to.u32(*deaths).i32(*status).bytes(words).bytes(undone).count(aside.len());
        for (entry, key) in aside {
            to.u64(*entry).u64(*key);
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Past, Malformed> {
        if from.0.is_empty() {
            return Ok(Past::default());
        }
        let (deaths, status, words, undone) = (from.u32()?, from.i32()?, from.bytes()?, from.bytes()?);
        let aside = from.many(16, |from| Ok((from.u64()?, from.u64()?)))?;
        Ok(Past { deaths, status, words, undone, aside, all: false })
    }
}

fn tagged(from: &mut Reader<'_>) -> Result<Vec<(Tag, u32)>, Malformed> {
    Ok(from.pairs()?.into_iter().map(|(tag, place)| (Tag::from_wire(tag), place)).collect())
}

impl ToDaemon {
    /// As bytes.
    pub fn encode(&self) -> Message {
        match self {
            ToDaemon::Welcome { keeper_pid, entries, restarts, search, past } => {
                let numbers = Run { entry: *entries, generation: *restarts };
                Message::new(64, numbers, u64::from(*keeper_pid)).with(|to| {
                    to.u32(u32::from(*search) | u32::from(past.all) << 1);
                    if skew::skew() != Skew::Older {
                        past.write(to);
                    }
                })
            }
            ToDaemon::Entry { run, pid, state, spawned_ms, has_pidfd, tags, blob } => {
                let (state, status, exit_ms) = match state {
                    ProcessState::None => (0, 0, 0),
                    ProcessState::Running => (1, 0, 0),
                    ProcessState::Exited { status, exit_ms } => (2, *status, *exit_ms),
                };
                Message::new(65, *run, u64::from(*pid)).with(|to| {
                    to.u32(state).i32(status).u64(*spawned_ms).u64(exit_ms).u32(u32::from(*has_pidfd));
                    to.count(tags.len());
                    for tag in tags {
                        to.u32(tag.to_wire());
                    }
                    to.bytes(blob);
                })
            }
            ToDaemon::End => Message::new(66, NOBODY, 0),
            ToDaemon::Spawned { run, token, pid, spawned_ms } => Message::new(67, *run, *token).with(|to| {
                to.u32(*pid).u32(0).u64(*spawned_ms);
            }),
            ToDaemon::SpawnFailed { run, token, errno, stage } => Message::new(68, *run, *token).with(|to| {
                to.u32(0).u32((errno.unsigned_abs() & 0xffff) | (*stage as u32) << 16);
            }),
            ToDaemon::Exited { run, pid, status, exit_ms, usage } => Message::new(69, *run, u64::from(*pid))
                .with(|to| {
                    to.i32(*status).u64(*exit_ms).span(usage.user).span(usage.system).u64(usage.max_rss_kib);
                }),
            ToDaemon::Upgraded { keeper_pid, refusal } => Message::new(70, NOBODY, u64::from(*keeper_pid))
                .with(|to| {
                    to.bytes(refusal);
                }),
            ToDaemon::Pong => Message::new(71, NOBODY, 0),
        }
    }

    /// From bytes; `None` is a kind this version does not know.
    pub fn decode(message: &Message) -> Result<Option<ToDaemon>, Malformed> {
        let (run, token) = (message.run(), message.request);
        let pid = || u32::try_from(message.request).map_err(|_big| Malformed);
        let mut body = Reader(&message.body);
        Ok(Some(match message.kind {
            64 => {
                // A keeper without marks knows all there is.
                let marks = body.u32().unwrap_or(0);
                let (entries, restarts) = (run.entry, run.generation);
                let past = Past { all: marks & 2 != 0, ..Past::read(&mut body)? };
                ToDaemon::Welcome { keeper_pid: pid()?, entries, restarts, search: marks & 1 != 0, past }
            }
            65 => {
                let (state, status, spawned_ms, exit_ms) =
                    (body.u32()?, body.i32()?, body.u64()?, body.u64()?);
                let state = match state {
                    0 => ProcessState::None,
                    1 => ProcessState::Running,
                    2 => ProcessState::Exited { status, exit_ms },
                    _ => return Err(Malformed),
                };
                let has_pidfd = body.u32()? == 1;
                let tags = body.many(4, Reader::u32)?.into_iter().map(Tag::from_wire).collect();
                ToDaemon::Entry { run, pid: pid()?, state, spawned_ms, has_pidfd, tags, blob: body.bytes()? }
            }
            66 => ToDaemon::End,
            67 => {
                let (pid, _, spawned_ms) = (body.u32()?, body.u32()?, body.u64()?);
                ToDaemon::Spawned { run, token, pid, spawned_ms }
            }
            68 => {
                let (_, why) = (body.u32()?, body.u32()?);
                let [low, high, stage, rest] = why.to_le_bytes();
                let stage = Stage::from_number(u16::from_le_bytes([stage, rest]));
                ToDaemon::SpawnFailed { run, token, errno: u16::from_le_bytes([low, high]).into(), stage }
            }
            69 => {
                let (status, exit_ms) = (body.i32()?, body.u64()?);
                let usage = Spent { user: body.span()?, system: body.span()?, max_rss_kib: body.u64()? };
                ToDaemon::Exited { run, pid: pid()?, status, exit_ms, usage }
            }
            70 => ToDaemon::Upgraded { keeper_pid: pid()?, refusal: body.bytes()? },
            71 => ToDaemon::Pong,
            _ => return Ok(None),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RUN: Run = Run { entry: 7, generation: 3 };

    fn hex(message: &Message) -> String {
        let bytes = [&message.header(0)[..], &message.body].concat();
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Frozen: a keeper of this version will meet daemons of later ones.
    #[test]
    fn the_bytes_of_version_1_stay() {
        let spawn = ToKeeper::Spawn(Spawn {
            run: RUN,
            token: 9,
            creds: Some(Creds { uid: 1, gid: 2, groups: vec![4] }),
            listen_pid: true,
            program: b"/p".to_vec(),
            cwd: b"/".to_vec(),
            argv: vec![b"p".to_vec()],
            envp: vec![b"A=1".to_vec()],
            map: vec![(1, 0)],
            keep: vec![(Tag::new(Tag::OUT_PIPE, 3), 1)],
            blob: b"{}".to_vec(),
        });
        let golden = concat!(
            "01000100510000000700000000000000030000000000000009000000000000000600000001000000020000000100",
            "000004000000020000002f70010000002f01000000010000007001000000",
            "03000000413d31010000000100000000000000010000000103000001000000020000007b7d"
        );
        assert_eq!(hex(&spawn.encode()), golden);
        let kill = ToKeeper::Kill { run: RUN, signal: 15, group: true };
        assert_eq!(hex(&kill.encode()), "0700010001000000070000000000000003000000000000000f0000000000000001");
        let keep = ToKeeper::Keep { entry: 7, tag: Tag::new(Tag::LISTENER, 2) };
        assert_eq!(hex(&keep.encode()), "0200010000000000070000000000000000000000000000006502000000000000");
        let failed = ToDaemon::SpawnFailed { run: RUN, token: 9, errno: 2, stage: Stage::Exec };
        let golden = "440001000800000007000000000000000300000000000000090000000000000000000000020006 00";
        assert_eq!(hex(&failed.encode()), golden.replace(' ', ""));
        let adopt = ToKeeper::Adopt(Adopt {
            run: RUN,
            pid: 5,
            exited: Some(256),
            spawned_ms: 6,
            keep: vec![(Tag::new(Tag::OUT_PIPE, 3), 0)],
            blob: b"{}".to_vec(),
        });
        let golden = concat!(
            "0c000100220000000700000000000000030000000000000005000000000000000100000000010000",
            "0600000000000000010000000103000000000000020000007b7d"
        );
        assert_eq!(hex(&adopt.encode()), golden);
        assert_eq!(hex(&ToKeeper::Ping.encode()), format!("0d000100{}", "00".repeat(28)));
        let upgraded = ToDaemon::Upgraded { keeper_pid: 9, refusal: b"no".to_vec() };
        let golden = format!("4600010006000000{}0900000000000000020000006e6f", "00".repeat(16));
        assert_eq!(hex(&upgraded.encode()), golden);
        assert_eq!(hex(&ToDaemon::Pong.encode()), format!("47000100{}", "00".repeat(28)));
    }

    #[test]
    fn the_welcome_of_a_keeper_without_marks_is_understood() {
        let welcome =
            ToDaemon::Welcome { keeper_pid: 9, entries: 2, restarts: 1, search: true, past: Past::default() };
        let mut message = welcome.encode();
        let golden = "400001000400000002000000000000000100000000000000090000000000000001000000";
        assert_eq!(hex(&message), golden);
        message.body.clear();
        let old = ToDaemon::Welcome {
            keeper_pid: 9,
            entries: 2,
            restarts: 1,
            search: false,
            past: Past::default(),
        };
        assert_eq!(ToDaemon::decode(&message), Ok(Some(old)));
    }

    #[test]
    fn later_versions_may_add_kinds_and_fields() {
        let mut message = ToKeeper::Kill { run: RUN, signal: 9, group: false }.encode();
        message.body.extend_from_slice(b"more");
        let kill = ToKeeper::Kill { run: RUN, signal: 9, group: false };
        assert_eq!(ToKeeper::decode(&message), Ok(Some(kill)));
        message.kind = 40;
        assert_eq!(ToKeeper::decode(&message), Ok(None));
        assert_eq!(ToDaemon::decode(&message), Ok(None));
    }

    #[test]
    fn a_count_that_cannot_be_is_refused_before_it_is_believed() {
        let mut message = ToKeeper::Spawn(Spawn {
            run: RUN,
            token: 0,
            creds: None,
            listen_pid: false,
            program: vec![],
            cwd: vec![],
            argv: vec![],
            envp: vec![],
            map: vec![],
            keep: vec![],
            blob: vec![],
        })
        .encode();
        message.body[12..16].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(ToKeeper::decode(&message), Err(Malformed));
    }

    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(any::<u8>(), 0..40)
    }

    fn run() -> impl Strategy<Value = Run> {
        (any::<u64>(), any::<u64>()).prop_map(|(entry, generation)| Run { entry, generation })
    }

    fn tag() -> impl Strategy<Value = Tag> {
        (any::<u8>(), 0..1u32 << 24).prop_map(|(kind, index)| Tag::new(kind, index))
    }

    fn keep() -> impl Strategy<Value = Vec<(Tag, u32)>> {
        prop::collection::vec((tag(), any::<u32>()), 0..5)
    }

    fn spawn() -> impl Strategy<Value = Spawn> {
        let creds = (any::<u32>(), any::<u32>(), prop::collection::vec(any::<u32>(), 0..5));
        let creds = prop::option::of(creds.prop_map(|(uid, gid, groups)| Creds { uid, gid, groups }));
        let list = || prop::collection::vec(bytes(), 0..5);
        let map = prop::collection::vec((any::<u32>(), any::<u32>()), 0..5);
        let head = (run(), any::<u64>(), creds, any::<bool>());
        (head, bytes(), bytes(), list(), list(), map, keep(), bytes()).prop_map(
            |((run, token, creds, listen_pid), program, cwd, argv, envp, map, keep, blob)| Spawn {
                run,
                token,
                creds,
                listen_pid,
                program,
                cwd,
                argv,
                envp,
                map,
                keep,
                blob,
            },
        )
    }

    fn to_keeper() -> impl Strategy<Value = ToKeeper> {
        let kill = (run(), 0..i32::MAX, any::<bool>());
        let adopt = (run(), any::<u32>(), any::<Option<i32>>(), any::<u64>(), keep(), bytes());
        prop_oneof![
            spawn().prop_map(ToKeeper::Spawn),
            (any::<u64>(), tag()).prop_map(|(entry, tag)| ToKeeper::Keep { entry, tag }),
            (any::<u64>(), tag()).prop_map(|(entry, tag)| ToKeeper::Drop { entry, tag }),
            (any::<u64>(), bytes()).prop_map(|(entry, blob)| ToKeeper::Blob { entry, blob }),
            run().prop_map(ToKeeper::Ack),
            any::<u64>().prop_map(|entry| ToKeeper::Forget { entry }),
            kill.prop_map(|(run, signal, group)| ToKeeper::Kill { run, signal, group }),
            Just(ToKeeper::Ready),
            bytes().prop_map(|path| ToKeeper::UpgradeDaemon { path }),
            bytes().prop_map(|path| ToKeeper::UpgradeKeeper { path }),
            Just(ToKeeper::Shutdown),
            adopt.prop_map(|(run, pid, exited, spawned_ms, keep, blob)| {
                ToKeeper::Adopt(Adopt { run, pid, exited, spawned_ms, keep, blob })
            }),
            Just(ToKeeper::Ping),
            any::<u64>().prop_map(|entry| ToKeeper::Trying { entry }),
            (any::<u64>(), any::<u64>()).prop_map(|(entry, key)| ToKeeper::Aside { entry, key }),
            (any::<u64>(), any::<u64>()).prop_map(|(entry, key)| ToKeeper::TakeBack { entry, key }),
            bytes().prop_map(ToKeeper::LastWords),
            prop::collection::vec((any::<u64>(), bytes()), 0..5).prop_map(ToKeeper::Blobs),
        ]
    }

    fn past() -> impl Strategy<Value = Past> {
        let aside = prop::collection::vec((any::<u64>(), any::<u64>()), 0..5);
        (any::<u32>(), any::<i32>(), bytes(), bytes(), aside, any::<bool>()).prop_map(
            |(deaths, status, words, undone, aside, all)| Past { deaths, status, words, undone, aside, all },
        )
    }

    fn to_daemon() -> impl Strategy<Value = ToDaemon> {
        let state = prop_oneof![
            Just(ProcessState::None),
            Just(ProcessState::Running),
            (any::<i32>(), any::<u64>())
                .prop_map(|(status, exit_ms)| ProcessState::Exited { status, exit_ms }),
        ];
        let tags = prop::collection::vec(tag(), 0..5);
        let entry = (run(), any::<u32>(), state, any::<u64>(), any::<bool>(), tags, bytes());
        let micros = || any::<u64>().prop_map(Duration::from_micros);
        let usage = (micros(), micros(), any::<u64>());
        let usage = usage.prop_map(|(user, system, max_rss_kib)| Spent { user, system, max_rss_kib });
        let stage = (0..7u16).prop_map(Stage::from_number);
        prop_oneof![
            (any::<u32>(), any::<u64>(), any::<u64>(), any::<bool>(), past()).prop_map(
                |(keeper_pid, entries, restarts, search, past)| {
                    ToDaemon::Welcome { keeper_pid, entries, restarts, search, past }
                }
            ),
            (any::<u32>(), bytes())
                .prop_map(|(keeper_pid, refusal)| ToDaemon::Upgraded { keeper_pid, refusal }),
            entry.prop_map(|(run, pid, state, spawned_ms, has_pidfd, tags, blob)| {
                ToDaemon::Entry { run, pid, state, spawned_ms, has_pidfd, tags, blob }
            }),
            Just(ToDaemon::End),
            Just(ToDaemon::Pong),
            (run(), any::<u64>(), any::<u32>(), any::<u64>()).prop_map(|(run, token, pid, spawned_ms)| {
                ToDaemon::Spawned { run, token, pid, spawned_ms }
            }),
            (run(), any::<u64>(), 0..4096i32, stage).prop_map(|(run, token, errno, stage)| {
                ToDaemon::SpawnFailed { run, token, errno, stage }
            }),
            (run(), any::<u32>(), any::<i32>(), any::<u64>(), usage).prop_map(
                |(run, pid, status, exit_ms, usage)| ToDaemon::Exited { run, pid, status, exit_ms, usage }
            ),
        ]
    }

    fn travelled(message: &Message) -> Message {
        let (mut arrived, len) = Message::from_header(&message.header(0)).unwrap();
        assert_eq!(len, message.body.len());
        arrived.body.clone_from(&message.body);
        arrived
    }

    proptest! {
        #[test]
        fn what_the_daemon_says_arrives(said in to_keeper()) {
            prop_assert_eq!(ToKeeper::decode(&travelled(&said.encode())), Ok(Some(said)));
        }

        #[test]
        fn what_the_keeper_says_arrives(said in to_daemon()) {
            prop_assert_eq!(ToDaemon::decode(&travelled(&said.encode())), Ok(Some(said)));
        }

        #[test]
        fn garbage_is_refused_without_harm(
            kind in prop_oneof![0..19u16, 62..72u16, any::<u16>()],
            request: u64,
            body in prop::collection::vec(any::<u8>(), 0..200),
            header in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let message = Message { kind, id: 1, generation: 1, request, body };
            let _any = (ToKeeper::decode(&message), ToDaemon::decode(&message), Message::from_header(&header));
        }

        #[test]
        fn a_body_cut_short_is_refused(said in spawn(), cut: prop::sample::Index) {
            let mut message = ToKeeper::Spawn(said).encode();
            message.body.truncate(cut.index(message.body.len()));
            prop_assert_eq!(ToKeeper::decode(&message), Err(Malformed));
        }
    }
}
