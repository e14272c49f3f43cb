//! What is on its way through the daemon when it dies, alone or with the keeper: connections, and commands.

use crate::support::{TestHome, copy_program, free_port, kill, need, wait_for};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// A request that is sent, and not answered yet.
struct Asked(TcpStream);

impl Asked {
    fn on(port: u16) -> Asked {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        Asked(stream)
    }

    fn answer(mut self) -> Result<(), String> {
        let mut text = String::new();
        self.0.read_to_string(&mut text).map_err(|e| e.to_string())?;
        if text.starts_with("HTTP/1.1 200") { Ok(()) } else { Err(text) }
    }
}

/// What became of them.
fn failed(asked: Vec<Asked>) -> Vec<String> {
    asked.into_iter().filter_map(|one| one.answer().err()).collect()
}

fn start(home: &TestHome, port: u16, code: &str, args: &[&str]) {
    need("node", "apt-get install nodejs");
    let script = home.file("web.js", code).display().to_string();
    let all: Vec<&str> = ["start", &script, "--name", "web"].iter().chain(args).copied().collect();
    home.command(&all).env("PORT", port.to_string()).output().unwrap();
    crate::support::wait_http(port);
}

/// Kills both at one instant, and waits until they are gone.
fn kill_both(home: &TestHome) {
    let text = std::fs::read_to_string(home.path().join("keeper.lock")).unwrap();
    let both = [text.trim().parse::<i32>().unwrap(), home.daemon_pid()];
    // Stopped, the daemon cannot replace a keeper that died a moment earlier.
    kill(both[1], "STOP");
    let [keeper, daemon] = both.map(|pid| pid.to_string());
    std::process::Command::new("kill").args(["-9", &keeper, &daemon]).status().unwrap();
    wait_for("the end of both", || {
        let left = [both[0], both[1]].into_iter().filter(|pid| crate::support::is_alive(*pid)).count();
        if left == 0 { Ok(()) } else { Err(format!("{both:?}")) }
    });
}

#[test]
fn connections_that_every_instance_has_refused_survive_the_daemon() {
    let home = TestHome::new();
    let port = free_port();
    let code = "const s = require('http').createServer((q, s) => setTimeout(() => s.end('ok'), 700));
                s.maxConnections = 1; s.listen(process.env.PORT);";
    start(&home, port, code, &["-i", "4"]);
    let pids = home.pids();
    let asked: Vec<Asked> = (0..12).map(|_| Asked::on(port)).collect();
    wait_for("some to wait in the daemon", || {
        let held = home.ok(&["jlist"]).out;
        if held.is_empty() { Err(held) } else { Ok(()) }
    });
    for _ in 0..3 {
        home.kill_daemon();
    }
    assert_eq!(failed(asked), Vec::<String>::new());
    assert_eq!((home.pids(), home.restarts()), (pids, vec![0; 4]));
}

const PLAIN: &str = "require('http').createServer((q, s) => s.end('ok')).listen(process.env.PORT)";

#[test]
fn nobody_is_refused_while_neither_keeper_nor_daemon_lives_and_the_next_answers_all() {
    let home = TestHome::new();
    let port = free_port();
    start(&home, port, PLAIN, &["-i", "2"]);
    let pids = home.pids();
    for _ in 0..3 {
        kill_both(&home);
        let waiting = (0..20).map(|_| Asked::on(port)).collect();
        // The next command finds them, and the socket. All are answered before the next death: that would be the
        // window of round robin, which other tests count.
        assert_eq!(home.pids(), pids);
        assert_eq!(failed(waiting), Vec::<String>::new());
    }
    // It is the same socket still: a reload, with one in the backlog, and a stop that frees the port.
    home.ok(&["reload", "web"]);
    kill_both(&home);
    let one = Asked::on(port);
    home.ok(&["restart", "web"]);
    assert_eq!(one.answer(), Ok(()));
    home.ok(&["stop", "web"]);
    drop(std::net::TcpListener::bind(("0.0.0.0", port)).unwrap());
}

