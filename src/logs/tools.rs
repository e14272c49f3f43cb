//! What a thread of the pump works with.

use super::fanout::Fanout;
use super::file::Files;
use super::rotate::Rotor;
use super::spec::{SinkSpec, Source};
use crate::model::StreamKind;
use crate::sys::pipe::{Null, Scratch};
use std::io;
use std::path::Path;

/// Its own pipes and room, and the files of all.
#[derive(Debug)]
pub struct Tools {
    /// The log files.
    pub files: Files,
    /// What puts them aside.
    pub rotor: Rotor,
    /// For looking into staging.
    pub scratch: Scratch,
    /// For emptying it.
    pub null: Null,
    /// Subscribers.
    pub fanout: Fanout,
    /// Room for rendered bytes.
    pub rendered: Vec<u8>,
}

impl Tools {
    /// A thread's own, for the files of all.
    pub fn new(files: Files, rotor: Rotor, fanout: Fanout) -> io::Result<Tools> {
        let (scratch, null) = (Scratch::new()?, Null::open()?);
        Ok(Tools { files, rotor, scratch, null, fanout, rendered: Vec::new() })
    }

    /// Both streams of an entry write to a sink's files: how these are rotated.
    pub fn enlist(&self, sink: &SinkSpec, source: &Source) {
        for path in files_of(sink) {
            self.rotor.enlist(&self.files, path, source, &sink.rotate);
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
