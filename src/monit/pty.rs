//! The screen on a real terminal, against a daemon that only plays one: what no picture can show.

use super::fixture;
use crate::model::usage::HostUsage;
use crate::proto::push::StreamKind;
use crate::proto::{ClientMessage, DaemonMessage, Decoder, Frame, Hello, LogHeader, Push, Reply, Request};
use crate::sys::clock;
use crate::sys::paths::Home;
use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);

/// Not a test by itself: the process that the tests below put on a terminal.
#[test]
fn the_screen_itself() {
    if let Some(home) = std::env::var_os("PMON_TEST_SCREEN") {
        super::run(&Home::at(home), super::Options::default()).unwrap();
    }
}

/// A process with the screen, on a terminal that is read all the time.
struct Stage {
    master: Box<dyn MasterPty + Send>,
    child: Box<dyn Child + Send + Sync>,
    keyboard: Box<dyn Write + Send>,
    output: Receiver<Vec<u8>>,
    seen: Vec<u8>,
    terminal: vt100::Parser,
}

impl Stage {
    fn open(home: &std::path::Path) -> Stage {
        let size = PtySize { rows: 30, cols: 110, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).unwrap();
        let mut command = CommandBuilder::new(std::env::current_exe().unwrap());
        command.args(["--exact", "--nocapture", "--test-threads=1", "monit::pty::the_screen_itself"]);
        command.env("PMON_TEST_SCREEN", home);
        command.env("TERM", "xterm-256color");
        let child = pair.slave.spawn_command(command).unwrap();
        let mut reader = pair.master.try_clone_reader().unwrap();
        let (send, output) = sync_channel(1024);
        std::thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(n @ 1..) = reader.read(&mut chunk) {
                if send.send(chunk[..n].to_vec()).is_err() {
                    return;
                }
            }
        });
        let keyboard = pair.master.take_writer().unwrap();
        let terminal = vt100::Parser::new(cells(30), cells(110), 0);
        Stage { master: pair.master, child, keyboard, output, seen: Vec::new(), terminal }
    }

    /// Waits until the screen shows what `is` asks for.
    fn wait(&mut self, named: &str, is: impl Fn(&vt100::Screen) -> bool) {
        let deadline = clock::monotonic_ns() + PATIENCE.as_nanos() as u64;
        while !is(self.terminal.screen()) {
            let left = deadline.saturating_sub(clock::monotonic_ns());
            match self.output.recv_timeout(Duration::from_nanos(left)) {
                Ok(bytes) => {
                    self.terminal.process(&bytes);
                    self.seen.extend(bytes);
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("never saw {named}:\n{}", self.terminal.screen().contents());
                }
            }
        }
    }

    fn wait_text(&mut self, text: &str) {
        self.wait(text, |screen| screen.contents().contains(text));
    }

    fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
        self.keyboard.flush().unwrap();
    }

    fn signal(&self, signal: i32) {
        let pid = rustix::process::Pid::from_raw(self.child.process_id().unwrap() as i32).unwrap();
        let signal = rustix::process::Signal::from_named_raw(signal).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// The process ends, and the terminal is as it was.
    fn ends_in_order(mut self) {
        self.wait("the end of the alternate screen", |screen| !screen.alternate_screen());
        assert!(!self.terminal.screen().hide_cursor());
        assert_eq!(self.terminal.screen().mouse_protocol_mode(), vt100::MouseProtocolMode::None);
        self.child.wait().unwrap();
    }
}

/// Plays the daemon for one client: answers, pushes the fleet and one log line.
struct Daemon {
    socket: UnixStream,
    decoder: Decoder,
}

impl Daemon {
    fn accept(listener: &UnixListener) -> Daemon {
        let (socket, _) = listener.accept().unwrap();
        let mut daemon = Daemon { socket, decoder: Decoder::default() };
        daemon.say(&DaemonMessage::Hello(Hello::ours()));
        daemon.hear(|request| matches!(request, Request::Watch));
        let state = fixture::sixteen();
        let workers = state.fleet.workers().cloned().collect();
        let (host, view) = (HostUsage::default(), state.fleet.daemon.clone());
        let push = Push::Fleet { whole: true, workers, removed: Vec::new(), host, daemon: view };
        daemon.say(&DaemonMessage::Push { id: 1, push });
        let header = LogHeader {
            id: 2,
            worker: Some(crate::model::WorkerId(0)),
            name: "api".to_owned(),
            stream: StreamKind::Out,
            instance: None,
            pid: None,
            at_ms: Some(0),
            history: false,
            path: None,
            spot: None,
            at_spot: None,
        };
        let frame = Frame::log(&header, b"hello \x1b[2J\x1b]0;owned\x07 there\n").unwrap();
        daemon.socket.write_all(&frame).unwrap();
        daemon
    }

    fn say(&mut self, message: &DaemonMessage) {
        self.socket.write_all(&Frame::json(message).unwrap()).unwrap();
    }

    /// Waits for a request like this; returns its number.
    fn hear(&mut self, wanted: impl Fn(&Request) -> bool) -> u64 {
        loop {
            while let Some(frame) = self.decoder.next().unwrap() {
                let Frame::Json(json) = frame else { continue };
                if let ClientMessage::Request { id, request } = Frame::parse(&json).unwrap()
                    && wanted(&request)
                {
                    return id;
                }
            }
            let mut chunk = [0; 4096];
            let n = self.socket.read(&mut chunk).unwrap();
            assert!(n > 0, "the client went away");
            self.decoder.buffer().extend_from_slice(&chunk[..n]);
        }
    }
}

