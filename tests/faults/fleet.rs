//! The fleet that faults happen to, its load, and what must be true of it at any time.

use crate::follow::{Follower, Screen};
use crate::lines::{self, Writer};
use crate::report::Report;
use crate::support::load::{Connections, Load, Question, Tally};
use crate::support::{TestHome, fixture, free_port, get_path, is_alive, kill, need, wait_for, wait_http};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Names of the modes of scheduling.
pub const MODES: [&str; 3] = ["rr", "shared", "reuseport"];

/// What must stay as it is: pid and restarts.
pub type Facts = BTreeMap<(String, i64), (i64, i64, String)>;

/// The fleet.
pub struct Fleet {
    pub home: TestHome,
    pub ports: [u16; 3],
    loads: Vec<Load>,
    /// The app that is reloaded, with a load of its own.
    turnover: Load,
    writers: Vec<Writer>,
    follower: Follower,
    screen: Screen,
    innocent: Facts,
    pub report: Report,
}

/// Says which run of it begins and when, and crashes until it is told to stay.
const CRASHY: &str = "echo $PMON_GEN $(date +%s.%3N) >> crashy.starts\n\
    if test -e crashy.hold; then echo held >> crashy.starts; exec sleep 100000; fi\nsleep 0.2; exit 3\n";

/// Apps that nobody orders anything of.
const INNOCENT: [&str; 8] = ["rr", "shared", "reuseport", "raw", "stamped", "merged", "rotated", "idle"];

fn web(name: &str, scheduling: &str, port: u16) -> Value {
    json!({ "name": name, "script": fixture("faults/app.js"), "instances": 2, "exec_mode": "cluster",
            "scheduling": scheduling, "env": { "PORT": port.to_string() } })
}

fn writer(home: &TestHome, name: &str, more: &Value) -> Value {
    let lines = if name == "merged" { format!("{name}#") } else { name.to_owned() };
    let report = home.work().join(format!("{lines}.report"));
    let mut app = json!({ "name": name, "script": fixture("lines.py"), "interpreter": "python3",
        "args": ["0", report], "rotate": false,
        "env": { "LINES_NAME": lines, "LINES_WIDTH": "40", "LINES_BURST": "5" } });
    app.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    app
}

impl Fleet {
    /// Starts everything, with points that may be armed.
    pub fn start(title: &str) -> Fleet {
        need("node", "apt-get install nodejs");
        need("python3", "apt-get install python3");
        let home = TestHome::new();
        std::fs::create_dir(home.faults()).unwrap();
        std::fs::write(home.faults().join("passed"), "").unwrap();
        let ports = [free_port(), free_port(), free_port()];
        let turnover_port = free_port();
        let rotation = json!({ "max_size": "100K", "compress": true, "retain": "all" });
        let mut apps: Vec<Value> =
            MODES.iter().zip(ports).map(|(mode, port)| web(mode, mode, port)).collect();
        apps.push(web("turnover", "shared", turnover_port));
        apps.push(writer(&home, "raw", &json!({})));
        apps.push(writer(&home, "stamped", &json!({ "log_date_format": "YYYY-MM-DD HH:mm:ss.SSS" })));
        apps.push(writer(&home, "merged", &json!({ "instances": 2, "merge_logs": true })));
        apps.push(writer(&home, "rotated", &json!({ "rotate": rotation })));
        home.file("rest.sh", "exec sleep 100000\n");
        home.file("code.sh", "sleep 0.1; exit $(cat code.txt)\n");
        home.file("crashy.sh", CRASHY);
        home.file("code.txt", "1");
        apps.push(json!({ "name": "idle", "script": "rest.sh" }));
        apps.push(json!({ "name": "victim", "script": "rest.sh" }));
        apps.push(json!({ "name": "code", "script": "code.sh", "autorestart": false }));
        apps.push(json!({ "name": "crashy", "script": "crashy.sh", "max_restarts": 1_000_000, "restart_delay": 100 }));
        home.file("fleet.json", &json!({ "apps": apps }).to_string());
        home.ok(&["start", "fleet.json"]);
        for port in ports.into_iter().chain([turnover_port]) {
            wait_http(port);
        }
        let load = |port: u16| {
            let get = Question::Get("/");
            Load::new().with(1, port, Connections::Kept, get).with(1, port, Connections::Fresh, get)
        };
        let mut writers = Vec::new();
        for (name, log) in [
            ("raw", "raw-out.log"),
            ("stamped", "stamped-out.log"),
            ("merged0", "merged-out.log"),
            ("merged1", "merged-out.log"),
            ("rotated", "rotated-out.log"),
        ] {
            writers.push(Writer::new(&home, name, log));
        }
        let (follower, screen) = (Follower::start(&home, "raw"), Screen::start(&home));
        let loads = ports.map(load).into_iter().collect();
        let turnover = load(turnover_port);
        let report = Report::new(title);
        let innocent = Facts::new();
        let mut fleet = Fleet { home, ports, loads, turnover, writers, follower, screen, innocent, report };
        fleet.innocent = fleet.facts().unwrap();
        assert!(fleet.innocent.values().all(|(pid, restarts, _)| *pid > 0 && *restarts == 0));
        fleet
    }

