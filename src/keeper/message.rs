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
//!
//! | to the daemon | request | body | descriptors |
//! |---|---|---|---|
//! | 64 welcome (id: entries, generation: restarts) | keeper's pid | | |
//! | 65 entry | pid | state (0 none, 1 running, 2 exited), status, spawned, exited, has_pidfd, tags, blob | pidfd, then as tags |
//! | 66 end | | | |
//! | 67 spawned | token | pid, 0, spawned | pidfd |
//! | 68 spawn failed | token | 0, errno \| stage << 16 | |
//! | 69 exited | pid | status, exited, user µs, system µs, peak KiB | |

use super::bytes::{Malformed, Reader, Writer};
use crate::model::Run;
use crate::sys::spawn::{Creds, Stage};
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
    /// A listening socket.
    pub const LISTENER: u8 = 101;
    /// The socket that clients connect to (entry 0).
    pub const CONTROL: u8 = 102;
    /// The keeper's lock (entry 0).
    pub const LOCK: u8 = 103;

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
#[derive(Debug, Clone, PartialEq, Eq)]
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
#[derive(Debug, Clone, PartialEq, Eq)]
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
    Adopt {
        run: Run,
        pid: u32,
        exited: Option<i32>,
        spawned_ms: u64,
        keep: Vec<(Tag, u32)>,
        blob: Vec<u8>,
    },
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
}

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
            ToKeeper::Adopt { run, pid, exited, spawned_ms, keep, blob } => {
                Message::new(12, *run, u64::from(*pid)).with(|to| {
                    to.u32(u32::from(exited.is_some())).i32(exited.unwrap_or(0)).u64(*spawned_ms);
                    to.pairs(keep.iter().map(|(tag, place)| (tag.to_wire(), *place))).bytes(blob);
                })
            }
        }
    }

    /// From bytes; `None` is a kind this version does not know.
    pub fn decode(message: &Message) -> Result<Option<ToKeeper>, Malformed> {
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
                ToKeeper::Adopt { run, pid, exited: (exited == 1).then_some(status), spawned_ms, keep, blob }
            }
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

fn tagged(from: &mut Reader<'_>) -> Result<Vec<(Tag, u32)>, Malformed> {
    Ok(from.pairs()?.into_iter().map(|(tag, place)| (Tag::from_wire(tag), place)).collect())
}

impl ToDaemon {
    /// As bytes.
    pub fn encode(&self) -> Message {
        match self {
            ToDaemon::Welcome { keeper_pid, entries, restarts } => {
                Message::new(64, Run { entry: *entries, generation: *restarts }, u64::from(*keeper_pid))
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
        }
    }

    /// From bytes; `None` is a kind this version does not know.
    pub fn decode(message: &Message) -> Result<Option<ToDaemon>, Malformed> {
        let (run, token) = (message.run(), message.request);
        let pid = || u32::try_from(message.request).map_err(|_big| Malformed);
        let mut body = Reader(&message.body);
        Ok(Some(match message.kind {
            64 => ToDaemon::Welcome { keeper_pid: pid()?, entries: run.entry, restarts: run.generation },
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
            _ => return Ok(None),
        }))
    }
}
