//! Out of the pipes, in the order of the generations, into staging or the spill.

use super::error::LogError;
use super::intake::Intake;
use super::pipe::BUDGET;
use crate::sys::pipe::{self, Shift};
use std::os::fd::OwnedFd;

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

/// Where bytes of the pipes go.
#[derive(Debug, Clone, Copy)]
pub(super) enum Target<'a> {
    /// As much as fits.
    Staging(&'a OwnedFd),
    /// As long as it holds less than this.
    Spill(u64),
}

/// Why it was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// The pipes are empty.
    Dry,
    /// The target takes no more.
    Full,
    /// This pipe is at its end and empty.
    Ended(usize),
}

impl Intake {
    /// Pipes → staging (or spill), until it is full, the pipes are empty, or one of them is at its end.
    ///
    /// What a newer generation wrote must not overtake what an older one wrote before it. So it is first asked
    /// what the newer pipes hold, then the older ones are emptied, then no more than that is taken.
    pub(super) fn fill(&mut self, step: &mut Step, target: Target<'_>) -> Result<(usize, Stop), LogError> {
        if self.inlets.is_empty() {
            return Ok((0, Stop::Dry));
        }
        let mut total = 0;
        loop {
            let held = self.inlets.iter().skip(1).map(|inlet| pipe::pending(&inlet.pipe));
            let held = held.collect::<Result<Vec<_>, _>>().map_err(LogError::Pipe)?;
            let limits = std::iter::once(usize::MAX).chain(held);
            let mut again = false;
            for (index, limit) in limits.enumerate() {
                let (moved, stop) = self.draw(index, limit, target)?;
                total += moved;
                step.saw(total, self.inlets[index].capacity);
                again |= index > 0 && moved > 0;
                match stop {
                    Stop::Dry => {}
                    Stop::Full | Stop::Ended(_) => return Ok((total, stop)),
                }
            }
            if !again {
                return Ok((total, Stop::Dry));
            }
        }
    }

    /// Up to `limit` bytes of one pipe.
    fn draw(&mut self, index: usize, limit: usize, target: Target<'_>) -> Result<(usize, Stop), LogError> {
        let Intake { inlets, record, spill, .. } = self;
        let inlet = &inlets[index];
        let mut total = 0;
        if limit > 0 {
            record.reach(inlet.generation);
        }
        while total < limit {
            let most = (limit - total).min(BUDGET);
            let shift = match (target, &mut *spill) {
                (Target::Staging(staging), _) => {
                    pipe::shift(&inlet.pipe, staging, most).map_err(LogError::Pipe)?
                }
                (Target::Spill(_), None) => return Ok((total, Stop::Full)),
                (Target::Spill(room), Some(spill)) => {
                    let most = usize::try_from(room.saturating_sub(spill.held())).unwrap_or(most).min(most);
                    if most == 0 {
                        return Ok((total, Stop::Full));
                    }
                    spill.take(&inlet.pipe, most).map_err(LogError::Spill)?
                }
            };
            match shift {
                Shift::Moved(bytes) => total += bytes,
                Shift::Ended => return Ok((total, Stop::Ended(index))),
                Shift::Blocked => {
                    // Only this thread fills staging: not full now, not full at the splice.
                    let full = match target {
                        Target::Spill(_) => false,
                        Target::Staging(staging) => pipe::is_full(staging).map_err(LogError::Pipe)?,
                    };
                    return Ok((total, if full { Stop::Full } else { Stop::Dry }));
                }
            }
        }
        let over = pipe::is_over(&inlet.pipe).map_err(LogError::Pipe)?;
        Ok((total, if over { Stop::Ended(index) } else { Stop::Dry }))
    }
}