#[test]
fn without_the_preload_the_socket_is_bound_again() {
    let home = TestHome::new();
    let port = free_port();
    start(&home, port, PLAIN, &["-i", "2", "--no-preload"]);
    let pids = home.pids();
    kill_both(&home);
    // A thread of theirs may take a moment longer to go.
    wait_for("nobody who listens", || match TcpStream::connect(("127.0.0.1", port)) {
        Err(_refused) => Ok(()),
        Ok(_) => Err("somebody".to_owned()),
    });
    assert_eq!(home.pids(), pids);
    crate::support::wait_http(port);
}

/// Runs a command and kills the daemon once it has begun; its answer must be whole.
fn cut(home: &TestHome, args: &[&str], begun: impl Fn() -> bool) -> String {
    let child = home
        .command(args)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    wait_for("the command to begin", || if begun() { Ok(()) } else { Err(String::new()) });
    kill(home.daemon_pid(), "KILL");
    let done = child.wait_with_output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{args:?}: {said}");
    said
}

#[test]
fn a_command_over_which_the_daemon_dies_is_finished_by_the_next_which_answers() {
    let home = TestHome::new();
    home.file("rest.sh", "trap 'sleep 0.3; exit 0' INT; while :; do sleep 0.05; done\n");
    let states = home.path().join("state");
    let written = || std::fs::read_dir(&states).map_or(0, |files| files.count());
    cut(&home, &["start", "rest.sh", "-i", "20", "-x"], || written() > 5);
    assert_eq!(home.statuses(), ["online"; 20]);
    let any = |status: &str| home.statuses().iter().any(|one| one == status);
    cut(&home, &["restart", "rest"], || any("stopping"));
    assert_eq!((home.statuses(), home.restarts()), (vec!["online".to_owned(); 20], vec![1; 20]));
    cut(&home, &["scale", "rest", "+3"], || written() > 20);
    assert_eq!(home.statuses(), ["online"; 23]);
    cut(&home, &["scale", "rest", "4"], || any("stopping"));
    assert_eq!(home.statuses(), ["online"; 4]);
    cut(&home, &["stop", "rest"], || any("stopping"));
    assert_eq!(home.statuses(), ["stopped"; 4]);
    cut(&home, &["delete", "rest"], || true);
    assert_eq!(home.statuses(), Vec::<String>::new());
}

#[test]
fn a_stop_signal_that_the_daemon_did_not_live_to_send_is_sent_by_the_next_and_once() {
    let home = TestHome::new();
    std::fs::create_dir(home.faults()).unwrap();
    home.file(
        "polite.sh",
        "trap 'echo bye >> bye' INT\necho > up\nwhile [ ! -s bye ]; do sleep 0.05; done\nsleep 0.3\n",
    );
    let [up, bye] = ["up", "bye"].map(|name| home.work().join(name));
    for point in ["turn.kept", "turn.deed", "act.signalled"] {
        // Longer than anybody waits here: killing it is no way out.
        home.ok(&["start", "polite.sh", "--kill-timeout", "600000"]);
        wait_for("the worker to be up", || std::fs::metadata(&up).map_err(|e| e.to_string()));
        std::fs::write(home.faults().join(point), "kill 1").unwrap();
        home.ok(&["stop", "polite"]);
        assert!(!home.faults().join(point).exists(), "nobody died at {point}");
        assert_eq!(std::fs::read_to_string(&bye).as_deref().ok(), Some("bye\n"), "{point}");
        home.ok(&["delete", "polite"]);
        std::fs::remove_file(&up).unwrap();
        std::fs::remove_file(&bye).unwrap();
    }
}

