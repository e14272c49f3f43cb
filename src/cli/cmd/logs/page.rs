//! Lines on their way to the terminal: folded, counted, or gathered into pieces of one source, and printed.

use crate::cli::out::logs::{Form, LogPrinter, Piece};
use crate::cli::out::{Ui, stats};
use crate::model::change::Change;
use crate::proto::LogHeader;
use crate::search::Line;
use crate::search::fold::{Fold, Repeated};
use crate::search::stats::Stats;
use crate::sys::clock;
use std::io;

/// Text is handed over in pieces of about this size.
const CHUNK: usize = 64 << 10;

/// Where lines go.
#[derive(Debug)]
pub struct Page {
    ui: Ui,
    printer: LogPrinter,
    /// Each line's own time is shown.
    timed: bool,
    json: bool,
    sources: Vec<LogHeader>,
    group: Option<Group>,
    fold: Option<Fold>,
    stats: Option<Stats>,
    ready: Vec<u8>,
}

/// Lines of one source, of one time if times are shown.
#[derive(Debug)]
struct Group {
    source: usize,
    at_ms: Option<i64>,
    history: bool,
    bytes: Vec<u8>,
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
            group: None,
            fold: fold.then(Fold::default),
            stats: stats.then(Stats::default),
            ready: Vec::new(),
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
        self.close()?;
        let piece = self.printer.batch(header, b"", 0);
        self.put(&piece)
    }

    /// A line of a source.
    pub fn line(&mut self, source: usize, line: &Line, history: bool) -> io::Result<()> {
        if let Some(stats) = &mut self.stats {
            if let Some(header) = self.sources.get(source) {
                stats.push(&header.name, header.stream, line);
            }
            return Ok(());
        }
        if line.apart {
            self.close()?;
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
        match &mut self.group {
            Some(group)
                if group.source == source
                    && group.at_ms == at_ms
                    && group.history == history
                    && group.bytes.len() < CHUNK =>
            {
                group.bytes.extend_from_slice(&line.bytes);
            }
            _other => {
                self.close()?;
                self.group = Some(Group { source, at_ms, history, bytes: line.bytes.clone() });
            }
        }
        Ok(())
    }

    /// A batch as it came, when every line is wanted.
    pub fn batch(&mut self, header: &LogHeader, bytes: &[u8]) -> io::Result<()> {
        self.close()?;
        let piece = self.printer.batch(header, bytes, clock::now().wall_ms);
        self.put(&piece)
    }

    /// Something happened.
    pub fn event(&mut self, change: &Change) -> io::Result<()> {
        self.close()?;
        match self.printer.event(change) {
            Some(piece) => self.put(&piece),
            None => Ok(()),
        }
    }

    /// Lines are missing for good.
    pub fn lagged(&mut self, lines: u64) -> io::Result<()> {
        self.close()?;
        let piece = self.printer.lagged(lines);
        self.put(&piece)
    }

    /// Nothing more comes for now: everything is shown.
    pub fn rest(&mut self) -> io::Result<()> {
        self.close()?;
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
        self.close()?;
        let Some(header) = self.sources.get(run.source) else { return Ok(()) };
        let header = LogHeader { at_ms: None, history: true, ..header.clone() };
        let piece = self.printer.repeated(&header, run.count, run.lasted_ms);
        self.put(&piece)
    }

    fn close(&mut self) -> io::Result<()> {
        let Some(Group { source, at_ms, history, bytes }) = self.group.take() else { return Ok(()) };
        let Some(header) = self.sources.get_mut(source) else { return Ok(()) };
        (header.at_ms, header.history) = (at_ms, history);
        let piece = self.printer.batch(header, &bytes, clock::now().wall_ms);
        self.put(&piece)
    }

    fn put(&mut self, piece: &Piece) -> io::Result<()> {
        if piece.to_stderr {
            self.hand_over()?;
            return self.ui.error_data(&piece.bytes);
        }
        self.ready.extend_from_slice(&piece.bytes);
        if self.ready.len() >= CHUNK { self.hand_over() } else { Ok(()) }
    }

    fn hand_over(&mut self) -> io::Result<()> {
        if self.ready.is_empty() {
            return Ok(());
        }
        let done = self.ui.data(&self.ready).and_then(|()| self.ui.flush());
        self.ready.clear();
        done
    }
}
