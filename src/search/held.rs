//! A log file that is kept open: its rest can be read though it was removed since. And a place in a log that was left.

use super::part::{Part, open_if};
use crate::model::{FileId, tail};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirEntryExt, FileExt};
use std::path::Path;
use std::rc::Rc;

/// One file, open.
#[derive(Debug)]
pub struct Held(File);

impl Held {
    /// This file: the log, or what was made of it beside it, unless that is compressed.
    pub fn find(log: &Path, wanted: FileId) -> Option<Held> {
        let log = std::fs::canonicalize(log).unwrap_or_else(|_gone| log.to_owned());
        if let Some(file) = open_if(&log, wanted) {
            return Some(Held(file));
        }
        let entries = std::fs::read_dir(log.parent()?).ok()?.flatten();
        let mut alike = entries.filter(|entry| entry.ino() == wanted.inode);
        alike.find_map(|entry| open_if(&entry.path(), wanted)).map(Held)
    }

    /// Which it is.
    pub fn id(&self) -> FileId {
        self.0.metadata().map_or_else(|_error| FileId::default(), |facts| FileId::of(&facts))
    }

    /// To be read as long as it is held, also when it has no name any more.
    pub fn part(&self) -> Option<Part> {
        Part::at(format!("/proc/self/fd/{}", self.0.as_raw_fd()).into()).ok()
    }

    /// The print of what stands before this byte; `None`: it is shorter.
    fn print(&self, offset: u64) -> Option<u64> {
        let length = offset.min(tail::LENGTH as u64);
        let mut bytes = vec![0; usize::try_from(length).ok()?];
        self.0.read_exact_at(&mut bytes, offset - length).ok()?;
        Some(tail::print(&bytes))
    }
}

/// A place in a log: in which of its files, and the bytes before it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Place {
    /// Which file.
    pub file: FileId,
    /// Where in it.
    pub offset: u64,
}

/// A place that was left.
#[derive(Debug, Clone)]
pub struct Mark {
    /// Where.
    pub place: Place,
    /// Its file, if it could be opened.
    pub held: Option<Rc<Held>>,
    /// The print of what stood before.
    print: Option<u64>,
}

impl Mark {
    /// A place in a file that may be held.
    pub fn new(mut place: Place, held: Option<Rc<Held>>) -> Mark {
        let print = held.as_ref().and_then(|held| held.print(place.offset));
        if let Some(held) = &held
            && place.file.born_ns == 0
        {
            place.file = held.id();
        }
        Mark { place, held, print }
    }

    /// The file was emptied since: what stands in it is new.
    pub fn is_cut(&self) -> bool {
        self.print.is_some()
            && self.held.as_ref().is_some_and(|held| held.print(self.place.offset) != self.print)
    }
}

impl From<Place> for Mark {
    fn from(place: Place) -> Mark {
        Mark::new(place, None)
    }
}

impl PartialEq for Mark {
    fn eq(&self, other: &Mark) -> bool {
        self.place == other.place
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_though_it_was_removed_and_known_to_be_emptied() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("x.log");
        std::fs::write(&log, "one\n").unwrap();
        let file = Part::at(log.clone()).unwrap().file;
        let aside = dir.path().join("x__2026.log");
        std::fs::rename(&log, &aside).unwrap();
        let held = Rc::new(Held::find(&log, FileId { born_ns: 0, ..file }).unwrap());
        assert!(Held::find(&log, FileId { born_ns: 1, ..file }).is_none(), "another one of this inode");
        let mark = Mark::new(Place { file: FileId { born_ns: 0, ..file }, offset: 4 }, Some(held.clone()));
        assert_eq!(mark.place.file, file);
        assert!(!mark.is_cut());
        std::fs::write(&aside, "new, and longer\n").unwrap();
        assert!(mark.is_cut());
        std::fs::remove_file(&aside).unwrap();
        assert_eq!(std::fs::read(held.part().unwrap().path).unwrap(), b"new, and longer\n");
        assert!(Held::find(&log, file).is_none());
    }
}
