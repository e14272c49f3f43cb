//! What the Node room must not lose, kept by the keeper.

use super::states::States;
use crate::keeper::{Link, Tag};
use crate::node::{Custody, Keep};
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

    fn hold(&self, entry: u64, custody: Custody, fd: BorrowedFd<'_>) {
        complain("keep a connection", self.0.keep(entry, tag(custody), fd));
    }

    fn release(&self, entry: u64, custody: Custody) {
        complain("drop a connection", self.0.drop_fd(entry, tag(custody)));
    }
}

fn tag(custody: Custody) -> Tag {
    match custody {
        Custody::Waiting(number) => Tag::new(Tag::WAITING, number),
        Custody::Handed(number) => Tag::new(Tag::HANDED, number),
    }
}

/// As [`tag`] was made; `None` for anything else.
pub(super) fn custody(tag: Tag) -> Option<Custody> {
    match tag.kind {
        Tag::WAITING => Some(Custody::Waiting(tag.index)),
        Tag::HANDED => Some(Custody::Handed(tag.index)),
        _other => None,
    }
}

/// The keeper is only unreachable when it is dead, which the owner's loop notices by itself.
pub(super) fn complain(what: &str, done: std::io::Result<()>) {
    if let Err(error) = done {
        tracing::error!(%error, "failed to {what}");
    }
}
