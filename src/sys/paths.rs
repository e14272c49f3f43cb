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

    /// Makes the directories that are missing, each 0700. Errors name the path. A home that others may write to is
    /// refused: they could put anything in it.
    pub fn create(&self) -> io::Result<()> {
        for dir in [self.root.clone(), self.logs(), self.pids()] {
            std::fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&dir)
                .map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", dir.display())))?;
        }
        let facts = std::fs::metadata(&self.root)?;
        let own_group = facts.gid() == rustix::process::getegid().as_raw();
        let others = if own_group { 0o002 } else { 0o022 };
        if facts.mode() & others != 0 {
            let why = format!("others may write to it (mode {:o}); chmod go-w", facts.mode() & 0o7777);
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
        }
        Ok(())
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
