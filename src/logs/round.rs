//! The thread that leads: it waits for pipes and commands, never for a subscriber or the owner, and for a disk
//! not for long: see `hall`.
//!
//! After a round it dawdles a little ([`Pace`]), so that a chatty stream costs one batch and not one a line, unless a pipe
//! was found half full.

use super::hall::{COMMANDS, Hall, Run, tokens};
use super::late::AGAIN_MS;
use super::pace::Pace;
use super::stuck::RETRY_MS;
use super::tools::Tools;
use crate::sys::clock;
use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};
use rustix::io::Errno;
use std::io;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

/// A thread that leads, as long as the hall has its number.
#[derive(Debug)]
pub(super) struct Leader {
    // Ends before the hall does.
    pub(super) tools: Tools,
    pub(super) hall: Arc<Hall>,
    pub(super) number: u64,
    pace: Pace,
}

impl Leader {
    pub(super) fn new(hall: Arc<Hall>, number: u64) -> io::Result<Leader> {
        let tools = hall.tools()?;
        Ok(Leader { hall, number, tools, pace: Pace::default() })
    }

    pub(super) fn run(mut self) {
        while self.mine().is_some() {
            self.wait();
            self.commands();
            self.tick();
            let is_patient = self.round();
            let pause = self.pace.pause(clock::monotonic_ns());
            if is_patient && !pause.is_zero() {
                self.dawdle(pause);
            }
            if let Some(mut run) = self.mine() {
                run.report(&self.hall.rotor);
            }
        }
        // The one that watches ends too.
        self.hall.watch.notify_one();
    }

    /// The state, if this thread leads.
    pub(super) fn mine(&self) -> Option<MutexGuard<'_, Run>> {
        let run = self.hall.lock();
        (run.leader == self.number && !run.stopped).then_some(run)
    }

    /// Does what a disk is asked for, with nothing locked.
    pub(super) fn outside<T>(&mut self, deed: impl FnOnce(&mut Tools) -> T) -> T {
        if let Some(mut run) = self.mine() {
            self.hall.set_out(&mut run, None);
        }
        let done = deed(&mut self.tools);
        if let Some(mut run) = self.mine() {
            run.errand = None;
        }
        done
    }

    /// Until a pipe or a command has something, or something is due.
    fn wait(&mut self) {
        let now = clock::now().boot_ms;
        let Some(run) = self.mine() else { return };
        let retry = run.stuck.values().map(|stuck| stuck.due_ms.saturating_sub(now)).min();
        let pending =
            !run.commands.is_empty() || (run.begun && !(run.ready.is_empty() && run.turn.is_empty()));
        let timeout = match (pending, run.owed.is_empty()) {
            (true, _) => Some(0),
            (false, false) => Some(retry.unwrap_or(RETRY_MS).min(RETRY_MS)),
            (false, true) => retry,
        };
        let due = self.hall.rotor.due_in().filter(|_| run.begun);
        let late = (!run.late.is_empty()).then_some(AGAIN_MS);
        drop(run);
        let timeout = [timeout, due, late].into_iter().flatten().min().map(millis);
        let mut events = Vec::with_capacity(256);
        match epoll::wait(&self.hall.epoll, rustix::buffer::spare_capacity(&mut events), timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => tracing::error!(%error, "failed to wait for log pipes"),
        }
        let events = events.iter().map(|event| event.data.u64()).filter(|token| *token != COMMANDS);
        self.hall.lock().ready.extend(events);
    }

    fn commands(&mut self) {
        let came = self.hall.queue.take();
        let mut run = self.hall.lock();
        for late in run.late.take().into_iter().rev() {
            run.commands.push_front(late);
        }
        run.commands.extend(came);
        drop(run);
        while let Some(command) = self.mine().and_then(|mut run| run.commands.pop_front()) {
            self.obey(command);
        }
        self.hall.lock().caught_up();
    }

    /// Logs that the clock wants rotated.
    fn tick(&mut self) {
        if self.mine().is_none_or(|run| !run.begun) {
            return;
        }
        for path in self.hall.rotor.due() {
            self.outside(|tools| tools.rotor.catch_up(&tools.doors.files, &path));
        }
    }

    /// One step for each stream that is ready. `true`: something was done and nothing is urgent.
    fn round(&mut self) -> bool {
        let now = clock::now().boot_ms;
        let Some(mut run) = self.mine().filter(|run| run.begun) else { return false };
        let due = run.stuck.iter().filter(|(_, stuck)| stuck.due_ms <= now).map(|(token, _)| *token);
        let mut turn: Vec<u64> = due.collect();
        turn.extend(std::mem::take(&mut run.ready));
        run.turn.extend(turn);
        let mut busy = run.turn.is_empty();
        drop(run);
        while let Some(token) = self.mine().and_then(|mut run| run.turn.pop_first()) {
            busy |= self.step(token, now);
        }
        let Some(mut run) = self.mine() else { return false };
        for reply in run.settling.drain(..) {
            // Whoever asked may have gone.
            let _gone = reply.send(());
        }
        !busy
    }

    /// One stream's step. `true`: it is in a hurry.
    pub(super) fn step(&mut self, token: u64, now: u64) -> bool {
        let Some(mut run) = self.mine() else { return false };
        if run.stuck.get(&token).is_some_and(|stuck| stuck.due_ms > now) {
            return self.hall.overflow(&mut run, token, now);
        }
        let Some((mut stream, source)) = run.depart(token) else {
            run.miss(token, &self.hall.files, now);
            return self.hall.overflow(&mut run, token, now);
        };
        self.hall.set_out(&mut run, Some(token));
        drop(run);
        let outcome = stream.step(&mut self.tools, &source);
        self.pace.saw(outcome.as_ref().map_or(0, |step| step.filled));
        self.hall.land(self.number, token, stream, outcome)
    }

    /// Ends what a killed daemon had begun, then lets everything flow.
    pub(super) fn begin(&mut self) {
        let Some(mut run) = self.mine() else { return };
        run.begun = true;
        let all: Vec<u64> = run.entries.keys().flat_map(|entry| tokens(*entry)).collect();
        run.ready.extend(all);
        let streams = run.entries.values().flat_map(|entry| &entry.streams);
        let streams = streams.filter_map(|slot| slot.stream.as_ref());
        let owing: Vec<u64> = streams.filter(|stream| stream.owes()).map(|stream| stream.token).collect();
        let closing = std::mem::take(&mut run.closing);
        drop(run);
        for token in owing {
            self.step(token, clock::now().boot_ms);
        }
        for entry in closing {
            self.hall.queue.push(super::command::Command::Close { entry });
        }
    }

    /// Lets bytes gather; a command ends it.
    fn dawdle(&self, pause: Duration) {
        let mut watched = [PollFd::new(&self.hall.queue.wake, PollFlags::IN)];
        if let Err(error) = poll(&mut watched, Some(&Timespec::try_from(pause).unwrap_or_default())) {
            tracing::debug!(%error, "failed to let log bytes gather");
        }
    }
}

fn millis(ms: u64) -> Timespec {
    let ms = ms.cast_signed();
    Timespec { tv_sec: ms / 1000, tv_nsec: ms % 1000 * 1_000_000 }
}
