//! Becoming another version while the workers go on: the keeper first, which refuses a program that is none; then we end,
//! and the keeper starts the new daemon in our place, or us again if that does not come to serve.

use super::mailbox::Letter;
use super::owner::Owner;
use crate::sys::fault;
use rustix::fs::{Mode, OFlags};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// The keeper has so long to become the new version, or to say why not.
const PATIENCE: Duration = Duration::from_secs(5);
/// For the answer to get out, and for the Node thread to pass on the connection it has in hand.
const FAREWELL: Duration = Duration::from_millis(20);

type Answer = oneshot::Sender<Result<(), String>>;

/// The upgrade under way, if there is one.
#[derive(Debug, Default)]
pub(super) struct Upgrade {
    asked: Option<Asked>,
    done: bool,
}

#[derive(Debug)]
struct Asked {
    program: PathBuf,
    /// Both are to become the same file, whatever somebody does with the path meanwhile.
    file: Option<OwnedFd>,
    answer: Answer,
    until: Instant,
}

impl Upgrade {
    /// The keeper is the new version, and it is our turn to go.
    pub(super) fn is_done(&self) -> bool {
        self.done
    }

    /// A keeper that does not know how says nothing.
    pub(super) fn give_up_late(&mut self) {
        if let Some(asked) = self.asked.take_if(|asked| asked.until < Instant::now()) {
            say(asked.answer, Err("hear from the keeper that it can: it did not answer".to_owned()));
        }
    }
}

impl Owner {
    /// Begins it.
    pub(super) fn upgrade_to(&mut self, program: PathBuf, answer: Answer) {
        if self.upgrade.asked.is_some() {
            return say(answer, Err("begin: another upgrade is under way".to_owned()));
        }
        fault::pass("upgrade.begin");
        // Where it is not, the keeper says why.
        let file = rustix::fs::open(&program, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok();
        match self.link.upgrade_keeper(&program, file.as_ref().map(AsFd::as_fd)) {
            Ok(()) => {
                fault::pass("upgrade.asked");
                let until = Instant::now() + PATIENCE;
                self.upgrade.asked = Some(Asked { program, file, answer, until });
            }
            Err(error) => say(answer, Err(format!("tell the keeper: {error}"))),
        }
    }

    /// The keeper has become the new version, or refuses to.
    pub(super) fn keeper_upgraded(&mut self, refusal: Option<String>) {
        let Some(Asked { program, file, answer, .. }) = self.upgrade.asked.take() else { return };
        if let Some(why) = refusal {
            tracing::warn!(program = %program.display(), why, "the keeper refuses to become another program");
            return say(answer, Err(why));
        }
        fault::pass("upgrade.keeper_done");
        match self.link.upgrade_daemon(&program, file.as_ref().map(AsFd::as_fd)) {
            Ok(()) => {
                fault::pass("upgrade.room");
                tracing::info!(program = %program.display(), "makes room for another version");
                say(answer, Ok(()));
                self.upgrade.done = true;
            }
            Err(error) => say(answer, Err(format!("tell the keeper: {error}"))),
        }
    }
}

fn say(answer: Answer, what: Result<(), String>) {
    // The client may have left.
    drop(answer.send(what));
}

/// Ends this daemon and nothing else. Orders that are not answered are not refused either: their clients see us gone, and
/// ask the next daemon, which goes on with them.
pub(super) async fn make_room(
    mut owner: Owner,
    unread: mpsc::Receiver<Letter>,
    server: JoinHandle<io::Result<()>>,
) -> anyhow::Result<()> {
    std::mem::forget((owner.unanswered(), unread));
    let link = owner.link.clone();
    drop(owner);
    tokio::time::sleep(FAREWELL).await;
    server.abort();
    drop(link);
    Ok(())
}
