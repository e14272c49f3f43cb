//! What real-process tests need: a home of their own, the binary, named waits, an HTTP client, numbers.

pub mod aside;
pub mod installed;
pub mod load;
pub mod nodes;

use serde_json::Value;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Nothing here takes this long; what does has failed.
pub const PATIENCE: Duration = Duration::from_secs(40);

/// A home under the system's temporary directory; the fleet in it is killed and everything removed at the end.
pub struct TestHome {
    dir: tempfile::TempDir,
    name: PathBuf,
}

/// What a command printed and how it ended.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    /// Panics with everything it printed unless it ended with `code`.
    #[track_caller]
    pub fn expect(self, code: i32) -> Ran {
        assert_eq!(self.code, code, "exit code\n--- stdout\n{}\n--- stderr\n{}", self.out, self.err);
        self
    }

    /// Both outputs.
    pub fn all(&self) -> String {
        format!("{}{}", self.out, self.err)
    }
}

impl TestHome {
    pub fn new() -> TestHome {
        TestHome::at("home")
    }

    /// One whose path ends so.
    pub fn at(name: impl Into<PathBuf>) -> TestHome {
        let dir = tempfile::Builder::new().prefix("pmon-test-").tempdir().unwrap();
        TestHome { dir, name: name.into() }
    }

    /// `PMON_HOME`.
    pub fn path(&self) -> PathBuf {
        self.dir.path().join(&self.name)
    }

    /// A directory for the test's own files, the current one of its commands.
    pub fn work(&self) -> PathBuf {
        let work = self.dir.path().join("work");
        std::fs::create_dir_all(&work).unwrap();
        work
    }

    /// The directory of faults that are planned (`sys::fault`); in force for what is started once it is there.
    pub fn faults(&self) -> PathBuf {
        self.dir.path().join("faults")
    }

    /// Writes a file there.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.work().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Whoever opens this file waits, as for a disk that does not answer, while the child lives that has a lease on it.
    pub fn hold(&self, file: &str) -> Child {
        need("python3", "apt-get install python3");
        let code = "import fcntl, signal, sys, time\n\
                    signal.signal(signal.SIGIO, signal.SIG_IGN)\n\
                    file = open(sys.argv[1], 'rb+')\n\
                    fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)\n\
                    print('held', flush=True)\n\
                    time.sleep(1000)\n";
        let mut python = Command::new("python3");
        python.args(["-c", code, file]).current_dir(self.work()).stdout(Stdio::piped());
        let mut lease = python.spawn().unwrap();
        lease.stdout.as_mut().unwrap().read_exact(&mut [0; 5]).unwrap();
        lease
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pmon"));
        command.args(args).current_dir(self.work()).env("PMON_HOME", self.path()).env("NO_COLOR", "1");
        if self.faults().is_dir() {
            command.env("PMON_FAULTS", self.faults());
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub fn run(&self, args: &[&str]) -> Ran {
        let Output { status, stdout, stderr } = self.command(args).output().unwrap();
        Ran {
            code: status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&stdout).into_owned(),
            err: String::from_utf8_lossy(&stderr).into_owned(),
        }
    }

    /// Runs and wants success.
    #[track_caller]
    pub fn ok(&self, args: &[&str]) -> Ran {
        self.run(args).expect(0)
    }

    /// `jlist`.
    #[track_caller]
    pub fn jlist(&self) -> Vec<Value> {
        let out = self.ok(&["jlist"]).out;
        match serde_json::from_str(&out) {
            Ok(Value::Array(list)) => list,
            other => panic!("jlist printed no array: {other:?}\n{out}"),
        }
    }

    #[track_caller]
    pub fn pids(&self) -> Vec<i64> {
        self.jlist().iter().map(|w| w["pid"].as_i64().unwrap_or(0)).collect()
    }

    #[track_caller]
    pub fn statuses(&self) -> Vec<String> {
        self.jlist().iter().map(|w| w["pm2_env"]["status"].as_str().unwrap_or("?").to_owned()).collect()
    }

    #[track_caller]
    pub fn restarts(&self) -> Vec<i64> {
        self.jlist().iter().map(|w| w["pm2_env"]["restart_time"].as_i64().unwrap_or(-1)).collect()
    }

    pub fn daemon_pid(&self) -> i32 {
        std::fs::read_to_string(self.path().join("pmon.pid")).unwrap().trim().parse().unwrap()
    }

    /// Kills the daemon and waits until another one has signed in.
    pub fn kill_daemon(&self) {
        let old = self.daemon_pid();
        kill(old, "KILL");
        wait_for("another daemon", || {
            let now = self.daemon_pid();
            if now != old { Ok(()) } else { Err(format!("still {now}")) }
        });
    }

    /// The daemon's own log, for messages of failed tests.
    pub fn log(&self) -> String {
        // A test may have put a FIFO there.
        pmon::sys::plain::text(&self.path().join("pmon.log")).unwrap_or_default()
    }

    /// Pids of all processes that belong to this home (keeper, daemon, workers), by their environment.
    pub fn processes(&self) -> Vec<i32> {
        let needle = format!("PMON_HOME={}", self.path().display());
        let mut found = Vec::new();
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let Ok(pid) = entry.file_name().to_string_lossy().parse::<i32>() else { continue };
            let env = std::fs::read(entry.path().join("environ")).unwrap_or_default();
            if env.split(|b| *b == 0).any(|v| v == needle.as_bytes()) && is_alive(pid) {
                found.push(pid);
            }
        }
        found
    }
}

