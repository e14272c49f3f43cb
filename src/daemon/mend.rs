//! Reading what another version wrote: what is not understood of it is replaced by what holds where nothing was said,
//! and named; what a worker *is* is never made up. So an unknown word about a worker does not cost the worker.

use crate::model::app::Program;
use crate::model::order::Saved;
use crate::model::{App, Desired, Epoch, Reason, Run, Stamp, State, WorkerId};
use crate::supervisor::{Record, Role};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::Segment;
use std::sync::Arc;
use std::time::Duration;

/// So much may be wrong before it is something else altogether.
const ATTEMPTS: usize = 2000;

/// Without these there is nothing to go on with.
const VITAL: [&str; 7] = ["run", "worker", "app.name", "app.program", "app.cwd", "app.user", "app.env"];

/// A keeper's record, and the places in it that were not understood. The error is about the first that matters.
/// `lives`: there was a process.
pub(super) fn record(value: Value, lives: bool) -> Result<(Record, Vec<String>), String> {
    let (mut record, mended) = mend(value, &blank())?;
    if !lives && mended.iter().any(|what| what.starts_with("`desired`")) {
        record.desired = Desired::Down;
    }
    if record.desired == Desired::Down && mended.iter().any(|what| what.starts_with("`state`")) {
        record.state = State::Down;
    }
    Ok((record, mended))
}

/// One worker of a dump, likewise.
pub(super) fn saved(value: Value) -> Result<(Saved, Vec<String>), String> {
    let blank = blank();
    mend(value, &Saved { app: App::clone(&blank.app), instance: 0, desired: Desired::Up })
}

fn mend<T: DeserializeOwned + Serialize>(mut value: Value, blank: &T) -> Result<(T, Vec<String>), String> {
    let blank = serde_json::to_value(blank).map_err(|e| e.to_string())?;
    let mut mended = Vec::new();
    for _ in 0..ATTEMPTS {
        match serde_path_to_error::deserialize::<_, T>(value.clone()) {
            Ok(read) => return Ok((read, mended)),
            Err(error) => {
                let mut path: Vec<Segment> = error.path().iter().cloned().collect();
                let shown = error.path().to_string();
                let whole = format!("`{shown}`: {}", error.inner());
                if !replace(&mut value, &blank, &mut path) || mended.contains(&whole) {
                    return Err(whole);
                }
                mended.push(whole);
            }
        }
    }
    Err("too much of it is not understood".to_owned())
}

/// Replaces the smallest part around `path` that the blank one has; false if that is a vital one.
fn replace(value: &mut Value, blank: &Value, path: &mut Vec<Segment>) -> bool {
    loop {
        if let (Some(bad), Some(good)) = (find(value, path), look(blank, path)) {
            let at = dotted(path);
            if is_vital(&at) {
                return words(bad);
            }
            let filled = fill(bad, good, &at);
            let whole = !holds_vital(&at);
            if whole && !filled {
                *bad = good.clone();
            }
            return whole || filled;
        }
        // One of a map that may hold anything: a number where a word belongs is that word.
        if is_vital(&dotted(path)) && find(value, path).is_some_and(words) {
            return true;
        }
        if path.pop().is_none() {
            return false;
        }
    }
}

/// Adds what is missing and not vital; false if nothing is.
fn fill(bad: &mut Value, good: &Value, at: &str) -> bool {
    let (Value::Object(bad), Value::Object(good)) = (bad, good) else { return false };
    let before = bad.len();
    for (key, value) in good {
        let within = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
        if !is_vital(&within) && !holds_vital(&within) {
            bad.entry(key.clone()).or_insert_with(|| value.clone());
        }
    }
    bad.len() > before
}

/// A number or a boolean becomes its text.
fn words(bad: &mut Value) -> bool {
    match bad {
        Value::Number(_) | Value::Bool(_) => *bad = Value::String(bad.to_string()),
        Value::Null | Value::String(_) | Value::Array(_) | Value::Object(_) => return false,
    }
    true
}

fn dotted(path: &[Segment]) -> String {
    path.iter().map(Segment::to_string).collect::<Vec<_>>().join(".")
}

fn is_vital(at: &str) -> bool {
    let within =
        |vital: &str| at.strip_prefix(vital).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    VITAL.iter().any(|vital| within(vital))
}

