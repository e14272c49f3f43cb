//! `start` and its kin: scripts, files, standard input, and what is there already.

use super::scripted::Daemon;
use super::{command, pmon, said};
use std::io::Write;
use std::process::Stdio;

/// A home with a script `web.js`, a file of two apps, and a daemon that runs `web`.
fn place(names: &[&str]) -> Daemon {
    let daemon = Daemon::with(names);
    let write = |name: &str, text: &str| std::fs::write(daemon.home().join(name), text).unwrap();
    write("job.sh", "#!/bin/sh\n");
    write(
        "two.json",
        r#"{"apps": [{"name": "web", "script": "job.sh"}, {"name": "new", "script": "job.sh", "instances": 2}]}"#,
    );
    daemon
}

/// The lines before the table.
fn notes(out: &str) -> Vec<&str> {
    out.lines().take_while(|line| !line.starts_with('┌')).collect()
}

#[test]
fn a_script_is_started() {
    let daemon = place(&[]);
    let (code, out, err) = said(&pmon(&daemon, &["start", "job.sh", "--name", "j", "--", "-x", "1"]));
    assert_eq!((code, err.as_str()), (0, ""));
    let script = daemon.home().join("job.sh");
    let starting = format!("[PM2] Starting {} in fork_mode (1 instance)", script.display());
    assert_eq!(notes(&out), [starting.as_str(), "[PM2] Done."]);
    assert_eq!(daemon.orders(), ["start j Refuse [-x 1]"]);
    said(&pmon(&daemon, &["-f", "start", "job.sh"]));
    assert_eq!(daemon.orders()[1], "start job Add []");
}

#[test]
fn what_runs_already_is_refused_in_pm2s_words() {
    let daemon = place(&["job"]);
    let (code, out, err) = said(&pmon(&daemon, &["start", "./job.sh"]));
    assert_eq!(code, 1, "{out}");
    assert_eq!(err, "[PM2][ERROR] Script already launched, add -f option to force re-execution\n");
}

#[test]
fn what_is_missing_is_named() {
    let daemon = place(&[]);
    for (args, expected) in [
        (&["start", "missing.js"][..], "Script not found: "),
        (&["start", "missing.config.js"], "File "),
        (&["start"], "File "),
        (&["restart", "missing.json"], "File "),
    ] {
        let (code, out, err) = said(&pmon(&daemon, args));
        assert_eq!((code, out.as_str()), (1, ""), "{args:?}");
        assert!(err.starts_with(&format!("[PM2][ERROR] {expected}")), "{args:?}: {err}");
    }
    assert_eq!(daemon.orders(), [""; 0]);
}

#[test]
fn a_file_starts_what_is_missing_and_restarts_the_rest() {
    for verb in ["start", "restart", "startOrRestart"] {
        let daemon = place(&["web"]);
        let (code, out, err) = said(&pmon(&daemon, &[verb, "two.json"]));
        assert_eq!(code, 0, "{err}");
        assert_eq!(
            notes(&out),
            [
                "[PM2] Applying action restartProcessId on app [web](ids: [ 0 ])",
                "[PM2] [web](0) ✓",
                "[PM2] App [new] launched (2 instances)"
            ]
        );
        assert_eq!(err, "[PM2][WARN] Applications new not running, starting...\n");
        assert_eq!(daemon.orders(), ["start web Restart []", "start new Restart []"]);
    }
    let daemon = place(&["web"]);
    said(&pmon(&daemon, &["reload", "two.json", "--only", "web"]));
    assert_eq!(daemon.orders(), ["start web Reload []"]);
}

#[test]
fn a_file_stops_what_is_there() {
    let daemon = place(&["web"]);
    let (code, ..) = said(&pmon(&daemon, &["stop", "two.json"]));
    assert_eq!(code, 0);
    assert_eq!(daemon.orders(), ["stop web"]);
    assert_eq!(said(&pmon(&daemon, &["delete", "two.json", "--only", "zzz"])).0, 0);
    assert_eq!(daemon.orders(), ["stop web"]);
}

#[test]
fn json_comes_from_the_standard_input() {
    let daemon = place(&[]);
    let mut child =
        command(&daemon, &["start", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(br#"[{"script": "job.sh", "name": "piped"}]"#).unwrap();
    assert_eq!(said(&child.wait_with_output().unwrap()).0, 0);
    assert_eq!(daemon.orders(), ["start piped Restart []"]);
}

#[test]
fn a_watched_script_is_not_taken_for_a_path_to_watch() {
    let daemon = place(&[]);
    assert_eq!(said(&pmon(&daemon, &["start", "--watch", "job.sh"])).0, 0);
    assert_eq!(daemon.orders(), ["start job Refuse []"]);
}

#[test]
fn arguments_and_options_given_to_a_restart_change_the_app() {
    let daemon = place(&["web", "web"]);
    let (code, out, err) = said(&pmon(&daemon, &["restart", "web", "--max-restarts", "3", "--", "-p", "2"]));
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert_eq!(daemon.orders(), ["start web Restart [-p 2]"]);
    let (code, _, err) = said(&pmon(&daemon, &["restart", "web", "--max-memory-restart", "lots"]));
    assert_eq!(code, 1);
    assert!(err.starts_with("[PM2][ERROR] `--max-memory-restart` must be"), "{err}");
}
