//! Who asks, and from where.

use crate::sys::paths::Home;
use crate::sys::user;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// The process that runs the command. Its environment may hold secrets: `Debug` shows names only.
#[derive(Clone, PartialEq, Eq)]
pub struct Caller {
    /// Its working directory, absolute.
    pub cwd: PathBuf,
    /// Its environment.
    pub env: BTreeMap<String, String>,
    /// Its user.
    pub uid: u32,
}

impl Caller {
    /// This process. Variables that are not UTF-8 are left out: JSON cannot carry them to the daemon.
    pub fn from_process() -> Caller {
        let env = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let cwd = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
        Caller { cwd, env, uid: user::current_uid() }
    }

    /// A variable that is set and not empty.
    pub(super) fn var(&self, name: &str) -> Option<&str> {
        self.env.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// What `~` stands for.
    pub(super) fn home_dir(&self) -> Option<&Path> {
        self.var("HOME").map(Path::new)
    }

    /// Where workers' logs go by default, by the rule of [`Home::from_env`].
    pub(super) fn logs_dir(&self) -> PathBuf {
        let root = match (self.var("PMON_HOME"), self.home_dir()) {
            (Some(set), _) => self.cwd.join(set),
            (None, Some(home)) => home.join(".pmon"),
            (None, None) => PathBuf::from("/etc/.pmon"),
        };
        Home::at(root).logs()
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.env.keys().collect();
        f.debug_struct("Caller").field("cwd", &self.cwd).field("env", &names).field("uid", &self.uid).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_value_of_the_environment() {
        let env = [("TOKEN".to_owned(), "hunter2".to_owned())].into();
        let shown = format!("{:?}", Caller { cwd: "/".into(), env, uid: 0 });
        assert!(shown.contains("TOKEN") && !shown.contains("hunter2"), "{shown}");
    }
}
