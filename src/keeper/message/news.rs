//! What the keeper says to the daemon.

use super::super::bytes::{Malformed, Reader, Writer};
use super::{Message, NOBODY, Spent, Tag};
use crate::model::Run;
use crate::model::skew::{self, Skew};
use crate::sys::spawn::Stage;

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