/// Something vital is below it.
fn holds_vital(at: &str) -> bool {
    at.is_empty()
        || VITAL.iter().any(|vital| vital.strip_prefix(at).is_some_and(|rest| rest.starts_with('.')))
}

fn find<'a>(value: &'a mut Value, path: &[Segment]) -> Option<&'a mut Value> {
    path.iter().try_fold(value, |value, segment| match segment {
        Segment::Map { key } => value.get_mut(key),
        Segment::Seq { index } => value.get_mut(*index),
        Segment::Enum { variant } => value.get_mut(variant),
        Segment::Unknown => None,
    })
}

fn look<'a>(value: &'a Value, path: &[Segment]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, segment| match segment {
        Segment::Map { key } => value.get(key),
        Segment::Seq { .. } | Segment::Enum { .. } | Segment::Unknown => None,
    })
}

/// A record of which nothing is known: it runs, as all that has a process does unless it says otherwise.
fn blank() -> Record {
    let program = Program {
        script: "/".into(),
        interpreter: "none".to_owned(),
        interpreter_path: None,
        interpreter_args: Vec::new(),
        args: Vec::new(),
    };
    Record {
        run: Run { entry: 0, generation: 0 },
        role: Role::Current,
        worker: WorkerId(0),
        instance: 0,
        unique_id: String::new(),
        app: Arc::new(App::of("", program, "/")),
        desired: Desired::Up,
        state: State::Running,
        reason: Reason::Adopted,
        epoch: Epoch::default(),
        created: Stamp::default(),
        started: None,
        restarts: 0,
        unstable_restarts: 0,
        last_exit: None,
        next_start: None,
        backoff: Duration::ZERO,
        kill_at: None,
        listening: Vec::new(),
        draining: false,
        untold: false,
        node_version: None,
        trouble: None,
        leaving: false,
        ordered: None,
        retry: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn value() -> Value {
        let mut value = serde_json::to_value(blank()).unwrap();
        value["run"] = json!({"entry": 5, "generation": 3});
        value["app"]["name"] = json!("web");
        value["app"]["env"] = json!({"PORT": "80"});
        value["state"] = json!("down");
        value
    }

    #[test]
    fn what_is_understood_is_kept_and_what_is_not_is_named() {
        let mut later = value();
        later["state"] = json!("hibernating");
        later["reason"] = json!({"told_by_the_moon": {"phase": 3}});
        later["app"]["stop"]["signal"] = json!("SIGWHATEVER");
        later["app"]["restart"]["stop_exit_codes"] = json!([1, "x"]);
        later["app"]["novelty"] = json!({"a": 1});
        later["app"]["namespace"] = json!(7);
        later["app"].as_object_mut().unwrap().remove("limits");
        let (record, mended) = record(later, true).unwrap();
        assert_eq!((record.run.entry, record.app.name.as_str()), (5, "web"));
        assert_eq!((record.state, &record.reason), (State::Running, &Reason::Adopted));
        assert_eq!(record.app.env.0["PORT"], "80");
        assert_eq!(mended.len(), 6, "{mended:#?}");
        assert!(mended[0].contains("app"), "{mended:#?}");
    }

    #[test]
    fn what_a_worker_is_is_never_made_up() {
        for (pointer, bad) in [
            ("/run", json!({"entry": "five", "generation": 3})),
            ("/worker", json!(null)),
            ("/app/program", json!({"script": 1})),
            ("/app/user", json!({"uid": "root"})),
            ("/app", json!([])),
        ] {
            let mut later = value();
            *later.pointer_mut(pointer).unwrap() = bad;
            assert!(record(later, true).is_err(), "{pointer}");
        }
        assert!(record(json!({}), true).is_err());
        assert!(record(json!("text"), true).is_err());
    }

    #[test]
    fn a_number_in_the_environment_is_its_text() {
        let mut later = value();
        later["app"]["env"]["PORT"] = json!(8080);
        later["app"]["env"]["DEBUG"] = json!(true);
        let (record, _) = record(later, true).unwrap();
        assert_eq!((record.app.env.0["PORT"].as_str(), record.app.env.0["DEBUG"].as_str()), ("8080", "true"));
    }
}
