//! Is this word a configuration file or a script, and which file if none is named.

use super::caller::Caller;
use super::error::ConfigError;
use super::path;
use std::path::PathBuf;

/// What a word of `pmon start <word>` means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A configuration file, absolute; whether it exists is not checked yet.
    File(PathBuf),
    /// A script, a program in PATH or a shell command, as written.
    Script(String),
}

/// How a file is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// JSON as JavaScript reads it.
    Json,
    /// YAML.
    Yaml,
    /// A JavaScript (or TypeScript) module.
    JavaScript,
}

/// PM2's rule: the word *contains* one of these.
const MARKS: [(&str, Format); 7] = [
    (".config.js", Format::JavaScript),
    (".config.cjs", Format::JavaScript),
    (".config.mjs", Format::JavaScript),
    (".config.ts", Format::JavaScript),
    (".json", Format::Json),
    (".yml", Format::Yaml),
    (".yaml", Format::Yaml),
];

/// Looked for in this order when nothing is named.
const DEFAULTS: [&str; 7] = [
    "ecosystem.config.js",
    "ecosystem.config.cjs",
    "ecosystem.config.mjs",
    "ecosystem.config.ts",
    "ecosystem.json",
    "ecosystem.config.yaml",
    "ecosystem.yml",
];

/// How a file of this name is read; `None` if it is no configuration file.
///
/// `.config.json` is JSON although it contains `.config.js`: the longest mark at its place wins.
pub fn format(word: &str) -> Option<Format> {
    if word.contains(".config.json") {
        return Some(Format::Json);
    }
    MARKS.into_iter().find(|(mark, _)| word.contains(mark)).map(|(_, format)| format)
}

/// What the word means to `caller`.
pub fn target(word: &str, caller: &Caller) -> Target {
    // A command line that only mentions a file (`node x.js --conf a.json`) is a command.
    let is_command = word.contains(char::is_whitespace) && !path_of(word, caller).exists();
    if format(word).is_some() && !is_command {
        Target::File(path_of(word, caller))
    } else {
        Target::Script(word.to_owned())
    }
}

/// The file that `pmon start` without a word means.
pub fn default_file(caller: &Caller) -> Result<PathBuf, ConfigError> {
    let candidates = DEFAULTS.map(|name| caller.cwd.join(name));
    let [first, ..] = &candidates;
    let missing = ConfigError::FileNotFound { path: first.clone() };
    candidates.into_iter().find(|path| path.is_file()).ok_or(missing)
}

fn path_of(word: &str, caller: &Caller) -> PathBuf {
    path::resolve(&caller.cwd, word, caller.home_dir())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn caller(cwd: impl Into<PathBuf>) -> Caller {
        Caller { cwd: cwd.into(), env: BTreeMap::new(), uid: 0 }
    }

    #[test]
    fn a_configuration_file_is_known_by_its_name() {
        assert_eq!(format("ecosystem.config.js"), Some(Format::JavaScript));
        assert_eq!(format("a/b.config.mjs"), Some(Format::JavaScript));
        assert_eq!(format("b.config.cjs"), Some(Format::JavaScript));
        assert_eq!(format("b.config.json"), Some(Format::Json));
        assert_eq!(format("processes.json5"), Some(Format::Json));
        assert_eq!(format("x.yml"), Some(Format::Yaml));
        assert_eq!(format("x.yaml"), Some(Format::Yaml));
        assert_eq!(format("server.js"), None);
        assert_eq!(format("config"), None);
    }

    #[test]
    fn a_word_is_a_file_or_a_script() {
        let caller = caller("/srv");
        assert_eq!(target("./eco.json", &caller), Target::File("/srv/eco.json".into()));
        assert_eq!(target("app.js", &caller), Target::Script("app.js".into()));
        let command = "node app.js --conf a.json";
        assert_eq!(target(command, &caller), Target::Script(command.into()));
    }

    #[test]
    fn the_default_is_the_ecosystem_file_that_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let caller = caller(dir.path());
        let error = default_file(&caller).unwrap_err();
        assert!(error.to_string().ends_with("ecosystem.config.js not found"), "{error}");
        std::fs::write(dir.path().join("ecosystem.config.mjs"), "").unwrap();
        assert_eq!(default_file(&caller).unwrap(), dir.path().join("ecosystem.config.mjs"));
    }
}
