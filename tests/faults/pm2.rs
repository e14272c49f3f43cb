//! PM2 under the same load, for comparison: `PMON_FAULTS_PM2=1 cargo test --test faults pm2:: -- --nocapture`.

use crate::lines::Count;
use crate::support::load::{Connections, Load, Question};
use crate::support::{TestHome, fixture, free_port, is_alive, kill, need, pause_for, wait_for, wait_http};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

const VERSION: &str = "7.0.4";

/// PM2's program, installed into `target/bench` from npm.
fn program() -> PathBuf {
    need("npm", "apt-get install npm");
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench");
    let program = place.join("node_modules/pm2/bin/pm2");
    if !program.exists() {
        std::fs::create_dir_all(&place).unwrap();
        let quiet = ["install", "--no-audit", "--no-fund", "--prefix"];
        let done =
            Command::new("npm").args(quiet).arg(&place).arg(format!("pm2@{VERSION}")).status().unwrap();
        assert!(done.success(), "npm install pm2@{VERSION} (it needs the npm registry)");
    }
    program
}

#[test]
fn what_becomes_of_pm2_in_the_same_test() {
    if std::env::var("PMON_FAULTS_PM2").is_err() {
        println!("not measured: PMON_FAULTS_PM2=1 measures it");
        return;
    }
    let (home, program, port) = (TestHome::new(), program(), free_port());
    let pm2_home = home.work().join("pm2");
    let pm2 = |args: &[&str]| -> Output {
        let mut command = Command::new("node");
        command.arg(&program).args(args).current_dir(home.work()).env("PM2_HOME", &pm2_home).output().unwrap()
    };
    let report = home.work().join("lines.report");
    let apps = json!({ "apps": [
        { "name": "web", "script": fixture("faults/app.js"), "instances": 2, "exec_mode": "cluster",
          "env": { "PORT": port.to_string() } },
        { "name": "lines", "script": fixture("lines.py"), "interpreter": "python3",
          "args": ["0", report], "env": { "LINES_NAME": "lines", "LINES_WIDTH": "40", "LINES_BURST": "5" } },
        { "name": "idle", "script": home.file("rest.sh", "exec sleep 100000\n"), "interpreter": "sh" },
    ] });
    home.file("fleet.json", &apps.to_string());
    pm2(&["start", "fleet.json"]);
    wait_http(port);
    let list = || -> Vec<Value> {
        let out = String::from_utf8_lossy(&pm2(&["jlist"]).stdout).into_owned();
        serde_json::from_str(out.get(out.find('[').unwrap_or(0)..).unwrap_or_default()).unwrap_or_default()
    };
    let before: Vec<(String, i32)> = list()
        .iter()
        .map(|w| (w["name"].as_str().unwrap().to_owned(), i32::try_from(w["pid"].as_i64().unwrap()).unwrap()))
        .collect();
    let get = Question::Get("/");
    let load = Load::new().with(1, port, Connections::Kept, get).with(1, port, Connections::Fresh, get);
    load.go_on(200);
    let daemon: i32 = std::fs::read_to_string(pm2_home.join("pm2.pid")).unwrap().trim().parse().unwrap();
    kill(daemon, "KILL");
    wait_for("its end", || if is_alive(daemon) { Err("alive".into()) } else { Ok(()) });
    // Long enough for whoever wants to come back.
    pause_for(Duration::from_secs(5));
    let alive: Vec<&str> =
        before.iter().filter(|(_, pid)| is_alive(*pid)).map(|(name, _)| name.as_str()).collect();
    std::fs::write(format!("{}.stop", report.display()), "").unwrap();
    pause_for(Duration::from_secs(1));
    let written = std::fs::read_to_string(&report).map(|text| text.trim().to_owned());
    let text = std::fs::read_to_string(pm2_home.join("logs/lines-out.log")).unwrap_or_default();
    let mut count = Count::default();
    text.lines().for_each(|line| count.take(line, "lines"));
    let found = count.end(0, written.as_deref().ok().and_then(|text| text.parse().ok()).unwrap_or(0));
    let tally = load.end();
    println!("PM2 {VERSION}, one kill -9 of its daemon, watched for 5 s");
    println!("| workers alive | {} of {}: {alive:?} |", alive.len(), before.len());
    println!("| requests | {} answered, {} failed {:?} |", tally.ok, tally.failures(), tally.failed);
    println!("| lines in the file | {}, written {written:?}, lost {} |", found.lines, found.lost);
    println!("| `pm2 list` afterwards | {} of {} apps |", list().len(), before.len());
    pm2(&["kill"]);
    for (_, pid) in &before {
        kill(*pid, "KILL");
    }
}
