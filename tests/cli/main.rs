//! The binary against a scripted daemon on a real socket: streams, texts and exit codes that scripts rely on.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod scripted;
mod start;

use scripted::Daemon;
use std::io::Read;
use std::process::{Command, Output, Stdio};

/// `pmon` in the daemon's home, its output captured.
fn pmon(daemon: &Daemon, args: &[&str]) -> Output {
    command(daemon, args).output().unwrap()
}

fn command(daemon: &Daemon, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pmon"));
    command.args(args).env("PMON_HOME", daemon.home()).env_remove("PM2_SILENT").env_remove("FORCE_COLOR");
    command.current_dir(daemon.home()).stdin(Stdio::null());
    command
}

/// Exit code, stdout and stderr.
fn said(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

#[test]
fn data_stands_alone_on_stdout() {
    let daemon = Daemon::with(&["web", "web", "api"]);
    let (code, out, err) = said(&pmon(&daemon, &["jlist"]));
    assert_eq!((code, err.as_str()), (0, ""));
    let list: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(list.as_array().unwrap().len(), 3);
    assert!(!out.ends_with('\n'), "PM2 prints no newline");
    assert_eq!(said(&pmon(&daemon, &["jlist", "-s"])).1, out, "silence does not concern data");
    assert!(said(&pmon(&daemon, &["prettylist"])).1.starts_with("[\n  {\n    pid: 1000,\n    name: 'web',"));
    assert_eq!(said(&pmon(&daemon, &["id", "web"])).1, "[ 0, 1 ]\n");
    assert_eq!(said(&pmon(&daemon, &["id", "nope"])), (0, "[]\n".into(), String::new()));
    assert_eq!(said(&pmon(&daemon, &["pid", "api"])).1, "1002\n");
    assert_eq!(said(&pmon(&daemon, &["pid", "nope"])), (0, "\n".into(), String::new()));
    assert_eq!(said(&pmon(&daemon, &["ping"])), (0, "{ msg: 'pong' }\n".into(), String::new()));
}

#[test]
fn a_verb_says_what_it_does_and_shows_the_table() {
    let daemon = Daemon::with(&["web", "web", "api"]);
    let (code, out, _) = said(&pmon(&daemon, &["stop", "web"]));
    assert_eq!(code, 0);
    let lines: Vec<&str> = out.lines().take(4).collect();
    assert_eq!(lines[0], "[PM2] Applying action stopProcessId on app [web](ids: [ 0, 1 ])");
    assert_eq!(lines[1..3], ["[PM2] [web](0) ✓", "[PM2] [web](1) ✓"]);
    assert!(lines[3].starts_with("┌────┬"), "{out}");
    assert!(out.lines().last().unwrap().starts_with("host metrics | cpu:"), "{out}");
    assert_eq!(said(&pmon(&daemon, &["-s", "stop", "web"])).1, "");
}

#[test]
fn what_is_not_there_is_an_error_in_pm2s_words() {
    let daemon = Daemon::with(&["web"]);
    let cases: &[(&[&str], &str)] = &[
        (&["stop", "nope"], "[PM2][ERROR] Process or Namespace nope not found\n"),
        (&["restart", "99"], "[PM2][ERROR] 99 : id unknown\n"),
        (&["delete", "/zzz/"], "[PM2][WARN] No process found\n"),
        (&["describe", "nope"], "[PM2][ERROR] nope doesn't exist\n"),
        (&["env", "9"], "[PM2][ERROR] Modules with id 9 not found\n"),
        (&["reset", "nope"], "[PM2][ERROR] Process or Namespace nope not found\n"),
        (&["sendSignal", "SIGNOPE", "web"], "[PM2][ERROR] Unknown signal: SIGNOPE\n"),
        (&["scale", "web", "1"], "[PM2][ERROR] Nothing to do\n"),
        (&["scale", "web", "x"], "[PM2][ERROR] x is not a number of instances\n"),
        (&["logs", "nope", "--nostream"], "[PM2][ERROR] Process or Namespace nope not found\n"),
        (&["logs", "nope"], "[PM2][ERROR] Process or Namespace nope not found\n"),
    ];
    for (args, expected) in cases {
        let (code, _, err) = said(&pmon(&daemon, args));
        assert_eq!(
            (code, err.lines().next().map(|l| format!("{l}\n"))),
            (1, Some((*expected).into())),
            "{args:?}"
        );
    }
    for args in [&["flush", "nope"][..], &["save"], &["resurrect"]] {
        assert_eq!(said(&pmon(&daemon, args)).0, 0, "{args:?}");
    }
}

#[test]
fn mistakes_in_typing_end_with_one() {
    let daemon = Daemon::with(&[]);
    let (code, _, err) = said(&pmon(&daemon, &["frobnicate"]));
    assert_eq!((code, err.lines().next()), (1, Some("[PM2][ERROR] Command not found")));
    for args in [&["list", "--frobnicate"][..], &["describe"], &["save", "x"], &[]] {
        assert_eq!(said(&pmon(&daemon, args)).0, 1, "{args:?}");
    }
    let version = format!("{}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(said(&pmon(&daemon, &["-v"])), (0, version, String::new()));
    assert_eq!(said(&pmon(&daemon, &["--help"])).0, 0);
}

#[test]
fn several_targets_end_at_the_first_failure() {
    let daemon = Daemon::with(&["a", "b", "c"]);
    let (code, out, _) = said(&pmon(&daemon, &["stop", "a", "nope", "c"]));
    assert_eq!(code, 1);
    assert!(out.contains("[a](0) ✓") && !out.contains("[c](2) ✓") && !out.contains('┌'), "{out}");
    assert_eq!(daemon.orders(), ["stop a"]);
}

#[test]
fn a_name_that_is_there_is_restarted_by_start() {
    let daemon = Daemon::with(&["web"]);
    let (code, out, _) = said(&pmon(&daemon, &["start", "web"]));
    assert_eq!(code, 0, "{out}");
    assert_eq!(daemon.orders(), ["restart web"]);
    said(&pmon(&daemon, &["restart", "0", "--update-env"]));
    assert_eq!(daemon.orders(), ["restart web", "restart 0 with env"]);
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let daemon = Daemon::with(&["web"]);
    let mut child =
        command(&daemon, &["logs", "--raw"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut [0; 100]).unwrap();
    drop(stdout);
    let output = child.wait_with_output().unwrap();
    assert_eq!(said(&output), (0, String::new(), String::new()));
}

#[test]
fn history_ends_where_it_is_all_that_was_asked_for() {
    let daemon = Daemon::with(&["web"]);
    let (code, out, err) = said(&pmon(&daemon, &["logs", "web", "--nostream", "--lines", "2"]));
    assert_eq!((code, err.as_str()), (0, ""));
    assert_eq!(
        out,
        "[TAILING] Tailing last 2 lines for [web] processes (change the value with --lines option)\n\
         /h/web-out.log last 2 lines:\n0|web      | line 1\n0|web      | line 2\n"
    );
    let (_, out, _) = said(&pmon(&daemon, &["logs", "--nostream", "--json"]));
    assert!(out.lines().count() == 2 && out.starts_with("{\"message\":\"line 1\",\"type\":\"out\""), "{out}");
}

#[test]
fn logs_go_on_with_the_next_daemon() {
    let daemon = Daemon::with(&["mortal"]);
    let mut child =
        command(&daemon, &["logs", "--raw"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut seen = [0; 49];
    child.stdout.take().unwrap().read_exact(&mut seen).unwrap();
    assert_eq!(String::from_utf8_lossy(&seen), "/h/web-out.log last 15 lines:\nline 1\nline 2\nlive\n");
    let (code, _, err) = said(&child.wait_with_output().unwrap());
    assert_eq!((code, err.as_str()), (0, "[PM2][WARN] The daemon went away; waiting for it\n"));
}

#[test]
fn kill_waits_until_the_daemon_is_gone() {
    let daemon = Daemon::with(&["web"]);
    let (code, out, _) = said(&pmon(&daemon, &["kill"]));
    assert_eq!(code, 0);
    assert!(out.ends_with("[PM2] [v] Daemon Stopped\n"), "{out}");
    let nobody = tempfile::tempdir().unwrap();
    let output = command(&daemon, &["kill"]).env("PMON_HOME", nobody.path()).output().unwrap();
    assert_eq!(said(&output), (0, "[PM2] No daemon is running\n".into(), String::new()));
}

#[test]
fn colours_come_only_when_asked_for_or_on_a_terminal() {
    let daemon = Daemon::with(&["web"]);
    let has_escape = |output: Output| said(&output).1.contains('\u{1b}');
    assert!(!has_escape(pmon(&daemon, &["list"])));
    assert!(has_escape(command(&daemon, &["list"]).env("FORCE_COLOR", "1").output().unwrap()));
    assert!(!has_escape(
        command(&daemon, &["list"]).env("FORCE_COLOR", "1").env("NO_COLOR", "1").output().unwrap()
    ));
    assert!(!has_escape(command(&daemon, &["list", "--no-color"]).env("FORCE_COLOR", "1").output().unwrap()));
}

#[test]
fn completions_name_the_verbs() {
    let daemon = Daemon::with(&[]);
    let (code, out, _) = said(&pmon(&daemon, &["completion", "bash"]));
    assert!(code == 0 && out.contains("prettylist"), "{out}");
}
