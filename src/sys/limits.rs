//! Resource limits of this process (getrlimit(2)).

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the number of open files to the hard limit: an instance costs the daemon some seven descriptors.
/// Where that is refused, the limit stays as it is.
pub fn raise_open_files() {
    let now = getrlimit(Resource::Nofile);
    if now.current != now.maximum {
        let most = Rlimit { current: now.maximum, maximum: now.maximum };
        if let Err(error) = setrlimit(Resource::Nofile, most) {
            tracing::warn!(%error, "failed to raise the limit of open files");
        }
    }
}
