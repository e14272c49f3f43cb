//! A home that ends with a process (the demo's): when that is gone, however it went, so is the fleet, and the home.

use super::mailbox::Letter;
use super::owner::Owner;
use crate::sys::interrupt::readable;
use crate::sys::lease::{self, Lease};
use crate::sys::paths::Home;
use std::os::fd::AsFd;
use std::time::Duration;
use tokio::sync::mpsc;

/// The wait for a process is taken up again after this.
const LONG: Duration = Duration::from_secs(3600);

/// Waits for the end of the process, if there is one to wait for, on a thread of its own, and says so to the owner.
pub(super) fn watch(home: &Home, letters: mpsc::Sender<Letter>) {
    let until = match lease::read(home) {
        Ok(Lease::None) => return,
        Ok(Lease::Over) => None,
        Ok(Lease::Until(pidfd)) => Some(pidfd),
        Err(error) => {
            let path = home.lease().display().to_string();
            return tracing::warn!(path, %error, "failed to read whose this home is");
        }
    };
    let wait = move || {
        while until.as_ref().is_some_and(|pidfd| !readable(pidfd.as_fd(), LONG)) {}
        // An owner that is gone needs no telling.
        drop(letters.blocking_send(Letter::LeaseOver));
    };
    if let Err(error) = std::thread::Builder::new().name("pm-lease".to_owned()).spawn(wait) {
        tracing::warn!(%error, "failed to watch whose this home is");
    }
}

impl Owner {
    /// Ends the fleet, and then the home.
    pub(super) fn end_with_lease(&mut self) {
        tracing::warn!("the process is gone that this home was for: everything ends");
        self.lease_over = true;
        self.resume_shutdown();
    }
}
