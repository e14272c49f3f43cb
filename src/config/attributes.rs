//! The table of attributes: every name PM2 knows, pmon's own, what each may hold, and what becomes of it.

use Expects::*;
use Fate::*;

/// What an attribute may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expects {
    /// A string (a number is taken as its text).
    Text,
    /// true or false.
    Flag,
    /// A number that is not negative.
    Whole,
    /// Milliseconds, or a string as `10s`.
    Span,
    /// Bytes, or a string as `500M`.
    Memory,
    /// A list of strings, or one string to be split.
    Words,
    /// A number or a list of numbers.
    Codes,
    /// A number or `max`.
    Instances,
    /// Names and values.
    Table,
    /// A path, or true for the default one.
    FlagOrText,
    /// A name or a number.
    Account,
    /// true, a name, or a list of names.
    Filter,
    /// `fork` or `cluster`.
    Mode,
    /// `rr`, `shared` or `reuseport`.
    Scheduling,
    /// `drop` or `block`.
    Overflow,
    /// `SIGTERM`, `TERM` or a number.
    Signal,
    /// See `sockets`.
    Sockets,
    /// true, false, or words of `model::rotation`.
    Rotation,
    /// See `health`.
    Health,
    /// Kept as it is.
    Anything,
}

/// What becomes of an attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It has a field in `App`.
    Used,
    /// Nothing acts on it, and nothing needs to: it goes to `App::extra`.
    Kept,
    /// It should do something and does not yet: ignored, with a warning. No output may claim that it is on.
    Later,
}

/// One line of the table.
#[derive(Debug)]
pub struct Attribute {
    /// The name everything else goes by.
    pub name: &'static str,
    /// Other spellings. camelCase of all of them is understood besides.
    pub aliases: &'static [&'static str],
    /// What it may hold.
    pub expects: Expects,
    /// What becomes of it.
    pub fate: Fate,
}

const fn row(
    name: &'static str,
    aliases: &'static [&'static str],
    expects: Expects,
    fate: Fate,
) -> Attribute {
    Attribute { name, aliases, expects, fate }
}

/// PM2 7's attributes first, then pmon's own.
pub const ATTRIBUTES: &[Attribute] = &[
    row("script", &["exec", "cmd", "command"], Text, Used),
    row("name", &[], Text, Used),
    row("namespace", &[], Text, Used),
    row("cwd", &[], Text, Used),
    row("args", &[], Words, Used),
    row("exec_interpreter", &["interpreter"], Text, Used),
    row("node_args", &["interpreter_args"], Words, Used),
    row("exec_mode", &[], Mode, Used),
    row("instances", &[], Instances, Used),
    row("out_file", &["out", "output", "out_log"], Text, Used),
    row("error_file", &["error", "err", "err_file", "err_log"], Text, Used),
    row("log_file", &["log"], FlagOrText, Used),
    row("pid_file", &["pid"], Text, Used),
    row("merge_logs", &["combine_logs"], Flag, Used),
    row("disable_logs", &[], Flag, Used),
    row("log_type", &[], Text, Used),
    row("log_overflow", &[], Overflow, Used),
    row("log_date_format", &[], Text, Used),
    row("time", &[], Flag, Used),
    row("env", &[], Table, Used),
    row("filter_env", &[], Filter, Used),
    row("append_env_to_name", &[], Flag, Used),
    row("instance_var", &[], Text, Used),
    row("increment_var", &[], Text, Used),
    row("port", &[], Whole, Used),
    row("max_memory_restart", &[], Memory, Used),
    row("min_uptime", &[], Span, Used),
    row("max_restarts", &[], Whole, Used),
    row("autorestart", &[], Flag, Used),
    row("restart_delay", &[], Span, Used),
    row("exp_backoff_restart_delay", &[], Span, Used),
    row("stop_exit_codes", &[], Codes, Used),
    row("autostart", &[], Flag, Used),
    row("kill_timeout", &[], Span, Used),
    row("treekill", &[], Flag, Used),
    row("shutdown_with_message", &[], Flag, Used),
    row("wait_ready", &[], Flag, Used),
    row("listen_timeout", &[], Span, Used),
    row("uid", &["user"], Account, Used),
    row("gid", &[], Account, Used),
    row("execute_command", &[], Flag, Used),
    row("cron_restart", &["cron"], Text, Later),
    row("watch", &[], Anything, Later),
    row("ignore_watch", &[], Anything, Kept),
    row("watch_options", &[], Anything, Kept),
    row("watch_delay", &[], Anything, Kept),
    row("trace", &[], Flag, Later),
    row("deep_monitoring", &[], Flag, Later),
    row("event_loop_inspector", &[], Flag, Later),
    row("post_update", &[], Anything, Later),
    row("v8", &[], Flag, Kept),
    row("disable_trace", &[], Flag, Kept),
    row("kill_retry_time", &[], Span, Kept),
    row("username", &[], Text, Kept),
    row("force", &[], Flag, Kept),
    row("vizion", &[], Flag, Kept),
    row("pmx", &[], Flag, Kept),
    row("automation", &[], Flag, Kept),
    row("source_map_support", &[], Flag, Kept),
    row("disable_source_map_support", &[], Flag, Kept),
    row("io", &[], Anything, Kept),
    row("windowsHide", &["windows_hide"], Flag, Kept),
    row("write", &[], Flag, Kept),
    row("name_prefix", &[], Text, Kept),
    row("install_url", &[], Text, Kept),
    row("sockets", &["listen"], Sockets, Used),
    row("scheduling", &["cluster"], Scheduling, Used),
    row("notify", &[], Flag, Used),
    row("health", &["health_check"], Health, Used),
    row("reload_width", &["parallel"], Whole, Used),
    row("stop_signal", &["kill_signal"], Signal, Used),
    row("preload", &[], Flag, Used),
    row("rotate", &["log_rotate"], Rotation, Used),
];

