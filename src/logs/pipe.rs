//! One stream's way from its pipes to its files, exact under SIGKILL at any instant.
//!
//! ```text
//!  pipe (a generation each) ──splice──▶ staging ──tee──▶ look, render ──▶ publish record ──▶ pwrite
//!                                          └────────────── take out ◀── commit record ◀──────┘
//! ```
//!
//! The keeper holds pipes, staging and record. A byte is in a pipe, in staging, or in the files; only while a
//! record is published may it be in staging and files at once, and the record says how to end that: staging is
//! frozen, so the same bytes are rendered again to the same offsets. There is no other recovery than this
//! (`repeat`), and each step begins with it.
//!
//! When a file accepts nothing, the batch is taken back and the bytes stay in staging, then in the pipe, then in the
//! spill ([`Stream::overflow`]), which goes between pipe and staging; what it held is written before the pipes are
//! read again. When it may hold no more, bytes are dropped or the worker waits when it writes.

use super::draw::{Stop, Target};
use super::error::LogError;
use super::fanout::{Fanout, LogLines, Spot};
use super::file::Files;
use super::format::Piece;
use super::ledger::Ledger;
use super::lines::{self, Splitter};
use super::record::{Batch, Place, Record};
use super::rotate::Rotor;
use super::seam::Told;
use super::sink::Sink;
use super::spec::{SinkSpec, Source};
use super::spill::{Given, Spill};
use crate::model::StreamKind;
use crate::sys::clock;
use crate::sys::fault;
use crate::sys::pipe::{self, Null, Scratch};
use bytes::Bytes;
use std::os::fd::OwnedFd;
use std::path::Path;

/// A step moves about this much, so that one stream does not keep the others waiting. More than a pipe holds.
pub(super) const BUDGET: usize = 1 << 20;

/// One stream of an entry.
#[derive(Debug)]
pub struct Stream {
    /// Names it in the pump.
    pub token: u64,
    pub(super) kind: StreamKind,
    pub(super) staging: OwnedFd,
    pub(super) record: Record,
    pub(super) sink: Sink,
    splitter: Splitter,
    /// How far subscribers know its own file.
    pub told: Told,
    /// Until the spill has it.
    pub(super) ledger: Option<Ledger>,
    pub(super) spill: Option<Spill>,
    /// Oldest generation first.
    pub inlets: Vec<Inlet>,
    /// At their end and empty; for the pump to unregister.
    pub closed: Vec<Inlet>,
}

/// The read end of a worker's pipe.
#[derive(Debug)]
pub struct Inlet {
    /// Of the run that got the write end.
    pub generation: u64,
    /// The read end.
    pub pipe: OwnedFd,
    /// Bytes it can hold.
    pub capacity: usize,
}

/// What all streams of a pump work with.
#[derive(Debug)]
pub struct Tools {
    /// The log files.
    pub files: Files,
    /// What puts them aside.
    pub rotor: Rotor,
    /// For looking into staging.
    pub scratch: Scratch,
    /// For emptying it.
    pub null: Null,
    /// Subscribers.
    pub fanout: Fanout,
    /// Room for rendered bytes.
    pub rendered: Vec<u8>,
}

/// What a batch is carried out with: the tools but that which the bytes are looked at with.
struct Doors<'a> {
    files: &'a mut Files,
    fanout: &'a Fanout,
    null: &'a Null,
    rendered: &'a mut Vec<u8>,
}

impl Tools {
    /// Both streams of an entry write to a sink's files: how these are rotated.
    pub fn enlist(&mut self, sink: &SinkSpec, source: &Source) {
        for path in files_of(sink) {
            self.rotor.enlist(path, source, &sink.rotate);
        }
    }

    /// They do so no longer.
    pub fn release(&mut self, sink: &SinkSpec) {
        files_of(sink).for_each(|path| self.rotor.release(path));
    }
}

fn files_of(sink: &SinkSpec) -> impl Iterator<Item = &Path> {
    [StreamKind::Out, StreamKind::Err].into_iter().flat_map(|stream| sink.paths(stream)).flatten()
}