impl Drop for TestHome {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- pmon.log\n{}", self.log());
        }
        if self.path().join("pmon.sock").exists() {
            let _ended = self.command(&["kill"]).output();
        }
        for pid in self.processes() {
            kill(pid, "KILL");
        }
    }
}

/// Another copy of the program, which may be run.
pub fn copy_program(to: &Path) {
    std::fs::copy(env!("CARGO_BIN_EXE_pmon"), to).unwrap();
    may_be_run(to);
}

/// Waits until a program that was just written may be run: a child of another test, forked meanwhile, has it open for
/// writing until it runs its own.
pub fn may_be_run(program: &Path) {
    wait_for("a program that may be run", || {
        Command::new(program).arg("--version").output().map(drop).map_err(|e| e.to_string())
    });
}

/// Waits until `check` gives something; panics with the last thing seen.
#[track_caller]
pub fn wait_for<T>(what: &str, mut check: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match check() {
            Ok(value) => return value,
            Err(seen) if Instant::now() > deadline => {
                panic!("waited {PATIENCE:?} for {what}; last seen: {seen}")
            }
            Err(_) => pause(),
        }
    }
}

/// The pause between two looks of [`wait_for`].
pub fn pause() {
    pause_for(Duration::from_millis(15));
}

/// A poll(2) on nothing: for pacing, never for waiting that something has happened.
pub fn pause_for(time: Duration) {
    let nothing: &mut [rustix::event::PollFd<'_>] = &mut [];
    let _elapsed = rustix::event::poll(nothing, Some(&rustix::time::Timespec::try_from(time).unwrap()));
}

pub fn is_alive(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().next()).is_some_and(|state| state != "Z")
}

pub fn kill(pid: i32, signal: &str) {
    let _done =
        Command::new("kill").args([&format!("-{signal}"), &pid.to_string()]).stderr(Stdio::null()).status();
}

/// A port nobody listens on.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// `GET /` on a fresh connection: status code and body.
pub fn get(port: u16) -> Result<(u16, String), String> {
    get_path(port, "/")
}

/// `GET path` likewise.
pub fn get_path(port: u16, path: &str) -> Result<(u16, String), String> {
    let at = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    let mut stream =
        TcpStream::connect_timeout(&at, Duration::from_secs(10)).map_err(|e| format!("connect: {e}"))?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream
        .write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes())
        .map_err(|e| format!("write: {e}"))?;
    let mut text = Vec::new();
    stream.read_to_end(&mut text).map_err(|e| format!("read: {e}"))?;
    let text = String::from_utf8_lossy(&text).into_owned();
    let code = text.split_whitespace().nth(1).and_then(|c| c.parse().ok()).ok_or("no status line")?;
    let body = text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default();
    Ok((code, body))
}

/// Waits until something answers on the port.
#[track_caller]
pub fn wait_http(port: u16) {
    wait_for(&format!("an answer on port {port}"), || get(port).map(drop));
}

/// Fails the test with what to install.
#[track_caller]
pub fn need(program: &str, install: &str) {
    let found = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
        .any(|dir| dir.join(program).is_file());
    assert!(found, "this test needs `{program}`: {install}");
}

/// A fixture's path in the repository.
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}