/// The attribute that `key` means, by its name, an alias, or either in camelCase.
pub fn find(key: &str) -> Option<&'static Attribute> {
    let known = |key: &str| ATTRIBUTES.iter().find(|a| a.name == key || a.aliases.contains(&key));
    known(key).or_else(|| known(&snake(key)))
}

/// The known spelling nearest to `key`, if one is near enough to be meant.
pub fn nearest(key: &str) -> Option<&'static str> {
    let key = snake(key);
    let tolerance = (key.chars().count() / 3).clamp(1, 3);
    ATTRIBUTES
        .iter()
        .flat_map(|a| std::iter::once(&a.name).chain(a.aliases))
        .map(|name| (distance(&key, name), *name))
        .filter(|(distance, _)| *distance <= tolerance)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// `maxMemoryRestart`, `max-memory-restart` → `max_memory_restart`.
fn snake(key: &str) -> String {
    let mut out = String::with_capacity(key.len() + 4);
    for c in key.chars() {
        if c.is_ascii_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.push(if c == '-' { '_' } else { c.to_ascii_lowercase() });
    }
    out
}

/// Edit distance in which two swapped neighbours count once (restricted Damerau-Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let at = |row: &[usize], j: usize| row.get(j).copied().unwrap_or(usize::MAX / 2);
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let mut best =
                (at(&above, j + 1) + 1).min(at(&row, j) + 1).min(at(&above, j) + usize::from(x != y));
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(y) && b.get(j - 1) == Some(x);
            if swapped {
                best = best.min(at(&before, j - 1) + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut above, row);
    }
    at(&above, b.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_spelling_means_two_attributes() {
        let mut seen = HashSet::new();
        for attribute in ATTRIBUTES {
            for name in std::iter::once(&attribute.name).chain(attribute.aliases) {
                assert!(seen.insert(*name), "{name} is there twice");
            }
        }
    }

    #[test]
    fn every_alias_and_its_camel_case_are_found() {
        for attribute in ATTRIBUTES {
            for name in std::iter::once(&attribute.name).chain(attribute.aliases) {
                let mut camel = String::new();
                for part in name.split('_') {
                    let mut letters = part.chars();
                    let first = letters.next().unwrap();
                    let first = if camel.is_empty() { first } else { first.to_ascii_uppercase() };
                    camel.push(first);
                    camel.extend(letters);
                }
                for spelling in [*name, &camel] {
                    assert_eq!(find(spelling).map(|a| a.name), Some(attribute.name), "{spelling}");
                }
            }
        }
    }

    #[test]
    fn a_slip_finds_what_was_meant() {
        assert_eq!(nearest("instnaces"), Some("instances"));
        assert_eq!(nearest("scrpt"), Some("script"));
        assert_eq!(nearest("maxMemoryRestarts"), Some("max_memory_restart"));
        assert_eq!(nearest("max_memory"), None);
        assert_eq!(nearest("colour_scheme"), None);
    }

    #[test]
    fn distance_counts_a_swap_once() {
        assert_eq!(distance("watch", "wathc"), 1);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
