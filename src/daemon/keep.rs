//! What the Node room must not lose, kept by the keeper.

use super::states::States;
use crate::keeper::{Link, Tag};
use crate::node::Keep;
use crate::sys::fault;
use std::os::fd::BorrowedFd;

/// The keeper behind the door that the Node room knows.
#[derive(Debug, Clone)]
pub(super) struct Keeper(pub(super) Link, pub(super) States);

impl Keep for Keeper {
    fn keep(&self, entry: u64, index: u32, fd: BorrowedFd<'_>) {
        complain("keep a listening socket", self.0.keep(entry, Tag { kind: Tag::LISTENER, index }, fd));
        fault::pass("hub.listener_kept");
        self.1.listener(entry, &self.0);
    }

    fn record(&self, entry: u64, blob: &[u8]) {
        complain("keep a record", self.0.blob(entry, blob));
        self.1.listener(entry, &self.0);
    }

    fn forget(&self, entry: u64) {
        complain("forget a listening socket", self.0.forget(entry));
        self.1.forget(entry);
    }
}

/// The keeper is only unreachable when it is dead, which the owner's loop notices by itself.
pub(super) fn complain(what: &str, done: std::io::Result<()>) {
    if let Err(error) = done {
        tracing::error!(%error, "failed to {what}");
    }
}
