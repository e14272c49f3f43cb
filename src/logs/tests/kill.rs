//! kill -9 of the pump at random instants, while it rotates a log every 100 KB and compresses what it put aside:
//! every line exactly once, whole, in order.
//!
//! The pump runs in a child process, which is this test binary again; the test holds pipes, staging and records
//! as the keeper would, and gives copies to each new child. `PMON_SEED` repeats a run's delays, `PMON_KILLS` sets
//! their number.

use super::*;
use crate::logs::Plan;
use crate::logs::compress::unpacked;
use crate::logs::record::Record;
use crate::model::policy::Overflow;
use crate::model::{Bytes, Rotation};
use crate::sys::fd;
use std::io::{BufRead, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

const CHILD: &str = "logs::tests::kill::the_pump_that_is_killed";
/// The child's pipes are all larger than what it can look at.
const SMALL: &str = "PMON_PUMP_SMALL";
const ENTRIES: u64 = 6;
/// The longest life of a pump.
pub(super) const USUAL_DELAY_US: u64 = 25_000;
const STREAMS: [StreamKind; 2] = [StreamKind::Out, StreamKind::Err];

/// Raw, dated with a combined file, two workers merged into one file, JSON; the last one drops, the others block.
fn sink(entry: u64, dir: &Path) -> SinkSpec {
    let own = SinkSpec {
        out: Some(dir.join(format!("{entry}-out.log"))),
        error: Some(dir.join(format!("{entry}-err.log"))),
        overflow: if entry == 6 { Overflow::Drop } else { Overflow::Block },
        ..SinkSpec::default()
    };
    match entry {
        2 => SinkSpec {
            date_format: Some("YYYY-MM-DDTHH:mm:ss.SSSZ".into()),
            combined: Some(dir.join("2-all.log")),
            ..own
        },
        3 | 4 => SinkSpec { merged: true, overflow: Overflow::Block, ..both(&dir.join("merged.log")) },
        5 => SinkSpec { json: true, ..own },
        _ => own,
    }
}

/// Runs of each entry, one after the other.
const GENERATIONS: u64 = 3;

/// What the keeper holds for an entry: the pipes are stdout's, oldest generation first, then stderr's.
struct Kept {
    held: Held,
    spills: Vec<SpillFiles>,
    pipes: Vec<OwnedFd>,
}

struct Writer {
    entry: u64,
    stream: StreamKind,
    thread: JoinHandle<u64>,
}

/// The `number`th line of a stream: its length differs from its neighbours', its end shows that it is whole.
fn line(entry: u64, stream: StreamKind, number: u64) -> String {
    let length = usize::try_from(number * 37 % 173).unwrap();
    format!("{entry} {stream:?} {number} {} .", "x".repeat(length))
}

/// Writes numbered lines as fast as they are taken, cut anywhere, to the pipe of one generation after the other;
/// returns how many.
fn writer(entry: u64, stream: StreamKind, pipes: Vec<OwnedFd>, generation: Arc<AtomicU64>) -> Writer {
    let thread = std::thread::spawn(move || {
        let mut number = 0;
        for (mine, pipe) in (1..).zip(pipes) {
            while generation.load(Ordering::Relaxed) <= mine {
                let mut bytes = Vec::new();
                for _ in 0..1 + number % 40 {
                    bytes.extend_from_slice(line(entry, stream, number).as_bytes());
                    bytes.push(b'\n');
                    number += 1;
                }
                let (first, second) = bytes.split_at(bytes.len() / 3);
                write(&pipe, first);
                write(&pipe, second);
            }
        }
        number
    });
    Writer { entry, stream, thread }
}

fn attach(pump: &Pump, dir: &Path, entry: u64, kept: Kept) {
    pump.attach(entry, source(entry), sink(entry, dir), kept.held);
    let all =
        STREAMS.into_iter().flat_map(|stream| (1..=GENERATIONS).map(move |generation| (stream, generation)));
    for (stream, files) in STREAMS.into_iter().zip(kept.spills) {
        pump.add_spill(entry, stream, files);
    }
    for ((stream, generation), pipe) in all.zip(kept.pipes) {
        pump.add_pipe(entry, stream, generation, pipe);
    }
}

/// Not a test but the child: does nothing unless it is started by the other one.
#[test]
fn the_pump_that_is_killed() {
    let Some(dir) = std::env::var_os("PMON_PUMP_DIR").map(PathBuf::from) else { return };
    let mut parent = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned().unwrap());
    let (sender, _notices) = mpsc::channel(64);
    let scratch = if std::env::var_os(SMALL).is_some() { Scratch::smallest() } else { scratch() };
    let pump = Pump::start(scratch, Fanout::new(), sender).unwrap();
    pump.plan(plan(&dir));
    for entry in 1..=ENTRIES {
        let mut fds = fd::receive(&parent, &mut [0]).unwrap().fds;
        let pipes = fds.split_off(7);
        let mut spills = fds.split_off(3).into_iter();
        let mut spill = || Some(SpillFiles { writer: spills.next()?, reader: spills.next()? });
        let spills = std::iter::from_fn(&mut spill).collect();
        let [out_staging, err_staging, record] = fds.try_into().unwrap();
        attach(&pump, &dir, entry, Kept { held: Held { out_staging, err_staging, record }, spills, pipes });
    }
    pump.begin();
    parent.write_all(b"!").unwrap();
    // Until it is killed, or the parent is.
    let _end = parent.read(&mut [0]);
}

