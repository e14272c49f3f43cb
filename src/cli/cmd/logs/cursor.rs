//! How far each log was shown: which of its files, and a place in it. Live lines say where they stand, so what was missed
//! (the daemon died, the terminal was too slow) is found in the files, whatever became of them, and nothing is shown twice.

use crate::proto::push::LogPlace;
use crate::proto::{LogFile, LogSpot};
use crate::search::{Held, Mark, Part, Place, Shelf};
use crate::sys::clock;
use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::rc::Rc;

/// So many files are kept open: a process may have no more than 1,024, as a rule.
const MOST_HELD: usize = 200;
/// The clock by which files are born is a tick behind.
const TICK_MS: i64 = 20;

#[derive(Debug, Clone)]
struct Cursor {
    mark: Mark,
    shared: bool,
    /// The daemon tells again what the one before it had told.
    again: bool,
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
        Shelf::of_formats(self.names.iter().map(String::as_str))
    }

    /// A log was read up to the end the daemon told. What is between that and where it stood before.
    pub fn reach(&mut self, file: &LogFile) -> Option<(Mark, Place)> {
        let place = Place { file: file.file, offset: file.end };
        if let Some(cursor) = self.cursors.get_mut(&file.path) {
            let here = cursor.mark.place;
            // The last daemon died over lines that it had told already: the next one tells them again.
            let behind = here.file.is(place.file) && place.offset < here.offset && !cursor.mark.is_cut();
            if here.file.is_some() && (!place.file.is_some() || behind) {
                (cursor.again, cursor.shared) = (true, file.shared);
                return None;
            }
        }
        let before = self.put(&file.path, place, file.shared)?;
        let moved = !before.place.file.is(place.file) || before.place.offset != place.offset;
        (moved && place.file.is_some()).then_some((before, place))
    }

    /// Lines of this log came.
    pub fn take(&mut self, spot: &LogSpot) -> Step {
        let place = |offset| Place { file: spot.file, offset };
        let Some(cursor) = self.cursors.get(&spot.path) else {
            self.put(&spot.path, place(spot.end), spot.shared);
            return Step::Show;
        };
        let here = cursor.mark.place;
        let same = here.file.is(spot.file);
        let shared = cursor.shared || spot.shared;
        if same && cursor.again && spot.start < here.offset && !cursor.mark.is_cut() {
            if spot.end <= here.offset {
                return Step::Known;
            }
            self.put(&spot.path, place(spot.end), spot.shared);
            return Step::Partly(place(spot.start), here.offset);
        }
        let before = self.put(&spot.path, place(spot.end), spot.shared);
        let gap = !same || spot.start > here.offset;
        // Of a shared file, what is not ours is not missing. A file that did not exist misses nothing.
        match before.filter(|_| gap && !shared && here.file.is_some()) {
            Some(before) => Step::Fill(before, place(spot.start)),
            None => Step::Show,
        }
    }

    /// Lines of this log were told and did not come. Where they are to be looked for.
    pub fn skip(&mut self, path: &str, from: LogPlace, to: LogPlace) -> (Mark, Place) {
        let place = |place: LogPlace| Place { file: place.file, offset: place.offset };
        let to = place(to);
        // It may stand before these lines, not behind them.
        let before = self.put(path, to, false).filter(|before| before.place.file.is_some());
        (before.unwrap_or_else(|| place(from).into()), to)
    }

    /// A log was shown up to here. Where it stood before.
    fn put(&mut self, path: &str, mut place: Place, shared: bool) -> Option<Mark> {
        let room = self.cursors.len() <= MOST_HELD;
        let before = self.cursors.remove(path).map(|cursor| cursor.mark);
        let same = before.as_ref().filter(|mark| mark.place.file.is(place.file));
        if let Some(same) = same {
            place.file = same.place.file;
        }
        let held = same.and_then(|mark| mark.held.clone());
        let found = || Held::find(Path::new(path), place.file).map(Rc::new);
        let held = held.or_else(|| if room && place.file.is_some() { found() } else { None });
        if !place.file.is_some() {
            // Whatever is born from now on is new.
            let now_ms = u64::try_from(clock::now().wall_ms.saturating_sub(TICK_MS)).unwrap_or(0);
            place.file.born_ns = now_ms.saturating_mul(1_000_000);
        }
        let cursor = Cursor { mark: Mark::new(place, held), shared, again: false };
        self.cursors.insert(path.to_owned(), cursor);
        before
    }

    /// A log is read up to the last line that is there now: from where to where.
    pub fn advance(&mut self, path: &str) -> Option<(Mark, Place)> {
        let cursor = self.cursors.get(path)?;
        let (here, shared) = (cursor.mark.place, cursor.shared);
        let (file, offset) = Part::whole_lines(Path::new(path)).ok()?;
        if here.file.is(file) && here.offset == offset {
            return None;
        }
        let place = Place { file, offset };
        Some((self.put(path, place, shared)?, place))
    }

    /// Lines may have been missed that no file has, or that nobody's cursor tells.
    pub fn are_all_exact(&self) -> bool {
        self.cursors.values().all(|cursor| !cursor.shared)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{FileId, StreamKind};

    fn id(inode: u64) -> FileId {
        FileId { inode, born_ns: 100 + inode }
    }

    fn place(inode: u64, offset: u64) -> Place {
        Place { file: id(inode), offset }
    }

    fn spot(inode: u64, start: u64, end: u64) -> LogSpot {
        LogSpot { path: "/nowhere/x.log".into(), file: id(inode), start, end, shared: false }
    }

    fn file(path: &str, file: FileId, end: u64) -> LogFile {
        LogFile {
            worker: None,
            name: "pmon".into(),
            stream: StreamKind::Out,
            path: path.into(),
            file,
            end,
            shared: false,
            dates: None,
            rotated_dates: None,
        }
    }

    #[test]
    fn lines_that_follow_are_shown_and_gaps_filled() {
        let mut cursors = Cursors::default();
        assert_eq!(cursors.take(&spot(1, 10, 20)), Step::Show, "nothing is known of it");
        assert_eq!(cursors.take(&spot(1, 20, 30)), Step::Show);
        assert_eq!(cursors.take(&spot(1, 40, 50)), Step::Fill(place(1, 30).into(), place(1, 40)));
        assert_eq!(cursors.take(&spot(2, 5, 9)), Step::Fill(place(1, 50).into(), place(2, 5)), "rotated");
        assert_eq!(cursors.take(&spot(2, 0, 4)), Step::Show, "it was emptied");
        assert_eq!(cursors.take(&LogSpot { shared: true, ..spot(2, 8, 9) }), Step::Show);
    }

    #[test]
    fn an_inode_that_was_given_again_is_no_place_that_was_read() {
        let mut cursors = Cursors::default();
        assert_eq!(cursors.take(&spot(1, 10, 20)), Step::Show);
        let again = LogSpot { file: FileId { born_ns: 900, ..id(1) }, ..spot(1, 20, 30) };
        let there = Place { file: again.file, offset: 20 };
        assert_eq!(cursors.take(&again), Step::Fill(place(1, 20).into(), there));
    }

    #[test]
    fn a_log_goes_on_where_it_was_left() {
        let file = |inode, end| file("/nowhere/x.log", id(inode), end);
        let mut cursors = Cursors::default();
        assert_eq!(cursors.reach(&file(1, 10)), None);
        assert_eq!(cursors.take(&spot(1, 10, 20)), Step::Show);
        assert_eq!(cursors.reach(&file(1, 20)), None);
        assert_eq!(cursors.reach(&file(1, 50)), Some((place(1, 20).into(), place(1, 50))));
    }

    #[test]
    fn lines_that_did_not_come_are_looked_for_from_where_the_log_was_left() {
        let to = |inode, offset| LogPlace { file: id(inode), offset };
        let mut cursors = Cursors::default();
        let skipped = cursors.skip("/nowhere/x.log", to(1, 5), to(2, 30));
        assert_eq!(skipped, (place(1, 5).into(), place(2, 30)), "nothing is known of it");
        assert_eq!(cursors.take(&spot(2, 30, 40)), Step::Show);
        let skipped = cursors.skip("/nowhere/x.log", to(2, 40), to(4, 9));
        assert_eq!(skipped, (place(2, 40).into(), place(4, 9)));
        assert_eq!(cursors.take(&spot(4, 9, 10)), Step::Show);
    }

    #[test]
    fn a_daemon_that_does_not_know_yet_how_far_it_was_takes_nothing_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.log");
        std::fs::write(&path, "one\ntwo\nthree\n").unwrap();
        let id = Part::at(path.clone()).unwrap().file;
        let path = path.display().to_string();
        let spot = |start, end| LogSpot { path: path.clone(), file: id, ..spot(1, start, end) };
        let place = |offset| Place { file: id, offset };
        for end in [file(&path, FileId::default(), 0), file(&path, FileId { born_ns: 0, ..id }, 4)] {
            let mut cursors = Cursors::default();
            assert_eq!(cursors.take(&spot(0, 8)), Step::Show);
            assert_eq!(cursors.reach(&end), None);
            assert_eq!(cursors.take(&spot(4, 8)), Step::Known, "it is told again");
            assert_eq!(cursors.take(&spot(4, 10)), Step::Partly(place(4), 8));
            assert_eq!(cursors.take(&spot(12, 14)), Step::Fill(place(10).into(), place(12)));
        }
    }

    #[test]
    fn what_was_written_anew_to_a_file_that_was_emptied_is_not_taken_for_what_was_shown() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.log");
        std::fs::write(&path, "one\ntwo\n").unwrap();
        let id = Part::at(path.clone()).unwrap().file;
        let text = path.display().to_string();
        let mut cursors = Cursors::default();
        assert_eq!(cursors.take(&LogSpot { path: text.clone(), file: id, ..spot(1, 0, 8) }), Step::Show);
        std::fs::write(&path, "new\nand longer than it was\n").unwrap();
        let place = |offset| Place { file: id, offset };
        let (before, to) = cursors.reach(&file(&text, id, 4)).unwrap();
        assert_eq!((before.place, to), (place(8), place(4)));
        let missed = cursors.shelf().between(&path, &before, to);
        assert_eq!(missed.spans.iter().map(|span| (span.from, span.to)).collect::<Vec<_>>(), [(0, 4)]);
    }
}
