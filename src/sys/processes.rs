//! One look at all processes of the system: who is whose child, in which session, born when.
//!
//! Lines of it are read one after the other, so it is no picture of one moment: whoever acts on it names a process by
//! pid and birth ([`Member`]), which is checked again when it is signalled.

use super::child::Member;
use super::proc;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// All processes that could be seen, by pid.
#[derive(Debug, Default)]
pub struct Processes {
    all: BTreeMap<u32, Seen>,
}

/// What a look tells of one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Who it is.
    pub member: Member,
    /// Its parent's pid; an orphan has that of a subreaper.
    pub parent: u32,
    /// The session it is in.
    pub session: u32,
    /// It has ended, or is about to: a zombie without any thread left.
    pub dead: bool,
    /// A signal has stopped it, or a debugger.
    pub stopped: bool,
}

/// Longer lines of ancestors are not believed: links read at different moments could form a ring.
const MAX_DEPTH: usize = 10_000;

impl Processes {
    /// Looks.
    pub fn look() -> Processes {
        let pids = proc::pids().unwrap_or_default();
        Processes { all: pids.into_iter().filter_map(|pid| Some((pid, Seen::read(pid)?))).collect() }
    }

    /// The process that has this pid.
    pub fn get(&self, pid: u32) -> Option<&Seen> {
        self.all.get(&pid)
    }

    /// All of them, the dead ones too.
    pub fn all(&self) -> impl Iterator<Item = &Seen> {
        self.all.values()
    }

    /// A process, its parent, and so on up.
    pub fn line(&self, pid: u32) -> impl Iterator<Item = &Seen> {
        std::iter::successors(self.get(pid), |seen| self.get(seen.parent)).take(MAX_DEPTH)
    }

    /// The living tree of `pid`: every member of the session it leads, all descendants of those by parent links,
    /// and itself; each process before its parent, `pid` last.
    pub fn tree(&self, pid: u32) -> Vec<Member> {
        let belongs = |p: u32| self.line(p).any(|seen| seen.member.pid == pid || seen.session == pid);
        let living = self.all().filter(|seen| !seen.dead).map(|seen| seen.member);
        let mut tree: Vec<Member> = living.filter(|member| belongs(member.pid)).collect();
        self.leaves_first(&mut tree);
        tree.sort_by_key(|member| member.pid == pid);
        tree
    }

    /// Puts children before their parents: the longer the line, the further from the root of the system.
    pub fn leaves_first(&self, members: &mut [Member]) {
        members.sort_by_cached_key(|member| Reverse(self.line(member.pid).count()));
    }
}

impl Seen {
    /// Looks at one process; `None`: it is gone.
    pub fn read(pid: u32) -> Option<Seen> {
        Seen::parse(pid, &std::fs::read(format!("/proc/{pid}/stat")).ok()?)
    }

    /// The command name (field 2) may hold anything, `)` and newlines too: fields are counted from its end.
    fn parse(pid: u32, line: &[u8]) -> Option<Seen> {
        let end = line.iter().rposition(|byte| *byte == b')')?;
        let rest = std::str::from_utf8(line.get(end + 1..)?).ok()?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().take(20).collect();
        let field = |number: usize| fields.get(number - 3).copied();
        let state = field(3)?;
        // A zombie whose other threads live on (its first one has left by pthread_exit(3)) has not ended.
        let threads: u32 = field(20)?.parse().ok()?;
        Some(Seen {
            member: Member { pid, start_time: field(22)?.parse().ok()? },
            parent: field(4)?.parse().ok()?,
            session: field(6)?.parse().ok()?,
            dead: matches!(state, "Z" | "X" | "x") && threads <= 1,
            stopped: matches!(state, "T" | "t"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::child::{is_alive, reap_soon, signal};
    use crate::sys::spawn::tests::{sh, wait_for};

    #[test]
    fn a_command_name_with_spaces_brackets_and_bytes_does_not_shift_the_fields() {
        let mut line =
            b"42 (a) R 7 (\xff\n) S 1 42 40 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 98765 11 12".to_vec();
        let member = Member { pid: 42, start_time: 98765 };
        let wanted = Seen { member, parent: 1, session: 40, dead: false, stopped: false };
        assert_eq!(Seen::parse(42, &line), Some(wanted));
        line.truncate(30);
        assert_eq!(Seen::parse(42, &line), None);
    }

    #[test]
    fn a_zombie_whose_threads_live_on_has_not_ended() {
        let line = |state: &str, threads: u32| {
            format!("42 (a) {state} 1 42 40 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 {threads} 0 98765 11 12")
        };
        let dead = |state, threads| Seen::parse(42, line(state, threads).as_bytes()).unwrap().dead;
        assert!(dead("Z", 1) && !dead("Z", 3) && !dead("T", 1));
        assert!(Seen::parse(42, line("T", 1).as_bytes()).unwrap().stopped);
    }

    #[test]
    fn a_tree_holds_grandchildren_orphans_of_the_session_and_those_who_left_it() {
        let child = sh("(sleep 60 & sleep 60 &) & setsid sleep 60 & sh -c 'sleep 60; :' & wait; sleep 60");
        let name = |m: &Member| std::fs::read_to_string(format!("/proc/{}/comm", m.pid)).unwrap_or_default();
        wait_for("two shells and four sleeps", || {
            let mut names: Vec<_> = Processes::look().tree(child.pid).iter().map(name).collect();
            names.sort();
            names == ["sh\n", "sh\n", "sleep\n", "sleep\n", "sleep\n", "sleep\n"]
        });
        let look = Processes::look();
        let tree = look.tree(child.pid);
        assert_eq!(tree.last().map(|m| m.pid), Some(child.pid), "itself last");
        for (place, process) in tree.iter().enumerate() {
            let parent = look.get(process.pid).unwrap().parent;
            let above = tree.iter().position(|m| m.pid == parent);
            assert!(above.is_none_or(|above| above > place), "children come before their parent");
        }
        for process in tree.iter().rev() {
            assert!(signal(*process, libc::SIGKILL).unwrap());
        }
        reap_soon(child.pid as i32);
        wait_for("all gone", || tree.iter().all(|m| !is_alive(*m)));
        assert!(!signal(tree[0], libc::SIGKILL).unwrap());
    }
}
