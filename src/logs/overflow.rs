//! What a stream does with its bytes while its files take none: they go to memory, as much as it may have; then they
//! are dropped and counted, or the worker waits.

use super::draw::{Step, Stop, Target};
use super::error::LogError;
use super::intake::Intake;
use super::pipe::{BUDGET, Pressure};
use super::spec::{Overflowed, SpillFiles};
use super::spill::{Given, Spill};
use crate::model::policy::Overflow;
use crate::sys::pipe;
use std::os::fd::OwnedFd;

impl Intake {
    /// Gives it memory to spill to, that the keeper holds too.
    pub fn set_spill(&mut self, files: SpillFiles) -> Result<(), LogError> {
        if let Some(ledger) = self.ledger.take() {
            self.spill = Some(Spill::attach(files, ledger).map_err(LogError::Spill)?);
        }
        Ok(())
    }

    /// It has memory to spill to.
    pub fn has_spill(&self) -> bool {
        self.spill.is_some()
    }

    /// Bytes in memory.
    pub fn spill_bytes(&self) -> u64 {
        self.spill.as_ref().map_or(0, Spill::held)
    }

    /// What became of bytes that no file took.
    pub fn overflowed(&self) -> Overflowed {
        let (dropped, dropped_lines) = self.spill.as_ref().map_or((0, 0), Spill::dropped);
        Overflowed { spilled: self.spill_bytes(), dropped, dropped_lines }
    }

    /// Pipes → spill, while the files take nothing because of `errno`. It may hold `room` bytes.
    pub fn overflow(&mut self, buffer: &mut Vec<u8>, room: u64, errno: i32) -> Result<Step, LogError> {
        let mut step = Step::default();
        let mut total = 0;
        while total < BUDGET {
            let dropping = self.spill.as_ref().is_some_and(Spill::is_dropping);
            let target = Target::Spill(if dropping { u64::MAX } else { room });
            let (moved, stop) = self.fill(&mut step, target)?;
            total += moved;
            let has_input = self.has_input();
            let Some(spill) = &mut self.spill else { return Ok(step) };
            spill.count(buffer).map_err(LogError::Spill)?;
            match stop {
                Stop::Dry => return Ok(step),
                Stop::Ended(index) => {
                    if !self.end_spilled_line(index)? {
                        return Ok(step);
                    }
                    self.closed.push(self.inlets.remove(index));
                }
                Stop::Full => match self.policy {
                    Overflow::Block => return Ok(step),
                    Overflow::Drop if !has_input => return Ok(step),
                    Overflow::Drop => spill.open_gap(errno, buffer).map_err(LogError::Spill)?,
                },
            }
        }
        Ok(Step { busy: true, more: true, ..step })
    }

    /// Spill → staging.
    pub(super) fn unspill(&mut self, staging: &OwnedFd, buffer: &mut Vec<u8>) -> Result<Given, LogError> {
        match &mut self.spill {
            Some(spill) if !spill.is_empty() => spill.give(staging, buffer).map_err(LogError::Spill),
            Some(_) | None => Ok(Given::All(0)),
        }
    }

    /// Gives back the memory of what has been written.
    pub(super) fn free_spill(&mut self, staging: &OwnedFd) -> Result<(), LogError> {
        let Some(spill) = &mut self.spill else { return Ok(()) };
        let staged = pipe::pending(staging).map_err(LogError::Pipe)?;
        spill.free(staged).map_err(LogError::Spill)
    }

    /// The end of a pipe is not seen again when its bytes are written, so a line that must end there ends here. `false`: whether
    /// there is such a line shows when staging is written; until then the pipe stays, and is at its end.
    fn end_spilled_line(&mut self, index: usize) -> Result<bool, LogError> {
        if !self.ends_lines || self.pressure_of_end(index) != Pressure::Ended {
            return Ok(true);
        }
        if self.ending == self.inlets.get(index).map(|inlet| inlet.generation) {
            // By the write that hangs.
            self.owes_end = true;
            return Ok(true);
        }
        match &mut self.spill {
            Some(spill) => spill.end_line(self.midline).map_err(LogError::Spill),
            None => Ok(true),
        }
    }

    fn has_input(&self) -> bool {
        self.inlets.iter().any(|inlet| pipe::pending(&inlet.pipe).is_ok_and(|bytes| bytes > 0))
    }
}
