//! Wrong input: a clear message, PM2's exit code, nothing changed.

use crate::support::{TestHome, fixture, free_port, need, wait_for};
use std::os::unix::fs::PermissionsExt;

/// Runs, wants exit code 1, and these words; and the fleet must be empty.
#[track_caller]
fn refused(home: &TestHome, args: &[&str], words: &[&str]) {
    let ran = home.run(args).expect(1);
    let all = ran.all();
    for word in words {
        assert!(all.contains(word), "`{word}` is missing in the answer to {args:?}:\n{all}");
    }
    assert!(!all.contains("panicked") && !all.contains("backtrace"), "{all}");
    assert_eq!(home.jlist().len(), 0, "nothing was started");
}

#[test]
fn what_cannot_be_started_is_refused_with_the_reason() {
    let home = TestHome::new();
    refused(&home, &["start", "missing.js"], &["Script not found", "missing.js"]);
    refused(&home, &["start", "missing.config.js"], &["missing.config.js", "not found"]);
    refused(&home, &["start"], &["ecosystem.config.js"]);
    home.file("noexec", "#!/bin/sh\nexit 0\n");
    std::fs::set_permissions(home.work().join("noexec"), std::fs::Permissions::from_mode(0o644)).unwrap();
    refused(&home, &["start", "./noexec", "--interpreter", "none"], &["noexec", "chmod +x"]);
    refused(&home, &["start", "sleep", "--interpreter", "nosuchthing"], &["nosuchthing"]);
}

#[test]
fn a_bad_ecosystem_file_names_the_place() {
    need("node", "apt-get install nodejs");
    let home = TestHome::new();
    home.file("syntax.config.js", "module.exports = { apps: [\n  { name: 'x' script: 'y' }\n] };\n");
    refused(&home, &["start", "syntax.config.js"], &["syntax.config.js", "2"]);
    home.file("throws.config.js", "module.exports = { apps: [ nope() ] };\n");
    refused(&home, &["start", "throws.config.js"], &["nope is not defined"]);
    home.file("type.json", "{ apps: [{ script: 'sleep', max_restarts: 'many' }] }");
    refused(&home, &["start", "type.json"], &["max_restarts"]);
    home.file("broken.json", "{ apps: [{ script: 'sleep', }, ");
    refused(&home, &["start", "broken.json"], &["broken.json"]);
    home.file("bad.yaml", "apps:\n  - script: sleep\n   name: x\n");
    refused(&home, &["start", "bad.yaml"], &["bad.yaml"]);
    home.file("noscript.json", "{ apps: [{ name: 'x' }] }");
    refused(&home, &["start", "noscript.json"], &["script"]);
}

#[test]
fn an_unknown_key_is_named_and_the_rest_is_started() {
    let home = TestHome::new();
    home.file("typo.json", "{ apps: [{ name: 'a', script: 'sleep', args: '1000', max_restart: 3 }] }");
    let ran = home.ok(&["start", "typo.json"]);
    assert!(ran.all().contains("max_restart") && ran.all().contains("max_restarts"), "{}", ran.all());
    assert_eq!(home.statuses(), ["online"]);
}

#[test]
fn unknown_names_and_ids_end_with_one() {
    let home = TestHome::new();
    for verb in ["stop", "restart", "reload", "delete"] {
        refused(&home, &[verb, "nope"], &["Process or Namespace nope not found"]);
        refused(&home, &[verb, "99"], &["99", "unknown"]);
        refused(&home, &[verb, "all"], &["No process found"]);
    }
    refused(&home, &["describe", "nope"], &["nope doesn't exist"]);
    refused(&home, &["scale", "nope", "3"], &["nope"]);
    refused(&home, &["no-such-verb"], &[]);
    home.ok(&["pid", "nope"]);
    home.ok(&["id", "nope"]);
    home.ok(&["kill"]);
}

#[test]
fn an_online_script_is_not_started_twice() {
    let home = TestHome::new();
    home.file("nap.sh", "sleep 1000\n");
    home.ok(&["start", "nap.sh"]);
    let ran = home.run(&["start", "nap.sh"]).expect(1);
    assert!(ran.all().contains("Script already launched"), "{}", ran.all());
    home.ok(&["start", "nap.sh", "-f"]);
    assert_eq!(home.jlist().len(), 2);
    let ran = home.run(&["scale", "nap", "2"]).expect(1);
    assert!(ran.all().contains("Nothing to do"), "{}", ran.all());
}

#[test]
fn a_port_in_use_is_the_apps_error_and_is_explained() {
    need("node", "apt-get install nodejs");
    let home = TestHome::new();
    let holder = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    let port = holder.local_addr().unwrap().port();
    let script = fixture("server.js").display().to_string();
    let start = home
        .command(&["start", &script, "-i", "1", "--name", "web", "--max-restarts", "2"])
        .env("PORT", port.to_string())
        .output();
    assert!(start.unwrap().status.success());
    wait_for("errored", || {
        let statuses = home.statuses();
        if statuses == ["errored"] { Ok(()) } else { Err(format!("{statuses:?}")) }
    });
    wait_for("EADDRINUSE in the log", || {
        let log =
            std::fs::read_to_string(home.path().join("logs/web-error-0.log")).map_err(|e| e.to_string())?;
        if log.contains("EADDRINUSE") { Ok(()) } else { Err(log) }
    });
    wait_for("the holder's name", || {
        let log = home.log();
        let named = log.contains(&port.to_string()) && log.contains(&format!("pid {}", std::process::id()));
        if named { Ok(()) } else { Err(log) }
    });
    drop(holder);
}

#[test]
fn a_daemon_that_cannot_start_says_why() {
    let home = TestHome::new();
    std::fs::write(home.path(), "a file where the home should be").unwrap();
    let ran = home.run(&["list"]).expect(1);
    assert!(ran.err.contains(&home.path().display().to_string()), "{}", ran.all());
    std::fs::remove_file(home.path()).unwrap();
    // Somebody else's lock.
    std::fs::create_dir_all(home.path()).unwrap();
    let lock = std::fs::File::create(home.path().join("keeper.lock")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let ran = home.run(&["list"]).expect(1);
    assert!(ran.err.contains("lock"), "{}", ran.all());
    drop(lock);
    // What is in the socket's place is put aside.
    std::fs::create_dir_all(home.path().join("pmon.sock/x")).unwrap();
    home.ok(&["list"]);
    let aside = std::fs::read_dir(home.path()).unwrap().flatten();
    let mut aside = aside.filter(|file| file.file_name().to_string_lossy().starts_with("pmon.sock.corrupt-"));
    assert!(aside.next().unwrap().path().join("x").is_dir());
}

#[test]
fn a_port_is_not_taken_by_two_apps() {
    need("node", "apt-get install nodejs");
    let home = TestHome::new();
    let port = free_port();
    let script = fixture("server.js").display().to_string();
    for name in ["one", "two"] {
        let started = home
            .command(&["start", &script, "-i", "1", "--name", name, "--max-restarts", "1"])
            .env("PORT", port.to_string())
            .output();
        assert!(started.unwrap().status.success());
        if name == "one" {
            crate::support::wait_http(port);
        }
    }
    wait_for("the second one errored", || {
        let statuses = home.statuses();
        if statuses == ["online", "errored"] { Ok(()) } else { Err(format!("{statuses:?}")) }
    });
}
