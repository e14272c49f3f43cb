//! The log files: opened when first needed, written at offsets the caller records before, honest about what
//! others do to them. When a file is to be put aside is decided in `rotate`; what is known of them is in `shelf`.
//!
//! No O_APPEND: a batch must be repeatable at its offset. So the end is asked for before each batch, which
//! honours truncation and appends from outside; between that question and the write a truncation leaves a gap
//! of NULs, which is documented. Emptying through [`Files::truncate`] has no such window.

use super::error::LogError;
use super::handle::{Handle, open_flags};
use super::record::Place;
use super::shelf::{LogFile, Shelf};
use crate::sys::fault;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{Arc, Mutex};

/// All files of the pump, by path. Clones are the same files. The lock is never held while the disk is asked.
#[derive(Debug, Clone, Default)]
pub struct Files {
    pub(super) shelf: Arc<Mutex<Shelf>>,
}

impl Files {
    /// The end of the file as it is now: opens it if need be, again if the path leads elsewhere by now. The file is
    /// reserved for `token`'s batch.
    pub fn place(&self, path: &Path, token: u64) -> Result<Place, LogError> {
        let occupied =
            self.lock().files.get_mut(path).is_some_and(|file| *file.reserved.get_or_insert(token) != token);
        if occupied {
            return Err(match self.hanging(std::iter::once(path)) {
                Some((path, since_ms)) => LogError::Hangs { path, since_ms },
                None => LogError::Reserved { path: path.to_owned() },
            });
        }
        let failed = |source| LogError::Open { path: path.to_owned(), source };
        let place = self.visit(path, |slot| {
            if slot.as_mut().is_some_and(|handle| handle.is_left_behind(path)) {
                *slot = None;
            }
            let handle = match slot {
                Some(handle) => handle,
                none => none.insert(Handle::open(path).map_err(failed)?),
            };
            let offset = if handle.seekable { handle.file.metadata().map_err(failed)?.len() } else { 0 };
            Ok(Place { inode: handle.inode, offset })
        })?;
        self.set_end(path, place);
        Ok(place)
    }

    /// Where a batch recorded for `recorded` belongs now: there, unless that file is gone or was cut.
    pub fn place_again(&self, path: &Path, token: u64, recorded: Place) -> Result<Place, LogError> {
        let end = self.place(path, token)?;
        let place = if end.inode == recorded.inode && end.offset >= recorded.offset { recorded } else { end };
        self.set_end(path, place);
        Ok(place)
    }

    /// Writes at a place that [`Files::place`] gave.
    pub fn write(&self, path: &Path, place: Place, bytes: &[u8]) -> Result<(), LogError> {
        let failed = |source| LogError::Write { path: path.to_owned(), source };
        self.visit(path, |handle| {
            let handle = handle.as_mut().ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
            handle.write(place.offset, bytes).map_err(failed)
        })
    }

    /// Nobody but the stream `token` may be in the middle of a batch, and the path must lead to the file that is open: then
    /// it is closed, moved by `aside`, and an empty one of the same mode put in its place. `None`: not now.
    pub fn replace<T>(
        &self,
        path: &Path,
        token: Option<u64>,
        aside: impl FnOnce(&Path) -> io::Result<T>,
    ) -> io::Result<Option<T>> {
        let free = |file: &LogFile| file.reserved.is_none() || file.reserved == token;
        if !self.lock().files.get(path).is_some_and(free) {
            return Ok(None);
        }
        let replaced = self.visit(path, |handle| Ok(replace(path, handle, aside)));
        replaced.unwrap_or_else(|error| Err(io::Error::other(error)))
    }

    /// Takes back what a failed batch of `length` bytes may have left at `place`, unless others wrote behind it.
    /// `false`: it is still there.
    pub fn take_back(&self, path: &Path, place: Place, length: usize) -> bool {
        let taken = self.visit(path, |handle| {
            let Some(handle) = handle else { return Ok(true) };
            let Ok(end) = handle.file.metadata().map(|facts| facts.len()) else { return Ok(false) };
            let ours = end > place.offset && end <= place.offset + length as u64;
            Ok(!handle.seekable || !ours || handle.file.set_len(place.offset).is_ok())
        });
        taken.unwrap_or(false)
    }

