//! A log and what rotation made of it: `web-out__2026-11-22_00-00-00.log`, perhaps with a counter before `.log` and `.gz`
//! behind it, beside `web-out.log`. Files are told apart by inode, because their names change.

use super::tail;
use crate::model::shapes::Shapes;
use std::collections::{BTreeSet, HashMap};
use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

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
        let mut parts = self.rotated(log);
        parts.extend(Part::at(log.to_owned()).ok());
        parts
    }

    /// What stands before the byte `end` of the file `inode`, in that file and older ones. 0: no file is written yet.
    pub fn history(&mut self, log: &Path, inode: u64, end: u64) -> Vec<Span> {
        let parts = self.chain(log);
        let last = parts.iter().rposition(|part| part.inode == inode && !part.packed);
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

    /// What was written after the byte `from` of the file `inode` and stands in [`Shelf::history`].
    pub fn between(&mut self, log: &Path, from: (u64, u64), to: (u64, u64)) -> Vec<Span> {
        let mut spans = self.history(log, to.0, to.1);
        let (inode, offset) = from;
        let known = spans.iter().rposition(|span| span.part.inode == inode && !span.part.packed);
        // It was rotated and compressed since: the newest that is long enough.
        let packed = || spans.iter().rposition(|span| span.part.packed && span.part.length >= offset);
        let Some(first) = known.or_else(packed) else { return Vec::new() };
        spans.drain(..first);
        if let Some(span) = spans.first_mut() {
            // Shorter than it was: it was emptied, and what is there is new.
            span.from = if offset > span.to { 0 } else { offset };
            span.lead = span.from;
        }
        spans.retain(|span| span.from < span.to);
        spans
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
            let spans = Shelf::default().between(&log, from, to);
            spans.iter().map(|span| (span.part.inode, span.from, span.to)).collect::<Vec<_>>()
        };
        assert_eq!(ends((old, 4), (new, 5)), [(old, 4, 7), (new, 0, 5)]);
        assert_eq!(ends((old, 4), (old, 6)), [(old, 4, 6)]);
        assert_eq!(ends((new, 5), (new, 5)), []);
        assert_eq!(ends((new, 9), (new, 5)), [(new, 0, 5)], "it was emptied");
        assert_eq!(Shelf::default().history(&log, 0, 0).len(), 1, "no file is written yet");
    }
}
