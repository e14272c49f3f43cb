//! Rotation as it is seen in the directory.

use super::*;
use crate::logs::Plan;
use crate::logs::compress::unpacked;
use crate::model::Bytes;
use crate::model::rotation::Words;

/// Files of 2 KB.
fn small() -> Rotation {
    Rotation { max_size: Bytes(2048), compress: false, ..Rotation::default() }
}

impl Bench {
    fn rotate(&self, rotation: Rotation) {
        let plan = Plan { rotation, logs_dir: self.dir.path().to_owned(), own_log: self.path("pmon.log") };
        self.pump.plan(plan);
    }

    /// One batch of about 1 KB.
    async fn write(&self, to: &OwnedFd, mark: usize) {
        write(to, format!("{mark} {}\n", "x".repeat(1030)).as_bytes());
        self.settle().await;
    }

    /// The marks of all lines of a log and of its rotated files, one text a file.
    fn marks(&self, log: &str) -> Vec<String> {
        let kept = rotated(&self.path(log)).into_iter().map(|kept| kept.path).chain([self.path(log)]);
        kept.map(|path| {
            let text = String::from_utf8(unpacked(&path)).unwrap();
            let marks: Vec<&str> = text.lines().map(|line| line.split(' ').next().unwrap()).collect();
            marks.join(" ")
        })
        .collect()
    }
}

#[tokio::test]
async fn a_full_log_is_put_aside_and_told_and_nothing_is_lost() {
    let mut bench = Bench::new();
    bench.rotate(small());
    bench.attach(1, bench.sink());
    let out = bench.pipe(1, StreamKind::Out, 1);
    for mark in 0..5 {
        bench.write(&out, mark).await;
    }
    assert_eq!(bench.marks("out.log"), ["0 1", "2 3", "4"]);
    let PumpNotice::Rotated { source: whose, path, kept, bytes } = bench.notice().await else { panic!() };
    assert_eq!((whose, path, bytes), (source(1), bench.path("out.log"), 2 * 1033));
    assert_eq!(kept, rotated(&bench.path("out.log"))[0].path);
}

#[tokio::test]
async fn all_instances_streams_and_the_combined_log_are_rotated() {
    let bench = Bench::new();
    bench.rotate(small());
    let mut pipes = Vec::new();
    for entry in 1..=3 {
        let own = |kind: &str| Some(bench.path(&format!("{kind}-{entry}.log")));
        let combined = Some(bench.path("all.log"));
        bench.attach(entry, SinkSpec { out: own("out"), error: own("err"), combined, ..SinkSpec::default() });
        pipes.push([StreamKind::Out, StreamKind::Err].map(|stream| bench.pipe(entry, stream, 1)));
    }
    for mark in 0..3 {
        for pipe in pipes.iter().flatten() {
            bench.write(pipe, mark).await;
        }
    }
    for entry in 1..=3 {
        assert_eq!(bench.marks(&format!("out-{entry}.log")), ["0 1", "2"]);
        assert_eq!(bench.marks(&format!("err-{entry}.log")), ["0 1", "2"]);
    }
    let all = bench.marks("all.log");
    assert!(all.len() >= 8, "{all:?}");
    assert_eq!(all.iter().map(|marks| marks.split(' ').count()).sum::<usize>(), 18);
}

#[tokio::test]
async fn a_log_is_cut_at_a_line_end_unless_it_is_far_over() {
    let bench = Bench::new();
    bench.rotate(small());
    bench.attach(1, bench.sink());
    let out = bench.pipe(1, StreamKind::Out, 1);
    write(&out, &[b'a'; 3000]);
    bench.settle().await;
    write(&out, b"end\n");
    bench.settle().await;
    assert_eq!(rotated(&bench.path("out.log")).len(), 0);
    write(&out, &[b'b'; 5000]);
    bench.settle().await;
    assert_eq!(rotated(&bench.path("out.log"))[0].size, 3004);
    write(&out, b"the rest");
    bench.settle().await;
    let sizes: Vec<u64> = rotated(&bench.path("out.log")).iter().map(|kept| kept.size).collect();
    assert_eq!(sizes, [3004, 5000]);
    assert_eq!(bench.text("out.log"), "the rest");
}

