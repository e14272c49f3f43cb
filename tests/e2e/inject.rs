//! A call of the system fails, at every door of daemon and keeper in turn and in every way it can, while people use
//! pmon: whoever asked hears a clear word, nobody else notices, and the next time it works.
//!
//! A sample by default, whose seed is printed; `PMON_INJECT=all` goes through everything, `PMON_INJECT=<point>` through
//! one point, `PMON_INJECT_SEED=<n>` repeats a sample.

use crate::support::{Ran, TestHome, fixture, free_port, is_alive, kill, need, pause, wait_for};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// No command takes this long.
const HANGS: Duration = Duration::from_secs(25);

/// Homes at a time.
const HOMES: usize = 4;

/// How long the sample may take.
const SAMPLE: Duration = Duration::from_secs(12);

/// What can fail where a running daemon or keeper passes, with the errors of the system call behind it.
const DOORS: &[(&str, &str)] = &[
    ("spawn.clone", "EAGAIN ENOMEM"),
    ("pipe.stdio", "EMFILE ENFILE"),
    ("pipe.staging", "EMFILE ENOMEM"),
    ("pipe.null", "EMFILE"),
    ("pipe.scratch", "EMFILE"),
    ("pipe.peek", "ENOMEM"),
    ("page.create", "EMFILE ENOMEM"),
    ("page.map", "ENOMEM"),
    ("fd.send", "EAGAIN ENOMEM"),
    ("fd.receive", "EMFILE"),
    ("socket.pair", "EMFILE ENOMEM"),
    ("socket.tcp", "EMFILE ENOMEM"),
    ("socket.listen", "ENOMEM"),
    ("socket.accept", "EMFILE ENOMEM"),
    ("child.open", "EMFILE ENOMEM"),
    ("child.send", "EAGAIN EPERM"),
    ("proc.pids", "EMFILE ENOMEM"),
    ("proc.stat", "EMFILE"),
    ("proc.memory", "EMFILE EIO"),
    ("sdnotify.bind", "EMFILE"),
    ("replace.open", "EMFILE ENOSPC EIO"),
    ("replace.write", "ENOSPC EIO"),
    ("replace.rename", "ENOSPC EIO"),
    ("datagram.pair", "EMFILE"),
    ("datagram.memfd", "EMFILE ENOMEM"),
    ("mirror.copy", "EMFILE"),
    ("file.open", "EMFILE ENOSPC EIO"),
    ("file.write", "ENOSPC EIO"),
    ("file.truncate", "EMFILE EIO"),
    ("server.accept", "EMFILE ENOMEM"),
    ("states.open", "EMFILE ENOSPC EIO"),
    ("states.read", "EMFILE"),
    ("settings.write", "ENOSPC EIO"),
    ("sockets.bind", "EMFILE ENOMEM"),
    ("journal.open", "EMFILE EIO"),
    ("run.watch", "EMFILE ENOMEM"),
    ("hub.start", "EMFILE"),
    ("core.watch", "ENOMEM ENOSPC"),
    ("channel.open", "ENOMEM ENOSPC"),
    ("pump.start", "EMFILE"),
    ("pump.watch", "ENOMEM ENOSPC"),
];

/// What else is passed when everything begins.
const BEGINNING: &[(&str, &str)] = &[
    ("signal.ends", "EMFILE"),
    ("server.bind", "EMFILE EIO"),
    ("datagram.pair", "EMFILE"),
    ("spawn.clone", "EAGAIN ENOMEM"),
    ("sdnotify.bind", "EMFILE"),
    ("run.watch", "EMFILE"),
    ("hub.start", "EMFILE"),
    ("pump.start", "EMFILE"),
    ("pipe.scratch", "EMFILE"),
    ("pipe.null", "EMFILE"),
    ("replace.open", "ENOSPC EIO"),
    ("replace.rename", "EIO"),
    ("fd.send", "ENOMEM"),
    ("fd.receive", "EMFILE"),
    ("journal.open", "EMFILE"),
];

