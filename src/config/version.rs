//! The version of an app: that of the nearest package.json above its script.

use serde_json::Value;
use std::path::Path;

/// `version` of the nearest package.json; `None` if there is none, or it has none.
pub fn of(script: &Path) -> Option<String> {
    let file = script.ancestors().skip(1).map(|dir| dir.join("package.json")).find(|p| p.is_file())?;
    let package: Value = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
    Some(package.get("version")?.as_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_package_counts() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("a/b");
        std::fs::create_dir_all(&deep).unwrap();
        std::fs::write(dir.path().join("package.json"), r#"{"version": "1.4.2"}"#).unwrap();
        assert_eq!(of(&deep.join("x.js")).as_deref(), Some("1.4.2"));
        std::fs::write(dir.path().join("a/package.json"), "{}").unwrap();
        assert_eq!(of(&deep.join("x.js")), None);
    }
}
