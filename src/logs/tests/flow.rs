//! What comes out for what goes in.

use super::*;
use crate::logs::{Delivery, Filter, Workers};
use std::collections::HashSet;

fn all() -> Filter {
    Filter { workers: Workers::All, out: true, err: true, places: false }
}

#[tokio::test]
async fn raw_bytes_are_exact() {
    let mut bench = Bench::new();
    bench.attach(1, bench.sink());
    let mut nasty = b"\0\xff\xc3\x28crlf\r\n\x1b[31mred\x1b[0m\n\n\r".to_vec();
    nasty.resize(nasty.len() + (10 << 20), b'x');
    nasty.extend((0..1_000_000u32).flat_map(|n| (n.wrapping_mul(2_654_435_761) >> 7).to_le_bytes()));
    nasty.extend_from_slice(b"no final newline");
    std::fs::write(bench.path("nasty"), &nasty).unwrap();
    bench.run(1, 1, "cat nasty; printf 'and err' >&2").await;
    assert!(bench.read("out.log") == nasty, "{} bytes of {}", bench.read("out.log").len(), nasty.len());
    assert_eq!(bench.text("error.log"), "and err");
}

#[tokio::test]
async fn a_stream_that_is_fast_gets_a_large_pipe() {
    let mut bench = Bench::new();
    bench.attach(1, bench.sink());
    let writer = bench.pipe(1, StreamKind::Out, 1);
    let mut text = b"a line now and then\n".to_vec();
    write(&writer, &text);
    bench.settle().await;
    assert_eq!(pipe::capacity(&writer), 64 << 10);
    // Lines of all lengths.
    while pipe::capacity(&writer) < 1 << 20 {
        let batch = [&b"x".repeat(text.len() * 7919 % 5000), &b"\n"[..]].concat().repeat(20);
        write(&writer, &batch);
        text.extend(batch);
        assert!(text.len() < 1 << 30, "never");
    }
    let rest = b"the rest\n".repeat(200_000);
    write(&writer, &rest);
    text.extend(rest);
    drop(writer);
    bench.closed().await;
    assert!(bench.read("out.log") == text);
}

#[tokio::test]
async fn generations_follow_each_other_in_order() {
    let mut bench = Bench::new();
    bench.attach(1, bench.sink());
    for generation in 1..=20 {
        let writer = bench.pipe(1, StreamKind::Out, generation);
        write(&writer, format!("{generation}\n").as_bytes());
    }
    for _ in 0..20 {
        bench.closed().await;
    }
    let wanted: String = (1..=20).map(|n| format!("{n}\n")).collect();
    assert_eq!(bench.text("out.log"), wanted);
}

#[tokio::test]
async fn a_pipe_that_somebody_still_holds_stays_open_beside_the_next() {
    let mut bench = Bench::new();
    bench.attach(1, bench.sink());
    let old = bench.pipe(1, StreamKind::Out, 1);
    let new = bench.pipe(1, StreamKind::Out, 2);
    write(&new, b"new\n");
    until("the new generation's line", || bench.text("out.log") == "new\n").await;
    write(&old, b"old\n");
    until("the old generation's line", || bench.text("out.log") == "new\nold\n").await;
    drop(old);
    let notice = bench.notice().await;
    assert_eq!(notice, PumpNotice::PipeClosed { entry: 1, stream: StreamKind::Out, generation: 1 });
}

#[tokio::test]
async fn the_end_of_an_old_pipe_does_not_cut_a_newer_ones_line() {
    let mut bench = Bench::new();
    let kept = held(64 << 10).unwrap();
    bench.pump.attach(1, source(1), both(&bench.path("all.log")), copy(&kept));
    let old = bench.pipe(1, StreamKind::Out, 1);
    let new = bench.pipe(1, StreamKind::Out, 2);
    write(&new, b"begun, ");
    until("the line's start is staged", || pipe::pending(&kept.out_staging).unwrap() == 7).await;
    drop(old);
    bench.closed().await;
    write(&new, b"ended\n");
    drop(new);
    bench.closed().await;
    assert_eq!(bench.text("all.log"), "begun, ended\n");
}

#[tokio::test]
async fn dates_go_before_lines_and_last_words_get_a_line_of_their_own() {
    let mut bench = Bench::new();
    bench.attach(1, SinkSpec { date_format: Some("[at]".into()), ..bench.sink() });
    let script = "printf a; sleep 0.05; printf 'b\\n\\nlast words'";
    bench.run(1, 1, script).await;
    bench.run(1, 2, "echo again").await;
    assert_eq!(bench.text("out.log"), "at: ab\nat: \nat: last words\nat: again\n");
}

