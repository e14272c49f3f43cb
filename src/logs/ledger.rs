//! What must be known of a stream's spill besides the two file positions, in the entry's page that the keeper
//! holds: where bytes were dropped, and how many so far.
//!
//! Two copies and a selector: a new copy counts from the one store that selects it, so whoever comes after a kill
//! finds the facts before or after a change, never between.

use super::error::LogError;
use crate::model::StreamKind;
use crate::sys::page::Page;
use std::os::fd::AsFd;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// First word of the ledgers in the page, behind the records.
const FIRST: usize = 64;
/// Words of a stream: the selector, then both copies; the rest is for later.
const STREAM_WORDS: usize = 32;
/// Words of a copy.
const WORDS: usize = 10;

/// The facts. Positions are offsets in the spill.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Facts {
    /// The bytes that are to be read end here, at the end of a line; then comes the gap.
    pub gap_from: u64,
    /// Bytes that arrived since the gap was opened begin here. 0: there is no gap.
    pub gap_data: u64,
    /// Up to here they have been counted and may be forgotten.
    pub counted_to: u64,
    /// Lines in what was counted.
    pub lines: u64,
    /// The gap ends here. 0: it still grows.
    pub gap_to: u64,
    /// Why the file took nothing.
    pub errno: u64,
    /// The bytes before the gap do not end a line.
    pub midline: u64,
    /// Bytes dropped in all earlier gaps.
    pub dropped: u64,
    /// Lines in them.
    pub dropped_lines: u64,
}

/// A stream's ledger.
#[derive(Debug)]
pub struct Ledger {
    page: Page,
    first: usize,
}

impl Ledger {
    /// The stream's part of an entry's page. A page of zeros has no gap.
    pub fn open(page: impl AsFd, stream: StreamKind) -> Result<Ledger, LogError> {
        let first = match stream {
            StreamKind::Out => FIRST,
            StreamKind::Err => FIRST + STREAM_WORDS,
        };
        Ok(Ledger { page: Page::map(page).map_err(LogError::Record)?, first })
    }

    /// The facts as they were last committed.
    pub fn facts(&self) -> Facts {
        let copy = usize::from(self.selector().load(Acquire) & 1 == 1);
        let [gap_from, gap_data, counted_to, lines, gap_to, errno, midline, dropped, dropped_lines, _later] =
            self.copy(copy).map(|word| word.load(Relaxed));
        Facts { gap_from, gap_data, counted_to, lines, gap_to, errno, midline, dropped, dropped_lines }
    }

    /// Replaces them, all at once.
    pub fn commit(&self, facts: &Facts) {
        let selected = self.selector().load(Relaxed);
        let next = usize::from(selected & 1 == 0);
        let Facts { gap_from, gap_data, counted_to, lines, gap_to, errno, midline, dropped, dropped_lines } =
            *facts;
        let words = [gap_from, gap_data, counted_to, lines, gap_to, errno, midline, dropped, dropped_lines];
        for (word, fact) in self.copy(next).iter().zip(words) {
            // In this order also for who finds them after a kill.
            word.store(fact, Release);
        }
        self.selector().store(selected ^ 1, Release);
    }

    fn selector(&self) -> &AtomicU64 {
        &self.page.words()[self.first]
    }

    fn copy(&self, which: usize) -> [&AtomicU64; WORDS] {
        std::array::from_fn(|i| &self.page.words()[self.first + 1 + which * WORDS + i])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_one_finds_what_was_committed_last_for_its_stream() {
        let fd = Page::create("test").unwrap();
        let ledger = Ledger::open(&fd, StreamKind::Err).unwrap();
        assert_eq!(ledger.facts(), Facts::default());
        for gap_from in 1..5 {
            let facts = Facts { gap_from, dropped_lines: 7, ..Facts::default() };
            ledger.commit(&facts);
            assert_eq!(Ledger::open(&fd, StreamKind::Err).unwrap().facts(), facts);
        }
        assert_eq!(Ledger::open(&fd, StreamKind::Out).unwrap().facts(), Facts::default());
    }
}
