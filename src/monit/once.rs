//! `--once`: one frame as text, for scripts and bug reports. Needs no terminal.

use super::event::{Event, News};
use super::feed::{self, Fed};
use super::state::State;
use super::term::{self, Term};
use super::theme::{Depth, Theme};
use super::{Options, pane};
use crate::sys::clock;
use crate::sys::paths::Home;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

/// The whole fleet must have come by then.
const FIRST_MS: u64 = 5000;
/// After it, a second sample and the log's history are worth so long a wait.
const MORE_MS: u64 = 1300;

/// Prints the frame.
pub fn run(home: &Home, options: Options) -> anyhow::Result<()> {
    Ok(term::print(&frame(home, options)?)?)
}

/// One frame of the fleet as it is now.
pub fn frame(home: &Home, options: Options) -> anyhow::Result<Buffer> {
    let size =
        options.size.or_else(|| Term::size().ok().filter(|(w, h)| *w > 0 && *h > 0)).unwrap_or((120, 40));
    let size = (size.0.clamp(20, 1000), size.1.clamp(4, 1000));
    let mut state = State::new(clock::now(), size, true, home.root().display().to_string());
    state.zone = jiff::tz::TimeZone::system();
    collect(home, &mut state)?;
    let mut frame = Buffer::empty(Rect::new(0, 0, size.0, size.1));
    state.update(Event::Tick, clock::now());
    pane::draw(&mut frame, &state, &Theme::new(Depth::Mono, false));
    Ok(frame)
}

fn collect(home: &Home, state: &mut State) -> anyhow::Result<()> {
    let (feeding, fed) = sync_channel(64);
    let (bell, _heard) = sync_channel(1);
    feed::start(home.clone(), feed::through(feeding, bell))?;
    let start = clock::now().boot_ms;
    let mut pushes = 0;
    while !state.fleet.known {
        pushes += take(&fed, state, start + FIRST_MS)?;
        if clock::now().boot_ms >= start + FIRST_MS {
            anyhow::bail!("failed to hear of the fleet from the daemon within {} s", FIRST_MS / 1000);
        }
    }
    let end = clock::now().boot_ms + MORE_MS;
    while clock::now().boot_ms < end && (pushes < 3 || !state.history_complete) {
        pushes += take(&fed, state, end)?;
    }
    Ok(())
}

/// Takes one thing in, waiting until `deadline`; returns 1 for a push of the fleet.
fn take(fed: &Receiver<Fed>, state: &mut State, deadline: u64) -> anyhow::Result<usize> {
    let left = deadline.saturating_sub(clock::now().boot_ms);
    match fed.recv_timeout(Duration::from_millis(left)) {
        Ok(Fed::News(News::Gone { why })) if !state.fleet.known => anyhow::bail!("failed to {why}"),
        Ok(Fed::News(news)) => {
            let pushed = usize::from(matches!(news, News::Fleet { .. }));
            state.update(Event::News(news), clock::now());
            Ok(pushed)
        }
        Ok(Fed::Asker(_)) | Err(_) => Ok(0),
    }
}
