//! A log and its rotated files, as one who was never there finds them.

use super::wait_for;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The rotated files of a log, oldest first.
pub fn rotated(log: &Path) -> Vec<PathBuf> {
    let stem = format!("{}__", log.file_stem().unwrap().to_str().unwrap());
    let entries = std::fs::read_dir(log.parent().unwrap()).unwrap().flatten();
    let mut found: Vec<(std::time::SystemTime, PathBuf)> = entries
        .filter(|entry| {
            let name = entry.file_name().into_string().unwrap();
            name.starts_with(&stem) && !name.ends_with(".tmp")
        })
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().unwrap(), entry.path())))
        .collect();
    // Compressed, and the original not yet removed: one file.
    found.retain(|(_, path)| {
        !path.with_extension("log.gz").exists() || path.extension().is_some_and(|e| e == "gz")
    });
    found.sort();
    found.into_iter().map(|(_, path)| path).collect()
}

/// The text of a log or of a rotated file; `None` if it is there no more.
pub fn unpacked(path: &Path) -> Option<Vec<u8>> {
    let bytes = std::fs::read(path).ok()?;
    if path.extension().is_some_and(|e| e == "gz") {
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(&bytes[..]).read_to_end(&mut plain).unwrap();
        return Some(plain);
    }
    Some(bytes)
}

/// All that a log has and had, in the order it was written.
pub fn whole(log: &Path) -> Vec<u8> {
    let parts = wait_for("files that stay where they are", || {
        let parts: Option<Vec<Vec<u8>>> =
            rotated(log).into_iter().chain([log.to_owned()]).map(|path| unpacked(&path)).collect();
        parts.ok_or_else(|| "one is being compressed".to_owned())
    });
    parts.concat()
}
