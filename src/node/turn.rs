//! The loop of the hub's thread: wait, hear the workers, do what the daemon wants, hand out connections.

use super::channel::Purpose;
use super::core::{Core, Source, millis};
use super::hub::{Command, Queue};
use super::line;
use super::listener::Listener;
use super::worker::Worker;
use crate::model::Run;
use crate::sys::{fault, socket};
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, EventFlags};
use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;
use rustix::time::Timespec;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// The token of the eventfd by which the daemon wakes the thread.
pub(super) const WAKE: u64 = 0;

/// Connections accepted in one turn for one socket, so that a busy one does not starve the others.
const BATCH: usize = 256;

/// Pause when there is not even a spare descriptor.
const PAUSE: u64 = 10;

/// Runs until the daemon says stop or has gone.
pub(super) fn run(mut core: Core, queue: &Queue) {
    let mut events = Vec::with_capacity(256);
    while !core.is_over {
        let timeout = core.wake_at.map(|at| timespec(at.saturating_sub(millis())));
        match epoll::wait(&core.epoll, spare_capacity(&mut events), timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => return,
        }
        core.now = millis();
        // Orders first: what a worker does because it was stopped must find the order that announced it.
        while let Some(command) = queue.next() {
            match command {
                Command::Stop => return,
                command => core.obey(command),
            }
        }
        for event in events.drain(..) {
            let (token, flags): (u64, EventFlags) = (event.data.u64(), event.flags);
            match core.sources.get(&token).copied() {
                Some(Source::Channel(run)) => core.channel_event(run, flags),
                Some(Source::Listener { entry, index }) => core.connection_waits(entry, index),
                None if token == WAKE => queue.quiet(),
                None => {}
            }
        }
        core.due();
        core.dispatch();
        core.publish();
    }
}

fn timespec(ms: u64) -> Timespec {
    // One more, since the clock's milliseconds are rounded down.
    let ms = i64::try_from(ms).unwrap_or(i64::MAX).saturating_add(1);
    Timespec { tv_sec: ms / 1000, tv_nsec: ms % 1000 * 1_000_000 }
}

impl Core {
    fn obey(&mut self, command: Command) {
        match command {
            Command::Adopt { entry, fds, connections, blob } => {
                self.adopt_listener(entry, fds, &blob);
                self.adopt_connections(entry, connections);
            }
            Command::Add(spec) => self.add(*spec),
            Command::Remove(run) => self.remove(run),
            Command::Say(run, message) => self.say(run, &message),
            Command::Lend { run, port, connection, reply } => {
                // Whoever asked may have gone.
                let _gone = reply.send(self.lend(run, port, connection));
            }
            Command::Drain(run, grace) => self.drain(run, grace),
            Command::Shutdown(run) => self.shutdown(run),
            Command::Stopping(run) => self.stopping(run),
            Command::CloseListeners(app) => self.close_listeners(&app),
            Command::Stop => {}
        }
    }

