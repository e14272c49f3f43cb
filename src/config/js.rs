//! JavaScript files, evaluated by the user's own node, or bun: only Node gives Node.
//!
//! The file may print what it likes: its stdout goes to our stderr. The answer comes over
//! descriptor 0, one end of a socket pair, which needs neither a temporary file nor an extra
//! descriptor; a file that reads stdin finds its end at once.

use super::caller::Caller;
use super::error::{ConfigError, Place};
use super::path;
use serde::Deserialize;
use serde_json::Value;
use std::io::{self, BufRead, BufReader};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const LOADER: &str = include_str!("loader.js");

/// How long a file may take, its `await`s included.
const LIMIT: Duration = Duration::from_secs(30);

/// What the loader says.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Value(Value),
    Error { message: String, file: Option<PathBuf>, line: Option<u32>, column: Option<u32> },
}

/// What the file exports, as JSON has it. Its working directory is the file's own.
pub fn evaluate(file: &Path, caller: &Caller) -> Result<Value, ConfigError> {
    evaluate_within(file, caller, LIMIT)
}

fn evaluate_within(file: &Path, caller: &Caller, limit: Duration) -> Result<Value, ConfigError> {
    let runtime = runtime(file, caller)?;
    let failed = |message: String| ConfigError::Evaluation {
        path: file.to_path_buf(),
        runtime: runtime.clone(),
        message,
    };
    let (ours, theirs) = UnixStream::pair().map_err(|e| failed(e.to_string()))?;
    let prepared = ours.shutdown(Shutdown::Write).and_then(|()| ours.set_read_timeout(Some(limit)));
    prepared.map_err(|e| failed(e.to_string()))?;
    let mut child = start(&runtime, file, caller, theirs).map_err(|e| failed(e.to_string()))?;
    let mut line = String::new();
    let read = BufReader::new(ours).read_line(&mut line);
    let ended = finish(&mut child, &read);
    match read {
        Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
            Err(ConfigError::TooSlow { path: file.to_path_buf(), seconds: limit.as_secs() })
        }
        Err(e) => Err(failed(e.to_string())),
        Ok(0) => Err(failed(format!("it ended ({ended}) before it exported anything"))),
        Ok(_) => match serde_json::from_str(&line) {
            Ok(Answer::Value(value)) => Ok(value),
            Ok(Answer::Error { message, file: at, line, column }) => Err(ConfigError::Malformed {
                place: Box::new(Place::in_file(at.unwrap_or_else(|| file.to_path_buf())).at(line, column)),
                advice: advice(&message).map(str::to_owned),
                message,
            }),
            Err(e) => Err(failed(e.to_string())),
        },
    }
}

/// node, else bun; for TypeScript the other way round, since only recent nodes read it.
fn runtime(file: &Path, caller: &Caller) -> Result<PathBuf, ConfigError> {
    let search = caller.var("PATH").unwrap_or_default();
    let is_typescript = file.extension().is_some_and(|e| e == "ts");
    let order = if is_typescript { ["bun", "node"] } else { ["node", "bun"] };
    order
        .into_iter()
        .find_map(|name| path::executable(name, search, &caller.cwd))
        .ok_or_else(|| ConfigError::NoRuntime { path: file.to_path_buf() })
}

fn start(runtime: &Path, file: &Path, caller: &Caller, answer: UnixStream) -> io::Result<Child> {
    let mut command = Command::new(runtime);
    if runtime.file_name().is_some_and(|name| name == "node") {
        // NODE_OPTIONS may have made modules the default; the loader is none.
        command.arg("--input-type=commonjs");
    }
    command
        .args(["-e", LOADER, "--"])
        .arg(file)
        .current_dir(file.parent().unwrap_or(Path::new("/")))
        .env_clear()
        .envs(&caller.env)
        .stdin(OwnedFd::from(answer))
        .stdout(Stdio::from(io::stderr()))
        .spawn()
}

/// Reaps the child, which has nothing left to say once it answered or ran out of time.
fn finish(child: &mut Child, read: &io::Result<usize>) -> String {
    if !matches!(read, Ok(0)) && child.kill().is_err() {
        tracing::debug!(pid = child.id(), "the evaluating process is gone already");
    }
    match child.wait() {
        Ok(status) => status.to_string(),
        Err(e) => e.to_string(),
    }
}

