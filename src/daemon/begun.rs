//! Which runs were begun, for whoever finds a record of one and nothing else: the keeper's ledger, and those that living
//! workers carry.

use crate::keeper::ledger::{self, Signed};
use crate::keeper::{Entry, EntryState, Link, Tag};
use crate::model::State;
use crate::supervisor::Record;
use crate::sys::child;
use crate::sys::kin::{self, Kin};
use std::os::fd::{AsFd, OwnedFd};

const LEDGER: Tag = Tag::new(Tag::LEDGER, 0);

/// All ledgers, each once.
#[derive(Debug, Default)]
pub(super) struct Begun(Vec<OwnedFd>);

impl Begun {
    /// The one that the keeper has.
    pub(super) fn kept(link: &Link) -> Begun {
        Begun(link.held(0, &[LEDGER]).into_iter().map(|(_, ledger)| ledger).collect())
    }

    /// Also those of living workers; the keeper gets the one of the youngest if it has none.
    pub(super) fn look(link: &Link, kin: &[Kin]) -> Begun {
        let mut all = Begun::kept(link);
        let mut youngest: Vec<&Kin> = kin.iter().filter(|kin| kin.leads).collect();
        youngest.sort_by_key(|kin| std::cmp::Reverse(kin.member.start_time));
        for kin in youngest {
            let taken = child::open(kin.member.pid).ok().flatten().and_then(|pidfd| {
                let carried = kin::descriptor(kin.member, pidfd, ledger::NUMBER).ok()?;
                ledger::taken_back(&carried)
            });
            let is_new = |one: &OwnedFd| {
                let inode = |fd: &OwnedFd| kin::identity(fd).ok();
                all.0.iter().all(|known| inode(known) != inode(one))
            };
            if let Some(one) = taken.filter(is_new) {
                if all.0.is_empty() {
                    super::keep::complain("have the ledger kept", link.keep(0, LEDGER, one.as_fd()));
                }
                all.0.push(one);
            }
        }
        all
    }

    /// What new workers carry: the keeper's, which gets one if it has none.
    pub(super) fn to_carry(link: &Link) -> Option<OwnedFd> {
        if link.held(0, &[LEDGER]).is_empty() {
            let made = ledger::make().and_then(|new| link.keep(0, LEDGER, new.as_fd()));
            super::keep::complain("make the ledger", made);
        }
        let kept = Begun::kept(link).0.pop()?;
        ledger::readable(kept.as_fd()).ok()
    }

    /// The last run of an entry that was begun.
    pub(super) fn last(&self, entry: u64) -> Option<Signed> {
        let all = self.0.iter().filter_map(|ledger| ledger::last(ledger, entry));
        all.max_by_key(|signed| signed.run.generation)
    }

    /// A record as it must be read: one that is about to be started, and has no process, was begun already and has
    /// ended, if it has signed.
    pub(super) fn corrected(&self, mut record: Record, entry: &Entry) -> Record {
        let none = matches!(entry.state, EntryState::None);
        let begun = || self.last(entry.id).is_some_and(|signed| signed.run == record.run);
        if none && record.state == State::Starting && begun() {
            record.state = State::Running;
        }
        record
    }
}
