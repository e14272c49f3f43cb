//! A log and what rotation made of it: `web-out__2026-11-22_00-00-00.log`, perhaps with a counter before `.log` and `.gz`
//! behind it, beside `web-out.log`. Files are told apart by inode
//! and birth, because their names change.

use super::held::{Mark, Place};
use super::part::{Part, Span};
use crate::model::FileId;
use crate::model::removed::{self, Removed};
use crate::model::shapes::Shapes;
use std::collections::{BTreeSet, HashMap};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// A log that is put aside whenever it is looked at is looked at so often.
const PATIENCE: usize = 20;

/// What stands between two places of a log.
#[derive(Debug)]
pub struct Missed {
    /// As far as it is there.
    pub spans: Vec<Span>,
    /// What is not.
    pub gone: Gone,
}

/// What was removed before it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gone {
    /// Nothing.
    Nothing,
    /// So many bytes.
    Bytes(u64),
    /// Somebody else removed it: nobody knows how much.
    Unknown,
}

impl Gone {
    /// So many bytes more.
    pub fn and(self, bytes: u64) -> Gone {
        match self {
            Gone::Nothing => Gone::Bytes(bytes),
            Gone::Bytes(others) => Gone::Bytes(others + bytes),
            Gone::Unknown => Gone::Unknown,
        }
    }
}

/// Directories that were looked at once, because a thousand logs stand in one.
#[derive(Debug, Default)]
pub struct Shelf {
    names: HashMap<PathBuf, BTreeSet<String>>,
    shapes: Shapes,
}

