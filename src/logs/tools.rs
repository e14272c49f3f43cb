//! What a thread of the pump works with.

use super::fanout::Fanout;
use super::file::Files;
use super::lanes::Lanes;
use super::rotate::Rotor;
use super::spec::{SinkSpec, Source};
use crate::model::StreamKind;
use crate::sys::pipe::{Null, Scratch};
use std::io;
use std::path::Path;

/// Its own room, and what all threads share.
#[derive(Debug)]
pub struct Tools {
    /// For looking into staging.
    pub scratch: Scratch,
    /// What puts the files aside.
    pub rotor: Rotor,
    /// Large pipes.
    pub lanes: Lanes,
    /// Where what was looked at goes.
    pub doors: Doors,
}

/// What a batch is carried out with, while its bytes lie in the scratch.
#[derive(Debug)]
pub struct Doors {
    /// The log files.
    pub files: Files,
    /// Subscribers.
    pub fanout: Fanout,
    /// For emptying staging.
    pub null: Null,
    /// Room for rendered bytes.
    pub rendered: Vec<u8>,
}

impl Tools {
    /// A thread's own, for the files of all.
    pub fn new(
        scratch: Scratch,
        files: Files,
        rotor: Rotor,
        fanout: Fanout,
        lanes: Lanes,
    ) -> io::Result<Tools> {
        let doors = Doors { files, fanout, null: Null::open()?, rendered: Vec::new() };
        Ok(Tools { scratch, rotor, lanes, doors })
    }

    /// Both streams of an entry write to a sink's files: how these are rotated.
    pub fn enlist(&self, sink: &SinkSpec, source: &Source) {
        for path in files_of(sink) {
            self.rotor.enlist(&self.doors.files, path, source, &sink.rotate);
        }
    }

    /// They do so no longer.
    pub fn release(&self, sink: &SinkSpec) {
        files_of(sink).for_each(|path| self.rotor.release(path));
    }
}

/// All files of an entry.
pub(super) fn files_of(sink: &SinkSpec) -> impl Iterator<Item = &Path> {
    [StreamKind::Out, StreamKind::Err].into_iter().flat_map(|stream| sink.paths(stream)).flatten()
}
