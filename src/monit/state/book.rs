//! Log lines, bounded: a ring a source, merged on reading in the order in which the lines came.

use crate::model::WorkerId;
use crate::monit::ansi::Clean;
use crate::monit::event::{Fresh, Source};
use crate::proto::push::StreamKind;
use std::collections::{BinaryHeap, HashMap, VecDeque};

/// Text kept over all sources; each gets its share.
const MAX_BYTES: usize = 64 << 20;
/// And no more lines than this each.
const MAX_LINES: usize = 5000;

/// A line with its place among all lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Grows by one with each line of any source.
    pub seq: u64,
    /// Whose.
    pub source: Source,
    /// stdout or stderr.
    pub stream: StreamKind,
    /// When it was read from the worker, Unix milliseconds.
    pub at_ms: Option<i64>,
    /// Text and styles.
    pub clean: Clean,
}

impl Line {
    /// Bytes that keeping it costs, roughly.
    fn cost(&self) -> usize {
        self.clean.text.len() + self.clean.styles.len() * 24 + size_of::<Line>()
    }
}

#[derive(Debug, Default)]
struct Ring {
    lines: VecDeque<Line>,
    bytes: usize,
}

/// All lines kept.
#[derive(Debug, Default)]
pub struct Book {
    rings: HashMap<Source, Ring>,
    next: u64,
}

impl Book {
    /// Forgets everything; numbers go on.
    pub fn clear(&mut self) {
        self.rings.clear();
    }

    /// Forgets workers that are not `known`.
    pub fn retain(&mut self, known: impl Fn(WorkerId) -> bool) {
        self.rings.retain(|source, _| source.is_none_or(&known));
    }

    /// Number that the next line will get.
    pub fn next_seq(&self) -> u64 {
        self.next
    }

    /// Appends; what is too old for its ring goes.
    pub fn push(&mut self, fresh: Fresh) {
        let Fresh { source, stream, at_ms, clean } = fresh;
        let line = Line { seq: self.next, source, stream, at_ms, clean };
        self.next += 1;
        let share = MAX_BYTES / self.rings.len().max(8);
        let ring = self.rings.entry(source).or_default();
        ring.bytes += line.cost();
        ring.lines.push_back(line);
        while ring.lines.len() > MAX_LINES || (ring.bytes > share && ring.lines.len() > 1) {
            ring.bytes -= ring.lines.pop_front().map_or(0, |gone| gone.cost());
        }
    }

    /// Lines of these sources before number `before`, newest first.
    pub fn back<'a>(&'a self, sources: &[Source], before: u64) -> Merge<'a> {
        let mut merge = Merge { rings: Vec::new(), heads: BinaryHeap::new() };
        for ring in sources.iter().filter_map(|source| self.rings.get(source)) {
            let end = ring.lines.partition_point(|line| line.seq < before);
            merge.add(&ring.lines, end);
        }
        merge
    }

    /// Number of lines of these sources before number `before`.
    pub fn count(&self, sources: &[Source], before: u64) -> usize {
        let rings = sources.iter().filter_map(|source| self.rings.get(source));
        rings.map(|ring| ring.lines.partition_point(|line| line.seq < before)).sum()
    }
}

/// Rings merged, newest line first.
#[derive(Debug)]
pub struct Merge<'a> {
    rings: Vec<&'a VecDeque<Line>>,
    /// Number of a ring's next line, the ring, its place there.
    heads: BinaryHeap<(u64, usize, usize)>,
}

impl<'a> Merge<'a> {
    fn add(&mut self, ring: &'a VecDeque<Line>, end: usize) {
        let Some(at) = end.checked_sub(1) else { return };
        let Some(line) = ring.get(at) else { return };
        self.heads.push((line.seq, self.rings.len(), at));
        self.rings.push(ring);
    }
}

impl<'a> Iterator for Merge<'a> {
    type Item = &'a Line;

    fn next(&mut self) -> Option<&'a Line> {
        let (_, ring, at) = self.heads.pop()?;
        let lines = self.rings.get(ring)?;
        if let Some(before) = at.checked_sub(1)
            && let Some(line) = lines.get(before)
        {
            self.heads.push((line.seq, ring, before));
        }
        lines.get(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fresh(source: u32, text: &str) -> Fresh {
        Fresh {
            source: Some(WorkerId(source)),
            stream: StreamKind::Out,
            at_ms: None,
            clean: crate::monit::ansi::clean(text.as_bytes()),
        }
    }

    #[test]
    fn a_flood_of_one_worker_leaves_the_others_lines() {
        let mut book = Book::default();
        book.push(fresh(1, "quiet"));
        for n in 0..100_000 {
            book.push(fresh(2, &n.to_string()));
        }
        assert_eq!(book.count(&[Some(WorkerId(2))], u64::MAX), MAX_LINES);
        assert_eq!(book.count(&[Some(WorkerId(1))], u64::MAX), 1);
    }

    #[test]
    fn long_lines_are_bounded_by_bytes() {
        let mut book = Book::default();
        for _ in 0..MAX_LINES {
            book.push(fresh(1, &"x".repeat(8000)));
        }
        let kept: usize = book.rings.values().map(|r| r.bytes).sum();
        assert!(kept <= MAX_BYTES / 8, "{kept}");
    }

    proptest! {
        #[test]
        fn reading_back_is_the_order_of_coming(sources in proptest::collection::vec(0u32..4, 0..200), before in 0u64..220) {
            let mut book = Book::default();
            for source in &sources {
                book.push(fresh(*source, "x"));
            }
            let wanted: Vec<Source> = (0..3).map(|s| Some(WorkerId(s))).collect();
            let seen: Vec<u64> = book.back(&wanted, before).map(|line| line.seq).collect();
            let mut expected: Vec<u64> = sources.iter().enumerate()
                .filter(|(n, s)| **s < 3 && (*n as u64) < before).map(|(n, _)| n as u64).collect();
            prop_assert_eq!(book.count(&wanted, before), expected.len());
            expected.reverse();
            prop_assert_eq!(seen, expected);
        }
    }
}
