//! Whole files through `pmon::config`: what comes out of `valid/`, and what is said about `invalid/`.
//! The JavaScript ones need node 20 or later in PATH (`apt-get install nodejs`, or nodejs.org).

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use pmon::config::{self, Caller, ConfigError, Options, Resolved};
use serde_json::{Value, json};
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// The directory of fixtures.
fn fixtures(kind: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config").join(kind)
}

/// Somebody without root, in the fixtures' directory, with a small environment.
fn caller(kind: &str) -> Caller {
    let path = std::env::var("PATH").unwrap();
    let env = [("PATH", path.as_str()), ("HOME", "/home/dev"), ("PMON_TEST_STAGE", "blue"), ("SECRET", "x")];
    let env = env.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    Caller { cwd: fixtures(kind), env, uid: 4_000_000 }
}

fn files(kind: &str) -> Vec<String> {
    let entries = std::fs::read_dir(fixtures(kind)).unwrap().map(|entry| entry.unwrap());
    let files = entries.filter(|entry| entry.file_type().unwrap().is_file());
    let mut names: Vec<String> = files.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names.retain(|name| config::find::format(name).is_some());
    names
}

fn load(kind: &str, name: &str, options: &Options) -> Result<Resolved, ConfigError> {
    config::from_file(&fixtures(kind).join(name), options, &caller(kind))
}

/// The same on every machine: no PATH, no paths of this checkout or of the interpreters, no core count.
fn redacted(resolved: &Resolved) -> String {
    let mut text = String::new();
    for warning in &resolved.warnings {
        writeln!(text, "warning: {warning}").unwrap();
    }
    for app in &resolved.apps {
        let mut app = serde_json::to_value(app).unwrap();
        app["env"]["PATH"] = json!("[path]");
        let shells = ["bash", "sh", "node"].map(|name| Value::from(name.to_owned()));
        for field in ["interpreter_path", "script"] {
            let place = &mut app["program"][field];
            let base = place.as_str().and_then(|p| p.rsplit('/').next()).map(Value::from);
            if let Some(base) = base.filter(|base| shells.contains(base)) {
                *place = json!(format!("[bin]/{}", base.as_str().unwrap()));
            }
        }
        text.push_str(&serde_json::to_string_pretty(&app).unwrap());
        text.push('\n');
    }
    without_checkout(&text)
}

fn without_checkout(text: &str) -> String {
    text.replace(env!("CARGO_MANIFEST_DIR"), "[root]")
}

#[test]
fn valid_files_resolve() {
    for name in files("valid") {
        let resolved = load("valid", &name, &Options::default());
        let mut resolved = resolved.unwrap_or_else(|error| panic!("{name}: {error}"));
        let cores = std::thread::available_parallelism().unwrap().get();
        for app in resolved.apps.iter_mut().filter(|_| name == "require.config.js") {
            assert_eq!(app.instances as usize, cores, "'max' is one a core");
            app.instances = 1;
        }
        insta::assert_snapshot!(name, redacted(&resolved));
    }
}

#[test]
fn invalid_files_are_explained() {
    let mut text = String::new();
    for name in files("invalid") {
        let error = load("invalid", &name, &Options::default()).expect_err(&name);
        writeln!(text, "{name}\n  {error}").unwrap();
        if let Some(hint) = error.hint() {
            writeln!(text, "  hint: {hint}").unwrap();
        }
    }
    let node = Caller::from_process().env["PATH"]
        .split(':')
        .map(|dir| Path::new(dir).join("node"))
        .find(|path| path.is_file())
        .expect("these tests need node");
    insta::assert_snapshot!(without_checkout(&text).replace(&node.display().to_string(), "[bin]/node"));
}

#[test]
fn env_adds_the_environments_of_the_app_and_of_deploy() {
    let options = Options { env_name: Some("production".into()), ..Options::default() };
    let resolved = load("valid", "require.config.js", &options).unwrap();
    let env = &resolved.apps[0].env.0;
    assert_eq!((env["PORT"].as_str(), env["REGION"].as_str()), ("80", "eu"));
    assert!(resolved.warnings.is_empty(), "{:?}", resolved.warnings);

    let options = Options { env_name: Some("nowhere".into()), ..Options::default() };
    let resolved = load("valid", "require.config.js", &options).unwrap();
    assert_eq!(resolved.warnings, ["app `web`: Environment [nowhere] is not defined in process file"]);
}

#[test]
fn only_leaves_out_the_others() {
    let only = |names: &str| {
        let options = Options { only: vec![names.into()], ..Options::default() };
        let apps = load("valid", "cron.config.js", &options).unwrap().apps;
        apps.into_iter().map(|app| app.name).collect::<Vec<_>>()
    };
    assert_eq!(only("off,nightly"), ["nightly", "off"]);
    assert!(only("zzz").is_empty());
}

#[test]
fn flags_go_over_the_file() {
    let options = Options {
        name: Some("renamed".into()),
        instances: Some("3".into()),
        args: vec!["--port".into(), "1".into()],
        kill_timeout: Some("250".into()),
        no_autorestart: true,
        ..Options::default()
    };
    let app = load("valid", "environment.config.js", &options).unwrap().apps.remove(0);
    assert_eq!((app.name.as_str(), app.instances), ("renamed", 3));
    assert_eq!(app.program.args, ["--port", "1"]);
    assert_eq!(app.stop.kill_timeout.as_millis(), 250);
    assert!(!app.restart.autorestart);
}

#[test]
fn a_file_elsewhere_finds_its_scripts_beside_it() {
    let caller = Caller { cwd: "/".into(), ..caller("valid") };
    let file = fixtures("valid").join("array.config.js");
    let app = config::from_file(&file, &Options::default(), &caller).unwrap().apps.remove(0);
    assert_eq!(app.program.script, fixtures("valid").join("app/server.js"));
    assert_eq!(app.cwd, fixtures("valid"));
}

#[test]
fn a_script_on_the_command_line_resolves() {
    let options = Options { instances: Some("2".into()), log: Some(None), ..Options::default() };
    let resolved = config::from_script("./app/server.js", &options, &caller("valid")).unwrap();
    insta::assert_snapshot!(redacted(&resolved));
    let missing = config::from_script("./gone.js", &options, &caller("valid")).unwrap_err().to_string();
    let path = fixtures("valid").join("gone.js");
    assert_eq!(missing, format!("Script not found: {}", path.display()));
}

#[test]
fn json_on_stdin_is_a_file_without_a_name() {
    let text = r#"[{"name": "in", "script": "server.js", "wathc": 1}]"#;
    let resolved = config::from_stdin_json(text, &Options::default(), &caller("valid")).unwrap();
    assert_eq!(resolved.apps[0].name, "in");
    assert_eq!(resolved.warnings, ["app `in`: unknown attribute `wathc` is ignored; did you mean `watch`?"]);
    let error = config::from_stdin_json("{", &Options::default(), &caller("valid")).unwrap_err();
    assert_eq!(error.to_string(), "File stdin:1:1 malformated: EOF parsing object");
}
