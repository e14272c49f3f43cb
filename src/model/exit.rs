//! How a process ended.

use serde::{Deserialize, Serialize};
use std::fmt;

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// It returned this code (0 to 255).
    Code(i32),
    /// This signal ended it.
    Signal(i32),
    /// It is gone, and nobody can tell how (adopted after the keeper died, on an old kernel).
    Unknown,
}

impl Exit {
    /// From the raw status of `wait4(2)`; those are never negative, so a negative one stands for an unknown end.
    pub fn from_wait_status(status: i32) -> Exit {
        if status < 0 {
            return Exit::Unknown;
        }
        let signal = status & 0x7f;
        if signal == 0 { Exit::Code((status >> 8) & 0xff) } else { Exit::Signal(signal) }
    }

    /// True for exit code 0.
    pub fn is_success(self) -> bool {
        self == Exit::Code(0)
    }
}

/// Name of a Linux signal number (`SIGKILL`), or `signal 77`.
pub fn signal_name(number: i32) -> String {
    match SIGNALS.iter().find(|(n, _)| *n == number) {
        Some((_, name)) => (*name).to_owned(),
        None => format!("signal {number}"),
    }
}

/// Number of a signal given as `SIGTERM`, `TERM`, `term` or `15`.
pub fn signal_number(text: &str) -> Option<i32> {
    if let Ok(number) = text.parse::<i32>() {
        return (1..=64).contains(&number).then_some(number);
    }
    let upper = text.to_ascii_uppercase();
    let full = if upper.starts_with("SIG") { upper } else { format!("SIG{upper}") };
    SIGNALS.iter().find(|(_, name)| *name == full).map(|(n, _)| *n)
}

/// signal(7), x86 and ARM numbering.
const SIGNALS: &[(i32, &str)] = &[
    (1, "SIGHUP"),
    (2, "SIGINT"),
    (3, "SIGQUIT"),
    (4, "SIGILL"),
    (5, "SIGTRAP"),
    (6, "SIGABRT"),
    (7, "SIGBUS"),
    (8, "SIGFPE"),
    (9, "SIGKILL"),
    (10, "SIGUSR1"),
    (11, "SIGSEGV"),
    (12, "SIGUSR2"),
    (13, "SIGPIPE"),
    (14, "SIGALRM"),
    (15, "SIGTERM"),
    (16, "SIGSTKFLT"),
    (17, "SIGCHLD"),
    (18, "SIGCONT"),
    (19, "SIGSTOP"),
    (20, "SIGTSTP"),
    (21, "SIGTTIN"),
    (22, "SIGTTOU"),
    (23, "SIGURG"),
    (24, "SIGXCPU"),
    (25, "SIGXFSZ"),
    (26, "SIGVTALRM"),
    (27, "SIGPROF"),
    (28, "SIGWINCH"),
    (29, "SIGIO"),
    (30, "SIGPWR"),
    (31, "SIGSYS"),
];

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exit::Code(code) => write!(f, "exit code {code}"),
            Exit::Signal(number) => f.write_str(&signal_name(*number)),
            Exit::Unknown => f.write_str("exit code unknown"),
        }
    }
}
