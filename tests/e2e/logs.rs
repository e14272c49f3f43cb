//! `pmon logs`: history and live.

use crate::support::{TestHome, need, wait_for};
use std::io::{BufRead, BufReader};

#[test]
fn history_has_exactly_the_last_lines_and_live_follows() {
    let home = TestHome::new();
    let long = "x".repeat(3000);
    home.file(
        "talk.sh",
        &format!("for i in 1 2 3 4 5 6 7 8 9 10; do echo {long} $i; done; echo oops >&2; while [ ! -e go ]; do sleep 0.05; done; echo live; sleep 1000\n"),
    );
    home.ok(&["start", "talk.sh"]);
    let path = home.path().join("logs/talk-out.log");
    wait_for("ten lines", || {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        if text.lines().count() == 10 { Ok(()) } else { Err(format!("{} lines", text.lines().count())) }
    });
    let shown = home.ok(&["logs", "talk", "--lines", "3", "--nostream", "--raw", "--out"]).out;
    let ends: Vec<_> =
        shown.lines().filter(|l| l.starts_with('x')).map(|l| l.rsplit(' ').next().unwrap()).collect();
    assert_eq!(ends, ["8", "9", "10"], "{shown}");
    let shown = home.ok(&["logs", "talk", "--nostream"]).all();
    assert!(shown.contains("oops"), "{shown}");

    let mut following = home.command(&["logs", "talk", "--raw", "--lines", "0"]).spawn().unwrap();
    let mut lines = BufReader::new(following.stdout.take().unwrap()).lines();
    // The stream stands when its banner is printed.
    let _banner = lines.next();
    home.file("go", "");
    let live = lines.find(|line| line.as_ref().is_ok_and(|l| l.contains("live")));
    assert!(live.is_some());
    following.kill().unwrap();
    following.wait().unwrap();
}

#[test]
fn every_byte_arrives_in_the_file() {
    need("python3", "apt-get install python3");
    let home = TestHome::new();
    home.file(
        "bytes.py",
        "import os, time\nos.write(1, bytes(range(256)) * 64 + b'\\r\\n\\x1b[31mred\\x1b[0m\\nno newline at the end')\ntime.sleep(1000)\n",
    );
    home.ok(&["start", "bytes.py"]);
    let mut want: Vec<u8> = (0..=255u8).collect::<Vec<_>>().repeat(64);
    want.extend_from_slice(b"\r\n\x1b[31mred\x1b[0m\nno newline at the end");
    let path = home.path().join("logs/bytes-out.log");
    wait_for("all bytes", || {
        let bytes = std::fs::read(&path).map_err(|e| e.to_string())?;
        if bytes == want { Ok(()) } else { Err(format!("{} bytes", bytes.len())) }
    });
}

#[test]
fn unknown_targets_do_not_hang_and_a_closed_pipe_ends_quietly() {
    let home = TestHome::new();
    home.file("talk.sh", "while :; do echo again; sleep 0.01; done\n");
    home.ok(&["start", "talk.sh"]);
    home.run(&["logs", "nope"]).expect(1);
    let mut following = home.command(&["logs", "talk"]).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(following.stdout.take().unwrap()).read_line(&mut first).unwrap();
    let code = wait_for("the end of `logs | head`", || match following.try_wait().unwrap() {
        Some(status) => Ok(status.code()),
        None => Err("running".into()),
    });
    assert_eq!(code, Some(0));
}

#[test]
fn a_cluster_writes_a_file_an_instance_and_flush_empties_them() {
    need("node", "apt-get install nodejs");
    let home = TestHome::new();
    home.file("say.js", "console.log('hello', process.env.NODE_APP_INSTANCE); setInterval(() => {}, 1000);");
    home.ok(&["start", "say.js", "-i", "2"]);
    for id in 0..2 {
        let path = home.path().join(format!("logs/say-out-{id}.log"));
        wait_for("its line", || {
            let text = std::fs::read_to_string(&path).map_err(|e| e.to_string())?;
            if text == format!("hello {id}\n") { Ok(()) } else { Err(text) }
        });
    }
    home.ok(&["flush", "say"]);
    assert_eq!(std::fs::read(home.path().join("logs/say-out-0.log")).unwrap(), b"");
}
