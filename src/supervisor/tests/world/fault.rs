//! What can go wrong with an effect, and how it does.

use super::*;

/// What goes wrong with one effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::supervisor::tests) enum Fault {
    /// The daemon dies before it, and after it.
    DiesBefore,
    DiesAfter,
    /// A process cannot be made; `true`: for now.
    Unmade(&'static str, bool),
    /// It ends before the daemon hears that it is there.
    EndsEarly,
    /// Its end is told twice.
    EndsTwice,
    /// It never says a word.
    Mute,
    /// It is lost on its way: a signal, a message, a record.
    Lost,
    /// It was gone before the signal came.
    GoneBefore,
    /// A timer comes late, or twice.
    Late,
    Twice,
}

impl Fault {
    /// All that can go wrong with an effect.
    pub(super) fn of(effect: &Effect) -> Vec<Fault> {
        use Fault::*;
        let own: &[Fault] = match effect {
            Effect::Spawn(_) => &[
                Unmade("make a process: EAGAIN", true),
                Unmade("make a process: ENOMEM", true),
                Unmade("make a pipe: EMFILE", true),
                Unmade("run its program: ENOENT", false),
                Unmade("run its program: EACCES", false),
                EndsEarly,
                EndsTwice,
                Mute,
            ],
            Effect::Signal { .. } => &[Lost, GoneBefore],
            Effect::Sweep { .. } => &[Lost],
            Effect::Keep(_) | Effect::SayShutdown { .. } | Effect::Drain { .. } | Effect::Reply { .. } => {
                &[Lost]
            }
            Effect::Timer { .. } => &[Late, Twice],
            Effect::Probe { .. } => &[Twice],
            Effect::Forget { .. } | Effect::CloseListeners { .. } | Effect::Publish(_) | Effect::End => &[],
        };
        [DiesBefore, DiesAfter].into_iter().chain(own.iter().copied()).collect()
    }
}

impl World {
    /// Carries an effect out, but not as it should.
    pub(super) fn go_wrong(&mut self, effect: Effect, fault: Fault) {
        if let Effect::Spawn(record) = &effect {
            self.check_spawn(record);
        }
        match (effect, fault) {
            (Effect::Spawn(record), Fault::Unmade(what, may_pass)) => {
                self.make(record, Some((what, may_pass)));
            }
            (Effect::Spawn(record), Fault::EndsEarly) => {
                let run = record.run;
                self.make(record, None);
                let spawned = self.mail.pop().expect("it is spawned");
                self.end(run, Exit::Code(1), false);
                self.mail.push(spawned);
            }
            (Effect::Spawn(record), Fault::EndsTwice) => {
                let run = record.run;
                self.make(record, None);
                self.end(run, Exit::Code(1), false);
                let again = self.mail.last().expect("it has ended").clone();
                self.mail.push(again);
            }
            (Effect::Spawn(record), Fault::Mute) => {
                let entry = record.run.entry;
                self.make(record, None);
                self.keeper.get_mut(&entry).expect("it is held").introduced = true;
            }
            (Effect::Signal { run, .. }, Fault::GoneBefore) => self.end(run, Exit::Code(7), false),
            (Effect::Reply { ticket, .. }, Fault::Lost) => {
                assert!(self.open.remove(&ticket), "{ticket:?} is answered twice");
            }
            (Effect::Keep(record), Fault::Lost) => {
                self.outdated = true;
                // What is new is in the keeper all the same: its entry is made by the descriptors.
                match self.keeper.get_mut(&record.run.entry) {
                    // The count goes with the role.
                    Some(held) => {
                        if held.record.role == Role::Replacement && record.role == Role::Current {
                            *self.restarts.entry(record.worker).or_default() += 1;
                        }
                        held.record.role = record.role;
                    }
                    None => self.keep(record),
                }
            }
            (_, Fault::Lost) => {}
            (Effect::Timer { key, after }, Fault::Late) => {
                let due = self.now.after(after * 3).boot_ms;
                self.timers.push((due, key));
            }
            (effect, Fault::Twice) => {
                self.carry_out(effect.clone());
                self.carry_out(effect);
            }
            (effect, fault) => panic!("{fault:?} is nothing that can happen to {effect:?}"),
        }
    }
}
