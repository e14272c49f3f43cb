//! `pmon logs` behind a fast log: whatever was rotated, compressed, removed, emptied or killed meanwhile, each line comes
//! once, or it is told exactly what is missing.

use crate::support::aside::rotated;
use crate::support::{TestHome, fixture, kill, need, wait_for};
use portable_pty::{CommandBuilder, PtySize, native_pty_system};
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};

/// Bytes of a line unless it is said otherwise.
const LINE: usize = 96;
/// So wide that a reader who is held has more to read than the daemon keeps for him.
const WIDE: &str = "2000";

/// An app that writes numbered lines when it may; its log is rotated at 100 KB and compressed at once.
struct Fast {
    home: TestHome,
    log: PathBuf,
}

/// How it is started.
#[derive(Default)]
struct Plan<'a> {
    /// 0: until it is stopped.
    lines: usize,
    settings: &'a [&'a str],
    options: &'a [&'a str],
    width: Option<&'a str>,
}

/// Lines at once, where it writes until it is stopped.
const BURST: &str = "300";

/// `pmon logs --raw` into files, what it says on stderr apart.
struct Follower {
    child: Child,
    out: PathBuf,
    err: PathBuf,
}

impl Fast {
    fn start(plan: Plan) -> Fast {
        need("python3", "apt-get install python3");
        let home = TestHome::new();
        std::fs::create_dir_all(home.faults()).unwrap();
        std::fs::write(home.faults().join("settled"), "0").unwrap();
        for setting in [&["pm2-logrotate:max_size 100K", "pm2-logrotate:retain all"], plan.settings].concat()
        {
            let (word, value) = setting.split_once(' ').unwrap();
            home.ok(&["set", word, value]);
        }
        let script = fixture("lines.py").display().to_string();
        let report = home.work().join("report#").display().to_string();
        home.file("fast.sh", &format!("echo begun\nexec python3 {script} {} {report}\n", plan.lines));
        let mut start = home.command(&[&["start", "fast.sh"], plan.options].concat());
        start.env("LINES_GO", home.work().join("go")).env("LINES_NAME", "w#");
        start.env("LINES_BURST", BURST).env("LINES_WIDTH", plan.width.unwrap_or("79"));
        assert!(start.output().unwrap().status.success());
        let log = home.path().join("logs/fast-out.log");
        let fast = Fast { home, log };
        if plan.options.is_empty() {
            wait_for("the first line", || match std::fs::read_to_string(&fast.log) {
                Ok(text) if text.contains("begun\n") => Ok(()),
                other => Err(format!("{other:?}")),
            });
        }
        fast
    }

    fn follow(&self) -> Follower {
        self.follow_from("last 0 lines:")
    }

    /// It stands when it has shown these words.
    fn follow_from(&self, words: &str) -> Follower {
        let follower = self.spawn("seen", if words == "begun" { "1" } else { "0" });
        wait_for("a subscriber's heading", || match follower.text() {
            text if text.contains(words) => Ok(()),
            text => Err(text),
        });
        follower
    }

    fn spawn(&self, name: &str, lines: &str) -> Follower {
        let (out, err) = (self.home.work().join(name), self.home.work().join(format!("{name}-told")));
        let mut command = self.home.command(&["logs", "fast", "--raw", "--lines", lines]);
        let child = command.stdout(File::create(&out).unwrap()).stderr(File::create(&err).unwrap());
        Follower { child: child.stdin(Stdio::null()).spawn().unwrap(), out, err }
    }

    /// An instance that writes until then stops: how many lines that were.
    fn stop(&self, instance: usize) -> usize {
        let report = self.report(instance);
        std::fs::write(report.with_extension("stop"), "").unwrap();
        let lines =
            wait_for("the app's report", || std::fs::read_to_string(&report).map_err(|e| e.to_string()));
        lines.trim().parse().unwrap()
    }

    fn report(&self, instance: usize) -> PathBuf {
        self.home.work().join(format!("report{instance}"))
    }

    /// It has written all it has to say.
    fn written(&self) {
        wait_for("the app's report", || match self.report(0).exists() {
            true => Ok(()),
            false => Err("it still writes".into()),
        });
    }