/// One thing that goes wrong: at this point, in this way, at this pass.
#[derive(Debug, Clone, Copy)]
struct Case {
    point: &'static str,
    errno: &'static str,
    pass: u32,
}

fn cases(doors: &'static [(&str, &str)], passes: &[u32]) -> Vec<Case> {
    let errnos = |(point, errnos): &(&'static str, &'static str)| {
        let point = *point;
        errnos.split(' ').map(move |errno| (point, errno)).collect::<Vec<_>>()
    };
    let each = doors.iter().flat_map(errnos);
    each.flat_map(|(point, errno)| passes.iter().map(move |pass| Case { point, errno, pass: *pass }))
        .collect()
}

/// One use of pmon, in one or more commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Use {
    Say(&'static [&'static str]),
    KillDaemon,
    KillKeeper,
    /// For the second's work: samples, and a sign of life.
    Wait,
}

/// In an order that leaves everything as it was.
const USES: &[Use] = &[
    Use::Say(&["list"]),
    Use::Say(&["restart", "sh"]),
    Use::Say(&["stop", "sh"]),
    Use::Say(&["start", "sh"]),
    Use::Say(&["reload", "web"]),
    Use::Say(&["logs", "sh", "--nostream", "--lines", "3"]),
    Use::Say(&["flush", "sh"]),
    Use::Say(&["save"]),
    Use::Say(&["start", "more.config.js"]),
    Use::Say(&["reset", "all"]),
    Use::Say(&["sendSignal", "SIGCONT", "sh"]),
    Use::Say(&["delete", "more"]),
    Use::Say(&["scale", "web", "3"]),
    Use::Say(&["scale", "web", "2"]),
    Use::Say(&["set", "pmon:x", "1"]),
    Use::Wait,
    Use::KillDaemon,
    Use::Say(&["restart", "web"]),
    Use::KillKeeper,
];

/// A home with a fault plan, and what must not change in it.
struct Patient {
    home: TestHome,
    plan: PathBuf,
    port: u16,
    canary: i64,
    /// Descriptors that daemon and keeper have at rest.
    rest: Option<(usize, usize)>,
    transcript: Vec<String>,
}

impl Patient {
    fn new() -> Patient {
        let home = TestHome::new();
        let plan = home.work().join("plan");
        std::fs::create_dir_all(&plan).unwrap();
        std::fs::write(plan.join("passed"), "").unwrap();
        home.file("keep.sh", "while :; do sleep 1000; done\n");
        home.file("sh.sh", "echo begin; while :; do echo line; sleep 0.2; done\n");
        let port = free_port();
        let more = format!(
            "module.exports = {{ apps: [{{ name: 'more', script: 'keep.sh', sockets: {{ http: '127.0.0.1:{port}' }} }}] }};"
        );
        home.file("more.config.js", &more);
        Patient { home, plan, port: free_port(), canary: 0, rest: None, transcript: Vec::new() }
    }

    fn command(&self, args: &[&str]) -> std::process::Command {
        let mut command = self.home.command(args);
        command.env("PMON_FAULTS", &self.plan).env("PORT", self.port.to_string());
        command
    }

    fn begin(&mut self) {
        let server = fixture("server.js").display().to_string();
        for args in [
            &["start", "keep.sh"][..],
            &["start", "sh.sh", "--kill-timeout", "500"],
            &["start", &server, "--name", "web", "-i", "2", "--kill-timeout", "500"],
        ] {
            let ran = finish(self.command(args).spawn().unwrap(), "the start of everything");
            assert_eq!(ran.code, 0, "{args:?}: {}", ran.all());
        }
        self.canary = self.home.pids()[0];
        self.await_rest("the beginning");
    }

    fn ask(&mut self, args: &[&str]) -> Ran {
        // Without the plan: what fails is in daemon and keeper.
        let child = self.home.command(args).env("PORT", self.port.to_string()).spawn().unwrap();
        finish(child, &format!("`pmon {}`, after {:?}", args.join(" "), self.transcript.last()))
    }

