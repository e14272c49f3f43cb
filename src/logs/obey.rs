//! What the leading thread does when it is asked.
//!
//! A command is begun with everything locked, and what is asked of a disk comes last: should it hang, the thread goes on
//! with this command alone when the disk lets it, while another one leads.

use super::command::{Command, Seam};
use super::draw::Step;
use super::error::LogError;
use super::fanout::Filter;
use super::hall::{Entry, Run, Slot, index, of_token, tokens};
use super::ledger::Ledger;
use super::pipe::{Inlet, Stream};
use super::record::Record;
use super::round::Leader;
use super::seam;
use super::spec::{Held, PumpNotice, SinkSpec, Source};
use crate::model::StreamKind;
use crate::sys::fault;
use rustix::event::epoll;
use std::path::PathBuf;

impl Leader {
    pub(super) fn obey(&mut self, command: Command) {
        let mut run = self.hall.lock();
        if run.late.holds(&command) {
            return run.late.push(command);
        }
        drop(run);
        match command {
            Command::Attach { entry, source, sink, held } => self.attach(entry, source, sink, held),
            Command::Begin => {
                self.hall.rotor.begin();
                self.begin();
            }
            Command::AddPipe { entry, stream, generation, pipe } => {
                let inlet = Inlet::new(generation, pipe, &self.hall.lanes);
                self.add(entry, stream, inlet);
            }
            Command::AddSpill { entry, stream, files } => self.hall.lock().add_spill(entry, stream, files),
            Command::SetSource { entry, source } => {
                let mut run = self.hall.lock();
                let Some(known) = run.entries.get_mut(&entry) else { return };
                known.source = source.clone();
                let sink = known.sink.clone();
                drop(run);
                self.outside(|tools| {
                    tools.enlist(&sink, &source);
                    tools.release(&sink);
                });
            }
            Command::SetSink { entry, sink } => self.set_sink(entry, sink),
            Command::Close { entry } => self.close(entry),
            Command::Flush { paths, reply } => {
                let freed = self.outside(|tools| {
                    let freed = paths.into_iter().map(|path| {
                        let freed = tools.doors.files.truncate(&path);
                        (path, freed)
                    });
                    freed.collect()
                });
                // Whoever asked may have gone.
                let _gone = reply.send(freed);
            }
            Command::Subscribe { filter, recent, capacity, paths, reply } => {
                let seam = self.subscribe(filter, recent, capacity, &paths);
                // Whoever asked may have gone.
                let _gone = reply.send(seam);
            }
            Command::Plan(plan) => self.hall.rotor.plan(*plan),
            Command::Reopen => self.outside(|tools| tools.doors.files.reopen()),
            Command::Settle { reply } => {
                let mut run = self.hall.lock();
                let all: Vec<u64> = run.entries.keys().flat_map(|entry| tokens(*entry)).collect();
                run.ready.extend(all);
                run.settling.push(reply);
            }
            Command::Stop => self.hall.lock().stopped = true,
        }
    }

    /// The ends of files that are being written are what their streams have told, and nothing may be told meanwhile.
    fn subscribe(&mut self, filter: Filter, recent: usize, capacity: usize, paths: &[PathBuf]) -> Seam {
        let ends: Vec<_> =
            self.outside(|tools| paths.iter().map(|path| tools.doors.files.end(path)).collect());
        let run = self.hall.lock();
        let slots: Vec<&Slot> = run.entries.values().flat_map(|entry| &entry.streams).collect();
        let intakes: Vec<_> = slots.iter().map(|slot| slot.intake.lock()).collect();
        let told = intakes.iter().map(|intake| &intake.told);
        let ends = seam::ends(paths, &ends, &self.hall.files, told);
        let (live, recent) = self.hall.fanout.subscribe_after(filter, recent, capacity);
        Seam { live, recent, ends }
    }

    fn attach(&mut self, entry: u64, source: Source, sink: SinkSpec, held: Held) {
        let mut run = self.hall.lock();
        let open = |stream| Ok((Record::open(&held.record, stream)?, Ledger::open(&held.record, stream)?));
        let (out, err) = match open(StreamKind::Out).and_then(|out| Ok((out, open(StreamKind::Err)?))) {
            Ok(both) => both,
            Err(error) => {
                return run.put_off(Command::Attach { entry, source, sink, held }, &error);
            }
        };
        if run.entries.contains_key(&entry) {
            tracing::error!(entry, "an entry was attached to the log pump twice");
            return;
        }
        let [first, second] = tokens(entry);
        let slot = |token, kind, staging, both| {
            let (stream, intake) = Stream::attach(token, kind, staging, both, &sink, &self.hall.files);
            Slot { intake, stream: Some(Box::new(stream)), stale: false }
        };
        let streams = [
            slot(first, StreamKind::Out, held.out_staging, out),
            slot(second, StreamKind::Err, held.err_staging, err),
        ];
        let (to, from) = (sink.clone(), source.clone());
        run.entries.insert(entry, Entry { source, sink, streams, closing: false });
        run.ready.extend(tokens(entry));
        drop(run);
        self.outside(|tools| tools.enlist(&to, &from));
    }

