//! When the bytes of a file were written: from the log's marks, within their distance; without marks a guess between the
//! file's birth and its last write. And what a line says of that itself, where the app's format can be read.

use super::part::Part;
use super::stamp;
use crate::model::date::DateFormat;
use crate::model::mark::{Mark, sidecar};
use std::path::Path;
use std::sync::Arc;

/// What is between two marks was written no later than this after the first: as far apart as the pump makes them.
const APART_MS: i64 = 100;

/// Times of one file.
#[derive(Debug, Clone, Default)]
pub struct Times {
    /// Rising in both.
    marks: Vec<(u64, i64)>,
    born_ms: i64,
    modified_ms: i64,
    length: u64,
    /// How the app's lines are dated.
    pub dates: Option<Arc<DateFormat>>,
}

/// All marks of a log, cut where a file began.
#[derive(Debug, Default)]
pub struct Marks {
    runs: Vec<(u64, Vec<(u64, i64)>)>,
}

impl Marks {
    /// Those beside the log; none if they cannot be read.
    pub fn of(log: &Path) -> Marks {
        Marks::new(Mark::all(&std::fs::read(sidecar(log)).unwrap_or_default()))
    }

    fn new(marks: impl Iterator<Item = Mark>) -> Marks {
        let mut runs: Vec<(u64, Vec<(u64, i64)>)> = Vec::new();
        let mut before: Option<Mark> = None;
        for mark in marks {
            if before.is_none_or(|before| mark.begins_anew(&before)) {
                runs.push((mark.inode, Vec::new()));
            }
            if let Some((_, run)) = runs.last_mut() {
                // A clock that was set back: time stands still until it has caught up.
                let at_ms = run.last().map_or(mark.at_ms, |(_, last)| mark.at_ms.max(*last));
                run.push((mark.offset, at_ms));
            }
            before = Some(mark);
        }
        Marks { runs }
    }

    /// The times of each part, oldest first. A copied file has another inode than when it was written: it
    /// gets the last marks before those of the next younger file that reach into its second half and not beyond it.
    pub fn share_out(mut self, parts: &[Part]) -> Vec<Times> {
        let mut times = Vec::with_capacity(parts.len());
        for (index, part) in parts.iter().enumerate().rev() {
            let others = parts.get(..index).unwrap_or_default();
            let end = |run: &[(u64, i64)]| run.last().map_or(0, |(offset, _)| *offset);
            let own = self
                .runs
                .iter()
                .rposition(|(inode, run)| *inode == part.file.inode && end(run) <= part.length);
            let copied = || {
                let free = |inode: u64| !others.iter().any(|other| other.file.inode == inode);
                self.runs.iter().rposition(|(inode, run)| {
                    free(*inode) && end(run) <= part.length && end(run) >= part.length / 2
                })
            };
            let found = own.or_else(copied);
            let marks = found.map(|at| self.runs.split_off(at).swap_remove(0).1).unwrap_or_default();
            let begun = index.checked_sub(1).and_then(|before| parts.get(before)).map(|p| p.modified_ms);
            let born_ms = begun.or(part.born_ms).unwrap_or(part.modified_ms).min(part.modified_ms);
            times.push(Times {
                marks,
                born_ms,
                modified_ms: part.modified_ms,
                length: part.length,
                dates: None,
            });
        }
        times.reverse();
        times
    }
}

impl Times {
    /// When the line at `offset` says that it was written. Where the app's format leaves that open (no day, no half of the
    /// day), a mark decides; without one the line says nothing.
    pub fn own(&self, line: &[u8], offset: u64) -> Option<i64> {
        let dated = self.dates.as_ref().and_then(|dates| {
            let read = stamp::dated(line, dates, || self.at(offset).0)?;
            (read.1 || self.at(offset).1).then_some(read.0)
        });
        dated.or_else(|| stamp::own(line))
    }

    /// When the byte at `offset` was written, Unix milliseconds; `true`: a mark says so.
    pub fn at(&self, offset: u64) -> (i64, bool) {
        let next = self.marks.partition_point(|(start, _)| *start <= offset);
        let after = self.marks.get(next);
        match next.checked_sub(1).and_then(|before| self.marks.get(before)) {
            Some((start, at)) => {
                let (end, until) = after.copied().unwrap_or((self.length, self.modified_ms.max(*at)));
                let until = until.min(at + APART_MS);
                (between(offset, (*start, *at), (end, until)), true)
            }
            None => {
                let (end, until) = after.copied().unwrap_or((self.length, self.modified_ms));
                (between(offset, (0, self.born_ms.min(until)), (end, until)), false)
            }
        }
    }
}

