//! What a new daemon finds: listeners and connections of a former one, workers that rejoin theirs, and answers that were
//! not given.

use super::core::Core;
use super::custody::Custody;
use super::listener::{Kind, Listener};
use crate::model::Run;
use crate::sys::socket;
use std::os::fd::{AsFd, OwnedFd};

impl Core {
    /// A listener of a former daemon. Its workers join it as their channels are added.
    pub(super) fn adopt_listener(&mut self, entry: u64, fds: Vec<(u32, OwnedFd)>, blob: &[u8]) {
        self.last_entry = self.last_entry.max(entry);
        let copies: Vec<OwnedFd> = fds.iter().filter_map(|(_, fd)| fd.try_clone().ok()).collect();
        let sockets_lost = fds.is_empty();
        let adopted = Listener::adopt(blob, fds);
        let revived = || if sockets_lost { Listener::revive(blob) } else { None };
        match adopted.or_else(revived) {
            Some(listener) => {
                for (index, socket) in listener.sockets.iter().filter(|_| sockets_lost) {
                    self.keep.keep(entry, *index, socket.fd.as_fd());
                }
                self.listeners.insert(entry, listener);
                self.refresh(entry);
            }
            // Nobody could say who may use it: the next to ask for the address binds it anew.
            None => {
                if sockets_lost {
                    tracing::error!(entry, record = %String::from_utf8_lossy(blob), "failed to listen again where keeper and daemon did");
                }
                // Its port would be taken until the keeper has closed its copy.
                copies.iter().for_each(socket::stop_listening);
                self.keep.forget(entry);
            }
        }
    }

    /// Connections that were kept: those that wait go to whoever takes them, those that were handed over are their
    /// worker's to answer.
    pub(super) fn adopt_connections(&mut self, entry: u64, connections: Vec<(Custody, OwnedFd)>) {
        let Some(listener) = self.listeners.get_mut(&entry) else { return };
        for waiting in listener.kept.adopt(&*self.keep, entry, connections, self.now) {
            listener.rotation.wait(waiting);
        }
        if let Some(at) = listener.kept.next_due() {
            self.wake_by(at);
        }
    }

    /// A worker was added: it joins what it holds according to the records. It is taken to be free.
    pub(super) fn rejoin(&mut self, run: Run) {
        for entry in self.entries(|_| true) {
            let Some(listener) = self.listeners.get_mut(&entry) else { continue };
            let before = listener.holders.len();
            listener.holders.retain(|other, _| other.entry != run.entry || *other == run);
            listener.asked.retain(|other, _| other.entry != run.entry || *other == run);
            listener.copies.retain(|other| other.entry != run.entry || *other == run);
            listener.owed.retain(|other| other.entry != run.entry || *other == run);
            let changed = listener.holders.len() != before;
            let address = listener.display();
            if listener.holders.contains_key(&run) {
                if listener.kind != Kind::Shared {
                    listener.rotation.join(run);
                }
                if let Some(worker) = self.workers.get_mut(&run) {
                    worker.open.insert(address);
                }
            }
            if changed {
                self.save(entry);
            }
            self.refresh(entry);
            self.answer_owed(run, entry);
        }
    }

    /// Gives it the answer that the former daemon had not written. One that comes twice means nothing to a worker.
    fn answer_owed(&mut self, run: Run, entry: u64) {
        let Some(listener) = self.listeners.get(&entry).filter(|l| l.owed.contains(&run)) else { return };
        if let Some(ack) = listener.asked.get(&run) {
            self.answer(run, *ack, entry);
        }
    }

    /// Notes whether it has its answer, should we die before it is written.
    pub(super) fn note_owed(&mut self, run: Run, entry: u64) {
        let Some(worker) = self.workers.get_mut(&run) else { return };
        let is_owed = worker.channel.as_ref().is_some_and(|channel| !channel.outbox.is_written());
        worker.is_owed |= is_owed;
        let Some(listener) = self.listeners.get_mut(&entry) else { return };
        let changed = if is_owed { listener.owed.insert(run) } else { listener.owed.remove(&run) };
        if changed {
            self.save(entry);
        }
    }

    /// All that it was to be told is on its channel.
    pub(super) fn nothing_owed(&mut self, run: Run) {
        for entry in self.entries(|listener| listener.owed.contains(&run)) {
            self.note_owed(run, entry);
        }
    }
}