#[test]
fn a_reload_over_which_the_daemon_dies_goes_on() {
    let home = TestHome::new();
    let port = free_port();
    start(&home, port, PLAIN, &["-i", "6"]);
    let one = || home.restarts().contains(&1);
    let said = cut(&home, &["reload", "web", "--parallel", "1"], one);
    assert_eq!((home.statuses(), home.restarts()), (vec!["online".to_owned(); 6], vec![1; 6]), "{said}");
    assert!(said.contains("6"), "{said}");
}

/// `pmon update` by a copy of the program.
pub fn update(home: &TestHome, name: &str) -> (bool, String) {
    let copy = home.work().join(name);
    copy_program(&copy);
    let done =
        std::process::Command::new(&copy).arg("update").env("PMON_HOME", home.path()).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    (done.status.success(), said)
}

pub fn program_of(pid: i32) -> String {
    std::fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default().display().to_string()
}

#[test]
fn a_new_version_that_hangs_or_dies_at_its_start_makes_room_for_the_old_one() {
    if !cfg!(debug_assertions) {
        return;
    }
    let home = TestHome::new();
    home.file("rest.sh", "exec sleep 1000\n");
    let plan = home.work().join("plan");
    std::fs::create_dir_all(&plan).unwrap();
    home.command(&["start", "rest.sh"]).env("PMON_FAULTS", &plan).output().unwrap();
    let (pids, program) = (home.pids(), program_of(home.daemon_pid()));
    for (deed, round) in ["stop 1", "kill 1 always"].iter().zip(0..) {
        // The first daemon that passes is that of the new program.
        std::fs::write(plan.join("boot.read"), deed).unwrap();
        if round == 1 {
            // Killed from outside it is tried again and again, more often than one that fails would be.
            let (plan, keeper) = (plan.clone(), crate::rebuild::keeper_pid(&home));
            std::thread::spawn(move || {
                let mut seen = std::collections::BTreeSet::new();
                wait_for("a tenth attempt", || {
                    let path = format!("/proc/{keeper}/task/{keeper}/children");
                    let children = std::fs::read_to_string(path).map_err(|e| e.to_string())?;
                    seen.extend(children.split_whitespace().map(str::to_owned));
                    if seen.len() > 10 { Ok(()) } else { Err(format!("{seen:?}")) }
                });
                std::fs::remove_file(plan.join("boot.read")).unwrap();
            });
        }
        let (done, said) = update(&home, &format!("pmon-{round}"));
        assert_eq!(done, round == 1, "{said}");
        assert_eq!((home.pids(), home.restarts()), (pids.clone(), vec![0]));
        if round == 0 {
            assert_eq!(program_of(home.daemon_pid()), program, "{said}");
            assert!(said.contains("goes on as before"), "{said}");
            assert_eq!(said.matches("[PM2][ERROR]").count(), 1, "{said}");
        }
    }
}

#[test]
fn keeper_and_daemon_come_back_though_their_program_is_deleted_or_replaced_by_garbage() {
    let home = TestHome::new();
    home.file("rest.sh", "exec sleep 1000\n");
    home.ok(&["start", "rest.sh"]);
    let (pids, copy) = (home.pids(), home.work().join("pmon-copy"));
    assert!(update(&home, "pmon-copy").0);
    std::fs::remove_file(&copy).unwrap();
    home.kill_daemon();
    assert_eq!(
        (home.pids(), program_of(home.daemon_pid())),
        (pids.clone(), format!("{} (deleted)", copy.display()))
    );
    std::fs::write(&copy, "garbage").unwrap();
    let keeper = || std::fs::read_to_string(home.path().join("keeper.lock")).unwrap_or_default();
    let old = keeper();
    kill(old.trim().parse().unwrap(), "KILL");
    wait_for("another keeper", || {
        if keeper() != old && !keeper().is_empty() { Ok(()) } else { Err(old.clone()) }
    });
    home.kill_daemon();
    assert_eq!((home.pids(), home.restarts()), (pids, vec![0]));
    home.ok(&["restart", "rest"]);
}
