//! Leaving without losing a request. A worker that is to go gets no more connections, its preload makes each response
//! close its connection, then its servers close; the channel ends when the last connection has. Without the preload
//! (`server.close()` alone) kept-alive connections are cut while a request may be on them, or stay until they are killed.

use super::core::Core;
use super::event::NodeEvent;
use super::line;
use super::worker::Phase;
use crate::model::Run;
use std::time::Duration;

impl Core {
    /// Stops handing it connections and asks it to finish. For `grace` it leaves idle connections open.
    pub(super) fn drain(&mut self, run: Run, grace: Duration) {
        let Some(worker) = self.workers.get_mut(&run) else { return };
        if worker.phase == Phase::Draining {
            return;
        }
        let again = worker.was_ending;
        worker.phase = Phase::Draining;
        let cluster = worker.cluster;
        self.retire(run);
        if cluster && !self.listeners.values().any(|listener| listener.holders.contains_key(&run)) {
            self.emit(NodeEvent::Idle { run });
        }
        let grace = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        if again {
            // A second `disconnect` cuts what the first one lets finish. Without the preload nobody knows whether there was one.
            return self.tell_of_end(run, line::drain_again(grace));
        }
        if cluster {
            self.tell(run, line::drain(grace));
            let seq = self.seq();
            self.tell_of_end(run, line::disconnect(seq));
        } else {
            self.tell_of_end(run, line::drain(grace));
        }
    }

    /// Says `shutdown` to it, as PM2 does instead of a signal.
    pub(super) fn shutdown(&mut self, run: Run) {
        self.tell_of_end(run, line::user(&"shutdown".into()));
    }

    /// The last that it is told of its end.
    fn tell_of_end(&mut self, run: Run, line: Vec<u8>) {
        if let Some(worker) = self.workers.get_mut(&run) {
            worker.is_being_told = true;
            self.tell(run, line);
        }
    }

    /// It will be stopped: servers that it closes now are closed by the stop, not by the app's wish.
    pub(super) fn stopping(&mut self, run: Run) {
        if let Some(worker) = self.workers.get_mut(&run).filter(|w| w.phase == Phase::Serving) {
            worker.phase = Phase::Stopping;
        }
    }

    /// It leaves on its own will: the servers that it closes now are its successor's.
    pub(super) fn begins_to_leave(&mut self, run: Run) {
        let Some(worker) = self.workers.get_mut(&run) else { return };
        match worker.phase {
            Phase::Serving | Phase::Stopping => {
                worker.phase = Phase::Leaving;
                self.retire(run);
                self.emit(NodeEvent::Voluntary { run });
            }
            Phase::Draining | Phase::Leaving => {}
        }
    }

    /// It leaves on its own will and waits for the answer.
    pub(super) fn leaves(&mut self, run: Run, ack: u64) {
        self.begins_to_leave(run);
        let seq = self.seq();
        self.tell(run, line::acknowledge(ack, seq));
    }

    /// Closes all listeners of an app: nobody is left to serve them.
    pub(super) fn close_listeners(&mut self, app: &str) {
        for entry in self.entries(|listener| &*listener.app == app) {
            self.close_listener(entry);
        }
    }

    fn retire(&mut self, run: Run) {
        for listener in self.listeners.values_mut() {
            listener.rotation.retire(run);
        }
    }
}
