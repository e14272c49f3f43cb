//! Many logs in the order of time. Each log keeps its own order: a line that says it is older than the one before it comes
//! right behind that.

use super::back;
use super::narrow::narrow;
use super::part::Span;
use super::query::Query;
use super::scan::{Line, Scan};
use super::times::Marks;
use crate::model::StreamKind;
use crate::model::date::DateFormat;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// Memory for the blocks of all logs, and of one.
const MEMORY: usize = 64 << 20;
const BLOCK: usize = 512 << 10;
const LEAST_BLOCK: usize = 16 << 10;

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
    scans: Vec<Head<'q>>,
    /// Time of a log's next line, and the log.
    order: BinaryHeap<Reverse<(i64, usize)>>,
    /// A line of this log has no end yet: what comes next of it belongs to it.
    unfinished: Option<usize>,
    trouble: Vec<(PathBuf, io::Error)>,
}

#[derive(Debug)]
struct Head<'q> {
    scan: Scan<'q>,
    next: Option<Line>,
    /// The latest time so far.
    at_ms: i64,
}

impl<'q> Merged<'q> {
    /// Begins to read; what the query leaves out is skipped where that can be found out without reading it.
    pub fn new(logs: Vec<Log>, query: &'q Query) -> Merged<'q> {
        let block = (MEMORY / logs.len().max(1)).clamp(LEAST_BLOCK, BLOCK);
        let dated = query.timed || logs.len() > 1;
        let mut merged =
            Merged { scans: Vec::new(), order: BinaryHeap::new(), unfinished: None, trouble: Vec::new() };
        for (index, log) in logs.into_iter().enumerate() {
            let spans = merged.spans(&log, query, dated);
            let scan = Scan::new(query, log.stream, spans, dated, block);
            merged.scans.push(Head { scan, next: None, at_ms: i64::MIN });
            merged.advance(index);
        }
        merged
    }

    /// Files that could not be read so far.
    pub fn trouble(&mut self) -> Vec<(PathBuf, io::Error)> {
        let of_scans = self.scans.iter_mut().flat_map(|head| std::mem::take(&mut head.scan.trouble));
        let mut all = std::mem::take(&mut self.trouble);
        all.extend(of_scans);
        all
    }

    fn spans(&mut self, log: &Log, query: &Query, dated: bool) -> Vec<(Span, super::times::Times)> {
        let parts: Vec<_> = log.spans.iter().map(|span| span.part.clone()).collect();
        let marks = if dated || query.has_times() { Marks::of(&log.path) } else { Marks::default() };
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

    fn advance(&mut self, index: usize) {
        let Some(head) = self.scans.get_mut(index) else { return };
        head.next = head.scan.next();
        if let Some(line) = &head.next {
            head.at_ms = head.at_ms.max(line.at_ms.unwrap_or(i64::MIN));
            self.order.push(Reverse((head.at_ms, index)));
        }
    }
}

impl Iterator for Merged<'_> {
    type Item = (usize, Line);

    fn next(&mut self) -> Option<(usize, Line)> {
        if let Some(index) = self.unfinished.take()
            && self.scans.get(index).is_some_and(|head| head.next.is_some())
        {
            self.order.retain(|Reverse((_, other))| *other != index);
            self.order.push(Reverse((i64::MIN, index)));
        }
        let Reverse((_, index)) = self.order.pop()?;
        let line = self.scans.get_mut(index)?.next.take()?;
        if !line.bytes.ends_with(b"\n") {
            self.unfinished = Some(index);
        }
        self.advance(index);
        Some((index, line))
    }
}
