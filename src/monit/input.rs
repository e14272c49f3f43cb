//! Keys, mouse and signals on threads of their own.

use crate::sys::terminal::{self, Input, Signal, Signals};
use std::io;
use std::sync::mpsc::SyncSender;
use std::thread;
use std::time::Duration;

/// From the threads to the loop.
#[derive(Debug)]
pub enum Typed {
    /// The terminal says something.
    Event(crossterm::event::Event),
    /// A signal came.
    Signal(Signal),
    /// The terminal is gone.
    Gone,
}

/// Starts both threads.
pub fn start(queue: SyncSender<Typed>, bell: SyncSender<()>) -> io::Result<()> {
    let mut signals = Signals::install()?;
    let (out, ring) = (queue.clone(), bell.clone());
    thread::Builder::new().name("monit-signals".to_owned()).spawn(move || {
        while let Ok(signal) = signals.wait() {
            if out.send(Typed::Signal(signal)).is_err() {
                return;
            }
            ring.try_send(()).ok();
        }
    })?;
    thread::Builder::new().name("monit-input".to_owned()).spawn(move || {
        loop {
            let typed = typed();
            let over = matches!(typed, Some(Typed::Gone));
            if typed.is_some_and(|typed| queue.send(typed).is_err()) {
                return;
            }
            bell.try_send(()).ok();
            if over {
                return;
            }
        }
    })?;
    Ok(())
}

/// The next thing typed. crossterm alone would spin for ever on a terminal that is gone.
fn typed() -> Option<Typed> {
    match terminal::wait_input() {
        Ok(Input::Ready) => {}
        Ok(Input::Gone) | Err(_) => return Some(Typed::Gone),
    }
    match crossterm::event::poll(Duration::from_millis(50)) {
        Ok(true) => crossterm::event::read().map_or(Some(Typed::Gone), |event| Some(Typed::Event(event))),
        Ok(false) => None,
        Err(_) => Some(Typed::Gone),
    }
}
