//! Paths as people write them → absolute ones, without touching the disk.

use std::path::{Component, Path, PathBuf};

/// `~` expanded, made absolute against `base` (itself absolute), `.` and `..` removed by the letter,
/// as Node's `path.resolve` does.
pub fn resolve(base: &Path, written: &str, home: Option<&Path>) -> PathBuf {
    let expanded = match (written.strip_prefix('~'), home) {
        (Some(""), Some(home)) => home.to_path_buf(),
        (Some(rest), Some(home)) if rest.starts_with('/') => home.join(rest.trim_start_matches('/')),
        _ => PathBuf::from(written),
    };
    let mut path = PathBuf::new();
    for part in base.join(expanded).components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                // At the root there is nothing above: `/..` is `/`.
                path.pop();
            }
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => path.push(part),
        }
    }
    path
}

/// The file called `program` that may be executed: itself if it has a slash, else the first in `search`
/// (a `PATH`).
pub fn executable(program: &str, search: &str, base: &Path) -> Option<PathBuf> {
    if program.contains('/') {
        let path = base.join(program);
        return is_executable(&path).then_some(path);
    }
    search
        .split(':')
        .map(|dir| base.join(if dir.is_empty() { "." } else { dir }).join(program))
        .find(|path| is_executable(path))
}

/// True for a file that this process may execute (access(2), so root still needs one x bit).
pub fn is_executable(path: &Path) -> bool {
    path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn paths_resolve_as_in_node() {
        let at = |written| {
            resolve(Path::new("/srv/app"), written, Some(Path::new("/home/dev"))).display().to_string()
        };
        assert_eq!(at("./server.js"), "/srv/app/server.js");
        assert_eq!(at("../other/./x"), "/srv/other/x");
        assert_eq!(at("/a/../../b"), "/b");
        assert_eq!(at("~/logs/x.log"), "/home/dev/logs/x.log");
        assert_eq!(at("~"), "/home/dev");
        assert_eq!(at("~other/x"), "/srv/app/~other/x");
        assert_eq!(at(""), "/srv/app");
    }

    #[test]
    fn only_files_with_an_x_bit_are_found_in_path() {
        let dir = tempfile::tempdir().unwrap();
        let [first, second] = ["first", "second"].map(|name| dir.path().join(name));
        for (parent, mode) in [(&first, 0o644), (&second, 0o755)] {
            std::fs::create_dir(parent).unwrap();
            std::fs::write(parent.join("tool"), "").unwrap();
            std::fs::set_permissions(parent.join("tool"), PermissionsExt::from_mode(mode)).unwrap();
        }
        std::fs::create_dir(first.join("dir")).unwrap();
        let search = format!("{}:{}", first.display(), second.display());
        assert_eq!(executable("tool", &search, dir.path()), Some(second.join("tool")));
        assert_eq!(executable("dir", &search, dir.path()), None);
        assert_eq!(executable("first/tool", &search, dir.path()), None);
    }
}