    fn add(&mut self, entry: u64, stream: StreamKind, inlet: Inlet) {
        let token = tokens(entry)[index(stream)];
        let mut run = self.hall.lock();
        let Some(known) = run.entries.get(&entry) else {
            tracing::error!(entry, "a pipe came for an entry that is not attached to the log pump");
            return;
        };
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
        let watch = || epoll::add(&self.hall.epoll, &inlet.pipe, epoll::EventData::new_u64(token), flags);
        if let Err(error) = fault::errno("pump.watch").and_then(|()| watch()) {
            let Inlet { generation, pipe, .. } = inlet;
            let order = Command::AddPipe { entry, stream, generation, pipe };
            return run.put_off(order, &LogError::Pipe(error.into()));
        }
        known.streams[index(stream)].intake.lock().add(inlet);
        run.ready.insert(token);
    }

    /// What the last run wrote goes where it belongs, if that takes it.
    fn set_sink(&mut self, entry: u64, sink: SinkSpec) {
        let mut run = self.hall.lock();
        let Some(known) = run.entries.get_mut(&entry).filter(|known| known.sink != sink) else { return };
        let old = std::mem::replace(&mut known.sink, sink.clone());
        let source = known.source.clone();
        known.streams.iter_mut().for_each(|slot| slot.stale = true);
        drop(run);
        for token in tokens(entry) {
            let mut run = self.hall.lock();
            let stuck = run.stuck.contains_key(&token) || !run.begun;
            let Some((mut stream, source)) = run.depart(token) else { continue };
            if run.leader == self.number {
                self.hall.set_out(&mut run, Some(token));
            }
            drop(run);
            let drained = if stuck { Ok(()) } else { stream.drain(&mut self.tools, &source) };
            if stuck {
                self.hall.bring(self.number, token, stream);
            } else {
                self.hall.land(self.number, token, stream, drained.map(|()| Step::default()));
            }
            // What was stuck may not be any more.
            let mut run = self.hall.lock();
            run.stuck.entry(token).and_modify(|stuck| stuck.due_ms = 0);
            run.ready.insert(token);
        }
        self.outside(|tools| {
            tools.enlist(&sink, &source);
            tools.release(&old);
        });
    }

    fn close(&mut self, entry: u64) {
        let mut run = self.hall.lock();
        if !run.begun {
            run.closing.push(entry);
            return;
        }
        if let Some(known) = run.entries.get_mut(&entry)
            && known.streams.iter().any(|slot| slot.stream.is_none())
        {
            known.closing = true;
            return;
        }
        let gone = run.entries.remove(&entry);
        for token in tokens(entry) {
            run.ready.remove(&token);
            run.stuck.remove(&token);
            run.spilled.remove(&token);
            run.dropped.remove(&token);
        }
        drop(run);
        if let Some(known) = gone {
            self.finish(entry, known);
        }
        self.hall.lock().owed.push_back(PumpNotice::Closed { entry });
        self.hall.queue.wake();
    }

    fn finish(&mut self, entry: u64, known: Entry) {
        let Entry { source, sink, streams, .. } = known;
        for (slot, token) in streams.into_iter().zip(tokens(entry)) {
            let Some(mut stream) = slot.stream else { continue };
            let finished = self.outside(|tools| stream.finish(tools, &source));
            if let Err(error) = finished {
                let what = format!("{}; {} bytes or more are lost", error.told(), stream.kept());
                let (stream, overflowed) = (of_token(token).1, slot.intake.lock().overflowed());
                self.hall.lock().tell(PumpNotice::Trouble { entry, stream, what, overflowed });
            }
            let intake = slot.intake.lock();
            intake.inlets.iter().chain(&intake.closed).for_each(|inlet| self.hall.unregister(inlet));
        }
        self.outside(|tools| tools.release(&sink));
        let run = self.hall.lock();
        if !run.entries.values().any(|other| other.source.worker == source.worker) {
            self.hall.fanout.forget(source.worker);
        }
    }
}

impl Run {
    /// A trouble that is not the files'.
    pub(super) fn told(&mut self, entry: u64, stream: StreamKind, error: &LogError) {
        let overflowed = super::spec::Overflowed::default();
        self.tell(PumpNotice::Trouble { entry, stream, what: error.told(), overflowed });
    }
}
