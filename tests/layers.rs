//! Holds the source to the rules of `docs/architecture.md`: who may import whom, where `unsafe` may be, how long a
//! file may get, and that each says what it is for. A violation names file, line and rule.

#![expect(
    clippy::unwrap_used,
    clippy::string_slice,
    reason = "a test may panic, and cuts where it has just looked"
)]

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Who may import what: `room` all of it, `room::module` only that. A room may always import itself, and its
/// submodules' tests with it.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("sys", &["model"]),
    ("proto", &["model"]),
    ("config", &["model", "sys::paths", "sys::user"]),
    ("fmt", &["model"]),
    ("supervisor", &["model"]),
    ("keeper", &["model", "sys"]),
    ("logs", &["model", "sys"]),
    ("node", &["model", "sys"]),
    ("metrics", &["model", "sys"]),
    ("search", &["model"]),
    ("daemon", &["model", "sys", "proto", "supervisor", "keeper", "logs", "node", "metrics", "search"]),
    ("client", &["model", "proto", "sys"]),
    ("monit", &["model", "proto", "fmt", "client", "sys::clock", "sys::paths", "sys::terminal"]),
    ("demo", &["model", "proto", "config", "fmt", "client", "sys", "monit"]),
    (
        "cli",
        &["model", "proto", "config", "fmt", "client", "sys", "search", "daemon", "keeper", "monit", "demo"],
    ),
];

/// The roof: it names every room and imports none.
const ROOF: &[&str] = &["lib.rs", "main.rs"];

/// Files are about 150 lines, their unit tests not counted; longer ones than this have a reason here.
const MAX_LINES: usize = 450;
const LONG: &[(&str, &str)] = &[];

#[test]
fn rooms_import_only_what_the_table_allows() {
    let mut violations = String::new();
    for file in sources() {
        let Some(room) = file.room() else { continue };
        let Some((_, allowed)) = MAY_IMPORT.iter().find(|(name, _)| *name == room) else {
            writeln!(violations, "{}: the room `{room}` is not in the table", file.name).unwrap();
            continue;
        };
        for import in imports(&file.code) {
            let [target, module] = &import.path;
            if *target == room || target.is_empty() || !is_room(target) {
                continue;
            }
            let whole = allowed.contains(&target.as_str());
            let part = allowed.contains(&format!("{target}::{module}").as_str());
            if !whole && !part {
                let line = import.line;
                writeln!(
                    violations,
                    "{}:{line}: `{room}` imports `{target}::{module}`; it may import {allowed:?}",
                    file.name
                )
                .unwrap();
            }
        }
    }
    assert!(violations.is_empty(), "\n{violations}");
}

#[test]
fn no_room_reaches_another_by_super() {
    let mut violations = String::new();
    for file in sources() {
        let Some(room) = file.room() else { continue };
        for (line, text) in numbered(&file.code) {
            let after = text.rsplit("super::").next().filter(|_| text.contains("super::super::"));
            let target = after.map(|rest| rest.split(|c: char| !is_word(c)).next().unwrap_or(""));
            if let Some(target) = target
                && target != room
                && is_room(target)
                && !file.has_module(target)
            {
                writeln!(violations, "{}:{line}: write `crate::{target}`, not `super::`", file.name).unwrap();
            }
        }
    }
    assert!(violations.is_empty(), "\n{violations}");
}

#[test]
fn every_room_of_the_table_exists() {
    for (room, allowed) in MAY_IMPORT {
        assert!(root().join(room).is_dir(), "src/{room} is in the table and not there");
        for target in *allowed {
            let target = target.split("::").next().unwrap_or_default();
            assert!(is_room(target), "`{room}` may import `{target}`, which is no room");
        }
    }
}

#[test]
fn unsafe_is_only_in_sys() {
    let mut violations = String::new();
    for file in sources().iter().filter(|file| file.room() != Some("sys")) {
        for (line, text) in numbered(&file.code) {
            if words(text).any(|word| word == "unsafe") {
                writeln!(violations, "{}:{line}: `unsafe` outside src/sys", file.name).unwrap();
            }
        }
    }
    assert!(violations.is_empty(), "\n{violations}");
}