#[tokio::test]
async fn what_subscribers_are_told_stands_where_they_are_told_though_lines_are_cut_by_rotations() {
    use crate::logs::{Delivery, Filter, Workers};
    use std::os::unix::fs::{FileExt, MetadataExt};
    let bench = Bench::new();
    bench.rotate(small());
    bench.attach(1, bench.sink());
    let out = bench.pipe(1, StreamKind::Out, 1);
    let filter = Filter { workers: Workers::All, out: true, err: true, places: false };
    let reader = bench.fanout.subscribe(filter, 0, 64 << 20);
    let mut written = Vec::new();
    for number in 0..60_usize {
        // Half lines, some far longer than a file may be, and whole ones.
        let piece =
            format!("{number} {}{}", "x".repeat(number * 7919 % 3000), ["", "\n", "", ""][number % 4]);
        written.extend_from_slice(piece.as_bytes());
        write(&out, piece.as_bytes());
        bench.settle().await;
    }
    write(&out, b"end\n");
    bench.settle().await;
    written.extend_from_slice(b"end\n");
    let paths =
        rotated(&bench.path("out.log")).into_iter().map(|kept| kept.path).chain([bench.path("out.log")]);
    let files: Vec<_> = paths.map(|path| std::fs::File::open(path).unwrap()).collect();
    let (mut told, mut last) = (Vec::new(), (crate::model::FileId::default(), 0));
    while let Some(delivery) = reader.take() {
        let Delivery::Lines(lines) = delivery else { panic!("{delivery:?}") };
        let spot = lines.spot.unwrap();
        let (file, mut there) = (
            files.iter().find(|file| file.metadata().unwrap().ino() == spot.file.inode).unwrap(),
            vec![0; usize::try_from(spot.end - spot.start).unwrap()],
        );
        file.read_exact_at(&mut there, spot.start).unwrap();
        assert_eq!(there, lines.bytes, "{} bytes before", told.len());
        assert_eq!(spot.start, if last.0 == spot.file { last.1 } else { 0 }, "nothing is left out");
        last = (spot.file, spot.end);
        told.extend_from_slice(&lines.bytes);
    }
    assert!(files.len() > 10, "{} files", files.len());
    assert!(told == written, "{} of {} bytes", told.len(), written.len());
}

#[tokio::test]
async fn settings_hold_at_once_and_an_apps_own_go_before_the_homes() {
    let bench = Bench::new();
    bench.rotate(Rotation { enabled: false, ..small() });
    let words = Words::from([("max_size".to_owned(), "4K".to_owned())]);
    bench.attach(1, bench.sink());
    bench.attach(2, SinkSpec { out: Some(bench.path("own.log")), rotate: words, ..SinkSpec::default() });
    let (out, own) = (bench.pipe(1, StreamKind::Out, 1), bench.pipe(2, StreamKind::Out, 1));
    for mark in 0..3 {
        bench.write(&out, mark).await;
        bench.write(&own, mark).await;
    }
    assert_eq!(bench.marks("out.log"), ["0 1 2"]);
    bench.rotate(small());
    for mark in 3..6 {
        bench.write(&out, mark).await;
        bench.write(&own, mark).await;
    }
    assert_eq!(bench.marks("out.log"), ["0 1 2", "3 4", "5"]);
    assert_eq!(bench.marks("own.log"), ["0 1 2 3", "4 5"]);
    bench.pump.set_sink(2, SinkSpec { out: Some(bench.path("own.log")), ..SinkSpec::default() });
    // What is in the pipe by then is still written as before.
    bench.settle().await;
    bench.write(&own, 6).await;
    assert_eq!(bench.marks("own.log"), ["0 1 2 3", "4 5", "6"]);
}

