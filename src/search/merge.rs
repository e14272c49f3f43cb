//! Many logs in the order of time. Each log keeps its own order: a line that says it is older than the one before it comes
//! right behind that.

use super::back;
use super::narrow::narrow;
use super::part::Span;
use super::query::Query;
use super::scan::{Line, Scan, State};
use super::sift::{Dated, Sift};
use super::times::Marks;
use crate::model::StreamKind;
use crate::model::date::DateFormat;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// Memory for the blocks of all logs, and of one. Blocks are small in tests, which so have many seams.
const MEMORY: usize = 64 << 20;
const BLOCK: usize = if cfg!(test) { 300 } else { 256 << 10 };
/// Blocks of a log that are read ahead.
const WAITING: usize = 8;
const LEAST_BLOCK: usize = if cfg!(test) { 300 } else { 16 << 10 };

/// A log that is to be read.
#[derive(Debug, Clone)]
pub struct Log {
    /// Its live file's path.
    pub path: PathBuf,
    /// Which stream it holds.
    pub stream: StreamKind,
    /// What of its files, oldest first.
    pub spans: Vec<Span>,
    /// How its lines are dated, if the app has a format for that.
    pub dates: Option<Arc<DateFormat>>,
}

/// Lines of many logs, with the number of the log each is of.
#[derive(Debug)]
pub struct Merged<'q> {
    heads: Vec<Head<'q>>,
    /// Logs whose next line is not known yet.
    open: Vec<usize>,
    /// Time of a log's next line, and the log.
    order: BinaryHeap<Reverse<(i64, usize)>>,
    /// The last line, of this log, has no end yet: what comes next of it belongs to it.
    unfinished: Option<usize>,
    trouble: Vec<(PathBuf, io::Error)>,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coming {
    /// A line can be taken.
    Ready,
    /// Much was looked through, and there is no line yet.
    Quiet,
    /// That was all.
    Over,
}

#[derive(Debug)]
struct Head<'q> {
    scan: Scan<'q>,
    /// The latest time so far.
    at_ms: i64,
}

impl<'q> Merged<'q> {
    /// Begins to read; what the query leaves out is skipped where that can be found out without reading it.
    pub fn new(logs: Vec<Log>, query: &'q Query) -> Merged<'q> {
        let count = logs.len().max(1);
        let block = (MEMORY / WAITING / count).clamp(LEAST_BLOCK, BLOCK);
        // Every log's next line is needed, so each has its own.
        let threads = if count <= 4 * query.threads { query.threads.div_ceil(count) } else { 0 };
        let each = query.timed || logs.len() > 1;
        let dated = each || query.has_times();
        let mut merged = Merged {
            heads: Vec::new(),
            open: (0..logs.len()).rev().collect(),
            order: BinaryHeap::new(),
            unfinished: None,
            trouble: Vec::new(),
        };
        for log in logs {
            let files = merged.files(&log, query, dated);
            let sift = Sift::new(query, log.stream, files, each, block, threads);
            merged.heads.push(Head { scan: Scan::new(query, sift, dated), at_ms: i64::MIN });
        }
        merged
    }

    /// Looks for the next line, for as long as that can be waited for.
    pub fn step(&mut self) -> Coming {
        while let Some(index) = self.open.last().copied() {
            let Some(head) = self.heads.get_mut(index) else { return Coming::Over };
            match head.scan.step() {
                State::Quiet => return Coming::Quiet,
                State::Over => {}
                State::Ready(at_ms) => {
                    head.at_ms = head.at_ms.max(at_ms.unwrap_or(i64::MIN));
                    let first = self.unfinished == Some(index);
                    self.order.push(Reverse((if first { i64::MIN } else { head.at_ms }, index)));
                }
            }
            self.open.pop();
        }
        if self.order.is_empty() { Coming::Over } else { Coming::Ready }
    }

    /// The next line; it is waited for.
    pub fn line(&mut self) -> Option<(usize, Line<'_>)> {
        while self.step() == Coming::Quiet {}
        let Reverse((_, index)) = self.order.pop()?;
        self.open.push(index);
        let line = self.heads.get_mut(index)?.scan.take()?;
        self.unfinished = (!line.bytes.ends_with(b"\n")).then_some(index);
        Some((index, line))
    }

    /// Files that could not be read so far.
    pub fn trouble(&mut self) -> Vec<(PathBuf, io::Error)> {
        let of_scans = self.heads.iter_mut().flat_map(|head| std::mem::take(&mut head.scan.trouble));
        let mut all = std::mem::take(&mut self.trouble);
        all.extend(of_scans);
        all
    }

    fn files(&mut self, log: &Log, query: &Query, dated: bool) -> Vec<Dated> {
        let parts: Vec<_> = log.spans.iter().map(|span| span.part.clone()).collect();
        let marks = if dated { Marks::of(&log.path) } else { Marks::default() };
        let mut times = marks.share_out(&parts);
        times.iter_mut().for_each(|times| times.dates.clone_from(&log.dates));
        let spans = log.spans.iter().cloned().zip(times).collect();
        let narrowed = narrow(spans, query);
        let last = narrowed.and_then(|spans| match query.last {
            Some(n) => back::last(spans, query, log.stream, n),
            None => Ok(spans),
        });
        last.unwrap_or_else(|error| {
            self.trouble.push((log.path.clone(), error));
            Vec::new()
        })
    }
}
