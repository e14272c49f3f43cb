//! The one thread that writes to the home: states, pid files, the daemon's own log. A disk that hangs hangs it, and nobody
//! else; one that is full is tried again each second. Of several texts for one file only the last is written, so what waits
//! is bounded by the number of files.
//!
//! A worker carries its own record from its birth on (`carry`), so nothing here has to be on the disk before a process is
//! started. An order is answered after what it wrote was tried ([`Scribe::settled`]).

use super::premises::{News, Premises};
use crate::sys::replace::{self, Sync};
use crate::sys::{aside, clock, plain};
use bytes::Bytes;
use std::collections::{HashMap, VecDeque};
use std::io::{self, IoSlice, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Own log lines that wait for a disk, at most.
const LINES: usize = 1 << 20;
/// So many of them are written by one call.
const AT_ONCE: usize = 64;
/// Between two looks at the home, and two attempts at what failed.
const LOOK: Duration = Duration::from_secs(1);
/// One operation that takes longer hangs.
const HANGS_MS: u64 = 3000;
/// While nobody waits, the thread rests this many times as long as it has worked, but not for longer than that: what is
/// written over and over, as by workers that end all the time, is written less often the more there is of it.
const REST: u32 = 4;
const LONGEST_REST: Duration = Duration::from_millis(50);
/// An order's answer waits so long for a disk, and no longer.
const PATIENCE: Duration = Duration::from_secs(1);

/// What is to become of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Deed {
    /// It holds this.
    Write(Vec<u8>),
    /// It is gone.
    Remove,
    /// It is gone if it holds this: another may have written it since.
    RemoveIf(Vec<u8>),
}

/// Everything that waits.
#[derive(Debug, Default)]
struct Desk {
    order: VecDeque<PathBuf>,
    deeds: HashMap<PathBuf, Deed>,
    lines: VecDeque<Bytes>,
    line_bytes: usize,
    dropped: u64,
    settling: Vec<oneshot::Sender<()>>,
    /// Since when the thread is at something, milliseconds of the boot clock.
    busy_since: Option<u64>,
    leaving: bool,
    watch: Option<Box<Watch>>,
}

#[derive(Debug)]
struct Watch {
    premises: Premises,
    news: mpsc::Sender<News>,
}

/// A handle; clones are the same thread.
#[derive(Debug, Clone)]
pub(super) struct Scribe(Arc<Office>);

#[derive(Debug, Default)]
struct Office {
    desk: Mutex<Desk>,
    /// Something is asked for.
    bell: Condvar,
    /// Somebody waits for it.
    hurry: Condvar,
}

impl Scribe {
    /// Starts the thread.
    pub(super) fn start() -> io::Result<Scribe> {
        let scribe = Scribe(Arc::default());
        let own = scribe.clone();
        std::thread::Builder::new().name("pm-scribe".to_owned()).spawn(move || own.work())?;
        Ok(scribe)
    }

    /// One that writes at once, on the caller's thread.
    #[cfg(test)]
    pub(super) fn idle() -> Scribe {
        Scribe(Arc::default())
    }

    /// From now on looks after the home too.
    pub(super) fn watch(&self, premises: Premises, news: mpsc::Sender<News>) {
        self.desk().watch = Some(Box::new(Watch { premises, news }));
    }

    /// The home is no longer looked after: it is over.
    pub(super) fn leave(&self) {
        let mut desk = self.desk();
        desk.leaving = true;
        desk.watch = None;
        self.0.hurry.notify_one();
    }

    /// The file shall hold this, whole or not at all.
    pub(super) fn write(&self, path: PathBuf, bytes: Vec<u8>) {
        self.ask(path, Deed::Write(bytes));
    }

    /// The file shall be gone.
    pub(super) fn remove(&self, path: PathBuf) {
        self.ask(path, Deed::Remove);
    }

    /// The file shall be gone if it holds this.
    pub(super) fn remove_if(&self, path: PathBuf, bytes: Vec<u8>) {
        self.ask(path, Deed::RemoveIf(bytes));
    }

    /// A line of the daemon's own log.
    pub(super) fn print(&self, line: Bytes) {
        let mut desk = self.desk();
        if desk.line_bytes + line.len() > LINES {
            desk.dropped += 1;
            return;
        }
        desk.line_bytes += line.len();
        desk.lines.push_back(line);
        drop(desk);
        self.0.bell.notify_one();
    }

    /// Waits until all that was asked for before has been tried, or the disk has been given up on.
    pub(super) async fn settled(&self) {
        let (reply, settled) = oneshot::channel();
        self.desk().settling.push(reply);
        self.0.bell.notify_one();
        self.0.hurry.notify_one();
        // A disk that hangs is told of elsewhere.
        drop(tokio::time::timeout(PATIENCE, settled).await);
    }

