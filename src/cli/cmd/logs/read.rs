//! The loop of `logs`: history from the files, then what the daemon sends; over its death, and over a terminal that is
//! slower than the apps.

use super::cursor::{Cursors, Step};
use super::page::{Page, header};
use super::wait::{has_left, late, pause};
use crate::cli::cmd::context::Context;
use crate::cli::error::CliError;
use crate::client::{CallError, Client, Incoming, Next, Stream};
use crate::model::date::DateFormat;
use crate::proto::push::StreamKind;
use crate::proto::push::{LogPlace, Skipped};
use crate::proto::request::LogsRequest;
use crate::proto::{LogBatch, LogFile, LogHeader, LogSpot, Push, Reply, Request};
use crate::search::{Coming, Gone, Line, Log, Mark, Merged, Part, Place, Query, Shelf, Watch};
use crate::sys::clock;
use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// After so long without a line, folded runs are told.
const QUIET: Duration = Duration::from_secs(1);
/// While lines come without end, what is gathered is shown at least so often.
const LATEST_MS: u64 = 50;

/// What is read, and how far.
pub struct Reader<'a> {
    cx: &'a Context,
    page: Page,
    request: LogsRequest,
    query: &'a Query,
    /// File by file, as PM2 has it.
    plain: bool,
    begun: bool,
    cursors: Cursors,
    watches: HashMap<usize, Watch>,
    /// Each path's header, for lines that are read from it.
    headers: HashMap<String, LogHeader>,
    /// How each path's lines are dated.
    dates: HashMap<String, Arc<DateFormat>>,
    own_log: Option<String>,
    shown_ms: u64,
}

/// What is to be looked for in the files of a log.
type Missing = (String, Mark, Place);

/// How a connection ended.
enum End {
    Over,
    Gone,
}

impl std::fmt::Debug for Reader<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").finish_non_exhaustive()
    }
}

