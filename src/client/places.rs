//! Lines that the daemon did not send but said where they stand: read from the file, whatever its name is by now.

use crate::model::tail;
use crate::proto::LogSpot;
use bytes::Bytes;
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::{DirEntryExt, FileExt, MetadataExt};
use std::path::Path;

/// Files that were read last, by the log's path: one that was rotated away since is still read here.
#[derive(Debug, Default)]
pub(super) struct Places {
    files: HashMap<String, (u64, File)>,
}

impl Places {
    /// The lines at a place, whose end has this print. An error if they are not there any more.
    pub(super) fn read(&mut self, spot: &LogSpot, print: u64) -> io::Result<Bytes> {
        if let Some((inode, file)) = self.files.get(&spot.path)
            && *inode == spot.inode
            && let Ok(lines) = lines(file, spot, print)
        {
            return Ok(lines);
        }
        let file = find(spot)?;
        let lines = lines(&file, spot, print)?;
        self.files.insert(spot.path.clone(), (spot.inode, file));
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

/// The file of this inode: the log, or what was made of it beside it.
fn find(spot: &LogSpot) -> io::Result<File> {
    let log = std::fs::canonicalize(&spot.path).unwrap_or_else(|_gone| spot.path.clone().into());
    let is_it = |file: &File| file.metadata().is_ok_and(|facts| facts.ino() == spot.inode && facts.is_file());
    if let Some(file) = open(&log).filter(is_it) {
        return Ok(file);
    }
    let dir = log.parent().unwrap_or(Path::new("/"));
    for entry in std::fs::read_dir(dir)?.flatten().filter(|entry| entry.ino() == spot.inode) {
        if let Some(file) = open(&entry.path()).filter(is_it) {
            return Ok(file);
        }
    }
    Err(io::ErrorKind::NotFound.into())
}

/// Never waits, whatever has taken the name.
fn open(path: &Path) -> Option<File> {
    let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::CLOEXEC;
    rustix::fs::open(path, flags, rustix::fs::Mode::empty()).ok().map(File::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spot(path: &Path, start: u64, end: u64) -> LogSpot {
        let inode = path.metadata().unwrap().ino();
        LogSpot { path: path.display().to_string(), inode, start, end, shared: false }
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
        assert!(Places::default().read(&first, tail::print(b"one\n")).is_err());
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
        assert!(places.read(&spot, tail::print(b"two\n")).is_err(), "it is shorter");
        std::fs::write(&log, "new\nnew\n").unwrap();
        assert!(places.read(&spot, tail::print(b"two\n")).is_err());
    }
}