fn between(offset: u64, (start, from): (u64, i64), (end, to): (u64, i64)) -> i64 {
    let length = end.saturating_sub(start);
    if length == 0 {
        return from;
    }
    let share = (offset.saturating_sub(start)).min(length) as f64 / length as f64;
    from + ((to - from).max(0) as f64 * share) as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::FileId;
    use std::path::PathBuf;

    fn part(inode: u64, length: u64, packed: bool, modified_ms: i64) -> Part {
        Part {
            path: PathBuf::from("/x"),
            file: FileId { inode, born_ns: 0 },
            length,
            packed,
            born_ms: Some(0),
            modified_ms,
        }
    }

    fn marks(of: &[(u64, u64, i64)]) -> Marks {
        Marks::new(of.iter().map(|(inode, offset, at_ms)| Mark {
            inode: *inode,
            offset: *offset,
            at_ms: *at_ms,
        }))
    }

    #[test]
    fn a_line_was_written_when_its_mark_says_and_not_during_the_pause_behind_it() {
        let times = marks(&[(1, 0, 1000), (1, 50, 5000)]).share_out(&[part(1, 100, false, 5100)]);
        let at = |offset| times[0].at(offset);
        assert_eq!(at(0), (1000, true));
        assert_eq!(at(25), (1050, true));
        assert_eq!(at(50), (5000, true));
        assert_eq!(at(99), (5098, true));
    }

    #[test]
    fn a_line_is_dated_by_the_apps_own_format_and_what_that_leaves_open_by_a_mark() {
        let at = |format: &str, line: &str, marked: &[(u64, u64, i64)]| {
            let mut times = marks(marked).share_out(&[part(1, 100, false, 5100)]).remove(0);
            times.dates = Some(Arc::new(DateFormat::in_zone(format, jiff::tz::TimeZone::UTC)));
            times.own(line.as_bytes(), 0)
        };
        let third_of_april = 1_775_192_767_000;
        let full = "DD/MM/YYYY HH:mm:ss";
        assert_eq!(at(full, "03/04/2026 05:06:07: ready", &[]), Some(third_of_april));
        assert_eq!(at(full, "03/04/2026 05:06:07 ready", &[]), None, "the app wrote that itself");
        assert_eq!(at("MM/DD/YYYY HH:mm:ss", "04/03/2026 05:06:07: ready", &[]), Some(third_of_april));
        let json = r#"{"message":"x\n","timestamp":"03/04/2026 05:06:07","type":"out"}"#;
        assert_eq!(at(full, json, &[]), Some(third_of_april));
        let mark = (1, 0, third_of_april + 250);
        assert_eq!(at("HH:mm:ss", "05:06:07: ready", &[mark]), Some(third_of_april));
        assert_eq!(at("HH:mm:ss", "05:06:07: ready", &[]), None, "of which day?");
        assert_eq!(at(full, "2026-04-03T05:06:07Z: older", &[]), Some(third_of_april), "before it was set");
    }

    #[test]
    fn without_marks_times_are_guessed_between_birth_and_last_write() {
        let parts = [part(1, 100, false, 1000), part(2, 100, false, 3000)];
        let times = Marks::default().share_out(&parts);
        assert_eq!(times[0].at(50), (500, false));
        assert_eq!(times[1].at(50), (2000, false));
    }

    #[test]
    fn compressed_files_get_the_marks_they_had_under_another_inode() {
        let marks = marks(&[(7, 0, 10), (7, 90, 20), (8, 0, 30), (8, 10, 40), (8, 0, 50), (9, 0, 60)]);
        let parts = [part(100, 95, true, 25), part(8, 5, false, 55), part(9, 5, false, 65)];
        let times = marks.share_out(&parts);
        assert_eq!(times[0].at(90).0, 20);
        assert_eq!(times[1].at(0), (50, true), "it was emptied and began anew");
        assert_eq!(times[2].at(0), (60, true));
    }
}
