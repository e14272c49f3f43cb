//! Sockets that were given to this process at its birth, by systemd's convention (sd_listen_fds(3)): `LISTEN_FDS` of
//! them from descriptor 3 on, meant for the process `LISTEN_PID`.

use rustix::net::sockopt::socket_acceptconn;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

const FIRST: i32 = 3;

/// Why there is no inherited socket.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum InheritError {
    /// A variable is missing or no number.
    #[error("find the inherited socket: `{0}` is not set to a number")]
    Variable(&'static str),
    /// They are for somebody else: this process only inherited the environment.
    #[error("take the inherited socket: it is for process {meant}, this is {pid}")]
    OtherProcess {
        /// `LISTEN_PID`.
        meant: u32,
        /// Ours.
        pid: u32,
    },
    /// None was given.
    #[error("find the inherited socket: `LISTEN_FDS` is 0")]
    None,
    /// Descriptor 3 is something else.
    #[error("take the inherited socket: descriptor 3 does not listen")]
    NotListening,
    /// It was taken before.
    #[error("take the inherited socket: it is taken")]
    Taken,
}

/// The first inherited listening socket, close-on-exec. Only once in a process.
pub fn listening_socket() -> Result<OwnedFd, InheritError> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    check(|name| std::env::var(name).ok(), std::process::id())?;
    // SAFETY: only looked at; should no such descriptor exist, the calls fail with EBADF.
    let socket = unsafe { BorrowedFd::borrow_raw(FIRST) };
    if !socket_acceptconn(socket).unwrap_or(false)
        || rustix::io::fcntl_setfd(socket, rustix::io::FdFlags::CLOEXEC).is_err()
    {
        return Err(InheritError::NotListening);
    }
    if TAKEN.swap(true, Ordering::SeqCst) {
        return Err(InheritError::Taken);
    }
    // SAFETY: it is open (it listens), the environment says it is this process's, and it is handed out only once.
    Ok(unsafe { OwnedFd::from_raw_fd(FIRST) })
}

fn check(variable: impl Fn(&str) -> Option<String>, pid: u32) -> Result<(), InheritError> {
    let number = |name| {
        let number = variable(name).and_then(|text| text.parse::<u32>().ok());
        number.ok_or(InheritError::Variable(name))
    };
    let meant = number("LISTEN_PID")?;
    if meant != pid {
        return Err(InheritError::OtherProcess { meant, pid });
    }
    if number("LISTEN_FDS")? == 0 { Err(InheritError::None) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_with(variables: &[(&str, &str)]) -> Result<(), InheritError> {
        let find =
            |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
        check(find, 7)
    }

    #[test]
    fn only_the_process_that_is_meant_takes_the_socket() {
        assert_eq!(check_with(&[("LISTEN_PID", "7"), ("LISTEN_FDS", "1")]), Ok(()));
        assert_eq!(
            check_with(&[("LISTEN_PID", "8"), ("LISTEN_FDS", "1")]),
            Err(InheritError::OtherProcess { meant: 8, pid: 7 })
        );
        assert_eq!(check_with(&[("LISTEN_FDS", "1")]), Err(InheritError::Variable("LISTEN_PID")));
        assert_eq!(check_with(&[("LISTEN_PID", "7")]), Err(InheritError::Variable("LISTEN_FDS")));
        assert_eq!(check_with(&[("LISTEN_PID", "7"), ("LISTEN_FDS", "0")]), Err(InheritError::None));
    }
}