impl Shelf {
    /// For logs whose rotated files have dates of these formats in their names, or of the usual one.
    pub fn of_formats<'a>(formats: impl IntoIterator<Item = &'a str>) -> Shelf {
        Shelf { shapes: Shapes::of_formats(formats), ..Shelf::default() }
    }

    /// All files of a log, oldest first; the live one, if it is there, is last.
    pub fn chain(&mut self, log: &Path) -> Vec<Part> {
        self.chain_since(log, FileId::default())
    }

    /// The same, without files older than this one if it is among them.
    fn chain_since(&mut self, log: &Path, since: FileId) -> Vec<Part> {
        let mut before = Part::at(log.to_owned()).ok();
        let mut parts = self.rotated(log, since);
        let mut live = Part::at(log.to_owned()).ok();
        for _ in 0..PATIENCE {
            let file = |part: &Option<Part>| part.as_ref().map(|part| part.file);
            if file(&before) == file(&live) {
                break;
            }
            // It was put aside meanwhile, perhaps under a name that is not among these.
            self.names.clear();
            before = live;
            parts = self.rotated(log, since);
            live = Part::at(log.to_owned()).ok();
        }
        parts.extend(live);
        parts
    }

    /// What stands before a place, in its file and older ones. No file: none is written yet.
    pub fn history(&mut self, log: &Path, place: (FileId, u64)) -> Vec<Span> {
        self.history_since(log, FileId::default(), place)
    }

    fn history_since(&mut self, log: &Path, since: FileId, (file, end): (FileId, u64)) -> Vec<Span> {
        let mut parts = self.chain_since(log, since);
        let mut last = parts.iter().rposition(|part| part.file.is(file));
        if last.is_none() && file.is_some() {
            // It may have been put aside after the directory was looked at.
            self.names.clear();
            parts = self.chain_since(log, since);
            last = parts.iter().rposition(|part| part.file.is(file));
        }
        let Some(last) = last else {
            // Older ones, but for the one that took its place.
            let is_live = |part: &Part| part.path == log;
            parts.retain(|part| !(is_live(part) || file.is_some() && is_newer(part, file)));
            return parts.into_iter().map(Part::whole).collect();
        };
        let mut spans: Vec<Span> = parts.into_iter().take(last + 1).map(Part::whole).collect();
        if let Some(span) = spans.last_mut() {
            span.to = span.to.min(end);
        }
        spans
    }

    /// What was written after a place that was left and before another one.
    pub fn between(&mut self, log: &Path, from: &Mark, to: Place) -> Missed {
        let Place { file, offset } = from.place;
        if !file.is(to.file) {
            // Names that were read before the last rotation would leave out what it put aside.
            self.names.clear();
        }
        let mut spans = self.history_since(log, file, (to.file, to.offset));
        if let Some(first) = spans.iter().rposition(|span| span.part.file.is(file)) {
            spans.drain(..first);
            if let Some(span) = spans.first_mut() {
                // It was emptied, and what is there is new.
                let cut = from.is_cut() || (!span.part.packed && offset > span.part.length);
                span.from = if cut || (file.is(to.file) && to.offset < offset) { 0 } else { offset };
                span.lead = span.from;
            }
            spans.retain(|span| span.from < span.to);
            return Missed { spans, gone: Gone::Nothing };
        }
        if self.chain(log).iter().any(|part| part.file.is(file)) {
            // The other place is the older one.
            return Missed { spans: Vec::new(), gone: Gone::Nothing };
        }
        spans.retain(|span| is_newer(&span.part, file));
        if !file.is_some() {
            return Missed { spans, gone: Gone::Nothing };
        }
        let rest = from.held.as_ref().and_then(|held| held.part());
        let gone = removed(log, &spans).and_then(|removed| {
            removed::between(&removed, (file, offset), rest.is_some(), (to.file, to.offset))
        });
        let gone =
            gone.map_or(Gone::Unknown, |bytes| if bytes > 0 { Gone::Bytes(bytes) } else { Gone::Nothing });
        let rest = rest.map(|part| Span { lead: offset, from: offset, ..part.whole() });
        let rest = rest
            .map(|span| if file.is(to.file) { Span { to: span.to.min(to.offset), ..span } } else { span });
        spans.splice(..0, rest.filter(|span| span.from < span.to));
        Missed { spans, gone }
    }

    fn rotated(&mut self, log: &Path, since: FileId) -> Vec<Part> {
        // A link stays, and what it leads to is put aside where that stands.
        let log = std::fs::canonicalize(log).unwrap_or_else(|_gone| log.to_owned());
        let text =
            |part: Option<&OsStr>| part.map_or(Some(String::new()), |part| Some(part.to_str()?.to_owned()));
        let (Some(dir), Some(stem), Some(extension)) =
            (log.parent(), text(log.file_stem()), text(log.extension()))
        else {
            return Vec::new();
        };
        let stem = format!("{stem}__");
        let names = self.names.entry(dir.to_owned()).or_insert_with(|| names(dir));
        let named = |name: &&String| name.starts_with(&stem);
        let shapes = &self.shapes;
        let is_ours =
            |name: &&String| name.strip_prefix(&stem).is_some_and(|rest| dated(rest, &extension, shapes));
        let of_this = names.range(stem.clone()..).take_while(named).filter(is_ours);
        // While a file is being compressed both are there.
        let alone =
            of_this.filter(|name| name.strip_suffix(".gz").is_none_or(|plain| !names.contains(plain)));
        let mut alone: Vec<(Vec<u64>, &String)> =
            alone.filter_map(|name| Some((numbers(name.strip_prefix(&stem)?), name))).collect();
        alone.sort();
        let sorted = alone.iter().all(|(numbers, _)| numbers.first().is_some_and(|year| *year >= 1970));
        let mut parts = Vec::new();
        for (_, name) in alone.into_iter().rev() {
            let packed = || Part::at(dir.join(format!("{name}.gz")));
            let Ok(part) = Part::at(dir.join(name)).or_else(|_gone| packed()) else { continue };
            let last = sorted && part.file.is(since);
            parts.push(part);
            if last {
                break;
            }
        }
        parts.reverse();
        if !sorted {
            parts.sort_by_key(|part| part.modified_ms);
        }
        parts
    }
}

/// What was removed of a log and is not there.
fn removed(log: &Path, there: &[Span]) -> Option<Vec<Removed>> {
    let log = std::fs::canonicalize(log).unwrap_or_else(|_gone| log.to_owned());
    let mut all = Removed::all(&std::fs::read(removed::sidecar(&log)).ok()?);
    all.retain(|one| !there.iter().any(|span| span.part.file.is(one.file)));
    Some(all)
}

/// It was born after this file, which is not there any more. What is removed of a log is its oldest, so of two that were
/// born in one tick of the clock the one that is there is the newer one.
fn is_newer(part: &Part, file: FileId) -> bool {
    let born_ns = match part.file.born_ns {
        // A copy that does not say of what it is was last written with its original.
        0 => u64::try_from(part.modified_ms).unwrap_or(0).saturating_mul(1_000_000),
        born_ns => born_ns,
    };
    file.born_ns != 0 && born_ns >= file.born_ns
}

