//! What runs a script: asked for, or by its extension, or by what is in it.
//!
//! | script | interpreter |
//! |---|---|
//! | `.js` | node |
//! | `.sh` `.py` `.rb` `.php` `.pl` `.coffee` `.ls` | bash, python (or python3), ruby, php, perl, coffee, lsc |
//! | `.ts` `.tsx` | bun; without it, node from 22.18 on, or 22.6 with a flag, for `.ts` |
//! | else, a binary | none: it runs itself |
//! | else, `#!` | node if that says so; else none, or what `#!` says if the x bit is missing |
//! | else | node |

use super::caller::Caller;
use super::error::ConfigError;
use super::path;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What runs a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interpreter {
    /// PM2's `exec_interpreter`: `node`, `none`, a path as written.
    pub name: String,
    /// Its executable; `None` with `none`.
    pub path: Option<PathBuf>,
    /// Arguments that it needs for this script, before all others.
    pub args: Vec<String>,
}

const BY_EXTENSION: [(&str, &str); 8] = [
    ("sh", "bash"),
    ("py", "python"),
    ("rb", "ruby"),
    ("php", "php"),
    ("pl", "perl"),
    ("js", "node"),
    ("coffee", "coffee"),
    ("ls", "lsc"),
];

/// What a file without a telling extension is.
#[derive(Debug, PartialEq, Eq)]
enum Content {
    Binary,
    /// The words after `#!`, `env` and its options left out.
    Shebang(Vec<String>),
    Text,
}

/// Where interpreters are looked for.
#[derive(Debug, Clone, Copy)]
pub struct Search<'a> {
    /// A `PATH`.
    pub path: &'a str,
    /// The app's working directory.
    pub cwd: &'a Path,
    /// For `~` and `NVM_DIR`.
    pub caller: &'a Caller,
}

/// The interpreter for `script`, `asked` being what the user wrote.
pub fn choose(script: &Path, asked: Option<&str>, search: Search<'_>) -> Result<Interpreter, ConfigError> {
    let extension = script.extension().and_then(|e| e.to_str()).unwrap_or_default();
    let by_extension = BY_EXTENSION.iter().find(|(e, _)| *e == extension).map(|(_, name)| *name);
    match (asked, by_extension) {
        (Some("none"), _) => itself(script),
        (Some(name), _) => named(name, script, search),
        (None, Some("python")) => {
            named("python", script, search).or_else(|_| named("python3", script, search))
        }
        (None, Some(name)) => named(name, script, search),
        (None, None) if extension == "ts" || extension == "tsx" => typescript(script, search),
        // Node runs a directory by its package.json.
        (None, None) if script.is_dir() => named("node", script, search),
        (None, None) => by_content(script, search),
    }
}

fn by_content(script: &Path, search: Search<'_>) -> Result<Interpreter, ConfigError> {
    match content(script) {
        Content::Binary => itself(script),
        Content::Text => named("node", script, search),
        Content::Shebang(words) => {
            let (program, args) = words.split_first().map_or(("", &[] as &[String]), |(p, a)| (p, a));
            let base = program.rsplit('/').next().unwrap_or_default();
            if matches!(base, "node" | "nodejs") {
                let node = named("node", script, search)?;
                return Ok(Interpreter { args: args.to_vec(), ..node });
            }
            if path::is_executable(script) {
                return itself(script);
            }
            Ok(Interpreter { args: args.to_vec(), ..named(program, script, search)? })
        }
    }
}

fn itself(script: &Path) -> Result<Interpreter, ConfigError> {
    if !path::is_executable(script) {
        return Err(ConfigError::NotExecutable { path: script.to_path_buf() });
    }
    Ok(Interpreter { name: "none".to_owned(), path: None, args: Vec::new() })
}

fn named(name: &str, script: &Path, search: Search<'_>) -> Result<Interpreter, ConfigError> {
    let found = match name.strip_prefix("node@") {
        Some(version) => of_nvm(version, search.caller),
        None if name.contains('/') => {
            let path = path::resolve(search.cwd, name, search.caller.home_dir());
            path::is_executable(&path).then_some(path)
        }
        None => path::executable(name, search.path, search.cwd),
    };
    let missing = || ConfigError::NoInterpreter { name: name.to_owned(), script: script.to_path_buf() };
    Ok(Interpreter { name: name.to_owned(), path: Some(found.ok_or_else(missing)?), args: Vec::new() })
}

