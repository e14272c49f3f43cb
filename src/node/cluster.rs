//! The primary's side of Node's cluster: who may listen where, and the answers of workers to what they were handed.

use super::channel::Purpose;
use super::core::{Core, Source};
use super::dispatch::{REST_FULL, REST_NO_FDS};
use super::line;
use super::listener::{Kind, Listener};
use super::message::Ask;
use super::worker::Phase;
use crate::model::Run;
use crate::sys::socket;
use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use serde_json::{Value, json};
use std::os::fd::AsFd;
use std::sync::Arc;

/// How long a listener without holders is kept at least, in milliseconds: longer than a restart takes.
const ABANDONED: u64 = 5000;

impl Core {
    /// A worker holds nothing any more; its listeners stay, for whoever comes after it.
    pub(super) fn depart(&mut self, run: Run) {
        for entry in self.entries(|_| true) {
            let Some(listener) = self.listeners.get_mut(&entry) else { continue };
            if let Some(connection) = listener.rotation.gone(run) {
                self.last_seq += 1;
                listener.kept.wait(&*self.keep, entry, &connection, self.last_seq, self.now);
            }
            if listener.drop_holder(run).is_some() {
                self.save(entry);
                self.refresh(entry);
            }
        }
    }

    /// May it listen there? Answers always, unless it is on its way out.
    pub(super) fn query_server(&mut self, run: Run, seq: u64, ask: Ask, data: Value) {
        let Some(worker) = self.workers.get(&run) else { return };
        match worker.phase {
            Phase::Serving | Phase::Stopping => {}
            Phase::Draining | Phase::Leaving => return,
        }
        let (app, key) = (Arc::clone(&worker.app), ask.key());
        // The former daemon granted it and did not live to take the question off the socket.
        let granted = self.entries(|l| l.app == app && l.key == key && l.asked.get(&run) == Some(&seq));
        if let Some(entry) = granted.first() {
            self.answer(run, seq, *entry);
            return;
        }
        match self.grant(run, seq, ask.clone(), data) {
            Ok(entry) => self.answer(run, seq, entry),
            Err(errno) => {
                self.refuse(run, seq, &key, errno);
                self.report(run, &ask, errno);
            }
        }
    }

    /// Makes it a holder of the listener for what it asks; kept and recorded before anybody uses it.
    fn grant(&mut self, run: Run, seq: u64, ask: Ask, data: Value) -> Result<u64, Errno> {
        let worker = self.workers.get(&run).ok_or(Errno::INVAL)?;
        if ask.fd.is_some_and(|fd| fd >= 0) {
            // The number means nothing in another process.
            return Err(Errno::INVAL);
        }
        let (app, slot, preload) = (Arc::clone(&worker.app), worker.slot, worker.preload);
        let kind = Kind::of(worker.scheduling, ask.address_type);
        let key = ask.key();
        let known = self.entries(|l| l.app == app && l.key == key).first().copied();
        let entry = match known {
            Some(entry) => entry,
            None => self.open(&app, ask, kind, slot, data.clone())?,
        };
        let listener = self.listeners.get_mut(&entry).ok_or(Errno::INVAL)?;
        if listener.data.is_null() {
            // Another kind of server was here first: a TLS server dies of an answer without its ticket keys.
            listener.data = data;
        }
        if listener.doubted.contains(&run) {
            // It asks again, so it has closed it: nobody lived to write that down.
            listener.drop_holder(run);
        }
        if listener.holders.contains_key(&run) {
            // A second handle under one key would fail an assertion in the worker.
            return Err(Errno::ADDRINUSE);
        }
        let index = listener.index(slot);
        let (fd, new) = listener.socket_for(slot)?;
        listener.holders.insert(run, slot);
        listener.asked.insert(run, seq);
        if listener.kind == Kind::RoundRobin && preload {
            listener.copies.insert(run);
        }
        if new || known.is_none() {
            self.keep.keep(entry, index, fd.as_fd());
        }
        self.save(entry);
        self.refresh(entry);
        Ok(entry)
    }

