//! `READY=1` by sd_notify(3): which worker's process says so.

use super::attach::Handover;
use super::owner::Owner;
use crate::keeper::{Link, Tag};
use crate::supervisor::Event;
use crate::sys::proc;
use crate::sys::sdnotify::{Notice, NotifySocket};
use anyhow::Context;
use std::collections::VecDeque;
use std::io;
use std::os::fd::AsFd;
use tokio::io::Interest;
use tokio::net::UnixDatagram;

/// Notices of processes that are not known yet.
const EARLY: usize = 256;
/// Parents looked at for a process that has left its worker's session.
const GENERATIONS: usize = 16;

/// Where notices go, and those that came before their worker was known.
#[derive(Debug)]
pub(super) struct Notices {
    socket: NotifySocket,
    address: String,
    early: VecDeque<u32>,
}

impl Notices {
    pub(super) fn new(socket: NotifySocket) -> Notices {
        Notices { address: socket.address(), socket, early: VecDeque::new() }
    }

    /// Where they come in.
    pub(super) fn socket(&self) -> &NotifySocket {
        &self.socket
    }

    /// The value of `NOTIFY_SOCKET`.
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// A notice of this worker's process was here before the keeper's word that it exists.
    pub(super) fn was_early(&mut self, pid: u32) -> bool {
        let before = self.early.len();
        self.early.retain(|early| *early != pid);
        self.early.len() < before
    }

    fn keep(&mut self, pid: u32) {
        self.early.push_back(pid);
        if self.early.len() > EARLY {
            self.early.pop_front();
        }
    }
}

/// The socket that the keeper held, or a new one. The keeper's copy outlives the daemon: what is said meanwhile waits
/// in it.
pub(super) fn socket(handover: &mut Handover, link: &Link) -> io::Result<NotifySocket> {
    if let Some(fd) = handover.notify.take() {
        return NotifySocket::inherited(fd);
    }
    let socket = NotifySocket::bind()?;
    link.keep(0, Tag { kind: Tag::NOTIFY, index: 0 }, socket.as_fd())?;
    Ok(socket)
}

impl Owner {
    /// Takes all notices that are there.
    pub(super) fn hear_notices(&mut self, watch: &UnixDatagram) -> anyhow::Result<()> {
        let heard = watch.try_io(Interest::READABLE, || {
            // Some at a time: who floods us with notices must not keep us from everything else.
            for _ in 0..EARLY {
                match self.notices.socket.receive()? {
                    Some(notice) => self.hear_notice(notice),
                    // Says that the socket is empty: the next wait waits.
                    None => return Err(io::ErrorKind::WouldBlock.into()),
                }
            }
            Ok(())
        });
        match heard {
            Err(e) if e.kind() != io::ErrorKind::WouldBlock => Err(e).context("hear a READY=1"),
            _ => Ok(()),
        }
    }

    fn hear_notice(&mut self, Notice { pid, ready }: Notice) {
        if !ready {
            return;
        }
        let candidates = ancestry(pid);
        let known = self.processes.iter().find(|(_, process)| candidates.contains(&process.pid));
        match known.map(|(run, _)| *run) {
            Some(run) => self.happen(Event::Notified { run }),
            // The keeper has made it, but its word is still on the way.
            None => candidates.into_iter().for_each(|pid| self.notices.keep(pid)),
        }
    }
}

/// The process, the leader of its session, and its parents: one of them is the worker's own.
fn ancestry(pid: u32) -> Vec<u32> {
    let mut found = vec![pid];
    found.extend(proc::session(pid).filter(|session| *session != pid));
    let mut next = pid;
    for _ in 0..GENERATIONS {
        match proc::stat(next) {
            Some(stat) if stat.parent > 1 => next = stat.parent,
            _ => break,
        }
        if !found.contains(&next) {
            found.push(next);
        }
    }
    found
}
