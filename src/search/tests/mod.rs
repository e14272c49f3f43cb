//! Whole searches against the naive way: read everything, look at every line.

mod naive;

use super::{Log, Merged, Part, Pattern, Query, Shelf};
use crate::model::StreamKind;
use crate::model::mark::{Mark, sidecar};
use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use std::io::Write;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A log in some files, oldest first; the last is the live one.
struct Rotated {
    dir: TempDir,
    name: &'static str,
}

impl Rotated {
    fn new(name: &'static str, parts: &[(String, bool)]) -> Rotated {
        let rotated = Rotated { dir: tempfile::tempdir().unwrap(), name };
        rotated.write(parts);
        rotated
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join(format!("{}.log", self.name))
    }

    fn write(&self, parts: &[(String, bool)]) {
        let Some(((live, _), old)) = parts.split_last() else { return };
        for (number, (text, packed)) in old.iter().enumerate() {
            let name = format!("{}__2026-01-01_00-00-00_{number}.log", self.name);
            let path = self.dir.path().join(name);
            if *packed {
                let file = std::fs::File::create(format!("{}.gz", path.display())).unwrap();
                let mut gz = GzEncoder::new(file, Compression::fast());
                gz.write_all(text.as_bytes()).unwrap();
                gz.finish().unwrap();
            } else {
                std::fs::write(path, text).unwrap();
            }
        }
        std::fs::write(self.path(), live).unwrap();
    }

    fn log(&self) -> Log {
        let path = self.path();
        let live = Part::at(path.clone()).unwrap();
        let spans = Shelf::default().history(&path, (live.file, live.length));
        Log { path, stream: StreamKind::Out, spans, dates: None }
    }
}

/// A line as it was shown, and when it was written.
type Shown = (Vec<u8>, Option<i64>, bool);

/// The same with threads and without.
fn run(logs: Vec<Log>, query: &Query) -> Vec<Shown> {
    let shown = [0, 2].map(|threads| run_with(logs.clone(), &Query { threads, ..query.clone() }));
    let [alone, others @ ..] = &shown;
    for other in others {
        assert!(joined(other) == joined(alone));
    }
    alone.clone()
}

fn joined(lines: &[Shown]) -> Vec<u8> {
    lines.iter().flat_map(|(bytes, _, _)| bytes).copied().collect()
}

fn run_with(logs: Vec<Log>, query: &Query) -> Vec<Shown> {
    let mut merged = Merged::new(logs, query);
    let mut lines = Vec::new();
    while let Some((_, line)) = merged.line() {
        lines.push((line.bytes.to_vec(), line.at_ms, line.known));
    }
    assert!(merged.trouble().is_empty());
    lines
}

fn text(lines: &[Shown]) -> String {
    lines.iter().map(|(bytes, _, _)| String::from_utf8_lossy(bytes)).collect()
}

fn grep(expression: &str) -> Pattern {
    Pattern::new(Some(expression), false, false, None).unwrap()
}

fn stamp(second: i64) -> String {
    format!("2026-11-22T{:02}:{:02}:{:02}Z", second / 3600, second / 60 % 60, second % 60)
}

fn ms(second: i64) -> i64 {
    super::stamp::iso(stamp(second).as_bytes()).unwrap()
}

fn parts() -> impl Strategy<Value = Vec<(String, bool)>> {
    let line = prop_oneof![6 => "[abcx]{0,12}\n", 1 => "x{60000,140000}\n"];
    let text = proptest::collection::vec(line, 0..8).prop_map(|lines| lines.concat());
    proptest::collection::vec((text, any::<bool>()), 1..5)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn the_last_finds_over_rotated_files_are_those_of_the_naive_way(
        parts in parts(), last in proptest::option::of(0usize..12), wanted in proptest::sample::select(vec!["", "a", "^x", "b.*c"]),
    ) {
        let rotated = Rotated::new("x", &parts);
        let pattern = if wanted.is_empty() { Pattern::default() } else { grep(wanted) };
        let query = Query { pattern, last, ..Query::default() };
        let all: String = parts.iter().map(|(text, _)| text.as_str()).collect();
        let regex = regex::Regex::new(wanted).unwrap();
        let finds: Vec<&str> = all.split_inclusive('\n').filter(|line| regex.is_match(line.trim_end())).collect();
        let first = finds.len().saturating_sub(last.unwrap_or(usize::MAX));
        prop_assert!(text(&run(vec![rotated.log()], &query)) == finds[first..].concat());
    }

    #[test]
    fn context_is_that_of_the_naive_way(
        parts in parts(), before in 0usize..3, after in 0usize..3, last in proptest::option::of(1usize..4),
    ) {
        let plain: Vec<(String, bool)> = parts.into_iter().take(1).collect();
        let rotated = Rotated::new("x", &plain);
        let query = Query { pattern: grep("a"), before, after, last, ..Query::default() };
        let lines: Vec<&str> = plain[0].0.split_inclusive('\n').collect();
        let hits: Vec<usize> = (0..lines.len()).filter(|at| lines[*at].contains('a')).collect();
        let hits = &hits[hits.len().saturating_sub(last.unwrap_or(usize::MAX))..];
        let near = |at: usize| hits.iter().any(|hit| hit.saturating_sub(before) <= at && at <= hit + after);
        let naive: String = (0..lines.len()).filter(|at| near(*at)).map(|at| lines[at]).collect();
        prop_assert!(text(&run(vec![rotated.log()], &query)) == naive);
    }

    #[test]
    fn logs_are_merged_by_the_time_their_lines_carry(
        a in proptest::collection::vec(0i64..80_000, 0..20), b in proptest::collection::vec(0i64..80_000, 0..20),
        cut in 0usize..20, packed: bool,
    ) {
        let lines = |mut seconds: Vec<i64>| -> Vec<String> {
            seconds.sort_unstable();
            seconds.iter().map(|second| format!("{} x\n", stamp(*second))).collect()
        };
        let (a, b) = (lines(a), lines(b));
        let cut = cut.min(a.len());
        let one = Rotated::new("a", &[(a[..cut].concat(), packed), (a[cut..].concat(), false)]);
        let two = Rotated::new("b", &[(b.concat(), false)]);
        let mut naive = [a, b].concat();
        naive.sort();
        prop_assert_eq!(text(&run(vec![one.log(), two.log()], &Query::default())), naive.concat());
    }

    #[test]
    fn since_and_until_are_exact_for_lines_with_times(
        seconds in proptest::collection::vec(0i64..600, 1..80), since in 0i64..600, length in 0i64..600,
        cut in 0usize..80, packed: bool,
    ) {
        let filler = "y".repeat(900);
        let mut seconds = seconds;
        seconds.sort_unstable();
        let lines: Vec<String> = seconds.iter().map(|s| format!("{} {filler}\n  at trace\n", stamp(*s))).collect();
        let cut = cut.min(lines.len());
        let rotated = Rotated::new("x", &[(lines[..cut].concat(), packed), (lines[cut..].concat(), false)]);
        let until = since + length;
        let query = Query { since: Some(ms(since)), until: Some(ms(until)), ..Query::default() };
        let naive: String =
            seconds.iter().zip(&lines).filter(|(s, _)| (since..until).contains(s)).map(|(_, line)| line.as_str()).collect();
        prop_assert!(text(&run(vec![rotated.log()], &query)) == naive);
    }
}

