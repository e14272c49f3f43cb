//! kill -9 of the keeper, of both, of one while it replaces the other; and both becoming another version. Nobody notices.

use crate::support::{
    TestHome, copy_program, fixture, free_port, get, is_alive, kill, need, wait_for, wait_http,
};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;

/// Pid of the keeper: it signs its lock.
pub fn keeper_pid(home: &TestHome) -> i32 {
    let text = std::fs::read_to_string(home.path().join("keeper.lock")).unwrap_or_default();
    text.trim().parse().unwrap_or(0)
}

/// Waits until another keeper than `old` lives and holds everything.
pub fn next_keeper(home: &TestHome, old: i32) {
    wait_for("another keeper", || {
        let now = keeper_pid(home);
        let holds = home.log().contains(&format!("holds everything pid={now}"));
        if now != old && is_alive(now) && holds { Ok(()) } else { Err(format!("{now} after {old}")) }
    });
}

/// Kills both and waits until they are gone. The daemon is stopped first, so that it cannot replace the keeper.
pub fn kill_both(home: &TestHome) {
    let both = [keeper_pid(home), home.daemon_pid()];
    kill(both[1], "STOP");
    let [keeper, daemon] = both.map(|pid| pid.to_string());
    std::process::Command::new("kill").args(["-9", &keeper, &daemon]).status().unwrap();
    wait_for("the end of both", || {
        if both.iter().any(|pid| is_alive(*pid)) { Err(format!("{both:?}")) } else { Ok(()) }
    });
}

/// Requests on fresh connections for as long as it lives.
pub struct Load {
    stop: Arc<AtomicBool>,
    asked: Arc<AtomicU32>,
    thread: JoinHandle<Vec<String>>,
}

impl Load {
    /// Begins.
    pub fn on(port: u16) -> Load {
        let (stop, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
        let thread = std::thread::spawn({
            let (stop, asked) = (stop.clone(), asked.clone());
            move || {
                let mut failed = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    match get(port) {
                        Ok((200, _)) => {}
                        Ok((code, _)) => failed.push(format!("status {code}")),
                        Err(why) => failed.push(why),
                    }
                    asked.fetch_add(1, Ordering::Relaxed);
                }
                failed
            }
        });
        Load { stop, asked, thread }
    }

    /// Waits for some more requests.
    pub fn goes_on(&self) {
        let so_far = self.asked.load(Ordering::Relaxed);
        wait_for("more requests", || {
            let now = self.asked.load(Ordering::Relaxed);
            if now > so_far + 20 { Ok(()) } else { Err(now.to_string()) }
        });
    }

    /// Requests so far.
    pub fn count(&self) -> u32 {
        self.asked.load(Ordering::Relaxed)
    }

    /// Ends it; what failed.
    pub fn end(self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

const LINES: u32 = 60_000;

/// A worker that writes numbered lines, then waits.
pub fn start_writer(home: &TestHome, name: &str) {
    let script =
        format!("i=0; while [ $i -lt {LINES} ]; do i=$((i+1)); echo line $i; done; echo end; sleep 1000\n");
    let script = home.file(&format!("{name}.sh"), &script);
    home.ok(&["start", &script.display().to_string()]);
}

/// Every line exactly once and in order.
#[track_caller]
pub fn check_lines(home: &TestHome, name: &str) {
    let path = home.path().join(format!("logs/{name}-out.log"));
    let text = wait_for("the last line", || {
        let text = std::fs::read_to_string(&path).map_err(|e| e.to_string())?;
        if text.ends_with("end\n") { Ok(text) } else { Err(format!("{} bytes", text.len())) }
    });
    let want: String = (1..=LINES).map(|i| format!("line {i}\n")).chain(["end\n".to_owned()]).collect();
    assert!(text == want, "{name}: the file differs: {} bytes instead of {}", text.len(), want.len());
}

pub fn start_web(home: &TestHome, port: u16, args: &[&str]) {
    need("node", "apt-get install nodejs");
    let script = fixture("server.js").display().to_string();
    let all: Vec<&str> = ["start", &script, "--name", "web"].iter().chain(args).copied().collect();
    home.command(&all).env("PORT", port.to_string()).output().unwrap();
    wait_http(port);
}

/// Processes of the home that are workers, by their environment: no doubles.
pub fn leaders(home: &TestHome) -> usize {
    let leads = |pid: &&i32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let session = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(3)?.parse().ok());
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        session == Some(**pid) && environment.split(|b| *b == 0).any(|var| var.starts_with(b"PMON_GEN="))
    };
    home.processes().iter().filter(leads).count()
}

