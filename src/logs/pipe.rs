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

use super::draw::{Step, Stop, Target};
use super::error::LogError;
use super::file::Files;
use super::format::Piece;
use super::intake::{Intake, Shared};
use super::lanes::Speed;
use super::ledger::Ledger;
use super::lines::{self, Splitter};
use super::record::{Batch, Place, Record};
use super::sink::Sink;
use super::spec::{SinkSpec, Source};
use super::spill::Given;
use super::tools::{Doors, Tools};
use crate::model::StreamKind;
use crate::sys::clock;
use crate::sys::fault;
use crate::sys::pipe::{self, Scratch};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// A step moves about this much, so that one stream does not keep the others waiting. As much as the largest pipe holds.
pub(super) const BUDGET: usize = 1 << 20;

/// One stream of an entry, but for what comes in.
#[derive(Debug)]
pub(super) struct Stream {
    /// Names it in the pump.
    pub(super) token: u64,
    pub(super) kind: StreamKind,
    staging: OwnedFd,
    record: Arc<Record>,
    pub(super) sink: Sink,
    pub(super) splitter: Splitter,
    pub(super) intake: Shared,
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
    pub(super) speed: Speed,
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
    pub(super) fn attach(
        token: u64,
        kind: StreamKind,
        staging: OwnedFd,
        (record, ledger): (Record, Ledger),
        spec: &SinkSpec,
        files: &Files,
    ) -> (Stream, Shared) {
        let sink = Sink::of(spec, kind);
        let record = Arc::new(record);
        let intake = Shared::new(Intake {
            record: Arc::clone(&record),
            ledger: Some(ledger),
            spill: None,
            inlets: Vec::new(),
            closed: Vec::new(),
            policy: sink.overflow,
            told: sink.told(),
            ends_lines: sink.format.ends_lines() || sink.format.needs_whole_lines(),
            midline: None,
            ending: None,
            owes_end: false,
        });
        let stream = Stream {
            token,
            kind,
            staging,
            record,
            sink,
            splitter: Splitter::default(),
            intake: intake.clone(),
        };
        stream.sink.paths().for_each(|path| files.enlist(path));
        stream.guard(files);
        (stream, intake)
    }

    /// Writes elsewhere or otherwise from now on.
    pub(super) fn set_sink(&mut self, spec: &SinkSpec, files: &Files) {
        let old = std::mem::replace(&mut self.sink, Sink::of(spec, self.kind));
        let mut intake = self.intake.lock();
        if old.paths.first() != self.sink.paths.first() {
            intake.told = self.sink.told();
        }
        intake.policy = self.sink.overflow;
        drop(intake);
        self.sink.paths().for_each(|path| files.enlist(path));
        old.paths().for_each(|path| files.release(path, self.token));
        self.guard(files);
    }

    /// Moves what is there, from the pipes to the files and subscribers. On an error nothing is lost, and
    /// another step may be tried at any time.
    pub(super) fn step(&mut self, tools: &mut Tools, source: &Source) -> Result<Step, LogError> {
        let outcome = self.advance(tools, source);
        self.guard(&tools.doors.files);
        if outcome.is_err() {
            self.note_midline(tools)?;
        }
        self.intake.lock().free_spill(&self.staging)?;
        outcome
    }

    /// What was written before is written, if the files take it, also what does not end a line.
    pub(super) fn drain(&mut self, tools: &mut Tools, source: &Source) -> Result<(), LogError> {
        // These steps take all that was there; who goes on writing now writes to nobody.
        let mut steps = self.intake.lock().spill_bytes() / BUDGET as u64 + 1;
        let outcome = loop {
            match self.step(tools, source) {
                Ok(Step { more: true, .. }) if steps > 0 => steps -= 1,
                Ok(_) => break self.flush(tools, source, Pressure::Ended),
                Err(error) => break Err(error),
            }
        };
        self.guard(&tools.doors.files);
        outcome
    }

    /// A last step: also writes what does not end a line, then lets go of the files. Bytes that could not be
    /// written are lost; the error says why.
    pub(super) fn finish(&mut self, tools: &mut Tools, source: &Source) -> Result<(), LogError> {
        let outcome = self.drain(tools, source);
        self.sink.paths().for_each(|path| tools.doors.files.release(path, self.token));
        outcome
    }