    /// Lets it write.
    fn go(&self) {
        std::fs::write(self.home.work().join("go"), "").unwrap();
    }

    /// So many more files are compressed.
    fn some_are_packed(&self, more: usize) {
        let is_packed = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "gz");
        let packed = || rotated(&self.log).into_iter().filter(is_packed).count();
        let before = packed();
        wait_for("more compressed files", || match packed() {
            now if now >= before + more => Ok(()),
            now => Err(format!("{now} of {before} + {more}")),
        });
    }

    /// All it has to say is in its files, and what was put aside is compressed.
    fn written_and_packed(&self) {
        self.written();
        let is_packed = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "gz");
        wait_for("everything to be compressed", || match rotated(&self.log) {
            parts if parts.iter().all(is_packed) => Ok(()),
            parts => Err(format!("{parts:?}")),
        });
    }
}

impl Follower {
    fn text(&self) -> String {
        std::fs::read_to_string(&self.out).unwrap()
    }

    fn numbers(&self) -> Vec<usize> {
        numbers(self.text().as_bytes())
    }

    fn told(&self) -> String {
        std::fs::read_to_string(&self.err).unwrap()
    }

    /// Lines that it was said to have missed.
    fn skipped(&self) -> usize {
        self.told().lines().filter_map(|line| before(line, " lines skipped")).sum()
    }

    /// Bytes that it was said to have missed.
    fn missing_bytes(&self) -> usize {
        self.told().lines().filter_map(|line| before(line, " bytes of ")).sum()
    }

    fn signal(&self, signal: &str) {
        kill(self.child.id().cast_signed(), signal);
    }

    /// As long as lines come it is waited for the last one.
    fn until(&self, last: usize) {
        let mut seen = None;
        while seen != Some(last) {
            seen = wait_for("the next lines", || match self.numbers().last().copied() {
                now if now != seen => Ok(now),
                now => Err(format!("{now:?} of {last}; {}", self.told())),
            });
        }
    }

