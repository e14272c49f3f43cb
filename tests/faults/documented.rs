//! What `docs/guarantees.md` names is there.

use crate::named::read_all;
use std::path::Path;

/// Words like `path::name`, with the path's last part before it.
fn named(text: &str) -> Vec<(String, String)> {
    let quoted = text.split('`').skip(1).step_by(2);
    let words = quoted.filter_map(|word| word.rsplit_once("::"));
    let is_name = |name: &str| name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    words
        .filter(|(path, name)| path.contains(".rs") && is_name(name))
        .map(|(path, name)| (path.to_owned(), name.to_owned()))
        .collect()
}

#[test]
fn every_test_that_the_guarantees_name_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    read_all(&root.join("tests"), &mut files);
    read_all(&root.join("src"), &mut files);
    let named = named(&std::fs::read_to_string(root.join("docs/guarantees.md")).unwrap());
    assert!(named.len() > 50, "only {} are named", named.len());
    let missing: Vec<_> = named
        .into_iter()
        .filter(|(path, name)| {
            let test = format!("fn {name}(");
            let here = files
                .iter()
                .filter(|(file, _)| *file == root.join("tests").join(path) || *file == root.join(path));
            !here.into_iter().any(|(_, text)| text.contains(&test))
        })
        .collect();
    assert!(missing.is_empty(), "no such tests: {missing:?}");
}