    /// True while one operation takes far too long.
    pub(super) fn hangs(&self) -> bool {
        let since = self.desk().busy_since;
        since.is_some_and(|since| clock::now().boot_ms.saturating_sub(since) > HANGS_MS)
    }

    fn ask(&self, path: PathBuf, deed: Deed) {
        let mut desk = self.desk();
        let desk = &mut *desk;
        match desk.deeds.get_mut(&path) {
            // Another process's pid is waiting to be written there.
            Some(Deed::Write(waiting)) if matches!(&deed, Deed::RemoveIf(old) if old != waiting) => return,
            Some(known) => *known = deed,
            None => {
                desk.order.push_back(path.clone());
                desk.deeds.insert(path, deed);
            }
        }
        self.0.bell.notify_one();
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.0.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(self) {
        let mut failures = Failures::default();
        let mut looked_ms = 0;
        let mut rest = Duration::ZERO;
        loop {
            let mut batch = self.wait(rest);
            let begun = clock::monotonic_ns();
            failures.take_back(&mut batch);
            failures.print(batch.lines, batch.dropped);
            for path in batch.order {
                if let Some(deed) = batch.deeds.remove(&path) {
                    failures.note(carry_out(&path, &deed), path, deed);
                }
            }
            let now = clock::now().boot_ms;
            let mut watch = self.desk().watch.take();
            if now.saturating_sub(looked_ms) >= LOOK.as_millis() as u64 {
                looked_ms = now;
                failures.retry();
                if let Some(watch) = &mut watch
                    && let Some(news) = watch.premises.look()
                {
                    failures.tell(&watch.news, news);
                }
            }
            if let Some(watch) = &watch {
                failures.report(&watch.news);
            }
            for reply in batch.settling {
                let _gone = reply.send(());
            }
            let worked = Duration::from_nanos(clock::monotonic_ns().saturating_sub(begun));
            rest = (worked * REST).min(LONGEST_REST);
            let mut desk = self.desk();
            desk.busy_since = None;
            if desk.watch.is_none() && !desk.leaving {
                desk.watch = watch;
            }
        }
    }

    /// All there is to do, or nothing after a while. Rests first, unless somebody waits.
    fn wait(&self, rest: Duration) -> Desk {
        let nobody_waits = |desk: &mut Desk| desk.settling.is_empty() && !desk.leaving;
        let rested = self.0.hurry.wait_timeout_while(self.desk(), rest, nobody_waits);
        let (desk, _) = rested.unwrap_or_else(PoisonError::into_inner);
        let idle =
            |desk: &mut Desk| desk.order.is_empty() && desk.lines.is_empty() && desk.settling.is_empty();
        let waited = self.0.bell.wait_timeout_while(desk, LOOK, idle);
        let (mut desk, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let (watch, leaving) = (desk.watch.take(), desk.leaving);
        let batch = std::mem::take(&mut *desk);
        desk.watch = watch;
        desk.leaving = leaving;
        desk.busy_since = Some(clock::now().boot_ms);
        batch
    }
}

fn carry_out(path: &Path, deed: &Deed) -> io::Result<()> {
    let gone = |done: io::Result<()>| match done {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done.map_err(|e| io::Error::new(e.kind(), format!("`{}`: {e}", path.display()))),
    };
    match deed {
        Deed::Write(bytes) => match replace::file(path, bytes, Sync::Cache) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                make_parent(path)?;
                replace::file(path, bytes, Sync::Cache)
            }
            Err(e) if e.kind() == io::ErrorKind::IsADirectory => {
                aside::put(path)?;
                replace::file(path, bytes, Sync::Cache)
            }
            done => done,
        },
        Deed::Remove => gone(std::fs::remove_file(path)),
        Deed::RemoveIf(bytes) => match plain::read(path) {
            Ok(there) if there == *bytes => gone(std::fs::remove_file(path)),
            Ok(_) | Err(_) => Ok(()),
        },
    }
}

fn make_parent(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    let Some(parent) = path.parent() else { return Ok(()) };
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(parent)
}

/// What could not be done, to be tried again.
#[derive(Debug, Default)]
struct Failures {
    deeds: HashMap<PathBuf, Deed>,
    lines: VecDeque<Bytes>,
    line_error: Option<String>,
    dropped: u64,
    /// Why the last of them failed.
    what: Option<String>,
    told: Option<String>,
    owed: VecDeque<News>,
}

impl Failures {
    /// What has been asked for anew needs no second attempt.
    fn take_back(&mut self, batch: &mut Desk) {
        for path in batch.deeds.keys() {
            self.deeds.remove(path);
        }
    }

