//! Samples of real process trees, and the arithmetic on made-up ones.

use super::*;
use std::process::{Child, Command, Stdio};

/// A shell that leads a session of its own, as a worker does; its whole session is killed at the end.
struct Worker(Child);

impl Worker {
    fn run(script: &str) -> Worker {
        // setsid(1) forks only when it leads a group; here it does not, and becomes the worker.
        let mut command = Command::new("setsid");
        command.args(["sh", "-c", script]).stdin(Stdio::null()).stdout(Stdio::null());
        let worker = Worker(command.spawn().unwrap());
        until("the worker leads its session", || proc::session(worker.pid()) == Some(worker.pid()));
        worker
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        for pid in proc::pids().unwrap() {
            if proc::session(pid) == Some(self.pid()) {
                // It may be gone already.
                kill(pid).ok();
            }
        }
        self.0.wait().unwrap();
    }
}

fn kill(pid: u32) -> rustix::io::Result<()> {
    let pid = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL)
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = clock::monotonic_ns();
    while !holds() {
        assert!(clock::monotonic_ns() - start < 20_000_000_000, "never came: {what}");
        std::thread::yield_now();
    }
}

const RUN: Run = Run { entry: 1, generation: 1 };

fn only(sampler: &mut Sampler, worker: &Worker) -> Usage {
    let usages = sampler.sample(&[(RUN, worker.pid())]);
    assert_eq!(usages.len(), 1);
    usages[0].1
}

#[test]
fn a_tree_counts_the_leader_and_its_busy_child() {
    let worker = Worker::run("(while :; do :; done) & exec sleep 1000");
    let mut sampler = Sampler::new();
    assert!(only(&mut sampler, &worker).cpu == 0.0, "the first figure");
    let mut seen = Usage::default();
    until("two processes, CPU and memory", || {
        seen = only(&mut sampler, &worker);
        seen.processes == 2 && seen.cpu > 0.0
    });
    let leader = Probe::open(worker.pid()).unwrap().memory().unwrap();
    assert!(seen.memory > leader, "{seen:?} is more than the leader's {leader:?}");
}

#[test]
fn cpu_of_short_lived_children_is_counted_when_they_are_reaped() {
    // The shell itself waits; each child works and ends. The sampler never needs to see one alive.
    let worker = Worker::run("while :; do (i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done); done");
    let mut sampler = Sampler::new();
    let mut counted = 0u64;
    let start = clock::monotonic_ns();
    let mut last = start;
    let reaped = || proc::stat(worker.pid()).unwrap().reaped_ns;
    only(&mut sampler, &worker);
    until("half a second of reaped CPU time", || {
        let usage = only(&mut sampler, &worker);
        let now = clock::monotonic_ns();
        counted += (f64::from(usage.cpu) / 100.0 * (now - last) as f64) as u64;
        last = now;
        reaped() > 500_000_000
    });
    // Never far more than there is, and most of what there was.
    let own = proc::cpu_clock(worker.pid()).unwrap();
    let all = own + reaped();
    assert!(counted > all / 3, "{counted} of {all}");
    assert!(counted < all * 2, "{counted} of {all}");
}

#[test]
fn a_child_with_a_session_of_its_own_still_belongs_to_the_worker() {
    let worker = Worker::run("setsid sleep 1000 & wait");
    let mut sampler = Sampler::new();
    let mut child = None;
    until("the child in its own session, counted", || {
        child = proc::pids().unwrap().into_iter().find(|pid| {
            proc::session(*pid) == Some(*pid) && proc::stat(*pid).is_some_and(|s| s.parent == worker.pid())
        });
        child.is_some() && only(&mut sampler, &worker).processes == 2
    });
    kill(child.unwrap()).unwrap();
    until("it is no longer counted", || {
        sampler.sample(&[(RUN, worker.pid())]).iter().all(|(_, usage)| usage.processes == 1)
    });
}

#[test]
fn a_storm_of_forks_is_only_counted() {
    let worker = Worker::run("while :; do for i in 1 2 3 4 5 6 7 8; do (:) & done; wait; done");
    let mut sampler = Sampler::new();
    let mut most = 0;
    until("300 samples in the storm", {
        let mut samples = 0;
        let (sampler, most, worker) = (&mut sampler, &mut most, &worker);
        move || {
            let usage = only(sampler, worker);
            assert!(usage.cpu.is_finite() && usage.cpu >= 0.0, "{usage:?}");
            *most = usage.processes.max(*most);
            samples += 1;
            samples > 300 && *most > 1
        }
    });
}

#[test]
fn a_process_that_is_gone_is_left_out_and_the_others_stay() {
    let worker = Worker::run("exec sleep 1000");
    let mut gone = Command::new("true").spawn().unwrap();
    let dead = gone.id();
    gone.wait().unwrap();
    let mut sampler = Sampler::new();
    let usages = sampler.sample(&[(Run::first(2), dead), (RUN, worker.pid())]);
    assert_eq!(usages.iter().map(|(run, _)| *run).collect::<Vec<_>>(), [RUN]);
    sampler.sample(&[]);
    assert!(sampler.trees.is_empty(), "nothing is kept of runs that are not named");
}

/// Pid, own and reaped CPU time and time of birth in milliseconds.
type Process = (u32, u64, u64, u64);

fn reading(at_ms: u64, spent: &[Process]) -> Reading {
    let of = |(pid, own, reaped, started_ms): &Process| {
        let (own_ns, reaped_ns) = (own * 1_000_000, Some(reaped * 1_000_000));
        (*pid, Spent { own_ns, reaped_ns, started_ms: *started_ms })
    };
    Reading { monotonic_ns: at_ms * 1_000_000, boot_ms: at_ms, spent: spent.iter().map(of).collect() }
}

#[test]
fn no_millisecond_is_counted_twice_or_from_before() {
    let cases: &[(&str, &[Process], &[Process], f32)] = &[
        ("own time", &[(1, 100, 0, 0)], &[(1, 350, 0, 0)], 25.0),
        ("a child born since", &[(1, 0, 0, 0)], &[(1, 0, 0, 0), (2, 300, 0, 1500)], 30.0),
        ("a child found late", &[(1, 0, 0, 0)], &[(1, 0, 0, 0), (2, 9000, 0, 10)], 0.0),
        ("a reaped child nobody saw", &[(1, 0, 0, 0)], &[(1, 0, 400, 0)], 40.0),
        ("a reaped child seen before", &[(1, 0, 0, 0), (2, 5000, 0, 10)], &[(1, 0, 5100, 0)], 10.0),
        ("an orphan that others reaped", &[(1, 0, 0, 0), (2, 5000, 0, 10)], &[(1, 100, 0, 0)], 10.0),
        ("a pid used again", &[(1, 5000, 0, 0)], &[(1, 3, 0, 0)], 0.0),
    ];
    for (what, before, now, percent_expected) in cases {
        let got = percent(&reading(1000, before), &reading(2000, now));
        assert!((got - percent_expected).abs() < 0.01, "{what}: {got}");
    }
}

#[test]
fn two_readings_at_one_moment_are_no_division_by_zero() {
    assert!(percent(&reading(7, &[(1, 0, 0, 0)]), &reading(7, &[(1, 9, 0, 0)])) == 0.0);
}