/// What a step did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Step {
    /// A pipe was at least half full: it would be unwise to dawdle.
    pub busy: bool,
    /// How full the fullest pipe was, in thousandths.
    pub filled: u32,
    /// The budget ran out before the pipes did.
    pub more: bool,
}

impl Step {
    /// A pipe that holds `capacity` bytes held so many.
    pub(super) fn saw(&mut self, bytes: usize, capacity: usize) {
        self.busy |= bytes >= capacity / 2;
        let filled = bytes.saturating_mul(1000) / capacity.max(1);
        self.filled = self.filled.max(u32::try_from(filled).unwrap_or(u32::MAX));
    }
}

/// Why bytes may be written that do not end a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pressure {
    /// They may not: the rest of the line can still come.
    None,
    /// Staging takes no more.
    Full,
    /// It cannot: the worker or its pipe is at its end.
    Ended,
}

impl Stream {
    /// Takes over what the keeper holds. Nothing is written yet, but files that a batch was begun in are
    /// reserved until it has been repeated.
    pub fn attach(
        token: u64,
        kind: StreamKind,
        staging: OwnedFd,
        (record, ledger): (Record, Ledger),
        spec: &SinkSpec,
        files: &mut Files,
    ) -> Stream {
        let sink = Sink::of(spec, kind);
        let stream = Stream {
            token,
            kind,
            staging,
            record,
            told: sink.told(),
            sink,
            splitter: Splitter::default(),
            ledger: Some(ledger),
            spill: None,
            inlets: Vec::new(),
            closed: Vec::new(),
        };
        stream.sink.paths().for_each(|path| files.enlist(path));
        stream.guard(files);
        stream
    }

    /// Writes elsewhere or otherwise from now on.
    pub fn set_sink(&mut self, spec: &SinkSpec, files: &mut Files) {
        let old = std::mem::replace(&mut self.sink, Sink::of(spec, self.kind));
        if old.paths.first() != self.sink.paths.first() {
            self.told = self.sink.told();
        }
        self.sink.paths().for_each(|path| files.enlist(path));
        old.paths().for_each(|path| files.release(path, self.token));
        self.guard(files);
    }

    /// Adds a generation's pipe; those of older ones are drained first.
    pub fn add(&mut self, inlet: Inlet) {
        let at = self.inlets.partition_point(|other| other.generation <= inlet.generation);
        self.inlets.insert(at, inlet);
    }

    /// Moves what is there, from the pipes to the files and subscribers. On an error nothing is lost, and
    /// another step may be tried at any time.
    pub fn step(&mut self, tools: &mut Tools, source: &Source) -> Result<Step, LogError> {
        let outcome = self.advance(tools, source);
        if outcome.is_err() {
            self.guard(&mut tools.files);
        }
        self.free_spill()?;
        outcome
    }

    /// A last step: also writes what does not end a line, then lets go of the files. Bytes that could not be
    /// written are lost; the error says why.
    pub fn finish(&mut self, tools: &mut Tools, source: &Source) -> Result<(), LogError> {
        // These steps take all that was there; who goes on writing now writes to nobody.
        let mut steps = self.spill_bytes() / BUDGET as u64 + 1;
        let outcome = loop {
            match self.step(tools, source) {
                Ok(Step { more: true, .. }) if steps > 0 => steps -= 1,
                Ok(_) => break self.flush(tools, source, Pressure::Ended),
                Err(error) => break Err(error),
            }
        };
        self.sink.paths().for_each(|path| tools.files.release(path, self.token));
        outcome
    }

    /// Bytes that are in staging or spilled, not in the files.
    pub fn kept(&self) -> u64 {
        pipe::pending(&self.staging).unwrap_or(0) as u64 + self.spill_bytes()
    }

