//! Why a configuration cannot be taken: a closed list, each with its place and, where there is one,
//! a hint. Texts that PM2's users match on start as PM2's do.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Where in what the user wrote. Prints as `file:line:column`, as far as known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// The file; `None` for flags and stdin.
    pub file: Option<PathBuf>,
    /// Line, from 1.
    pub line: Option<u32>,
    /// Column, from 1.
    pub column: Option<u32>,
    /// The attribute.
    pub key: Option<String>,
}

impl Place {
    /// A file as a whole.
    pub fn in_file(file: impl Into<PathBuf>) -> Place {
        Place { file: Some(file.into()), ..Place::default() }
    }

    /// The same file at this line and column.
    #[must_use]
    pub fn at(self, line: Option<u32>, column: Option<u32>) -> Place {
        Place { line, column, ..self }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.file {
            Some(file) => file.display().fmt(f)?,
            None => f.write_str("stdin")?,
        }
        for number in [self.line, self.column].into_iter().flatten() {
            write!(f, ":{number}")?;
        }
        Ok(())
    }
}

/// Why a configuration cannot be taken. Exit code 1, and nothing was started.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// No file of that name.
    #[error("File {} not found", path.display())]
    FileNotFound {
        /// As resolved.
        path: PathBuf,
    },
    /// The file is there but cannot be read.
    #[error("File {} cannot be read: {source}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Not valid JSON, YAML or JavaScript, or it threw.
    #[error("File {} malformated: {message}", shown(place))]
    Malformed {
        /// Where.
        place: Box<Place>,
        /// What the parser or the engine said, without a stack.
        message: String,
        /// What to do about it, if that is known.
        advice: Option<String>,
    },
    /// The file was read, but holds no list of apps.
    #[error("File {} malformated: expected {expected}, found {found}", shown(place))]
    NoApps {
        /// Which.
        place: Box<Place>,
        /// What belongs there.
        expected: &'static str,
        /// What is there.
        found: String,
    },
    /// A JavaScript file did not finish.
    #[error("{} did not finish within {seconds} s", path.display())]
    TooSlow {
        /// Which.
        path: PathBuf,
        /// The limit.
        seconds: u64,
    },
    /// Neither node nor bun is there to read a JavaScript file.
    #[error("{} needs Node.js to be read, and neither `node` nor `bun` is in PATH", path.display())]
    NoRuntime {
        /// Which.
        path: PathBuf,
    },
    /// node or bun could not be started, or ended without an answer.
    #[error("failed to evaluate {} with {}: {message}", path.display(), runtime.display())]
    Evaluation {
        /// Which file.
        path: PathBuf,
        /// The engine.
        runtime: PathBuf,
        /// What happened.
        message: String,
    },
    /// A value of the wrong type or out of range.
    #[error("{}`{key}` must be {expected}, found {found}", whose(place, app))]
    WrongType {
        /// Where.
        place: Box<Place>,
        /// Name of the app, or its script, or `#2`; empty for flags.
        app: String,
        /// The attribute as written, or the flag.
        key: String,
        /// What belongs there.
        expected: String,
        /// What is there.
        found: String,
    },
    /// An app without `script`.
    #[error("{}No script path - aborting", whose(place, app))]
    NoScript {
        /// Where.
        place: Box<Place>,
        /// Name of the app, or `#2`.
        app: String,
    },
    /// The script is neither a file nor in PATH.
    #[error("Script not found: {}", path.display())]
    ScriptNotFound {
        /// Where it was expected.
        path: PathBuf,
    },
    /// To be run by itself, but without permission.
    #[error("Script {} is not executable: permission denied", path.display())]
    NotExecutable {
        /// Which.
        path: PathBuf,
    },
    /// `cwd` is not a directory.
    #[error("app `{app}`: the working directory {} does not exist", path.display())]
    NoDirectory {
        /// Whose.
        app: String,
        /// Which.
        path: PathBuf,
    },
    /// The interpreter is not installed.
    #[error("Interpreter {name} is NOT AVAILABLE in PATH. (type 'which {name}' to double check.)")]
    NoInterpreter {
        /// As written.
        name: String,
        /// The script that needs it.
        script: PathBuf,
    },
    /// `uid`, `user` or `gid` names nobody.
    #[error("app `{app}`: there is no {kind} `{name}` on this machine")]
    UnknownUser {
        /// Whose.
        app: String,
        /// `user` or `group`.
        kind: &'static str,
        /// As written.
        name: String,
    },
    /// Only root may run workers as somebody else.
    #[error("app `{app}`: to use uid and gid, pmon must be run as root")]
    NeedsRoot {
        /// Whose.
        app: String,
    },
    /// `/etc/passwd` or `/etc/group` cannot be read.
    #[error("failed to look up a user: {0}")]
    Users(#[source] io::Error),
}

impl ConfigError {
    /// What to do about it, if that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            ConfigError::FileNotFound { .. } => {
                Some("name a file or a script: pmon start ecosystem.config.js, pmon start app.js".to_owned())
            }
            ConfigError::Malformed { advice, .. } => advice.clone(),
            ConfigError::NoRuntime { .. } => {
                Some("install Node.js, or write the file as JSON or YAML".to_owned())
            }
            ConfigError::TooSlow { .. } => {
                Some("it may wait for something at top level: a connection, a timer, a prompt".to_owned())
            }
            ConfigError::NotExecutable { path } => {
                Some(format!("chmod +x {}, or name an interpreter", path.display()))
            }
            ConfigError::NoScript { .. } => {
                Some("every app needs `script`; a file of several apps has a list `apps`".to_owned())
            }
            ConfigError::NoInterpreter { name, script } => {
                Some(format!("{} needs it: install {name}, or set `interpreter`", script.display()))
            }
            ConfigError::ScriptNotFound { path } if path.is_dir() => {
                Some("it is a directory: name a file in it".to_owned())
            }
            ConfigError::ScriptNotFound { .. }
            | ConfigError::Unreadable { .. }
            | ConfigError::NoApps { .. }
            | ConfigError::Evaluation { .. }
            | ConfigError::WrongType { .. }
            | ConfigError::NoDirectory { .. }
            | ConfigError::UnknownUser { .. }
            | ConfigError::NeedsRoot { .. }
            | ConfigError::Users(_) => None,
        }
    }

    /// Where it is in what the user wrote, if that is known.
    pub fn place(&self) -> Option<&Place> {
        match self {
            ConfigError::Malformed { place, .. }
            | ConfigError::NoApps { place, .. }
            | ConfigError::WrongType { place, .. }
            | ConfigError::NoScript { place, .. } => Some(place),
            ConfigError::FileNotFound { .. }
            | ConfigError::Unreadable { .. }
            | ConfigError::TooSlow { .. }
            | ConfigError::NoRuntime { .. }
            | ConfigError::Evaluation { .. }
            | ConfigError::ScriptNotFound { .. }
            | ConfigError::NotExecutable { .. }
            | ConfigError::NoDirectory { .. }
            | ConfigError::NoInterpreter { .. }
            | ConfigError::UnknownUser { .. }
            | ConfigError::NeedsRoot { .. }
            | ConfigError::Users(_) => None,
        }
    }
}

fn shown(place: &Place) -> String {
    place.to_string()
}

/// `ecosystem.config.js:4: app `web`: `, `app `web`: `, or nothing for flags.
fn whose(place: &Place, app: &str) -> String {
    let mut text = String::new();
    if place.file.is_some() {
        text = format!("{place}: ");
    }
    if !app.is_empty() {
        text.push_str(&format!("app `{app}`: "));
    }
    text
}
