//! `module_conf.json`: what `pmon set` wrote, in PM2's shape: text under `module.key`, 4 spaces, readable by its owner
//! only. The file is the truth: it is read anew for each change, so what was written by hand stays. Of its modules
//! only [`MODULE`] means something here; what others hold is kept for whoever asks.

use crate::logs::{Plan, Pump};
use crate::model::Rotation;
use crate::model::rotation::{MODULE, Word, WordError};
use crate::sys::fault;
use crate::sys::paths::Home;
use crate::sys::plain;
use crate::sys::replace::{self, Sync};
use serde::Serialize;
use serde_json::{Map, Value};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The whole file.
pub(super) type Conf = Map<String, Value>;

/// Why a change was refused; nothing has changed then. Completes "failed to …", but for words.
#[derive(Debug, thiserror::Error)]
pub(super) enum SettingsError {
    /// A setting of ours that is not understood.
    #[error(transparent)]
    Word(#[from] WordError),
    /// Not a key.
    #[error("`{0}` is not a key: write `module:key value`")]
    Key(String),
    /// The file is there and is not what it should be.
    #[error("failed to read `{}`: {reason}", path.display())]
    Garbage { path: PathBuf, reason: String },
    /// It cannot be written.
    #[error("failed to write `{}`: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
}

/// The settings of a home.
#[derive(Debug)]
pub(super) struct Settings {
    home: Home,
    pump: Pump,
    /// In force; the lock also makes changes come one after the other.
    rotation: Mutex<Rotation>,
}

impl Settings {
    /// Reads the file, and lets it take effect. What is not understood is told and left out.
    /// `told`: what people should know of it.
    pub(super) fn start(home: Home, pump: Pump, told: &mut Vec<String>) -> Settings {
        let conf = read(&home.settings());
        let (mut rotation, wrong) = conf.as_ref().map(rotation_of).unwrap_or_default();
        for error in &wrong {
            tracing::warn!(reason = %error, "left a setting out");
        }
        let wrong =
            wrong.iter().find(|error| matches!(error, WordError::Value { .. })).map(ToString::to_string);
        if let Some(what) = conf.err().map(|error| error.to_string()).or(wrong) {
            // Who had wanted to keep all would lose what he cannot get again.
            rotation.remove_nothing();
            told.push(format!("{what}; settings are as if it were not there, but no rotated log is removed"));
        }
        let settings = Settings { home, pump, rotation: Mutex::default() };
        settings.apply(&mut settings.lock(), rotation);
        settings
    }

    /// How logs are rotated where an app says nothing else.
    pub(super) fn rotation(&self) -> Rotation {
        self.lock().clone()
    }

    /// The file as it is.
    pub(super) fn conf(&self) -> Result<Conf, SettingsError> {
        read(&self.home.settings())
    }

    /// Sets keys, removes others (`all`: every one), all or nothing; it is in force when this returns.
    pub(super) fn change(&self, set: &[(String, String)], unset: &[String]) -> Result<Conf, SettingsError> {
        let mut in_force = self.lock();
        let path = self.home.settings();
        let mut conf = read(&path)?;
        for key in unset {
            remove(&mut conf, key)?;
        }
        for (key, value) in set {
            put(&mut conf, key, value)?;
        }
        // What was wrong before is no reason to refuse: it is left out as it was.
        let (rotation, _wrong) = rotation_of(&conf);
        write(&path, &conf).map_err(|source| SettingsError::Write { path, source })?;
        self.apply(&mut in_force, rotation);
        Ok(conf)
    }

