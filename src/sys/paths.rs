//! Where things are: `$PMON_HOME` and the files in it.

use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Takes from this process's umask, and so from that of all it starts, what would keep us from our own files.
pub fn keep_own_rights() {
    let mask = rustix::process::umask(rustix::fs::Mode::empty());
    rustix::process::umask(mask & !rustix::fs::Mode::RWXU);
}

/// One home: one keeper, one daemon, one fleet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    root: PathBuf,
}

impl Home {
    /// `$PMON_HOME`, else `~/.pmon`, else `/etc/.pmon`; made absolute against the current directory.
    pub fn from_env() -> Home {
        let set = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        let root = set("PMON_HOME")
            .or_else(|| set("HOME").map(|home| home.join(".pmon")))
            .unwrap_or_else(|| PathBuf::from("/etc/.pmon"));
        Home::at(std::path::absolute(&root).unwrap_or(root))
    }

    /// A home at this absolute path.
    pub fn at(root: impl Into<PathBuf>) -> Home {
        Home { root: root.into() }
    }

    /// Makes the directories that are missing, each 0700. Errors name the path. A home that belongs to somebody else, or that
    /// others may write to, is refused: they could put anything in it, which this user would then obey.
    pub fn create(&self) -> io::Result<()> {
        if self.root.to_str().is_none() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "its path is no UTF-8"));
        }
        make(&self.root)?;
        let facts = std::fs::metadata(&self.root)?;
        let refused = |why: String| Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
        let (owner, us) = (facts.uid(), rustix::process::geteuid().as_raw());
        if owner != us {
            let name = super::user::name_of;
            return refused(format!("it belongs to user {}, and this is {}", name(owner), name(us)));
        }
        let own_group = facts.gid() == rustix::process::getegid().as_raw();
        let others = if own_group { 0o002 } else { 0o022 };
        if facts.mode() & others != 0 {
            return refused(format!("others may write to it (mode {:o}); chmod go-w", facts.mode() & 0o7777));
        }
        for dir in [self.logs(), self.pids(), self.states()] {
            if dir.symlink_metadata().is_ok() && !dir.is_dir() {
                super::aside::put(&dir)?;
            }
            make(&dir)?;
        }
        Ok(())
    }

    /// The variable that every process of this home was born with.
    pub fn mark(&self) -> String {
        format!("PMON_HOME={}", self.root.display())
    }

    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The daemon's socket.
    pub fn socket(&self) -> PathBuf {
        self.root.join("pmon.sock")
    }

    /// Locked by the keeper for its life.
    pub fn keeper_lock(&self) -> PathBuf {
        self.root.join("keeper.lock")
    }

    /// The daemon's own log.
    pub fn daemon_log(&self) -> PathBuf {
        self.root.join("pmon.log")
    }

    /// The daemon's pid, for scripts.
    pub fn daemon_pid(&self) -> PathBuf {
        self.root.join("pmon.pid")
    }

    /// Workers' logs.
    pub fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    /// Workers' pid files.
    pub fn pids(&self) -> PathBuf {
        self.root.join("pids")
    }

    /// If it is there: the process whose end ends the fleet, and the home with it (`sys::lease`).
    pub fn lease(&self) -> PathBuf {
        self.root.join("lease")
    }

    /// What the next daemon must know if keeper and daemon die together.
    pub fn states(&self) -> PathBuf {
        self.root.join("state")
    }

    /// What `save` writes and `resurrect` reads.
    pub fn dump(&self) -> PathBuf {
        self.root.join("dump.json")
    }

    /// What `set` writes, under PM2's name for it.
    pub fn settings(&self) -> PathBuf {
        self.root.join("module_conf.json")
    }

    /// The Node preload, written by the daemon at start.
    pub fn preload(&self) -> PathBuf {
        self.root.join("pmon-preload.js")
    }
}

/// Makes a directory, 0700, and those above it.
fn make(dir: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|e| match e.kind() {
        io::ErrorKind::AlreadyExists => {
            io::Error::new(io::ErrorKind::NotADirectory, format!("{}: it is no directory", dir.display()))
        }
        kind => io::Error::new(kind, format!("{}: {e}", dir.display())),
    })
}
