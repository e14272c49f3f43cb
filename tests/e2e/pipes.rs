//! A user who has no pages left for pipes (`pipe-user-pages-soft`): new pipes hold 8 KB, and none can be enlarged. Every line all the
//! same, over kill -9 of the daemon and of both.

use super::exhaust::Nobody;
use super::lines::{verify, wait_for_line};
use crate::support::{fixture, is_alive, kill, need, wait_for};
use std::process::{Child, Stdio};

const PATH: &str = "/usr/local/bin:/usr/bin:/bin";
const DAEMON_KILLS: usize = 8;
const BOTH_KILLS: usize = 3;

/// Has all the pages, until it is dropped.
struct Hog(Child, std::path::PathBuf);

impl Hog {
    fn of(user: &Nobody) -> Hog {
        let report = user.work().join("hog.report");
        let mut command = user.become_him("python3");
        command.env("PATH", PATH).arg(user.work().join("pipes.py")).arg(&report).stdin(Stdio::null());
        let hog = Hog(command.spawn().unwrap(), report);
        hog.await_more(0);
        hog
    }

    fn held(&self) -> u64 {
        let text = std::fs::read_to_string(&self.1).unwrap_or_default();
        text.trim().parse().unwrap_or(0)
    }

    fn await_more(&self, than: u64) {
        wait_for("pages that somebody gave back to be taken", || {
            let held = self.held();
            if held > than { Ok(()) } else { Err(format!("{held} bytes")) }
        });
    }
}

impl Drop for Hog {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _gone = self.0.wait();
    }
}

fn start(user: &Nobody, name: &str, options: &[&str]) {
    let report = user.work().join(format!("{name}.report")).display().to_string();
    let mut args = vec!["start", "lines.py", "--name", name, "--interpreter", "python3"];
    args.extend(options);
    args.extend(["--", "0", &report]);
    let mut command = user.command(&args);
    command.env("PATH", PATH).env("LINES_NAME", name).env("LINES_WIDTH", "12");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn log(user: &Nobody, name: &str) -> std::path::PathBuf {
    user.path().join(format!("logs/{name}-out.log"))
}

fn await_lines(user: &Nobody, names: &[&str]) {
    for name in names {
        let length = || std::fs::metadata(log(user, name)).map_or(0, |facts| facts.len());
        let before = length();
        wait_for(&format!("lines of {name}"), || if length() > before { Ok(()) } else { Err(String::new()) });
    }
}

/// Returns how many lines it wrote.
fn stop(user: &Nobody, name: &str) -> u64 {
    let report = user.work().join(format!("{name}.report"));
    std::fs::write(user.work().join(format!("{name}.report.stop")), "").unwrap();
    wait_for("the writer's report", || {
        let text = std::fs::read_to_string(&report).map_err(|e| e.to_string())?;
        text.trim().parse().map_err(|_not_yet| text)
    })
}

#[test]
fn a_user_whose_pipes_are_used_up_misses_no_line_over_deaths_of_the_daemon_and_of_both() {
    need("python3", "apt-get install python3");
    // A user of his own: the limit counts all pipes of a user.
    let Some(user) = Nobody::new(1_800_000 + std::process::id() % 90_000) else { return };
    for name in ["lines.py", "pipes.py"] {
        user.file(name, &std::fs::read_to_string(fixture(name)).unwrap());
    }
    user.ask(&["set", "pm2-logrotate:retain", "all"]).expect(0);
    user.ask(&["set", "pm2-logrotate:max_size", "4G"]).expect(0);
    start(&user, "large", &[]);
    start(&user, "merged", &["--merge-logs"]);
    let hog = Hog::of(&user);
    start(&user, "small", &[]);
    let names = ["large", "merged", "small"];
    user.await_online(3);
    let before = user.facts();
    for _ in 0..DAEMON_KILLS {
        await_lines(&user, &names);
        user.kill("pmon.pid");
    }
    user.kill("keeper.lock");
    user.ask(&["update"]).expect(0);
    user.kill("pmon.pid");
    let said = user.ask(&["list"]).all();
    assert!(!said.contains("pipe-user-pages-soft"), "the first daemon's is still there: {said}");
    for death in 0..BOTH_KILLS {
        await_lines(&user, &names);
        let both = [user.number("keeper.lock"), user.number("pmon.pid")];
        let held = hog.held();
        // So that neither starts another one.
        for signal in ["STOP", "KILL"] {
            both.into_iter().for_each(|pid| kill(pid, signal));
        }
        wait_for("their end", || if both.into_iter().any(is_alive) { Err(String::new()) } else { Ok(()) });
        if death == 0 {
            // What the pump had to look through. The next one has 8 KB.
            hog.await_more(held);
        }
        let said = user.ask(&["list"]).all();
        assert!(said.contains("pipe-user-pages-soft"), "{said}");
        await_lines(&user, &names);
        user.kill("pmon.pid");
    }
    await_lines(&user, &names);
    assert_eq!(user.facts(), before, "nobody was started again");
    let said = user.ask(&["list"]).all();
    assert!(!said.contains("log of"), "{said}");
    for name in names {
        let count = stop(&user, name);
        println!("{name}: {count} lines");
        wait_for_line(&log(&user, name), name, count);
        assert_eq!(verify(&log(&user, name), name, count), 0);
    }
    drop(hog);
}