    fn carry_out(&mut self, what: Use) -> Ran {
        match what {
            Use::Say(args) => return self.ask(args),
            Use::KillDaemon => {
                let old = self.home.daemon_pid();
                kill(old, "KILL");
                self.await_other("daemon", old, |home| home.daemon_pid());
            }
            Use::KillKeeper => {
                let old = keeper_pid(&self.home);
                kill(old, "KILL");
                self.await_other("keeper", old, keeper_pid);
            }
            Use::Wait => {
                let until = Instant::now() + Duration::from_millis(1200);
                while Instant::now() < until {
                    pause();
                }
            }
        }
        self.ask(&["list"])
    }

    fn await_other(&self, who: &str, old: i32, now: impl Fn(&TestHome) -> i32) {
        wait_for(&format!("another {who} after {:?}", self.transcript.last()), || {
            let now = now(&self.home);
            if now != old && is_alive(now) { Ok(()) } else { Err(format!("{now}, was {old}")) }
        });
    }

    /// Plants the fault and uses pmon until it has happened; false if nobody came by.
    fn suffer(&mut self, case: Case, first: Option<Use>) -> Option<Use> {
        let file = self.plan.join(case.point);
        std::fs::write(&file, format!("{} {}", case.errno, case.pass)).unwrap();
        self.transcript.push(format!("{case:?}"));
        for what in first.into_iter().chain(USES.iter().copied()) {
            let ran = self.carry_out(what);
            let happened = !file.exists();
            if ran.code != 0 {
                if happened {
                    self.transcript.push(format!("{case:?} {what:?} → {}: {}", ran.code, ran.all()));
                }
                assert_clear(&ran, &format!("{case:?} {what:?}"));
                // The same once more. What is done already is as good.
                let again = self.carry_out(what);
                let idle = again.all().contains("Nothing to do") || again.all().contains("not found");
                assert!(
                    again.code == 0 || idle,
                    "{case:?} {what:?}, then again: {}\n{}",
                    ran.all(),
                    again.all()
                );
            }
            if happened {
                return Some(what);
            }
        }
        std::fs::remove_file(&file).unwrap();
        None
    }

    /// Everything is as it was, and as it should be.
    fn recover(&mut self, case: Case) {
        let context = format!("{case:?}");
        let tidy = self.ask(&["delete", "more"]);
        assert!(tidy.code == 0 || tidy.all().contains("not found"), "{context}: {}", tidy.all());
        let down = |home: &TestHome| {
            home.jlist().iter().any(|w| {
                let status = w["pm2_env"]["status"].as_str().unwrap_or("?");
                status == "errored" || status == "stopped"
            })
        };
        if down(&self.home) {
            let again = self.ask(&["restart", "all"]);
            assert_eq!(again.code, 0, "{context}: {}", again.all());
            self.canary = self.home.pids()[0];
            panic!("{context}: an app was given up\n{}", self.transcript.join("\n"));
        }
        let count = self.home.jlist().iter().filter(|w| w["name"] == "web").count();
        if count != 2 {
            let scaled = self.ask(&["scale", "web", "2"]);
            assert_eq!(scaled.code, 0, "{context}: {}", scaled.all());
        }
        self.await_rest(&context);
        let canary = &self.home.jlist()[0];
        assert_eq!(canary["pid"].as_i64(), Some(self.canary), "{context}: the other app was touched");
        assert_eq!(canary["pm2_env"]["restart_time"], 0, "{context}");
    }

    /// All apps are online, and no more processes and descriptors are there than at rest.
    fn await_rest(&mut self, context: &str) {
        wait_for(&format!("all apps online after {context}"), || {
            let seen = self.home.statuses();
            if seen == ["online"; 4] { Ok(()) } else { Err(format!("{seen:?}")) }
        });
        let rest = self.rest;
        let now = wait_for(&format!("nothing to be left over after {context}"), || {
            let now = (fds(self.home.daemon_pid()), fds(keeper_pid(&self.home)));
            let stray = self.strays();
            match rest {
                _ if !stray.is_empty() => Err(format!("processes {stray:?}")),
                // A number or two come and go: clients, a look at /proc.
                Some((daemon, keeper)) if now.0 > daemon + 3 || now.1 > keeper + 1 => {
                    Err(format!("{now:?} descriptors, at rest {rest:?}\n{}", self.listing()))
                }
                _ => Ok(now),
            }
        });
        self.rest.get_or_insert(now);
    }

