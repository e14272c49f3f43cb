//! `pmon logs` as a reader: nothing twice, nothing lost, whatever happens to the daemon and the files.

use crate::support::{TestHome, fixture, kill, need, wait_for};
use pmon::client::{Client, Incoming};
use pmon::model::Selector;
use pmon::proto::request::LogsRequest;
use pmon::proto::{Push, Request};
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

fn kill_daemon(home: &TestHome) {
    let old = home.daemon_pid();
    kill(old, "KILL");
    wait_for("another daemon", || {
        let now = home.daemon_pid();
        if now != old && home.run(&["ping"]).code == 0 { Ok(()) } else { Err(format!("still {now}")) }
    });
}

/// Lines of a running command as they come.
fn lines_of(child: &mut Child) -> mpsc::Receiver<String> {
    let out = BufReader::new(child.stdout.take().unwrap());
    let (sender, lines) = mpsc::channel();
    std::thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
    lines
}

/// Takes lines until one of them is `last`.
#[track_caller]
fn until(lines: &mpsc::Receiver<String>, last: &str) -> Vec<String> {
    let mut got = Vec::new();
    wait_for(last, || {
        got.extend(lines.try_iter());
        match got.iter().any(|line| line == last) {
            true => Ok(()),
            false => Err(format!("{} lines, the last {:?}", got.len(), got.last())),
        }
    });
    got
}

#[track_caller]
fn assert_numbers(lines: &[String], prefix: &str) {
    let numbers: Vec<u64> =
        lines.iter().filter_map(|line| line.strip_prefix(prefix)?.trim().parse().ok()).collect();
    let first = numbers.first().copied().unwrap_or(0);
    for (expected, number) in (first..).zip(&numbers) {
        assert_eq!(*number, expected, "of {} lines", numbers.len());
    }
}

#[test]
fn every_line_comes_once_though_the_daemon_is_killed() {
    need("python3", "apt-get install python3");
    let home = TestHome::new();
    // Half lines too: a kill may fall between the halves.
    home.file(
        "count.py",
        "import os, time\nn = 0\nwhile True:\n    n += 1\n    os.write(1, b'line ')\n    time.sleep(0.001)\n    os.write(1, b'%d\\n' % n)\n    if n % 7 == 0: os.write(2, b'err %d\\n' % (n // 7))\n    if os.path.exists('stop'):\n        os.write(2, b'end\\n'); os.write(1, b'end\\n'); time.sleep(1000)\n",
    );
    home.ok(&["start", "count.py"]);
    let mut command = home.command(&["logs", "count", "--raw", "--merge", "--lines", "all"]);
    let mut following = command.spawn().unwrap();
    let out = lines_of(&mut following);
    let mut errors = following.stderr.take().unwrap();
    let mut seen = until(&out, "line 50");
    for _ in 0..3 {
        kill_daemon(&home);
        seen.extend(out.try_iter());
    }
    home.file("stop", "");
    seen.extend(until(&out, "end"));
    assert_numbers(&seen, "line ");
    let written = std::fs::read_to_string(home.path().join("logs/count-out.log")).unwrap();
    let lines = |text: &mut dyn Iterator<Item = &str>| text.filter(|line| line.starts_with("line ")).count();
    assert_eq!(lines(&mut seen.iter().map(String::as_str)), lines(&mut written.lines()));
    following.kill().unwrap();
    following.wait().unwrap();
    let mut told = String::new();
    errors.read_to_string(&mut told).unwrap();
    let told: Vec<String> = told.lines().map(str::to_owned).collect();
    assert_numbers(&told, "err ");
    assert!(told.iter().any(|line| line.starts_with("err 2")), "{told:?}");
}

#[test]
fn a_reader_slower_than_the_app_gets_everything_from_the_file() {
    need("python3", "apt-get install python3");
    let home = TestHome::new();
    home.file(
        "flood.py",
        "import os, time\nwhile not os.path.exists('go'): time.sleep(0.01)\nfor n in range(1, 400001): print('line', n, 'x' * 40)\nprint('end', flush=True)\ntime.sleep(1000)\n",
    );
    home.ok(&["start", "flood.py"]);
    let mut following = home.command(&["logs", "flood", "--raw", "--lines", "0"]).spawn().unwrap();
    let path = home.path().join("logs/flood-out.log");
    // The stream stands when the first line passes it; nobody reads until the app is done.
    home.file("go", "");
    let size =
        || std::fs::read(&path).map(|bytes| (bytes.len(), bytes.ends_with(b"end\n"))).unwrap_or_default();
    wait_for("the whole flood in the file", || match size() {
        (_, true) => Ok(()),
        seen => Err(format!("{seen:?}")),
    });
    let out = lines_of(&mut following);
    let got: Vec<String> = until(&out, "end").iter().map(|line| line.replace(&"x".repeat(40), "")).collect();
    assert_numbers(&got, "line ");
    following.kill().unwrap();
    following.wait().unwrap();
}

