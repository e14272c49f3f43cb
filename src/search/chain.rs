//! A log and what rotation made of it: `web-out__2026-11-22_00-00-00.log`, perhaps with a counter before `.log` and `.gz`
//! behind it, beside `web-out.log`. Files are told apart by inode, because their names change.

use super::held::Held;
use super::tail;
use crate::model::shapes::Shapes;
use std::collections::{BTreeSet, HashMap};
use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A log that is put aside whenever it is looked at is looked at so often.
const PATIENCE: usize = 20;

/// One file of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Where.
    pub path: PathBuf,
    /// Which.
    pub inode: u64,
    /// Bytes of text. Of a compressed file modulo 2^32, as gzip has it.
    pub length: u64,
    /// Compressed.
    pub packed: bool,
    /// When it was born, if the file system knows; Unix milliseconds.
    pub born_ms: Option<i64>,
    /// When it was last written to.
    pub modified_ms: i64,
}

/// A piece of a part that is to be read; of a compressed one in bytes of its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// Of which.
    pub part: Part,
    /// Lines before this are read for context only.
    pub lead: u64,
    /// From here.
    pub from: u64,
    /// Up to here, or to its end.
    pub to: u64,
}

impl Part {
    /// The file that a path leads to.
    pub fn at(path: PathBuf) -> io::Result<Part> {
        let facts = std::fs::metadata(&path)?;
        if !facts.is_file() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let packed = path.extension().is_some_and(|extension| extension == "gz");
        let length = if packed { text_length(&path)? } else { facts.len() };
        let born_ms = facts.created().ok().and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
        let born_ms = born_ms.and_then(|age| i64::try_from(age.as_millis()).ok());
        Ok(Part { path, inode: facts.ino(), length, packed, born_ms, modified_ms: modified(&facts) })
    }

    /// The file that a path leads to, and where its last whole line ends.
    pub fn whole_lines(path: &Path) -> io::Result<(u64, u64)> {
        let file = File::open(path)?;
        let facts = file.metadata()?;
        let (end, _) = tail::start_of_last(&file, 0, facts.len(), 1)?;
        let mut last = [0];
        let ended = tail::read_up_to(&file, &mut last, facts.len().saturating_sub(1))? == 1 && last == *b"\n";
        Ok((facts.ino(), if ended { facts.len() } else { end }))
    }

    /// All of it.
    pub fn whole(self) -> Span {
        let to = if self.packed { u64::MAX } else { self.length };
        Span { part: self, lead: 0, from: 0, to }
    }
}

/// gzip(1): the last four bytes.
fn text_length(path: &Path) -> io::Result<u64> {
    let mut file = File::open(path)?;
    let mut last = [0; 4];
    file.seek(SeekFrom::End(-4))?;
    file.read_exact(&mut last)?;
    Ok(u32::from_le_bytes(last).into())
}

fn modified(facts: &Metadata) -> i64 {
    facts.mtime() * 1000 + facts.mtime_nsec() / 1_000_000
}

