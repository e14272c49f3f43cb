//! What `logs` says and does while lines do not come.

use crate::cli::error::CliError;
use crate::model::WorkerId;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io;
use std::time::Duration;

/// Between two attempts to reach the daemon: its keeper has it back well within a second, unless it dies again and again.
const SOON: Duration = Duration::from_millis(50);
/// When it has not come for some seconds: somebody has to ask for the fleet first.
const LATER: Duration = Duration::from_millis(500);

/// A disk that is full or hangs keeps lines from whoever follows them too.
pub fn late(name: &str, worker: WorkerId, what: Option<&str>) -> String {
    match what {
        Some(what) => format!("log of {name} ({worker}): failed to {what}; its lines come late"),
        None => format!("log of {name} ({worker}): written again"),
    }
}

/// Nothing tells when a socket begins to listen, so this is asked again from time to time; sooner if nobody reads us.
/// `waited`: since when we wait.
pub fn pause(waited: Duration) -> Result<(), CliError> {
    let time = if waited < Duration::from_secs(5) { SOON } else { LATER };
    if has_left(time)? { Err(io::Error::from(io::ErrorKind::BrokenPipe).into()) } else { Ok(()) }
}

/// Who reads us leaves within this time.
pub fn has_left(time: Duration) -> Result<bool, CliError> {
    let time = Timespec::try_from(time).unwrap_or_default();
    let stdout = io::stdout();
    let mut watched = [PollFd::new(&stdout, PollFlags::empty())];
    match poll(&mut watched, Some(&time)) {
        Ok(left) => Ok(left > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(CliError::Output(error.into())),
    }
}