/// As they were at one moment: a large directory is read in several steps, between which a file may get another name.
fn names(dir: &Path) -> BTreeSet<String> {
    let changed = || std::fs::metadata(dir).and_then(|facts| facts.modified()).ok();
    let mut names = BTreeSet::new();
    for _ in 0..PATIENCE {
        let before = changed();
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
        names = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        if changed() == before {
            break;
        }
    }
    names
}

/// What is behind the log's name is a date and the log's extension; not so of a file that is just being compressed, nor of
/// what a user put there.
fn dated(rest: &str, extension: &str, shapes: &Shapes) -> bool {
    let plain = rest.strip_suffix(".gz").unwrap_or(rest);
    let middle = match extension {
        "" => Some(plain),
        extension => plain.strip_suffix(extension).and_then(|rest| rest.strip_suffix('.')),
    };
    middle.is_some_and(|middle| shapes.split(middle).is_some())
}

/// The numbers of a date and a counter, which sort as they came when the year is first.
fn numbers(text: &str) -> Vec<u64> {
    text.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::held::Held;
    use super::super::part::tests::{pack, packed};
    use super::*;
    use std::rc::Rc;

    fn chain(names: &[&str]) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        for name in names {
            std::fs::write(dir.path().join(name), "12345678").unwrap();
        }
        let parts = Shelf::default().chain(&dir.path().join("web-out.log"));
        parts.iter().map(|part| part.path.file_name().unwrap().to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn rotated_files_come_by_their_date_and_counter_before_the_live_one() {
        let names = [
            "web-out.log",
            "web-out__2026-11-22_08-00-00_10.log",
            "web-out__2026-11-22_08-00-00_2.log.gz",
            "web-out__2026-11-22_08-00-00.log",
            "web-out__2025-12-31_23-00-00.log.gz",
            "web-out-2.log",
            "web-out__notes.txt",
            "web-out__notes.log",
            "web-out__2024.log",
            ".web-out.log.idx",
        ];
        assert_eq!(
            chain(&names),
            [
                "web-out__2025-12-31_23-00-00.log.gz",
                "web-out__2026-11-22_08-00-00.log",
                "web-out__2026-11-22_08-00-00_2.log.gz",
                "web-out__2026-11-22_08-00-00_10.log",
                "web-out.log",
            ]
        );
    }

    #[test]
    fn a_log_may_have_another_extension_or_none_and_be_reached_by_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().join("real");
        std::fs::create_dir(&real).unwrap();
        let kept = [
            "a.txt",
            "a__2026-01-01_00-00-00.txt",
            "b",
            "b__2026-01-01_00-00-00_001",
            "b__2026-01-01_00-00-00_002.gz.tmp",
        ];
        kept.iter().for_each(|name| std::fs::write(real.join(name), "12345678").unwrap());
        std::os::unix::fs::symlink(real.join("a.txt"), dir.path().join("link.log")).unwrap();
        let count = |log: &Path| Shelf::default().chain(log).len();
        assert_eq!(count(&real.join("a.txt")), 2);
        assert_eq!(count(&real.join("b")), 2);
        assert_eq!(count(&dir.path().join("link.log")), 2);
    }

    #[test]
    fn a_file_that_is_being_compressed_counts_once() {
        assert_eq!(
            chain(&["web-out__2026-11-22_08-00-00.log", "web-out__2026-11-22_08-00-00.log.gz"]),
            ["web-out__2026-11-22_08-00-00.log"]
        );
    }

    #[test]
    fn names_with_dates_of_another_format_count_where_it_is_known() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a.log", "a__Nov-2026.log", "a__2026-11-22_08-00-00.log"] {
            std::fs::write(dir.path().join(name), "12345678").unwrap();
        }
        let log = dir.path().join("a.log");
        assert_eq!(Shelf::default().chain(&log).len(), 2);
        assert_eq!(Shelf::of_formats(["MMM-YYYY"]).chain(&log).len(), 3);
    }

    /// A log that is put aside at the end of days.
    struct Days {
        _dir: tempfile::TempDir,
        log: PathBuf,
    }

    impl Days {
        fn new() -> Days {
            let dir = tempfile::tempdir().unwrap();
            let log = dir.path().canonicalize().unwrap().join("x.log");
            std::fs::write(&log, "one two").unwrap();
            Days { _dir: dir, log }
        }

        fn aside(&self, day: u32) -> PathBuf {
            self.log.with_file_name(format!("x__2026-01-0{day}_00-00-00.log"))
        }

        fn turn(&self, day: u32) {
            std::fs::rename(&self.log, self.aside(day)).unwrap();
            std::fs::write(&self.log, format!("of day {day}")).unwrap();
        }

        fn place(&self, offset: u64) -> Place {
            Place { file: Part::at(self.log.clone()).unwrap().file, offset }
        }

        fn between(&self, from: &Mark, to: Place) -> (Vec<(PathBuf, u64, u64)>, Gone) {
            let missed = Shelf::default().between(&self.log, from, to);
            let spans = missed.spans.into_iter();
            (
                spans.map(|span| (span.part.path.clone(), span.from, span.from + span.length())).collect(),
                missed.gone,
            )
        }

        fn remove(&self, day: u32, path: &Path) {
            let part = Part::at(path.to_owned()).unwrap();
            let removed = Removed { file: part.file, bytes: part.length };
            let notes = removed::sidecar(&self.log);
            let before = std::fs::read(&notes).unwrap_or_default();
            std::fs::write(&notes, [&before[..], &removed.to_bytes()].concat()).unwrap();
            std::fs::remove_file(path).unwrap();
            // Its inode is taken by what comes next.
            std::fs::write(self.log.with_file_name(format!("{day}")), "").unwrap();
        }
    }

    #[test]
    fn what_lies_between_two_places_spans_a_rotation() {
        let days = Days::new();
        let old = |offset| Place { offset, ..days.place(0) };
        let (four, six, seven) = (old(4), old(6), old(7));
        days.turn(1);
        let new = |offset| days.place(offset);
        let (aside, log) = (days.aside(1), days.log.clone());
        let ends = |from: Place, to| {
            let (spans, gone) = days.between(&from.into(), to);
            assert_eq!(gone, Gone::Nothing);
            spans
        };
        assert_eq!(ends(four, new(5)), [(aside.clone(), 4, 7), (log.clone(), 0, 5)]);
        assert_eq!(ends(four, six), [(aside, 4, 6)]);
        assert_eq!(ends(seven, new(0)), []);
        assert_eq!(ends(new(5), new(5)), []);
        assert_eq!(ends(new(5), six), [], "it is the older one");
        assert_eq!(ends(new(99), new(5)), [(log.clone(), 0, 5)], "it was emptied");
        assert_eq!(Shelf::default().history(&log, (FileId::default(), 0)).len(), 1, "no file is written yet");
    }

    #[test]
    fn places_are_found_in_compressed_files() {
        let days = Days::new();
        let from = days.place(4);
        days.turn(1);
        days.turn(2);
        let middle = days.place(3);
        days.turn(3);
        (1..=3).for_each(|day| pack(&days.aside(day)));
        let at = |day| packed(&days.aside(day));
        let all = [(at(1), 4, 7), (at(2), 0, 8), (at(3), 0, 8), (days.log.clone(), 0, 5)];
        assert_eq!(days.between(&from.into(), days.place(5)), (all.to_vec(), Gone::Nothing));
        let some = [(at(1), 4, 7), (at(2), 0, 8), (at(3), 0, 3)];
        assert_eq!(days.between(&from.into(), middle), (some.to_vec(), Gone::Nothing));
        assert_eq!(days.between(&middle.into(), days.place(5)).0, [(at(3), 3, 8), (days.log.clone(), 0, 5)]);
    }

    #[test]
    fn of_files_that_were_removed_it_is_known_how_much_is_missing() {
        let days = Days::new();
        let from = days.place(4);
        let held = Held::find(&days.log, from.file).map(Rc::new);
        (1..=4).for_each(|day| days.turn(day));
        let to = days.place(5);
        pack(&days.aside(2));
        days.remove(1, &days.aside(1));
        days.remove(2, &packed(&days.aside(2)));
        let left = [(days.aside(3), 0, 8), (days.aside(4), 0, 8), (days.log.clone(), 0, 5)];
        assert_eq!(days.between(&from.into(), to), (left.to_vec(), Gone::Bytes(3 + 8)));
        let mark = Mark::new(from, held);
        let (spans, gone) = days.between(&mark, to);
        assert_eq!((&spans[1..], gone), (&left[..], Gone::Bytes(8)));
        assert_eq!(
            (std::fs::read(&spans[0].0).unwrap(), spans[0].1),
            (b"one two".to_vec(), 4),
            "it is still open"
        );
        std::fs::remove_file(days.aside(3)).unwrap();
        let (_, gone) = days
            .between(&Place { file: FileId { inode: 1, born_ns: from.file.born_ns }, offset: 0 }.into(), to);
        assert_eq!(gone, Gone::Unknown, "somebody else removed it");
    }
}
