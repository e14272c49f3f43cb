//! Becoming another version of this program without letting go of anything: same pid, same children, same descriptors.
//!
//! The image is written to a memory file, and the new program is asked first, as a child, whether it can read it. An exit
//! code proves nothing (`/bin/true`): it must write a certain word. Only then is close-on-exec taken off everything
//! and the program run in our place; whatever fails before that changes nothing.

use super::image::Image;
use crate::sys::interrupt::readable;
use crate::sys::spawn::{self, Baseline, Program};
use crate::sys::{child, exec, fault, fd};
use rustix::fs::MemfdFlags;
use rustix::pipe::{PipeFlags, pipe_with};
use std::convert::Infallible;
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::time::Duration;

/// What a program answers that can take over from this one.
const TOKEN: &[u8] = b"pmon keeper image 1\n";
/// It has so long to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// Where the child that is asked finds image and pipe.
const CHECK_IMAGE: i32 = 3;
const CHECK_ANSWER: i32 = 4;

/// Why everything is as it was.
#[derive(Debug, thiserror::Error)]
pub(super) enum UpgradeError {
    #[error("write down what the keeper holds: {0}")]
    Image(io::Error),
    #[error("run the new program: {0}")]
    Run(String),
    #[error("hear from the new program that it can take over: it did not say so")]
    Mute,
}

/// Runs `program` in place of this one. Returns only if that is not to be.
pub(super) fn become_keeper(program: &OwnedFd, image: &Image, baseline: Baseline) -> UpgradeError {
    match try_to(program, image, baseline) {
        Err(error) => error,
        Ok(never) => match never {},
    }
}

fn try_to(program: &OwnedFd, image: &Image, baseline: Baseline) -> Result<Infallible, UpgradeError> {
    let memory = rustix::fs::memfd_create("keeper-image", MemfdFlags::CLOEXEC)
        .map_err(|e| UpgradeError::Image(e.into()))?;
    let memory = File::from(memory);
    memory.write_all_at(&image.encode(), 0).map_err(UpgradeError::Image)?;
    let file = CString::new(format!("/proc/self/fd/{}", program.as_raw_fd())).unwrap_or_default();
    ask(&file, &memory, baseline)?;
    fault::pass("keeper.checked");
    let mut passed = image.numbers();
    passed.push(memory.as_raw_fd());
    set_all(&passed, false);
    let number = CString::new(memory.as_raw_fd().to_string()).unwrap_or_default();
    let argv = [c"pmon".to_owned(), c"keeper".to_owned(), c"--resume".to_owned(), number];
    fault::pass("keeper.exec");
    let error = exec::become_program(&file, &argv, &environment());
    set_all(&passed, true);
    Err(UpgradeError::Run(error.to_string()))
}

/// Asks the program whether it can read the image.
fn ask(file: &CString, memory: &File, baseline: Baseline) -> Result<(), UpgradeError> {
    let failed = |error: io::Error| UpgradeError::Run(error.to_string());
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).map_err(|e| failed(e.into()))?;
    let argv = [c"pmon".to_owned(), c"keeper".to_owned(), c"--check".to_owned()];
    let null = File::open("/dev/null").map_err(failed)?;
    let map = [(0, null.as_fd()), (CHECK_IMAGE, memory.as_fd()), (CHECK_ANSWER, writer.as_fd())];
    let asked = spawn::spawn(&Program {
        file,
        argv: &argv,
        envp: &environment(),
        cwd: c"/",
        creds: None,
        listen_pid: false,
        map: &map,
        sign: None,
        baseline,
    });
    let asked = asked.map_err(|e| UpgradeError::Run(e.to_string()))?;
    drop(writer);
    let mut answer = vec![0; TOKEN.len()];
    let said = readable(reader.as_fd(), PATIENCE) && File::from(reader).read_exact(&mut answer).is_ok();
    // It is reaped with the others.
    let _ended = child::send(&asked.pidfd, libc::SIGKILL);
    if said && answer == TOKEN { Ok(()) } else { Err(UpgradeError::Mute) }
}

/// The body of `pmon keeper --check`: says whether this program could take over.
pub(super) fn check() -> io::Result<()> {
    let memory = fd::inherit(CHECK_IMAGE)?;
    let mut answer = File::from(fd::inherit(CHECK_ANSWER)?);
    read(memory)?;
    answer.write_all(TOKEN)
}

/// The image that the program before left under this number.
pub(super) fn read(memory: OwnedFd) -> io::Result<Image> {
    let memory = File::from(memory);
    let len = usize::try_from(memory.metadata()?.len()).unwrap_or(0);
    let mut bytes = vec![0; len];
    memory.read_exact_at(&mut bytes, 0)?;
    Image::decode(&bytes).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))
}

/// All are open: they are in the image, which is made of what we own.
fn set_all(numbers: &[i32], close_on_exec: bool) {
    for number in numbers {
        fd::set_close_on_exec(*number, close_on_exec);
    }
}

fn environment() -> Vec<CString> {
    let join = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        CString::new([name.as_bytes(), b"=", value.as_bytes()].concat()).ok()
    };
    std::env::vars_os().filter_map(join).collect()
}
