//! Notices. Scripts match on the `[PM2]` prefixes and on some of the words behind them, so these stay.

use super::colour::{self, Colour};
use crate::model::WorkerId;
use crate::model::app::{App, Mode};
use crate::model::order::Deed;

/// `[PM2] …`
pub fn note(text: impl AsRef<str>, colour: Colour) -> String {
    format!("{} {}", colour.paint(colour::GOOD, "[PM2]"), text.as_ref())
}

/// `[PM2][WARN] …`
pub fn warning(text: impl AsRef<str>, colour: Colour) -> String {
    format!("{} {}", colour.paint(colour::CARE, "[PM2][WARN]"), text.as_ref())
}

/// `[PM2][ERROR] …`
pub fn error(text: impl AsRef<str>, colour: Colour) -> String {
    format!("{} {}", colour.paint(colour::BAD, "[PM2][ERROR]"), text.as_ref())
}

/// `error: …`
pub fn plain_error(text: &str, colour: Colour) -> String {
    format!("{} {text}", colour.paint(colour::BAD, "error:"))
}

/// What is about to be done to the workers that a word means. The verbs' names are those of PM2's daemon.
pub fn applying(deed: Action, word: &str, ids: &[WorkerId]) -> String {
    let ids: Vec<String> = ids.iter().map(WorkerId::to_string).collect();
    format!("Applying action {} on app [{word}](ids: [ {} ])", deed.pm2_name(), ids.join(", "))
}

/// What one is about to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Stop.
    Stop,
    /// Restart.
    Restart,
    /// Reload.
    Reload,
    /// Delete.
    Delete,
}

impl Action {
    fn pm2_name(self) -> &'static str {
        match self {
            Action::Stop => "stopProcessId",
            Action::Restart => "restartProcessId",
            Action::Reload => "reloadProcessId",
            Action::Delete => "deleteProcessId",
        }
    }
}

/// `[web](0) ✓`; where the deed was not simply done, what was.
pub fn done(name: &str, id: WorkerId, deed: Deed) -> String {
    let remark = match deed {
        Deed::Launched
        | Deed::Started
        | Deed::Stopped
        | Deed::Restarted
        | Deed::Reloaded
        | Deed::Deleted
        | Deed::Reset
        | Deed::Signalled => "✓",
        Deed::ReloadAbandoned => "✗ the new process did not become ready; the old one stays",
        Deed::Untouched => "✓ (nothing to do)",
    };
    format!("[{name}]({id}) {remark}")
}

/// `Starting /srv/web.js in fork_mode (1 instance)`
pub fn starting(app: &App) -> String {
    let mode = match app.mode {
        Mode::Fork => "fork_mode",
        Mode::Cluster => "cluster_mode",
    };
    let plural = if app.instances == 1 { "" } else { "s" };
    format!("Starting {} in {mode} ({} instance{plural})", app.program.script.display(), app.instances)
}

/// `App [web] launched (2 instances)`; the plural also for one, as scripts know it.
pub fn launched(name: &str, count: usize) -> String {
    format!("App [{name}] launched ({count} instances)")
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn messages_are_what_scripts_match_on() {
        let plain = Colour(false);
        assert_eq!(note("Done.", plain), "[PM2] Done.");
        assert_eq!(error("Nothing to do", plain), "[PM2][ERROR] Nothing to do");
        assert_eq!(warning("No process found", plain), "[PM2][WARN] No process found");
        assert_eq!(
            applying(Action::Restart, "x", &[WorkerId(0), WorkerId(1)]),
            "Applying action restartProcessId on app [x](ids: [ 0, 1 ])"
        );
        assert_eq!(done("x", WorkerId(0), Deed::Stopped), "[x](0) ✓");
        assert_eq!(starting(&sample::app("a")), "Starting /srv/a.js in fork_mode (1 instance)");
        assert_eq!(launched("x", 2), "App [x] launched (2 instances)");
    }
}
