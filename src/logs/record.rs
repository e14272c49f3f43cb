//! The record of the batch that is being written, one a stream, in the entry's page that the keeper holds.
//!
//! ```text
//!  idle ──publish──▶ published ──commit──▶ idle    written, and taken out of staging
//!                        └──────withdraw──▶ idle    nothing of it is in a file
//! ```
//!
//! While a record is published its staging pipe is frozen, so whoever finds the record can tell how far
//! the batch came: `staged` less what staging still holds has been taken out.

use super::error::LogError;
use crate::model::StreamKind;
use crate::sys::page::Page;
use std::os::fd::AsFd;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// Words of a batch: state, bytes taken, bytes staged, time, then inode and offset of each file.
const WORDS: usize = 8;
/// Words of a stream: a batch, then the newest generation that anything was read of; the rest is for later.
const STREAM_WORDS: usize = 16;

const PUBLISHED: u64 = 1;
/// The stream stands in the middle of a line.
const MIDLINE: u64 = 2;
/// It will, after the published batch.
const NEXT_MIDLINE: u64 = 4;
/// The published batch ends the line it stands in.
const ENDS_LINE: u64 = 8;

/// Where a batch goes in one file. All zero: no such file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Place {
    /// Which file: a path may lead to another one by now.
    pub inode: u64,
    /// Where in it.
    pub offset: u64,
}

/// All that is needed to do a batch again, to the byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batch {
    /// So many bytes from the front of staging are in it.
    pub taken: usize,
    /// So many bytes staging held when it was published.
    pub staged: usize,
    /// When it was read, Unix milliseconds.
    pub at_ms: i64,
    /// The stream stands in the middle of a line afterwards.
    pub leaves_midline: bool,
    /// An unfinished line is ended, though the worker did not end it.
    pub ends_line: bool,
    /// Where it goes.
    pub places: [Place; 2],
}

/// A stream's record.
#[derive(Debug)]
pub struct Record {
    page: Page,
    first: usize,
}

impl Record {
    /// The stream's part of an entry's page. A page of zeros is idle, at the start of a line.
    pub fn open(page: impl AsFd, stream: StreamKind) -> Result<Record, LogError> {
        let first = match stream {
            StreamKind::Out => 0,
            StreamKind::Err => STREAM_WORDS,
        };
        Ok(Record { page: Page::map(page).map_err(LogError::Record)?, first })
    }

    /// The stream stands in the middle of a line.
    pub fn is_midline(&self) -> bool {
        self.state().load(Relaxed) & MIDLINE != 0
    }

    /// The batch that has been begun and not been committed.
    pub fn published(&self) -> Option<Batch> {
        let state = self.state().load(Acquire);
        let [_, taken, staged, at, inode0, offset0, inode1, offset1] = self.words().map(|w| w.load(Relaxed));
        (state & PUBLISHED != 0).then(|| Batch {
            taken: usize::try_from(taken.min(staged)).unwrap_or(0),
            staged: usize::try_from(staged).unwrap_or(0),
            at_ms: at.cast_signed(),
            leaves_midline: state & NEXT_MIDLINE != 0,
            ends_line: state & ENDS_LINE != 0,
            places: [Place { inode: inode0, offset: offset0 }, Place { inode: inode1, offset: offset1 }],
        })
    }

    /// Announces a batch. Its bytes may be written from now on.
    pub fn publish(&self, batch: &Batch) {
        let [first, second] = batch.places;
        let facts = [
            batch.taken as u64,
            batch.staged as u64,
            batch.at_ms.cast_unsigned(),
            first.inode,
            first.offset,
            second.inode,
            second.offset,
        ];
        for (word, fact) in self.words().iter().skip(1).zip(facts) {
            // In this order also for who finds them after a kill.
            word.store(fact, Release);
        }
        let mut state = (self.state().load(Relaxed) & MIDLINE) | PUBLISHED;
        if batch.leaves_midline {
            state |= NEXT_MIDLINE;
        }
        if batch.ends_line {
            state |= ENDS_LINE;
        }
        self.state().store(state, Release);
    }

    /// The batch is in its files and out of staging. One store: position and state change together.
    pub fn commit(&self) {
        let midline = if self.state().load(Relaxed) & NEXT_MIDLINE != 0 { MIDLINE } else { 0 };
        self.state().store(midline, Release);
    }

    /// Nothing of the batch is in any file, all of it in staging.
    pub fn withdraw(&self) {
        self.state().store(self.state().load(Relaxed) & MIDLINE, Release);
    }

    /// The newest generation whose pipe was read, as far as staging knows.
    pub fn generation(&self) -> u64 {
        self.page.words()[self.first + WORDS].load(Relaxed)
    }

    /// This generation's pipe is about to be read.
    pub fn reach(&self, generation: u64) {
        self.page.words()[self.first + WORDS].fetch_max(generation, Release);
    }

    fn words(&self) -> [&AtomicU64; WORDS] {
        std::array::from_fn(|i| &self.page.words()[self.first + i])
    }

    fn state(&self) -> &AtomicU64 {
        &self.page.words()[self.first]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_published_batch_is_read_back_by_whoever_comes_next() {
        let fd = Page::create("test").unwrap();
        let batch = Batch {
            taken: 5,
            staged: 9,
            at_ms: -3,
            leaves_midline: true,
            ends_line: true,
            places: [Place { inode: 1, offset: 2 }, Place { inode: 3, offset: 4 }],
        };
        Record::open(&fd, StreamKind::Err).unwrap().publish(&batch);
        assert_eq!(Record::open(&fd, StreamKind::Out).unwrap().published(), None);
        let next = Record::open(&fd, StreamKind::Err).unwrap();
        assert_eq!(next.published(), Some(batch));
        assert!(!next.is_midline());
        next.commit();
        assert!(next.is_midline());
        assert_eq!(next.published(), None);
    }

    #[test]
    fn a_withdrawn_batch_leaves_the_position_as_it_was() {
        let record = Record::open(Page::create("test").unwrap(), StreamKind::Out).unwrap();
        let batch = Batch {
            taken: 1,
            staged: 1,
            at_ms: 0,
            leaves_midline: true,
            ends_line: false,
            places: [Place::default(); 2],
        };
        record.publish(&batch);
        record.withdraw();
        assert_eq!((record.is_midline(), record.published()), (false, None));
    }
}
