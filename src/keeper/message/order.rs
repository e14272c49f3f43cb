//! What the daemon says to the keeper.

use super::super::bytes::{Malformed, Reader, Writer};
use super::{Message, NOBODY, SPAWN, Tag, entry_only};
use crate::model::Run;
use crate::model::skew::{self, Skew};
use crate::sys::spawn::Creds;
use std::fmt;

/// From here on kinds are not known to what pretends to be an older version.
const NEWEST: u16 = 15;

const WITH_CREDS: u32 = 2;
const WITH_LISTEN_PID: u32 = 4;

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

fn tagged(from: &mut Reader<'_>) -> Result<Vec<(Tag, u32)>, Malformed> {
    Ok(from.pairs()?.into_iter().map(|(tag, place)| (Tag::from_wire(tag), place)).collect())
}
