//! Lines that the daemon did not send but said where they stand: read from the file, whatever its name is by now.

use crate::model::{FileId, tail};
use crate::proto::LogSpot;
use bytes::Bytes;
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::{DirEntryExt, FileExt};
use std::path::Path;

/// Files that were read last, by the log's path: one that was rotated away since is still read here.
#[derive(Debug, Default)]
pub(super) struct Places {
    files: HashMap<String, (FileId, File)>,
}

/// Why lines could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gone {
    /// The file as it was written is not there any more; it may have been compressed.
    File,
    /// Something else stands there by now.
    Text,
}

impl Places {
    /// The lines at a place, whose end has this print.
    pub(super) fn read(&mut self, spot: &LogSpot, print: u64) -> Result<Bytes, Gone> {
        if let Some((file, held)) = self.files.get(&spot.path)
            && file.is(spot.file)
        {
            return lines(held, spot, print).map_err(|_other| Gone::Text);
        }
        let file = find(spot).ok_or(Gone::File)?;
        let lines = lines(&file, spot, print).map_err(|_other| Gone::Text)?;
        self.files.insert(spot.path.clone(), (spot.file, file));
        Ok(lines)
    }
}

fn lines(file: &File, spot: &LogSpot, print: u64) -> io::Result<Bytes> {
    let length = spot.end.checked_sub(spot.start).and_then(|length| usize::try_from(length).ok());
    let mut bytes = vec![0; length.ok_or(io::ErrorKind::InvalidData)?];
    file.read_exact_at(&mut bytes, spot.start)?;
    // It was emptied, and something else stands there.
    if tail::print(&bytes) != print {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(bytes.into())
}

/// The file: the log, or what was made of it beside it.
fn find(spot: &LogSpot) -> Option<File> {
    let log = std::fs::canonicalize(&spot.path).unwrap_or_else(|_gone| spot.path.clone().into());
    if let Some(file) = open(&log, spot.file) {
        return Some(file);
    }
    let entries = std::fs::read_dir(log.parent()?).ok()?.flatten();
    let mut alike = entries.filter(|entry| entry.ino() == spot.file.inode);
    alike.find_map(|entry| open(&entry.path(), spot.file))
}

/// Never waits, whatever has taken the name.
fn open(path: &Path, wanted: FileId) -> Option<File> {
    let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, rustix::fs::Mode::empty()).ok()?);
    let facts = file.metadata().ok()?;
    (facts.is_file() && FileId::of(&facts).is(wanted)).then_some(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spot(path: &Path, start: u64, end: u64) -> LogSpot {
        let file = FileId::of(&path.metadata().unwrap());
        LogSpot { path: path.display().to_string(), file, start, end, shared: false }
    }

    #[test]
    fn lines_are_found_under_the_name_their_file_has_now() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("x.log");
        std::fs::write(&log, "one\ntwo\n").unwrap();
        let (first, second) = (spot(&log, 0, 4), spot(&log, 4, 8));
        let aside = dir.path().join("x__2026.log");
        std::fs::rename(&log, &aside).unwrap();
        std::fs::write(&log, "three\n").unwrap();
        let mut places = Places::default();
        assert_eq!(places.read(&second, tail::print(b"two\n")).unwrap(), "two\n");
        std::fs::remove_file(aside).unwrap();
        assert_eq!(places.read(&first, tail::print(b"one\n")).unwrap(), "one\n", "it is still open");
        assert_eq!(Places::default().read(&first, tail::print(b"one\n")), Err(Gone::File));
    }

    #[test]
    fn what_stands_there_instead_is_not_taken_for_it() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("x.log");
        std::fs::write(&log, "one\ntwo\n").unwrap();
        let mut places = Places::default();
        let spot = spot(&log, 4, 8);
        assert!(places.read(&spot, tail::print(b"two\n")).is_ok());
        std::fs::write(&log, "new\n").unwrap();
        assert_eq!(places.read(&spot, tail::print(b"two\n")), Err(Gone::Text), "it is shorter");
        std::fs::write(&log, "new\nnew\n").unwrap();
        assert_eq!(places.read(&spot, tail::print(b"two\n")), Err(Gone::Text));
        let other = LogSpot { file: FileId { born_ns: 1, ..spot.file }, ..spot };
        assert_eq!(Places::default().read(&other, tail::print(b"new\n")), Err(Gone::File), "another file");
    }
}
