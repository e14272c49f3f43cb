//! Where the demo lives: a fresh directory, readable by nobody else, with the app's files in it.

use crate::sys::paths::Home;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

const SERVER: &str = include_str!("../../assets/demo/server.js");
const ECOSYSTEM: &str = include_str!("../../assets/demo/ecosystem.config.js");
const PACKAGE: &str = include_str!("../../assets/demo/package.json");

/// The directory; removed with everything in it when dropped, unless it was kept.
#[derive(Debug)]
pub(super) struct Place {
    home: Home,
    kept: bool,
}

impl Place {
    /// Makes it and writes the app there, with this port and number of instances in its ecosystem file.
    pub(super) fn create(port: u16, instances: u32) -> io::Result<Place> {
        let place = Place { home: Home::at(fresh_directory()?), kept: false };
        let app = place.app();
        std::fs::DirBuilder::new().mode(0o700).create(&app)?;
        let ecosystem = ECOSYSTEM
            .replace("PORT: 3001", &format!("PORT: {port}"))
            .replace("instances: 16", &format!("instances: {instances}"));
        std::fs::write(app.join("server.js"), SERVER)?;
        std::fs::write(app.join("ecosystem.config.js"), ecosystem)?;
        std::fs::write(app.join("package.json"), PACKAGE)?;
        Ok(place)
    }

    pub(super) fn home(&self) -> &Home {
        &self.home
    }

    /// The app's directory.
    pub(super) fn app(&self) -> PathBuf {
        self.home.root().join("timeline-app")
    }

    /// Leave it: something in it may still be needed.
    pub(super) fn keep(&mut self) {
        self.kept = true;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.kept {
            // Whatever cannot be removed is the temporary directory's affair from here on.
            std::fs::remove_dir_all(self.home.root()).ok();
        }
    }
}

/// A new directory that nobody else could have prepared: creation fails where something is.
fn fresh_directory() -> io::Result<PathBuf> {
    let parent = std::env::temp_dir();
    let parent = std::path::absolute(&parent).unwrap_or(parent);
    loop {
        let mut random = [0u8; 6];
        rustix::rand::getrandom(&mut random[..], rustix::rand::GetRandomFlags::empty())?;
        let name: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let path = parent.join(format!("pmon-demo-{name}"));
        match std::fs::DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => return Ok(path),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(named(&path, &e)),
        }
    }
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_place_is_private_holds_the_app_and_leaves_nothing() {
        let place = Place::create(3456, 4).unwrap();
        let root = place.home().root().to_owned();
        assert_eq!(std::fs::metadata(&root).unwrap().permissions().mode() & 0o777, 0o700);
        let ecosystem = std::fs::read_to_string(place.app().join("ecosystem.config.js")).unwrap();
        assert!(ecosystem.contains("PORT: 3456") && ecosystem.contains("instances: 4"), "{ecosystem}");
        assert!(place.app().join("server.js").exists());
        drop(place);
        assert!(!root.exists());
    }

    #[test]
    fn two_places_are_two() {
        let (a, b) = (Place::create(3001, 1).unwrap(), Place::create(3001, 1).unwrap());
        assert_ne!(a.home(), b.home());
    }

    #[test]
    fn a_place_that_is_kept_stays() {
        let mut place = Place::create(3001, 1).unwrap();
        let root = place.home().root().to_owned();
        place.keep();
        drop(place);
        assert!(root.exists());
        std::fs::remove_dir_all(root).unwrap();
    }
}