    fn advance(&mut self, tools: &mut Tools, source: &Source) -> Result<Step, LogError> {
        self.repeat(tools, source)?;
        let mut step = Step::default();
        let mut total = 0;
        while total < BUDGET {
            let (moved, stop) = match self.unspill(&mut tools.rendered)? {
                Given::Full(moved) => (moved, Stop::Full),
                Given::All(moved) => {
                    total += moved;
                    let filled = self.fill(&mut step, Target::Staging)?;
                    fault::pass("pump.staged");
                    filled
                }
            };
            total += moved;
            match stop {
                Stop::Full => {
                    // Once: what is left then fits again.
                    self.batch(tools, source, Pressure::Full)?;
                }
                Stop::Dry => {
                    self.flush(tools, source, Pressure::None)?;
                    return Ok(step);
                }
                Stop::Ended(index) => {
                    self.flush(tools, source, self.pressure_of_end(index))?;
                    fault::pass("pump.ended");
                    self.closed.push(self.inlets.remove(index));
                }
            }
        }
        Ok(Step { busy: true, more: true, ..step })
    }

    /// At the end of a pipe an unfinished line is over, unless it is already a newer generation's: the older
    /// pipe was held by somebody else for long, or its end is seen again by the next daemon.
    pub(super) fn pressure_of_end(&self, index: usize) -> Pressure {
        let newer = self.inlets.get(index).is_some_and(|inlet| inlet.generation < self.record.generation());
        if newer { Pressure::None } else { Pressure::Ended }
    }

    fn flush(&mut self, tools: &mut Tools, source: &Source, pressure: Pressure) -> Result<(), LogError> {
        while self.batch(tools, source, pressure)? {}
        Ok(())
    }

    /// Writes one batch from staging. `false`: there is nothing that may be written.
    fn batch(&mut self, tools: &mut Tools, source: &Source, pressure: Pressure) -> Result<bool, LogError> {
        let shared = self.sink.is_shared(&tools.files);
        let staged = pipe::pending(&self.staging).map_err(LogError::Pipe)?;
        let held = look(&mut tools.scratch, &self.staging, staged)?;
        let whole = match shared || self.sink.format.needs_whole_lines() {
            true => lines::whole(held),
            false => staged,
        };
        let taken = if whole == 0 && pressure != Pressure::None { staged } else { whole };
        let bytes = held.get(..taken).unwrap_or_default();
        let midline = match bytes.last() {
            Some(last) => *last != b'\n' && !self.sink.format.needs_whole_lines(),
            None => self.record.is_midline(),
        };
        let completes = pressure == Pressure::Ended && taken == staged && midline;
        let ends_line = completes && (self.sink.format.ends_lines() || shared);
        if taken == 0 && !ends_line {
            if pressure == Pressure::Ended {
                let rest = self.splitter.finish();
                let spot = rest.as_ref().and_then(|_| self.told.rest(shared));
                self.tell(source, clock::now().wall_ms, rest, spot, &tools.fanout);
            }
            return Ok(false);
        }
        let mut places = [Place::default(); 2];
        for (path, place) in self.sink.paths.iter().zip(&mut places) {
            if let Some(path) = path {
                *place = tools.rotor.place(&mut tools.files, path, self.token)?;
            }
        }
        let at_ms = clock::now().wall_ms;
        let leaves_midline = midline && !ends_line;
        let batch = Batch { taken, staged, at_ms, leaves_midline, ends_line, places };
        fault::pass("pump.placed");
        self.record.publish(&batch);
        fault::pass("pump.published");
        let doors = Doors {
            files: &mut tools.files,
            fanout: &tools.fanout,
            null: &tools.null,
            rendered: &mut tools.rendered,
        };
        self.carry_out(&batch, bytes, doors, source)?;
        Ok(true)
    }

