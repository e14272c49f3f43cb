//! Where attributes were written: what messages about them begin with.

use super::attributes::Expects;
use super::error::{ConfigError, Place};
use super::value::{culprit, describe, expected};
use serde_json::Value;
use std::path::PathBuf;

/// Where attributes were written, for messages.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    /// The file, if it was one.
    pub file: Option<PathBuf>,
    /// Its text.
    pub text: String,
    /// Name of the app, or what else tells it from the others.
    pub app: String,
}

impl Origin {
    /// The place of a key. Its line is told only if the key occurs once: evaluated files keep no positions.
    pub fn place(&self, key: &str) -> Place {
        let mut lines = (1u32..).zip(self.text.lines()).filter(|(_, line)| has_key(line, key));
        let line = match (lines.next(), lines.next()) {
            (Some((number, _)), None) => Some(number),
            (None, _) | (Some(_), Some(_)) => None,
        };
        Place { file: self.file.clone(), line, column: None, key: Some(key.to_owned()) }
    }

    /// The error for a value that is not what its attribute expects.
    pub fn wrong_type(&self, key: &str, expects: Expects, value: &Value) -> ConfigError {
        // What stands in place of an environment may be a secret.
        let is_private = expects == Expects::Table && value.is_string();
        let found = if is_private { "a string".to_owned() } else { describe(culprit(expects, value)) };
        ConfigError::WrongType {
            place: Box::new(self.place(key)),
            app: self.app.clone(),
            key: key.to_owned(),
            expected: expected(expects).to_owned(),
            found,
        }
    }

    /// The file as a whole.
    pub fn whole(&self) -> Place {
        Place { file: self.file.clone(), ..Place::default() }
    }

    /// `file:line: app `web`: `.
    pub fn prefix(&self, key: &str) -> String {
        let app = format!("app `{}`: ", self.app);
        if self.file.is_some() { format!("{}: {app}", self.place(key)) } else { app }
    }
}

/// True if the line holds `key:`, `"key":` or `'key':` outside a `//` or `#` comment.
fn has_key(line: &str, key: &str) -> bool {
    let trimmed = line.trim_start();
    if trimmed.starts_with("//") || trimmed.starts_with('#') {
        return false;
    }
    line.match_indices(key).any(|(at, _)| {
        let (before, rest) = line.split_at_checked(at).unwrap_or_default();
        let after = rest.strip_prefix(key).unwrap_or_default();
        let starts = !before.ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '$' | '.'));
        starts && after.trim_start_matches(['"', '\'']).trim_start().starts_with(':')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_told_if_the_key_is_there_once() {
        let text = "{\n  // instances: 3\n  \"instances\": 2,\n  name: 'a', env: {name: 1},\n  env_instances: 1\n  name: 3 }";
        let origin = Origin { text: text.into(), ..Origin::default() };
        assert_eq!(origin.place("instances").line, Some(3));
        assert_eq!(origin.place("name").line, None);
        assert_eq!(origin.place("absent").line, None);
    }
}
