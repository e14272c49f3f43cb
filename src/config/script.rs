//! Where a script is and where it runs.

use super::caller::Caller;
use super::error::ConfigError;
use super::path;
use std::path::{Path, PathBuf};

/// What `script` turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Script {
    /// A file, or a directory that node can run.
    File(PathBuf),
    /// A program found in PATH.
    Program(PathBuf),
    /// A command line for the shell.
    Command(String),
}

/// The working directory and the script, both absolute.
///
/// Relative paths are the caller's, as in PM2; where that fails and a configuration file is read,
/// its directory is tried, so that `start /srv/x/ecosystem.config.js` works from anywhere.
pub fn locate(
    written: &str,
    cwd: Option<&str>,
    config_dir: Option<&Path>,
    search: &str,
    app: &str,
    caller: &Caller,
) -> Result<(PathBuf, Script), ConfigError> {
    let home = caller.home_dir();
    let bases = [Some(caller.cwd.as_path()), config_dir].into_iter().flatten();
    let places: Vec<PathBuf> = bases.map(|base| path::resolve(base, cwd.unwrap_or("."), home)).collect();
    let missing = || ConfigError::NoDirectory {
        app: app.to_owned(),
        path: places.first().cloned().unwrap_or_default(),
    };
    let mut there = places.iter().filter(|dir| dir.is_dir()).peekable();
    let first = (*there.peek().ok_or_else(missing)?).clone();
    let in_places: Vec<_> = there.map(|dir| (dir.clone(), path::resolve(dir, written, home))).collect();
    let pick = |test: fn(&Path) -> bool| in_places.iter().find(|(_, path)| test(path)).cloned();
    if let Some((dir, path)) = pick(Path::is_file) {
        return Ok((dir, Script::File(path)));
    }
    if !written.contains('/')
        && let Some(program) = path::executable(written, search, &first)
    {
        return Ok((first, Script::Program(program)));
    }
    if let Some((dir, path)) = pick(node_runs_directory) {
        return Ok((dir, Script::File(path)));
    }
    if written.contains(char::is_whitespace) {
        return Ok((first, Script::Command(written.to_owned())));
    }
    let expected = path::resolve(&first, written, home);
    Err(ConfigError::ScriptNotFound { path: expected })
}

fn node_runs_directory(path: &Path) -> bool {
    path.is_dir() && (path.join("package.json").is_file() || path.join("index.js").is_file())
}

/// The name an app gets from its script: the file's without its last extension, a command as it is.
pub fn default_name(written: &str) -> String {
    if written.contains(char::is_whitespace) {
        return written.to_owned();
    }
    let path = Path::new(written);
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    stem.unwrap_or_else(|| written.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Tree(tempfile::TempDir);

    impl Tree {
        /// `a/` is the caller's directory, `b/` the configuration file's.
        fn with(files: &[&str]) -> Tree {
            let dir = tempfile::tempdir().unwrap();
            for file in ["a/.keep", "b/.keep"].iter().chain(files) {
                let path = dir.path().join(file);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, "").unwrap();
            }
            Tree(dir)
        }

        fn locate(&self, written: &str, cwd: Option<&str>) -> Result<(String, String), String> {
            let root = self.0.path();
            let caller = Caller { cwd: root.join("a"), env: Default::default(), uid: 0 };
            let config_dir = root.join("b");
            let short = |path: &Path| path.strip_prefix(root).unwrap_or(path).display().to_string();
            match locate(written, cwd, Some(&config_dir), "/bin", "web", &caller) {
                Ok((dir, Script::File(path) | Script::Program(path))) => Ok((short(&dir), short(&path))),
                Ok((dir, Script::Command(line))) => Ok((short(&dir), format!("sh: {line}"))),
                Err(error) => Err(error.to_string().replace(&root.display().to_string(), "")),
            }
        }
    }

    fn pair(cwd: &str, script: &str) -> Result<(String, String), String> {
        Ok((cwd.to_owned(), script.to_owned()))
    }

    #[test]
    fn the_callers_directory_comes_before_the_files() {
        let tree = Tree::with(&["a/x.js", "b/x.js", "b/y.js", "b/srv/z.js"]);
        assert_eq!(tree.locate("x.js", None), pair("a", "a/x.js"));
        assert_eq!(tree.locate("./y.js", None), pair("b", "b/y.js"));
        assert_eq!(tree.locate("z.js", Some("srv")), pair("b/srv", "b/srv/z.js"));
        let absolute = tree.0.path().join("b/x.js").display().to_string();
        assert_eq!(tree.locate(&absolute, None), pair("a", "b/x.js"));
    }

    #[test]
    fn a_program_a_directory_and_a_command_are_told_apart() {
        let tree = Tree::with(&["a/sh/file", "a/site/index.js", "a/a file.js"]);
        assert_eq!(tree.locate("sh", None), pair("a", "/bin/sh"), "a directory of that name is no program");
        assert_eq!(tree.locate("site", None), pair("a", "a/site"));
        assert_eq!(tree.locate("npm run start", None), pair("a", "sh: npm run start"));
        assert_eq!(tree.locate("a file.js", None), pair("a", "a/a file.js"));
    }

    #[test]
    fn what_is_missing_is_named_with_its_path() {
        let tree = Tree::with(&[]);
        assert_eq!(tree.locate("x.js", None), Err("Script not found: /a/x.js".into()));
        let error = tree.locate("x.js", Some("gone")).unwrap_err();
        assert_eq!(error, "app `web`: the working directory /a/gone does not exist");
    }

    #[test]
    fn a_name_is_the_file_without_its_last_extension() {
        assert_eq!(default_name("./dist/server.min.js"), "server.min");
        assert_eq!(default_name("/usr/bin/npm"), "npm");
        assert_eq!(default_name("npm run start"), "npm run start");
    }
}
