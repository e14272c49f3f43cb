//! What comes in of one stream: the pipes and the spill, apart from what the bytes then go through, so that a worker's
//! output finds room while a write of the same stream hangs.
//!
//! Whoever has the lock moves bytes out of the pipes. Nobody holds it while a file is touched. Staging and record are the
//! stream's alone; only the generation that was reached is also noted here, a number that only grows.

use super::ledger::Ledger;
use super::pipe::{Inlet, Pressure};
use super::record::Record;
use super::seam::Told;
use super::spill::Spill;
use crate::model::policy::Overflow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// An intake and its lock.
#[derive(Debug, Clone)]
pub(super) struct Shared(Arc<Mutex<Intake>>);

impl Shared {
    /// Behind a lock.
    pub(super) fn new(intake: Intake) -> Shared {
        Shared(Arc::new(Mutex::new(intake)))
    }

    /// Waits for nothing but moves between pipes and memory.
    pub(super) fn lock(&self) -> MutexGuard<'_, Intake> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The way in.
#[derive(Debug)]
pub(super) struct Intake {
    pub(super) record: Arc<Record>,
    /// Until the spill has it.
    pub(super) ledger: Option<Ledger>,
    pub(super) spill: Option<Spill>,
    /// Oldest generation first.
    pub(super) inlets: Vec<Inlet>,
    /// At their end and empty; for the pump to unregister.
    pub(super) closed: Vec<Inlet>,
    /// What gives way when the files take nothing.
    pub(super) policy: Overflow,
    /// How far subscribers know its own file.
    pub(super) told: Told,
    /// A line that a pipe's end cuts gets an end.
    pub(super) ends_lines: bool,
    /// The last byte that went to staging did not end a line. None: nobody knows, for not all of it can be looked at.
    pub(super) midline: Option<bool>,
    /// The last words of this generation are being written.
    pub(super) ending: Option<u64>,
    /// Its pipe was closed meanwhile: if they could not be written, they must still be ended.
    pub(super) owes_end: bool,
}

impl Intake {
    /// Adds a generation's pipe; those of older ones are drained first.
    pub(super) fn add(&mut self, inlet: Inlet) {
        let at = self.inlets.partition_point(|other| other.generation <= inlet.generation);
        self.inlets.insert(at, inlet);
    }

    /// At the end of a pipe an unfinished line is over, unless it is already a newer generation's: the older
    /// pipe was held by somebody else for long, or its end is seen again by the next daemon.
    pub(super) fn pressure_of_end(&self, index: usize) -> Pressure {
        let newer = self.inlets.get(index).is_some_and(|inlet| inlet.generation < self.record.generation());
        if newer { Pressure::None } else { Pressure::Ended }
    }

    /// What this generation wrote is written, or kept elsewhere.
    pub(super) fn close(&mut self, generation: u64) {
        if let Some(index) = self.inlets.iter().position(|inlet| inlet.generation == generation) {
            self.closed.push(self.inlets.remove(index));
        }
    }
}
