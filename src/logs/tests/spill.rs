//! Memory for what no file takes: kill -9 with a disk that is full again and again, markers, workers that wait.

use super::full::run_on_a_small_disk;
use super::kill::{USUAL_DELAY_US, from_env, kill_often};
use super::*;
use crate::model::policy::Overflow;

const CHILD: &str = "logs::tests::spill::killed_on_a_disk_that_is_sometimes_full";

/// Not a test but the child in its mount name space.
#[tokio::test]
async fn killed_on_a_disk_that_is_sometimes_full() {
    let Some(disk) = std::env::var_os("PMON_SMALL_DISK").map(PathBuf::from) else { return };
    let resize = |size: u64| {
        let option = format!("remount,size={size}");
        let done = Command::new("mount").args(["-o", &option]).arg(&disk).status().unwrap();
        assert!(done.success(), "{option}");
    };
    let kills = from_env("PMON_KILLS", 120);
    let logs = disk.join("logs");
    std::fs::create_dir(&logs).unwrap();
    let mut full = 0;
    let dropped = kill_often(&logs, kills, |kill, random| {
        let facts = rustix::fs::statvfs(&disk).unwrap();
        let used = (facts.f_blocks - facts.f_bfree) * facts.f_frsize;
        // Full for a while, then room for a while.
        match random.below(16) {
            _ if kill == kills => resize(8 << 30),
            0..3 => resize(used + (16 << 20)),
            3..6 => {
                full += 1;
                resize(used + 4096);
            }
            // Long enough to spill all that may be.
            6 => return 20 * USUAL_DELAY_US,
            _ => {}
        }
        USUAL_DELAY_US
    })
    .await;
    println!("{dropped} bytes dropped, full {full} times");
    // Whether anything had to be dropped is a race of writers and disk; that it is told to the byte is not.
    assert!(full > 0, "the disk was never full: the test shows nothing");
}

#[test]
fn kills_while_the_disk_is_full_again_and_again_lose_nothing_that_is_not_told() {
    run_on_a_small_disk(CHILD, "64m");
}

/// A file that cannot be until `clear` is called.
fn blocked(bench: &Bench) -> PathBuf {
    std::fs::write(bench.path("dir"), "in the way").unwrap();
    bench.path("dir/out.log")
}

async fn run_to_the_end(bench: &mut Bench, overflow: Overflow, lines: u64) -> (std::process::Child, PathBuf) {
    let path = blocked(bench);
    bench.attach(1, SinkSpec { out: Some(path.clone()), overflow, ..bench.sink() });
    let (out, err) = (bench.pipe(1, StreamKind::Out, 1), bench.pipe(1, StreamKind::Err, 1));
    let script = format!("seq -f 'line %.0f of it' 1 {lines}");
    (shell(&bench.dir, &script, out, err), path)
}

#[tokio::test]
async fn a_worker_goes_on_while_its_file_takes_nothing_and_a_line_says_what_is_missing() {
    let mut bench = Bench::new();
    let (mut child, path) = run_to_the_end(&mut bench, Overflow::Drop, 200_000).await;
    let mut told = (0, 0);
    while told.0 == 0 {
        if let PumpNotice::Trouble { overflowed, .. } = bench.notice().await {
            told = (overflowed.dropped, overflowed.dropped_lines);
        }
    }
    // It was never stopped: it is done before anything can be written.
    child.wait().unwrap();
    std::fs::remove_file(bench.path("dir")).unwrap();
    let overflowed = loop {
        if let PumpNotice::Recovered { overflowed, .. } = bench.notice().await {
            break overflowed;
        }
    };
    // The last line may be among the missing ones.
    until("the end", || {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        text.contains("[pmon] ")
            && text
                .lines()
                .next_back()
                .is_some_and(|line| line.ends_with("200000 of it") || line.starts_with("[pmon] "))
    })
    .await;
    bench.settle().await;
    let text = std::fs::read_to_string(&path).unwrap();
    let whole: Vec<String> = (1..=200_000).map(|n| format!("line {n} of it")).collect();
    let lines: Vec<&str> = text.lines().collect();
    let at = lines.iter().position(|line| line.starts_with("[pmon] ")).unwrap();
    let behind = lines.len() - at - 1;
    assert_eq!(lines[..at], whole[..at]);
    assert_eq!(lines[at + 1..], whole[whole.len() - behind..]);
    let missing = &whole[at..whole.len() - behind];
    let bytes: usize = missing.iter().map(|line| line.len() + 1).sum();
    assert_eq!(lines[at], format!("[pmon] {bytes} bytes dropped: not a directory"));
    assert!(overflowed.dropped <= bytes as u64);
}

#[tokio::test]
async fn who_asked_for_it_waits_instead_and_loses_nothing() {
    let mut bench = Bench::new();
    let (mut child, path) = run_to_the_end(&mut bench, Overflow::Block, 200_000).await;
    while !matches!(bench.notice().await, PumpNotice::Trouble { overflowed, .. } if overflowed.spilled >= 256 << 10)
    {
    }
    assert!(child.try_wait().unwrap().is_none(), "it waits");
    std::fs::remove_file(bench.path("dir")).unwrap();
    child.wait().unwrap();
    let whole: String = (1..=200_000).map(|n| format!("line {n} of it\n")).collect();
    until("all lines", || std::fs::read_to_string(&path).is_ok_and(|text| text == whole)).await;
}

#[tokio::test]
async fn spilled_generations_keep_their_lines_apart() {
    let bench = Bench::new();
    let path = blocked(&bench);
    let spec = SinkSpec { out: Some(path.clone()), date_format: Some("[at]".into()), ..bench.sink() };
    bench.attach(1, spec);
    bench.pump.add_spill(1, StreamKind::Out, spill_files().unwrap());
    for generation in 1..=3 {
        let writer = bench.pipe(1, StreamKind::Out, generation);
        // More than staging takes, and no line end at the end.
        let text = format!("{generation}\n").repeat(40_000) + "last words";
        let writing = std::thread::spawn(move || write(&writer, text.as_bytes()));
        until("the end of the generation", || writing.is_finished()).await;
    }
    std::fs::remove_file(bench.path("dir")).unwrap();
    let wanted: String = (1..=3).map(|g| format!("at: {g}\n").repeat(40_000) + "at: last words\n").collect();
    until("all lines", || std::fs::read_to_string(&path).is_ok_and(|text| text.len() >= wanted.len())).await;
    assert!(std::fs::read_to_string(&path).unwrap() == wanted);
}