#[tokio::test]
async fn json_has_one_object_a_line_however_it_was_written() {
    let mut bench = Bench::new();
    bench.attach(7, SinkSpec { json: true, ..bench.sink() });
    bench.run(7, 1, "printf a; sleep 0.05; printf 'b\\nc\\nrest'; echo oops >&2").await;
    let parse = |line: &str| -> serde_json::Value { serde_json::from_str(line).unwrap() };
    let out = bench.text("out.log");
    let messages: Vec<_> = out.lines().map(|line| parse(line)["message"].clone()).collect();
    assert_eq!(messages, ["ab\n", "c\n", "rest"]);
    let err = parse(&bench.text("error.log"));
    assert_eq!(
        (&err["type"], &err["process_id"], &err["app_name"]),
        (&"err".into(), &7.into(), &"web".into())
    );
}

#[tokio::test]
async fn streams_that_share_a_file_never_cut_each_others_lines() {
    let mut bench = Bench::new();
    let path = bench.path("all.log");
    let mut children = Vec::new();
    for entry in 1..=2 {
        bench.attach(entry, both(&path));
        let out = bench.pipe(entry, StreamKind::Out, 1);
        let err = bench.pipe(entry, StreamKind::Err, 1);
        let script = format!(
            "i=0; while [ $i -lt 2000 ]; do printf '{entry} o'; printf 'ut %s' $i; printf ' e\\n'; \
             printf '{entry} er' >&2; printf 'r %s e\\n' $i >&2; i=$((i+1)); done; printf '{entry} out last'"
        );
        children.push(shell(&bench.dir, &script, out, err));
    }
    for mut child in children {
        child.wait().unwrap();
    }
    for _ in 0..4 {
        bench.closed().await;
    }
    let text = bench.text("all.log");
    for (entry, stream) in [(1, "out"), (1, "err"), (2, "out"), (2, "err")] {
        let prefix = format!("{entry} {stream} ");
        let mut wanted: Vec<String> = (0..2000).map(|i| format!("{prefix}{i} e")).collect();
        if stream == "out" {
            wanted.push(format!("{prefix}last"));
        }
        let got: Vec<&str> = text.lines().filter(|line| line.starts_with(&prefix)).collect();
        assert!(got == wanted, "{prefix}: {} lines", got.len());
    }
    assert_eq!(text.lines().count(), 8002);
}

#[tokio::test]
async fn the_combined_file_has_what_the_own_files_have() {
    let mut bench = Bench::new();
    bench.attach(1, SinkSpec { combined: Some(bench.path("all.log")), ..bench.sink() });
    bench.run(1, 1, "echo one; echo two >&2").await;
    assert_eq!((bench.text("out.log"), bench.text("error.log")), ("one\n".into(), "two\n".into()));
    let all: HashSet<String> = bench.text("all.log").lines().map(str::to_owned).collect();
    assert_eq!(all, HashSet::from(["one".into(), "two".into()]));
}

#[tokio::test]
async fn a_file_that_is_cut_renamed_or_removed_from_outside_is_followed() {
    let bench = Bench::new();
    bench.attach(1, bench.sink());
    let out = bench.pipe(1, StreamKind::Out, 1);
    let path = bench.path("out.log");
    write(&out, b"one\n");
    until("the first line", || bench.text("out.log") == "one\n").await;
    std::fs::File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
    write(&out, b"two\n");
    until("the line after the cut", || bench.text("out.log") == "two\n").await;

    std::fs::rename(&path, bench.path("old.log")).unwrap();
    until("a new file after the rename", || {
        write(&out, b"x\n");
        !bench.read("out.log").is_empty()
    })
    .await;
    std::fs::remove_file(&path).unwrap();
    bench.pump.reopen();
    // A round under way may still have the old file.
    bench.settle().await;
    write(&out, b"three\n");
    until("the line after the reopening", || bench.text("out.log").ends_with("three\n")).await;
}

#[tokio::test]
async fn flushing_frees_bytes_and_later_lines_start_at_the_top() {
    let bench = Bench::new();
    bench.attach(1, bench.sink());
    let out = bench.pipe(1, StreamKind::Out, 1);
    write(&out, b"12345\n");
    bench.settle().await;
    let paths = vec![bench.path("out.log"), bench.path("missing.log")];
    let freed: Vec<u64> =
        bench.pump.flush(paths).await.unwrap().into_iter().map(|(_, n)| n.unwrap()).collect();
    assert_eq!(freed, [6, 0]);
    write(&out, b"next\n");
    bench.settle().await;
    assert_eq!(bench.text("out.log"), "next\n");
}