#[test]
fn ten_keepers_die_and_no_request_line_or_worker_is_lost() {
    let home = TestHome::new();
    let port = free_port();
    start_web(&home, port, &["-i", "2"]);
    start_writer(&home, "count");
    let (pids, daemon) = (home.pids(), home.daemon_pid());
    let load = Load::on(port);
    for _ in 0..10 {
        let old = keeper_pid(&home);
        kill(old, "KILL");
        next_keeper(&home, old);
        load.goes_on();
    }
    assert_eq!((home.pids(), home.daemon_pid()), (pids, daemon));
    assert_eq!(home.restarts(), [0, 0, 0]);
    check_lines(&home, "count");
    assert_eq!(load.end(), Vec::<String>::new());
    // It is still led, by a keeper that can start and stop.
    home.ok(&["reload", "web"]);
    home.ok(&["restart", "all"]);
    assert_eq!(home.statuses(), ["online"; 3]);
    wait_http(port);
    assert_eq!(leaders(&home), 3);
}

#[test]
fn the_next_daemon_is_a_child_of_the_new_keeper_and_both_may_die_in_turn() {
    let home = TestHome::new();
    start_writer(&home, "count");
    let pids = home.pids();
    for _ in 0..5 {
        let (keeper, daemon) = (keeper_pid(&home), home.daemon_pid());
        kill(keeper, "KILL");
        next_keeper(&home, keeper);
        kill(daemon, "KILL");
        wait_for("another daemon", || {
            let now = home.daemon_pid();
            if now != daemon { Ok(()) } else { Err(now.to_string()) }
        });
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", home.daemon_pid())).unwrap();
        let parent = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1));
        assert_eq!(parent.map(str::to_owned), Some(keeper_pid(&home).to_string()));
    }
    assert_eq!((home.pids(), home.restarts()), (pids, vec![0]));
    check_lines(&home, "count");
}

#[test]
fn a_daemon_that_dies_while_it_replaces_its_keeper_is_replaced_too() {
    let home = TestHome::new();
    start_writer(&home, "count");
    let pids = home.pids();
    for _ in 0..15 {
        kill(keeper_pid(&home), "KILL");
        // Before, while or after it has told the new keeper: whoever is called next puts it right.
        kill(home.daemon_pid(), "KILL");
        assert_eq!(home.pids(), pids);
        wait_for("a keeper", || if is_alive(keeper_pid(&home)) { Ok(()) } else { Err("dead".into()) });
    }
    assert_eq!((home.restarts(), leaders(&home)), (vec![0], 1));
    check_lines(&home, "count");
}

#[test]
fn a_worker_and_the_keeper_that_die_together_are_restarted_once() {
    let home = TestHome::new();
    home.file("rest.sh", "echo began; exec sleep 1000\n");
    home.ok(&["start", "rest.sh"]);
    for round in 1..=15 {
        let (worker, keeper) = (home.pids()[0].to_string(), keeper_pid(&home));
        // In both orders: with the exit told and not told, the restart asked for and not carried out.
        let keeper_text = keeper.to_string();
        let pids = if round % 2 == 0 { [&worker, &keeper_text] } else { [&keeper_text, &worker] };
        std::process::Command::new("kill").arg("-9").args(pids).status().unwrap();
        next_keeper(&home, keeper);
        wait_for("the restart", || {
            let (restarts, pids) = (home.restarts(), home.pids());
            let up = pids[0] != 0 && pids[0].to_string() != worker && home.statuses() == ["online"];
            if restarts == [round] && up { Ok(()) } else { Err(format!("{restarts:?} {pids:?}")) }
        });
        assert_eq!(leaders(&home), 1);
    }
    let lines = wait_for("its lines", || {
        let text =
            std::fs::read_to_string(home.path().join("logs/rest-out.log")).map_err(|e| e.to_string())?;
        if text.lines().count() == 16 { Ok(text) } else { Err(text) }
    });
    assert_eq!(lines, "began\n".repeat(16));
}

#[test]
fn the_exit_code_of_an_adopted_worker_counts() {
    let home = TestHome::new();
    home.file("leave.sh", "trap 'exit 5' TERM; while :; do sleep 0.05; done\n");
    home.ok(&["start", "leave.sh", "--stop-exit-codes", "5"]);
    let keeper = keeper_pid(&home);
    kill(keeper, "KILL");
    next_keeper(&home, keeper);
    kill(i32::try_from(home.pids()[0]).unwrap(), "TERM");
    wait_for("its end", || {
        let statuses = home.statuses();
        if statuses == ["stopped"] { Ok(()) } else { Err(format!("{statuses:?}")) }
    });
    assert!(home.ok(&["describe", "leave"]).out.contains("exit code 5"));
}

