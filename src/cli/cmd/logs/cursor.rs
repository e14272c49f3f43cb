//! How far each log was shown: a file, told by its inode, and a place in it. Live lines say where they stand, so what was
//! missed (the daemon died, the terminal was too slow) is found in the file, and what was read there is not shown again.

use crate::proto::{LogFile, LogSpot};
use crate::search::{Held, Part, Shelf};
use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::rc::Rc;

/// A file and a place in it.
pub type Place = (u64, u64);

/// So many files are kept open: a process may have no more than 1,024, as a rule.
const MOST_HELD: usize = 200;

/// A place that was left, in a file that is known again whatever becomes of it.
#[derive(Debug, Clone)]
pub struct Mark {
    /// Where.
    pub place: Place,
    /// Its file, if it could be opened.
    pub held: Option<Rc<Held>>,
}

impl From<Place> for Mark {
    fn from(place: Place) -> Mark {
        Mark { place, held: None }
    }
}

impl PartialEq for Mark {
    fn eq(&self, other: &Mark) -> bool {
        self.place == other.place
    }
}

#[derive(Debug, Clone)]
struct Cursor {
    mark: Mark,
    shared: bool,
    /// The file was read ahead of what comes live: that may be known already.
    ahead: bool,
}

/// What is to be done about live lines.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Show them.
    Show,
    /// First what stands between these in the file.
    Fill(Mark, Place),
    /// All was shown.
    Known,
    /// What stands between these was shown.
    Partly(Place, u64),
}

/// By path.
#[derive(Debug, Default)]
pub struct Cursors {
    cursors: HashMap<String, Cursor>,
    /// Formats of dates in names of rotated files.
    names: BTreeSet<String>,
}

impl Cursors {
    /// Rotated files may have dates of these formats in their names.
    pub fn learn(&mut self, formats: impl IntoIterator<Item = String>) {
        self.names.extend(formats);
    }

    /// Where rotated files are looked for.
    pub fn shelf(&self) -> Shelf {
        shelf(&self.names)
    }

    /// A log was read up to the end the daemon told. What is between that and where it stood before.
    pub fn reach(&mut self, file: &LogFile) -> Option<(Mark, Place)> {
        let place = (file.inode, file.end);
        if let Some(cursor) = self.cursors.get_mut(&file.path) {
            let before = cursor.mark.place;
            // The last daemon died over lines that it had told already: the next one tells them again.
            let behind = before.0 == place.0 && place.1 < before.1 && !was_cut(&file.path, before);
            if before.0 != 0 && (place.0 == 0 || behind || cursor.is_past(&file.path, place.0, &self.names)) {
                (cursor.ahead, cursor.shared) = (true, file.shared);
                return None;
            }
        }
        let before = self.put(&file.path, place, file.shared)?;
        (before.place != place).then_some((before, place))
    }

    /// Lines of this log came.
    pub fn take(&mut self, spot: &LogSpot) -> Step {
        let end = (spot.inode, spot.end);
        let Some(cursor) = self.cursors.get(&spot.path) else {
            self.put(&spot.path, end, spot.shared);
            return Step::Show;
        };
        let (inode, offset) = cursor.mark.place;
        let shared = cursor.shared || spot.shared;
        if cursor.ahead && inode != spot.inode && cursor.is_past(&spot.path, spot.inode, &self.names) {
            return Step::Known;
        }
        if inode == spot.inode && spot.start < offset && cursor.ahead && !was_cut(&spot.path, (inode, offset))
        {
            if spot.end <= offset {
                return Step::Known;
            }
            self.put(&spot.path, end, spot.shared);
            return Step::Partly((spot.inode, spot.start), offset);
        }
        let before = self.put(&spot.path, end, spot.shared);
        let gap = inode != spot.inode || spot.start > offset;
        // Of a shared file, what is not ours is not missing. A file that did not exist misses nothing.
        match before.filter(|_| gap && !shared && inode != 0) {
            Some(before) => Step::Fill(before, (spot.inode, spot.start)),
            None => Step::Show,
        }
    }

    /// A log was shown up to here. Where it stood before.
    fn put(&mut self, path: &str, place: Place, shared: bool) -> Option<Mark> {
        let room = self.cursors.len() <= MOST_HELD;
        let before = self.cursors.remove(path).map(|cursor| cursor.mark);
        let same = before.as_ref().filter(|mark| mark.place.0 == place.0).and_then(|mark| mark.held.clone());
        let found = || Held::find(Path::new(path), place.0).map(Rc::new);
        let held = same.or_else(|| if room && place.0 != 0 { found() } else { None });
        let cursor = Cursor { mark: Mark { place, held }, shared, ahead: false };
        self.cursors.insert(path.to_owned(), cursor);
        before
    }

    /// All logs of one writer each, read up to the last line that is there now: from where to where.
    pub fn read_ahead(&mut self) -> Vec<(String, Mark, Place)> {
        let own = self.cursors.iter().filter(|(_, cursor)| !cursor.shared).map(|(path, _)| path.clone());
        let paths: Vec<String> = own.collect();
        let mut found = Vec::new();
        for path in paths {
            if let Some((from, to)) = self.advance(&path) {
                if let Some(cursor) = self.cursors.get_mut(&path) {
                    cursor.ahead = true;
                }
                found.push((path, from, to));
            }
        }
        found
    }

