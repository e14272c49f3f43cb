//! The loop: wait, drain, update, draw when dirty.
//!
//! Keys have a queue of their own and are looked at before anything else, so a flood of log lines never delays one.
//! Both queues are bounded; a bell of one place wakes the loop.

use super::event::{Deed, Event, News};
use super::feed::{self, Fed};
use super::input::{self, Typed};
use super::state::{Link, State};
use super::term::Term;
use super::theme::Theme;
use super::{Options, pane};
use crate::client::stream::Asker;
use crate::proto::Request;
use crate::sys::paths::Home;
use crate::sys::terminal::Signal;
use crate::sys::{clock, terminal};
use anyhow::Context;
use ratatui::buffer::Buffer;
use std::io::IsTerminal;
use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

/// 30 frames a second.
const FRAME_MS: u64 = 33;
/// Uptimes and countdowns move.
const TICK_MS: u64 = 1000;
/// While an order is under way the spinner turns, and a waiting worker's countdown runs.
const BUSY_TICK_MS: u64 = 100;
/// Between attempts to reach a daemon that is gone.
const RETRY_MS: u64 = 300;
/// News taken in before keys are looked at again.
const BATCH: usize = 64;

/// Shows the screen until it is left.
pub fn run(home: &Home, options: Options) -> anyhow::Result<()> {
    if !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() {
        anyhow::bail!("monit needs a terminal; `--once` prints one frame without");
    }
    let (bell, heard) = sync_channel(1);
    let (typing, typed) = sync_channel(256);
    let (feeding, fed) = sync_channel(BATCH * 2);
    // Signals are caught before the terminal is taken over, so that none can leave it behind.
    input::start(typing, bell.clone()).context("failed to watch keys and signals")?;
    let term = Term::take().context("failed to take the terminal over")?;
    let size = Term::size().context("failed to ask the terminal's size")?;
    let mut state = State::new(clock::now(), size, options.read_only, home.root().display().to_string());
    state.zone = jiff::tz::TimeZone::system();
    let theme = Theme::from_env(|name| std::env::var(name).ok());
    let screen = Screen {
        home: home.clone(),
        state,
        theme,
        term,
        asker: None,
        bell,
        heard,
        typed,
        feeding,
        fed,
        attached: false,
        dirty: true,
        next_tick: 0,
        next_frame: 0,
        next_attempt: 0,
    };
    screen.run()
}

struct Screen {
    home: Home,
    state: State,
    theme: Theme,
    term: Term,
    asker: Option<Asker>,
    bell: SyncSender<()>,
    heard: Receiver<()>,
    typed: Receiver<Typed>,
    feeding: SyncSender<Fed>,
    fed: Receiver<Fed>,
    /// A feed thread lives.
    attached: bool,
    dirty: bool,
    /// On the boot clock, in milliseconds.
    next_tick: u64,
    next_frame: u64,
    next_attempt: u64,
}

type Flow = anyhow::Result<ControlFlow<()>>;

impl Screen {
    fn run(mut self) -> anyhow::Result<()> {
        loop {
            self.attach()?;
            self.draw()?;
            let wait = self.wait();
            // A timeout and a closed bell mean the same: look.
            self.heard.recv_timeout(Duration::from_millis(wait)).ok();
            if self.drain()?.is_break() {
                return Ok(());
            }
        }
    }

    /// Milliseconds until something is due.
    fn wait(&self) -> u64 {
        let now = clock::now().boot_ms;
        let mut due = self.next_tick;
        if self.dirty {
            due = due.min(self.next_frame);
        }
        if !self.attached {
            due = due.min(self.next_attempt);
        }
        due.saturating_sub(now)
    }

    fn attach(&mut self) -> anyhow::Result<()> {
        let now = clock::now().boot_ms;
        if self.attached || now < self.next_attempt {
            return Ok(());
        }
        (self.attached, self.next_attempt) = (true, now + RETRY_MS);
        let pass = feed::through(self.feeding.clone(), self.bell.clone());
        feed::start(self.home.clone(), pass).context("failed to start a thread")
    }