#[test]
fn both_die_at_once_and_the_next_command_finds_the_fleet() {
    need("node", "apt-get install nodejs");
    let home = TestHome::new();
    let (port, cluster_port) = (free_port(), free_port());
    let script =
        home.file("fd.js", "require('http').createServer((q, s) => s.end('ok')).listen({ fd: 3 })\n");
    let address = format!("127.0.0.1:{port}");
    home.ok(&["start", &script.display().to_string(), "-x", "-i", "2", "--name", "fd", "--listen", &address]);
    start_web(&home, cluster_port, &["-i", "2"]);
    start_writer(&home, "count");
    wait_http(port);
    home.ok(&["restart", "count"]);
    let facts = |home: &TestHome| {
        let fact = |w: &serde_json::Value| {
            let env = &w["pm2_env"];
            (w["pid"].clone(), env["restart_time"].clone(), env["status"].clone(), env["pm_uptime"].clone())
        };
        home.jlist().iter().map(fact).collect::<Vec<_>>()
    };
    let before = facts(&home);
    let load = Load::on(port);
    for _ in 0..5 {
        kill_both(&home);
        // Workers that accept by themselves go on without either.
        load.goes_on();
        assert_eq!(facts(&home), before);
        // The socket that the daemon accepts on is bound again.
        wait_http(cluster_port);
    }
    assert_eq!(load.end(), Vec::<String>::new());
    assert_eq!(leaders(&home), 5);
    home.ok(&["stop", "count"]);
    home.ok(&["reload", "web"]);
    wait_http(cluster_port);
    home.ok(&["restart", "fd"]);
    wait_http(port);
}

#[test]
fn no_line_is_lost_when_both_die() {
    let home = TestHome::new();
    start_writer(&home, "count");
    let pids = home.pids();
    for _ in 0..5 {
        kill_both(&home);
        assert_eq!(home.pids(), pids);
    }
    check_lines(&home, "count");
}

#[test]
fn a_worker_that_cannot_be_heard_any_more_is_ended_and_started_again() {
    let home = TestHome::new();
    home.file(
        "deaf.sh",
        "for n in 1000 1001 1002 1003 1004; do eval \"exec $n<&-\"; done; while :; do sleep 0.1; done\n",
    );
    home.ok(&["start", "deaf.sh"]);
    let old = home.pids()[0];
    wait_for("it to close what it does not know", || {
        if Path::new(&format!("/proc/{old}/fd/1004")).exists() { Err("open".into()) } else { Ok(()) }
    });
    kill_both(&home);
    wait_for("the restart", || {
        let (pids, statuses) = (home.pids(), home.statuses());
        if pids[0] != old && pids[0] != 0 && statuses == ["online"] {
            Ok(())
        } else {
            Err(format!("{pids:?}"))
        }
    });
    assert!(!is_alive(i32::try_from(old).unwrap()));
    assert_eq!((home.restarts(), leaders(&home)), (vec![1], 1));
    assert!(home.log().contains("cannot be adopted and is stopped"), "{}", home.log());
}

#[test]
fn what_died_with_both_is_restarted_and_what_was_stopped_stays_so() {
    let home = TestHome::new();
    home.file("rest.sh", "exec sleep 1000\n");
    home.ok(&["start", "rest.sh", "--name", "up"]);
    home.ok(&["start", "rest.sh", "--name", "down", "-f"]);
    home.ok(&["stop", "down"]);
    let worker = i32::try_from(home.pids()[0]).unwrap();
    kill_both(&home);
    kill(worker, "KILL");
    wait_for("its end", || if is_alive(worker) { Err("alive".into()) } else { Ok(()) });
    wait_for("the fleet", || {
        let statuses = home.statuses();
        if statuses == ["online", "stopped"] { Ok(()) } else { Err(format!("{statuses:?}")) }
    });
    assert_eq!(leaders(&home), 1);
    home.ok(&["delete", "all"]);
    let left = std::fs::read_dir(home.path().join("state")).unwrap().count();
    assert_eq!(left, 0, "nothing is left of what was deleted");
}

#[test]
fn a_frozen_daemon_is_replaced() {
    let home = TestHome::new();
    home.file("rest.sh", "exec sleep 1000\n");
    home.ok(&["start", "rest.sh"]);
    let (daemon, pids) = (home.daemon_pid(), home.pids());
    kill(daemon, "STOP");
    wait_for("another daemon", || {
        let now = home.daemon_pid();
        if now != daemon { Ok(()) } else { Err(now.to_string()) }
    });
    assert!(!is_alive(daemon));
    assert_eq!((home.pids(), home.restarts()), (pids, vec![0]));
}