    fn channel_event(&mut self, run: Run, flags: EventFlags) {
        if flags.contains(EventFlags::OUT) {
            self.flush(run);
        }
        if flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
            self.read(run);
        }
    }

    fn connection_waits(&mut self, entry: u64, index: u32) {
        if let Some(socket) = self.listeners.get_mut(&entry).and_then(|l| l.sockets.get_mut(&index)) {
            socket.ready = true;
        }
    }

    /// Ends rests and pauses that are over.
    fn due(&mut self) {
        if self.wake_at.is_none_or(|at| at > self.now) {
            return;
        }
        self.wake_at = None;
        let now = self.now;
        let mut next = Vec::new();
        for (entry, listener) in &mut self.listeners {
            listener.rotation.wake(now);
            listener.kept.give_up(&*self.keep, *entry, now);
            next.extend(listener.rotation.next_wake());
            next.extend(listener.kept.next_due());
            next.extend(Some(listener.paused_until).filter(|until| *until > now));
        }
        next.into_iter().for_each(|at| self.wake_by(at));
        self.sweep();
        let runs: Vec<Run> = self.workers.keys().copied().collect();
        runs.into_iter().for_each(|run| self.flush(run));
    }

    /// Hands out connections for as long as there are workers to take them.
    fn dispatch(&mut self) {
        if self.spare.is_none() {
            self.spare = eventfd(0, EventfdFlags::CLOEXEC).ok();
        }
        for entry in self.entries(|_| true) {
            while let Some((run, connection)) = self.next_waiting(entry) {
                if let Some(line) = self.announce(entry) {
                    self.hand_over(entry, run, connection, line);
                }
            }
            let Some(listener) = self.listeners.get(&entry).filter(|l| l.paused_until <= self.now) else {
                continue;
            };
            let ready: Vec<u32> = listener
                .sockets
                .iter()
                .filter(|(_, s)| s.ready && s.token.is_some())
                .map(|(i, _)| *i)
                .collect();
            for index in ready {
                self.accept(entry, index);
            }
        }
    }

    fn next_waiting(&mut self, entry: u64) -> Option<(Run, Arc<OwnedFd>)> {
        let can = |run| self.workers.get(&run).is_some_and(Worker::is_idle);
        self.listeners.get_mut(&entry)?.rotation.next_waiting(can)
    }

    /// Accepts on one socket while somebody is free whose channel is: a handle under way to him, of whatever kind, would
    /// make the connection wait here, and die with us.
    fn accept(&mut self, entry: u64, index: u32) {
        for _ in 0..BATCH {
            let Some(listener) = self.listeners.get_mut(&entry) else { return };
            let can = |run| self.workers.get(&run).is_some_and(Worker::is_idle);
            if !listener.rotation.wants_connection(can) {
                return;
            }
            // Everything that can be is done before: from here to sendmsg(2) the connection is ours alone.
            let Some(line) = self.announce(entry) else { return };
            let Some(listener) = self.listeners.get_mut(&entry) else { return };
            let Some(socket) = listener.sockets.get_mut(&index) else { return };
            match socket::accept(&socket.fd) {
                Ok(connection) => {
                    fault::pass("hub.accepted");
                    let can = |run| self.workers.get(&run).is_some_and(Worker::is_idle);
                    if let Some((run, connection)) = listener.rotation.hand_over(Arc::new(connection), can) {
                        self.hand_over(entry, run, connection, line);
                    }
                }
                Err(Errno::AGAIN | Errno::INVAL) => {
                    socket.ready = false;
                    return;
                }
                // Nothing is lost: it waits in the backlog. The spare descriptor lets one connection through at a
                // time, for the worker's process has room; without it the next attempt comes a little later.
                Err(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => {
                    if self.spare.take().is_none() {
                        listener.paused_until = self.now + PAUSE;
                        self.wake_by(self.now + PAUSE);
                        return;
                    }
                }
                // That client is gone, or the network had an error for it (accept(2)): the next.
                Err(_) => {}
            }
        }
        // More may be waiting, and its edge has been seen.
        self.wake_by(self.now);
    }

    /// A connection for one worker only, outside the rotation: what becomes of it is not followed. Workers that accept
    /// by themselves take it as well.
    fn lend(&mut self, run: Run, port: Option<u16>, connection: OwnedFd) -> bool {
        let seq = self.seq();
        let fits = |listener: &&Listener| {
            let at = listener.address();
            listener.holders.contains_key(&run)
                && !listener.ask.address_type.is_udp()
                && at.is_some_and(|at| port.is_none_or(|port| at.port() == port))
        };
        let Some(listener) = self.listeners.values().find(fits) else { return false };
        let line = line::new_connection(&listener.key, seq);
        let Some(channel) = self.workers.get_mut(&run).and_then(|w| w.channel.as_mut()) else { return false };
        channel.outbox.push_handle(line, Arc::new(connection), Purpose::Connection { seq });
        self.flush(run);
        true
    }

    /// The number and the line of the listener's next `newconn`.
    fn announce(&mut self, entry: u64) -> Option<(u64, Vec<u8>)> {
        let seq = self.seq();
        Some((seq, line::new_connection(&self.listeners.get(&entry)?.key, seq)))
    }

    fn hand_over(&mut self, entry: u64, run: Run, connection: Arc<OwnedFd>, (seq, line): (u64, Vec<u8>)) {
        let Some(listener) = self.listeners.get_mut(&entry) else { return };
        let Some(worker) = self.workers.get_mut(&run) else { return };
        let Some(channel) = &mut worker.channel else { return };
        listener.kept.hand(&*self.keep, entry, &connection, seq, self.now);
        channel.outbox.push_handle(line, connection, Purpose::Connection { seq });
        worker.handed.insert(seq, entry);
        self.flush(run);
        fault::pass("hub.handed");
    }
}