    #[track_caller]
    fn assert_each_once(&self, lines: usize) {
        let numbers = self.numbers();
        let wrong = numbers.iter().enumerate().find(|(at, number)| at != *number);
        assert_eq!((wrong, numbers.len()), (None, lines), "{}", self.told());
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// Falls behind by some compressed files, again and again; `die`: the daemon dies meanwhile.
fn falls_behind(die: bool) {
    let fast = Fast::start(Plan::default());
    let follower = fast.follow();
    fast.go();
    for _ in 0..4 {
        let seen = follower.numbers().len();
        wait_for("more lines", || match follower.numbers().len() {
            now if now > seen + 500 => Ok(()),
            now => Err(format!("{now}; {}", follower.told())),
        });
        follower.signal("STOP");
        fast.some_are_packed(4);
        if die {
            fast.home.kill_daemon();
            fast.some_are_packed(2);
        }
        follower.signal("CONT");
    }
    let lines = fast.stop(0);
    follower.until(lines - 1);
    follower.assert_each_once(lines);
}

#[test]
fn who_falls_behind_again_and_again_misses_nothing() {
    falls_behind(false);
}

#[test]
fn who_falls_behind_while_the_daemon_dies_misses_nothing() {
    falls_behind(true);
}

/// Holds a follower until there is more than the daemon keeps for it.
fn held(fast: &Fast, follower: &Follower, lines: usize) {
    follower.signal("STOP");
    fast.go();
    fast.written_and_packed();
    follower.signal("CONT");
    follower.until(lines - 1);
}

#[test]
fn what_the_daemon_did_not_keep_for_a_slow_reader_is_found_in_compressed_files() {
    const LINES: usize = 30_000;
    let settings = ["pm2-logrotate:max_size 2M"];
    let fast = Fast::start(Plan { lines: LINES, settings: &settings, width: Some(WIDE), ..Plan::default() });
    let follower = fast.follow();
    held(&fast, &follower, LINES);
    follower.assert_each_once(LINES);
    assert_eq!(follower.skipped(), 0);
}

#[test]
fn of_what_was_removed_before_a_slow_reader_came_the_lines_are_told_exactly() {
    const LINES: usize = 30_000;
    let settings = ["pm2-logrotate:max_size 2M", "pm2-logrotate:retain 2"];
    let fast = Fast::start(Plan { lines: LINES, settings: &settings, width: Some(WIDE), ..Plan::default() });
    let follower = fast.follow();
    held(&fast, &follower, LINES);
    let numbers = follower.numbers();
    assert!(numbers.is_sorted_by(|a, b| a < b), "each once, in order");
    assert!(numbers.len() < LINES, "some were removed");
    assert_eq!(numbers.len() + follower.skipped(), LINES, "{}", follower.told());
}

#[test]
fn of_what_was_removed_before_the_next_daemon_came_the_bytes_are_told_exactly() {
    const LINES: usize = 20_000;
    let settings = ["pm2-logrotate:retain 2"];
    let fast = Fast::start(Plan { lines: LINES, settings: &settings, ..Plan::default() });
    let follower = fast.follow();
    follower.signal("STOP");
    fast.go();
    fast.written_and_packed();
    fast.home.kill_daemon();
    follower.signal("CONT");
    follower.until(LINES - 1);
    let numbers = follower.numbers();
    assert!(numbers.is_sorted_by(|a, b| a < b), "each once, in order");
    assert!(numbers.len() < LINES, "some were removed");
    let missing = (LINES - numbers.len() - follower.skipped()) * LINE;
    assert_eq!(follower.missing_bytes(), missing, "{}", follower.told());
}

#[test]
fn of_what_a_flush_took_from_a_slow_reader_the_lines_are_told_exactly() {
    const LINES: usize = 20_000;
    let settings = ["pm2-logrotate:max_size 0"];
    let fast = Fast::start(Plan { lines: LINES, settings: &settings, ..Plan::default() });
    let follower = fast.follow();
    follower.signal("STOP");
    fast.go();
    fast.written();
    fast.home.ok(&["flush", "fast"]);
    follower.signal("CONT");
    wait_for("all lines or a word about them", || match follower.numbers().len() + follower.skipped() {
        LINES => Ok(()),
        known => Err(format!("{known}; {}", follower.told())),
    });
    assert!(follower.skipped() > 0, "some were taken");
}

#[test]
fn of_an_app_without_files_what_a_slow_reader_missed_is_told_exactly() {
    let options = ["--output", "/dev/null"];
    let fast = Fast::start(Plan { options: &options, width: Some(WIDE), ..Plan::default() });
    let (slow, quick) = (fast.spawn("slow", "0"), fast.spawn("quick", "0"));
    fast.go();
    // Nothing else tells that the stream stands; what was before is not missing.
    for follower in [&slow, &quick] {
        wait_for("the stream to stand", || follower.numbers().last().copied().ok_or_else(|| follower.told()));
    }
    slow.signal("STOP");
    // 20 MB, of which the daemon keeps four.
    let last = quick.numbers().last().unwrap() + 10_000;
    wait_for("lines for the other one", || match quick.numbers().last() {
        Some(now) if *now >= last => Ok(()),
        now => Err(format!("{now:?} of {last}")),
    });
    slow.signal("CONT");
    let lines = fast.stop(0);
    slow.until(lines - 1);
    let numbers = slow.numbers();
    assert!(slow.skipped() > 0, "there is too much for memory");
    assert_eq!(numbers.len() + slow.skipped(), lines - numbers[0], "{}", slow.told());
}

#[test]
fn instances_that_share_a_file_are_followed_exactly_while_the_daemon_dies() {
    // No more of both than the daemon keeps for a reader: lines of a shared file are not looked for.
    const LINES: usize = 20_000;
    let options = ["-i", "2", "--merge-logs"];
    let fast = Fast::start(Plan { lines: LINES, options: &options, ..Plan::default() });
    let follower = fast.follow_from("begun");
    fast.go();
    for _ in 0..3 {
        let seen = follower.numbers().len();
        wait_for("more lines", || match follower.numbers().len() {
            now if now > seen + 500 || now == 2 * LINES => Ok(()),
            now => Err(format!("{now}; {}", follower.told())),
        });
        fast.home.kill_daemon();
    }
    for instance in 0..2 {
        let own = || {
            let text = follower.text();
            let own = text.lines().filter(|line| line.contains(&format!(" w{instance} ")));
            numbers(own.collect::<Vec<_>>().join("\n").as_bytes())
        };
        wait_for("the last line", || match own().last() {
            Some(last) if last + 1 == LINES => Ok(()),
            last => Err(format!("{last:?} of {LINES}; {}", follower.told())),
        });
        let wrong = own().into_iter().enumerate().find(|(at, number)| at != number);
        assert_eq!((wrong, own().len()), (None, LINES), "of instance {instance}: {}", follower.told());
    }
}

#[test]
fn a_monitor_that_falls_behind_says_how_many_lines_it_skipped() {
    const LINES: usize = 10_000;
    let options = ["--output", "/dev/null"];
    let fast = Fast::start(Plan { lines: LINES, options: &options, width: Some(WIDE), ..Plan::default() });
    let size = PtySize { rows: 40, cols: 140, pixel_width: 0, pixel_height: 0 };
    let terminal = native_pty_system().openpty(size).unwrap();
    let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_pmon"));
    command.arg("monit");
    command.env("PMON_HOME", fast.home.path());
    command.env("TERM", "xterm-256color");
    let mut monitor = terminal.slave.spawn_command(command).unwrap();
    let mut reader = terminal.master.try_clone_reader().unwrap();
    let cells = |count| std::num::NonZero::new(count).unwrap();
    let screen = Arc::new(Mutex::new(vt100::Parser::new(cells(40), cells(140), 0)));
    let theirs = Arc::clone(&screen);
    // While the screen is locked its terminal takes nothing.
    std::thread::spawn(move || {
        let mut chunk = [0; 8192];
        while let Ok(count @ 1..) = reader.read(&mut chunk) {
            theirs.lock().unwrap().process(&chunk[..count]);
        }
    });
    let text = || screen.lock().unwrap().screen().contents();
    wait_for("the app's first line", || if text().contains("begun") { Ok(()) } else { Err(text()) });
    let held = screen.lock().unwrap();
    fast.go();
    fast.written();
    drop(held);
    let skipped = wait_for("a word about skipped lines, and the last line", || {
        let text = text();
        let skipped =
            before(&text, " lines skipped").filter(|_| text.contains(&format!("{:010} w0", LINES - 1)));
        skipped.ok_or(text)
    });
    assert!(skipped > 0 && skipped < LINES, "{skipped}");
    monitor.kill().unwrap();
    monitor.wait().unwrap();
}

/// The number before these words.
fn before(text: &str, words: &str) -> Option<usize> {
    text.split(words)
        .next()
        .filter(|before| before.len() < text.len())?
        .split_whitespace()
        .last()?
        .parse()
        .ok()
}

fn numbers(text: &[u8]) -> Vec<usize> {
    let text = String::from_utf8_lossy(text);
    text.lines().filter(|line| line.ends_with(" .")).filter_map(|line| line.get(..10)?.parse().ok()).collect()
}

#[test]
fn who_is_held_while_all_is_rotated_and_compressed_and_the_daemon_dies_misses_nothing() {
    const LINES: usize = 20_000;
    let fast = Fast::start(Plan { lines: LINES, ..Plan::default() });
    let follower = fast.follow();
    follower.signal("STOP");
    fast.go();
    fast.written_and_packed();
    fast.home.kill_daemon();
    follower.signal("CONT");
    follower.until(LINES - 1);
    follower.assert_each_once(LINES);
}

#[test]
fn who_is_held_while_all_is_rotated_and_compressed_misses_nothing() {
    const LINES: usize = 20_000;
    let fast = Fast::start(Plan { lines: LINES, ..Plan::default() });
    let follower = fast.follow();
    follower.signal("STOP");
    fast.go();
    fast.written_and_packed();
    follower.signal("CONT");
    follower.until(LINES - 1);
    follower.assert_each_once(LINES);
}