    fn listing(&self) -> String {
        let of = |pid: i32| {
            let mut targets: BTreeMap<String, usize> = BTreeMap::new();
            for entry in std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten() {
                let target = std::fs::read_link(entry.path()).unwrap_or_default().display().to_string();
                *targets
                    .entry(target.split([':', '[']).next().unwrap_or_default().to_owned())
                    .or_default() += 1;
            }
            format!("{targets:?}")
        };
        format!("daemon {}\nkeeper {}", of(self.home.daemon_pid()), of(keeper_pid(&self.home)))
    }

    /// Processes of this home that are neither keeper, daemon nor a worker in the list, or a child of one.
    fn strays(&self) -> Vec<i32> {
        let mut known: BTreeSet<i64> = self.home.pids().into_iter().collect();
        known.insert(i64::from(keeper_pid(&self.home)));
        known.insert(i64::from(self.home.daemon_pid()));
        let foreign = |pid: &i32| !known.contains(&i64::from(*pid)) && !known.contains(&parent(*pid));
        self.home.processes().into_iter().filter(|pid| foreign(pid) && is_alive(*pid)).collect()
    }
}

fn parent(pid: i32) -> i64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().to_owned();
    fields.split_whitespace().nth(1).and_then(|ppid| ppid.parse().ok()).unwrap_or_default()
}

fn keeper_pid(home: &TestHome) -> i32 {
    let text = std::fs::read_to_string(home.path().join("keeper.lock")).unwrap_or_default();
    text.trim().parse().unwrap_or(0)
}

fn fds(pid: i32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, |dir| dir.count())
}

/// Waits for a command; one that hangs is killed and fails the test.
fn finish(mut child: Child, what: &str) -> Ran {
    let read = |pipe: Option<Box<dyn Read + Send>>| {
        std::thread::spawn(move || {
            let mut text = String::new();
            pipe.map(|mut pipe| pipe.read_to_string(&mut text));
            text
        })
    };
    let out = read(child.stdout.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>));
    let err = read(child.stderr.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>));
    let deadline = Instant::now() + HANGS;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if Instant::now() > deadline {
            child.kill().unwrap();
            panic!("{what} hangs");
        }
        pause();
    };
    Ran { code: status.code().unwrap_or(-1), out: out.join().unwrap(), err: err.join().unwrap() }
}

/// A failed command says what failed and why, in words.
fn assert_clear(ran: &Ran, what: &str) {
    let said = ran.all();
    assert!(!said.contains("panicked"), "{what}: {said}");
    let words = ["failed to", "not found", "Nothing to do", "is not running", "not reloaded", "already"];
    assert!(words.iter().any(|word| said.contains(word)), "{what} ended with {} and said: {said}", ran.code);
}

/// A shuffle from a seed.
fn shuffle<T>(items: &mut [T], mut seed: u64) {
    for n in (1..items.len()).rev() {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        items.swap(n, usize::try_from(seed >> 33).unwrap() % (n + 1));
    }
}

fn wish() -> String {
    std::env::var("PMON_INJECT").unwrap_or_default()
}

fn seed() -> u64 {
    let given = std::env::var("PMON_INJECT_SEED").ok().and_then(|text| text.parse().ok());
    let seed = given.unwrap_or_else(|| u64::from(std::process::id()));
    println!("PMON_INJECT_SEED={seed}");
    seed
}

/// What is to be tried this time, and until when.
fn selection(all: Vec<Case>) -> (Vec<Case>, Option<Instant>) {
    let mut cases = all;
    match wish().as_str() {
        "all" => (cases, None),
        "" => {
            shuffle(&mut cases, seed());
            (cases, Some(Instant::now() + SAMPLE))
        }
        point => {
            cases.retain(|case| case.point == point);
            assert!(!cases.is_empty(), "PMON_INJECT=`{point}` is no point that can fail");
            (cases, None)
        }
    }
}