#[test]
fn a_reader_that_leaves_ends_it_though_nothing_is_written() {
    let home = TestHome::new();
    home.file("once.sh", "echo first\nsleep 1000\n");
    home.ok(&["start", "once.sh"]);
    let path = home.path().join("logs/once-out.log");
    wait_for("its line", || {
        std::fs::read_to_string(&path)
            .map_err(|e| e.to_string())
            .and_then(|text| if text == "first\n" { Ok(()) } else { Err(text) })
    });
    let mut following = home.command(&["logs", "once", "--raw", "--lines", "1"]).spawn().unwrap();
    let pipe = following.stdout.take().unwrap();
    // The command holds the pipe as long as it lives.
    let head = Command::new("head").arg("-n2").stdin(pipe).stdout(Stdio::piped()).output().unwrap();
    assert!(String::from_utf8_lossy(&head.stdout).ends_with("first\n"));
    let code = wait_for("the end of `logs | head`", || match following.try_wait().unwrap() {
        Some(status) => Ok(status.code()),
        None => Err("running".into()),
    });
    assert_eq!(code, Some(0));
}

/// An app whose logs were rotated, one of them compressed; then it wrote live lines.
fn rotated(home: &TestHome) {
    need("gzip", "apt-get install gzip");
    home.file("app.sh", "echo 2026-11-22T12:00:00Z INFO live 1\necho plain oops >&2\nsleep 1000\n");
    home.ok(&["start", "app.sh", "--name", "app"]);
    let logs = home.path().join("logs");
    wait_for("live lines", || {
        let size = |name: &str| std::fs::metadata(logs.join(name)).map_or(0, |facts| facts.len());
        if size("app-out.log") > 0 && size("app-error.log") > 0 { Ok(()) } else { Err("none".into()) }
    });
    let old = "2026-11-20T10:00:00Z INFO old 1\n2026-11-20T10:00:01Z ERROR boom 7\n  at main\n2026-11-20T10:00:02Z INFO old 2\n";
    std::fs::write(logs.join("app-out__2026-11-21_00-00-00.log"), old).unwrap();
    let gzip = Command::new("gzip").arg(logs.join("app-out__2026-11-21_00-00-00.log")).status().unwrap();
    assert!(gzip.success());
    let newer = "2026-11-21T10:00:00Z WARN slow 3\n".repeat(3);
    std::fs::write(logs.join("app-out__2026-11-22_00-00-00.log"), newer).unwrap();
}

#[test]
fn searches_go_through_rotated_and_compressed_files() {
    let home = TestHome::new();
    rotated(&home);
    let search = |args: &[&str]| {
        let args = [&["logs", "app", "--no-follow", "--out", "--raw"], args].concat();
        home.ok(&args).out
    };
    assert_eq!(search(&["--grep", "boom"]), "2026-11-20T10:00:01Z ERROR boom 7\n");
    assert_eq!(
        search(&["--grep", "BOOM", "-i", "-C", "1"]),
        "2026-11-20T10:00:00Z INFO old 1\n2026-11-20T10:00:01Z ERROR boom 7\n  at main\n"
    );
    assert_eq!(
        search(&["--grep", "INFO", "-A1", "--until", "2026-11-21T00:00:00Z"]),
        "2026-11-20T10:00:00Z INFO old 1\n2026-11-20T10:00:01Z ERROR boom 7\n--\n2026-11-20T10:00:02Z INFO old 2\n"
    );
    assert_eq!(search(&["--grep", "INFO|WARN", "-v"]), "2026-11-20T10:00:01Z ERROR boom 7\n  at main\n");
    assert_eq!(search(&["--level", "error"]), "2026-11-20T10:00:01Z ERROR boom 7\n");
    assert_eq!(search(&["--since", "2026-11-22T00:00:00Z"]), "2026-11-22T12:00:00Z INFO live 1\n");
    assert_eq!(search(&["--level", "warn", "--fold"]).lines().count(), 3, "{}", search(&["--fold"]));
    assert!(search(&["--level", "warn", "--fold"]).ends_with("… × 3 in 0 ms\n"));
    // The last lines also, when the live file has fewer.
    let last = search(&["--lines", "3"]);
    assert!(
        last.starts_with(&format!("{}/logs/app-out.log last 3 lines:\n", home.path().display())),
        "{last}"
    );
    assert!(
        last.ends_with("WARN slow 3\n2026-11-21T10:00:00Z WARN slow 3\n2026-11-22T12:00:00Z INFO live 1\n")
    );
}

#[test]
fn json_history_carries_the_time_of_its_lines_and_stats_count_them() {
    let home = TestHome::new();
    rotated(&home);
    let out = home.ok(&["logs", "app", "--no-follow", "--json", "--lines", "2"]).out;
    let lines: Vec<serde_json::Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let live = lines.iter().find(|line| line["message"] == "2026-11-22T12:00:00Z INFO live 1").unwrap();
    assert_eq!(live["timestamp"], "2026-11-22T12:00:00.000Z");
    let error = lines.iter().find(|line| line["type"] == "err").unwrap();
    assert!(error["timestamp"].is_string(), "the pump marked its time: {error}");
    let stats = home.ok(&["logs", "app", "--stats", "--json"]).out;
    let stats: serde_json::Value = serde_json::from_str(&stats).unwrap();
    assert_eq!(stats["apps"][0]["lines"], 9);
    assert_eq!(stats["repeated"][0]["count"], 3);
}

