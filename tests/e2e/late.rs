//! What `pmon logs` says of lines that are not there: dropped because the terminal was too slow, or late because the disk is
//! full; and lines that are found by dates in the app's own format.

use crate::support::{TestHome, need, wait_for};
use std::io::{BufRead, BufReader, Read};

/// A thread reads, so that the command is never held up.
fn gathered(from: impl Read + Send + 'static) -> impl Fn() -> String {
    let (sender, lines) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        BufReader::new(from).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
    });
    let seen = std::cell::RefCell::new(String::new());
    move || {
        lines.try_iter().for_each(|line| seen.borrow_mut().push_str(&(line + "\n")));
        seen.borrow().clone()
    }
}

#[test]
fn lines_without_a_file_that_a_slow_reader_misses_are_counted_exactly() {
    need("python3", "apt-get install python3");
    let home = TestHome::new();
    home.file(
        "flood.py",
        "import os, time\nn = 0\ndef say():\n    global n\n    n += 1\n    print('line', n, 'x' * 40, flush=n < 400)\n\
         while not os.path.exists('go'):\n    say()\n    time.sleep(0.05)\n\
         for _ in range(400000): say()\nprint('end', flush=True)\nopen('done', 'w').close()\ntime.sleep(1000)\n",
    );
    home.ok(&["start", "flood.py", "--output", "/dev/null"]);
    let mut following = home.command(&["logs", "flood", "--raw", "--lines", "0"]).spawn().unwrap();
    let mut out = BufReader::new(following.stdout.take().unwrap());
    let told = gathered(following.stderr.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    // Nobody reads until the app is done.
    home.file("go", "");
    let done = home.work().join("done");
    wait_for("the end of the flood", || if done.exists() { Ok(()) } else { Err("not yet".into()) });
    let number = |line: &str| line.split(' ').nth(1).and_then(|n| n.parse::<u64>().ok());
    let first = number(&line).unwrap();
    let (mut shown, mut last) = (0, first);
    while line != "end\n" {
        let n = number(&line).unwrap();
        assert!(n >= last, "{n} behind {last}");
        (shown, last) = (shown + 1, n);
        line.clear();
        out.read_line(&mut line).unwrap();
    }
    let skipped: u64 = told()
        .lines()
        .filter_map(|line| line.strip_prefix("… ")?.split(' ').next()?.parse::<u64>().ok())
        .sum();
    assert!(skipped > 0, "{}", told());
    assert_eq!(shown + skipped, last - first + 1, "{}", told());
    following.kill().unwrap();
    following.wait().unwrap();
}

#[test]
fn who_follows_an_app_whose_disk_is_full_is_told_so() {
    let home = TestHome::new();
    home.file("talk.sh", "while :; do echo hello; sleep 0.05; done\n");
    home.ok(&["start", "talk.sh"]);
    let mut following = home.command(&["logs", "talk", "--raw"]).spawn().unwrap();
    let told = gathered(following.stderr.take().unwrap());
    let shown = gathered(following.stdout.take().unwrap());
    wait_for("its lines", || if shown().contains("hello") { Ok(()) } else { Err(told()) });
    assert_eq!(told(), "");
    let log = home.path().join("logs/talk-out.log");
    std::fs::remove_file(&log).unwrap();
    std::os::unix::fs::symlink("/dev/full", &log).unwrap();
    home.ok(&["reloadLogs"]);
    let late =
        |told: &str| told.contains("log of talk (0): failed to ") && told.contains("its lines come late");
    wait_for("a word to who follows", || if late(&told()) { Ok(()) } else { Err(told()) });
    let asked = home.ok(&["logs", "talk", "--nostream"]).err;
    assert!(late(&asked), "{asked}");
    let described = home.ok(&["describe", "talk"]).out;
    assert!(described.contains("log trouble"), "{described}");
    std::fs::remove_file(&log).unwrap();
    home.ok(&["reloadLogs"]);
    let over = |told: &str| told.contains("log of talk (0): written again");
    wait_for("the end of it", || if over(&told()) { Ok(()) } else { Err(told()) });
    assert_eq!(told().matches("come late").count(), 1, "{}", told());
    following.kill().unwrap();
    following.wait().unwrap();
}

#[test]
fn lines_are_found_by_dates_in_the_apps_own_format_and_a_users_file_is_no_history() {
    let home = TestHome::new();
    home.file("once.sh", "echo now\nexec sleep 1000\n");
    home.ok(&["start", "once.sh", "--log-date-format", "DD/MM/YYYY hh:mm:ss A"]);
    let logs = home.path().join("logs");
    wait_for("its line", || {
        let text = std::fs::read_to_string(logs.join("once-out.log")).unwrap_or_default();
        if text.ends_with(": now\n") { Ok(()) } else { Err(text) }
    });
    let old =
        "04/03/2026 05:06:07 AM: march\n03/04/2026 05:06:07 AM: morning\n03/04/2026 05:06:07 PM: evening\n";
    std::fs::write(logs.join("once-out__2026-05-01_00-00-00.log"), old).unwrap();
    std::fs::write(logs.join("once-out__notes.log"), "03/04/2026 05:06:07 PM: mine\n").unwrap();
    let found = |since: &str, until: &str| {
        let out = home.ok(&["logs", "once", "--nostream", "--raw", "--since", since, "--until", until]).out;
        let words: Vec<_> = out.lines().filter_map(|line| line.rsplit(": ").next()).collect();
        words.join(" ")
    };
    assert_eq!(found("2026-04-01", "2026-05-01"), "morning evening");
    assert_eq!(found("2026-04-03T12:00", "2026-05-01"), "evening");
    assert_eq!(found("2026-03-01", "2026-04-01"), "march");
    assert_eq!(found("10m", "now"), "now");
    let all =
        home.ok(&["logs", "once", "--nostream", "--raw", "--lines", "all", "--timestamp=YYYY-MM-DD"]).out;
    assert!(!all.contains("mine"), "{all}");
    let dated = home.ok(&["logs", "once", "--nostream", "--json", "--lines", "all", "--out"]).out;
    assert!(dated.contains("evening"), "{dated}");
}