#[test]
fn since_and_until_are_exact_in_a_file_that_is_halved_and_out_of_order() {
    let filler = "y".repeat(200);
    // Neighbours change places, as with an app of several threads.
    let lines: Vec<(i64, String)> =
        (0..30_000i64).map(|n| n ^ 7).map(|s| (s, format!("{} {filler}\n", stamp(s)))).collect();
    let all: String = lines.iter().map(|(_, line)| line.as_str()).collect();
    let rotated = Rotated::new("x", &[(all, false)]);
    for (since, until) in [(0, 5), (15_001, 15_004), (14_000, 29_995), (29_999, 40_000), (40_000, 50_000)] {
        let query = Query { since: Some(ms(since)), until: Some(ms(until)), ..Query::default() };
        let wanted = lines.iter().filter(|(second, _)| (since..until).contains(second));
        let naive: String = wanted.map(|(_, line)| line.as_str()).collect();
        assert!(text(&run(vec![rotated.log()], &query)) == naive, "{since}..{until}");
        let last = Query { last: Some(2), ..query };
        let lines: Vec<&str> = naive.split_inclusive('\n').collect();
        let naive = lines[lines.len().saturating_sub(2)..].concat();
        assert!(text(&run(vec![rotated.log()], &last)) == naive, "last of {since}..{until}");
    }
}

#[test]
fn lines_without_times_are_dated_by_marks() {
    let rotated = Rotated::new("x", &[("one\ntwo\nthree\n".to_owned(), false)]);
    let inode = Part::at(rotated.path()).unwrap().file.inode;
    let marks = [(0, 1000), (4, 5000), (8, 9000)].map(|(offset, at_ms)| Mark { inode, offset, at_ms });
    let bytes: Vec<u8> = marks.iter().flat_map(|mark| mark.to_bytes()).collect();
    std::fs::write(sidecar(&rotated.path()), bytes).unwrap();
    let query = Query { since: Some(2000), until: Some(6000), timed: true, ..Query::default() };
    let found = run(vec![rotated.log()], &query);
    assert_eq!(text(&found), "two\n");
    assert_eq!((found[0].1, found[0].2), (Some(5000), true));
}

#[test]
fn a_line_that_is_longer_than_a_block_comes_whole_and_together() {
    let long = "z".repeat(9 << 20);
    let one = Rotated::new("a", &[(format!("{long}\nend\n"), false)]);
    let two = Rotated::new("b", &[("2026-11-22T00:00:00Z b\n".repeat(3), false)]);
    let all = text(&run(vec![one.log(), two.log()], &Query::default()));
    assert!(all.contains(&format!("{long}\n")));
    let last = Query { last: Some(2), ..Query::default() };
    assert_eq!(text(&run(vec![one.log()], &last)).len(), (9 << 20) + 5);
}

#[test]
fn a_file_that_cannot_be_read_is_told_and_the_others_are_shown() {
    let rotated = Rotated::new("x", &[("one\n".to_owned(), false)]);
    let mut log = rotated.log();
    let gone = Part { path: Path::new("/nowhere/y.log").to_owned(), ..log.spans[0].part.clone() };
    log.spans.insert(0, gone.whole());
    let query = Query::default();
    let mut merged = Merged::new(vec![log], &query);
    assert!(merged.line().is_some_and(|(_, line)| line.bytes == b"one\n") && merged.line().is_none());
    assert_eq!(merged.trouble().len(), 1);
}
