//! What any bytes may do as one of the daemon's own files: at worst, be refused. Called by `tests/garbage.rs` and `tests/fuzz`.

use super::act::Over;
use super::dump;
use super::settings::{self, Conf};
use super::states::State;
use crate::supervisor::Record;

/// `dump.json`.
pub fn dump(bytes: &[u8]) {
    drop(dump::understand(bytes));
}

/// `module_conf.json`, and keys that are set, a `key=value` a line.
pub fn settings(bytes: &[u8]) {
    let mut conf = serde_json::from_slice::<Conf>(bytes).unwrap_or_default();
    let text = String::from_utf8_lossy(bytes);
    for (key, value) in text.lines().filter_map(|line| line.split_once('=')) {
        drop(settings::put(&mut conf, key, value));
    }
    drop(settings::rotation_of(&conf));
    drop(serde_json::to_vec(&conf));
}

/// A file of `state/`, and the record of an entry.
pub fn state(bytes: &[u8]) {
    if let Ok(state) = serde_json::from_slice::<State>(bytes) {
        drop(serde_json::from_value::<Record>(state.record));
    }
    drop(serde_json::from_slice::<Record>(bytes));
    drop(serde_json::from_slice::<Over>(bytes));
}