#[tokio::test]
async fn the_clock_puts_aside_what_is_not_empty() {
    let bench = Bench::new();
    bench.attach(1, bench.sink());
    let out = bench.pipe(1, StreamKind::Out, 1);
    bench.write(&out, 0).await;
    bench.rotate(Rotation { interval: Some("* * * * * *".into()), ..small() });
    until("the first tick's file", || rotated(&bench.path("out.log")).len() == 1).await;
    assert_eq!(bench.text("out.log"), "");
    write(&out, b"unfinished");
    until("the next line's start", || bench.text("out.log") == "unfinished").await;
    let second = crate::sys::clock::now().wall_ms / 1000;
    until("two more ticks", || crate::sys::clock::now().wall_ms / 1000 > second + 2).await;
    assert_eq!(rotated(&bench.path("out.log")).len(), 1, "in the middle of a line");
    write(&out, b" line\n");
    until("the tick after the line", || rotated(&bench.path("out.log")).len() == 2).await;
    assert_eq!(unpacked(&rotated(&bench.path("out.log"))[1].path), b"unfinished line\n");
}

#[tokio::test]
async fn what_the_clock_asked_for_while_nobody_was_there_is_made_up_for() {
    let bench = Bench::waiting();
    let path = bench.path("out.log");
    std::fs::write(&path, "of the day before yesterday\n").unwrap();
    let long_ago = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
    std::fs::File::options().write(true).open(&path).unwrap().set_modified(long_ago).unwrap();
    bench.rotate(Rotation { interval: Some("0 0 * * *".into()), retain: None, ..small() });
    bench.attach(1, bench.sink());
    bench.pump.begin();
    let out = bench.pipe(1, StreamKind::Out, 1);
    bench.write(&out, 7).await;
    assert_eq!(bench.marks("out.log"), ["of", "7"]);
}

#[tokio::test]
async fn only_so_many_are_retained_compressed_and_within_the_budgets() {
    let bench = Bench::new();
    bench.rotate(Rotation { retain: Some(3), compress: true, ..small() });
    bench.attach(1, bench.sink());
    let out = bench.pipe(1, StreamKind::Out, 1);
    for mark in 0..15 {
        bench.write(&out, mark).await;
    }
    let packed = |kept: &Kept| kept.label.form == Form::Packed;
    until("three compressed files", || {
        let kept = rotated(&bench.path("out.log"));
        kept.len() == 3 && kept.iter().all(packed)
    })
    .await;
    assert_eq!(bench.marks("out.log"), ["8 9", "10 11", "12 13", "14"]);

    bench.rotate(Rotation { retain: None, compress: false, ..small() });
    // The last write tells how old it is, not its name.
    let left_behind = bench.path("gone-out__2020-01-01_00-00-00.log");
    std::fs::write(&left_behind, vec![b'x'; 4000]).unwrap();
    let long_ago = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
    std::fs::File::options().write(true).open(&left_behind).unwrap().set_modified(long_ago).unwrap();
    // All there is but that one: of the live log there is also an index.
    let sizes =
        std::fs::read_dir(bench.dir.path()).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len());
    let limit = Bytes(sizes.sum::<u64>() - 4000);
    bench.rotate(Rotation { retain: None, compress: false, max_total_size: limit, ..small() });
    until("the end of the deleted app's file, which is the oldest", || !left_behind.exists()).await;
    assert_eq!(rotated(&bench.path("out.log")).len(), 3, "they fit the budget");
    std::fs::write(bench.path("gone-error.log"), vec![b'x'; 400]).unwrap();
    bench.rotate(Rotation { retain: None, max_total_size: limit, ..small() });
    until("room for a deleted app's last log", || rotated(&bench.path("out.log")).len() < 3).await;
    bench.rotate(Rotation { max_total_size: Bytes(0), max_app_size: Bytes(1100), ..small() });
    until("the app's budget", || {
        let kept: u64 = rotated(&bench.path("out.log")).iter().map(|kept| kept.size).sum();
        kept + 1034 <= 1100
    })
    .await;
    assert_eq!(bench.marks("out.log").last().unwrap(), "14", "the log itself is left alone");
}

