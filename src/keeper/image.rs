//! Everything a keeper is, as bytes, for the program that takes its place: see `upgrade`. Descriptors are numbers, which
//! stay what they are over execve(2). Each part has its length in front, so that later versions may add to it.

use super::bytes::{Malformed, Reader, Writer};
use super::message::{Spent, Tag};
use crate::model::skew::{self, Skew};
use crate::sys::spawn::{Baseline, FileLimit};
use std::os::fd::RawFd;

/// The first word. Later versions of the same layout add fields at the end of parts.
const MAGIC: u32 = 0x706d_6b31;

/// A keeper at rest: its daemon has been told everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Image {
    pub(super) baseline: Baseline,
    pub(super) closing: bool,
    pub(super) adopting: bool,
    pub(super) daemon: DaemonImage,
    pub(super) entries: Vec<EntryImage>,
}

/// The daemon that lives, and what the next one will be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct DaemonImage {
    pub(super) pid: u32,
    pub(super) pidfd: RawFd,
    pub(super) socket: RawFd,
    pub(super) program: RawFd,
    pub(super) upgrade: Option<RawFd>,
    pub(super) pipe: Option<RawFd>,
    pub(super) ready: bool,
    pub(super) ever_ready: bool,
    pub(super) adopted: bool,
    pub(super) pings: bool,
    pub(super) starts: u64,
    /// Entries that daemons do without, and the order that wanted each back last.
    pub(super) aside: Vec<(u64, u64)>,
    pub(super) all_aside: bool,
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct EntryImage {
    pub(super) id: u64,
    pub(super) generation: u64,
    pub(super) token: u64,
    pub(super) process: Option<ProcessImage>,
    pub(super) fds: Vec<(Tag, RawFd)>,
    pub(super) blob: Vec<u8>,
}

/// Its process, alive or not acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ProcessImage {
    pub(super) pid: u32,
    pub(super) pidfd: RawFd,
    pub(super) adopted: bool,
    pub(super) spawned_ms: u64,
    pub(super) ended: Option<(i32, u64, Spent)>,
}

const NONE: i32 = -1;

fn number(fd: Option<RawFd>) -> i32 {
    fd.unwrap_or(NONE)
}

fn maybe(number: i32) -> Option<RawFd> {
    (number != NONE).then_some(number)
}

fn bits(flags: &[bool]) -> u32 {
    flags.iter().rev().fold(0, |bits, flag| bits << 1 | u32::from(*flag))
}

impl Image {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut to = Writer::default();
        to.u32(MAGIC);
        to.part(|to| {
            let limit = |limit: Option<u64>| limit.unwrap_or(u64::MAX);
            let files = self.baseline.files;
            to.u32(bits(&[self.closing, self.adopting, self.baseline.reset_oom, files.is_some()]));
            to.u64(files.map_or(0, |files| limit(files.current)));
            to.u64(files.map_or(0, |files| limit(files.maximum)));
        });
        let daemon = &self.daemon;
        to.part(|to| {
            to.u32(daemon.pid).i32(daemon.pidfd).i32(daemon.socket).i32(daemon.program);
            to.i32(number(daemon.upgrade)).i32(number(daemon.pipe));
            let DaemonImage { ready, ever_ready, adopted, pings, all_aside, .. } = *daemon;
            to.u32(bits(&[ready, ever_ready, adopted, pings, all_aside])).u64(daemon.starts);
            // Whatever has words of its own behind these writes them.
            if !daemon.aside.is_empty() || skew::skew() == Skew::Newer {
                to.count(daemon.aside.len());
                for (entry, key) in &daemon.aside {
                    to.u64(*entry).u64(*key);
                }
            }
        });
        to.count(self.entries.len());
        for entry in &self.entries {
            to.part(|to| entry.write(to));
        }
        to.0
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Image, Malformed> {
        let mut from = Reader(bytes);
        if from.u32()? != MAGIC {
            return Err(Malformed);
        }
        let part = from.bytes()?;
        let mut own = Reader(&part);
        let (flags, current, maximum) = (own.u32()?, own.u64()?, own.u64()?);
        let limit = |limit: u64| (limit != u64::MAX).then_some(limit);
        let files = FileLimit { current: limit(current), maximum: limit(maximum) };
        let files = (flags & 8 != 0).then_some(files);
        let part = from.bytes()?;
        let daemon = DaemonImage::read(&mut Reader(&part))?;
        let entries = from.many(4, |from| {
            let part = from.bytes()?;
            EntryImage::read(&mut Reader(&part))
        })?;
        let baseline = Baseline { files, reset_oom: flags & 4 != 0 };
        Ok(Image { baseline, closing: flags & 1 != 0, adopting: flags & 2 != 0, daemon, entries })
    }

    /// What children must have undone.
    pub(super) fn baseline(&self) -> Baseline {
        self.baseline
    }

    /// Every descriptor that the next program needs.
    pub(super) fn numbers(&self) -> Vec<RawFd> {
        let daemon = &self.daemon;
        let mut all = vec![daemon.pidfd, daemon.socket, daemon.program];
        all.extend(daemon.upgrade.into_iter().chain(daemon.pipe));
        for entry in &self.entries {
            all.extend(entry.fds.iter().map(|(_, fd)| *fd));
            all.extend(entry.process.iter().map(|process| process.pidfd));
        }
        all
    }
}