    /// A new listener. Where only abandoned ones of the same app are in the way (it listens on `127.0.0.1:80` now and
    /// on `*:80` before its restart), they make room.
    fn open(&mut self, app: &Arc<str>, ask: Ask, kind: Kind, slot: u32, data: Value) -> Result<u64, Errno> {
        let port = ask.port;
        let mut opened = Listener::open(Arc::clone(app), ask.clone(), kind, slot, data.clone());
        if opened.as_ref().is_err_and(|e| *e == Errno::ADDRINUSE) && port > 0 {
            for entry in self.entries(|l| l.app == *app && l.ask.port == port && l.holders.is_empty()) {
                self.close_listener(entry);
            }
            opened = Listener::open(Arc::clone(app), ask, kind, slot, data);
        }
        self.last_entry += 1;
        self.listeners.insert(self.last_entry, opened?);
        Ok(self.last_entry)
    }

    /// The answer first, then its turn: whatever is handed to it comes after the answer.
    pub(super) fn answer(&mut self, run: Run, ack: u64, entry: u64) {
        let seq = self.seq();
        let Some(listener) = self.listeners.get_mut(&entry) else { return };
        let reply = listener.reply(ack, seq);
        let handle = match listener.kind {
            Kind::RoundRobin => None,
            Kind::Shared | Kind::ReusePort => {
                let slot = listener.holders.get(&run).copied().unwrap_or(0);
                listener.socket_for(slot).ok().map(|(fd, _)| fd)
            }
        };
        if listener.kind != Kind::Shared {
            listener.rotation.join(run);
        }
        let kind = if listener.ask.address_type.is_udp() { "dgram.Native" } else { "net.Native" };
        match (handle, self.workers.get_mut(&run).and_then(|w| w.channel.as_mut())) {
            (Some(fd), Some(channel)) => {
                let line = line::with_handle(kind, &reply);
                channel.outbox.push_handle(line, fd, Purpose::Socket { entry, ack });
                self.flush(run);
            }
            _ => self.tell(run, line::plain(&reply)),
        }
        self.note_owed(run, entry);
        self.give_copy(run, entry);
    }

    /// A socket on which the daemon accepts would end with daemon and keeper, if they die together. The workers have a
    /// copy that they do nothing with; the next daemon takes it back from one of them (`daemon/orphans`).
    fn give_copy(&mut self, run: Run, entry: u64) {
        let Some(listener) = self.listeners.get(&entry).filter(|l| l.copies.contains(&run)) else { return };
        let Some(socket) = listener.sockets.get(&0) else { return };
        let Some(channel) = self.workers.get_mut(&run).and_then(|w| w.channel.as_mut()) else { return };
        channel.outbox.push_handle(line::hold(&listener.key), Arc::clone(&socket.fd), Purpose::Copy);
        self.flush(run);
    }

    fn refuse(&mut self, run: Run, ack: u64, key: &str, errno: Errno) {
        let seq = self.seq();
        let reply = json!({
            "cmd": "NODE_CLUSTER", "ack": ack, "errno": -errno.raw_os_error(), "key": key, "data": null, "seq": seq,
        });
        self.tell(run, line::plain(&reply));
    }

    /// A worker's server is closed. When that was the last and the app's own wish, the listener closes at once, before
    /// the next message is read: the app may want to listen there again.
    pub(super) fn closed(&mut self, run: Run, key: &str) {
        let Some(worker) = self.workers.get(&run) else { return };
        let (app, wish) = (Arc::clone(&worker.app), worker.phase == Phase::Serving);
        for entry in self.entries(|l| l.app == app && l.key == key) {
            let Some(listener) = self.listeners.get_mut(&entry) else { continue };
            listener.rotation.leave(run);
            let has_copy = listener.copies.contains(&run);
            if listener.drop_holder(run).is_none() {
                continue;
            }
            let address = listener.display();
            let is_unused = listener.holders.is_empty();
            if let Some(worker) = self.workers.get_mut(&run) {
                worker.closes(&address);
            }
            if has_copy {
                self.tell(run, line::release(key));
            }
            if is_unused && wish {
                self.close_listener(entry);
            } else {
                self.save(entry);
                self.refresh(entry);
            }
        }
    }