/// The newest installed node of this version: `18`, `18.19`, `v18.19.1`.
fn of_nvm(version: &str, caller: &Caller) -> Option<PathBuf> {
    let nvm = match caller.var("NVM_DIR") {
        Some(dir) => PathBuf::from(dir),
        None => caller.home_dir()?.join(".nvm"),
    };
    let wanted = numbers(version)?;
    std::fs::read_dir(nvm.join("versions/node"))
        .ok()?
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let installed = numbers(entry.file_name().to_str()?)?;
            installed.starts_with(&wanted).then(|| (installed, entry.path().join("bin/node")))
        })
        .filter(|(_, node)| path::is_executable(node))
        .max()
        .map(|(_, node)| node)
}

/// `v18.19.1` → 18, 19, 1.
fn numbers(version: &str) -> Option<Vec<u32>> {
    version.trim().trim_start_matches('v').split('.').map(|n| n.parse().ok()).collect()
}

fn typescript(script: &Path, search: Search<'_>) -> Result<Interpreter, ConfigError> {
    let no_bun = match named("bun", script, search) {
        Ok(bun) => return Ok(bun),
        Err(error) => error,
    };
    let node = match named("node", script, search) {
        Ok(node) if script.extension().is_some_and(|e| e == "ts") => node,
        Ok(_) | Err(_) => return Err(no_bun),
    };
    // Types are stripped since 22.6 behind a flag, since 22.18 without (nodejs.org/api/typescript.html).
    match node.path.as_deref().and_then(node_version).as_deref() {
        Some([major, minor, ..]) if (*major, *minor) >= (22, 18) => Ok(node),
        Some([major, minor, ..]) if (*major, *minor) >= (22, 6) => {
            Ok(Interpreter { args: vec!["--experimental-strip-types".to_owned()], ..node })
        }
        Some(_) | None => Err(no_bun),
    }
}

fn node_version(node: &Path) -> Option<Vec<u32>> {
    let output = Command::new(node).arg("--version").output().ok()?;
    numbers(std::str::from_utf8(&output.stdout).ok()?)
}

