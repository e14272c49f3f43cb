//! Settings, as lines that can be copied to set them again.

use super::colour::{self, Colour};
use serde_json::{Map, Value};

/// A value for people and for `set`: text without quotes.
pub fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Everything that is set, plain keys first.
pub fn all(conf: &Map<String, Value>, colour: Colour) -> String {
    let (modules, plain): (Vec<_>, Vec<_>) = conf.iter().partition(|(_, value)| value.is_object());
    let mut lines: Vec<String> = plain.iter().map(|(key, value)| line(key, value)).collect();
    for (name, value) in modules {
        lines.push(module(name, value, colour));
    }
    lines.join("\n")
}

/// `Module: a`, then a line a key.
pub fn module(name: &str, table: &Value, colour: Colour) -> String {
    let mut lines = vec![format!("{} {}", colour.paint(colour::HEAD, "Module:"), name)];
    keys(name, table, &mut lines);
    lines.join("\n")
}

fn keys(prefix: &str, table: &Value, lines: &mut Vec<String>) {
    for (key, value) in table.as_object().into_iter().flatten() {
        let key = format!("{prefix}:{key}");
        if value.is_object() { keys(&key, value, lines) } else { lines.push(line(&key, value)) }
    }
}

fn line(key: &str, value: &Value) -> String {
    let text = text(value);
    let quoted =
        text.is_empty() || text.contains(|c: char| !c.is_ascii_alphanumeric() && !"_-./:@".contains(c));
    let shown = if quoted { format!("'{}'", text.replace('\'', "'\\''")) } else { text };
    format!("$ pmon set {key} {shown}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lines_can_be_copied() {
        let conf = json!({
            "pm2-logrotate": {"max_size": "10M", "rotateInterval": "0 0 * * *"}, "name": "it's", "deep": {"a": {"b": 1}}
        });
        assert_eq!(
            all(conf.as_object().unwrap(), Colour(false)),
            "$ pmon set name 'it'\\''s'\nModule: pm2-logrotate\n$ pmon set pm2-logrotate:max_size 10M\n\
             $ pmon set pm2-logrotate:rotateInterval '0 0 * * *'\nModule: deep\n$ pmon set deep:a:b 1"
        );
    }
}
