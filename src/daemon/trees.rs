//! Process trees that were told to end: who was in them, and who is still there.

use crate::model::Run;
use crate::sys::child::{self, Member};
use std::collections::HashMap;

/// Members of the trees that a signal was sent to, by run, until nothing of the tree is left.
#[derive(Debug, Default)]
pub(super) struct Trees {
    condemned: HashMap<Run, Vec<Member>>,
    roots_gone: Vec<Run>,
}

impl Trees {
    /// Signals everybody below `root` (leaves first), but not `root` itself, and remembers them.
    pub(super) fn signal_below(&mut self, run: Run, root: u32, signal: i32) {
        let known = self.condemned.entry(run).or_default();
        for member in child::tree(root) {
            if member.pid != root && !known.contains(&member) {
                known.push(member);
            }
        }
        for member in known.iter() {
            if let Err(error) = child::signal(*member, signal) {
                tracing::debug!(pid = member.pid, %error, "failed to signal a child process");
            }
        }
    }

    /// Signals what is left of a tree whose root has ended.
    pub(super) fn signal_left(&mut self, run: Run, signal: i32) {
        for member in self.condemned.get(&run).into_iter().flatten() {
            if let Err(error) = child::signal(*member, signal) {
                tracing::debug!(pid = member.pid, %error, "failed to signal a child process");
            }
        }
    }

    /// The root has ended: is somebody of a condemned tree still alive?
    pub(super) fn root_gone(&mut self, run: Run, root: u32) -> bool {
        let Some(members) = self.condemned.get_mut(&run) else { return false };
        // Children made while the signals were on their way are still in the session.
        for member in child::tree(root) {
            if member.pid != root && !members.contains(&member) {
                members.push(member);
            }
        }
        members.retain(|member| child::is_alive(*member));
        if members.is_empty() {
            self.condemned.remove(&run);
            return false;
        }
        self.roots_gone.push(run);
        true
    }

    /// True while somebody has to be looked after.
    pub(super) fn pending(&self) -> bool {
        !self.roots_gone.is_empty()
    }

    /// Runs whose trees have ended since the last look.
    pub(super) fn ended(&mut self) -> Vec<Run> {
        let condemned = &mut self.condemned;
        let (gone, left) = self.roots_gone.drain(..).partition(|run| match condemned.get_mut(run) {
            Some(members) => {
                members.retain(|member| child::is_alive(*member));
                members.is_empty()
            }
            None => true,
        });
        self.roots_gone = left;
        let gone: Vec<Run> = gone;
        for run in &gone {
            self.condemned.remove(run);
        }
        gone
    }
}
