//! Where one stream's bytes go.

use super::file::Files;
use super::format::Format;
use super::seam::Told;
use super::spec::SinkSpec;
use crate::model::StreamKind;
use crate::model::policy::Overflow;
use std::path::PathBuf;

/// A stream's part of a [`SinkSpec`].
#[derive(Debug)]
pub struct Sink {
    /// Its files.
    pub paths: [Option<PathBuf>; 2],
    /// How bytes look in them.
    pub format: Format,
    /// Subscribers get nothing either.
    pub disabled: bool,
    /// What gives way when the files take nothing.
    pub overflow: Overflow,
    merged: bool,
}

impl Sink {
    /// The part of this stream.
    pub fn of(spec: &SinkSpec, stream: StreamKind) -> Sink {
        Sink {
            paths: spec.paths(stream).map(|path| path.map(PathBuf::from)),
            format: Format::of(spec),
            merged: spec.merged,
            disabled: spec.disabled,
            overflow: spec.overflow,
        }
    }

    /// Its files.
    pub fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        self.paths.iter().flatten()
    }

    /// Nothing of its own file is told yet.
    pub fn told(&self) -> Told {
        let [own, _] = &self.paths;
        Told::new(own.as_ref())
    }

    /// It has a file of its own.
    pub fn has_file(&self) -> bool {
        self.paths[0].is_some()
    }

    /// Other streams write to one of the files: lines must stay whole.
    pub fn is_shared(&self, files: &Files) -> bool {
        self.paths().any(|path| self.merged || files.is_shared(path))
    }
}