    fn drain(&mut self) -> Flow {
        if self.drain_typed()?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
        for _ in 0..BATCH {
            match self.fed.try_recv() {
                Ok(Fed::Asker(asker)) => self.asker = Some(asker),
                Ok(Fed::News(news)) => {
                    if matches!(news, News::Gone { .. }) {
                        (self.attached, self.asker) = (false, None);
                    }
                    if self.update(Event::News(news))?.is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                }
                Err(_empty) => return self.tick(),
            }
        }
        // There is more: come back at once, after the keys.
        self.bell.try_send(()).ok();
        self.tick()
    }

    fn drain_typed(&mut self) -> Flow {
        while let Ok(typed) = self.typed.try_recv() {
            let event = match typed {
                Typed::Gone | Typed::Signal(Signal::HangUp | Signal::Terminate) => {
                    return Ok(ControlFlow::Break(()));
                }
                Typed::Signal(Signal::Suspend) => Event::SuspendAsked,
                Typed::Signal(Signal::Continue) => {
                    self.resume()?;
                    continue;
                }
                Typed::Signal(Signal::Resize) => {
                    let (width, height) = Term::size().context("failed to ask the terminal's size")?;
                    Event::Resize(width, height)
                }
                Typed::Event(crossterm::event::Event::Key(key)) => Event::Key(key),
                Typed::Event(crossterm::event::Event::Mouse(mouse)) => {
                    if matches!(mouse.kind, crossterm::event::MouseEventKind::Moved) {
                        continue;
                    }
                    Event::Mouse(mouse)
                }
                Typed::Event(crossterm::event::Event::Paste(text)) => Event::Paste(text),
                Typed::Event(crossterm::event::Event::Resize(width, height)) => Event::Resize(width, height),
                Typed::Event(crossterm::event::Event::FocusGained | crossterm::event::Event::FocusLost) => {
                    continue;
                }
            };
            if self.update(event)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn tick(&mut self) -> Flow {
        let now = clock::now().boot_ms;
        if now < self.next_tick {
            return Ok(ControlFlow::Continue(()));
        }
        let busy = !self.state.pending.is_empty() || self.state.counts_down();
        self.next_tick = now + if busy { BUSY_TICK_MS } else { TICK_MS };
        self.update(Event::Tick)
    }

    fn update(&mut self, event: Event) -> Flow {
        self.dirty = true;
        for deed in self.state.update(event, clock::now()) {
            match deed {
                Deed::Quit => return Ok(ControlFlow::Break(())),
                Deed::Ask { order, what } => {
                    let event = self.ask(order, what);
                    self.state.update(event, clock::now());
                    self.next_tick = 0;
                }
                Deed::Suspend => {
                    self.term.pause().context("failed to give the terminal back")?;
                    terminal::suspend().context("failed to suspend")?;
                    self.resume()?;
                }
                Deed::Repaint => self.term.repaint().context("failed to clear the screen")?,
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn resume(&mut self) -> anyhow::Result<()> {
        self.term.resume().context("failed to take the terminal over")?;
        let (width, height) = Term::size().context("failed to ask the terminal's size")?;
        self.state.update(Event::Resize(width, height), clock::now());
        self.dirty = true;
        Ok(())
    }

    fn ask(&mut self, order: crate::model::Order, what: String) -> Event {
        let Some(asker) = self.asker.as_mut() else {
            return Event::NotAsked { what, why: "the daemon is not there".to_owned() };
        };
        match asker.ask(Request::Order { order }) {
            Ok(id) => Event::Asked { id, what },
            Err(e) => Event::NotAsked { what, why: e.to_string() },
        }
    }

    fn draw(&mut self) -> anyhow::Result<()> {
        let now = clock::now();
        if !self.dirty || now.boot_ms < self.next_frame {
            return Ok(());
        }
        (self.dirty, self.next_frame) = (false, now.boot_ms + FRAME_MS);
        let (state, theme) = (&mut self.state, &self.theme);
        let paint = |buf: &mut Buffer| {
            // The terminal may have changed its size without having said so yet.
            let size = (buf.area.width, buf.area.height);
            if size != state.size {
                state.update(Event::Resize(size.0, size.1), now);
            }
            pane::draw(buf, state, theme);
        };
        self.term.draw(paint).context("failed to draw")
    }
}

impl State {
    /// A countdown is shown: it moves ten times a second.
    fn counts_down(&self) -> bool {
        self.link == Link::Up && self.fleet.workers().any(|w| w.state == crate::model::State::Backoff)
    }
}