#[test]
fn a_shutdown_that_the_daemon_did_not_live_to_finish_is_finished() {
    let home = TestHome::new();
    home.file("stubborn.sh", "trap '' INT; while :; do sleep 0.1; done\n");
    home.ok(&["start", "stubborn.sh", "--kill-timeout", "2000"]);
    let mut killing = home.command(&["kill"]).spawn().unwrap();
    wait_for("stopping", || {
        let statuses = home.statuses();
        if statuses == ["stopping"] { Ok(()) } else { Err(format!("{statuses:?}")) }
    });
    kill(home.daemon_pid(), "KILL");
    let _cut = killing.wait();
    wait_for("the end of everything", || {
        let left = home.processes();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    });
}

fn program_of(pid: i32) -> String {
    std::fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default().display().to_string()
}

#[test]
fn keeper_and_daemon_become_another_program_under_load_and_workers_do_not_notice() {
    let home = TestHome::new();
    let port = free_port();
    start_web(&home, port, &["-i", "2"]);
    start_writer(&home, "count");
    let (pids, keeper) = (home.pids(), keeper_pid(&home));
    let load = Load::on(port);
    for round in 0..3 {
        let copy = home.work().join(format!("pmon-{round}"));
        copy_program(&copy);
        let daemon = home.daemon_pid();
        let done = std::process::Command::new(&copy)
            .arg(["update", "upgrade", "updatePM2"][round])
            .env("PMON_HOME", home.path())
            .output()
            .unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let copy = copy.display().to_string();
        assert_ne!(home.daemon_pid(), daemon);
        assert_eq!((program_of(home.daemon_pid()), program_of(keeper)), (copy.clone(), copy));
        load.goes_on();
    }
    assert_eq!((home.pids(), home.restarts(), keeper_pid(&home)), (pids, vec![0, 0, 0], keeper));
    check_lines(&home, "count");
    assert_eq!(load.end(), Vec::<String>::new());
    home.ok(&["restart", "all"]);
    assert_eq!(home.statuses(), ["online"; 3]);
    // And it may still die.
    kill(keeper, "KILL");
    next_keeper(&home, keeper);
    let keeper = keeper_pid(&home);
    home.ok(&["update"]);
    assert_eq!(program_of(keeper), program_of(home.daemon_pid()));
    home.ok(&["restart", "all"]);
}

#[test]
fn what_is_no_pmon_is_refused_and_everything_stays_as_it_was() {
    use pmon::client::Client;
    use pmon::proto::Request;
    let home = TestHome::new();
    home.file("rest.sh", "exec sleep 1000\n");
    home.ok(&["start", "rest.sh"]);
    let before = (home.pids(), home.daemon_pid(), keeper_pid(&home), program_of(keeper_pid(&home)));
    for program in ["/bin/true", "/bin/false", "/no/such/program", "/etc/passwd"] {
        let mut client = Client::connect(&pmon::sys::paths::Home::at(home.path())).unwrap();
        let refusal = client.call(Request::Upgrade { program: program.into() }).unwrap_err().to_string();
        assert!(refusal.contains(program), "{refusal}");
        let now = (home.pids(), home.daemon_pid(), keeper_pid(&home), program_of(keeper_pid(&home)));
        assert_eq!(now, before);
    }
    home.ok(&["restart", "rest"]);
}

#[test]
fn a_daemon_of_another_version_is_hinted_at_on_stderr_only() {
    use std::io::{Read, Write};
    let home = TestHome::new();
    std::fs::create_dir_all(home.path()).unwrap();
    let socket = std::os::unix::net::UnixListener::bind(home.path().join("pmon.sock")).unwrap();
    let daemon = std::thread::spawn(move || {
        let (mut client, _) = socket.accept().unwrap();
        for json in [
            r#"{"kind":"hello","protocol":1,"version":"9.9.9"}"#,
            r#"{"kind":"reply","id":1,"reply":{"reply":"pong"}}"#,
        ] {
            let length = u32::try_from(json.len() + 1).unwrap().to_be_bytes();
            client.write_all(&[&length[..], &[0], json.as_bytes()].concat()).unwrap();
        }
        let _until_it_leaves = client.read_to_end(&mut Vec::new());
    });
    let ran = home.ok(&["ping"]);
    daemon.join().unwrap();
    std::fs::remove_file(home.path().join("pmon.sock")).unwrap();
    assert_eq!(ran.out, "{ msg: 'pong' }\n");
    assert!(ran.err.contains("9.9.9") && ran.err.contains("pmon update"), "{}", ran.err);
}
