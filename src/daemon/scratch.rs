//! The pipe through which the log pump looks at batches. A user may have so many pages in pipes (`pipe-user-pages-soft`); over that, new
//! ones hold 8 KB. So all daemons of a keeper have the same one, and it is made before anything else takes pipes.

use super::attach::Handover;
use super::keep::complain;
use crate::keeper::{Link, Tag};
use crate::sys::pipe::{self, Scratch};
use std::io;
use std::os::fd::AsFd;

const SCRATCH: Tag = Tag::new(Tag::SCRATCH, 0);
/// A pipe that holds less than this is one of a user over his budget.
const LITTLE: usize = 64 << 10;

/// The one that the keeper has, or a new one.
pub(super) fn taken(handover: &mut Handover, link: &Link) -> io::Result<Scratch> {
    let pipe = match handover.scratch.take() {
        Some(kept) => kept,
        None => {
            let made = Scratch::make()?;
            complain(
                "have the pipe kept that logs are looked at through",
                link.keep(0, SCRATCH, made.as_fd()),
            );
            made
        }
    };
    if pipe::enlarge(&pipe, LITTLE) < LITTLE {
        handover.told.push(
            "this user's pipes are more than `/proc/sys/fs/pipe-user-pages-soft` allows: new ones hold 8 KB, which makes logs slower"
                .to_owned(),
        );
    }
    Ok(Scratch::new(pipe))
}
