//! What is in environments stays there: not in logs, not in `ps`, not in errors. `env`, `describe`, `jlist` and `prettylist` are
//! for looking at them; the dump and `state/` (0600) must know them.

use crate::support::{TestHome, kill, wait_for};
use std::path::{Path, PathBuf};

const SECRET: &str = "hunter2-which-nobody-may-see";

/// Runs as somebody who has the secret in his environment, with a daemon that tells everything.
fn said(home: &TestHome, args: &[&str]) -> String {
    let output = home.command(args).env("DB_PASSWORD", SECRET).env("PMON_LOG", "trace").output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&text).into_owned()
}

#[track_caller]
fn clean(what: &str, text: &str) {
    if let Some(line) = text.lines().find(|line| line.contains(SECRET)) {
        panic!("{what} tells the secret: {}", line.replace(SECRET, "***"));
    }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        let meant_to = ["dump.json", "dump.json.bak", "state"].iter().any(|name| path.ends_with(name));
        match entry.file_type().unwrap() {
            _ if meant_to => {}
            kind if kind.is_dir() => found.extend(files(&path)),
            kind if kind.is_file() => found.push(path),
            _socket => {}
        }
    }
    found
}

/// Looks everywhere but where secrets belong.
#[track_caller]
fn nobody_tells(home: &TestHome) {
    for path in files(&home.path()) {
        let text = std::fs::read(&path).unwrap_or_default();
        clean(&path.display().to_string(), &String::from_utf8_lossy(&text));
    }
    let keeper = std::fs::read_to_string(home.path().join("keeper.lock")).unwrap().trim().parse().unwrap();
    for pid in [home.daemon_pid(), keeper] {
        let environ = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        clean("the environment of daemon or keeper", &String::from_utf8_lossy(&environ));
    }
    for pid in home.processes() {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        clean("a command line", &String::from_utf8_lossy(&line));
    }
}

#[test]
fn a_secret_in_an_environment_is_told_by_nothing_that_pmon_says_writes_or_shows_in_ps() {
    let home = TestHome::new();
    home.file("good.json", &format!(
        "{{apps: [{{name: 'nap', script: 'sleep', interpreter: 'none', args: '1000', env: {{API_KEY: '{SECRET}'}}}},
          {{name: 'dies', script: './dies.sh', max_restarts: 3, env: {{API_KEY: '{SECRET}'}}}}]}}"
    ));
    home.file("dies.sh", "exit 3\n");
    let wrong = [
        ("array.json", format!("{{apps: [{{script: 'sleep', env: ['API_KEY={SECRET}']}}]}}")),
        ("text.json", format!("{{apps: [{{script: 'sleep', env: 'API_KEY={SECRET}'}}]}}")),
        ("filter.json", format!("{{apps: [{{script: 'sleep', env: {{A: '{SECRET}'}}, instances: 'x'}}]}}")),
        ("syntax.json", format!("{{apps: [{{script: 'sleep', env: {{A: '{SECRET}' B: 1}}}}]}}")),
        ("cut.json", format!("{{apps: [{{script: 'sleep', env: {{A: '{SECRET}")),
        (
            "syntax.yaml",
            format!("apps:\n  - script: sleep\n    env:\n      A: '{SECRET}'\n     B: '{SECRET}'\n"),
        ),
        ("cut.yaml", format!("apps:\n  - script: sleep\n    env: {{A: \"{SECRET}\n")),
        ("twice.yaml", format!("apps:\n  - script: sleep\n    env: {{A: {SECRET}, A: {SECRET}}}\n")),
        ("type.yaml", format!("apps:\n  - script: sleep\n    env: !!int {SECRET}\n")),
        (
            "throws.config.js",
            format!("module.exports = {{apps: [{{script: 'x', env: {{A: '{SECRET}'}} b}}]}}\n"),
        ),
    ];
    for (name, text) in &wrong {
        home.file(name, text);
    }
    clean("start", &said(&home, &["start", "good.json"]));
    assert_eq!(home.jlist().len(), 2);
    for args in [
        &["list"][..],
        &["restart", "all"],
        &["restart", "nap", "--update-env"],
        &["reload", "all"],
        &["scale", "nap", "2"],
        &["stop", "dies"],
        &["start", "nothing-of-that-name"],
        &["restart", "nope"],
        &["save"],
        &["logs", "--nostream", "--lines", "50"],
        &["monit", "--once"],
        &["flush"],
        &["sendSignal", "NOSUCH", "nap"],
        &["set", "pm2-logrotate:max_size", "x"],
        &["resurrect"],
        &["update"],
        &["delete", "dies"],
    ] {
        clean(&format!("{args:?}"), &said(&home, args));
    }
    for (name, _) in &wrong {
        clean(name, &said(&home, &["start", name]));
        clean(name, &said(&home, &["restart", name]));
    }
    nobody_tells(&home);
    home.kill_daemon();
    clean("list", &said(&home, &["list"]));
    nobody_tells(&home);
    let lock = home.path().join("keeper.lock");
    let keeper = std::fs::read_to_string(&lock).unwrap();
    kill(keeper.trim().parse().unwrap(), "KILL");
    wait_for("another keeper", || match std::fs::read_to_string(&lock) {
        Ok(now) if now != keeper && !now.is_empty() => Ok(()),
        other => Err(format!("{other:?}")),
    });
    clean("restart", &said(&home, &["restart", "all"]));
    nobody_tells(&home);
    let id = home.jlist()[0]["pm_id"].to_string();
    assert!(home.ok(&["env", &id]).all().contains(SECRET), "the worker has it");
}