/// Looks at the first half kilobyte. A file that may be run but not read must be a binary.
fn content(script: &Path) -> Content {
    let mut head = Vec::with_capacity(512);
    let read = std::fs::File::open(script).and_then(|file| file.take(512).read_to_end(&mut head));
    if read.is_err() || head.contains(&0) {
        return Content::Binary;
    }
    let text = String::from_utf8_lossy(&head);
    let Some(line) = text.lines().next().and_then(|line| line.strip_prefix("#!")) else {
        return Content::Text;
    };
    let is_env = |word: &&str| word.ends_with("/env") || matches!(*word, "-S" | "-i");
    let words: Vec<String> = line.split_whitespace().skip_while(is_env).map(str::to_owned).collect();
    if words.is_empty() { Content::Text } else { Content::Shebang(words) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    /// A directory with a `bin` of empty programs and a caller whose PATH it is.
    struct Machine {
        dir: tempfile::TempDir,
        caller: Caller,
    }

    impl Machine {
        fn with(programs: &[&str]) -> Machine {
            let dir = tempfile::tempdir().unwrap();
            let env = [("HOME".to_owned(), dir.path().display().to_string())].into();
            let caller = Caller { cwd: dir.path().into(), env, uid: 0 };
            let machine = Machine { dir, caller };
            for program in programs {
                machine.file(&format!("bin/{program}"), "", 0o755);
            }
            machine
        }

        fn file(&self, name: &str, text: &str, mode: u32) -> PathBuf {
            let path = self.dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            path
        }

        fn choose(&self, script: &Path, asked: Option<&str>) -> Result<String, String> {
            let bin = self.dir.path().join("bin").display().to_string();
            let search = Search { path: &bin, cwd: self.dir.path(), caller: &self.caller };
            let found = choose(script, asked, search).map_err(|error| error.to_string())?;
            assert_eq!(found.path.is_none(), found.name == "none");
            Ok([vec![found.name], found.args].concat().join(" "))
        }
    }

    #[test]
    fn the_extension_decides() {
        let machine =
            Machine::with(&["node", "bash", "python3", "ruby", "php", "perl", "coffee", "lsc", "bun"]);
        for (script, interpreter) in [
            ("a.js", "node"),
            ("a.sh", "bash"),
            ("a.py", "python3"),
            ("a.rb", "ruby"),
            ("a.php", "php"),
            ("a.pl", "perl"),
            ("a.coffee", "coffee"),
            ("a.ls", "lsc"),
            ("a.ts", "bun"),
            ("a.tsx", "bun"),
            ("a.mjs", "node"),
            ("plain", "node"),
        ] {
            let path = machine.file(script, "text", 0o644);
            assert_eq!(machine.choose(&path, None).as_deref(), Ok(interpreter), "{script}");
        }
    }

    #[test]
    fn without_an_extension_the_content_decides() {
        let machine = Machine::with(&["node", "sh", "deno"]);
        let binary = machine.file("binary", "\x7fELF\0", 0o755);
        let script = machine.file("script", "#!/bin/sh -e\n", 0o755);
        let node = machine.file("cli", "#!/usr/bin/env -S node --enable-source-maps\n", 0o755);
        assert_eq!(machine.choose(&binary, None).as_deref(), Ok("none"));
        assert_eq!(machine.choose(&script, None).as_deref(), Ok("none"));
        assert_eq!(machine.choose(&node, None).as_deref(), Ok("node --enable-source-maps"));
        let unmarked = machine.file("unmarked", "#!/usr/bin/env deno run\n", 0o644);
        assert_eq!(machine.choose(&unmarked, None).as_deref(), Ok("deno run"));
    }

    #[test]
    fn what_is_missing_is_named() {
        let machine = Machine::with(&[]);
        let script = machine.file("a.py", "", 0o644);
        let error = machine.choose(&script, None).unwrap_err();
        assert!(error.starts_with("Interpreter python3 is NOT AVAILABLE in PATH"), "{error}");
        let error = machine.choose(&script, Some("./none-such")).unwrap_err();
        assert!(error.starts_with("Interpreter ./none-such is NOT AVAILABLE"), "{error}");
        let error = machine.choose(&script, Some("none")).unwrap_err();
        assert!(error.ends_with("a.py is not executable: permission denied"), "{error}");
    }

    #[test]
    fn node_at_a_version_is_the_newest_that_nvm_has() {
        let machine = Machine::with(&[]);
        for version in ["v18.9.0", "v18.19.1", "v20.0.0"] {
            machine.file(&format!(".nvm/versions/node/{version}/bin/node"), "", 0o755);
        }
        let of = |version| of_nvm(version, &machine.caller).map(|node| node.display().to_string());
        assert!(of("18").unwrap().contains("v18.19.1"));
        assert!(of("v18.9").unwrap().contains("v18.9.0"));
        assert_eq!(of("16"), None);
        let script = machine.file("a.js", "", 0o644);
        assert_eq!(machine.choose(&script, Some("node@20")).as_deref(), Ok("node@20"));
    }

    #[test]
    fn typescript_without_bun_needs_a_recent_node() {
        for (version, expected) in [
            ("v22.18.0", Ok("node")),
            ("v22.7.1", Ok("node --experimental-strip-types")),
            (
                "v20.11.0",
                Err("Interpreter bun is NOT AVAILABLE in PATH. (type 'which bun' to double check.)"),
            ),
        ] {
            let machine = Machine::with(&[]);
            machine.file("bin/node", &format!("#!/bin/sh\necho {version}\n"), 0o755);
            let script = machine.file("a.ts", "", 0o644);
            let found = machine.choose(&script, None);
            assert_eq!(found.as_deref().map_err(String::as_str), expected, "{version}");
        }
    }
}
