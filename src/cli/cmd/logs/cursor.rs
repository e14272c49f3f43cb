//! How far each log was shown: a file, told by its inode, and a place in it. Live lines say where they stand, so what was
//! missed (the daemon died, the terminal was too slow) is found in the file, and what was read there is not shown again.

use crate::model::StreamKind;
use crate::proto::{LogFile, LogSpot};
use crate::search::{Log, Part, Shelf};
use std::collections::HashMap;
use std::path::Path;

/// A file and a place in it.
pub type Place = (u64, u64);

#[derive(Debug, Clone, Copy)]
struct Cursor {
    place: Place,
    shared: bool,
    /// The file was read ahead of what comes live: that may be known already.
    ahead: bool,
}

/// What is to be done about live lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Show them.
    Show,
    /// First what stands between these in the file.
    Fill(Place, Place),
    /// All was shown.
    Known,
    /// What stands between these was shown.
    Partly(Place, u64),
}

/// By path.
#[derive(Debug, Default)]
pub struct Cursors {
    cursors: HashMap<String, Cursor>,
}

impl Cursors {
    /// A log was read up to the end the daemon told. What is between that and where it stood before.
    pub fn reach(&mut self, file: &LogFile) -> Option<(Place, Place)> {
        let place = (file.inode, file.end);
        let cursor = Cursor { place, shared: file.shared, ahead: false };
        let before = self.cursors.insert(file.path.clone(), cursor)?.place;
        (before != place).then_some((before, place))
    }

    /// Lines of this log came.
    pub fn take(&mut self, spot: &LogSpot) -> Step {
        let end = (spot.inode, spot.end);
        let fresh = Cursor { place: end, shared: spot.shared, ahead: false };
        let Some(cursor) = self.cursors.get_mut(&spot.path) else {
            self.cursors.insert(spot.path.clone(), fresh);
            return Step::Show;
        };
        let (inode, offset) = cursor.place;
        let shared = cursor.shared || spot.shared;
        if inode == spot.inode && spot.start < offset && cursor.ahead && !was_cut(spot, offset) {
            if spot.end <= offset {
                return Step::Known;
            }
            *cursor = fresh;
            return Step::Partly((spot.inode, spot.start), offset);
        }
        *cursor = fresh;
        let gap = inode != spot.inode || spot.start > offset;
        // Of a shared file, what is not ours is not missing. A file that did not exist misses nothing.
        if gap && !shared && inode != 0 {
            Step::Fill((inode, offset), (spot.inode, spot.start))
        } else {
            Step::Show
        }
    }

    /// All logs of one writer each, read up to the last line that is there now: from where to where.
    pub fn read_ahead(&mut self) -> Vec<(String, Place, Place)> {
        let mut found = Vec::new();
        for (path, cursor) in self.cursors.iter_mut().filter(|(_, cursor)| !cursor.shared) {
            if let Ok(place) = Part::whole_lines(Path::new(path))
                && place != cursor.place
            {
                found.push((path.clone(), cursor.place, place));
                (cursor.place, cursor.ahead) = (place, true);
            }
        }
        found
    }

    /// The same of one log.
    pub fn advance(&mut self, path: &str) -> Option<(Place, Place)> {
        let cursor = self.cursors.get_mut(path)?;
        let place = Part::whole_lines(Path::new(path)).ok().filter(|place| *place != cursor.place)?;
        Some((std::mem::replace(&mut cursor.place, place), place))
    }

    /// Lines may have been missed that no file has, or that nobody's cursor tells.
    pub fn are_all_exact(&self) -> bool {
        self.cursors.values().all(|cursor| !cursor.shared)
    }
}

/// What stands between two places of a log.
pub fn between(shelf: &mut Shelf, path: &str, stream: StreamKind, from: Place, to: Place) -> Log {
    let path = Path::new(path);
    Log { path: path.to_owned(), stream, spans: shelf.between(path, from, to), dates: None }
}

/// The file is shorter than what was read of it: it was emptied, and this is new.
fn was_cut(spot: &LogSpot, offset: u64) -> bool {
    Part::at(spot.path.clone().into()).is_ok_and(|part| part.inode == spot.inode && part.length < offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spot(inode: u64, start: u64, end: u64) -> LogSpot {
        LogSpot { path: "/nowhere/x.log".into(), inode, start, end, shared: false }
    }

    #[test]
    fn lines_that_follow_are_shown_and_gaps_filled() {
        let mut cursors = Cursors::default();
        assert_eq!(cursors.take(&spot(1, 10, 20)), Step::Show, "nothing is known of it");
        assert_eq!(cursors.take(&spot(1, 20, 30)), Step::Show);
        assert_eq!(cursors.take(&spot(1, 40, 50)), Step::Fill((1, 30), (1, 40)));
        assert_eq!(cursors.take(&spot(2, 5, 9)), Step::Fill((1, 50), (2, 5)), "it was rotated");
        assert_eq!(cursors.take(&spot(2, 0, 4)), Step::Show, "it was emptied");
        assert_eq!(cursors.take(&LogSpot { shared: true, ..spot(2, 8, 9) }), Step::Show);
    }

    #[test]
    fn what_was_read_ahead_is_not_shown_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.log");
        std::fs::write(&path, "one\ntwo\nthr").unwrap();
        let inode = Part::at(path.clone()).unwrap().inode;
        let spot = |start, end| LogSpot { path: path.display().to_string(), ..spot(inode, start, end) };
        let mut cursors = Cursors::default();
        assert_eq!(cursors.take(&spot(0, 0)), Step::Show);
        assert_eq!(cursors.read_ahead(), [(path.display().to_string(), (inode, 0), (inode, 8))]);
        assert_eq!(cursors.take(&spot(0, 4)), Step::Known);
        assert_eq!(cursors.take(&spot(4, 14)), Step::Partly((inode, 4), 8));
        assert_eq!(cursors.take(&spot(14, 20)), Step::Show);
    }

    #[test]
    fn a_log_goes_on_where_it_was_left() {
        let file = |inode, end| LogFile {
            worker: None,
            name: "pmon".into(),
            stream: StreamKind::Out,
            path: "/nowhere/x.log".into(),
            inode,
            end,
            shared: false,
            dates: None,
            rotated_dates: None,
        };
        let mut cursors = Cursors::default();
        assert_eq!(cursors.reach(&file(1, 10)), None);
        assert_eq!(cursors.take(&spot(1, 10, 20)), Step::Show);
        assert_eq!(cursors.reach(&file(1, 20)), None);
        assert_eq!(cursors.reach(&file(1, 50)), Some(((1, 20), (1, 50))));
    }
}
