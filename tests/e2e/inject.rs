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
use std::sync::Mutex;
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

/// What a process passes once at most.
const ONCE: &[&str] = &[
    "hub.start",
    "journal.open",
    "pipe.null",
    "pipe.scratch",
    "pump.start",
    "run.watch",
    "sdnotify.bind",
    "server.bind",
    "settings.write",
    "signal.ends",
    "states.read",
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
    let passes = |point| if ONCE.contains(&point) { &passes[..1] } else { passes };
    each.flat_map(|(point, errno)| passes(point).iter().map(move |pass| Case { point, errno, pass: *pass }))
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
            "module.exports = {{ apps: [{{ name: 'more', script: 'keep.sh', sockets: ['127.0.0.1:{port}'] }}] }};"
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
        let status = |home: &TestHome, wanted: &str| {
            home.jlist().iter().any(|w| w["pm2_env"]["status"].as_str() == Some(wanted))
        };
        assert!(!status(&self.home, "errored"), "{context}: an app was given up");
        if status(&self.home, "stopped") {
            // It happened between the stop and the start.
            let started = self.ask(&["start", "sh"]);
            assert_eq!(started.code, 0, "{context}: {}", started.all());
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

/// Descriptors that could leak: log files, and files of /proc that are kept open, come and go with the second's work.
fn fds(pid: i32) -> usize {
    let fds = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let targets = fds.filter_map(|entry| std::fs::read_link(entry.path()).ok());
    targets.filter(|target| !target.starts_with("/proc") && !target.starts_with("/tmp")).count()
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
    let bare = |line: &str| line.contains("the daemon: ") && line.matches(": ").count() < 3;
    assert!(!said.lines().any(|line| line.contains("os error") && bare(line)), "{what}: {said}");
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
    eprintln!("PMON_INJECT_SEED={seed}");
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

/// What went wrong in one case, with the end of the daemon's log.
fn attempt(case: Case, log: &Path, what: impl FnOnce()) -> Option<String> {
    let error = std::panic::catch_unwind(std::panic::AssertUnwindSafe(what)).err()?;
    let said = error.downcast_ref::<String>().cloned();
    let said =
        said.or_else(|| error.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default();
    let log = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = log.lines().collect();
    let tail = lines[lines.len().saturating_sub(30)..].join("\n");
    Some(format!("== {case:?}\n{said}\n-- pmon.log\n{tail}\n"))
}

/// What the homes share.
#[derive(Default)]
struct Round {
    cases: Mutex<Vec<Case>>,
    /// Which use passes a point: it is tried first.
    reached: Mutex<HashMap<&'static str, Use>>,
    missed: Mutex<Vec<Case>>,
    failed: Mutex<Vec<String>>,
}

impl Round {
    /// Cases in one home; after one that goes wrong in another.
    fn go(&self, until: Option<Instant>) {
        let mut patient: Option<Patient> = None;
        while until.is_none_or(|until| Instant::now() < until) {
            let Some(case) = self.cases.lock().unwrap().pop() else { break };
            let mut ill = patient.take().unwrap_or_else(|| {
                let mut new = Patient::new();
                new.begin();
                new
            });
            let begun = Instant::now();
            let first = self.reached.lock().unwrap().get(case.point).copied();
            let mut reached = None;
            let log = ill.home.path().join("pmon.log");
            let trouble = attempt(case, &log, || {
                reached = ill.suffer(case, first);
                ill.recover(case);
            });
            match (trouble, reached) {
                (Some(trouble), _) => {
                    eprintln!("{trouble}");
                    self.failed.lock().unwrap().push(format!("{case:?}"));
                    continue;
                }
                (None, Some(what)) => {
                    self.reached.lock().unwrap().insert(case.point, what);
                    eprintln!("{case:?}: at {what:?}, {} ms", begun.elapsed().as_millis());
                }
                (None, None) => self.missed.lock().unwrap().push(case),
            }
            patient = Some(ill);
        }
        if let Some(mut patient) = patient {
            eprintln!("{}", patient.transcript.join("\n"));
            patient.end("everything");
        }
    }
}

#[test]
fn whatever_call_fails_is_told_clearly_touches_nobody_else_and_works_the_next_time() {
    need("node", "apt-get install nodejs");
    let (mut cases, until) = selection(cases(DOORS, &[1, 3]));
    cases.reverse();
    let round = Round { cases: Mutex::new(cases), ..Round::default() };
    std::thread::scope(|scope| {
        for _ in 0..HOMES {
            scope.spawn(|| round.go(until));
        }
    });
    eprintln!("nobody passes at {:?}", round.missed.lock().unwrap());
    let failed = round.failed.lock().unwrap();
    assert!(failed.is_empty(), "something went wrong with {failed:#?}");
}

#[test]
fn a_beginning_that_fails_is_told_clearly_leaves_nothing_and_works_the_next_time() {
    let (cases, until) = selection_of_beginnings();
    let mut failed = Vec::new();
    for case in cases {
        if until.is_some_and(|until| Instant::now() > until) {
            break;
        }
        let mut patient = Patient::new();
        let log = patient.home.path().join("pmon.log");
        if let Some(trouble) = attempt(case, &log, || patient.begin_ill(case)) {
            eprintln!("{trouble}");
            failed.push(format!("{case:?}"));
        }
    }
    assert!(failed.is_empty(), "something went wrong with {failed:#?}");
}

impl Patient {
    fn begin_ill(&mut self, case: Case) {
        let file: &Path = &self.plan.join(case.point);
        std::fs::write(file, format!("{} {}", case.errno, case.pass)).unwrap();
        self.transcript.push(format!("{case:?}"));
        let ran = finish(self.command(&["start", "sh.sh"]).spawn().unwrap(), &format!("{case:?}"));
        eprintln!("{case:?}, {}: {}", if file.exists() { "nobody passed" } else { "happened" }, ran.all());
        if ran.code != 0 {
            assert_clear(&ran, &format!("{case:?}"));
        }
        let again = self.ask(&["start", "sh.sh"]);
        let there = again.all().contains("already launched");
        assert!(again.code == 0 || there, "{case:?}, then again: {}\n{}", ran.all(), again.all());
        wait_for(&format!("the app after {case:?}"), || {
            let seen = self.home.statuses();
            if seen == ["online"] { Ok(()) } else { Err(format!("{seen:?}")) }
        });
        self.end(&format!("{case:?}"));
    }

    fn end(&mut self, context: &str) {
        let ended = self.ask(&["kill"]);
        assert_eq!(ended.code, 0, "{context}: {}", ended.all());
        wait_for(&format!("nothing to be left after {context}"), || {
            let left = self.home.processes();
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