    fn apply(&self, in_force: &mut Rotation, rotation: Rotation) {
        in_force.clone_from(&rotation);
        self.pump.plan(Plan { rotation, logs_dir: self.home.logs(), own_log: self.home.daemon_log() });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Rotation> {
        self.rotation.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tables within tables: readers of JSON give up at some depth, and writers of it at the end of their stack.
const DEEPEST: usize = 16;

/// `a:b:c` or `a.b.c` → its parts. Names that JavaScript readers of the file would trip over are none.
fn parts(key: &str) -> Result<Vec<&str>, SettingsError> {
    let parts: Vec<&str> = if key.contains(':') { key.split(':') } else { key.split('.') }.collect();
    let bad = |part: &&str| matches!(*part, "" | "__proto__" | "constructor" | "prototype");
    if parts.len() > DEEPEST || parts.iter().any(bad) {
        Err(SettingsError::Key(key.to_owned()))
    } else {
        Ok(parts)
    }
}

pub(super) fn put(conf: &mut Conf, key: &str, value: &str) -> Result<(), SettingsError> {
    let mut parts = parts(key)?;
    let last = parts.pop().unwrap_or_default();
    let mut last = last.to_owned();
    if parts == [MODULE] {
        Rotation::default().set(&last, value)?;
        if let Some(word) = Word::find(&last) {
            last = word.spelling().to_owned();
        }
    } else if parts.is_empty() && last == MODULE {
        return Err(SettingsError::Key(key.to_owned()));
    }
    let mut table = conf;
    for part in parts {
        let slot = table.entry(part).or_insert_with(|| Value::Object(Map::new()));
        if !slot.is_object() {
            // A plain key becomes a module.
            *slot = Value::Object(Map::new());
        }
        let Value::Object(inner) = slot else { return Err(SettingsError::Key(key.to_owned())) };
        table = inner;
    }
    table.insert(last, Value::String(value.to_owned()));
    Ok(())
}

/// A key that is not there is as good as removed.
fn remove(conf: &mut Conf, key: &str) -> Result<(), SettingsError> {
    if key == "all" {
        conf.clear();
        return Ok(());
    }
    let mut parts = parts(key)?;
    let mut last = parts.pop().unwrap_or_default();
    if let (true, Some(word)) = (parts == [MODULE], Word::find(last)) {
        last = word.spelling();
    }
    let mut table = conf;
    for part in parts {
        let Some(Value::Object(inner)) = table.get_mut(part) else { return Ok(()) };
        table = inner;
    }
    table.remove(last);
    Ok(())
}

pub(super) fn rotation_of(conf: &Conf) -> (Rotation, Vec<WordError>) {
    let mut rotation = Rotation::default();
    let words = conf.get(MODULE).and_then(Value::as_object).into_iter().flatten();
    let wrong = words.filter_map(|(word, value)| {
        // By hand, a number or a boolean may have been written.
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        rotation.set(word, &text).err()
    });
    let wrong = wrong.collect();
    (rotation, wrong)
}

fn read(path: &Path) -> Result<Conf, SettingsError> {
    let garbage = |reason: String| SettingsError::Garbage { path: path.to_owned(), reason };
    match plain::read(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Conf::new()),
        Err(e) => Err(garbage(e.to_string())),
        Ok(text) => serde_json::from_slice(&text).map_err(|e| garbage(e.to_string())),
    }
}

fn write(path: &Path, conf: &Conf) -> io::Result<()> {
    let mut text = Vec::new();
    let form = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    conf.serialize(&mut serde_json::Serializer::with_formatter(&mut text, form))?;
    fault::at("settings.write")?;
    replace::file(path, &text, Sync::Disk)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn conf(value: Value) -> Conf {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn both_spellings_of_a_key_are_one_and_values_are_text() {
        let mut found = Conf::new();
        put(&mut found, "pm2-logrotate:max_size", "5M").unwrap();
        put(&mut found, "pm2-logrotate.retain", "7").unwrap();
        put(&mut found, "pm2-logrotate:MAX-SIZE", "6M").unwrap();
        put(&mut found, "other:deep:key", "1").unwrap();
        put(&mut found, "plain", "x").unwrap();
        let wanted = json!({
            "pm2-logrotate": {"max_size": "6M", "retain": "7"}, "other": {"deep": {"key": "1"}}, "plain": "x"
        });
        assert_eq!(Value::from(found.clone()), wanted);
        remove(&mut found, "pm2-logrotate.maxSize").unwrap();
        remove(&mut found, "other").unwrap();
        remove(&mut found, "nothing:here").unwrap();
        assert_eq!(Value::from(found.clone()), json!({"pm2-logrotate": {"retain": "7"}, "plain": "x"}));
        remove(&mut found, "all").unwrap();
        assert!(found.is_empty());
    }

    #[test]
    fn bad_words_values_and_keys_change_nothing() {
        let mut found = Conf::new();
        for (key, value) in [
            ("pm2-logrotate:max_size", "lots"),
            ("pm2-logrotate:nonsense", "1"),
            ("pm2-logrotate", "1"),
            ("a:__proto__", "1"),
            ("", "1"),
            ("a::b", "1"),
        ] {
            assert!(put(&mut found, key, value).is_err(), "{key}");
        }
        assert!(found.is_empty());
    }

    #[test]
    fn what_was_written_by_hand_is_understood_as_far_as_it_can_be() {
        let by_hand = conf(json!({"pm2-logrotate": {"retain": 5, "compress": false, "max_size": "huge"}}));
        let (rotation, wrong) = rotation_of(&by_hand);
        assert_eq!((rotation.retain, rotation.compress), (Some(5), false));
        assert_eq!((rotation.max_size, wrong.len()), (Rotation::default().max_size, 1));
    }

    #[test]
    fn the_file_is_pm2s_and_its_owners_only() {
        use std::os::unix::fs::MetadataExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("module_conf.json");
        assert!(read(&path).unwrap().is_empty());
        let written = conf(json!({"a": {"b": "c"}}));
        write(&path, &written).unwrap();
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            "{\n    \"a\": {\n        \"b\": \"c\"\n    }\n}"
        );
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o600);
        assert_eq!(read(&path).unwrap(), written);
        std::fs::write(&path, "{ not json").unwrap();
        assert!(read(&path).is_err());
    }
}
