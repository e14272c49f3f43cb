//! Every file of a used home spoiled in every way: nothing hangs, `list` answers, no worker is lost or doubled.
//!
//! Files are found, not named here: a new one is spoiled too. In the normal run each way spoils all files at once;
//! `PMON_HOME_MATRIX=1` takes each file by itself.

use crate::home::start_resting;
use crate::rebuild::{keeper_pid, kill_both, leaders};
use crate::support::{TestHome, copy_program, kill, wait_for};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What can be wrong with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spoil {
    Empty,
    Half,
    Binary,
    Later,
    Numbers,
    Directory,
    Loop,
    Fifo,
}

const WAYS: [Spoil; 8] = [
    Spoil::Empty,
    Spoil::Half,
    Spoil::Binary,
    Spoil::Later,
    Spoil::Numbers,
    Spoil::Directory,
    Spoil::Loop,
    Spoil::Fifo,
];

/// A home that has all there is: workers up and down, settings, two dumps, rotated logs, one of them compressed.
fn used_home() -> TestHome {
    let home = TestHome::new();
    start_resting(&home, "up");
    start_resting(&home, "down");
    home.ok(&["stop", "down"]);
    home.ok(&["set", "pm2-logrotate:retain", "5"]);
    home.ok(&["save"]);
    home.ok(&["save"]);
    let logs = home.path().join("logs");
    std::fs::write(logs.join("up-out__2026-01-01_00-00-00.log"), "older\n").unwrap();
    let file = std::fs::File::create(logs.join("up-out__2025-01-01_00-00-00.log.gz")).unwrap();
    let mut gz = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    std::io::Write::write_all(&mut gz, b"oldest\n").unwrap();
    gz.finish().unwrap();
    home
}

/// Every file of it; what is no plain file (the socket) too.
fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().flatten().map(|entry| entry.path());
    let mut found: Vec<PathBuf> =
        entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect();
    found.sort();
    found
}

fn spoil(path: &Path, way: Spoil) {
    let text = pmon::sys::plain::read(path).unwrap_or_default();
    let json = serde_json::from_slice::<serde_json::Value>(&text).ok();
    let _gone = std::fs::remove_file(path).or_else(|_| std::fs::remove_dir_all(path));
    match way {
        Spoil::Empty => std::fs::write(path, "").unwrap(),
        Spoil::Half => std::fs::write(path, &text[..text.len() / 2]).unwrap(),
        Spoil::Binary => std::fs::write(path, [0u8, 0xff, 0xfe, 0x00, 0xc3, 0x28].repeat(100)).unwrap(),
        Spoil::Later => {
            std::fs::write(path, json.map_or(text, |json| later(json).to_string().into_bytes())).unwrap()
        }
        Spoil::Numbers => {
            std::fs::write(path, json.map_or(b"7".to_vec(), |json| numbers(json).to_string().into_bytes()))
                .unwrap()
        }
        Spoil::Directory => std::fs::create_dir(path).unwrap(),
        Spoil::Loop => std::os::unix::fs::symlink(path.file_name().unwrap(), path).unwrap(),
        Spoil::Fifo => {
            rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        }
    }
}

/// As a later version might write it: new fields everywhere, new words for what a worker is and why.
fn later(mut json: serde_json::Value) -> serde_json::Value {
    if let Some(map) = json.as_object_mut() {
        map.values_mut().for_each(|value| *value = later(value.take()));
        map.insert("novelty".into(), serde_json::json!({"of": ["a", "later", "version"]}));
        map.entry("state").and_modify(|state| *state = "hibernating".into());
        map.entry("reason").and_modify(|reason| *reason = serde_json::json!({"the_moon": {"phase": 3}}));
        // What may hold anything holds words.
        for name in ["env", "extra", "pm2-logrotate"] {
            if let Some(open) = map.get_mut(name).and_then(serde_json::Value::as_object_mut) {
                open.remove("novelty");
            }
        }
    } else if let Some(list) = json.as_array_mut() {
        list.iter_mut().for_each(|value| *value = later(value.take()));
    }
    json
}

/// Numbers where words belong, but for what a worker is.
fn numbers(mut json: serde_json::Value) -> serde_json::Value {
    if let Some(map) = json.as_object_mut() {
        for (key, value) in map {
            if !matches!(
                key.as_str(),
                "boot" | "name" | "script" | "interpreter" | "interpreter_path" | "cwd"
            ) {
                *value = numbers(value.take());
            }
        }
    } else if json.is_string() {
        json = 5.into();
    }
    json
}

/// An answer within a time in which nothing hangs, whatever it is.
#[track_caller]
fn answers(home: &TestHome, args: &[&str]) -> String {
    let mut child = home.command(args).spawn().unwrap();
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    loop {
        if child.try_wait().unwrap().is_some() {
            let ran = child.wait_with_output().unwrap();
            return String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned();
        }
        if std::time::Instant::now() > deadline {
            child.kill().unwrap();
            panic!("`pmon {}` hangs\n{}", args.join(" "), home.log());
        }
        crate::support::pause();
    }
}