#[tokio::test]
async fn a_stuck_stream_is_told_keeps_its_bytes_and_holds_up_nobody_else() {
    let mut bench = Bench::new();
    std::fs::write(bench.path("dir"), "in the way").unwrap();
    bench.attach(1, SinkSpec { out: Some(bench.path("dir/out.log")), ..bench.sink() });
    bench.attach(2, SinkSpec { out: Some("/dev/full".into()), ..bench.sink() });
    bench.attach(3, SinkSpec { out: Some(bench.path("fine.log")), ..bench.sink() });
    let stuck = bench.pipe(1, StreamKind::Out, 1);
    let full = bench.pipe(2, StreamKind::Out, 1);
    let fine = bench.pipe(3, StreamKind::Out, 1);
    write(&stuck, b"kept\n");
    write(&full, b"kept\n");
    let mut told = HashSet::new();
    while told.len() < 2 {
        let PumpNotice::Trouble { entry, stream: StreamKind::Out, what, .. } = bench.notice().await else {
            panic!("no trouble")
        };
        assert!(what.contains("log file `"), "{what}");
        told.insert(entry);
    }
    for line in 0..1000 {
        write(&fine, format!("{line}\n").as_bytes());
    }
    until("all lines of the healthy stream", || bench.text("fine.log").lines().count() == 1000).await;
    write(&stuck, b"more\n");
    std::fs::remove_file(bench.path("dir")).unwrap();
    let notice = bench.notice().await;
    assert!(matches!(notice, PumpNotice::Recovered { entry: 1, failures: 1.., .. }), "{notice:?}");
    until("what was kept", || bench.text("dir/out.log") == "kept\nmore\n").await;
    bench.pump.set_sink(2, SinkSpec { out: Some(bench.path("moved.log")), ..bench.sink() });
    until("what was kept, elsewhere", || bench.text("moved.log") == "kept\n").await;
}

#[tokio::test]
async fn closing_writes_what_is_there_and_lets_go() {
    let bench = Bench::new();
    let path = bench.path("all.log");
    bench.attach(1, both(&path));
    let out = bench.pipe(1, StreamKind::Out, 1);
    write(&out, b"whole\nunfinished");
    bench.pump.close(1);
    bench.settle().await;
    assert_eq!(bench.text("all.log"), "whole\nunfinished\n");
    assert_eq!(rustix::io::write(&out, b"x").unwrap_err(), rustix::io::Errno::PIPE);
    assert_eq!(bench.fanout.subscribe(all(), 10, 1000).take(), None, "its last lines are forgotten");
}

#[tokio::test]
async fn the_next_pump_goes_on_with_what_was_held_back() {
    let mut bench = Bench::new();
    let (kept, path) = (held(64 << 10).unwrap(), bench.path("all.log"));
    bench.pump.attach(1, source(1), both(&path), copy(&kept));
    let (reader, writer) = pipe::stdio(64 << 10).unwrap();
    bench.pump.add_pipe(1, StreamKind::Out, 1, reader.try_clone().unwrap());
    write(&writer, b"first\nsec");
    bench.settle().await;
    assert_eq!(bench.text("all.log"), "first\n");

    let (sender, notices) = mpsc::channel(64);
    bench.pump = Pump::start(scratch(), bench.fanout.clone(), sender).unwrap();
    while bench.notices.recv().await.is_some() {}
    bench.notices = notices;
    bench.pump.attach(1, source(1), both(&path), copy(&kept));
    bench.pump.add_pipe(1, StreamKind::Out, 1, reader);
    bench.pump.begin();
    write(&writer, b"ond\n");
    drop(writer);
    bench.closed().await;
    assert_eq!(bench.text("all.log"), "first\nsecond\n");
}

