//! The home as a place: whether its paths still lead to what is ours. Somebody may remove or move the directory, the socket
//! or the lock under a daemon that serves; then they are made anew where they belong, unless somebody else has taken the
//! place.
//!
//! The lock comes first: only who has it may bind the socket. A home that was moved stays what it was on the day: the one
//! at the configured path is made anew and goes on.

use super::journal;
use super::server;
use crate::sys::kin;
use crate::sys::lock::Lock;
use crate::sys::paths::Home;
use crate::sys::replace::{self, Sync};
use rustix::fs::{Mode, OFlags};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// What has happened to the home.
#[derive(Debug)]
pub(super) enum News {
    /// Files of it cannot be written, completing "failed to …"; `None`: they can be again.
    Trouble(Option<String>),
    /// Something was gone and is there again.
    Restored(Box<Restored>),
    /// It is gone, or in part, and cannot be made anew; completes "failed to …".
    Lost(String),
    /// It is whole again.
    Found,
}

/// What was made anew. The keeper is to hold it.
#[derive(Debug, Default)]
pub(super) struct Restored {
    /// For people.
    pub(super) what: Vec<&'static str>,
    pub(super) lock: Option<OwnedFd>,
    /// The socket, and its file.
    pub(super) control: Option<(UnixListener, OwnedFd)>,
}

/// The home, and what of it is ours.
#[derive(Debug)]
pub(super) struct Premises {
    home: Home,
    keeper_pid: Arc<AtomicU32>,
    /// The lock's file, and the socket's (O_PATH), by descriptor: so their inodes are given to nobody else.
    lock: Option<OwnedFd>,
    socket: OwnedFd,
    lost: Option<String>,
}

/// The socket's file, to be known again by.
pub(super) fn mark(socket: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(socket, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?)
}

/// Whether `path` leads to the file of a descriptor; `None`: it leads nowhere, or nowhere that can be seen.
fn leads_to(path: &Path, fd: &OwnedFd) -> Option<bool> {
    let there = path.symlink_metadata().ok()?;
    Some(kin::identity(fd).is_ok_and(|ours| ours == (there.dev(), there.ino())))
}

/// Whether `path` leads to the file of a descriptor.
pub(super) fn is_at(path: &Path, fd: &OwnedFd) -> bool {
    leads_to(path, fd) == Some(true)
}

impl Premises {
    /// `lock` is the keeper's, `socket` the file of ours ([`mark`]).
    pub(super) fn new(
        home: &Home,
        keeper_pid: Arc<AtomicU32>,
        lock: Option<OwnedFd>,
        socket: OwnedFd,
    ) -> Premises {
        Premises { home: home.clone(), keeper_pid, lock, socket, lost: None }
    }

    /// Looks, and makes anew what is gone.
    pub(super) fn look(&mut self) -> Option<News> {
        let mut restored = Restored::default();
        match self.restore(&mut restored) {
            Ok(()) if restored.what.is_empty() => self.lost.take().map(|_| News::Found),
            Ok(()) => {
                self.lost = None;
                Some(News::Restored(Box::new(restored)))
            }
            Err(error) => {
                let what = error.to_string();
                let news = self.lost.as_ref() != Some(&what);
                self.lost = Some(what.clone());
                // What was made anew before the failure is found to be there the next time.
                news.then_some(News::Lost(what))
            }
        }
    }

    fn restore(&mut self, restored: &mut Restored) -> io::Result<()> {
        let failed = |verb: &str, e: io::Error| io::Error::new(e.kind(), format!("{verb}: {e}"));
        if !self.home.root().is_dir() {
            self.home.create().map_err(|e| failed("make the home anew", e))?;
            restored.what.push("the home");
        }
        let path = self.home.keeper_lock();
        if !self.lock.as_ref().is_some_and(|lock| is_at(&path, lock)) {
            let lock = self.take_lock(&path).map_err(|e| failed("take the home's lock anew", e))?;
            self.lock = Some(lock.try_clone()?);
            restored.lock = Some(lock);
            restored.what.push("its lock");
        }
        let path = self.home.socket();
        if !is_at(&path, &self.socket) {
            let socket =
                server::bind(&self.home).map_err(|e| failed("listen at the home's socket anew", e))?;
            let file = mark(&path)?;
            self.socket = file.try_clone()?;
            restored.control = Some((socket, file));
            restored.what.push("its socket");
        }
        if !self.home.daemon_pid().exists() {
            write_own_files(&self.home).map_err(|e| failed("write", e))?;
            restored.what.push("its pid file");
        }
        if !self.home.daemon_log().exists() {
            journal::reopen(&self.home);
            restored.what.push("its log");
        }
        if !self.home.states().is_dir() {
            self.home.create().map_err(|e| failed("make the home anew", e))?;
            restored.what.push("the states");
        }
        Ok(())
    }

    /// Refused if another keeper has it by now: never two that fight.
    fn take_lock(&self, path: &Path) -> io::Result<OwnedFd> {
        match Lock::attempt(path)? {
            Some(lock) => {
                // For people only; on a full disk it must do without.
                let _unsigned = lock.sign_for(self.keeper_pid.load(Ordering::Relaxed));
                lock.as_fd().try_clone_to_owned()
            }
            None => {
                let pid = Lock::signed_by(path).map_or_else(|| "unknown".to_owned(), |pid| pid.to_string());
                Err(io::Error::other(format!("another keeper (pid {pid}) holds it")))
            }
        }
    }
}

/// What the daemon writes for others, but for states: its pid and Node's preload, which a Node that is just starting
/// must not read by half.
pub(super) fn write_own_files(home: &Home) -> io::Result<()> {
    replace::file(&home.daemon_pid(), std::process::id().to_string().as_bytes(), Sync::Cache)?;
    replace::file(&home.preload(), crate::node::PRELOAD.as_bytes(), Sync::Cache)
}