/// What stands between two places of a log.
#[derive(Debug)]
pub struct Missed {
    /// As far as it is there.
    pub spans: Vec<Span>,
    /// Nothing of it was removed.
    pub whole: bool,
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
        let mut before = Part::at(log.to_owned()).ok();
        let mut parts = self.rotated(log);
        let mut live = Part::at(log.to_owned()).ok();
        for _ in 0..PATIENCE {
            let inode = |part: &Option<Part>| part.as_ref().map(|part| part.inode);
            if inode(&before) == inode(&live) {
                break;
            }
            // It was put aside meanwhile, perhaps under a name that is not among these.
            self.names.clear();
            before = live;
            parts = self.rotated(log);
            live = Part::at(log.to_owned()).ok();
        }
        parts.extend(live);
        parts
    }

    /// What stands before the byte `end` of the file `inode`, in that file and older ones. 0: no file is written yet.
    pub fn history(&mut self, log: &Path, inode: u64, end: u64) -> Vec<Span> {
        let mut parts = self.chain(log);
        let this = |part: &Part| part.inode == inode && !part.packed;
        if inode != 0 && !parts.iter().any(this) {
            // It may have been put aside after the directory was looked at.
            self.names.clear();
            parts = self.chain(log);
        }
        let last = parts.iter().rposition(this);
        // A file that is gone was compressed a moment ago; the one that took its place is not history.
        let count = last.map_or_else(
            || parts.len() - usize::from(parts.last().is_some_and(|part| part.path == log)),
            |at| at + 1,
        );
        let mut spans: Vec<Span> = parts.into_iter().take(count).map(Part::whole).collect();
        if let (Some(span), Some(_)) = (spans.last_mut(), last) {
            span.to = span.to.min(end);
        }
        spans
    }

    /// What was written after the byte `from` of the file `inode` and stands in [`Shelf::history`]. `held`: that file, if
    /// it could be kept open.
    pub fn between(
        &mut self,
        log: &Path,
        (inode, offset): (u64, u64),
        held: Option<&Held>,
        to: (u64, u64),
    ) -> Missed {
        if inode != to.0 {
            // Names that were read before the last rotation would leave out what it put aside.
            self.names.clear();
        }
        let mut spans = self.history(log, to.0, to.1);
        let name = held.and_then(Held::path);
        let Some(first) = position(&spans, (inode, offset), name.as_deref()) else {
            // All that is certainly newer.
            let known = name.as_deref().and_then(|name| {
                let old = age(log, name)?;
                spans.iter().position(|span| age(log, &span.part.path).is_none_or(|age| age > old))
            });
            spans.drain(..known.unwrap_or(spans.len().saturating_sub(1)));
            let rest = held.and_then(Held::part).filter(|part| part.inode != to.0 && part.length > offset);
            spans.splice(..0, rest.map(|part| Span { lead: offset, from: offset, ..part.whole() }));
            return Missed { spans, whole: inode == 0 };
        };
        spans.drain(..first);
        if let Some(span) = spans.first_mut() {
            // Shorter than it was: it was emptied, and what is there is new.
            span.from = if offset > span.to { 0 } else { offset };
            span.lead = span.from;
        }
        spans.retain(|span| span.from < span.to);
        Missed { spans, whole: true }
    }

    /// Whether the file `inode` of a log came before the one that is held, or is there no more.
    pub fn is_older(&mut self, log: &Path, inode: u64, held: &Held) -> bool {
        let Some(this) = held.part() else { return false };
        self.names.clear();
        let spans: Vec<Span> = self.chain(log).into_iter().map(Part::whole).collect();
        let other = spans.iter().rposition(|span| span.part.inode == inode && !span.part.packed);
        let this = position(&spans, (this.inode, 0), held.path().as_deref());
        // What is removed of a log is its oldest: if the held one is, all others are newer.
        other.is_none_or(|other| this.is_some_and(|this| other < this))
    }

    fn rotated(&mut self, log: &Path) -> Vec<Part> {
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
        let mut parts: Vec<(Vec<u64>, Part)> = alone
            .filter_map(|name| {
                let part = Part::at(dir.join(name)).or_else(|_gone| Part::at(dir.join(format!("{name}.gz"))));
                Some((numbers(name.strip_prefix(&stem)?), part.ok()?))
            })
            .collect();
        if parts.iter().all(|(numbers, _)| numbers.first().is_some_and(|year| *year >= 1970)) {
            parts.sort_by(|(a, _), (b, _)| a.cmp(b));
        } else {
            parts.sort_by_key(|(numbers, part)| (part.modified_ms, numbers.clone()));
        }
        parts.into_iter().map(|(_, part)| part).collect()
    }
}

/// Which of these was read up to the byte `offset`; it may have been compressed since.
fn position(spans: &[Span], (inode, offset): (u64, u64), name: Option<&Path>) -> Option<usize> {
    let known = spans.iter().rposition(|span| span.part.inode == inode && !span.part.packed);
    known.or_else(|| match name {
        Some(name) => spans.iter().position(|span| is_made_of(&span.part, name)),
        // If only one can be it.
        None if inode != 0 => {
            let mut long =
                spans.iter().enumerate().filter(|(_, span)| span.part.packed && span.part.length >= offset);
            long.next().map(|(at, _)| at).filter(|_| long.next().is_none())
        }
        None => None,
    })
}