fn cells(n: u16) -> std::num::NonZero<u16> {
    std::num::NonZero::new(n).unwrap()
}

fn home() -> (tempfile::TempDir, UnixListener) {
    let dir = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(Home::at(dir.path()).socket()).unwrap();
    (dir, listener)
}

#[test]
fn an_order_is_answered_and_quitting_gives_the_terminal_back() {
    let (dir, listener) = home();
    let mut stage = Stage::open(dir.path());
    let mut daemon = Daemon::accept(&listener);
    stage.wait_text("api:0");
    stage.wait_text("hello  there");
    stage.press("r");
    let id = daemon.hear(|request| matches!(request, Request::Order { .. }));
    stage.wait_text("restart api …");
    daemon.say(&DaemonMessage::Reply { id, reply: Reply::Done { touched: Vec::new() } });
    stage.wait_text("restart api: nothing to do");
    assert!(!stage.seen.windows(5).any(|w| w == b"owned"), "a worker's sequence reached the terminal");
    assert!(stage.seen.windows(8).any(|w| w == b"\x1b[?2026h"), "frames are synchronized");
    stage.press("q");
    stage.ends_in_order();
}

#[test]
fn a_daemon_that_goes_is_said_to_be_gone_and_comes_back_by_itself() {
    let (dir, listener) = home();
    let mut stage = Stage::open(dir.path());
    let daemon = Daemon::accept(&listener);
    stage.wait_text("● live");
    drop(daemon);
    stage.wait_text("daemon gone since");
    let _again = Daemon::accept(&listener);
    stage.wait_text("the daemon is back");
    stage.wait_text("● live");
    stage.press("q");
    stage.ends_in_order();
}

#[test]
fn sigterm_and_a_resize_are_minded() {
    let (dir, listener) = home();
    let mut stage = Stage::open(dir.path());
    let _daemon = Daemon::accept(&listener);
    stage.wait_text("hello  there");
    stage.terminal.screen_mut().set_size(cells(20), cells(60));
    stage.master.resize(PtySize { rows: 20, cols: 60, pixel_width: 0, pixel_height: 0 }).unwrap();
    stage.wait("the footer in the last of 20 lines", |screen| {
        screen.rows(0, 60).nth(19).is_some_and(|row| row.contains("? help"))
    });
    stage.signal(rustix::process::Signal::TERM.as_raw());
    stage.ends_in_order();
}

#[test]
fn a_terminal_that_goes_away_ends_the_screen() {
    let (dir, listener) = home();
    let mut stage = Stage::open(dir.path());
    let _daemon = Daemon::accept(&listener);
    stage.wait_text("hello  there");
    let Stage { master, mut child, keyboard, output, .. } = stage;
    // The reader holds the last descriptor, and gives it up with the next bytes that nobody wants.
    drop((keyboard, master, output));
    let (done, ended) = sync_channel(1);
    std::thread::spawn(move || {
        child.wait().unwrap();
        done.send(()).unwrap();
    });
    assert!(ended.recv_timeout(PATIENCE).is_ok(), "the screen lives on without its terminal");
}

#[test]
fn once_shows_fleet_and_log_without_a_terminal() {
    let (dir, listener) = home();
    let playing = std::thread::spawn(move || {
        let mut daemon = Daemon::accept(&listener);
        daemon.say(&DaemonMessage::Push { id: 2, push: Push::HistoryEnd });
        daemon
    });
    let options = super::Options { once: true, size: Some((120, 40)), read_only: false };
    let frame = super::once::frame(&Home::at(dir.path()), options).unwrap();
    let text: String = (0..40).map(|y| super::term::line(&frame, y) + "\n").collect();
    assert!(text.contains("api:15") && text.contains("hello  there"), "{text}");
    drop(playing.join().unwrap());
}

#[test]
fn once_without_a_daemon_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let error = super::once::frame(&Home::at(dir.path()), super::Options::default()).unwrap_err();
    assert!(error.to_string().starts_with("failed to reach the daemon"), "{error}");
}

#[test]
fn a_flood_of_lines_delays_no_key() {
    let (dir, listener) = home();
    let mut stage = Stage::open(dir.path());
    let mut daemon = Daemon::accept(&listener);
    stage.wait_text("hello  there");
    let flood = std::thread::spawn(move || {
        let header = LogHeader {
            id: 2,
            worker: Some(crate::model::WorkerId(0)),
            name: "api".to_owned(),
            stream: StreamKind::Out,
            instance: None,
            pid: None,
            at_ms: Some(0),
            history: false,
            path: None,
            spot: None,
            at_spot: None,
        };
        let lines = "flood flood flood flood flood\n".repeat(1000);
        let frame = Frame::log(&header, lines.as_bytes()).unwrap();
        // Until the screen is left and nobody reads any more.
        while daemon.socket.write_all(&frame).is_ok() {}
    });
    stage.wait_text("flood flood");
    stage.press("?");
    stage.wait_text("esc closes");
    stage.press("q");
    stage.ends_in_order();
    flood.join().unwrap();
}