    /// The same of one log.
    pub fn advance(&mut self, path: &str) -> Option<(Mark, Place)> {
        let cursor = self.cursors.get(path)?;
        let here = cursor.mark.place;
        let place = Part::whole_lines(Path::new(path)).ok().filter(|place| *place != here)?;
        let shared = cursor.shared;
        Some((self.put(path, place, shared)?, place))
    }

    /// Lines may have been missed that no file has, or that nobody's cursor tells.
    pub fn are_all_exact(&self) -> bool {
        self.cursors.values().all(|cursor| !cursor.shared)
    }
}

impl Cursor {
    /// It stands in a newer file of the log than this one.
    fn is_past(&self, path: &str, inode: u64, names: &BTreeSet<String>) -> bool {
        let live = Part::at(path.into()).map(|part| part.inode);
        if live.as_ref().is_ok_and(|live| *live == inode) {
            return false;
        }
        let here = self.mark.place.0;
        live.is_ok_and(|live| live == here)
            || inode != here
                && self
                    .mark
                    .held
                    .as_ref()
                    .is_some_and(|held| shelf(names).is_older(path.as_ref(), inode, held))
    }
}

fn shelf(names: &BTreeSet<String>) -> Shelf {
    Shelf::of_formats(names.iter().map(String::as_str))
}

/// The file is shorter than what was read of it: it was emptied, and this is new.
fn was_cut(path: &str, (inode, offset): Place) -> bool {
    Part::at(path.into()).is_ok_and(|part| part.inode == inode && part.length < offset)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::StreamKind;

    fn spot(inode: u64, start: u64, end: u64) -> LogSpot {
        LogSpot { path: "/nowhere/x.log".into(), inode, start, end, shared: false }
    }

    #[test]
    fn lines_that_follow_are_shown_and_gaps_filled() {
        let mut cursors = Cursors::default();
        assert_eq!(cursors.take(&spot(1, 10, 20)), Step::Show, "nothing is known of it");
        assert_eq!(cursors.take(&spot(1, 20, 30)), Step::Show);
        assert_eq!(cursors.take(&spot(1, 40, 50)), Step::Fill((1, 30).into(), (1, 40)));
        assert_eq!(cursors.take(&spot(2, 5, 9)), Step::Fill((1, 50).into(), (2, 5)), "it was rotated");
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
        assert_eq!(cursors.read_ahead(), [(path.display().to_string(), (inode, 0).into(), (inode, 8))]);
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
        assert_eq!(cursors.reach(&file(1, 50)), Some(((1, 20).into(), (1, 50))));
    }

    #[test]
    fn what_was_read_ahead_over_a_rotation_is_not_shown_again_and_what_is_newer_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.log");
        let inode = || Part::at(path.clone()).unwrap().inode;
        let spot =
            |inode, start, end| LogSpot { path: path.display().to_string(), ..spot(inode, start, end) };
        let turn = |day: u32| {
            std::fs::rename(&path, dir.path().join(format!("x__2026-01-0{day}.log"))).unwrap();
            std::fs::write(&path, "one\ntwo\n").unwrap();
        };
        std::fs::write(&path, "one\ntwo\n").unwrap();
        let old = inode();
        let mut cursors = Cursors::default();
        assert_eq!(cursors.take(&spot(old, 0, 4)), Step::Show);
        turn(1);
        let middle = inode();
        turn(2);
        let new = inode();
        assert_eq!(cursors.read_ahead().len(), 1);
        assert_eq!(cursors.take(&spot(old, 4, 8)), Step::Known);
        assert_eq!(cursors.take(&spot(middle, 0, 8)), Step::Known);
        assert_eq!(cursors.take(&spot(new, 0, 4)), Step::Known);
        turn(3);
        let newest = inode();
        assert_eq!(cursors.take(&spot(middle, 0, 8)), Step::Known);
        assert_eq!(cursors.take(&spot(new, 4, 8)), Step::Known);
        assert_eq!(cursors.take(&spot(newest, 0, 4)), Step::Fill((new, 8).into(), (newest, 0)));
    }

    #[test]
    fn a_daemon_that_does_not_know_yet_how_far_it_was_takes_nothing_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.log");
        std::fs::write(&path, "one\ntwo\nthree\n").unwrap();
        let inode = Part::at(path.clone()).unwrap().inode;
        let path = path.display().to_string();
        let spot = |start, end| LogSpot { path: path.clone(), ..spot(inode, start, end) };
        let file = |inode, end| LogFile {
            worker: None,
            name: "x".into(),
            stream: StreamKind::Out,
            path: path.clone(),
            inode,
            end,
            shared: false,
            dates: None,
            rotated_dates: None,
        };
        for end in [file(0, 0), file(inode, 4)] {
            let mut cursors = Cursors::default();
            assert_eq!(cursors.take(&spot(0, 8)), Step::Show);
            assert_eq!(cursors.reach(&end), None);
            assert_eq!(cursors.take(&spot(4, 8)), Step::Known, "it is told again");
            assert_eq!(cursors.take(&spot(10, 14)), Step::Fill((inode, 8).into(), (inode, 10)));
        }
    }
}