fn check(home: &TestHome, pids: &[i64], what: &str) {
    let said = answers(home, &["list"]);
    let listed = home.jlist();
    let up = listed.iter().find(|worker| worker["name"] == "up");
    assert_eq!(
        up.map(|worker| worker["pid"].as_i64()),
        Some(Some(pids[0])),
        "{what}: {said}\n{}",
        home.log()
    );
    assert_eq!(leaders(home), 1, "{what}: doubled\n{said}\n{}", home.log());
    let down = listed.iter().find(|worker| worker["name"] == "down");
    let told = said.contains("gone from the list") || said.contains("is not understood");
    assert!(down.is_some() || told, "{what}: silently lost\n{said}\n{}", home.log());
    assert_ne!(down.map(|worker| worker["pm2_env"]["status"].clone()), Some("online".into()), "{what}");
}

/// The daemon alone, then both, then nobody at all.
fn try_out(home: &TestHome, pids: &[i64], way: Spoil, paths: &[PathBuf], what: &str) {
    let spoil_all =
        || paths.iter().filter(|path| path.symlink_metadata().is_ok()).for_each(|path| spoil(path, way));
    spoil_all();
    check(home, pids, &format!("{what}, the daemon lives"));
    let daemon = home.jlist().first().map(|_| daemon_of(home)).unwrap();
    kill(daemon, "KILL");
    check(home, pids, &format!("{what}, the daemon died"));
    let (daemon, keeper) = (daemon_of(home), keeper_of(home));
    kill(daemon, "STOP");
    kill(keeper, "KILL");
    kill(daemon, "KILL");
    spoil_all();
    check(home, pids, &format!("{what}, both died"));
    for verb in [
        &["logs", "--nostream", "--lines", "100"][..],
        &["save", "--force"],
        &["resurrect"],
        &["conf"],
        &["describe", "up"],
        &["flush"],
    ] {
        answers(home, verb);
    }
    check(home, pids, &format!("{what}, after all verbs"));
    answers(home, &["kill"]);
    wait_for("the end", || {
        if home.processes().is_empty() { Ok(()) } else { Err(format!("{:?}", home.processes())) }
    });
    spoil_all();
    // A fresh start begins with nothing, and says why if it cannot have the dump.
    let listed = home.jlist();
    assert!(listed.is_empty(), "{what}, fresh: {listed:?}");
    answers(home, &["resurrect"]);
    answers(home, &["list"]);
    answers(home, &["kill"]);
}

/// By what they are, not by files: those are spoiled.
fn named(home: &TestHome, name: &str) -> i32 {
    let is = |pid: &i32| {
        std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim() == name)
    };
    wait_for(name, || home.processes().into_iter().find(is).ok_or_else(|| "none".to_owned()))
}

fn daemon_of(home: &TestHome) -> i32 {
    named(home, "pm-daemon")
}

fn keeper_of(home: &TestHome) -> i32 {
    named(home, "pm-keeper")
}

#[test]
fn no_spoiled_file_hangs_anybody_or_loses_or_doubles_a_worker() {
    let alone = std::env::var_os("PMON_HOME_MATRIX").is_some();
    std::thread::scope(|scope| {
        for ways in WAYS.chunks(4) {
            scope.spawn(move || {
                for way in ways {
                    let home = used_home();
                    let (pids, all) = (home.pids(), files(&home.path()));
                    assert!(all.len() >= 14, "{all:#?}");
                    if !alone {
                        try_out(&home, &pids, *way, &all, &format!("all {way:?}"));
                        continue;
                    }
                    drop(home);
                    for number in 0..all.len() {
                        let home = used_home();
                        let Some(path) = files(&home.path()).get(number).cloned() else { continue };
                        let what = format!("{} {way:?}", path.strip_prefix(home.path()).unwrap().display());
                        try_out(&home, &home.pids(), *way, &[path], &what);
                    }
                }
            });
        }
    });
}

#[test]
fn files_that_may_not_be_read_hang_and_lose_nothing_for_a_user_without_privilege() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    if pmon::sys::user::current_uid() != 0 {
        return eprintln!("not tested: becoming another user needs root");
    }
    let home = TestHome::new();
    let work = home.work();
    let root = work.parent().unwrap().to_owned();
    std::fs::create_dir(home.path()).unwrap();
    let script = home.file("rest.sh", "exec sleep 1000\n").display().to_string();
    // The binary may lie where only root gets.
    let pmon = root.join("pmon");
    copy_program(&pmon);
    for path in [&root, &work, &home.path()] {
        std::os::unix::fs::chown(path, Some(65534), Some(65534)).unwrap();
    }
    let run = |args: &[&str]| {
        let mut command = std::process::Command::new(&pmon);
        command
            .args(args)
            .env("PMON_HOME", home.path())
            .env("NO_COLOR", "1")
            .current_dir(&work)
            .uid(65534)
            .gid(65534);
        let ran = command.output().unwrap();
        format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr))
    };
    let said = run(&["start", &script, "--name", "up"]);
    assert!(said.contains("online"), "{said}");
    run(&["set", "pm2-logrotate:retain", "5"]);
    run(&["save"]);
    let pid: i32 = run(&["pid", "up"]).trim().parse().unwrap();
    kill_both(&home);
    for path in files(&home.path()) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o0)).unwrap();
    }
    let said = run(&["list"]);
    assert_eq!(run(&["pid", "up"]).trim(), pid.to_string(), "{said}\n{}", home.log());
    assert_eq!(leaders(&home), 1);
    assert!(said.contains("Permission denied"), "{said}");
    run(&["kill"]);
    assert!(keeper_pid(&home) == 0 || home.processes().is_empty());
}
