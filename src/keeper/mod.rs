//! The holder: its protocol, its loop, its table, and `Link`, the daemon's end. Placeholder.

/// Runs the keeper.
pub fn enter(_home: &crate::sys::paths::Home, _ready_fd: Option<i32>) -> std::io::Result<()> {
    Err(std::io::Error::other("not in this build"))
}
