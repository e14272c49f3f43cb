//! Searches in one file against a loop over its lines: any bytes, any seam of blocks and pieces.

use super::{Log, Merged, Query};
use crate::model::StreamKind;
use crate::search::{Part, Pattern};
use proptest::collection::vec;
use proptest::prelude::*;
use std::path::Path;

const EXPRESSIONS: [&str; 22] = [
    "a",
    "ab",
    "",
    "^",
    "$",
    "^$",
    "^a",
    "b$",
    "x*",
    "a.*b",
    "[^a]",
    "(?-u)\\xff",
    r"\s",
    r"\bab\b",
    "ä",
    "a|b|\u{e4}",
    "k",
    "\\r$",
    "^\\x00",
    "zzz",
    "(a|b){3}",
    "b+a+$",
];

fn line() -> impl Strategy<Value = Vec<u8>> {
    let byte = proptest::sample::select(b"aabbABxk \r\0\xff\xc3\xa4".to_vec());
    let text = prop_oneof![6 => vec(byte.clone(), 0..12), 1 => vec(byte, 250..900)];
    let special = proptest::sample::select(vec![
        &b""[..],
        b"\r",
        "ä".as_bytes(),
        "Ä\u{212a}".as_bytes(),
        b"ab",
        b"a b ab",
    ]);
    prop_oneof![4 => text, 1 => special.prop_map(<[u8]>::to_vec)]
}

#[derive(Debug, Clone, Copy)]
struct Asked {
    expression: &'static str,
    ignore_case: bool,
    invert: bool,
    before: usize,
    after: usize,
    last: Option<usize>,
}

fn asked() -> impl Strategy<Value = Asked> {
    let near = || prop_oneof![2 => Just(0usize), 1 => 1usize..4];
    let last = prop_oneof![3 => Just(None), 1 => (0usize..6).prop_map(Some)];
    let words = proptest::sample::select(EXPRESSIONS.to_vec());
    (words, any::<bool>(), any::<bool>(), near(), near(), last).prop_map(
        |(expression, ignore_case, invert, before, after, last)| Asked {
            expression,
            ignore_case,
            invert,
            before,
            after,
            last,
        },
    )
}

/// What grep would say, and `--` where lines are left out.
fn naive(text: &[u8], asked: Asked) -> Vec<u8> {
    let regex = regex::bytes::RegexBuilder::new(asked.expression)
        .case_insensitive(asked.ignore_case)
        .build()
        .unwrap();
    let lines: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
    let hits = (0..lines.len()).filter(|at| {
        let line = lines[*at];
        regex.is_match(line.strip_suffix(b"\n").unwrap_or(line)) != asked.invert
    });
    let hits: Vec<usize> = hits.collect();
    let hits = &hits[hits.len().saturating_sub(asked.last.unwrap_or(usize::MAX))..];
    let shown = (0..lines.len()).filter(|at| {
        hits.iter().any(|hit| hit.saturating_sub(asked.before) <= *at && *at <= hit + asked.after)
    });
    let mut out = Vec::new();
    let mut next = None;
    for at in shown {
        if asked.before + asked.after > 0 && next.is_some_and(|next| at > next) {
            out.extend_from_slice(b"--\n");
        }
        out.extend_from_slice(lines[at]);
        next = Some(at + 1);
    }
    out
}

fn ours(path: &Path, asked: Asked, threads: usize, timed: bool) -> Vec<u8> {
    let part = Part::at(path.to_owned()).unwrap();
    let log = Log { path: path.to_owned(), stream: StreamKind::Out, spans: vec![part.whole()], dates: None };
    let pattern = Pattern::new(Some(asked.expression), asked.ignore_case, asked.invert, None).unwrap();
    let Asked { before, after, last, .. } = asked;
    let query = Query { pattern, before, after, last, threads, timed, ..Query::default() };
    let mut merged = Merged::new(vec![log], &query);
    let mut out = Vec::new();
    while let Some((_, line)) = merged.line() {
        assert!(!timed || memchr::memchr_iter(b'\n', line.bytes).count() <= 1);
        out.extend_from_slice(if line.apart { b"--\n" } else { b"" });
        out.extend_from_slice(line.bytes);
    }
    assert!(merged.trouble().is_empty());
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn a_search_finds_the_lines_of_the_naive_way(
        lines in vec(line(), 0..30), ended: bool, asked in asked(), threads in 0usize..3, timed: bool,
    ) {
        let mut text = lines.join(&b'\n');
        if ended && !text.is_empty() {
            text.push(b'\n');
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.log");
        std::fs::write(&path, &text).unwrap();
        let (ours, naive) = (ours(&path, asked, threads, timed), naive(&text, asked));
        prop_assert!(ours == naive, "{}\n---\n{}", ours.escape_ascii(), naive.escape_ascii());
    }
}
