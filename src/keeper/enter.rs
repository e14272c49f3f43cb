//! The way into `pmon keeper`: one a home, out of reach of terminals and of the memory killer, and how it starts
//! `pmon daemon`.

use super::daemon::{Start, tell};
use super::message::Tag;
use super::run::Keeper;
use super::{heir, upgrade};
use crate::sys::lock::Lock;
use crate::sys::paths::Home;
use crate::sys::signal;
use crate::sys::spawn::{self, Baseline, Program, SpawnError, Spawned};
use crate::sys::{clock, fd, interrupt, kin};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// Our own descriptors are above this, out of the way of the numbers that children get theirs at.
pub(super) const OWN_FDS: RawFd = 64;

/// A keeper that has just ended its work frees the lock within this time (milliseconds).
const HANDOVER: u64 = 3000;
/// Between two looks whether he has.
const LOOK: Duration = Duration::from_millis(50);

/// How a keeper begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beginning {
    /// With nothing, for a client that waits at this pipe, if any.
    Fresh(Option<RawFd>),
    /// With a daemon of this pid whose keeper is dead: see `heir`.
    Adopt(u32),
    /// Where the program before it stopped; its image is under this number.
    Resume(RawFd),
    /// Not at all: it only says whether it could resume.
    Check,
}

/// The body of `pmon keeper`.
pub fn enter(home: &Home, beginning: Beginning) -> io::Result<()> {
    match beginning {
        Beginning::Fresh(ready_fd) => fresh(home, ready_fd),
        Beginning::Adopt(daemon) => adopt(home, daemon),
        Beginning::Resume(image) => resume(home, image),
        Beginning::Check => upgrade::check(),
    }
}

