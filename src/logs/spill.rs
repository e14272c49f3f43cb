//! Memory for what a stream's file does not take: a memfd, written and read through two open file descriptions.
//!
//! ```text
//!  pipe ──splice──▶ [ read … written ] ──splice──▶ staging
//! ```
//!
//! The kernel moves bytes and file position in one step that SIGKILL cannot cut, so the positions of the two
//! descriptions, both held by the keeper, say exactly what came in and what went out. They only ever grow; what
//! was read is given back to the system by punching holes.
//!
//! When no more may be held and bytes are to be dropped, a gap is opened behind the last line: what arrives is still
//! written here, so that the position counts it, then its lines are counted and it is forgotten. When all before
//! the gap has been read, the gap ends with the last line that arrived, and its last bytes become the marker line
//! that says how much is missing.

use super::ledger::{Facts, Ledger};
use super::spec::SpillFiles;
use crate::sys::pipe::{self, Shift};
use memchr::{memchr_iter, memrchr};
use rustix::fs::{FallocateFlags, SeekFrom, fallocate, seek};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// Bytes of nothing at the start of a gap: room for the marker however little is dropped.
const PAD: u64 = 4096;
/// Memory is given back in pages.
const PAGE: u64 = 4096;
/// How far back the end of a line is looked for.
const LOOK_BACK: u64 = 64 << 10;
/// Dropped bytes without a line end are not kept for longer than this.
const LONGEST: u64 = 1 << 20;

/// The spill of one stream.
#[derive(Debug)]
pub struct Spill {
    writer: OwnedFd,
    reader: OwnedFd,
    ledger: Ledger,
    facts: Facts,
    written: u64,
    read: u64,
    /// Up to here memory was given back.
    freed: u64,
}

/// What giving led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Given {
    /// Nothing is left.
    All(usize),
    /// Staging is full.
    Full(usize),
}

impl Spill {
    /// Takes over what the keeper holds, or begins.
    pub fn attach(files: SpillFiles, ledger: Ledger) -> io::Result<Spill> {
        let SpillFiles { writer, reader } = files;
        let (written, read) = (seek(&writer, SeekFrom::Current(0))?, seek(&reader, SeekFrom::Current(0))?);
        let facts = ledger.facts();
        let mut spill = Spill { writer, reader, ledger, facts, written, read, freed: 0 };
        if spill.has_gap() && spill.written < facts.gap_data {
            // The gap was opened, its padding not yet skipped.
            spill.skip_padding()?;
        }
        if spill.has_gap() && spill.read > facts.gap_from {
            // The gap was closed, which was not yet noted.
            spill.forget_gap();
        }
        Ok(spill)
    }

    /// There is nothing to be read.
    pub fn is_empty(&self) -> bool {
        self.read == self.written && !self.has_gap()
    }

    /// Bytes that it holds.
    pub fn held(&self) -> u64 {
        let dropped = if self.has_gap() { self.facts.counted_to - self.facts.gap_from } else { 0 };
        (self.written - self.read).saturating_sub(dropped)
    }

    /// Bytes and lines dropped in the life of the stream.
    pub fn dropped(&self) -> (u64, u64) {
        let facts = &self.facts;
        let open = if self.has_gap() { self.gap_bytes(self.gap_end()) } else { 0 };
        (facts.dropped + open, facts.dropped_lines + facts.lines)
    }

    /// Bytes that come are dropped.
    pub fn is_dropping(&self) -> bool {
        self.has_gap() && self.facts.gap_to == 0
    }

    /// Takes up to `most` bytes out of a pipe; those that are dropped are counted with [`Spill::count`].
    pub fn take(&mut self, pipe: impl AsFd, most: usize) -> io::Result<Shift> {
        let shift = pipe::shift(pipe, &self.writer, most)?;
        if let Shift::Moved(bytes) = shift {
            self.written += bytes as u64;
        }
        Ok(shift)
    }

    /// Ends the line that the bytes stand in; `staged_midline`: whether they do if there are none here. `false`: that would
    /// have to be known.
    pub fn end_line(&mut self, staged_midline: Option<bool>) -> io::Result<bool> {
        let midline =
            if self.read == self.written { staged_midline } else { Some(!self.ends_line(self.written)?) };
        if midline == Some(true) {
            self.written += rustix::io::write(&self.writer, b"\n")? as u64;
        }
        Ok(midline.is_some())
    }

