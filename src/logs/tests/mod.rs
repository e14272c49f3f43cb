//! Real pipes, real files, real children, real kills.

mod flow;
mod full;
mod kill;
mod rotate;
mod spill;

use super::{Fanout, Held, Pump, PumpNotice, SinkSpec, Source, SpillFiles, held, spill_files};
use crate::logs::kept::{Family, Form, Kept, inventory};
use crate::model::shapes::Shapes;
use crate::model::{Rotation, StreamKind, WorkerId};
use crate::sys::pipe::{self, Scratch};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::mpsc;

const DEADLINE: Duration = Duration::from_secs(60);

fn scratch() -> Scratch {
    Scratch::new(Scratch::make().unwrap())
}

/// A pump with a directory for its files; the bench plays owner and keeper.
struct Bench {
    dir: TempDir,
    pump: Pump,
    fanout: Fanout,
    notices: mpsc::Receiver<PumpNotice>,
}

impl Bench {
    fn new() -> Bench {
        let bench = Bench::waiting();
        bench.pump.begin();
        bench
    }

    /// Its pump has not begun.
    fn waiting() -> Bench {
        let (sender, notices) = mpsc::channel(64);
        let fanout = Fanout::new();
        let pump = Pump::start(scratch(), fanout.clone(), sender).unwrap();
        Bench { dir: tempfile::tempdir().unwrap(), pump, fanout, notices }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap_or_default()
    }

    fn text(&self, name: &str) -> String {
        String::from_utf8(self.read(name)).unwrap()
    }

    fn sink(&self) -> SinkSpec {
        SinkSpec {
            out: Some(self.path("out.log")),
            error: Some(self.path("error.log")),
            ..SinkSpec::default()
        }
    }

    fn attach(&self, entry: u64, sink: SinkSpec) {
        self.pump.attach(entry, source(entry), sink, held(64 << 10).unwrap());
    }

    /// The write end of a pipe that the pump reads.
    fn pipe(&self, entry: u64, stream: StreamKind, generation: u64) -> OwnedFd {
        let (reader, writer) = pipe::stdio(64 << 10).unwrap();
        self.pump.add_pipe(entry, stream, generation, reader);
        writer
    }

    /// Runs a shell script as a worker's process, to its end and to the end of its pipes.
    async fn run(&mut self, entry: u64, generation: u64, script: &str) {
        let out = self.pipe(entry, StreamKind::Out, generation);
        let err = self.pipe(entry, StreamKind::Err, generation);
        shell(&self.dir, script, out, err).wait().unwrap();
        for _ in 0..2 {
            self.closed().await;
        }
    }

    /// The next notice; memory that is wanted is given.
    async fn notice(&mut self) -> PumpNotice {
        loop {
            let notice = tokio::time::timeout(DEADLINE, self.notices.recv())
                .await
                .expect("no notice came")
                .expect("the pump died");
            match notice {
                PumpNotice::SpillWanted { entry, stream } => {
                    self.pump.add_spill(entry, stream, spill_files().unwrap());
                }
                // A machine that is busy for seconds.
                PumpNotice::Trouble { what, .. } if what.ends_with("the disk hangs") => {}
                told => return told,
            }
        }
    }

    /// Waits for the next pipe that is at its end.
    async fn closed(&mut self) {
        let mut notice = self.notice().await;
        while let PumpNotice::Rotated { .. } = notice {
            notice = self.notice().await;
        }
        assert!(matches!(notice, PumpNotice::PipeClosed { .. }), "{notice:?}");
    }

    async fn settle(&self) {
        tokio::time::timeout(DEADLINE, self.pump.settle())
            .await
            .expect("the pump hangs")
            .expect("the pump died");
    }
}

/// A log's rotated files, oldest first, but for those being written.
fn rotated(log: &Path) -> Vec<Kept> {
    let family = Family::of(log).unwrap();
    let found = inventory(&[(family.clone(), Shapes::of(&Rotation::default()))], None).unwrap();
    let mut kept = found[&family].clone();
    kept.retain(|kept| kept.label.form != Form::Unfinished);
    kept.sort_by(|a, b| a.age().cmp(&b.age()));
    kept
}

fn source(entry: u64) -> Source {
    Source { worker: WorkerId(u32::try_from(entry).unwrap()), name: "web".into(), instance: 0, pid: None }
}

fn shell(dir: &TempDir, script: &str, out: OwnedFd, err: OwnedFd) -> std::process::Child {
    Command::new("sh")
        .args(["-c", script])
        .current_dir(dir)
        .stdout(out)
        .stderr(err)
        .stdin(Stdio::null())
        .spawn()
        .unwrap()
}

/// Waits until `is` holds.
async fn until(what: &str, is: impl Fn() -> bool) {
    let poll = async {
        while !is() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, poll).await.unwrap_or_else(|_| panic!("never: {what}"));
}

fn write(fd: &OwnedFd, bytes: &[u8]) {
    let mut done = 0;
    while done < bytes.len() {
        done += rustix::io::write(fd, &bytes[done..]).unwrap();
    }
}

fn copy(held: &Held) -> Held {
    Held {
        out_staging: held.out_staging.try_clone().unwrap(),
        err_staging: held.err_staging.try_clone().unwrap(),
        record: held.record.try_clone().unwrap(),
    }
}

fn both(path: &Path) -> SinkSpec {
    SinkSpec { out: Some(path.to_owned()), error: Some(path.to_owned()), ..SinkSpec::default() }
}
