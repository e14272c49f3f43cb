//! Becoming another program: same process, same children, same blocked and pending signals.

use std::ffi::{CStr, CString};
use std::io;
use std::ptr;

/// Runs `file` in place of this program (execve(2)). Unlike `std`'s it leaves the signal mask alone, so that what is
/// pending stays so. Returns only if that failed; then nothing has changed.
pub fn become_program(file: &CStr, argv: &[CString], envp: &[CString]) -> io::Error {
    let pointers =
        |items: &[CString]| items.iter().map(|item| item.as_ptr()).chain([ptr::null()]).collect::<Vec<_>>();
    let (argv, envp) = (pointers(argv), pointers(envp));
    // SAFETY: both arrays end with null, and everything they point to lives until the call returns, if it does.
    unsafe { libc::execve(file.as_ptr(), argv.as_ptr(), envp.as_ptr()) };
    io::Error::last_os_error()
}