    /// Bytes that are in staging or spilled, not in the files.
    pub(super) fn kept(&self) -> u64 {
        pipe::pending(&self.staging).unwrap_or(0) as u64 + self.intake.lock().spill_bytes()
    }

    fn advance(&mut self, tools: &mut Tools, source: &Source) -> Result<Step, LogError> {
        self.repeat(tools, source)?;
        self.end_late(tools, source)?;
        let mut step = Step::default();
        let mut total = 0;
        while total < BUDGET {
            let (moved, stop) = self.take_in(&mut step, tools)?;
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
                Stop::Ended(index) => self.end(index, tools, source)?,
            }
        }
        Ok(Step { busy: true, more: true, ..step })
    }

    /// Spill and pipes → staging.
    fn take_in(&mut self, step: &mut Step, tools: &mut Tools) -> Result<(usize, Stop), LogError> {
        let mut intake = self.intake.lock();
        match intake.unspill(&self.staging, &mut tools.doors.rendered)? {
            Given::Full(moved) => Ok((moved, Stop::Full)),
            Given::All(given) => {
                let (moved, stop) = intake.fill(step, Target::Staging(&self.staging))?;
                if let Some(inlet) = intake.inlets.last_mut() {
                    inlet.widen(step.filled, &tools.lanes);
                }
                fault::pass("pump.staged");
                Ok((given + moved, stop))
            }
        }
    }

    /// A pipe is at its end: writes what was in it, then lets go of it. If that hangs, others may have done so before.
    fn end(&mut self, index: usize, tools: &mut Tools, source: &Source) -> Result<(), LogError> {
        let (pressure, generation) = {
            let mut intake = self.intake.lock();
            let Some(generation) = intake.inlets.get(index).map(|inlet| inlet.generation) else {
                return Ok(());
            };
            intake.ending = Some(generation);
            (intake.pressure_of_end(index), generation)
        };
        let outcome = self.flush(tools, source, pressure);
        fault::pass("pump.ended");
        let mut intake = self.intake.lock();
        intake.ending = None;
        if outcome.is_ok() {
            intake.owes_end = false;
            intake.close(generation);
        }
        outcome
    }

    /// Ends the line of a pipe that was closed while its last words were being written, in vain.
    fn end_late(&mut self, tools: &mut Tools, source: &Source) -> Result<(), LogError> {
        if self.intake.lock().owes_end {
            self.flush(tools, source, Pressure::Ended)?;
            self.intake.lock().owes_end = false;
        }
        Ok(())
    }

    fn flush(&mut self, tools: &mut Tools, source: &Source, pressure: Pressure) -> Result<(), LogError> {
        while self.batch(tools, source, pressure)? {}
        Ok(())
    }

    /// Writes one batch from staging. `false`: there is nothing that may be written.
    fn batch(&mut self, tools: &mut Tools, source: &Source, pressure: Pressure) -> Result<bool, LogError> {
        let shared = self.sink.is_shared(&tools.doors.files);
        let ends_lines = self.sink.format.ends_lines() || self.sink.format.needs_whole_lines() || shared;
        let staged = pipe::pending(&self.staging).map_err(LogError::Pipe)?;
        let held = look(&mut tools.scratch, &self.staging, staged)?;
        // The rest is a batch of its own. A line that does not end in what is seen of it is torn as in a full pipe.
        let partial = held.len() < staged;
        let whole = match shared || self.sink.format.needs_whole_lines() {
            true => lines::whole(held),
            false => held.len(),
        };
        let taken = if whole == 0 && (partial || pressure != Pressure::None) { held.len() } else { whole };
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
                let mut intake = self.intake.lock();
                let spot = rest.as_ref().and_then(|_| intake.told.rest(shared));
                self.tell(source, clock::now().wall_ms, rest, spot, &tools.doors.fanout);
            }
            return Ok(false);
        }
        {
            // For whoever makes room in the pipes while this is being written.
            let mut intake = self.intake.lock();
            intake.ends_lines = ends_lines;
            let at_end = held.last().map_or(self.record.is_midline() && !ends_line, |last| *last != b'\n');
            intake.midline = (!partial).then_some(at_end);
        }
        let mut places = [Place::default(); 2];
        for (path, place) in self.sink.paths.iter().zip(&mut places) {
            if let Some(path) = path {
                *place = tools.rotor.place(&tools.doors.files, path, self.token)?;
            }
        }
        let at_ms = clock::now().wall_ms;
        let leaves_midline = midline && !ends_line;
        let batch = Batch { taken, staged, at_ms, leaves_midline, ends_line, places };
        fault::pass("pump.placed");
        self.record.publish(&batch);
        fault::pass("pump.published");
        self.carry_out(&batch, bytes, &mut tools.doors, source)?;
        Ok(true)
    }

    /// Ends the batch whose record is still published: by a daemon that was killed, or because it failed and
    /// could not be taken back.
    fn repeat(&mut self, tools: &mut Tools, source: &Source) -> Result<(), LogError> {
        let Some(recorded) = self.record.published() else { return Ok(()) };
        fault::pass("pump.repeat");
        self.note_midline(tools)?;
        let left = pipe::pending(&self.staging).map_err(LogError::Pipe)?;
        let gone = recorded.staged.saturating_sub(left);
        if gone > 0 {
            // It was written, for nothing is taken out before. The rest of it follows.
            let rest = recorded.taken.saturating_sub(gone);
            tools.doors.null.consume(&self.staging, rest).map_err(LogError::Pipe)?;
            self.record.commit();
        } else {
            let mut batch = recorded;
            for (path, place) in self.sink.paths.iter().zip(&mut batch.places) {
                *place = match path {
                    Some(path) => tools.doors.files.place_again(path, self.token, *place)?,
                    None => Place::default(),
                };
            }
            if batch != recorded {
                // A record is not rewritten while it counts.
                self.record.withdraw();
                self.record.publish(&batch);
            }
            let bytes = look(&mut tools.scratch, &self.staging, batch.taken)?;
            if bytes.len() < batch.taken {
                self.take_back(&batch, &tools.doors.files)?;
            } else {
                self.carry_out(&batch, bytes, &mut tools.doors, source)?;
            }
        }
        self.guard(&tools.doors.files);
        Ok(())
    }

    /// The deed of a published batch: files, staging, record, subscribers.
    fn carry_out(
        &mut self,
        batch: &Batch,
        bytes: &[u8],
        doors: &mut Doors,
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
        self.tell_batch(batch, (bytes, rendered), source, files, fanout);
        Ok(())
    }

    /// Where the line stands that the spill goes on.
    fn note_midline(&self, tools: &mut Tools) -> Result<(), LogError> {
        let staged = pipe::pending(&self.staging).map_err(LogError::Pipe)?;
        let held = look(&mut tools.scratch, &self.staging, staged)?;
        let at_end = held.last().map_or_else(|| self.record.is_midline(), |last| *last != b'\n');
        self.intake.lock().midline = (held.len() == staged).then_some(at_end);
        Ok(())
    }

    /// A batch that is more than can be looked at now, begun by a daemon with a larger scratch: it is begun anew, in parts.
    fn take_back(&self, batch: &Batch, files: &Files) -> Result<(), LogError> {
        let places =
            self.sink.paths.iter().zip(batch.places).filter_map(|(p, place)| Some((p.as_ref()?, place)));
        for (path, place) in places {
            // However long it has become: nobody else of ours writes here before it is ended.
            if !files.take_back(path, place, usize::MAX / 2) {
                return Err(LogError::Pipe(io::ErrorKind::StorageFull.into()));
            }
        }
        self.record.withdraw();
        Ok(())
    }

    /// A batch was begun and must be repeated.
    pub(super) fn owes(&self) -> bool {
        self.record.published().is_some()
    }

    /// While a batch is to be repeated, its files are this stream's alone.
    fn guard(&self, files: &Files) {
        let owed = self.record.published().map_or([None; 2], |batch| batch.places.map(Some));
        for (path, place) in
            self.sink.paths.iter().zip(owed).filter_map(|(p, place)| Some((p.as_ref()?, place)))
        {
            match place {
                Some(place) => files.reserve(path, self.token, place),
                None => files.unreserve(path, self.token),
            }
        }
    }
}

/// The first `count` bytes, or as many as can be looked at.
fn look<'a>(scratch: &'a mut Scratch, staging: &OwnedFd, count: usize) -> Result<&'a [u8], LogError> {
    if count == 0 {
        return Ok(&[]);
    }
    scratch.peek(staging, count).map_err(LogError::Pipe)
}