    /// Empties a file, whether streams write to it or not; returns the bytes freed. A missing one has none.
    pub fn truncate(&self, path: &Path) -> io::Result<u64> {
        self.ask(path, || {
            fault::at("file.truncate")?;
            let file = match OpenOptions::new().write(true).custom_flags(open_flags()).open(path) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(0),
                opened => opened?,
            };
            let facts = file.metadata()?;
            if facts.is_file() {
                file.set_len(0)?;
            }
            Ok(facts.len())
        })
    }

    /// The file that is being written, and its length; that at the path if none is open. `None`: a batch is under
    /// way, or the disk does not answer: see [`Files::told_end`].
    pub fn end(&self, path: &Path) -> Option<Place> {
        let place = |facts: std::fs::Metadata| Place { inode: facts.ino(), offset: facts.len() };
        if self.lock().files.get(path).is_some_and(|file| file.reserved.is_some()) {
            return None;
        }
        let open = self.visit(path, |handle| Ok(handle.as_ref().map(|handle| handle.file.metadata())));
        let facts = match open {
            Ok(Some(facts)) => facts,
            Ok(None) | Err(LogError::Open { .. }) => self.ask(path, || std::fs::metadata(path)),
            Err(_busy) => return None,
        };
        match facts {
            Err(e) if e.kind() == io::ErrorKind::TimedOut => None,
            facts => Some(facts.map_or_else(|_none| Place::default(), place)),
        }
    }
}

/// As [`Files::replace`], of the file that is open.
fn replace<T>(
    path: &Path,
    handle: &mut Option<Handle>,
    aside: impl FnOnce(&Path) -> io::Result<T>,
) -> io::Result<Option<T>> {
    let real = std::fs::canonicalize(path)?;
    let facts = real.metadata()?;
    let differs = |h: &Handle| (h.device, h.inode) != (facts.dev(), facts.ino());
    if !facts.is_file() || handle.as_ref().is_some_and(differs) {
        // Somebody else has just rotated it.
        *handle = None;
        return Ok(None);
    }
    fault::pass("rotate.begun");
    fault::at("file.rename")?;
    let moved = aside(&real)?;
    fault::pass("rotate.aside");
    *handle = None;
    // Without it, the next batch makes one, for its owner only.
    if let Ok(empty) = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&real) {
        fault::pass("rotate.made");
        empty.set_permissions(facts.permissions())?;
    }
    fault::pass("rotate.done");
    Ok(Some(moved))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::Errno;
    use std::io::Write;

    fn files(path: &Path) -> Files {
        let files = Files::default();
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
        let files = files(&path);
        let put = |bytes: &[u8]| {
            let place = files.place(&path, 1).unwrap();
            files.write(&path, place, bytes).unwrap();
        };
        put(b"one\n");
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"foreign\n").unwrap();
        put(b"two\n");
        assert_eq!(std::fs::read(&path).unwrap(), b"one\nforeign\ntwo\n");
        assert_eq!(files.truncate(&path).unwrap(), 16);
        put(b"three\n");
        assert_eq!(std::fs::read(&path).unwrap(), b"three\n");
    }

    #[test]
    fn a_failed_batch_is_taken_back_unless_others_wrote_behind_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.log");
        std::fs::write(&path, "kept").unwrap();
        let files = files(&path);
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
        let files = files(&path);
        let end = files.place(&path, 1).unwrap();
        let recorded = Place { offset: 4, ..end };
        assert_eq!(files.place_again(&path, 1, recorded).unwrap(), recorded);
        let elsewhere = Place { inode: end.inode + 1, offset: 4 };
        assert_eq!(files.place_again(&path, 1, elsewhere).unwrap(), end);
        files.truncate(&path).unwrap();
        assert_eq!(files.place_again(&path, 1, recorded).unwrap(), Place { offset: 0, ..end });
    }

    #[test]
    fn a_reserved_file_waits_for_its_owner() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.log");
        let files = files(&path);
        files.enlist(&path);
        files.reserve(&path, 1, Place { inode: 3, offset: 5 });
        assert_eq!((files.end(&path), files.told_end(&path).offset), (None, 5));
        assert!(matches!(files.place(&path, 2), Err(LogError::Reserved { .. })));
        assert!(files.place(&path, 1).is_ok());
        files.release(&path, 1);
        assert!(files.place(&path, 2).is_ok());
    }

    #[test]
    fn a_device_that_is_full_is_an_error_and_a_slow_fifo_is_owed_the_rest() {
        let dir = tempfile::tempdir().unwrap();
        let full = Path::new("/dev/full");
        let at_full = files(full);
        let place = at_full.place(full, 1).unwrap();
        assert!(at_full.write(full, place, b"x").is_err());

        let fifo = dir.path().join("fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        let to_fifo = files(&fifo);
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
