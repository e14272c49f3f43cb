//! A disk that is full for a while.

use super::*;

const CHILD: &str = "logs::tests::full::on_a_small_disk";

/// Not a test but the child, in a mount name space where `PMON_SMALL_DISK` is a file system of 1 MB.
#[tokio::test]
async fn on_a_small_disk() {
    let Some(disk) = std::env::var_os("PMON_SMALL_DISK").map(PathBuf::from) else { return };
    let mut bench = Bench::new();
    let ballast = disk.join("ballast");
    std::fs::write(&ballast, vec![0; 900 << 10]).unwrap();
    let (own, all) = (disk.join("own.log"), disk.join("all.log"));
    let spec = SinkSpec { out: Some(own.clone()), combined: Some(all.clone()), ..SinkSpec::default() };
    bench.attach(1, SinkSpec { date_format: Some("[at]".into()), ..spec });
    bench.attach(2, bench.sink());
    let out = bench.pipe(1, StreamKind::Out, 1);
    let err = bench.pipe(1, StreamKind::Err, 1);
    let mut child = shell(&bench.dir, "seq -f 'line %.0f' 1 20000", out, err);
    loop {
        // stderr ends at once.
        if let PumpNotice::Trouble { entry: 1, stream: StreamKind::Out, what, .. } = bench.notice().await {
            assert!(what.contains("No space left"), "{what}");
            break;
        }
    }
    let wanted: String = (1..=20_000).map(|n| format!("at: line {n}\n")).collect();
    let healthy = bench.pipe(2, StreamKind::Out, 1);
    write(&healthy, b"unimpressed\n");
    until("the line on another disk", || bench.text("out.log") == "unimpressed\n").await;
    std::fs::remove_file(&ballast).unwrap();
    let (mut recovered, mut ended) = (false, false);
    while !recovered || !ended {
        match bench.notice().await {
            PumpNotice::PipeClosed { entry: 1, stream: StreamKind::Out, .. } => ended = true,
            PumpNotice::Recovered { entry: 1, stream: StreamKind::Out, .. } => recovered = true,
            PumpNotice::PipeClosed { .. }
            | PumpNotice::Rotated { .. }
            | PumpNotice::Closed { .. }
            | PumpNotice::Recovered { .. }
            | PumpNotice::SpillWanted { .. }
            | PumpNotice::Trouble { .. } => {}
        }
    }
    child.wait().unwrap();
    bench.settle().await;
    for path in [own, all] {
        assert!(std::fs::read_to_string(&path).unwrap() == wanted, "{path:?}");
    }
}

#[test]
fn a_full_disk_loses_doubles_and_tears_nothing_and_stops_nobody_else() {
    run_on_a_small_disk(CHILD, "1m");
}

/// Runs another test of this binary where `PMON_SMALL_DISK` is a tmpfs of this size; says so if that cannot be.
pub(super) fn run_on_a_small_disk(test: &str, size: &str) {
    let dir = tempfile::tempdir().unwrap();
    let script = "mount -t tmpfs -o size=$2 pmon-test \"$PMON_SMALL_DISK\" || exit 77; exec \"$0\" --exact \"$1\" --nocapture";
    let binary = std::env::current_exe().unwrap();
    let run = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", script])
        .arg(binary)
        .args([test, size])
        .env("PMON_SMALL_DISK", dir.path())
        .output();
    let Ok(run) = run else { return println!("skipped: no unshare(1)") };
    let told = String::from_utf8_lossy(&run.stdout).into_owned() + &String::from_utf8_lossy(&run.stderr);
    if run.status.code() == Some(77) || told.starts_with("unshare:") {
        return println!("skipped: no mount name space: {told}");
    }
    assert!(run.status.success(), "{told}");
    assert!(told.contains("1 passed"), "{told}");
    println!("{told}");
}
