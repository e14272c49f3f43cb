//! Lines on their way to the terminal: folded, counted, or gathered and printed.

use crate::cli::out::logs::{Form, LogPrinter, Piece};
use crate::cli::out::{Ui, stats};
use crate::model::change::Change;
use crate::proto::{LogFile, LogHeader};
use crate::search::Line;
use crate::search::fold::{Fold, Repeated};
use crate::search::stats::Stats;
use crate::sys::clock;
use std::io;

/// Text is handed over in pieces of about this size.
const CHUNK: usize = 64 << 10;
/// Lines that are so many bytes together are not copied first.
const LARGE: usize = 16 << 10;

/// Where lines go.
#[derive(Debug)]
pub struct Page {
    ui: Ui,
    printer: LogPrinter,
    /// Each line's own time is shown.
    timed: bool,
    json: bool,
    sources: Vec<LogHeader>,
    fold: Option<Fold>,
    stats: Option<Stats>,
    /// Text that is not handed over yet, and whether it belongs on stderr.
    ready: Vec<u8>,
    to_stderr: bool,
}

impl Page {
    /// For one form.
    pub fn new(ui: Ui, printer: LogPrinter, form: &Form, fold: bool, stats: bool) -> Page {
        let timed = match form {
            Form::Json | Form::KeyValue | Form::Prefixed { timestamp: Some(_) } => true,
            Form::Raw | Form::Prefixed { timestamp: None } => false,
        };
        Page {
            ui,
            printer,
            timed,
            json: *form == Form::Json,
            sources: Vec::new(),
            fold: fold.then(Fold::default),
            stats: stats.then(Stats::default),
            ready: Vec::new(),
            to_stderr: false,
        }
    }

    /// Lines are looked at one by one.
    pub fn needs_lines(&self) -> bool {
        self.fold.is_some() || self.stats.is_some()
    }

    /// The number of a source.
    pub fn source(&mut self, header: &LogHeader) -> usize {
        let same = |known: &LogHeader| {
            (known.worker, known.stream) == (header.worker, header.stream) && known.name == header.name
        };
        self.sources.iter().position(same).unwrap_or_else(|| {
            self.sources.push(LogHeader { path: None, spot: None, ..header.clone() });
            self.sources.len() - 1
        })
    }

    /// A file's heading.
    pub fn head(&mut self, header: &LogHeader) -> io::Result<()> {
        self.text(header, b"")
    }

    /// A line of a source, or several that follow each other.
    pub fn line(&mut self, source: usize, line: &Line<'_>, history: bool) -> io::Result<()> {
        if let Some(stats) = &mut self.stats {
            if let Some(header) = self.sources.get(source) {
                stats.push(&header.name, header.stream, line);
            }
            return Ok(());
        }
        if line.apart && !self.json {
            let piece = self.printer.apart();
            self.put(&piece)?;
        }
        if let Some(fold) = &mut self.fold {
            let (ended, shown) = fold.push(source, line, clock::now().wall_ms);
            if let Some(run) = ended {
                self.repeated(run)?;
            }
            if !shown {
                return Ok(());
            }
        }
        let at_ms = line.at_ms.filter(|_| self.timed && line.known);
        let Some(header) = self.sources.get_mut(source) else { return Ok(()) };
        (header.at_ms, header.history) = (at_ms, history);
        let now_ms = if history { 0 } else { clock::now().wall_ms };
        let to_stderr = self.printer.is_for_stderr(header);
        self.turn_to(to_stderr)?;
        let Some(header) = self.sources.get(source) else { return Ok(()) };
        if line.bytes.len() >= LARGE && line.bytes.ends_with(b"\n") && self.printer.changes_nothing() {
            self.hand_over()?;
            return self.write(line.bytes);
        }
        self.printer.batch(header, line.bytes, now_ms, &mut self.ready);
        Ok(())
    }

    /// A batch as it came, when every line is wanted.
    pub fn batch(&mut self, header: &LogHeader, bytes: &[u8]) -> io::Result<()> {
        self.text(header, bytes)
    }

    /// Something happened.
    pub fn event(&mut self, change: &Change) -> io::Result<()> {
        match self.printer.event(change) {
            Some(piece) => self.put(&piece),
            None => Ok(()),
        }
    }

    /// Lines are missing for good.
    pub fn lagged(&mut self, lines: u64) -> io::Result<()> {
        let piece = self.printer.lagged(lines);
        self.put(&piece)
    }

    /// Nothing more comes for now: everything is shown.
    pub fn rest(&mut self) -> io::Result<()> {
        self.hand_over()
    }

    /// For a while nothing came, or nothing will: runs are told, too.
    pub fn pause(&mut self) -> io::Result<()> {
        for run in self.fold.as_mut().map(Fold::pending).unwrap_or_default() {
            self.repeated(run)?;
        }
        self.rest()
    }

    /// It is over.
    pub fn end(&mut self) -> io::Result<()> {
        self.pause()?;
        let Some(stats) = &self.stats else { return Ok(()) };
        let text = if self.json { stats::json(stats) } else { stats::text(stats, self.ui.colour) };
        self.ui.data(format!("{text}\n").as_bytes())?;
        self.ui.flush()
    }

    fn repeated(&mut self, run: Repeated) -> io::Result<()> {
        let Some(header) = self.sources.get(run.source) else { return Ok(()) };
        let header = LogHeader { at_ms: None, history: true, ..header.clone() };
        let piece = self.printer.repeated(&header, run.count, run.lasted_ms);
        self.put(&piece)
    }

    fn text(&mut self, header: &LogHeader, bytes: &[u8]) -> io::Result<()> {
        self.turn_to(self.printer.is_for_stderr(header))?;
        self.printer.batch(header, bytes, clock::now().wall_ms, &mut self.ready);
        Ok(())
    }

    fn put(&mut self, piece: &Piece) -> io::Result<()> {
        self.turn_to(piece.to_stderr)?;
        self.ready.extend_from_slice(&piece.bytes);
        Ok(())
    }

    /// What comes belongs there.
    fn turn_to(&mut self, to_stderr: bool) -> io::Result<()> {
        if self.to_stderr != to_stderr || self.ready.len() >= CHUNK {
            self.hand_over()?;
            self.to_stderr = to_stderr;
        }
        Ok(())
    }

    fn hand_over(&mut self) -> io::Result<()> {
        if self.ready.is_empty() {
            return Ok(());
        }
        let ready = std::mem::take(&mut self.ready);
        let done = self.write(&ready);
        self.ready = ready;
        self.ready.clear();
        done
    }

    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        if self.to_stderr {
            return self.ui.error_data(bytes);
        }
        self.ui.data(bytes).and_then(|()| self.ui.flush())
    }
}

/// Of lines that are read from a file.
pub fn header(file: &LogFile) -> LogHeader {
    LogHeader {
        id: 0,
        worker: file.worker,
        name: file.name.clone(),
        stream: file.stream,
        instance: None,
        pid: None,
        at_ms: None,
        history: true,
        path: None,
        spot: None,
        at_spot: None,
    }
}