#[test]
fn files_are_short_or_say_why_not() {
    let mut violations = String::new();
    let mut long = BTreeSet::new();
    for file in sources() {
        if file.name.contains("/tests/") {
            continue;
        }
        let lines = file.text.lines().take_while(|line| *line != "#[cfg(test)]").count();
        if lines > MAX_LINES {
            long.insert(file.name.clone());
            if !LONG.iter().any(|(name, _)| *name == file.name) {
                writeln!(violations, "{}: {lines} lines, the limit is {MAX_LINES}", file.name).unwrap();
            }
        }
    }
    for (name, reason) in LONG {
        assert!(!reason.is_empty(), "{name} needs a reason");
        if !long.contains(*name) {
            writeln!(violations, "{name}: listed as long, and is not").unwrap();
        }
    }
    assert!(violations.is_empty(), "\n{violations}");
}

#[test]
fn every_module_says_what_it_is_for() {
    let silent: Vec<String> =
        sources().into_iter().filter(|file| !file.text.starts_with("//!")).map(|file| file.name).collect();
    assert!(silent.is_empty(), "these do not begin with `//!`: {silent:#?}");
}

/// One file of `src/`.
struct Source {
    /// Below `src/`.
    name: String,
    text: String,
    /// The text with comments, strings and characters blanked out; lines stay lines.
    code: String,
}

impl Source {
    fn room(&self) -> Option<&str> {
        if ROOF.contains(&self.name.as_str()) {
            return None;
        }
        self.name.split('/').next()
    }

    /// Its room has a module of this name.
    fn has_module(&self, name: &str) -> bool {
        let room = root().join(self.room().unwrap_or_default());
        let below = files(&room).into_iter().any(|path| {
            let stem = path.file_stem().is_some_and(|stem| stem == name);
            stem || path.parent().and_then(Path::file_name).is_some_and(|dir| dir == name)
        });
        below && !room.ends_with(name)
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn sources() -> Vec<Source> {
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).unwrap();
        let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
        Source { name, code: code_only(&text), text }
    };
    files(&root()).into_iter().map(read).collect()
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn is_room(name: &str) -> bool {
    MAY_IMPORT.iter().any(|(room, _)| *room == name)
}

fn numbered(code: &str) -> impl Iterator<Item = (usize, &str)> {
    code.lines().enumerate().map(|(number, line)| (number + 1, line))
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !is_word(c))
}

/// A path from the crate's root: its first two names, the second perhaps empty.
#[derive(Debug, PartialEq, Eq)]
struct Import {
    line: usize,
    path: [String; 2],
}

/// Every `crate::…` in the code, in `use` items and elsewhere, groups unfolded.
fn imports(code: &str) -> Vec<Import> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        if code[..at].ends_with(is_word) {
            continue;
        }
        let line = code[..at].matches('\n').count() + 1;
        for path in unfold(&code[at + "crate::".len()..], 2) {
            let mut names = path.into_iter();
            let path = [names.next().unwrap_or_default(), names.next().unwrap_or_default()];
            found.push(Import { line, path });
        }
    }
    found
}

/// The paths that begin at the start of `text`, to `depth` names: `a::{b, c::d}` → `a::b`, `a::c`.
fn unfold(text: &str, depth: usize) -> Vec<Vec<String>> {
    let text = text.trim_start();
    if depth == 0 {
        return vec![Vec::new()];
    }
    if let Some(group) = text.strip_prefix('{') {
        return members(group).iter().flat_map(|member| unfold(member, depth)).collect();
    }
    let end = text.find(|c: char| !is_word(c)).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    if name.is_empty() {
        return vec![Vec::new()];
    }
    let tails = match rest.trim_start().strip_prefix("::") {
        Some(rest) => unfold(rest, depth - 1),
        None => vec![Vec::new()],
    };
    tails.into_iter().map(|tail| std::iter::once(name.to_owned()).chain(tail).collect()).collect()
}