fn is_made_of(part: &Part, plain: &Path) -> bool {
    part.packed && part.path.with_extension("") == plain
}

/// What the rotated files of a log are sorted by; `None` for the log itself.
fn age(log: &Path, rotated: &Path) -> Option<Vec<u64>> {
    let log = std::fs::canonicalize(log).unwrap_or_else(|_gone| log.to_owned());
    let stem = format!("{}__", log.file_stem()?.to_str()?);
    let name = rotated.file_name()?.to_str()?;
    Some(numbers(name.strip_suffix(".gz").unwrap_or(name).strip_prefix(&stem)?))
}

fn names(dir: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
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
    use super::*;

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

    #[test]
    fn what_lies_between_two_places_spans_a_rotation() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("x.log");
        std::fs::write(&log, "one two").unwrap();
        let old = Part::at(log.clone()).unwrap().inode;
        std::fs::rename(&log, dir.path().join("x__2026-01-01_00-00-00.log")).unwrap();
        std::fs::write(&log, "three").unwrap();
        let new = Part::at(log.clone()).unwrap().inode;
        let ends = |from, to| {
            let missed = Shelf::default().between(&log, from, None, to);
            assert!(missed.whole);
            missed.spans.iter().map(|span| (span.part.inode, span.from, span.to)).collect::<Vec<_>>()
        };
        assert_eq!(ends((old, 4), (new, 5)), [(old, 4, 7), (new, 0, 5)]);
        assert_eq!(ends((old, 4), (old, 6)), [(old, 4, 6)]);
        assert_eq!(ends((new, 5), (new, 5)), []);
        assert_eq!(ends((new, 9), (new, 5)), [(new, 0, 5)], "it was emptied");
        assert_eq!(Shelf::default().history(&log, 0, 0).len(), 1, "no file is written yet");
    }

    #[test]
    fn what_lies_between_begins_in_the_held_file_though_it_was_compressed_or_removed() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().canonicalize().unwrap();
        let log = dir.join("x.log");
        let aside = |day: u32| dir.join(format!("x__2026-01-0{day}_00-00-00.log"));
        let pack = |path: &Path, text: &[u8]| {
            let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            std::io::Write::write_all(&mut packer, text).unwrap();
            std::fs::write(format!("{}.gz", path.display()), packer.finish().unwrap()).unwrap();
            std::fs::remove_file(path).unwrap();
        };
        std::fs::write(&log, "one two").unwrap();
        let old = Part::at(log.clone()).unwrap().inode;
        let held = Held::find(&log, old).unwrap();
        for day in 1..=3 {
            std::fs::rename(&log, aside(day)).unwrap();
            std::fs::write(&log, format!("of day {day}")).unwrap();
        }
        let new = Part::at(log.clone()).unwrap().inode;
        let read = |whole| {
            let missed = Shelf::default().between(&log, (old, 4), Some(&held), (new, 5));
            assert_eq!(missed.whole, whole);
            let paths = missed.spans.iter().map(|span| (span.part.path.clone(), span.from));
            paths.collect::<Vec<_>>()
        };
        let newer = [(aside(2), 0), (aside(3), 0), (log.clone(), 0)];
        assert_eq!(read(true), [&[(aside(1), 4)], &newer[..]].concat());
        assert!(!Shelf::default().is_older(&log, new, &held));
        let later = Held::find(&log, new).unwrap();
        assert!(Shelf::default().is_older(&log, old, &later));
        pack(&aside(1), b"one two");
        pack(&aside(2), b"of day 1");
        let packed = |day| PathBuf::from(format!("{}.gz", aside(day).display()));
        assert_eq!(read(true)[..2], [(packed(1), 4), (packed(2), 0)]);
        std::fs::remove_file(packed(1)).unwrap();
        let left = read(false);
        assert_eq!(std::fs::read(&left[0].0).unwrap(), b"one two", "it is still open");
        assert_eq!((left[0].1, left[1].0.clone(), left.len()), (4, packed(2), 4));
    }
}
