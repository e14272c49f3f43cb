//! What any text may do to the readers of configuration: at worst, be refused. Called by `tests/garbage.rs` and `tests/fuzz`.

use super::error::{ConfigError, Place};
use super::options::Options;
use super::{Caller, file, from_stdin_json, json, split_words, yaml};
use serde_json::Value;
use std::collections::BTreeMap;

/// JSON, or what people write for it, all the way to apps.
pub fn json(text: &str) {
    taken_apart(json::parse(text, Place::default()));
    drop(from_stdin_json(text, &Options::default(), &nobody(BTreeMap::new())).map_err(said));
}

/// YAML; what comes of it goes the way of JSON.
pub fn yaml(text: &str) {
    taken_apart(yaml::parse(text, Place::default()));
}

/// Flags and variables of a caller: lines of `NAME=value`, and then words for the flags.
pub fn caller(text: &str) {
    let lines = text.lines().filter_map(|line| line.split_once('='));
    let env = lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let mut words = split_words(text).into_iter();
    let options = Options {
        name: words.next(),
        instances: words.next(),
        max_memory_restart: words.next(),
        min_uptime: words.next(),
        max_restarts: words.next(),
        log_date_format: words.next(),
        interpreter_args: words.next(),
        args: words.collect(),
        ..Options::default()
    };
    let app = r#"{"script": "/bin/sh", "interpreter": "none", "filter_env": ["A"], "env": {"B": "1"}}"#;
    drop(from_stdin_json(app, &options, &nobody(env)).map_err(said));
}

fn taken_apart(parsed: Result<Value, ConfigError>) {
    drop(parsed.and_then(|value| file::take_apart(value, &Place::default())).map_err(said));
}

fn said(error: ConfigError) -> (String, Option<String>) {
    (error.to_string(), error.hint())
}

/// Somebody who finds no program: nothing is run.
fn nobody(env: BTreeMap<String, String>) -> Caller {
    Caller { cwd: "/nonexistent".into(), env, uid: 65534 }
}