impl DaemonImage {
    fn read(from: &mut Reader<'_>) -> Result<DaemonImage, Malformed> {
        let (pid, pidfd, socket, program) = (from.u32()?, from.i32()?, from.i32()?, from.i32()?);
        let (upgrade, pipe) = (maybe(from.i32()?), maybe(from.i32()?));
        let (flags, starts) = (from.u32()?, from.u64()?);
        let aside = match from.0.is_empty() {
            true => Vec::new(),
            false => from.many(16, |from| Ok((from.u64()?, from.u64()?)))?,
        };
        Ok(DaemonImage {
            pid,
            pidfd,
            socket,
            program,
            upgrade,
            pipe,
            ready: flags & 1 != 0,
            ever_ready: flags & 2 != 0,
            adopted: flags & 4 != 0,
            pings: flags & 8 != 0,
            starts,
            aside,
            all_aside: flags & 16 != 0,
        })
    }
}

impl EntryImage {
    fn write(&self, to: &mut Writer) {
        to.u64(self.id).u64(self.generation).u64(self.token);
        to.count(self.fds.len());
        for (tag, fd) in &self.fds {
            to.u8(tag.kind).u32(tag.index).i32(*fd);
        }
        to.bytes(&self.blob);
        let Some(process) = &self.process else {
            to.u32(0);
            return;
        };
        to.u32(1 | bits(&[process.adopted, process.ended.is_some()]) << 1);
        to.u32(process.pid).i32(process.pidfd).u64(process.spawned_ms);
        if let Some((status, exit_ms, usage)) = &process.ended {
            to.i32(*status).u64(*exit_ms).span(usage.user).span(usage.system).u64(usage.max_rss_kib);
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<EntryImage, Malformed> {
        let (id, generation, token) = (from.u64()?, from.u64()?, from.u64()?);
        let fds = from.many(9, |from| Ok((Tag::new(from.u8()?, from.u32()?), from.i32()?)))?;
        let blob = from.bytes()?;
        let flags = from.u32()?;
        let process = match flags & 1 {
            0 => None,
            _ => Some(ProcessImage {
                pid: from.u32()?,
                pidfd: from.i32()?,
                adopted: flags & 2 != 0,
                spawned_ms: from.u64()?,
                ended: match flags & 4 {
                    0 => None,
                    _ => {
                        let (status, exit_ms) = (from.i32()?, from.u64()?);
                        let (user, system, max_rss_kib) = (from.span()?, from.span()?, from.u64()?);
                        Some((status, exit_ms, Spent { user, system, max_rss_kib }))
                    }
                },
            }),
        };
        Ok(EntryImage { id, generation, token, process, fds, blob })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn image() -> Image {
        let usage = Spent { user: Duration::from_millis(1), system: Duration::ZERO, max_rss_kib: 5 };
        let alive = ProcessImage { pid: 5, pidfd: 70, adopted: true, spawned_ms: 8, ended: None };
        let dead = ProcessImage { ended: Some((-1, 9, usage)), adopted: false, ..alive.clone() };
        let entry =
            EntryImage { id: 1, generation: 2, token: 2, blob: b"{}".to_vec(), ..EntryImage::default() };
        Image {
            baseline: Baseline {
                files: Some(FileLimit { current: Some(1024), maximum: None }),
                reset_oom: true,
            },
            closing: true,
            adopting: false,
            daemon: DaemonImage {
                pid: 3,
                pidfd: 66,
                socket: 67,
                upgrade: Some(68),
                ready: true,
                aside: vec![(2, 77)],
                all_aside: true,
                ..<_>::default()
            },
            entries: vec![
                EntryImage {
                    process: Some(alive),
                    fds: vec![(Tag::new(Tag::OUT_PIPE, 2), 71)],
                    ..entry.clone()
                },
                EntryImage { id: 2, process: Some(dead), ..entry.clone() },
                EntryImage { id: 3, ..entry },
            ],
        }
    }

    #[test]
    fn a_keeper_comes_back_from_its_image() {
        assert_eq!(Image::decode(&image().encode()), Ok(image()));
    }

    #[test]
    fn a_cut_image_is_refused_and_a_longer_one_read() {
        let bytes = image().encode();
        for len in 0..bytes.len() {
            assert_eq!(Image::decode(&bytes[..len]), Err(Malformed), "cut at {len}");
        }
        let longer = [&bytes[..], b"later versions say more"].concat();
        assert_eq!(Image::decode(&longer), Ok(image()));
    }

    /// Frozen: a later keeper takes over from one of this version.
    #[test]
    fn the_bytes_of_version_1_stay() {
        let empty = Image {
            baseline: Baseline::default(),
            closing: false,
            adopting: true,
            daemon: DaemonImage { pid: 1, pidfd: 2, socket: 3, program: 4, starts: 5, ..<_>::default() },
            entries: vec![EntryImage { id: 7, generation: 1, ..<_>::default() }],
        };
        let hex: String = empty.encode().iter().map(|byte| format!("{byte:02x}")).collect();
        let golden = concat!(
            "316b6d70",
            "140000000200000000000000000000000000000000000000",
            "2400000001000000020000000300000004000000ffffffffffffffff000000000500000000000000",
            "01000000",
            "24000000070000000000000001000000000000000000000000000000000000000000000000000000",
        );
        assert_eq!(hex, golden);
    }
}
