//! Several subscribers of a fast stream, which are told where lines stand and read them from the files: exact over
//! rotation and the death of the daemon. And how `logs` ends.

use crate::support::{TestHome, fixture, kill, need, wait_for};
use std::fs::File;
use std::path::Path;
use std::process::{Child, Stdio};

const LINES: usize = 60_000;

/// `logs --raw` of an app that has said `begun`, into a file; it stands when it has said so.
fn follow(home: &TestHome, name: &str, to: &Path) -> Child {
    let log = home.path().join(format!("logs/{name}-out.log"));
    wait_for("the first line", || match std::fs::read_to_string(&log) {
        Ok(text) if text.contains("begun\n") => Ok(()),
        other => Err(format!("{other:?}")),
    });
    let out = File::create(to).unwrap();
    let args = ["logs", name, "--raw", "--lines", "0"];
    let told = File::create(to.with_extension("told")).unwrap();
    let child = home.command(&args).stdout(out).stderr(told).spawn().unwrap();
    wait_for("a subscriber's heading", || match std::fs::read_to_string(to).unwrap() {
        text if text.contains("last 0 lines:") => Ok(()),
        text => Err(text),
    });
    child
}

fn numbers(path: &Path) -> Vec<usize> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().filter(|line| line.ends_with(" .")).filter_map(|line| line.get(..10)?.parse().ok()).collect()
}

#[test]
fn subscribers_of_a_fast_stream_miss_nothing_though_it_is_rotated_and_the_daemon_killed() {
    a_fast_stream("false");
}

#[test]
fn subscribers_of_a_fast_stream_miss_nothing_though_it_is_compressed_and_the_daemon_killed() {
    a_fast_stream("true");
}

fn a_fast_stream(compress: &str) {
    let home = TestHome::new();
    need("python3", "apt-get install python3");
    std::fs::create_dir_all(home.faults()).unwrap();
    std::fs::write(home.faults().join("settled"), "0").unwrap();
    home.ok(&["set", "pm2-logrotate:max_size", "500K"]);
    home.ok(&["set", "pm2-logrotate:retain", "all"]);
    home.ok(&["set", "pm2-logrotate:compress", compress]);
    let go = home.work().join("go");
    let script = fixture("lines.py").display().to_string();
    let report = home.work().join("report").display().to_string();
    home.file("fast.sh", &format!("echo begun\nexec python3 {script} {LINES} {report}\n"));
    let start = home.command(&["start", "fast.sh"]).env("LINES_GO", &go).stdout(Stdio::null()).status();
    assert!(start.unwrap().success());
    let files: Vec<_> = (0..3).map(|n| home.work().join(format!("seen-{n}"))).collect();
    let mut followers: Vec<Child> = files.iter().map(|file| follow(&home, "fast", file)).collect();
    std::fs::write(&go, "").unwrap();
    wait_for("a thousand lines", || match numbers(&files[0]).len() {
        1000.. => Ok(()),
        seen => Err(format!("{seen}")),
    });
    home.kill_daemon();
    for file in &files {
        wait_for("the last line", || match numbers(file).last() {
            Some(last) if last + 1 == LINES => Ok(()),
            last => Err(format!("{last:?}")),
        });
        let wrong = numbers(file).into_iter().enumerate().find(|(at, number)| at != number);
        let told = std::fs::read_to_string(file.with_extension("told")).unwrap();
        assert_eq!(wrong, None, "{}: {told}", file.display());
    }
    for follower in &mut followers {
        follower.kill().unwrap();
        follower.wait().unwrap();
    }
}

#[test]
fn an_interrupt_ends_the_reader_at_once_and_nothing_else() {
    let home = TestHome::new();
    home.file("once.sh", "echo begun\nsleep 1000\n");
    home.ok(&["start", "once.sh"]);
    let to = home.work().join("seen");
    let mut following = follow(&home, "once", &to);
    kill(following.id().cast_signed(), "INT");
    let status = wait_for("the end of `logs`", || following.try_wait().unwrap().ok_or_else(|| "runs".into()));
    assert!(!status.success(), "a shell's loop ends with it: {status}");
    assert_eq!(home.statuses(), ["online"]);
}
