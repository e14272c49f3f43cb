//! Packages that tests need, pinned, installed once into `target/` from their registries.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// One installation at a time; a second test that wants the same finds it done.
static ALONE: Mutex<()> = Mutex::new(());

fn cache(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-packages").join(name)
}

fn run(what: &str, command: &mut Command) {
    let done = command.output().unwrap_or_else(|e| panic!("{what}: {e}"));
    assert!(done.status.success(), "{what}: {}", String::from_utf8_lossy(&done.stderr));
}

/// `tests/fixtures/loaded/<name>` with its npm packages: the path of its `server.js`.
pub fn npm_app(name: &str) -> PathBuf {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (from, to) = (super::fixture("loaded").join(name), cache(name));
    fs::create_dir_all(&to).unwrap();
    fs::copy(from.join("server.js"), to.join("server.js")).unwrap();
    let wanted = fs::read_to_string(from.join("package.json")).unwrap_or_default();
    let stamp = to.join("installed");
    if !wanted.is_empty() && fs::read_to_string(&stamp).unwrap_or_default() != wanted {
        super::need("npm", "apt-get install npm");
        fs::write(to.join("package.json"), &wanted).unwrap();
        let what = format!("npm install of tests/fixtures/loaded/{name} (it needs the npm registry)");
        let quiet = ["install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts"];
        run(&what, Command::new("npm").args(quiet).current_dir(&to));
        fs::write(stamp, wanted).unwrap();
    }
    to.join("server.js")
}

/// The `bin` directory of a Python environment with these packages (`gunicorn==27.0.1`).
pub fn python(packages: &[&str]) -> PathBuf {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    super::need("python3", "apt-get install python3 python3-venv");
    let to = cache("python");
    let (stamp, wanted) = (to.join("installed"), packages.join("\n"));
    if fs::read_to_string(&stamp).unwrap_or_default() != wanted {
        let what = "python3 -m venv (apt-get install python3-venv)";
        run(what, Command::new("python3").args(["-m", "venv", "--clear"]).arg(&to));
        let pip = ["install", "--quiet", "--disable-pip-version-check"];
        run("pip install (it needs PyPI)", Command::new(to.join("bin/pip")).args(pip).args(packages));
        fs::write(stamp, wanted).unwrap();
    }
    to.join("bin")
}
