//! Writes the marks of one log file (`model::mark`): one small append at most every [`EVERY_MS`], after the log's own
//! write. Nobody depends on them, so what fails here is left out; a mark lost with a killed daemon costs precision.

use crate::model::mark::{Mark, SIZE, sidecar};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Lines are dated to this at worst: finer than people tell logs apart, and 240 bytes a second.
const EVERY_MS: i64 = 100;
/// A file of marks is thinned when it gets larger: about an hour of a log that never pauses.
const LARGEST: u64 = 1 << 20;

/// The marks of one opened log file.
#[derive(Debug)]
pub struct Marks {
    path: PathBuf,
    inode: u64,
    last_ms: Option<i64>,
    state: State,
}

#[derive(Debug)]
enum State {
    Closed,
    Open {
        file: File,
        length: u64,
    },
    /// It cannot be written; not tried again while the log is open.
    Given,
}

impl Marks {
    /// For the log at this path, which leads to this file now.
    pub fn new(log: &Path, inode: u64) -> Marks {
        Marks { path: sidecar(log), inode, last_ms: None, state: State::Closed }
    }

    /// Something was written at `offset` at `at_ms`.
    pub fn note(&mut self, offset: u64, at_ms: i64) {
        let fresh = self.last_ms.is_some_and(|last| (last..last + EVERY_MS).contains(&at_ms));
        if fresh && offset > 0 {
            return;
        }
        self.last_ms = Some(at_ms);
        if let Err(error) = self.append(Mark { inode: self.inode, offset, at_ms }) {
            tracing::debug!(%error, path = %self.path.display(), "failed to mark a log's time");
            self.state = State::Given;
        }
    }

    fn append(&mut self, mark: Mark) -> io::Result<()> {
        if matches!(self.state, State::Closed) {
            let nofollow = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
            let mut options = OpenOptions::new();
            let options = options.append(true).create(true).mode(0o600).custom_flags(nofollow);
            let file = options.open(&self.path)?;
            let length = file.metadata()?.len();
            // A mark that was cut would shift all that follow it.
            file.set_len(length - length % SIZE as u64)?;
            self.state = State::Open { length, file };
        }
        let State::Open { file, length } = &mut self.state else { return Ok(()) };
        file.write_all(&mark.to_bytes())?;
        *length += SIZE as u64;
        if *length > LARGEST {
            thin_file(&self.path)?;
            self.state = State::Closed;
        }
        Ok(())
    }
}

fn thin_file(path: &Path) -> io::Result<()> {
    let marks: Vec<Mark> = Mark::all(&std::fs::read(path)?).collect();
    let kept = thin(&marks, LARGEST as usize / SIZE / 2);
    let bytes: Vec<u8> = kept.iter().flat_map(|mark| mark.to_bytes()).collect();
    let draft = path.with_extension("idx.new");
    std::fs::remove_file(&draft)
        .or_else(|e| if e.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(e) })?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    file.write_all(&bytes)?;
    std::fs::rename(&draft, path)
}

/// No more than `limit` marks, so far apart that time is lost evenly: what is dropped is close behind a kept one.
/// Where there are more files than that, the oldest are forgotten.
fn thin(marks: &[Mark], limit: usize) -> Vec<Mark> {
    let mut apart = EVERY_MS;
    loop {
        apart = apart.saturating_mul(2);
        let mut kept: Vec<Mark> = Vec::new();
        let mut before: Option<&Mark> = None;
        for mark in marks {
            let begins = before.is_none_or(|before| mark.begins_anew(before));
            let close = kept.last().is_some_and(|last| mark.at_ms < last.at_ms.saturating_add(apart));
            if begins || !close {
                kept.push(*mark);
            }
            before = Some(mark);
        }
        if kept.len() <= limit || apart > 1 << 40 {
            return kept.split_off(kept.len().saturating_sub(limit));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(path: &Path) -> Vec<(u64, i64)> {
        let bytes = std::fs::read(sidecar(path)).unwrap_or_default();
        Mark::all(&bytes).map(|mark| (mark.offset, mark.at_ms)).collect()
    }

    #[test]
    fn a_mark_is_made_now_and_then_and_at_each_new_beginning() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("x.log");
        let mut writer = Marks::new(&log, 5);
        for (offset, at) in [(0, 1000), (10, 1001), (20, 1099), (30, 1100), (0, 1101), (40, 900)] {
            writer.note(offset, at);
        }
        assert_eq!(marks(&log), [(0, 1000), (30, 1100), (0, 1101), (40, 900)]);
        Marks::new(&log, 5).note(50, 901);
        assert_eq!(marks(&log).len(), 5, "the next daemon goes on");
    }

    #[test]
    fn a_place_that_cannot_be_written_is_given_up() {
        let mut writer = Marks::new(Path::new("/proc/nowhere/x.log"), 5);
        writer.note(0, 1);
        writer.note(9, 1000);
        assert!(matches!(writer.state, State::Given));
    }

    #[test]
    fn thinning_keeps_beginnings_and_pauses() {
        let mark = |inode, offset, at_ms| Mark { inode, offset, at_ms };
        let mut all: Vec<Mark> = (0..1000).map(|i| mark(1, i * 10, i.cast_signed() * 100)).collect();
        all.push(mark(1, 20_000, 10_000_000));
        all.push(mark(2, 0, 10_000_050));
        let kept = thin(&all, 200);
        assert!(kept.len() <= 200 && kept.len() > 50, "{}", kept.len());
        assert_eq!(kept[0], all[0]);
        assert_eq!(kept[kept.len() - 2..], all[1000..]);
    }

    #[test]
    fn a_long_file_of_marks_is_thinned_while_it_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("x.log");
        let mut writer = Marks::new(&log, 5);
        let most = LARGEST / SIZE as u64 + 10;
        for n in 0..most {
            writer.note(n * 100, n.cast_signed() * EVERY_MS);
        }
        let kept = marks(&log);
        assert!((kept.len() as u64) < most * 2 / 3);
        assert_eq!(kept.last(), Some(&((most - 1) * 100, (most.cast_signed() - 1) * EVERY_MS)));
    }
}
