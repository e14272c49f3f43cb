//! The log files: opened when first needed, written at offsets the caller records before, honest about what
//! others do to them. When a file is to be put aside is decided in `rotate`.
//!
//! No O_APPEND: a batch must be repeatable at its offset. So the end is asked for before each batch, which
//! honours truncation and appends from outside; between that question and the write a truncation leaves a gap
//! of NULs, which is documented. Emptying through [`Files::truncate`] has no such window.

use super::error::LogError;
use super::marks::Marks;
use super::record::Place;
use crate::sys::clock;
use rustix::io::Errno;
use std::collections::HashMap;
use std::fs::{DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// How long a renamed file goes on being written to, at most.
const RENAME_CHECK_MS: u64 = 250;

/// All files of the pump, by path.
#[derive(Debug, Default)]
pub struct Files {
    files: HashMap<PathBuf, LogFile>,
}

/// One path.
#[derive(Debug, Default)]
struct LogFile {
    users: usize,
    /// Token of the stream that must repeat its batch before anybody else may write.
    reserved: Option<u64>,
    handle: Option<Handle>,
}

#[derive(Debug)]
struct Handle {
    file: File,
    device: u64,
    inode: u64,
    /// A regular file; others (terminals, FIFOs) have no offsets.
    seekable: bool,
    /// What an unseekable file did not take yet.
    owed: Vec<u8>,
    checked_ms: u64,
    marks: Marks,
}

impl Files {
    /// One more stream writes here.
    pub fn enlist(&mut self, path: &Path) {
        self.files.entry(path.to_owned()).or_default().users += 1;
    }

    /// The stream `token` does so no longer; the last one closes the file.
    pub fn release(&mut self, path: &Path, token: u64) {
        self.unreserve(path, token);
        if let Some(file) = self.files.get_mut(path) {
            file.users = file.users.saturating_sub(1);
            if file.users == 0 {
                self.files.remove(path);
            }
        }
    }

    /// More than one stream writes here.
    pub fn is_shared(&self, path: &Path) -> bool {
        self.files.get(path).is_some_and(|file| file.users > 1)
    }

    /// It is open and has offsets, which a terminal and a FIFO have not.
    pub fn is_regular(&self, path: &Path) -> bool {
        self.files.get(path).and_then(|file| file.handle.as_ref()).is_some_and(|handle| handle.seekable)
    }

    /// From now on only the stream `token` may write here: it has a batch to repeat.
    pub fn reserve(&mut self, path: &Path, token: u64) {
        if let Some(file) = self.files.get_mut(path) {
            file.reserved.get_or_insert(token);
        }
    }

    /// The batch was repeated.
    pub fn unreserve(&mut self, path: &Path, token: u64) {
        if let Some(file) = self.files.get_mut(path) {
            file.reserved = file.reserved.filter(|owner| *owner != token);
        }
    }

    /// The end of the file as it is now: opens it if need be, again if the path leads elsewhere by now.
    pub fn place(&mut self, path: &Path, token: u64) -> Result<Place, LogError> {
        let failed = |source| LogError::Open { path: path.to_owned(), source };
        let Some(file) = self.files.get_mut(path) else {
            return Err(failed(io::ErrorKind::NotFound.into()));
        };
        if file.reserved.is_some_and(|owner| owner != token) {
            return Err(LogError::Reserved { path: path.to_owned() });
        }
        if file.handle.as_mut().is_some_and(|handle| handle.is_left_behind(path)) {
            file.handle = None;
        }
        let handle = match &mut file.handle {
            Some(handle) => handle,
            none => none.insert(Handle::open(path).map_err(failed)?),
        };
        let offset = if handle.seekable { handle.file.metadata().map_err(failed)?.len() } else { 0 };
        Ok(Place { inode: handle.inode, offset })
    }

    /// Where a batch recorded for `recorded` belongs now: there, unless that file is gone or was cut.
    pub fn place_again(&mut self, path: &Path, token: u64, recorded: Place) -> Result<Place, LogError> {
        let end = self.place(path, token)?;
        Ok(if end.inode == recorded.inode && end.offset >= recorded.offset { recorded } else { end })
    }

    /// Writes at a place that [`Files::place`] gave.
    pub fn write(&mut self, path: &Path, place: Place, bytes: &[u8]) -> Result<(), LogError> {
        let failed = |source| LogError::Write { path: path.to_owned(), source };
        let handle = self.files.get_mut(path).and_then(|file| file.handle.as_mut());
        let handle = handle.ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
        if handle.seekable {
            handle.file.write_all_at(bytes, place.offset).map_err(failed)?;
            handle.marks.note(place.offset, clock::now().wall_ms);
            return Ok(());
        }
        handle.push(bytes).map_err(failed)
    }

    /// Nobody may be in the middle of a batch, and the path must lead to the file that is open: then it is closed,
    /// moved by `aside`, and an empty one of the same mode put in its place. `None`: not now.
    pub fn replace<T>(
        &mut self,
        path: &Path,
        aside: impl FnOnce(&Path) -> io::Result<T>,
    ) -> io::Result<Option<T>> {
        let Some(file) = self.files.get_mut(path).filter(|file| file.reserved.is_none()) else {
            return Ok(None);
        };
        let real = std::fs::canonicalize(path)?;
        let facts = real.metadata()?;
        let open = file.handle.as_ref();
        if !facts.is_file() || open.is_some_and(|h| (h.device, h.inode) != (facts.dev(), facts.ino())) {
            // Somebody else has just rotated it.
            file.handle = None;
            return Ok(None);
        }
        let moved = aside(&real)?;
        file.handle = None;
        // Without it, the next batch makes one, for its owner only.
        if let Ok(empty) = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&real) {
            empty.set_permissions(facts.permissions())?;
        }
        Ok(Some(moved))
    }

    /// Takes back what a failed batch of `length` bytes may have left at `place`, unless others wrote behind it.
    /// `false`: it is still there.
    pub fn take_back(&mut self, path: &Path, place: Place, length: usize) -> bool {
        let Some(handle) = self.files.get(path).and_then(|file| file.handle.as_ref()) else { return true };
        let Ok(end) = handle.file.metadata().map(|facts| facts.len()) else { return false };
        let ours = end > place.offset && end <= place.offset + length as u64;
        !handle.seekable || !ours || handle.file.set_len(place.offset).is_ok()
    }

    /// Empties a file, whether streams write to it or not; returns the bytes freed. A missing one has none.
    pub fn truncate(path: &Path) -> io::Result<u64> {
        let file = match OpenOptions::new().write(true).custom_flags(open_flags()).open(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(0),
            opened => opened?,
        };
        let facts = file.metadata()?;
        if facts.is_file() {
            file.set_len(0)?;
        }
        Ok(facts.len())
    }

    /// The file that is being written, and its length; that at the path if none is open.
    pub fn end(&self, path: &Path) -> Place {
        let open = self.files.get(path).and_then(|file| file.handle.as_ref());
        let facts = open.map_or_else(|| std::fs::metadata(path), |handle| handle.file.metadata());
        facts.map_or_else(|_none| Place::default(), |f| Place { inode: f.ino(), offset: f.len() })
    }

    /// Closes all files; each is opened again when it is needed.
    pub fn reopen(&mut self) {
        for file in self.files.values_mut() {
            file.handle = None;
        }
    }
}

