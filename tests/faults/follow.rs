//! Those who watch all the time: `pmon logs` into a file, `pmon monit` on a terminal. They reconnect by themselves.

use crate::lines::{Count, Found};
use crate::support::{TestHome, wait_for};
use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use std::fs::File;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

/// `pmon logs <app> --raw`.
pub struct Follower {
    child: std::process::Child,
    output: PathBuf,
}

impl Follower {
    pub fn start(home: &TestHome, app: &str) -> Follower {
        let output = home.work().join("followed");
        let file = File::create(&output).unwrap();
        let child = home
            .command(&["logs", app, "--raw", "--lines", "0"])
            .stdout(file)
            .stderr(File::create(home.work().join("followed.err")).unwrap())
            .spawn()
            .unwrap();
        Follower { child, output }
    }

    /// What it saw of `count` lines, from its first one on.
    pub fn end(&mut self, name: &str, count: u64) -> Found {
        let last = format!("{:010} {name} x", count - 1);
        let text = wait_for("the last line at who follows", || {
            let text = std::fs::read_to_string(&self.output).map_err(|e| e.to_string())?;
            if text.contains(&last) {
                return Ok(text);
            }
            let words = std::fs::read_to_string(self.output.with_extension("err")).unwrap_or_default();
            Err(format!("{} bytes; {:?}; {words}", text.len(), self.child.try_wait()))
        });
        assert!(self.child.try_wait().unwrap().is_none(), "who follows does not end with the daemon");
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let mut counted = Count::default();
        let ours = format!(" {name} x");
        // The words about lost and found daemons are for people.
        text.lines().filter(|line| line.contains(&ours)).for_each(|line| counted.take(line, name));
        let (first, _) = counted.range().unwrap();
        counted.end(first, count)
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        // It may have ended.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// `pmon monit` on a terminal of its own.
pub struct Screen {
    child: Box<dyn Child + Send + Sync>,
    keyboard: Box<dyn Write + Send>,
    terminal: Arc<Mutex<vt100::Parser>>,
    _master: Box<dyn MasterPty + Send>,
}

impl Screen {
    pub fn start(home: &TestHome) -> Screen {
        let size = PtySize { rows: 40, cols: 140, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).unwrap();
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_pmon"));
        command.arg("monit");
        command.env("PMON_HOME", home.path());
        command.env("PMON_FAULTS", home.faults());
        command.env("TERM", "xterm-256color");
        let child = pair.slave.spawn_command(command).unwrap();
        let mut reader = pair.master.try_clone_reader().unwrap();
        let terminal = Arc::new(Mutex::new(vt100::Parser::new(cells(40), cells(140), 0)));
        let theirs = Arc::clone(&terminal);
        std::thread::spawn(move || {
            let mut chunk = [0; 8192];
            while let Ok(count @ 1..) = reader.read(&mut chunk) {
                theirs.lock().unwrap().process(&chunk[..count]);
            }
        });
        let keyboard = pair.master.take_writer().unwrap();
        let mut screen = Screen { child, keyboard, terminal, _master: pair.master };
        screen.shows("victim");
        screen
    }

    fn shows(&mut self, word: &str) {
        wait_for(&format!("`{word}` on the screen"), || {
            let text = self.terminal.lock().unwrap().screen().contents();
            if text.contains(word) { Ok(()) } else { Err(text) }
        });
    }

    /// It still shows what happens; then it is left by its key.
    pub fn end(&mut self) {
        // `crashy` was stopped a moment ago, by the last of many daemons.
        self.shows("stopped");
        self.keyboard.write_all(b"q").unwrap();
        self.keyboard.flush().unwrap();
        wait_for("the end of the monitor", || match self.child.try_wait() {
            Ok(Some(status)) if status.success() => Ok(()),
            other => Err(format!("{other:?}")),
        });
    }
}

fn cells(count: u16) -> std::num::NonZero<u16> {
    std::num::NonZero::new(count).unwrap()
}

impl Drop for Screen {
    fn drop(&mut self) {
        // It may have ended.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