/// The members of a group whose `{` has been read.
fn members(group: &str) -> Vec<String> {
    let mut open = 0usize;
    let mut members = vec![String::new()];
    for c in group.chars() {
        match c {
            '}' if open == 0 => break,
            ',' if open == 0 => {
                members.push(String::new());
                continue;
            }
            '{' => open += 1,
            '}' => open -= 1,
            _ => {}
        }
        members.last_mut().unwrap().push(c);
    }
    members.retain(|member| !member.trim().is_empty());
    members
}

/// Blanks comments, strings and character literals out, so that only code is read as code.
fn code_only(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let blank = length_of_no_code(rest, code.ends_with(is_word));
        if blank == 0 {
            code.push(c);
            rest = &rest[c.len_utf8()..];
        } else {
            let (gone, after) = rest.split_at(blank);
            code.extend(gone.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
            rest = after;
        }
    }
    code
}

/// Length of the comment, string or character literal at the start of `text`; 0: there is none.
fn length_of_no_code(text: &str, after_word: bool) -> usize {
    if text.starts_with("//") {
        return text.find('\n').unwrap_or(text.len());
    }
    if text.starts_with("/*") {
        return text.find("*/").map_or(text.len(), |end| end + 2);
    }
    if text.starts_with('"') {
        return quoted(text, 1);
    }
    if !after_word {
        for prefix in ["b\"", "c\""] {
            if text.starts_with(prefix) {
                return quoted(text, 2);
            }
        }
        if let Some(length) = raw_string(text) {
            return length;
        }
    }
    if let Some(after) = text.strip_prefix('\'') {
        // `'a'` and `'\n'` are characters, `'a` is a lifetime.
        let mut chars = after.chars();
        match (chars.next(), chars.next()) {
            (Some('\\'), _) => return after.get(2..).and_then(|t| t.find('\'')).map_or(0, |end| end + 4),
            (Some(c), Some('\'')) => return c.len_utf8() + 2,
            _ => {}
        }
    }
    0
}

fn quoted(text: &str, opening: usize) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(opening) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

fn raw_string(text: &str) -> Option<usize> {
    let after =
        text.strip_prefix("br").or_else(|| text.strip_prefix("cr")).or_else(|| text.strip_prefix('r'))?;
    let hashes = after.chars().take_while(|c| *c == '#').count();
    if !after[hashes..].starts_with('"') {
        return None;
    }
    let start = text.len() - after.len() + hashes + 1;
    let close = format!("\"{}", "#".repeat(hashes));
    Some(text[start..].find(&close).map_or(text.len(), |end| start + end + close.len()))
}

mod reading {
    use super::{code_only, imports};

    fn paths(code: &str) -> Vec<String> {
        imports(&code_only(code)).into_iter().map(|import| import.path.join("::")).collect()
    }

    #[test]
    fn groups_are_unfolded_and_bodies_are_read() {
        assert_eq!(
            paths(
                "use crate::{model::{App, Run}, sys::clock as c,\n proto};\nfn f() { crate::logs::pipe::go() }"
            ),
            ["model::App", "model::Run", "sys::clock", "proto::", "logs::pipe"]
        );
        assert_eq!(
            paths("pub(crate) fn f() {} use crate::sys::{clock, paths::Home};"),
            ["sys::clock", "sys::paths"]
        );
        assert_eq!(paths("my_crate::logs::x(); $crate::node::y()"), ["node::y"]);
    }

    #[test]
    fn comments_and_strings_are_no_code() {
        let code = "// crate::a::b\nlet s = \"crate::a::b \\\" unsafe\"; let r = r#\"crate::\"a\"#; let c = '\"'; x::<'a>()";
        let read = code_only(code);
        assert!(paths(code).is_empty() && !read.contains("unsafe"), "{read}");
        assert!(read.contains("let c =") && read.ends_with("x::<'a>()"), "{read}");
        assert_eq!(read.lines().count(), code.lines().count());
    }

    #[test]
    fn a_line_is_the_one_in_the_file() {
        let found = imports(&code_only("/* two\nlines */\nuse crate::logs::x;"));
        assert_eq!(found[0].line, 3);
    }
}