#[test]
fn whatever_call_fails_is_told_clearly_touches_nobody_else_and_works_the_next_time() {
    need("node", "apt-get install nodejs");
    let (mut cases, until) = selection(cases(DOORS, &[1, 3]));
    cases.reverse();
    let cases = Arc::new(Mutex::new(cases));
    let reached: Arc<Mutex<HashMap<&str, Use>>> = Arc::default();
    let missed: Arc<Mutex<Vec<Case>>> = Arc::default();
    let work = || {
        let (cases, reached, missed) = (Arc::clone(&cases), Arc::clone(&reached), Arc::clone(&missed));
        std::thread::spawn(move || {
            let mut patient = Patient::new();
            patient.begin();
            loop {
                if until.is_some_and(|until| Instant::now() > until) {
                    break;
                }
                let Some(case) = cases.lock().unwrap().pop() else { break };
                let first = reached.lock().unwrap().get(case.point).copied();
                let begun = Instant::now();
                match patient.suffer(case, first) {
                    Some(what) => {
                        reached.lock().unwrap().insert(case.point, what);
                        patient.recover(case);
                        println!("{case:?}: at {what:?}, {} ms", begun.elapsed().as_millis());
                    }
                    None => missed.lock().unwrap().push(case),
                }
            }
            println!("{}", patient.transcript.join("\n"));
            let ended = patient.ask(&["kill"]);
            assert_eq!(ended.code, 0, "{}", ended.all());
            wait_for("nothing to be left after `kill`", || {
                let left = patient.home.processes();
                if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
            });
        })
    };
    let homes: Vec<_> = (0..HOMES).map(|_| work()).collect();
    let failed = homes.into_iter().filter_map(|home| home.join().err()).count();
    println!("nobody passes at {:?}", missed.lock().unwrap());
    assert_eq!(failed, 0, "homes in which something went wrong");
}

#[test]
fn a_beginning_that_fails_is_told_clearly_leaves_nothing_and_works_the_next_time() {
    let (cases, until) = selection_of_beginnings();
    for case in cases {
        if until.is_some_and(|until| Instant::now() > until) {
            break;
        }
        let mut patient = Patient::new();
        let file: &Path = &patient.plan.join(case.point);
        std::fs::write(file, format!("{} {}", case.errno, case.pass)).unwrap();
        patient.transcript.push(format!("{case:?}"));
        let ran = finish(patient.command(&["start", "sh.sh"]).spawn().unwrap(), &format!("{case:?}"));
        println!("{case:?}, {}: {}", if file.exists() { "nobody passed" } else { "happened" }, ran.all());
        if ran.code != 0 {
            assert_clear(&ran, &format!("{case:?}"));
        }
        let again = patient.ask(&["start", "sh.sh"]);
        let there = again.all().contains("already launched");
        assert!(again.code == 0 || there, "{case:?}, then again: {}\n{}", ran.all(), again.all());
        wait_for(&format!("the app after {case:?}"), || {
            let seen = patient.home.statuses();
            if seen == ["online"] { Ok(()) } else { Err(format!("{seen:?}")) }
        });
        let ended = patient.ask(&["kill"]);
        assert_eq!(ended.code, 0, "{case:?}: {}", ended.all());
        wait_for(&format!("nothing to be left after {case:?}"), || {
            let left = patient.home.processes();
            if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
        });
    }
}

fn selection_of_beginnings() -> (Vec<Case>, Option<Instant>) {
    let all = cases(BEGINNING, &[1, 2]);
    match wish().as_str() {
        "" | "all" => {
            let (cases, until) = selection(all);
            (cases, until.map(|_| Instant::now() + SAMPLE / 2))
        }
        point => (all.into_iter().filter(|case| case.point == point).collect(), None),
    }
}