fn start_child(dir: &Path, kept: &[Kept], small: bool) -> (Child, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    for Kept { held, spills, pipes } in kept {
        let held = [&held.out_staging, &held.err_staging, &held.record];
        let spills = spills.iter().flat_map(|files| [&files.writer, &files.reader]);
        let fds: Vec<_> = held.into_iter().chain(spills).chain(pipes).map(AsFd::as_fd).collect();
        fd::send(&ours, &[0], &fds).unwrap();
    }
    let mut child = Command::new(std::env::current_exe().unwrap());
    if small {
        child.env(SMALL, "1");
    }
    child.args(["--exact", CHILD]).env("PMON_PUMP_DIR", dir).stdin(OwnedFd::from(theirs));
    (child.stdout(Stdio::null()).spawn().unwrap(), ours)
}

/// Small, repeatable random numbers (xorshift).
pub(super) struct Random(u64);

impl Random {
    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

pub(super) fn from_env(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Lets a child pump and kills it: sometimes while it attaches, mostly when it is at work.
fn kill_once(dir: &Path, kept: &[Kept], random: &mut Random, delay_us: u64) {
    // Some as if this user had no larger pipes any more.
    let (mut child, mut socket) = start_child(dir, kept, random.below(4) == 0);
    if random.below(4) > 0 {
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        socket.read_exact(&mut [0]).unwrap();
    }
    socket.set_read_timeout(Some(Duration::from_micros(1 + random.below(delay_us)))).unwrap();
    // Nothing comes: this is the delay.
    let _delay = socket.read_exact(&mut [0; 2]);
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Small files, all of them kept.
fn plan(dir: &Path) -> Plan {
    let rotation = Rotation {
        max_size: Bytes(100 << 10),
        retain: None,
        max_app_size: Bytes(0),
        max_total_size: Bytes(0),
        ..Rotation::default()
    };
    Plan { rotation, logs_dir: dir.to_owned(), own_log: dir.join("none.log") }
}

/// All that was ever written to a log: its rotated files, oldest first, and what it holds now.
fn history(path: &Path) -> Vec<u8> {
    let mut kept = rotated(path);
    // A kill between the last two steps leaves both forms of a file.
    kept.dedup_by(|b, a| (&b.label.date, b.label.counter) == (&a.label.date, a.label.counter));
    let mut all: Vec<u8> = kept.iter().flat_map(|kept| unpacked(&kept.path)).collect();
    all.extend(std::fs::read(path).unwrap());
    all
}

/// All lines of a log, without what their format adds, are lines of these streams, each once and in order.
fn verify(path: &Path, entry_format: u64, counts: &[(u64, StreamKind, u64)]) {
    let mut next = vec![0; counts.len()];
    for (at, text) in history(path).lines().enumerate() {
        let text = text.unwrap();
        let bare = match entry_format {
            2 => {
                text.split_once(": ").unwrap_or_else(|| panic!("{path:?}:{at}: no date: {text}")).1.to_owned()
            }
            5 => {
                let object: serde_json::Value = serde_json::from_str(&text).unwrap();
                object["message"].as_str().unwrap().trim_end().to_owned()
            }
            _ => text,
        };
        let found = counts
            .iter()
            .zip(&mut next)
            .find(|((entry, stream, _), next)| bare == line(*entry, *stream, **next));
        let Some((_, next)) = found else { panic!("{path:?}:{}: lost, doubled or torn: {bare}", at + 1) };
        *next += 1;
    }
    let written: Vec<u64> = counts.iter().map(|count| count.2).collect();
    assert_eq!(next, written, "{path:?}");
}

#[tokio::test]
async fn no_line_is_lost_doubled_torn_or_out_of_order_when_the_pump_is_killed_at_any_instant() {
    let dir = tempfile::tempdir().unwrap();
    let dropped = kill_often(dir.path(), from_env("PMON_KILLS", 120), |_, _| USUAL_DELAY_US).await;
    assert_eq!(dropped, 0);
}

/// Kills the pump so often while it writes to `dir`, and lets `disturb` do something before each kill and
/// say how long it may take at most, in microseconds; then checks
/// every line. Returns the number of bytes whose loss was told.
pub(super) async fn kill_often(
    dir: &Path,
    kills: u64,
    mut disturb: impl FnMut(u64, &mut Random) -> u64,
) -> u64 {
    let seed = from_env("PMON_SEED", crate::sys::clock::monotonic_ns() | 1);
    println!("PMON_SEED={seed}");
    let mut random = Random(seed);
    let mut bench = Bench::waiting();
    let generation = Arc::new(AtomicU64::new(1));
    let (mut kept, mut writers) = (Vec::new(), Vec::new());
    for entry in 1..=ENTRIES {
        let mut readers = Vec::new();
        for stream in STREAMS {
            let pipes = (0..GENERATIONS).map(|_| pipe::stdio(256 << 10).unwrap());
            let (mine, theirs): (Vec<_>, Vec<_>) = pipes.unzip();
            readers.extend(mine);
            writers.push(writer(entry, stream, theirs, Arc::clone(&generation)));
        }
        let spills = STREAMS.map(|_| spill_files().unwrap()).into();
        kept.push(Kept { held: held(64 << 10).unwrap(), spills, pipes: readers });
    }
    let mut interrupted = 0;
    for kill in 0..kills {
        generation.store(1 + kill * GENERATIONS / kills, Ordering::Relaxed);
        let delay = disturb(kill, &mut random);
        kill_once(dir, &kept, &mut random, delay);
        let published = |stream| {
            kept.iter()
                .filter(move |kept| Record::open(&kept.held.record, stream).unwrap().published().is_some())
        };
        interrupted += STREAMS.into_iter().flat_map(published).count();
    }
    let _no_kill_follows = disturb(kills, &mut random);
    generation.store(u64::MAX, Ordering::Relaxed);
    for (entry, kept) in (1..).zip(kept) {
        attach(&bench.pump, dir, entry, kept);
    }
    bench.pump.plan(plan(dir));
    bench.pump.begin();
    let mut open = ENTRIES * 2 * GENERATIONS;
    while open > 0 {
        match bench.notice().await {
            PumpNotice::PipeClosed { .. } => open -= 1,
            // Of the time before.
            PumpNotice::Recovered { .. } | PumpNotice::Rotated { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    // Nobody compresses any more.
    drop(bench.pump);
    while bench.notices.recv().await.is_some() {}
    let counts: Vec<_> = writers
        .into_iter()
        .map(|writer| (writer.entry, writer.stream, writer.thread.join().unwrap()))
        .collect();
    let of = |entry| counts.iter().copied().filter(move |count| count.0 == entry).collect::<Vec<_>>();
    println!(
        "{kills} kills, {interrupted} inside a batch, {} lines",
        counts.iter().map(|c| c.2).sum::<u64>()
    );
    assert!(interrupted > 0, "no kill hit a batch: the test shows nothing");
    for (entry, stream, count) in counts.iter().copied().filter(|count| ![3, 4, 6].contains(&count.0)) {
        let paths = sink(entry, dir).paths(stream).map(|path| path.map(Path::to_owned));
        verify(paths[0].as_ref().unwrap(), entry, &[(entry, stream, count)]);
    }
    println!("{} files put aside", std::fs::read_dir(dir).unwrap().count());
    verify(&dir.join("2-all.log"), 2, &of(2));
    verify(&dir.join("merged.log"), 3, &[of(3), of(4)].concat());
    of(6).into_iter().map(|(_, stream, count)| verify_marked(dir, stream, count)).sum()
}

/// As `verify`, but for entry 6: where lines are missing, a marker says how many bytes; returns their sum.
fn verify_marked(dir: &Path, stream: StreamKind, count: u64) -> u64 {
    let paths = sink(6, dir).paths(stream).map(|path| path.map(Path::to_owned));
    let path = paths[0].as_ref().unwrap();
    let (mut next, mut missing, mut told) = (0, 0, 0);
    for (at, text) in history(path).lines().enumerate() {
        let text = text.unwrap();
        if let Some(marker) = text.strip_prefix("[pmon] ") {
            let (bytes, why) = marker.split_once(" bytes dropped: ").unwrap();
            assert_eq!(why, "no space left on device");
            missing += bytes.parse::<u64>().unwrap();
            told += bytes.parse::<u64>().unwrap();
            continue;
        }
        while missing > 0 {
            let lost = line(6, stream, next).len() as u64 + 1;
            assert!(lost <= missing, "{path:?}:{at}: {missing} bytes were told that are not missing");
            missing -= lost;
            next += 1;
        }
        assert_eq!(text, line(6, stream, next), "{path:?}:{}", at + 1);
        next += 1;
    }
    while missing > 0 {
        missing -= line(6, stream, next).len() as u64 + 1;
        next += 1;
    }
    assert_eq!(next, count, "{path:?}");
    told
}