    /// Ends the batch whose record is still published: by a daemon that was killed, or because it failed and
    /// could not be taken back.
    fn repeat(&mut self, tools: &mut Tools, source: &Source) -> Result<(), LogError> {
        let Some(recorded) = self.record.published() else { return Ok(()) };
        fault::pass("pump.repeat");
        let left = pipe::pending(&self.staging).map_err(LogError::Pipe)?;
        let gone = recorded.staged.saturating_sub(left);
        if gone > 0 {
            // It was written, for nothing is taken out before. The rest of it follows.
            let rest = recorded.taken.saturating_sub(gone);
            tools.null.consume(&self.staging, rest).map_err(LogError::Pipe)?;
            self.record.commit();
        } else {
            let mut batch = recorded;
            for (path, place) in self.sink.paths.iter().zip(&mut batch.places) {
                *place = match path {
                    Some(path) => tools.files.place_again(path, self.token, *place)?,
                    None => Place::default(),
                };
            }
            if batch != recorded {
                // A record is not rewritten while it counts.
                self.record.withdraw();
                self.record.publish(&batch);
            }
            let bytes = look(&mut tools.scratch, &self.staging, batch.taken)?;
            let doors = Doors {
                files: &mut tools.files,
                fanout: &tools.fanout,
                null: &tools.null,
                rendered: &mut tools.rendered,
            };
            self.carry_out(&batch, bytes, doors, source)?;
        }
        self.guard(&mut tools.files);
        Ok(())
    }

    /// The deed of a published batch: files, staging, record, subscribers.
    fn carry_out(
        &mut self,
        batch: &Batch,
        bytes: &[u8],
        doors: Doors<'_>,
        source: &Source,
    ) -> Result<(), LogError> {
        let Doors { files, fanout, null, rendered } = doors;
        let piece = Piece {
            bytes,
            at_ms: batch.at_ms,
            midline: self.record.is_midline(),
            ends_line: batch.ends_line,
            source,
            stream: self.kind,
        };
        let rendered = self.sink.format.render(&piece, rendered);
        let targets =
            || self.sink.paths.iter().zip(batch.places).filter_map(|(p, place)| Some((p.as_ref()?, place)));
        let written = targets().try_for_each(|(path, place)| files.write(path, place, rendered));
        if let Err(error) = written {
            let kept =
                targets().filter(|(path, place)| !files.take_back(path, *place, rendered.len())).count();
            if kept == 0 {
                self.record.withdraw();
            }
            return Err(error);
        }
        fault::pass("pump.written");
        let half = fault::half(batch.taken);
        null.consume(&self.staging, half).map_err(LogError::Pipe)?;
        fault::pass("pump.half_taken");
        null.consume(&self.staging, batch.taken - half).map_err(LogError::Pipe)?;
        fault::pass("pump.taken");
        self.record.commit();
        fault::pass("pump.committed");
        if self.sink.disabled {
            return Ok(());
        }
        // What nobody sees is not copied. Without a file, those who come later see it from memory.
        let lines = if self.sink.has_file() && fanout.passes(source.worker, self.kind) {
            self.splitter.pass(bytes);
            None
        } else {
            self.splitter.push(bytes)
        };
        let (whole, shared) = (self.splitter.is_empty(), self.sink.is_shared(files));
        let [place, _] = batch.places;
        let spot = self.told.batch(place, rendered, whole, batch.ends_line, shared);
        self.tell(source, batch.at_ms, lines, spot, fanout);
        Ok(())
    }

    /// A batch was begun and must be repeated.
    pub fn owes(&self) -> bool {
        self.record.published().is_some()
    }

    /// While a batch is to be repeated, its files are this stream's alone.
    fn guard(&self, files: &mut Files) {
        for path in self.sink.paths() {
            if self.owes() { files.reserve(path, self.token) } else { files.unreserve(path, self.token) }
        }
    }

    fn tell(&self, source: &Source, at_ms: i64, lines: Option<Bytes>, spot: Option<Spot>, fanout: &Fanout) {
        if let Some(bytes) = lines {
            let mut lines = LogLines::of(source, self.token >> 1, self.kind, at_ms, bytes);
            lines.spot = spot;
            fanout.publish(lines);
        }
    }
}

fn look<'a>(scratch: &'a mut Scratch, staging: &OwnedFd, count: usize) -> Result<&'a [u8], LogError> {
    if count == 0 {
        return Ok(&[]);
    }
    scratch.peek(staging, count).map_err(LogError::Pipe)
}