/// What to do about errors that come from mixing module systems or from a missing package.
fn advice(message: &str) -> Option<&'static str> {
    let says = |part: &str| message.contains(part);
    if says("Unexpected token 'export'") || says("Cannot use import statement") || says("await is only valid")
    {
        Some("this node reads the file as CommonJS: rename it to end in .config.mjs")
    } else if says("in ES module scope") {
        Some("package.json says \"type\": \"module\": rename the file to end in .config.cjs")
    } else if says("Cannot find module") || says("Cannot find package") {
        Some("the file needs a package or a file that is not there: is it installed?")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn caller() -> Caller {
        Caller::from_process()
    }

    fn evaluated(name: &str, text: &str) -> Result<Value, ConfigError> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(name);
        std::fs::write(&file, text).unwrap();
        let result = evaluate(&file, &caller());
        if let Err(ConfigError::NoRuntime { .. }) = result {
            panic!(
                "these tests need node 20 or later in PATH: apt-get install nodejs, or https://nodejs.org"
            );
        }
        result
    }

    #[test]
    fn whatever_form_the_export_has_it_is_found() {
        let apps = json!({"apps": [{"script": "a.js"}]});
        for (name, text) in [
            ("a.config.js", "module.exports = {apps: [{script: 'a.js'}]}"),
            ("a.config.cjs", "exports.apps = [{script: 'a.js', run() {}}]"),
            ("a.config.js", "module.exports = () => ({apps: [{script: 'a.js'}]})"),
            (
                "a.config.js",
                "module.exports = new Promise(r => setTimeout(r, 5, {apps: [{script: 'a.js'}]}))",
            ),
            ("a.config.mjs", "export default {apps: [{script: 'a.js'}]}"),
            ("a.config.mjs", "export default async () => ({apps: [{script: 'a.js'}]})"),
            ("a.config.mjs", "export const apps = [{script: 'a.js'}]"),
            ("a.config.js", "exports.__esModule = true; exports.default = {apps: [{script: 'a.js'}]}"),
        ] {
            assert_eq!(evaluated(name, text).unwrap(), apps, "{name}: {text}");
        }
    }

    #[test]
    fn the_file_may_print_and_exports_what_json_cannot_say() {
        let text = "console.log('{\"value\": 1}'); process.stdin.on('data', () => {});
            module.exports = [{max_restarts: NaN, ignore_watch: [/a.b/], n: 5n, big: 'x'.repeat(300000)}]";
        let value = evaluated("a.config.js", text).unwrap();
        assert_eq!(value.pointer("/0/max_restarts"), Some(&json!("NaN")));
        assert_eq!(value.pointer("/0/ignore_watch/0"), Some(&json!("a.b")));
        assert_eq!(value.pointer("/0/n"), Some(&json!("5")));
        assert_eq!(value.pointer("/0/big").and_then(Value::as_str).map(str::len), Some(300_000));
    }

    #[test]
    fn a_file_without_an_end_is_given_up() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.config.js");
        std::fs::write(&file, "for (;;) {}").unwrap();
        let error = evaluate_within(&file, &caller(), Duration::from_millis(300)).unwrap_err();
        assert!(matches!(error, ConfigError::TooSlow { .. }), "{error}");
        assert!(error.hint().is_some());
    }

    #[test]
    fn a_file_that_ends_the_process_is_reported() {
        let error = evaluated("a.config.js", "process.exit(3)").unwrap_err().to_string();
        assert!(error.ends_with("it ended (exit status: 3) before it exported anything"), "{error}");
    }

    #[test]
    fn without_node_and_bun_it_is_said() {
        let caller = Caller { env: [("PATH".to_owned(), "/nowhere".to_owned())].into(), ..caller() };
        let error = evaluate(Path::new("/x/a.config.js"), &caller).unwrap_err();
        assert!(error.hint().is_some_and(|hint| hint.contains("install Node.js")), "{error}");
    }
}
