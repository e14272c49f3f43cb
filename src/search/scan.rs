//! The finds of one log, oldest first, with their context.

use super::block::{Block, Blocks};
use super::narrow::Dating;
use super::part::Span;
use super::pattern::{lines, part};
use super::query::Query;
use super::times::Times;
use crate::model::StreamKind;
use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::path::PathBuf;

/// A line that is to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// With its end, unless it has none.
    pub bytes: Vec<u8>,
    /// When it was written, Unix milliseconds, if times were asked for.
    pub at_ms: Option<i64>,
    /// That is known from the line or from marks, not guessed.
    pub known: bool,
    /// Found, rather than shown as context.
    pub hit: bool,
    /// Lines before it are left out (told only with context).
    pub apart: bool,
}

/// Goes through the spans of a log.
#[derive(Debug)]
pub struct Scan<'q> {
    query: &'q Query,
    stream: StreamKind,
    spans: VecDeque<(Span, Times)>,
    current: Option<(Blocks, Span, Times)>,
    ready: VecDeque<Line>,
    dated: bool,
    block_size: usize,
    context: Context,
    /// Files that could not be read.
    pub trouble: Vec<(PathBuf, io::Error)>,
}

#[derive(Debug, Default)]
struct Context {
    /// Last lines that were not shown.
    before: VecDeque<Line>,
    /// So many lines behind the last find are still to be shown.
    owed: usize,
    shown: bool,
    /// Lines were left out since the last one shown.
    apart: bool,
}

impl<'q> Scan<'q> {
    /// Through these spans; `dated`: lines' times are wanted.
    pub fn new(
        query: &'q Query,
        stream: StreamKind,
        spans: Vec<(Span, Times)>,
        dated: bool,
        block_size: usize,
    ) -> Scan<'q> {
        Scan {
            query,
            stream,
            spans: spans.into(),
            current: None,
            ready: VecDeque::new(),
            dated: dated || query.has_times(),
            block_size,
            context: Context::default(),
            trouble: Vec::new(),
        }
    }

    /// Takes in blocks until there is something to show. `false`: there is nothing more.
    fn fill(&mut self) -> bool {
        while self.ready.is_empty() {
            if self.current.is_none() {
                let Some((span, times)) = self.spans.pop_front() else { return false };
                match Blocks::open(&span, self.block_size) {
                    Ok(blocks) => self.current = Some((blocks, span, times)),
                    Err(error) => self.trouble.push((span.part.path, error)),
                }
            }
            let Some((blocks, span, times)) = &mut self.current else { continue };
            match blocks.next() {
                Ok(Some(block)) => {
                    let work = Work {
                        query: self.query,
                        stream: self.stream,
                        lead: span.lead,
                        times: self.dated.then_some(&*times),
                    };
                    work.block(block, &mut self.context, &mut self.ready);
                }
                Ok(None) => self.current = None,
                Err(error) => {
                    self.trouble.push((span.part.path.clone(), error));
                    self.current = None;
                }
            }
        }
        true
    }
}

impl Iterator for Scan<'_> {
    type Item = Line;

    fn next(&mut self) -> Option<Line> {
        if self.ready.is_empty() && !self.fill() {
            return None;
        }
        self.ready.pop_front()
    }
}

/// What one block needs.
struct Work<'a> {
    query: &'a Query,
    stream: StreamKind,
    lead: u64,
    times: Option<&'a Times>,
}

impl Work<'_> {
    fn block(&self, block: Block<'_>, context: &mut Context, out: &mut VecDeque<Line>) {
        let mut finds = Vec::new();
        self.query.pattern.select(block.bytes, self.stream, &mut finds);
        finds.retain(|line| block.offset + line.start as u64 >= self.lead);
        let dating = self.times.filter(|_| !finds.is_empty() || self.query.before > 0 || context.owed > 0);
        let dating = dating.map(|times| Dating::new(block, times));
        if self.query.has_times() {
            let wanted = |at: i64| self.query.wants_time(at);
            finds.retain(|line| {
                dating.as_ref().is_none_or(|dating| wanted(dating.at(line.start, line.end).0))
            });
        }
        let make = |line: &Range<usize>, hit| {
            let date = dating.as_ref().map(|dating| dating.at(line.start, line.end));
            Line {
                bytes: part(block.bytes, line).to_vec(),
                at_ms: date.map(|(at_ms, _)| at_ms),
                known: date.is_some_and(|(_, known)| known),
                hit,
                apart: false,
            }
        };
        if self.query.before == 0 && self.query.after == 0 {
            out.extend(finds.iter().map(|line| make(line, true)));
            return;
        }
        let mut at = 0;
        for find in &finds {
            self.between(block.bytes, at..find.start, &make, context, out);
            for line in std::mem::take(&mut context.before) {
                self.tell_near(line, context, out);
            }
            context.tell(make(find, true), out);
            context.owed = self.query.after;
            at = find.end;
        }
        self.between(block.bytes, at..block.bytes.len(), &make, context, out);
    }

    /// Lines that are no finds: context of the last one, or perhaps of the next.
    fn between(
        &self,
        bytes: &[u8],
        range: Range<usize>,
        make: &impl Fn(&Range<usize>, bool) -> Line,
        context: &mut Context,
        out: &mut VecDeque<Line>,
    ) {
        let mut start = range.start;
        while context.owed > 0 && start < range.end {
            let end = memchr::memchr(b'\n', part(bytes, &(start..range.end)));
            let end = end.map_or(range.end, |at| start + at + 1);
            context.owed -= 1;
            self.tell_near(make(&(start..end), false), context, out);
            start = end;
        }
        if start < range.end {
            self.keep(bytes, start..range.end, make, context);
        }
    }

    /// Context does not reach beyond the wanted times.
    fn tell_near(&self, line: Line, context: &mut Context, out: &mut VecDeque<Line>) {
        if line.at_ms.is_none_or(|at_ms| self.query.wants_time(at_ms)) {
            context.tell(line, out);
        }
    }

    fn keep(
        &self,
        bytes: &[u8],
        range: Range<usize>,
        make: &impl Fn(&Range<usize>, bool) -> Line,
        context: &mut Context,
    ) {
        let rest = part(bytes, &range);
        let body = rest.strip_suffix(b"\n").unwrap_or(rest);
        let first = match self.query.before.checked_sub(1) {
            Some(more) => memchr::memrchr_iter(b'\n', body).nth(more).map_or(0, |at| at + 1),
            None => rest.len(),
        };
        if first > 0 {
            context.forget();
        }
        for line in lines(rest.get(first..).unwrap_or_default()) {
            let line = range.start + first + line.start..range.start + first + line.end;
            context.before.push_back(make(&line, false));
            if context.before.len() > self.query.before {
                context.before.pop_front();
                context.apart = true;
            }
        }
    }
}

impl Context {
    fn forget(&mut self) {
        self.before.clear();
        self.apart = true;
    }

    fn tell(&mut self, mut line: Line, out: &mut VecDeque<Line>) {
        line.apart = std::mem::take(&mut self.apart) && self.shown;
        self.shown = true;
        out.push_back(line);
    }
}