/// Begins with a daemon that has outlived its keeper. The lock came with it: nobody could take it in between.
fn adopt(home: &Home, daemon: u32) -> io::Result<()> {
    let socket = fd::inherit(heir::SOCKET)?;
    let pidfd = fd::inherit(heir::DAEMON)?;
    let lock = fd::inherit(heir::LOCK).map(Lock::inherited);
    fd::close_on_exec_from(3);
    let own = |fd| fd::raise(fd, OWN_FDS);
    let (socket, pidfd) = (own(socket)?, own(pidfd)?);
    let lock = match lock {
        Ok(lock) => lock,
        Err(_none_came) => self::lock(home, &[daemon])?,
    };
    // For people only, and on a full disk there must be a keeper too.
    let _unsigned = lock.sign();
    let baseline = Baseline { files: known_files(), ..settle()? };
    let program = rustix::fs::open("/proc/self/exe", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let mut keeper = Keeper::new(Pmon::new(home, baseline), own(program)?, None, baseline)?;
    keeper.hold(Tag::new(Tag::LOCK, 0), own(lock.as_fd().try_clone_to_owned()?)?);
    keeper.adopt(Spawned { pid: daemon, pidfd }, socket);
    let ended = keeper.run();
    drop(lock);
    ended
}

/// Goes on with what the program before this one held; the lock is among that.
fn resume(home: &Home, image: RawFd) -> io::Result<()> {
    let image = upgrade::read(fd::inherit(image)?)?;
    signal::block_all()?;
    rustix::thread::set_name(c"pm-keeper")?;
    let baseline = image.baseline();
    Keeper::resume(Pmon::new(home, baseline), image)?.run()
}

/// The limit of open files that workers shall have, from a keeper before us: ours is raised already.
fn known_files() -> Option<Rlimit> {
    let text = std::env::var(FILES).ok()?;
    let (current, maximum) = text.split_once(':')?;
    let limit = |text: &str| text.parse().ok();
    Some(Rlimit { current: limit(current), maximum: limit(maximum) })
}

/// Variable by which a keeper tells those after it the limit of open files of workers: `soft:hard`, `-` for none.
const FILES: &str = "PMON_WORKER_FILES";

/// Begins with nothing: takes the home's lock and keeps the fleet until the daemon says that it is over.
///
/// Every signal is blocked, SIGTERM too: the keeper ends when its work does, by `pmon kill`, or by SIGKILL.
/// What goes wrong before a daemon serves is also written to the pipe `ready_fd`, as what completes "failed to start the
/// daemon: …".
fn fresh(home: &Home, ready_fd: Option<RawFd>) -> io::Result<()> {
    fd::close_on_exec_from(3);
    let ready = ready_fd.map(|number| fd::raise(fd::inherit(number)?, OWN_FDS)).transpose()?;
    // A copy: the keeper gives its own to the daemon and closes it.
    let (lock, keeper) = match prepare(home, ready.as_ref().map(OwnedFd::try_clone).transpose()?) {
        Ok(prepared) => prepared,
        Err(error) => {
            tell(ready, &error.to_string());
            return Err(error);
        }
    };
    drop(ready);
    let ended = keeper.run();
    drop(lock);
    ended
}

fn prepare(home: &Home, ready: Option<OwnedFd>) -> io::Result<(Lock, Keeper<Pmon>)> {
    let failed = |verb: &str, error: io::Error| io::Error::new(error.kind(), format!("{verb}: {error}"));
    let lock = lock(home, &[])?;
    let baseline = settle().map_err(|e| failed("set up the keeper's process", e))?;
    let program = rustix::fs::open("/proc/self/exe", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .map_err(io::Error::from)
        .and_then(|program| fd::raise(program, OWN_FDS))
        .map_err(|e| failed("open the program `/proc/self/exe`", e))?;
    let mut keeper = Keeper::new(Pmon::new(home, baseline), program, ready, baseline)
        .map_err(|e| failed("watch for the ends of processes", e))?;
    keeper.hold(Tag::new(Tag::LOCK, 0), fd::raise(lock.as_fd().try_clone_to_owned()?, OWN_FDS)?);
    Ok((lock, keeper))
}

/// Takes the home's lock. It may lie on a file that was removed from the home under its holder: so whoever serves this
/// home keeps us out too, `except` these.
fn lock(home: &Home, except: &[u32]) -> io::Result<Lock> {
    let path = home.keeper_lock();
    let failed = |why: String| io::Error::other(format!("take the lock `{}`: {why}", path.display()));
    // Whose daemon can be reached, he is not about to end.
    let taken = match Lock::patient(&path, HANDOVER, || UnixStream::connect(home.socket()).is_ok()) {
        Ok(Some(lock)) => match others(home, except) {
            None => {
                // For people only, and on a full disk there must be a keeper too.
                let _unsigned = lock.sign();
                return Ok(lock);
            }
            Some(pid) => Some(pid),
        },
        Ok(None) => Lock::signed_by(&path),
        Err(error) => return Err(failed(error.to_string())),
    };
    let pid = taken.map_or_else(|| "unknown".to_owned(), |pid| pid.to_string());
    Err(failed(format!("another keeper (pid {pid}) holds it")))
}

/// Who serves this home without its lock, if he does not leave within a while.
fn others(home: &Home, except: &[u32]) -> Option<u32> {
    let deadline = clock::now().boot_ms + HANDOVER;
    loop {
        let other = kin::server_of(home.mark().as_bytes(), except)?;
        if clock::now().boot_ms > deadline {
            return Some(other);
        }
        interrupt::pause(LOOK);
    }
}

/// Makes this process fit to be a keeper: no signal reaches it, orphans come to it, it may open many files, and the
/// memory killer looks elsewhere. Returns what its children must have undone.
pub fn settle() -> io::Result<Baseline> {
    signal::block_all()?;
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    rustix::thread::set_name(c"pm-keeper")?;
    let files = getrlimit(Resource::Nofile);
    // Refused where fs.nr_open is below the hard limit; then the soft one has to do.
    let _as_it_is = setrlimit(Resource::Nofile, Rlimit { current: files.maximum, maximum: files.maximum });
    // Only with privilege; and a service manager may have set it already.
    let _unprivileged = std::fs::write(OOM_SCORE, "-900");
    let reset_oom = std::fs::read_to_string(OOM_SCORE).is_ok_and(|score| score.starts_with('-'));
    Ok(Baseline { files: Some(files), reset_oom })
}

const OOM_SCORE: &str = "/proc/self/oom_score_adj";

/// Starts `pmon daemon`.
#[derive(Debug)]
struct Pmon {
    envp: Vec<CString>,
    baseline: Baseline,
}

impl Pmon {
    /// The daemon gets our environment and the home, and keeps our high limit of open files.
    fn new(home: &Home, baseline: Baseline) -> Pmon {
        let set = ["PMON_HOME", FILES, "PMON_ID", "PMON_GEN"];
        let inherited = std::env::vars_os().filter(|(name, _)| set.iter().all(|other| name != *other));
        let limit = |limit: Option<u64>| limit.map_or_else(|| "-".to_owned(), |limit| limit.to_string());
        let files = baseline.files.map(|files| format!("{}:{}", limit(files.current), limit(files.maximum)));
        let files = files.map(|files| (FILES.into(), files.into()));
        let all = inherited.chain([("PMON_HOME".into(), home.root().into())]).chain(files);
        let join = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            CString::new([name.as_bytes(), b"=", value.as_bytes()].concat()).ok()
        };
        Pmon { envp: all.filter_map(join).collect(), baseline: Baseline { files: None, ..baseline } }
    }
}

impl Start for Pmon {
    fn start(
        &mut self,
        program: BorrowedFd<'_>,
        socket: BorrowedFd<'_>,
        ready: Option<BorrowedFd<'_>>,
    ) -> Result<Spawned, SpawnError> {
        let mut argv = vec![c"pmon".to_owned(), c"daemon".to_owned()];
        let mut map = vec![(3, socket)];
        if let Some(pipe) = ready {
            argv.extend([c"--ready-fd".to_owned(), c"4".to_owned()]);
            map.push((4, pipe));
        }
        // By descriptor: it is the same program also after somebody has replaced the file.
        let file = CString::new(format!("/proc/self/fd/{}", program.as_raw_fd())).unwrap_or_default();
        spawn::spawn(&Program {
            file: &file,
            argv: &argv,
            envp: &self.envp,
            cwd: c"/",
            creds: None,
            listen_pid: false,
            map: &map,
            sign: None,
            baseline: self.baseline,
        })
    }
}