    /// All workers, if the list can be had.
    pub fn list(&self) -> Result<Vec<Value>, String> {
        let ran = self.home.run(&["jlist"]);
        let parsed = serde_json::from_str(&ran.out).map_err(|e| format!("jlist: {e}: {}", ran.all()))?;
        if ran.code == 0 { Ok(parsed) } else { Err(ran.all()) }
    }

    /// Those of one name.
    pub fn of(&self, name: &str) -> Vec<Value> {
        self.list().unwrap().into_iter().filter(|w| w["name"] == name).collect()
    }

    fn facts(&self) -> Result<Facts, String> {
        let fact = |w: Value| {
            let (env, number) = (&w["pm2_env"], |v: &Value| v.as_i64().unwrap_or(-1));
            let name = w["name"].as_str().unwrap_or_default().to_owned();
            let status = env["status"].as_str().unwrap_or_default().to_owned();
            ((name, number(&w["pm_id"])), (number(&w["pid"]), number(&env["restart_time"]), status))
        };
        let all = self.list()?.into_iter().map(fact);
        Ok(all.filter(|((name, _), _)| INNOCENT.contains(&name.as_str())).collect())
    }

    /// The daemon answers, everybody is who he was, and everybody's channel works.
    #[track_caller]
    pub fn check(&mut self, after: &str) {
        let now = self.facts().unwrap_or_else(|e| panic!("after {after}: `jlist` failed: {e}"));
        assert_eq!(now, self.innocent, "after {after}: somebody who was left alone has changed");
        for (mode, port) in MODES.iter().zip(self.ports) {
            // A client of round robin may be the one whose connection died with the daemon.
            let answer = get_path(port, "/channel").or_else(|_| get_path(port, "/channel"));
            assert_eq!(
                answer,
                Ok((200, "connected true".into())),
                "after {after}: the channel of `{mode}` (port {port})"
            );
        }
        for (mode, load) in MODES.iter().zip(&self.loads).skip(1) {
            assert_eq!(failed(load), [""; 0], "after {after}: a request failed with `{mode}`");
        }
        let lost = failed(&self.turnover);
        assert_eq!(lost, [""; 0], "after {after}: a request to the reloaded app failed");
    }

    /// Requests of round robin that have failed so far.
    pub fn rr_failed(&self) -> u64 {
        failed(&self.loads[0]).len() as u64
    }

    pub fn keeper_pid(&self) -> i32 {
        let text = std::fs::read_to_string(self.home.path().join("keeper.lock")).unwrap_or_default();
        text.trim().parse().unwrap_or(0)
    }