impl<'a> Reader<'a> {
    /// Nothing is read yet.
    pub fn new(
        cx: &'a Context,
        page: Page,
        request: LogsRequest,
        query: &'a Query,
        plain: bool,
    ) -> Reader<'a> {
        Reader {
            cx,
            page,
            request,
            query,
            plain,
            begun: false,
            cursors: Cursors::default(),
            watches: HashMap::new(),
            headers: HashMap::new(),
            dates: HashMap::new(),
            own_log: None,
            shown_ms: 0,
        }
    }

    /// Prints until there is nothing more, or for ever.
    pub fn read(mut self, client: Client) -> Result<(), CliError> {
        let mut stream = client.into_stream();
        loop {
            let end = match stream.ask(Request::Logs(self.request.clone())) {
                // It died before it had heard us.
                Err(CallError::Gone) => End::Gone,
                asked => asked.map(|_id| self.until_gone(&mut stream))??,
            };
            match end {
                End::Over => return Ok(self.page.end()?),
                End::Gone => {}
            }
            self.page.rest()?;
            self.cx.warn("The daemon went away; waiting for it")?;
            stream = self.again()?;
            // What was shown is not shown again.
            self.request.lines = 0;
        }
    }

    fn until_gone(&mut self, stream: &mut Stream) -> Result<End, CliError> {
        loop {
            let patience = if self.page.needs_lines() { QUIET } else { Duration::from_secs(3600) };
            let next = match stream.next_for(io::stdout(), Some(Duration::ZERO))? {
                Next::Quiet => {
                    self.page.rest()?;
                    stream.next_for(io::stdout(), Some(patience))?
                }
                ready => ready,
            };
            match next {
                Next::Came(incoming) => {
                    if self.take(*incoming)? {
                        return Ok(End::Over);
                    }
                }
                Next::Quiet => self.page.pause()?,
                Next::ReaderLeft => return Err(io::Error::from(io::ErrorKind::BrokenPipe).into()),
                Next::Gone => return Ok(End::Gone),
            }
            self.show_soon()?;
        }
    }

    /// `true`: what is gathered was shown.
    fn show_soon(&mut self) -> Result<bool, CliError> {
        let now = clock::now().boot_ms;
        let due = now.saturating_sub(self.shown_ms) >= LATEST_MS;
        if due {
            self.shown_ms = now;
            self.page.rest()?;
        }
        Ok(due)
    }

    /// `true`: that was all.
    fn take(&mut self, incoming: Incoming) -> Result<bool, CliError> {
        match incoming {
            Incoming::Log(batch) => self.batch(&batch)?,
            Incoming::Missed { spot, lines, overwritten } => self.missed(&spot, lines, overwritten)?,
            Incoming::Push { push: Push::Files { files }, .. } => {
                if std::mem::replace(&mut self.begun, true) {
                    self.catch_up(&files)?;
                } else {
                    self.history(&files)?;
                }
            }
            Incoming::Push { push: Push::HistoryEnd, .. } => return Ok(!self.request.follow),
            Incoming::Push { push: Push::Lagged { lines, unplaced, placed }, .. } => {
                self.lagged(lines, unplaced, &placed)?;
            }
            Incoming::Push { push: Push::LogTrouble { worker, name, what }, .. } => {
                self.page.rest()?;
                self.cx.warn(late(&name, worker, what.as_deref()))?;
            }
            Incoming::Push { push: Push::Changed(change), .. } => self.page.event(&change)?,
            Incoming::Push { push: Push::Fleet { .. } | Push::Unknown, .. } => {}
            Incoming::Reply { reply: Reply::Error(error), .. } => return Err(error.into()),
            Incoming::Reply { .. } => {}
        }
        Ok(false)
    }

    /// What was written up to now.
    fn history(&mut self, files: &[LogFile]) -> Result<(), CliError> {
        for file in files {
            self.know(file);
        }
        // Headings also where no lines are wanted: they say that the stream stands.
        if self.query.last == Some(0) && !self.plain {
            return Ok(());
        }
        let mut shelf = self.cursors.shelf();
        let mut logs: Vec<(LogHeader, Log)> = Vec::new();
        for file in files {
            let path = PathBuf::from(&file.path);
            let spans = shelf.history(&path, (file.file, file.end));
            if !spans.is_empty() {
                let dates = self.dates.get(&file.path).cloned();
                logs.push((header(file), Log { path, stream: file.stream, spans, dates }));
            }
        }
        if !self.plain {
            return self.merged(logs, self.query);
        }
        let last_write = |log: &Log| log.spans.last().map(|span| span.part.modified_ms);
        logs.sort_by_key(|(header, log)| (header.worker.is_some(), last_write(log)));
        for (header, log) in logs {
            self.page.head(&LogHeader { path: Some(log.path.display().to_string()), ..header.clone() })?;
            self.merged(vec![(header, log)], self.query)?;
        }
        Ok(())
    }

    /// Lines of many logs in time order.
    fn merged(&mut self, logs: Vec<(LogHeader, Log)>, query: &Query) -> Result<(), CliError> {
        let sources: Vec<usize> = logs.iter().map(|(header, _)| self.page.source(header)).collect();
        let mut lines = Merged::new(logs.into_iter().map(|(_, log)| log).collect(), query);
        loop {
            match lines.step() {
                Coming::Over => break,
                Coming::Quiet => {
                    if self.show_soon()? && has_left(Duration::ZERO)? {
                        return Err(io::Error::from(io::ErrorKind::BrokenPipe).into());
                    }
                }
                Coming::Ready => {
                    if let Some((log, line)) = lines.line()
                        && let Some(source) = sources.get(log)
                    {
                        self.page.line(*source, &line, true)?;
                    }
                }
            }
        }
        self.trouble(lines.trouble())
    }

    fn trouble(&mut self, trouble: Vec<(PathBuf, io::Error)>) -> Result<(), CliError> {
        for (path, error) in trouble {
            self.page.rest()?;
            self.cx.warn(format!("failed to read {}: {error}", path.display()))?;
        }
        Ok(())
    }

    /// What was written while there was no daemon to tell it, or while this was too slow.
    fn catch_up(&mut self, files: &[LogFile]) -> Result<(), CliError> {
        let mut missed = Vec::new();
        for file in files {
            if let Some((from, to)) = self.know(file) {
                missed.push((file.path.clone(), from, to));
            }
        }
        self.fill_or_warn(&missed)
    }

    fn know(&mut self, file: &LogFile) -> Option<(Mark, Place)> {
        let mut file = file.clone();
        if file.worker.is_none() {
            // Its lines do not say where they stand: it is read up to its last line whenever one comes.
            (file.file, file.end) = Part::whole_lines(file.path.as_ref()).unwrap_or_default();
            self.own_log = Some(file.path.clone());
        }
        self.headers.insert(file.path.clone(), header(&file));
        self.cursors.learn(file.rotated_dates.clone());
        if let Some(format) = &file.dates {
            self.dates.insert(file.path.clone(), Arc::new(DateFormat::new(format)));
        }
        self.cursors.reach(&file)
    }

    fn fill_or_warn(&mut self, missed: &[Missing]) -> Result<(), CliError> {
        let (_found, gone) = self.fill(missed)?;
        for ((path, _, _), gone) in missed.iter().zip(gone) {
            let what = match gone {
                Gone::Nothing => continue,
                Gone::Bytes(bytes) => format!("{bytes} bytes of {path}"),
                Gone::Unknown => format!("Lines of {path}"),
            };
            self.page.rest()?;
            self.cx.warn(format!("{what} are missing: they were removed before they were shown"))?;
        }
        Ok(())
    }

    /// What stands in files between two places each, in time order, as if it came now: of each how many lines that was, and
    /// what of it is gone.
    fn fill(&mut self, missed: &[Missing]) -> Result<(Vec<u64>, Vec<Gone>), CliError> {
        let mut shelf = self.cursors.shelf();
        let (mut gone, mut lengths) = (Vec::new(), HashMap::new());
        let (mut headers, mut logs) = (Vec::new(), Vec::new());
        for (path, from, to) in missed {
            let missed = shelf.between(path.as_ref(), from, *to);
            let header = self.headers.get(path).cloned();
            let dates = self.dates.get(path).cloned();
            lengths.extend(
                missed.spans.iter().map(|span| (span.part.path.clone(), (gone.len(), span.length()))),
            );
            let stream = header.as_ref().map_or(StreamKind::Out, |header| header.stream);
            let spans = if header.is_some() { missed.spans } else { Vec::new() };
            logs.push(Log { path: path.into(), stream, spans, dates });
            headers.push(header);
            gone.push(missed.gone);
        }
        let mut found = vec![0; logs.len()];
        let query = Query { timed: true, ..Query::default() };
        let mut lines = Merged::new(logs, &query);
        while let Some((log, line)) = lines.line() {
            if let Some(found) = found.get_mut(log) {
                *found += u64::from(line.bytes.ends_with(b"\n"));
            }
            if let Some(Some(header)) = headers.get(log) {
                let at_ms = line.at_ms.filter(|_| line.known);
                self.show(&LogHeader { at_ms, ..header.clone() }, line.bytes)?;
            }
        }
        for (path, error) in lines.trouble() {
            let removed = lengths.get(&path).filter(|_| error.kind() == io::ErrorKind::NotFound);
            match removed.and_then(|(log, bytes)| Some((gone.get_mut(*log)?, *bytes))) {
                // It was removed after it was found.
                Some((gone, bytes)) => *gone = gone.and(bytes),
                None => self.trouble(vec![(path, error)])?,
            }
        }
        Ok((found, gone))
    }

    fn batch(&mut self, batch: &LogBatch) -> Result<(), CliError> {
        let LogBatch { header, bytes } = batch;
        if let (None, Some(path)) = (header.worker, self.own_log.clone()) {
            let missed = self.cursors.advance(&path).map(|(from, to)| (path, from, to));
            return self.fill_or_warn(missed.as_slice());
        }
        let Some(spot) = &header.spot else { return self.show(header, bytes) };
        if !self.headers.contains_key(&spot.path) {
            let known = LogHeader { history: true, spot: None, path: None, ..header.clone() };
            self.headers.insert(spot.path.clone(), known);
        }
        match self.cursors.take(spot) {
            Step::Show => self.show(header, bytes),
            Step::Known => Ok(()),
            Step::Fill(from, to) => {
                self.fill_or_warn(&[(spot.path.clone(), from, to)])?;
                self.show(header, bytes)
            }
            Step::Partly(from, offset) => {
                let known = lines_between(&mut self.cursors.shelf(), &spot.path, header.stream, from, offset);
                let mut ends = memchr::memchr_iter(b'\n', bytes);
                let start =
                    known.checked_sub(1).map_or(0, |last| ends.nth(last).map_or(bytes.len(), |end| end + 1));
                self.show(header, bytes.get(start..).unwrap_or_default())
            }
        }
    }

    /// Lines as they came; those of them that are wanted are shown.
    fn show(&mut self, header: &LogHeader, bytes: &[u8]) -> Result<(), CliError> {
        if header.path.is_some() {
            self.page.head(header)?;
        }
        let header = &LogHeader { path: None, ..header.clone() };
        if self.query.pattern.takes_all() && !self.page.needs_lines() {
            return Ok(self.page.batch(header, bytes)?);
        }
        let source = self.page.source(header);
        let watch = self.watches.entry(source).or_default();
        let at_ms = header.at_ms.unwrap_or_else(|| clock::now().wall_ms);
        let mut shown = Ok(());
        watch.push(self.query, header.stream, bytes, at_ms, &mut |line: Line<'_>| {
            if shown.is_ok() {
                shown = self.page.line(source, &line, header.history);
            }
        });
        Ok(shown?)
    }

    /// The daemon kept no more of what comes: it is in the files, but for what is in none or shares
    /// one with others, unless they were removed meanwhile.
    fn lagged(&mut self, lines: u64, unplaced: Option<u64>, placed: &[Skipped]) -> Result<(), CliError> {
        let own = self.own_log.clone();
        let own = own.and_then(|path| self.cursors.advance(&path).map(|(from, to)| (path, from, to)));
        self.fill_or_warn(own.as_slice())?;
        let missed: Vec<Missing> = placed
            .iter()
            .map(|skipped| {
                let (from, to) = self.cursors.skip(&skipped.path, skipped.from, skipped.to);
                (skipped.path.clone(), from, to)
            })
            .collect();
        let (found, _gone) = self.fill(&missed)?;
        let unplaced = unplaced.unwrap_or(if self.cursors.are_all_exact() { 0 } else { lines });
        let lost = placed.iter().zip(found).map(|(skipped, found)| skipped.lines.saturating_sub(found));
        self.lost(lost.sum::<u64>() + unplaced)
    }

    /// The file in which lines were told to stand is not there as it was.
    fn missed(&mut self, spot: &LogSpot, lines: u64, overwritten: bool) -> Result<(), CliError> {
        let place = |offset| LogPlace { file: spot.file, offset };
        let (from, to) = self.cursors.skip(&spot.path, place(spot.start), place(spot.end));
        if overwritten {
            return self.lost(lines);
        }
        let (found, _gone) = self.fill(&[(spot.path.clone(), from, to)])?;
        self.lost(lines.saturating_sub(found.iter().sum()))
    }

    fn lost(&mut self, lines: u64) -> Result<(), CliError> {
        if lines > 0 {
            self.page.lagged(lines)?;
        }
        Ok(())
    }

    /// Waits for the next daemon, however long that takes, while there is a home for it.
    fn again(&self) -> Result<Stream, CliError> {
        let start = clock::now();
        loop {
            match Client::connect(&self.cx.home) {
                Ok(client) => return Ok(client.into_stream()),
                Err(error) if !self.cx.home.root().exists() => return Err(error.into()),
                Err(_not_yet) => pause(clock::now().since(start))?,
            }
        }
    }
}

/// How many lines of a file were shown already.
fn lines_between(shelf: &mut Shelf, path: &str, stream: StreamKind, from: Place, to: u64) -> usize {
    let spans = shelf.between(path.as_ref(), &from.into(), Place { offset: to, ..from }).spans;
    let log = Log { path: path.into(), stream, spans, dates: None };
    let query = Query::default();
    let mut lines = Merged::new(vec![log], &query);
    let mut count = 0;
    while let Some((_, lines)) = lines.line() {
        count += memchr::memchr_iter(b'\n', lines.bytes).count();
    }
    count
}
