//! `pmon logs` behind a fast log: whatever was rotated, compressed, removed, emptied or killed meanwhile, each line comes
//! once, or it is told exactly what is missing.

use crate::support::aside::rotated;
use crate::support::{TestHome, fixture, kill, need, wait_for};
use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Stdio};

/// An app that writes numbered lines when it may; its log is rotated at 100 KB and compressed at once.
struct Fast {
    home: TestHome,
    log: PathBuf,
}

/// `pmon logs --raw` into files, what it says on stderr apart.
struct Follower {
    child: Child,
    out: PathBuf,
    err: PathBuf,
}

impl Fast {
    fn start(lines: usize, settings: &[&str]) -> Fast {
        need("python3", "apt-get install python3");
        let home = TestHome::new();
        std::fs::create_dir_all(home.faults()).unwrap();
        std::fs::write(home.faults().join("settled"), "0").unwrap();
        for setting in [&["pm2-logrotate:max_size 100K", "pm2-logrotate:retain all"], settings].concat() {
            let (word, value) = setting.split_once(' ').unwrap();
            home.ok(&["set", word, value]);
        }
        let script = fixture("lines.py").display().to_string();
        let report = home.work().join("report").display().to_string();
        home.file("fast.sh", &format!("echo begun\nexec python3 {script} {lines} {report}\n"));
        let start = home.command(&["start", "fast.sh"]).env("LINES_GO", home.work().join("go")).output();
        assert!(start.unwrap().status.success());
        let log = home.path().join("logs/fast-out.log");
        wait_for("the first line", || match std::fs::read_to_string(&log) {
            Ok(text) if text.contains("begun\n") => Ok(()),
            other => Err(format!("{other:?}")),
        });
        Fast { home, log }
    }

    fn follow(&self) -> Follower {
        let (out, err) = (self.home.work().join("seen"), self.home.work().join("told"));
        let mut command = self.home.command(&["logs", "fast", "--raw", "--lines", "0"]);
        let child = command.stdout(File::create(&out).unwrap()).stderr(File::create(&err).unwrap());
        let child = child.stdin(Stdio::null()).spawn().unwrap();
        let follower = Follower { child, out, err };
        wait_for("a subscriber's heading", || match follower.text() {
            text if text.contains("last 0 lines:") => Ok(()),
            text => Err(text),
        });
        follower
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
        wait_for("the app's report", || match self.home.work().join("report").exists() {
            true => Ok(()),
            false => Err("it still writes".into()),
        });
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

    fn signal(&self, signal: &str) {
        kill(self.child.id().cast_signed(), signal);
    }

    fn until(&self, last: usize) {
        wait_for("the last line", || match self.numbers().last() {
            Some(number) if *number == last => Ok(()),
            number => Err(format!("{number:?}; {}", self.told())),
        });
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
    let fast = Fast::start(0, &[]);
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
    let report = fast.home.work().join("report");
    std::fs::write(report.with_extension("stop"), "").unwrap();
    let lines = wait_for("the app's report", || std::fs::read_to_string(&report).map_err(|e| e.to_string()));
    let lines: usize = lines.trim().parse().unwrap();
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

fn numbers(text: &[u8]) -> Vec<usize> {
    let text = String::from_utf8_lossy(text);
    text.lines().filter(|line| line.ends_with(" .")).filter_map(|line| line.get(..10)?.parse().ok()).collect()
}

#[test]
fn who_is_held_while_all_is_rotated_and_compressed_and_the_daemon_dies_misses_nothing() {
    const LINES: usize = 20_000;
    let fast = Fast::start(LINES, &[]);
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
    let fast = Fast::start(LINES, &[]);
    let follower = fast.follow();
    follower.signal("STOP");
    fast.go();
    fast.written_and_packed();
    follower.signal("CONT");
    follower.until(LINES - 1);
    follower.assert_each_once(LINES);
}
