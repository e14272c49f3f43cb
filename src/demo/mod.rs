//! `pmon demo`: a fleet, some load and the monitor, in a home of its own under the temporary directory. It ends
//! everything it started and removes what it wrote, however it is left. Nothing of the user's own fleet is touched:
//! it talks to its daemon as any client does.

mod app;
mod dice;
mod fleet;
mod http;
mod load;
mod place;
mod worker;

pub use worker::worker;

use crate::monit;
use crate::sys::interrupt::{self, Interrupt};
use anyhow::Context;
use fleet::Fleet;
use load::{Load, Tally};
use place::Place;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// Name of the demo's app.
const APP: &str = "timeline-app";

/// Instances where nothing else was asked.
pub const INSTANCES: u32 = 16;

/// How long one frame's worth of load is at least made.
const ONCE: Duration = Duration::from_secs(3);

/// What was asked of the demo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Show one frame and end; so it is also without a terminal.
    pub once: bool,
    /// Use the built-in HTTP worker even where there is Node.
    pub no_node: bool,
    /// How many instances; 0 counts as 1.
    pub instances: u32,
    /// Leave by itself after so many seconds.
    pub seconds: Option<u64>,
}

impl Default for Options {
    fn default() -> Options {
        Options { once: false, no_node: false, instances: INSTANCES, seconds: None }
    }
}

/// Runs the demo to its end. Errors complete "failed to …"; also then nothing is left, or the error says what.
pub fn run(options: Options) -> anyhow::Result<ExitCode> {
    let interrupt = Interrupt::catch().context("catch signals")?;
    let port = app::free_port().context("find a free port for the demo")?;
    let node = if options.no_node { None } else { app::Node::find() };
    let place = Place::create(port, options.instances).context("make the demo's home")?;
    let app = app::demo(&place, node.as_ref(), port, options.instances)?;
    let once = options.once || !io::stdout().is_terminal();
    if !once {
        let runner =
            node.as_ref().map_or_else(|| "the built-in worker".to_owned(), |n| format!("node {}", n.version));
        say(&format!(
            "demo: starting {} instances of {APP} ({runner}) on http://127.0.0.1:{port}",
            app.instances
        ));
    }
    let mut fleet = Fleet::start(place, app, interrupt)?;
    if interrupt.asked() {
        fleet.end()?;
        return Ok(ExitCode::SUCCESS);
    }
    let load = Load::start(port, options.instances);
    let shown =
        if once { show_once(&fleet, options.seconds, interrupt) } else { show(&fleet, options.seconds) };
    let Tally { answered, failed } = load.stop();
    // The terminal's signals must not cut the clean-up short, whoever caught them in between.
    Interrupt::catch().context("catch signals")?;
    fleet.end()?;
    shown?;
    if !once {
        say(&format!("demo: {answered} requests answered, {failed} failed; the fleet and its home are gone"));
    }
    Ok(ExitCode::SUCCESS)
}

/// The monitor, until it is left.
fn show(fleet: &Fleet, seconds: Option<u64>) -> anyhow::Result<()> {
    let timer = seconds.map(|seconds| Timer::start(Duration::from_secs(seconds)));
    let shown = monit::run(fleet.home(), monit::Options { once: false, size: None, read_only: false });
    drop(timer);
    shown
}

/// One frame, when there is something to see.
fn show_once(fleet: &Fleet, seconds: Option<u64>, interrupt: Interrupt) -> anyhow::Result<()> {
    if interrupt.wait(seconds.map_or(ONCE, Duration::from_secs)) {
        return Ok(());
    }
    fleet.wait_until_seen(interrupt)?;
    let size = if io::stdout().is_terminal() { None } else { Some((120, 40)) };
    monit::run(fleet.home(), monit::Options { once: true, size, read_only: true })
}

/// For people who wait. Nobody may be there to read it: the terminal may be gone.
fn say(text: &str) {
    writeln!(io::stderr(), "{text}").ok();
}

/// Asks this process to end after a time, as somebody outside would, and again each second until it is dropped.
struct Timer {
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Timer {
    fn start(after: Duration) -> Timer {
        let (stop, stopped) = sync_channel::<()>(1);
        let thread = interrupt::without_signals(|| {
            std::thread::spawn(move || {
                let mut wait = after;
                while stopped.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
                    // It is this process itself: that cannot be refused.
                    interrupt::ask_self().ok();
                    wait = Duration::from_secs(1);
                }
            })
        });
        Timer { stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported by the panic hook.
            thread.join().ok();
        }
    }
}
