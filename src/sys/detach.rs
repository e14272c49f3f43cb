//! Starting the keeper so that nothing of the client's life reaches it: own session, no terminal, cwd `/`.

use super::paths::Home;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

/// Variables that keeper and daemon get, beside those that begin with `PMON_` or `LC_`.
const NEEDED: [&str; 11] = [
    "HOME",
    "PATH",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "TERM",
    "TZ",
    "TMPDIR",
    "XDG_RUNTIME_DIR",
    "RUST_BACKTRACE",
];
/// Of the worker that calls us, if it is one: whoever has them is taken for that worker.
const OF_A_WORKER: [&str; 3] = ["PMON_ID", "PMON_GEN", "PMON_PRELOAD"];

fn is_needed(name: &OsStr) -> bool {
    let Some(name) = name.to_str() else { return false };
    let ours = name.starts_with("PMON_") && !OF_A_WORKER.contains(&name);
    ours || name.starts_with("LC_") || NEEDED.contains(&name)
}

/// Starts `pmon keeper` of this very binary. `ready` is the write end of the pipe on which keeper or daemon
/// say `ready`, or why not; its number goes in `--ready-fd`.
pub fn keeper(home: &Home, log: File, ready: OwnedFd) -> io::Result<()> {
    let number = ready.as_raw_fd();
    let mut command = Command::new(std::env::current_exe()?);
    command
        .arg0("pmon")
        .args(["keeper", "--ready-fd", &number.to_string()])
        // The caller's variables may be secrets, and whoever may look at a process sees its environment. What workers
        // get comes with their apps.
        .env_clear()
        .envs(std::env::vars_os().filter(|(name, _)| is_needed(name)))
        .env("PMON_HOME", home.root())
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log);
    // SAFETY: setsid(2), fcntl(2) and close_range(2) are async-signal-safe and touch no memory of the parent.
    unsafe {
        command.pre_exec(move || {
            rustix::process::setsid()?;
            // A lock or pipe that the client's own parent leaked must not live as long as the fleet.
            super::fd::close_on_exec_from(3);
            let fd = std::os::fd::BorrowedFd::borrow_raw(number);
            rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::empty())?;
            Ok(())
        });
    }
    // The child is not waited for: it outlives this process, and init or a subreaper reaps it.
    command.spawn()?;
    drop(ready);
    Ok(())
}