    fn note(&mut self, done: io::Result<()>, path: PathBuf, deed: Deed) {
        if let Err(error) = done {
            self.what = Some(format!("write {error}"));
            self.deeds.insert(path, deed);
        }
    }

    /// Until one fails: the next will do so for the same reason.
    fn retry(&mut self) {
        self.print(VecDeque::new(), 0);
        for path in self.deeds.keys().cloned().collect::<Vec<_>>() {
            let Some(deed) = self.deeds.get(&path) else { continue };
            match carry_out(&path, deed) {
                Ok(()) => drop(self.deeds.remove(&path)),
                Err(error) => {
                    self.what = Some(format!("write {error}"));
                    return;
                }
            }
        }
        self.what = None;
    }

    fn print(&mut self, lines: VecDeque<Bytes>, dropped: u64) {
        self.lines.extend(lines);
        self.dropped += dropped;
        let mut kept: usize = self.lines.iter().map(Bytes::len).sum();
        while !self.lines.is_empty() {
            let some: Vec<IoSlice<'_>> = self.lines.iter().take(AT_ONCE).map(|l| IoSlice::new(l)).collect();
            match io::stderr().write_vectored(&some) {
                Ok(written) => self.are_written(written),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.line_error = Some(format!("write the daemon's log: {error}"));
                    break;
                }
            }
        }
        while kept > LINES
            && let Some(line) = self.lines.pop_front()
        {
            kept -= line.len();
            self.dropped += 1;
        }
        if self.lines.is_empty() && self.dropped > 0 {
            let lost = std::mem::take(&mut self.dropped);
            // Should this be lost as well, there is nobody to tell.
            drop(writeln!(io::stderr(), "{lost} lines could not be written here and are lost"));
        }
    }

    fn are_written(&mut self, mut bytes: usize) {
        self.line_error = None;
        while let Some(mut line) = self.lines.pop_front() {
            if line.len() > bytes {
                self.lines.push_front(line.split_off(bytes));
                return;
            }
            bytes -= line.len();
        }
    }

    /// Tells of a change for the better or worse.
    fn report(&mut self, news: &mpsc::Sender<News>) {
        let now = self.what.clone().filter(|_| !self.deeds.is_empty()).or_else(|| self.line_error.clone());
        if now != self.told {
            self.told.clone_from(&now);
            self.owed.push_back(News::Trouble(now));
        }
        while let Some(one) = self.owed.pop_front() {
            if let Err(mpsc::error::TrySendError::Full(one)) = news.try_send(one) {
                self.owed.push_front(one);
                return;
            }
        }
    }

    fn tell(&mut self, news: &mpsc::Sender<News>, one: News) {
        self.owed.push_back(one);
        self.report(news);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn of_several_texts_the_last_is_written_and_an_old_pid_does_not_remove_a_new_one() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join("deep/er").join(name);
        let scribe = Scribe::start().unwrap();
        for n in 0..100 {
            scribe.write(at("a"), format!("{n}").into_bytes());
        }
        scribe.write(at("pid"), b"2".to_vec());
        scribe.remove_if(at("pid"), b"1".to_vec());
        scribe.settled().await;
        assert_eq!(std::fs::read(at("a")).unwrap(), b"99");
        assert_eq!(std::fs::read(at("pid")).unwrap(), b"2");
        scribe.remove_if(at("pid"), b"1".to_vec());
        scribe.remove(at("a"));
        scribe.settled().await;
        assert!(at("pid").exists() && !at("a").exists());
        scribe.remove_if(at("pid"), b"2".to_vec());
        scribe.settled().await;
        assert!(!at("pid").exists());
    }

    #[test]
    fn what_failed_is_tried_again_unless_something_newer_was_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let in_the_way = dir.path().join("file");
        std::fs::write(&in_the_way, "").unwrap();
        let path = in_the_way.join("a");
        let mut failures = Failures::default();
        let deed = Deed::Write(b"text".to_vec());
        failures.note(carry_out(&path, &deed), path.clone(), deed);
        failures.retry();
        assert!(failures.what.as_ref().is_some_and(|what| what.contains("file/a")), "{:?}", failures.what);
        std::fs::remove_file(&in_the_way).unwrap();
        failures.retry();
        assert_eq!((failures.what, std::fs::read(&path).unwrap()), (None, b"text".to_vec()));
    }

    #[test]
    fn asking_never_waits() {
        // Nobody works.
        let scribe = Scribe::idle();
        for n in 0..1000 {
            scribe.write("/nowhere/a".into(), vec![0; n]);
            scribe.print(Bytes::from_static(&[b'x'; 4096]));
        }
        let desk = scribe.desk();
        assert_eq!((desk.deeds.len(), desk.order.len(), desk.dropped > 0), (1, 1, true));
        assert!(desk.line_bytes <= LINES);
    }
}
