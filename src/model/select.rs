//! Which workers a verb is about: `all`, an id, a name, a namespace, `/regex/`.

use super::worker::WorkerId;
use regex::Regex;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// What the user typed, with what is needed to understand it as PM2 does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selector {
    /// The word.
    pub text: String,
    /// Directory against which the word may also be a script path.
    pub cwd: PathBuf,
}

/// What a selector looks at in a worker.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// Id.
    pub id: WorkerId,
    /// App name.
    pub name: &'a str,
    /// Namespace.
    pub namespace: &'a str,
    /// Script path.
    pub script: &'a Path,
}

/// Why a selector found nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectError {
    /// `all` or a regex, and nothing is there.
    #[error("No process found")]
    NothingFound,
    /// No name, namespace or script like that.
    #[error("Process or Namespace {0} not found")]
    UnknownName(String),
    /// No such id.
    #[error("{0} : id unknown")]
    UnknownId(String),
    /// `/…/` that is no regular expression.
    #[error("{pattern} is not a regular expression: {why}")]
    BadRegex {
        /// As typed.
        pattern: String,
        /// From the regex parser.
        why: String,
    },
}

impl Selector {
    /// A selector for a word typed in `cwd`.
    pub fn new(text: impl Into<String>, cwd: impl Into<PathBuf>) -> Selector {
        Selector { text: text.into(), cwd: cwd.into() }
    }

    /// Everything.
    pub fn all() -> Selector {
        Selector::new("all", "/")
    }

    /// Ids of the workers meant, ascending. PM2's order of attempts: `all`, `/regex/` on the name,
    /// name or script path, namespace, and for a number: name, namespace, id.
    pub fn resolve<'a>(
        &self,
        fleet: impl Iterator<Item = Candidate<'a>> + Clone,
    ) -> Result<Vec<WorkerId>, SelectError> {
        let text = self.text.as_str();
        if text == "all" {
            return non_empty(ids(fleet, |_| true), || SelectError::NothingFound);
        }
        if text.len() > 2 && text.starts_with('/') && text.ends_with('/') {
            let pattern = text.replace('/', "");
            let regex = Regex::new(&pattern)
                .map_err(|e| SelectError::BadRegex { pattern: text.to_owned(), why: e.to_string() })?;
            return non_empty(ids(fleet, |c| regex.is_match(c.name)), || SelectError::NothingFound);
        }
        let path = self.cwd.join(text);
        let number = text.parse::<u32>().ok();
        let by_name = ids(fleet.clone(), |c| c.name == text || (number.is_none() && c.script == path));
        if !by_name.is_empty() {
            return Ok(by_name);
        }
        let by_namespace = ids(fleet.clone(), |c| c.namespace == text);
        if !by_namespace.is_empty() {
            return Ok(by_namespace);
        }
        match number {
            Some(id) => non_empty(ids(fleet, |c| c.id.0 == id), || SelectError::UnknownId(text.to_owned())),
            None => Err(SelectError::UnknownName(text.to_owned())),
        }
    }
}

fn ids<'a>(
    fleet: impl Iterator<Item = Candidate<'a>>,
    wanted: impl Fn(&Candidate<'a>) -> bool,
) -> Vec<WorkerId> {
    let mut found: Vec<_> = fleet.filter(|c| wanted(c)).map(|c| c.id).collect();
    found.sort_unstable();
    found
}

fn non_empty(
    found: Vec<WorkerId>,
    error: impl FnOnce() -> SelectError,
) -> Result<Vec<WorkerId>, SelectError> {
    if found.is_empty() { Err(error()) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fleet() -> Vec<Candidate<'static>> {
        let script = Path::new("/srv/app.js");
        vec![
            Candidate { id: WorkerId(0), name: "web", namespace: "default", script },
            Candidate { id: WorkerId(1), name: "web", namespace: "default", script },
            Candidate { id: WorkerId(2), name: "7", namespace: "jobs", script: Path::new("/srv/job.sh") },
            Candidate { id: WorkerId(7), name: "api", namespace: "jobs", script: Path::new("/srv/api") },
        ]
    }

    fn resolve(text: &str) -> Result<Vec<u32>, SelectError> {
        let fleet = fleet();
        Selector::new(text, "/srv")
            .resolve(fleet.iter().copied())
            .map(|v| v.into_iter().map(|id| id.0).collect())
    }

    #[test]
    fn order_of_attempts_is_pm2s() {
        assert_eq!(resolve("all"), Ok(vec![0, 1, 2, 7]));
        assert_eq!(resolve("web"), Ok(vec![0, 1]));
        assert_eq!(resolve("/^w/"), Ok(vec![0, 1]));
        assert_eq!(resolve("jobs"), Ok(vec![2, 7]));
        assert_eq!(resolve("7"), Ok(vec![2]), "a name that is a number wins over the id");
        assert_eq!(resolve("1"), Ok(vec![1]));
        assert_eq!(resolve("job.sh"), Ok(vec![2]), "a script path");
    }

    #[test]
    fn what_is_not_there_is_named() {
        assert_eq!(resolve("nope"), Err(SelectError::UnknownName("nope".into())));
        assert_eq!(resolve("99"), Err(SelectError::UnknownId("99".into())));
        assert_eq!(resolve("/zzz/"), Err(SelectError::NothingFound));
        assert!(matches!(resolve("/(/"), Err(SelectError::BadRegex { .. })));
        assert_eq!(Selector::all().resolve(std::iter::empty()), Err(SelectError::NothingFound));
    }
}
