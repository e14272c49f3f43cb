//! One open log file: written at offsets, or whatever it takes where there are none.

use super::marks::Marks;
use crate::model::FileId;
use crate::sys::clock;
use crate::sys::fault;
use rustix::io::Errno;
use std::fs::{DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

/// How long a renamed file goes on being written to, at most.
const RENAME_CHECK_MS: u64 = 250;

/// An open log file.
#[derive(Debug)]
pub(super) struct Handle {
    pub(super) file: File,
    pub(super) device: u64,
    pub(super) inode: u64,
    pub(super) id: FileId,
    /// A regular file; others (terminals, FIFOs) have no offsets.
    pub(super) seekable: bool,
    /// What an unseekable file did not take yet.
    owed: Vec<u8>,
    checked_ms: u64,
    marks: Marks,
}

impl Handle {
    /// Opens it, makes it and its directories if need be.
    pub(super) fn open(path: &Path) -> io::Result<Handle> {
        let attempt = || {
            fault::at("file.open")?;
            OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .custom_flags(open_flags())
                .open(path)
        };
        let file = match (attempt(), path.parent()) {
            (Err(e), Some(parent)) if e.kind() == io::ErrorKind::NotFound => {
                DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
                attempt()?
            }
            (opened, _) => opened?,
        };
        let facts = file.metadata()?;
        Ok(Handle {
            file,
            device: facts.dev(),
            inode: facts.ino(),
            id: FileId::of(&facts),
            seekable: facts.is_file(),
            owed: Vec::new(),
            checked_ms: clock::now().boot_ms,
            marks: Marks::new(path, facts.ino()),
        })
    }

    /// The path leads to another file now, or to none. Looked at now and then only.
    pub(super) fn is_left_behind(&mut self, path: &Path) -> bool {
        let now = clock::now().boot_ms;
        if !self.seekable || now.saturating_sub(self.checked_ms) < RENAME_CHECK_MS {
            return false;
        }
        self.checked_ms = now;
        let same = |facts: Metadata| (facts.dev(), facts.ino()) == (self.device, self.inode);
        !std::fs::metadata(path).is_ok_and(same)
    }

    /// Writes at an offset, if it has any.
    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        if !self.seekable {
            return self.push(bytes);
        }
        fault::at("file.write")?;
        let (head, tail) = bytes.split_at(fault::half(bytes.len()));
        self.file.write_all_at(head, offset)?;
        fault::pass("pump.half_written");
        self.file.write_all_at(tail, offset + head.len() as u64)?;
        self.marks.note(offset, clock::now().wall_ms);
        Ok(())
    }

    /// Writes to a file without offsets. What it does not take now is owed and goes first the next time;
    /// while something is owed, nothing more is accepted.
    fn push(&mut self, bytes: &[u8]) -> io::Result<()> {
        let owed = std::mem::take(&mut self.owed);
        let rest = write_some(&mut self.file, &owed)?;
        self.owed = owed.get(rest..).unwrap_or_default().to_vec();
        if !self.owed.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let rest = write_some(&mut self.file, bytes)?;
        self.owed = bytes.get(rest..).unwrap_or_default().to_vec();
        Ok(())
    }
}

/// How many bytes were taken before it would have blocked.
fn write_some(file: &mut File, bytes: &[u8]) -> io::Result<usize> {
    let mut done = 0;
    while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
        match file.write(rest) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) if done > 0 || Errno::from_io_error(&e) == Some(Errno::AGAIN) => break,
            Err(e) => return Err(e),
        }
    }
    Ok(done)
}

/// Never wait for a FIFO's reader, never get a controlling terminal.
pub(super) fn open_flags() -> i32 {
    (rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY).bits().cast_signed()
}
