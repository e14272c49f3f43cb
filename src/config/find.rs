//! Placeholder.

use super::Caller;
use std::path::PathBuf;

/// What a word on the command line is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A process file.
    File(PathBuf),
    /// Anything else.
    Script(String),
}

/// What `word` is.
pub fn target(word: &str, caller: &Caller) -> Target {
    let endings = [".json", ".yml", ".yaml", ".config.js", ".config.cjs", ".config.mjs"];
    if endings.iter().any(|e| word.contains(e)) {
        Target::File(caller.cwd.join(word))
    } else {
        Target::Script(word.to_owned())
    }
}

/// The file that `pmon start` without a word means.
pub fn default_file(caller: &Caller) -> Result<PathBuf, super::ConfigError> {
    let file = caller.cwd.join("ecosystem.config.js");
    if file.is_file() { Ok(file) } else { Err(super::missing(&file)) }
}
