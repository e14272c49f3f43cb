//! What the pump's thread does when it is asked.

use super::command::{Command, Seam};
use super::error::LogError;
use super::file::Files;
use super::ledger::Ledger;
use super::pipe::{Inlet, Stream};
use super::record::Record;
use super::round::{Entry, Run, index, of_token, tokens};
use super::seam;
use super::spec::{Held, PumpNotice, SinkSpec, Source};
use crate::model::StreamKind;
use crate::sys::clock;
use crate::sys::fault;
use crate::sys::pipe::capacity;
use rustix::event::epoll;

impl Run {
    pub(super) fn obey(&mut self, command: Command) {
        match command {
            Command::Attach { entry, source, sink, held } => self.attach(entry, source, &sink, held),
            Command::Begin => self.begin(),
            Command::AddPipe { entry, stream, generation, pipe } => {
                let inlet = Inlet { generation, capacity: capacity(&pipe), pipe };
                self.add(entry, stream, inlet);
            }
            Command::AddSpill { entry, stream, files } => self.add_spill(entry, stream, files),
            Command::SetSource { entry, source } => {
                if let Some(known) = self.entries.get_mut(&entry) {
                    known.source = source;
                    self.tools.enlist(&known.sink, &known.source);
                    self.tools.release(&known.sink);
                }
            }
            Command::SetSink { entry, sink } => {
                if let Some(known) = self.entries.get_mut(&entry).filter(|known| known.sink != sink) {
                    known.streams.iter_mut().for_each(|stream| stream.set_sink(&sink, &mut self.tools.files));
                    self.tools.enlist(&sink, &known.source);
                    self.tools.release(&std::mem::replace(&mut known.sink, sink));
                    // What was stuck may not be any more.
                    for token in tokens(entry) {
                        self.stuck.entry(token).and_modify(|stuck| stuck.due_ms = 0);
                        self.ready.insert(token);
                    }
                }
            }
            Command::Close { entry } if self.begun => self.close(entry),
            Command::Close { entry } => self.closing.push(entry),
            Command::Flush { paths, reply } => {
                let freed = paths.into_iter().map(|path| {
                    let freed = Files::truncate(&path);
                    (path, freed)
                });
                // Whoever asked may have gone.
                let _gone = reply.send(freed.collect());
            }
            Command::Subscribe { filter, recent, capacity, paths, reply } => {
                let told = self.entries.values().flat_map(|entry| &entry.streams).map(|stream| &stream.told);
                let ends = seam::ends(&paths, &self.tools.files, told);
                let (live, recent) = self.tools.fanout.subscribe_after(filter, recent, capacity);
                // Whoever asked may have gone.
                let _gone = reply.send(Seam { live, recent, ends });
            }
            Command::Plan(plan) => self.tools.rotor.plan(*plan),
            Command::Reopen => self.tools.files.reopen(),
            Command::Settle { reply } => {
                self.ready.extend(self.entries.keys().flat_map(|entry| tokens(*entry)));
                self.settling.push(reply);
            }
            Command::Stop => self.stopped = true,
        }
    }

    /// Ends what a killed daemon had begun, then lets everything flow.
    fn begin(&mut self) {
        self.begun = true;
        self.tools.rotor.begin();
        let streams = self.entries.values().flat_map(|entry| &entry.streams);
        let owing: Vec<u64> = streams.filter(|stream| stream.owes()).map(|stream| stream.token).collect();
        for token in owing {
            self.step(token, clock::now().boot_ms);
        }
        self.ready.extend(self.entries.keys().flat_map(|entry| tokens(*entry)));
        for entry in std::mem::take(&mut self.closing) {
            self.close(entry);
        }
    }

    fn attach(&mut self, entry: u64, source: Source, sink: &SinkSpec, held: Held) {
        let open = |stream| Ok((Record::open(&held.record, stream)?, Ledger::open(&held.record, stream)?));
        let (out, err) = match open(StreamKind::Out).and_then(|out| Ok((out, open(StreamKind::Err)?))) {
            Ok(both) => both,
            Err(error) => {
                for stream in [StreamKind::Out, StreamKind::Err] {
                    self.told(entry, stream, &error);
                }
                return;
            }
        };
        if self.entries.contains_key(&entry) {
            tracing::error!(entry, "an entry was attached to the log pump twice");
            return;
        }
        let [first, second] = tokens(entry);
        let files = &mut self.tools.files;
        let streams = [
            Stream::attach(first, StreamKind::Out, held.out_staging, out, sink, files),
            Stream::attach(second, StreamKind::Err, held.err_staging, err, sink, files),
        ];
        self.tools.enlist(sink, &source);
        self.entries.insert(entry, Entry { source, sink: sink.clone(), streams });
        self.ready.extend(tokens(entry));
    }

    fn add(&mut self, entry: u64, stream: StreamKind, inlet: Inlet) {
        let token = tokens(entry)[index(stream)];
        let Some(known) = self.entries.get_mut(&entry) else {
            tracing::error!(entry, "a pipe came for an entry that is not attached to the log pump");
            return;
        };
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
        let watch = || epoll::add(&self.epoll, &inlet.pipe, epoll::EventData::new_u64(token), flags);
        if let Err(error) = fault::errno("pump.watch").and_then(|()| watch()) {
            self.told(entry, stream, &LogError::Pipe(error.into()));
            return;
        }
        known.streams[index(stream)].add(inlet);
        self.ready.insert(token);
    }

    fn close(&mut self, entry: u64) {
        self.owed.push_back(PumpNotice::Closed { entry });
        let Some(Entry { source, sink, mut streams }) = self.entries.remove(&entry) else { return };
        for (slot, token) in streams.iter_mut().zip(tokens(entry)) {
            if let Err(error) = slot.finish(&mut self.tools, &source) {
                let what = format!("{}; {} bytes or more are lost", error.told(), slot.kept());
                let (stream, overflowed) = (of_token(token).1, slot.overflowed());
                self.tell(PumpNotice::Trouble { entry, stream, what, overflowed });
            }
            slot.inlets.iter().chain(&slot.closed).for_each(|inlet| self.unregister(inlet));
            self.ready.remove(&token);
            self.stuck.remove(&token);
            self.spilled.remove(&token);
        }
        self.tools.release(&sink);
        if !self.entries.values().any(|other| other.source.worker == source.worker) {
            self.tools.fanout.forget(source.worker);
        }
    }

    /// The keeper's copy keeps the pipe open, so closing ours would not end the watch.
    pub(super) fn unregister(&self, inlet: &Inlet) {
        if let Err(error) = epoll::delete(&self.epoll, &inlet.pipe) {
            tracing::warn!(%error, "failed to stop watching a log pipe");
        }
    }
}