#[test]
fn live_lines_are_searched_too() {
    let home = TestHome::new();
    home.file("talk.sh", "n=0; while :; do n=$((n+1)); echo tick $n; echo tock $n; sleep 0.02; done\n");
    home.ok(&["start", "talk.sh"]);
    let args = ["logs", "talk", "--grep", "tick [0-9]*[05]$", "--raw", "--lines", "0"];
    let mut following = home.command(&args).spawn().unwrap();
    let mut lines = BufReader::new(following.stdout.take().unwrap()).lines();
    let got: Vec<String> = lines.by_ref().take(4).map_while(Result::ok).collect();
    following.kill().unwrap();
    following.wait().unwrap();
    let number = |line: &String| line.strip_prefix("tick ").and_then(|n| n.parse::<u32>().ok()).unwrap();
    let numbers: Vec<u32> = got.iter().map(number).collect();
    assert!(numbers.windows(2).all(|two| two[1] == two[0] + 5), "{numbers:?}");
}

/// What a client that reads no files is sent as history.
fn history(home: &TestHome) -> Vec<String> {
    let home = pmon::sys::paths::Home::at(home.path());
    let mut stream = Client::connect(&home).unwrap().into_stream();
    let select = Selector::new("app", "/");
    let request =
        LogsRequest { select, lines: 1000, follow: true, out: true, err: true, files: false, places: false };
    stream.ask(Request::Logs(request)).unwrap();
    let mut lines = Vec::new();
    loop {
        match stream.next().unwrap().unwrap() {
            Incoming::Log(batch) => {
                assert!(batch.header.at_ms.is_some());
                lines.extend(String::from_utf8_lossy(&batch.bytes).lines().map(str::to_owned));
            }
            Incoming::Push { push: Push::HistoryEnd, .. } => return lines,
            _other => {}
        }
    }
}

#[test]
fn a_subscriber_gets_the_last_lines_at_once_from_memory_and_files() {
    let home = TestHome::new();
    let write = "for n in $(seq 1 1200); do echo line $n; done; while [ ! -e go ]; do sleep 0.02; done; echo more; sleep 1000\n";
    home.file("app.sh", write);
    home.ok(&["start", "app.sh", "--name", "app"]);
    let has = |wanted: usize, last: &str| {
        wait_for("its lines", || {
            let lines = history(&home);
            let fits = lines.len() >= wanted && lines.last().is_some_and(|line| line == last);
            if fits { Ok(lines) } else { Err(format!("{} lines", lines.len())) }
        })
    };
    assert_numbers(&has(1000, "line 1200"), "line ");
    kill_daemon(&home);
    assert_numbers(&has(1000, "line 1200"), "line ");
    home.file("go", "");
    // Memory has one line by now, the file the others.
    let lines = has(1000, "more");
    assert_numbers(&lines, "line ");
    assert_eq!(lines.iter().filter(|line| *line == "more").count(), 1);
}

#[test]
fn a_subscriber_gets_the_last_lines_of_an_app_without_files() {
    let home = TestHome::new();
    home.file("app.sh", "echo hello; echo oops >&2; sleep 1000\n");
    home.ok(&["start", "app.sh", "--name", "app", "-o", "/dev/null", "-e", "/dev/null"]);
    wait_for("its lines", || {
        let lines = history(&home);
        if lines.len() == 2 { Ok(()) } else { Err(format!("{lines:?}")) }
    });
}

#[test]
fn the_client_follows_a_rotation() {
    let home = TestHome::new();
    let script = fixture("count.sh").display().to_string();
    home.ok(&["start", &script, "--name", "count"]);
    let mut following =
        home.command(&["logs", "count", "--raw", "--merge", "--lines", "all"]).spawn().unwrap();
    let out = lines_of(&mut following);
    let mut seen = until(&out, "line 20");
    for round in 1..4 {
        let logs = home.path().join("logs");
        std::fs::rename(
            logs.join("count-out.log"),
            logs.join(format!("count-out__2026-11-22_0{round}-00-00.log")),
        )
        .unwrap();
        wait_for("a new file", || {
            logs.join("count-out.log").exists().then_some(()).ok_or_else(|| "none".into())
        });
        if round == 2 {
            kill_daemon(&home);
        }
    }
    home.ok(&["stop", "count"]);
    seen.extend(until(&out, "end"));
    assert_numbers(&seen, "line ");
    following.kill().unwrap();
    following.wait().unwrap();
    // And so does the past, over all files.
    let all = home.ok(&["logs", "count", "--raw", "--merge", "--lines", "all", "--no-follow"]).out;
    let all: Vec<String> = all.lines().map(str::to_owned).collect();
    assert_eq!(all[0], "line 1");
    assert_eq!(all.last().map(String::as_str), Some("end"));
    assert_numbers(&all, "line ");
}