#[tokio::test]
async fn what_a_kill_left_half_compressed_is_finished_by_the_next() {
    let bench = Bench::new();
    let plain = bench.path("out__2020-01-01_00-00-00.log");
    std::fs::write(&plain, "kept\n").unwrap();
    std::fs::write(bench.path("out__2020-01-01_00-00-00.log.gz.tmp"), "half").unwrap();
    std::fs::write(bench.path("out__canary.log"), "somebody else's").unwrap();
    bench.rotate(Rotation { compress: true, ..small() });
    bench.attach(1, bench.sink());
    let packed = bench.path("out__2020-01-01_00-00-00.log.gz");
    until("the compressed file", || packed.exists() && !plain.exists()).await;
    assert_eq!(unpacked(&packed), b"kept\n");
    assert!(!bench.path("out__2020-01-01_00-00-00.log.gz.tmp").exists());
    assert_eq!(bench.text("out__canary.log"), "somebody else's");
}

#[tokio::test]
async fn somebody_elses_rotation_does_not_disturb() {
    let bench = Bench::new();
    bench.rotate(small());
    bench.attach(1, bench.sink());
    let out = bench.pipe(1, StreamKind::Out, 1);
    for mark in 0..2 {
        bench.write(&out, mark).await;
    }
    std::fs::rename(bench.path("out.log"), bench.path("out.log.1")).unwrap();
    std::fs::write(bench.path("out.log"), "").unwrap();
    bench.pump.reopen();
    bench.settle().await;
    for mark in 2..5 {
        bench.write(&out, mark).await;
    }
    assert_eq!(bench.text("out.log.1").lines().count(), 2);
    assert_eq!(bench.marks("out.log"), ["2 3", "4"]);
}

#[tokio::test]
async fn a_log_that_cannot_be_rotated_is_written_all_the_same() {
    let bench = Bench::new();
    let target = bench.path("deep/target.log");
    std::fs::create_dir(bench.path("deep")).unwrap();
    std::fs::write(&target, "").unwrap();
    std::os::unix::fs::symlink(&target, bench.path("out.log")).unwrap();
    bench.rotate(Rotation { date_format: format!("[{}]", "y".repeat(300)), ..small() });
    bench.attach(1, bench.sink());
    let out = bench.pipe(1, StreamKind::Out, 1);
    for mark in 0..4 {
        bench.write(&out, mark).await;
    }
    assert_eq!(bench.marks("out.log"), ["0 1 2 3"], "its name would be too long");
    bench.rotate(small());
    bench.write(&out, 4).await;
    assert_eq!(rotated(&target).len(), 1, "beside the file that the link leads to");
    assert_eq!(bench.text("out.log").lines().count(), 1);
}

#[tokio::test]
async fn rotated_logs_of_an_app_are_not_taken_for_strays_before_the_app_is_there() {
    let bench = Bench::waiting();
    for day in 1..=3 {
        std::fs::write(bench.path(&format!("out__2020-01-0{day}_00-00-00.log")), format!("{day}\n")).unwrap();
    }
    // A home that keeps one, and an app that keeps all.
    bench.rotate(Rotation { retain: Some(1), compress: true, ..small() });
    let all = Words::from([("retain".to_owned(), "all".to_owned())]);
    bench.attach(1, SinkSpec { rotate: all, ..bench.sink() });
    bench.pump.begin();
    // They are looked at: one after the other is compressed.
    let packed = |day: u32| bench.path(&format!("out__2020-01-0{day}_00-00-00.log.gz"));
    while !(1..=3).all(|day| packed(day).exists()) {
        let left = rotated(&bench.path("out.log")).len();
        assert_eq!(left, 3, "none of them is removed");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}
