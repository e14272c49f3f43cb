//! Load on the demo's app: some clients, each with a connection that it changes from time to time, together some
//! tens of requests a second at a rate that moves like a tide, with a rush now and then.

use super::dice::Dice;
use super::http::{Answer, Connection};
use crate::sys::{clock, interrupt};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Threads that send.
const CLIENTS: u64 = 6;

/// The load that is on; [`Load::stop`] or dropping it ends it.
#[derive(Debug)]
pub(super) struct Load {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<()>>,
}

/// What came of the requests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) answered: u64,
    /// Not answered, or with an error of the server's.
    pub(super) failed: u64,
}

#[derive(Debug, Default)]
struct Shared {
    over: Mutex<bool>,
    wake: Condvar,
    answered: AtomicU64,
    failed: AtomicU64,
}

impl Load {
    /// Sends to a server on this host that serves with so many instances.
    pub(super) fn start(port: u16, instances: u32) -> Load {
        let shared = Arc::new(Shared::default());
        // The signals are the monitor's.
        let clients = interrupt::without_signals(|| {
            let client = |number| {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || client(&shared, port, instances, number))
            };
            (0..CLIENTS).map(client).collect()
        });
        Load { shared, clients }
    }

    /// As it stands.
    pub(super) fn tally(&self) -> Tally {
        Tally {
            answered: self.shared.answered.load(Ordering::Relaxed),
            failed: self.shared.failed.load(Ordering::Relaxed),
        }
    }

    /// Lets requests in flight finish, and says what came of all.
    pub(super) fn stop(mut self) -> Tally {
        self.end();
        self.tally()
    }

    fn end(&mut self) {
        *self.shared.over.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.shared.wake.notify_all();
        for client in self.clients.drain(..) {
            // A panic there has been reported by the panic hook.
            client.join().ok();
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.end();
    }
}

impl Shared {
    /// Waits for `span`; false: it is over.
    fn pause(&self, span: Duration) -> bool {
        let over = self.over.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.wake.wait_timeout_while(over, span, |over| !*over);
        let (over, _timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        !*over
    }
}

fn client(shared: &Shared, port: u16, instances: u32, number: u64) {
    let mut dice = Dice::new(number);
    let start = clock::monotonic_ns();
    let mut connection = None;
    loop {
        let seconds = clock::monotonic_ns().saturating_sub(start) as f64 / 1e9;
        let mean = CLIENTS as f64 / rate(seconds, instances);
        if !shared.pause(Duration::from_secs_f64(mean * dice.between(0.3, 1.7))) {
            return;
        }
        // Only a new connection reaches another instance, so none is kept for long.
        let tired = |c: &Connection| c.is_over() || f64::from(c.answers()) > 4.0 + dice.roll() * 12.0;
        if connection.as_ref().is_some_and(tired) {
            connection = None;
        }
        match request(&mut connection, port, path(dice.roll())) {
            Ok(Answer { status: ..500, .. }) => shared.answered.fetch_add(1, Ordering::Relaxed),
            Ok(_) | Err(_) => shared.failed.fetch_add(1, Ordering::Relaxed),
        };
    }
}

/// Requests a second, all clients together, after so many seconds.
fn rate(seconds: f64, instances: u32) -> f64 {
    let middle = 30.0 + 4.0 * f64::from(instances.min(32));
    let tide = 1.0 + 0.5 * (seconds / 11.0).sin() + 0.15 * (seconds / 3.1).sin();
    let rush = if seconds % 45.0 > 39.0 { 1.8 } else { 1.0 };
    middle * tide * rush
}

fn path(chance: f64) -> &'static str {
    match chance {
        c if c < 0.55 => "/timeline",
        c if c < 0.80 => "/users/42",
        c if c < 0.95 => "/search?q=otter",
        _ => "/feed.xml",
    }
}

/// One request on the connection there is, or a new one. A kept connection may have been closed just before the
/// request arrived: then nobody has read it, and any client sends it again.
fn request(connection: &mut Option<Connection>, port: u16, path: &str) -> io::Result<Answer> {
    if let Some(mut kept) = connection.take() {
        match kept.get(path) {
            Ok(answer) => {
                *connection = Some(kept);
                return Ok(answer);
            }
            Err(e) if is_closed(&e) && kept.answers() > 0 => {}
            Err(e) => return Err(e),
        }
    }
    let mut new = Connection::open(port)?;
    let answer = new.get(path)?;
    *connection = Some(new);
    Ok(answer)
}

fn is_closed(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn until(what: &str, mut holds: impl FnMut() -> bool) {
        let start = clock::monotonic_ns();
        while !holds() {
            assert!(clock::monotonic_ns() - start < 20_000_000_000, "never came: {what}");
            std::thread::yield_now();
        }
    }

    #[test]
    fn the_rate_moves_and_stays_within_tens_a_second() {
        let rates: Vec<f64> = (0..600).map(|second| rate(f64::from(second), 16)).collect();
        let (low, high) =
            (rates.iter().copied().fold(f64::MAX, f64::min), rates.iter().copied().fold(0.0, f64::max));
        assert!(low > 10.0 && high < 300.0 && high > 2.0 * low, "{low} to {high}");
    }

    #[test]
    fn requests_that_nobody_answers_are_counted_and_the_load_ends_at_once_when_told() {
        // Bound and never listened on: every connection is refused.
        use rustix::net::{AddressFamily, SocketType, bind, getsockname, socket};
        let deaf = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        bind(&deaf, &std::net::SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let port = std::net::SocketAddr::try_from(getsockname(&deaf).unwrap()).unwrap().port();
        let load = Load::start(port, 16);
        until("three failed requests", || load.tally().failed >= 3);
        assert_eq!(load.stop().answered, 0);
    }

    #[test]
    fn the_node_app_answers_all_load_and_ends_in_order() {
        let place = super::super::place::Place::create(3001, 1).unwrap();
        let port = super::super::app::free_port().unwrap();
        let mut node = std::process::Command::new("node")
            .arg(place.app().join("server.js"))
            .env("PORT", port.to_string())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        until("the app listens", || Connection::open(port).is_ok());
        let load = Load::start(port, 16);
        until("forty answers", || load.tally().answered >= 40);
        assert_eq!(load.stop().failed, 0);
        let pid = rustix::process::Pid::from_child(&node);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        assert!(node.wait().unwrap().success());
    }
}
