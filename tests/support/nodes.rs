//! Programs and packages that `tests/nodes` installs from npm into `target/`.

use std::path::{Path, PathBuf};

/// The versions of Node that are tested.
pub const VERSIONS: [&str; 5] = ["18", "20", "22", "24", "26"];

/// The Node of this major version.
pub fn node(version: &str) -> PathBuf {
    program(version, "node")
}

/// `node`, `bun` or `deno` from its directory.
pub fn program(directory: &str, name: &str) -> PathBuf {
    installed(&format!("nodes/{directory}/node_modules/.bin/{name}"), directory)
}

/// An app of `tests/fixtures/apps`, with its packages.
pub fn app(name: &str) -> PathBuf {
    installed(&format!("apps/{name}"), "apps")
}

fn installed(path: &str, argument: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target").join(path);
    assert!(path.exists(), "this test needs {}: run tests/nodes {argument}", path.display());
    path
}