    /// Closes a listener for good.
    pub(super) fn close_listener(&mut self, entry: u64) {
        let Some(listener) = self.listeners.remove(&entry) else { return };
        // A worker that still accepts on its copy would fail with EINVAL.
        let is_unused = listener.kind == Kind::RoundRobin || listener.holders.is_empty();
        for socket in listener.sockets.values() {
            if is_unused {
                // The keeper has a copy, perhaps for a while yet.
                socket::stop_listening(&socket.fd);
            }
            if let Some(token) = socket.token {
                self.forget_source(token, &socket.fd);
            }
        }
        listener.unlink();
        self.keep.forget(entry);
    }

    /// It took the connection, or not.
    pub(super) fn answered(&mut self, run: Run, ack: u64, accepted: bool) {
        let channel = self.workers.get(&run).and_then(|w| w.channel.as_ref());
        if channel.is_some_and(|c| c.outbox.under_way() == Some(&Purpose::Connection { seq: ack })) {
            // It has the handle, then. The acknowledgement of that was spoilt by what the worker wrote between.
            self.handle_arrived(run);
        }
        let handed = self.workers.get_mut(&run).and_then(|w| w.handed.remove(&ack));
        let Some(entry) = handed else { return self.answered_late(run, ack, accepted) };
        if !accepted {
            return self.refused(run, entry, ack, REST_FULL);
        }
        let Some(listener) = self.listeners.get_mut(&entry) else { return };
        if let Some(connection) = listener.rotation.accepted(run) {
            listener.kept.taken(&*self.keep, entry, &connection);
        }
    }

    /// A worker's answer to what a former daemon handed it.
    fn answered_late(&mut self, run: Run, ack: u64, accepted: bool) {
        let app = self.workers.get(&run).map(|worker| Arc::clone(&worker.app));
        for (entry, listener) in self.listeners.iter_mut().filter(|(_, l)| Some(&l.app) == app.as_ref()) {
            let Some(connection) = listener.kept.answered(ack) else { continue };
            if accepted {
                listener.kept.taken(&*self.keep, *entry, &connection);
            } else {
                listener.kept.wait(&*self.keep, *entry, &connection, ack, self.now);
                listener.rotation.wait(connection);
            }
        }
    }

    /// It did not take a connection, which waits for another now, or for its rest to end.
    fn refused(&mut self, run: Run, entry: u64, seq: u64, rest: u64) {
        let Some(listener) = self.listeners.get_mut(&entry) else { return };
        let (until, first) = (self.now + rest, !listener.kept.refuses(self.now));
        if let Some(connection) = listener.rotation.refused(run, until) {
            listener.kept.wait(&*self.keep, entry, &connection, seq, self.now);
        }
        // What others have in hand they will refuse as well.
        for (other, worker) in self.workers.iter().filter(|_| first) {
            let seq = worker.handed.iter().find(|(_, at)| **at == entry).map(|(seq, _)| *seq);
            if let (Some(seq), Some(connection)) = (seq, listener.rotation.handed_to(*other)) {
                listener.kept.hand(&*self.keep, entry, connection, seq, self.now);
            }
        }
        self.wake_by(until);
    }

    /// The handle under way has arrived; what waited behind it may go.
    pub(super) fn handle_arrived(&mut self, run: Run) {
        if let Some(channel) = self.workers.get_mut(&run).and_then(|w| w.channel.as_mut()) {
            channel.outbox.acknowledged();
            self.flush(run);
        }
    }