    /// Moves bytes to staging; closes the gap when all before it has been moved.
    pub fn give(&mut self, staging: &OwnedFd, buffer: &mut Vec<u8>) -> io::Result<Given> {
        let mut total = 0;
        loop {
            let end = if self.has_gap() { self.facts.gap_from } else { self.written };
            let left = usize::try_from(end - self.read).unwrap_or(usize::MAX);
            if left == 0 && !self.has_gap() {
                return Ok(Given::All(total));
            }
            if left == 0 {
                if pipe::is_full(staging)? {
                    return Ok(Given::Full(total));
                }
                self.close_gap(buffer)?;
                continue;
            }
            match pipe::shift(&self.reader, staging, left)? {
                Shift::Moved(bytes) => {
                    total += bytes;
                    self.read += bytes as u64;
                }
                Shift::Blocked => return Ok(Given::Full(total)),
                Shift::Ended => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
    }

    /// From now on what comes is dropped, with the line that it would have gone on.
    pub fn open_gap(&mut self, errno: i32, buffer: &mut Vec<u8>) -> io::Result<()> {
        let errno = u64::from(errno.unsigned_abs());
        if self.has_gap() {
            // Another one before the first is closed: both are one.
            self.commit(Facts { gap_to: 0, errno, ..self.facts });
            return Ok(());
        }
        let from = self.read.max(self.written.saturating_sub(LOOK_BACK));
        let tail = self.look(from, self.written, buffer)?;
        let cut = memrchr(b'\n', tail).map(|at| from + at as u64 + 1);
        let gap_data = self.written + PAD;
        self.commit(Facts {
            gap_from: cut.unwrap_or(self.written),
            gap_data,
            counted_to: gap_data,
            lines: 0,
            gap_to: 0,
            errno,
            midline: u64::from(cut.is_none()),
            ..self.facts
        });
        self.skip_padding()
    }

    /// Counts the lines of what was dropped, then forgets it.
    pub fn count(&mut self, buffer: &mut Vec<u8>) -> io::Result<()> {
        let from = self.facts.counted_to;
        if !self.is_dropping() || from == self.written {
            return Ok(());
        }
        let bytes = self.look(from, self.written, buffer)?;
        let whole = match memrchr(b'\n', bytes) {
            Some(last) => last as u64 + 1,
            None if bytes.len() as u64 > LONGEST => bytes.len() as u64,
            None => return Ok(()),
        };
        let lines = memchr_iter(b'\n', bytes).count() as u64;
        let facts = self.facts;
        self.commit(Facts { counted_to: from + whole, lines: facts.lines + lines, ..facts });
        self.punch(from, from + whole)
    }

    /// Gives memory back. The last `staged` bytes that were read may still be looked at in it.
    pub fn free(&mut self, staged: usize) -> io::Result<()> {
        let to = self.read.saturating_sub(staged as u64) / PAGE * PAGE;
        if to > self.freed {
            self.punch(self.freed, to)?;
            self.freed = to;
        }
        Ok(())
    }

    fn close_gap(&mut self, buffer: &mut Vec<u8>) -> io::Result<()> {
        if self.facts.gap_to == 0 {
            self.count(buffer)?;
            self.commit(Facts { gap_to: self.gap_end(), ..self.facts });
        }
        let facts = self.facts;
        let marker = marker(self.gap_bytes(facts.gap_to), &facts);
        let at = facts.gap_to - marker.len() as u64;
        rustix::io::pwrite(&self.writer, marker.as_bytes(), at)?;
        self.read = seek(&self.reader, SeekFrom::Start(at))?;
        self.forget_gap();
        Ok(())
    }

    /// Where a gap that is still open would end: with the last line.
    fn gap_end(&self) -> u64 {
        match self.facts {
            Facts { gap_to: 1.., .. } => self.facts.gap_to,
            Facts { counted_to, gap_data, .. } if counted_to > gap_data => counted_to,
            _ => self.written.max(self.facts.gap_data),
        }
    }

    fn gap_bytes(&self, end: u64) -> u64 {
        let facts = &self.facts;
        (facts.gap_data - PAD - facts.gap_from) + (end - facts.gap_data)
    }

    fn forget_gap(&mut self) {
        let facts = self.facts;
        self.commit(Facts {
            dropped: facts.dropped + self.gap_bytes(facts.gap_to),
            dropped_lines: facts.dropped_lines + facts.lines,
            ..Facts::default()
        });
    }

    fn has_gap(&self) -> bool {
        self.facts.gap_data != 0
    }

    fn skip_padding(&mut self) -> io::Result<()> {
        self.written = seek(&self.writer, SeekFrom::Start(self.facts.gap_data))?;
        Ok(())
    }

    fn commit(&mut self, facts: Facts) {
        self.ledger.commit(&facts);
        self.facts = facts;
    }

    fn ends_line(&self, at: u64) -> io::Result<bool> {
        let mut last = [0];
        rustix::io::pread(&self.writer, &mut last, at.saturating_sub(1))?;
        Ok(last == *b"\n")
    }

    /// The bytes of a part.
    fn look<'a>(&self, from: u64, to: u64, buffer: &'a mut Vec<u8>) -> io::Result<&'a [u8]> {
        buffer.resize(usize::try_from(to - from).unwrap_or(0), 0);
        let mut done = 0;
        while let Some(room) = buffer.get_mut(done..).filter(|room| !room.is_empty()) {
            match rustix::io::pread(&self.writer, &mut *room, from + done as u64)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                bytes => done += bytes,
            }
        }
        Ok(buffer)
    }

    /// Whole pages between these positions, back to the system.
    fn punch(&self, from: u64, to: u64) -> io::Result<()> {
        let (from, to) = (from / PAGE * PAGE, to / PAGE * PAGE);
        if to > from {
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            fallocate(&self.writer, flags, from, to - from)?;
        }
        Ok(())
    }
}

/// The line in place of what was dropped. The same facts always give the same line.
fn marker(bytes: u64, facts: &Facts) -> String {
    let glue = if facts.midline == 0 { "" } else { "\n" };
    let reason = match i32::try_from(facts.errno) {
        Ok(errno @ 1..) => {
            let told = io::Error::from_raw_os_error(errno).to_string();
            told.split(" (os error").next().unwrap_or_default().to_lowercase()
        }
        Ok(_) | Err(_) => "the file takes nothing".to_owned(),
    };
    format!("{glue}[pmon] {bytes} bytes dropped: {reason}\n")
}
