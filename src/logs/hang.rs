//! Disks that hang: a thread that watches the one that leads, and puts another in its place.
//!
//! It looks now and then while there is something to look at, and sleeps otherwise. What a thread that was given up has
//! with it (a stream, its files) stays with it; calls into the same file system are refused until it is back.

use super::hall::{Errand, Hall, Run};
use super::round::Leader;
use crate::sys::clock;
use std::io;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// A leader that has been out for so long has met a disk that hangs. (A busy one takes as long now and then; then another
/// thread leads, and no harm is done.)
pub(super) const HANGS_AFTER_MS: u64 = 200;
/// How often it is looked.
const LOOK: Duration = Duration::from_millis(100);
/// After so many looks without an errand in between, it is not looked any more.
const IDLE_LOOKS: u32 = 5;

/// Starts a thread that leads, as this number.
pub(super) fn lead(hall: &Arc<Hall>, number: u64) -> io::Result<()> {
    let leader = Leader::new(Arc::clone(hall), number)?;
    std::thread::Builder::new().name("pm-pump".into()).spawn(move || leader.run())?;
    Ok(())
}

/// Starts the thread that watches.
pub(super) fn watch(hall: Arc<Hall>) -> io::Result<()> {
    std::thread::Builder::new().name("pm-pump-watch".into()).spawn(move || look_on(&hall))?;
    Ok(())
}

fn look_on(hall: &Arc<Hall>) {
    let mut run = hall.lock();
    let (mut seen, mut idle) = (run.errands, 0);
    while !run.stopped {
        if idle > IDLE_LOOKS && run.errand.is_none() && !run.vacant {
            run.unwatched = true;
            run = hall.watch.wait(run).unwrap_or_else(PoisonError::into_inner);
            idle = 0;
        } else {
            run = hall.watch.wait_timeout(run, LOOK).unwrap_or_else(PoisonError::into_inner).0;
        }
        idle = if run.errands == seen { idle + 1 } else { 0 };
        seen = run.errands;
        let late = |errand: &Errand| clock::now().boot_ms.saturating_sub(errand.since_ms) >= HANGS_AFTER_MS;
        if run.errand.as_ref().is_some_and(late) {
            depose(hall, &mut run);
        }
        if run.vacant {
            match lead(hall, run.leader) {
                Ok(()) => run.vacant = false,
                Err(error) => {
                    tracing::error!(%error, "failed to start a log thread in place of one that hangs")
                }
            }
        }
    }
}

/// What the leader is out for is not waited for any more.
fn depose(hall: &Hall, run: &mut Run) {
    let Some(Errand { since_ms, token }) = run.errand.take() else { return };
    hall.files.give_up(since_ms);
    run.leader += 1;
    run.vacant = true;
    run.ready.extend(token);
}