impl Handle {
    fn open(path: &Path) -> io::Result<Handle> {
        let attempt = || {
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
            seekable: facts.is_file(),
            owed: Vec::new(),
            checked_ms: clock::now().boot_ms,
            marks: Marks::new(path, facts.ino()),
        })
    }

    /// The path leads to another file now, or to none. Looked at now and then only.
    fn is_left_behind(&mut self, path: &Path) -> bool {
        let now = clock::now().boot_ms;
        if !self.seekable || now.saturating_sub(self.checked_ms) < RENAME_CHECK_MS {
            return false;
        }
        self.checked_ms = now;
        let same = |facts: Metadata| (facts.dev(), facts.ino()) == (self.device, self.inode);
        !std::fs::metadata(path).is_ok_and(same)
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
fn open_flags() -> i32 {
    (rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY).bits().cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(path: &Path) -> Files {
        let mut files = Files::default();
        files.enlist(path);
        files
    }

    #[test]
    fn a_file_and_its_directories_are_made_for_their_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b/x.log");
        let place = files(&path).place(&path, 1).unwrap();
        assert_eq!(place.offset, 0);
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o600);
        assert_eq!(path.parent().unwrap().metadata().unwrap().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_batch_goes_behind_what_others_appended_and_to_the_start_of_a_cut_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.log");
        let mut files = files(&path);
        let mut put = |bytes: &[u8]| {
            let place = files.place(&path, 1).unwrap();
            files.write(&path, place, bytes).unwrap();
        };
        put(b"one\n");
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"foreign\n").unwrap();
        put(b"two\n");
        assert_eq!(std::fs::read(&path).unwrap(), b"one\nforeign\ntwo\n");
        assert_eq!(Files::truncate(&path).unwrap(), 16);
        put(b"three\n");
        assert_eq!(std::fs::read(&path).unwrap(), b"three\n");
    }

    #[test]
    fn a_failed_batch_is_taken_back_unless_others_wrote_behind_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.log");
        std::fs::write(&path, "kept").unwrap();
        let mut files = files(&path);
        let place = files.place(&path, 1).unwrap();
        files.write(&path, place, b"half").unwrap();
        assert!(files.take_back(&path, place, 8));
        assert_eq!(std::fs::read(&path).unwrap(), b"kept");
        files.write(&path, place, b"half and foreign").unwrap();
        assert!(files.take_back(&path, place, 8));
        assert_eq!(std::fs::read(&path).unwrap(), b"kepthalf and foreign");
    }

    #[test]
    fn a_batch_is_repeated_in_place_only_in_the_same_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.log");
        std::fs::write(&path, "0123456789").unwrap();
        let mut files = files(&path);
        let end = files.place(&path, 1).unwrap();
        let recorded = Place { offset: 4, ..end };
        assert_eq!(files.place_again(&path, 1, recorded).unwrap(), recorded);
        let elsewhere = Place { inode: end.inode + 1, offset: 4 };
        assert_eq!(files.place_again(&path, 1, elsewhere).unwrap(), end);
        Files::truncate(&path).unwrap();
        assert_eq!(files.place_again(&path, 1, recorded).unwrap(), Place { offset: 0, ..end });
    }

    #[test]
    fn a_reserved_file_waits_for_its_owner() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.log");
        let mut files = files(&path);
        files.enlist(&path);
        files.reserve(&path, 1);
        assert!(matches!(files.place(&path, 2), Err(LogError::Reserved { .. })));
        assert!(files.place(&path, 1).is_ok());
        files.release(&path, 1);
        assert!(files.place(&path, 2).is_ok());
    }

    #[test]
    fn a_device_that_is_full_is_an_error_and_a_slow_fifo_is_owed_the_rest() {
        let dir = tempfile::tempdir().unwrap();
        let full = Path::new("/dev/full");
        let mut at_full = files(full);
        let place = at_full.place(full, 1).unwrap();
        assert!(at_full.write(full, place, b"x").is_err());

        let fifo = dir.path().join("fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        let mut to_fifo = files(&fifo);
        assert!(to_fifo.place(&fifo, 1).is_err(), "nobody reads it");
        let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NONBLOCK;
        let reader = rustix::fs::open(&fifo, flags, rustix::fs::Mode::empty()).unwrap();
        let place = to_fifo.place(&fifo, 1).unwrap();
        let sent = vec![b'z'; 100_000];
        to_fifo.write(&fifo, place, &sent).unwrap();
        assert!(to_fifo.write(&fifo, place, b"more").is_err(), "it still owes");
        let mut got = 0;
        let mut buffer = vec![0; 100_000];
        while got < sent.len() + 4 {
            match rustix::io::read(&reader, &mut buffer[..]) {
                Ok(count) => got += count,
                Err(Errno::AGAIN) => {
                    to_fifo.write(&fifo, place, if got == sent.len() { b"more" } else { b"" }).unwrap()
                }
                Err(e) => panic!("{e}"),
            }
        }
    }
}
