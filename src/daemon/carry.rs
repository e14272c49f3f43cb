//! What a worker carries of its own state: a memory file with what `state/<entry>.json` holds, as of its birth. It is there
//! when the disk was full, or hung, or the home is gone, or the file cannot be read: a worker is not lost with its file,
//! and nothing has to be on a disk before it is started.

use super::states::State;
use crate::sys::child::Member;
use crate::sys::kin;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;

/// Under this number it is in the worker.
pub(super) const NUMBER: i32 = 1006;

/// Nobody's state is longer.
const LONGEST: u64 = 64 << 20;

/// An empty one.
pub(super) fn make() -> io::Result<OwnedFd> {
    Ok(memfd_create("pmon state", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?)
}

/// Writes it, at its beginning.
pub(super) fn write(fd: &OwnedFd, text: &[u8]) -> io::Result<()> {
    let file = File::from(fd.try_clone()?);
    file.write_all_at(text, 0)?;
    file.set_len(text.len() as u64)
}

/// The last word: whoever has it can only read it from now on.
pub(super) fn seal(fd: &OwnedFd) -> io::Result<()> {
    Ok(fcntl_add_seals(fd, SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?)
}

/// The state that a process carries, if it carries its own: descendants inherit it. One of another user is not believed:
/// he might have us start something else.
pub(super) fn read(process: Member, pidfd: impl AsFd) -> Option<State> {
    let facts = std::fs::metadata(format!("/proc/{}", process.pid)).ok()?;
    if std::os::unix::fs::MetadataExt::uid(&facts) != rustix::process::geteuid().as_raw() {
        return None;
    }
    let file = File::from(kin::descriptor(process, pidfd, NUMBER).ok()?);
    let length = file.metadata().ok()?.len();
    let mut bytes = vec![0; usize::try_from(length).ok().filter(|_| length <= LONGEST)?];
    file.read_exact_at(&mut bytes, 0).ok()?;
    let state: State = serde_json::from_slice(&bytes).ok()?;
    // Before the daemon knew the pid, there is none.
    (state.pid == 0 || (state.pid, state.born) == (process.pid, process.start_time)).then_some(state)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::child;

    #[test]
    fn a_state_can_be_written_until_it_is_sealed() {
        let fd = make().unwrap();
        let state = State {
            boot: "b".into(),
            pid: 1,
            born: 2,
            held: Vec::new(),
            record: serde_json::json!({"a": 1}),
        };
        let text = |state: &State| serde_json::to_vec(state).unwrap();
        let longer = serde_json::json!("a much longer record than the next");
        write(&fd, &text(&State { record: longer, ..state.clone() })).unwrap();
        write(&fd, &text(&state)).unwrap();
        seal(&fd).unwrap();
        assert!(write(&fd, &text(&state)).is_err());
        let mut text = String::new();
        let mut file = File::from(fd);
        io::Seek::rewind(&mut file).unwrap();
        io::Read::read_to_string(&mut file, &mut text).unwrap();
        assert_eq!(serde_json::from_str::<State>(&text).unwrap().record, state.record);
        let us = child::member(std::process::id()).unwrap();
        assert!(read(us, child::open(us.pid).unwrap().unwrap()).is_none(), "this process carries none");
    }
}