    pub fn daemon_pid(&self) -> i32 {
        let text = std::fs::read_to_string(self.home.path().join("pmon.pid")).unwrap_or_default();
        text.trim().parse().unwrap_or(0)
    }

    pub fn kill_daemon(&self) {
        signal(self.daemon_pid(), "KILL");
    }

    pub fn kill_keeper(&self) {
        signal(self.keeper_pid(), "KILL");
    }

    /// Both, with neither able to replace the other.
    pub fn kill_both(&self) {
        let both = [self.keeper_pid(), self.daemon_pid()];
        signal(both[1], "STOP");
        signal(both[0], "KILL");
        signal(both[1], "KILL");
        wait_for("the end of both", || {
            if both.iter().any(|pid| is_alive(*pid)) { Err(format!("{both:?}")) } else { Ok(()) }
        });
    }

    /// Waits for the daemon, then ends everything and adds it up.
    pub fn finish(mut self) -> Report {
        self.check("the last fault");
        self.count_crashes();
        self.screen.end();
        let raw = self.writers[0].clone();
        self.report.lines = lines::verify(&self.writers);
        self.report.followed = self.follower.end(&raw.name, raw.stop());
        let loads = self.loads.drain(..).map(Load::end).collect::<Vec<Tally>>();
        for (mode, tally) in MODES.iter().zip(loads) {
            self.report.requests.push(((*mode).to_owned(), tally));
        }
        let turnover = std::mem::replace(&mut self.turnover, Load::new());
        self.report.requests.push(("shared, reloaded".to_owned(), turnover.end()));
        self.home.ok(&["delete", "all"]);
        self.home.ok(&["kill"]);
        wait_for("nothing to be left of a fleet that was deleted", || {
            let left = self.home.processes();
            if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
        });
        std::mem::replace(&mut self.report, Report::new(""))
    }
}

impl Fleet {
    /// Compares the runs that the crashing app tells of with the restarts that are counted.
    fn count_crashes(&mut self) {
        self.home.file("crashy.hold", "");
        let path = self.home.work().join("crashy.starts");
        let text = wait_for("the crashing app to stay", || {
            let text = std::fs::read_to_string(&path).map_err(|e| e.to_string())?;
            if text.contains("held") { Ok(text) } else { Err(format!("{} bytes", text.len())) }
        });
        let runs: Vec<(u64, f64)> = text
            .lines()
            .filter_map(|line| line.split_once(' '))
            .map(|(generation, at)| (generation.parse().unwrap(), at.parse().unwrap()))
            .collect();
        let counted = self.of("crashy")[0]["pm2_env"]["restart_time"].as_u64().unwrap();
        self.report.crashes(&runs, counted);
        if self.report.restarts_differ() {
            let said = std::fs::read_to_string(self.home.path().join("pmon.log")).unwrap();
            let of_it = ["\"crashy\"", "nobody handed", "took over", "keeper is gone", "daemon serves"];
            let target = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("target/faults-restarts.log");
            let lines: Vec<&str> =
                said.lines().filter(|line| of_it.iter().any(|word| line.contains(word))).collect();
            // For people, who will want to see which was not counted.
            drop(std::fs::write(target, format!("{}\n{text}", lines.join("\n"))));
        }
        self.report.check_restarts();
    }

    /// Points that anybody has passed.
    pub fn passed(&self) -> std::collections::BTreeSet<String> {
        let text = std::fs::read_to_string(self.home.faults().join("passed")).unwrap();
        text.lines().map(str::to_owned).collect()
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        // Whoever is stopped cannot be asked to end.
        signal(self.daemon_pid(), "CONT");
    }
}

/// Signals a process, if there is one.
pub fn signal(pid: i32, name: &str) {
    if pid > 1 {
        kill(pid, name);
    }
}

/// Requests of a load that failed so far, and why.
fn failed(load: &Load) -> Vec<String> {
    load.failed.lock().unwrap().clone()
}