    /// It has no free descriptor and never saw the message. Node's own primary waits for ever here.
    pub(super) fn handle_refused(&mut self, run: Run) {
        let Some(worker) = self.workers.get_mut(&run) else { return };
        let purpose = worker.channel.as_mut().and_then(|channel| channel.outbox.acknowledged());
        match purpose {
            Some(Purpose::Connection { seq }) => {
                if let Some(entry) = worker.handed.remove(&seq) {
                    self.refused(run, entry, seq, REST_NO_FDS);
                }
                self.flush(run);
            }
            Some(Purpose::Copy) => self.flush(run),
            Some(Purpose::Socket { entry, ack }) => {
                let key = self.listeners.get(&entry).map(|l| l.key.clone()).unwrap_or_default();
                self.refuse(run, ack, &key, Errno::MFILE);
                self.closed(run, &key);
            }
            None => {}
        }
    }

    /// Watches the sockets on which the daemon accepts, and only those.
    pub(super) fn refresh(&mut self, entry: u64) {
        let Some(listener) = self.listeners.get(&entry) else { return };
        let wanted: Vec<_> = listener
            .sockets
            .iter()
            .map(|(index, s)| (*index, Arc::clone(&s.fd), s.token, listener.daemon_accepts(*index, &s.fd)))
            .collect();
        for (index, fd, token, accepts) in wanted {
            let token = match (token, accepts) {
                (None, true) => {
                    let token = self.source(Source::Listener { entry, index });
                    // Edge-triggered: most connections are waited for while no worker is free.
                    self.watch(token, &fd, EventFlags::IN | EventFlags::ET).ok().map(|()| token)
                }
                (Some(token), false) => {
                    self.forget_source(token, &fd);
                    None
                }
                (unchanged, _) => unchanged,
            };
            if let Some(socket) = self.listeners.get_mut(&entry).and_then(|l| l.sockets.get_mut(&index)) {
                socket.token = token;
            }
        }
    }

    /// Writes the record of a listener, whose holders may have changed.
    pub(super) fn save(&mut self, entry: u64) {
        let Some(listener) = self.listeners.get_mut(&entry) else { return };
        self.keep.record(entry, &listener.record());
        if listener.holders.is_empty() {
            listener.abandoned.get_or_insert(self.now);
            self.wake_by(self.now + ABANDONED);
        } else {
            listener.abandoned = None;
        }
    }

    /// Closes listeners that the app does not use any more: nobody has held them for a while, and all of its workers
    /// listen elsewhere (it was reloaded with another port), or have left the cluster on their own will and live on.
    /// A crashed app has no workers and keeps its ports.
    pub(super) fn sweep(&mut self) {
        let (due, later): (Vec<_>, Vec<_>) = self
            .listeners
            .iter()
            .filter_map(|(entry, listener)| Some((*entry, listener.abandoned? + ABANDONED)))
            .partition(|(_, at)| *at <= self.now);
        for (entry, _) in &due {
            if self.listeners.get(entry).is_some_and(|listener| self.nobody_comes_back(&listener.app)) {
                self.close_listener(*entry);
            }
        }
        let open = due.iter().filter(|(entry, _)| self.listeners.contains_key(entry));
        let next = open.map(|_| self.now + ABANDONED).chain(later.into_iter().map(|(_, at)| at)).min();
        if let Some(at) = next {
            self.wake_by(at);
        }
    }

    fn nobody_comes_back(&self, app: &str) -> bool {
        let mut of_app = self.workers.iter().filter(|(_, w)| &*w.app == app).peekable();
        let holds = |run: &Run| self.listeners.values().any(|listener| listener.holders.contains_key(run));
        let has_left = |phase| match phase {
            Phase::Leaving => true,
            Phase::Serving | Phase::Draining | Phase::Stopping => false,
        };
        let is_on_its_way_out = |phase| match phase {
            Phase::Draining | Phase::Stopping => true,
            Phase::Serving | Phase::Leaving => false,
        };
        let some = of_app.clone().any(|(_, w)| !is_on_its_way_out(w.phase));
        some && of_app.all(|(run, w)| is_on_its_way_out(w.phase) || has_left(w.phase) || holds(run))
    }

    /// The listeners with this property.
    pub(super) fn entries(&self, has: impl Fn(&Listener) -> bool) -> Vec<u64> {
        self.listeners.iter().filter(|(_, listener)| has(listener)).map(|(entry, _)| *entry).collect()
    }
}