#[tokio::test]
async fn a_subscriber_who_never_reads_delays_nobody_and_is_told() {
    let mut bench = Bench::new();
    bench.attach(1, bench.sink());
    let slow = bench.fanout.subscribe(all(), 0, 1000);
    let quick = bench.fanout.subscribe(all(), 0, 64 << 20);
    bench.run(1, 1, "seq 1 100000").await;
    assert_eq!(bench.text("out.log").lines().count(), 100_000);

    let Some(Delivery::Lagged { lines, .. }) = slow.take() else { panic!("not told") };
    let mut rest = 0;
    while let Some(Delivery::Lines(batch)) = slow.take() {
        rest += batch.lines as u64;
    }
    assert_eq!(lines + rest, 100_000);
    let mut got = Vec::new();
    while let Some(Delivery::Lines(batch)) = quick.take() {
        assert!(batch.bytes.ends_with(b"\n"));
        got.extend_from_slice(&batch.bytes);
    }
    assert!(got == bench.read("out.log"));
}

#[tokio::test]
async fn without_files_there_is_still_the_stream_and_disabled_means_nothing_at_all() {
    let mut bench = Bench::new();
    bench.attach(1, SinkSpec::default());
    bench.attach(2, SinkSpec { disabled: true, ..bench.sink() });
    bench.run(1, 1, "echo one; printf two").await;
    bench.run(2, 1, "echo never").await;
    let late = bench.fanout.subscribe(all(), 10, 1000);
    let mut got = Vec::new();
    while let Some(Delivery::Lines(batch)) = late.take() {
        assert_eq!(batch.worker, Some(WorkerId(1)));
        got.extend_from_slice(&batch.bytes);
    }
    assert_eq!(String::from_utf8(got).unwrap(), "one\ntwo\n");
    assert!(!bench.path("out.log").exists());
}

#[tokio::test]
async fn an_owner_who_does_not_listen_holds_up_nothing_and_misses_nothing() {
    let mut bench = Bench::new();
    bench.attach(1, bench.sink());
    for generation in 1..=500 {
        drop(bench.pipe(1, StreamKind::Out, generation));
    }
    write(&bench.pipe(1, StreamKind::Out, 501), b"end\n");
    until("the last line", || bench.text("out.log") == "end\n").await;
    for _ in 1..=501 {
        bench.closed().await;
    }
}

#[tokio::test]
async fn what_an_older_run_wrote_stays_in_its_files_when_the_next_one_has_others() {
    let bench = Bench::new();
    bench.attach(1, bench.sink());
    let old = bench.pipe(1, StreamKind::Out, 1);
    write(&old, b"first\n");
    bench.settle().await;
    write(&old, &b"leftover\n".repeat(3000));
    write(&old, b"last words");
    drop(old);
    bench.pump.set_sink(1, SinkSpec { out: Some(bench.path("new.log")), ..bench.sink() });
    let new = bench.pipe(1, StreamKind::Out, 2);
    write(&new, b"new\n");
    bench.settle().await;
    assert_eq!(bench.text("out.log"), "first\n".to_owned() + &"leftover\n".repeat(3000) + "last words");
    assert_eq!(bench.text("new.log"), "new\n");
}

#[tokio::test]
async fn who_reads_files_is_told_where_lines_stand_and_is_sent_what_stands_elsewhere_or_is_small() {
    let mut bench = Bench::new();
    bench.attach(1, bench.sink());
    bench.attach(
        2,
        SinkSpec { date_format: Some("[at]".into()), out: Some(bench.path("dated.log")), ..bench.sink() },
    );
    let reader = bench.fanout.subscribe(Filter { places: true, ..all() }, 0, 64 << 20);
    bench.run(1, 1, "seq 1 100000; printf half").await;
    bench.run(2, 1, "seq 1 20000").await;
    let file = bench.read("out.log");
    let (mut got, mut dated, mut told) = (Vec::new(), Vec::new(), 0);
    while let Some(Delivery::Lines(batch)) = reader.take() {
        let spot = batch.spot.clone().unwrap();
        match batch.tail {
            Some(tail) => {
                assert!(batch.bytes.is_empty() && batch.worker == Some(WorkerId(1)));
                let lines = &file[spot.start as usize..spot.end as usize];
                assert_eq!(
                    (crate::model::tail::print(lines), crate::logs::lines::count(lines)),
                    (tail, batch.lines)
                );
                got.extend_from_slice(lines);
                told += batch.lines;
            }
            None if batch.worker == Some(WorkerId(1)) => got.extend_from_slice(&batch.bytes),
            None => dated.extend_from_slice(&batch.bytes),
        }
    }
    let numbers = |last: u32| (1..=last).map(|n| format!("{n}\n")).collect::<String>();
    assert_eq!(String::from_utf8(got).unwrap(), numbers(100_000) + "half\n");
    assert_eq!(String::from_utf8(dated).unwrap(), numbers(20_000));
    assert!(told > 50_000, "only {told} lines were told by their place");
}
