//! What `list` says beside the fleet: what is wrong with the home now, and what was found or lost.

use super::keep::complain;
use super::owner::Owner;
use super::premises::{News, Restored};
use crate::keeper::Tag;
use crate::supervisor::Event;
use crate::sys::{clock, plain};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;

/// Findings are said for so long (milliseconds), and not more than so many.
const FRESH_MS: u64 = 3_600_000;
const MANY: usize = 8;

/// What there is to say.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// True until it is mended, by subject.
    standing: BTreeMap<&'static str, String>,
    /// What has happened, and when (boot clock).
    found: VecDeque<(u64, String)>,
}

impl Told {
    /// Sets or ends what stands; true if that is news.
    fn stands(&mut self, subject: &'static str, what: Option<String>) -> bool {
        match what {
            Some(what) => self.standing.insert(subject, what.clone()) != Some(what),
            None => self.standing.remove(subject).is_some(),
        }
    }

    /// The home is somebody else's by now.
    pub(super) fn is_lost(&self) -> bool {
        self.standing.contains_key("lost")
    }

    /// Adds a finding.
    pub(super) fn find(&mut self, what: String) {
        self.found.push_back((clock::now().boot_ms, what));
        if self.found.len() > MANY {
            self.found.pop_front();
        }
    }

    /// All of it, in sentences.
    fn all(&mut self) -> Vec<String> {
        let now = clock::now().boot_ms;
        self.found.retain(|(at, _)| now.saturating_sub(*at) < FRESH_MS);
        self.standing.values().chain(self.found.iter().map(|(_, what)| what)).cloned().collect()
    }
}

impl Owner {
    /// Something has happened to the home. A new socket is served by whoever serves.
    pub(super) fn hear_of_home(&mut self, news: News) -> Option<UnixListener> {
        let mut bound = None;
        match news {
            News::Trouble(Some(what)) => {
                tracing::error!(what, "the home takes nothing");
                self.told.stands("trouble", Some(format!("failed to {what}")));
            }
            News::Trouble(None) => {
                tracing::info!("the home takes everything again");
                self.told.stands("trouble", None);
                self.look_for_preload();
            }
            News::Lost(what) => {
                tracing::error!(what, "the home is gone, or in part");
                self.told.stands("lost", Some(format!("the home was removed or replaced: failed to {what}")));
            }
            News::Found => drop(self.told.stands("lost", None)),
            News::Restored(restored) => bound = self.restored(*restored),
        }
        self.say_to_people();
        bound
    }

    /// The keeper gets what was made anew, and everything is written again.
    fn restored(&mut self, restored: Restored) -> Option<UnixListener> {
        let what = restored.what.join(", ");
        tracing::warn!(what, "something of the home was gone and has been made anew");
        self.told.stands("lost", None);
        self.told.find(format!("somebody removed {what} of `{}`: made anew", self.home.root().display()));
        let own = |kind| Tag::new(kind, 0);
        if let Some(lock) = &restored.lock {
            complain("keep the lock", self.link.keep(0, own(Tag::LOCK), lock.as_fd()));
        }
        if let Some((socket, file)) = &restored.control {
            complain("keep the control socket", self.link.keep(0, own(Tag::CONTROL), socket.as_fd()));
            complain("keep its file", self.link.keep(0, own(Tag::CONTROL_FILE), file.as_fd()));
        }
        self.look_for_preload();
        self.write_everything();
        restored.control.map(|(socket, _)| socket)
    }

    /// All states and pid files, as after the home was lost.
    pub(super) fn write_everything(&self) {
        let members: HashMap<u64, _> =
            self.processes.iter().filter_map(|(run, process)| Some((run.entry, process.member?))).collect();
        let ours = |entry: &u64| *entry != 0 && !self.leaving.contains(entry) && !self.suspects.has(*entry);
        for entry in self.link.entries().into_iter().filter(ours) {
            self.states.kept(entry, members.get(&entry).copied(), &self.link);
        }
        for process in self.processes.values() {
            self.scribe.write(process.pid_file.clone(), process.pid.to_string().into_bytes());
        }
    }

    /// Whether a disk hangs can only be seen from outside.
    pub(super) fn look_at_scribe(&mut self) {
        let hangs = self.scribe.hangs();
        let what = hangs.then(|| format!("the disk under `{}` does not answer", self.home.root().display()));
        if self.told.stands("hangs", what) {
            match hangs {
                true => tracing::error!("the disk under the home does not answer"),
                false => tracing::info!("the disk under the home answers again"),
            }
            self.say_to_people();
        }
    }

    /// A Node must not be told to load what is not there.
    pub(super) fn look_for_preload(&mut self) {
        let there = plain::read(&self.home.preload());
        self.preload = there.is_ok_and(|bytes| bytes == crate::node::PRELOAD.as_bytes());
        if !self.preload {
            tracing::warn!("the preload cannot be written: Node workers start without it");
        }
    }

    /// Publishes what there is to say, if it has changed.
    pub(super) fn say_to_people(&mut self) {
        let all = [self.suspects.told(), self.told.all()].concat();
        if all != self.view.notices {
            self.view.notices = all;
            self.view.aside = self.suspects.views();
            self.happen(Event::Sampled { usages: Vec::new() });
        }
    }
}
