//! Everything a verb can fail with, what is printed of it, and the exit code.

use super::out::Ui;
use super::out::message;
use crate::client::connect::numbers;
use crate::client::{CallError, ConnectError, StartError};
use crate::config::ConfigError;
use crate::model::select::SelectError;
use crate::proto::{Code, WireError};
use std::error::Error;
use std::io;
use std::process::ExitCode;

/// Why a verb failed. `Display` completes "failed to …", but for texts that PM2's users know.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// A text that PM2's users know, or one in its manner.
    #[error("{0}")]
    Said(String),
    /// Nothing is meant by a word.
    #[error(transparent)]
    Select(#[from] SelectError),
    /// What the user wrote is not understood.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// There is no daemon.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The daemon cannot be reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// No or a negative answer.
    #[error(transparent)]
    Call(#[from] CallError),
    /// An answer to another question.
    #[error("understand the daemon's answer: it is of another version")]
    Answer,
    /// Our own input.
    #[error("read the standard input")]
    Input(#[source] io::Error),
    /// Our own output. This is what `?` makes of an `io::Error`, because verbs do no other I/O.
    #[error("write the output")]
    Output(#[from] io::Error),
    /// The monitor, the demo, the daemon or the keeper.
    #[error(transparent)]
    Role(#[from] anyhow::Error),
}

impl From<WireError> for CliError {
    fn from(error: WireError) -> CliError {
        CliError::Call(error.into())
    }
}

impl CliError {
    /// 0 for a reader that left (`pmon list | head`), 1 for everything else, as PM2.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            CliError::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
            CliError::Role(error) if reader_left(error.as_ref()) => ExitCode::SUCCESS,
            CliError::Said(_)
            | CliError::Select(_)
            | CliError::Config(_)
            | CliError::Start(_)
            | CliError::Connect(_)
            | CliError::Call(_)
            | CliError::Answer
            | CliError::Input(_)
            | CliError::Output(_)
            | CliError::Role(_) => ExitCode::FAILURE,
        }
    }

    /// True if the daemon found nothing by that name or id.
    pub fn is_not_found(&self) -> bool {
        match self {
            CliError::Select(_) => true,
            CliError::Call(CallError::Refused(wire)) => wire.code == Code::NotFound,
            CliError::Call(CallError::Gone | CallError::Broken(_))
            | CliError::Said(_)
            | CliError::Config(_)
            | CliError::Start(_)
            | CliError::Connect(_)
            | CliError::Answer
            | CliError::Input(_)
            | CliError::Output(_)
            | CliError::Role(_) => false,
        }
    }

    /// Prints it on stderr; a stderr that cannot be written to is nobody's business any more.
    pub fn print(&self, ui: &Ui) {
        if self.exit_code() != ExitCode::SUCCESS {
            drop(ui.warn(&self.text(ui)));
        }
    }

    fn text(&self, ui: &Ui) -> String {
        let colour = ui.error_colour;
        let pm2 = |text: &str| match text {
            "No process found" => message::warning(text, colour),
            text => message::error(text, colour),
        };
        let mut text = match self {
            CliError::Said(text) => pm2(text),
            CliError::Select(error) => pm2(&error.to_string()),
            CliError::Config(error) => pm2(&error.to_string()),
            CliError::Call(CallError::Refused(wire)) => match wire.code {
                Code::NotFound | Code::AlreadyLaunched | Code::NothingToDo | Code::Busy => pm2(&wire.message),
                Code::Invalid | Code::Io | Code::ShuttingDown | Code::Internal | Code::Unknown => {
                    message::plain_error(&wire.message, colour)
                }
            },
            CliError::Start(_)
            | CliError::Connect(_)
            | CliError::Call(CallError::Gone | CallError::Broken(_))
            | CliError::Answer
            | CliError::Input(_)
            | CliError::Role(_)
            | CliError::Output(_) => message::plain_error(&format!("failed to {self}"), colour),
        };
        for cause in causes(self) {
            text.push_str(&format!("\n  caused by: {cause}"));
        }
        if let Some(hint) = self.hint() {
            text.push_str(&format!("\n  hint: {hint}"));
        }
        text
    }

    fn hint(&self) -> Option<String> {
        match self {
            CliError::Config(error) => error.hint(),
            CliError::Call(CallError::Refused(wire)) => wire.hint.clone(),
            CliError::Call(CallError::Gone) => Some("look at `pmon list` before asking again".to_owned()),
            CliError::Answer => Some("after an update, `pmon kill` and start again".to_owned()),
            CliError::Connect(error) | CliError::Start(StartError::Connect(error)) => silence(error),
            CliError::Call(CallError::Broken(_))
            | CliError::Said(_)
            | CliError::Select(_)
            | CliError::Start(_)
            | CliError::Input(_)
            | CliError::Output(_)
            | CliError::Role(_) => None,
        }
    }
}

/// What helps against a daemon that says nothing: its workers do not need it, and the keeper starts another.
fn silence(error: &ConnectError) -> Option<String> {
    match error {
        ConnectError::Silent { pid_file, .. } => Some(format!(
            "`kill -9 $(cat {})` ends it without touching a worker; a new one takes over",
            pid_file.display()
        )),
        ConnectError::Frozen(pids) => {
            let pids = numbers(pids, " ");
            Some(format!(
                "`kill -CONT {pids}` lets them go on; `kill -9 {pids}` ends them without touching a worker, and \
                 the next command takes over"
            ))
        }
        ConnectError::NoDaemon(_)
        | ConnectError::Socket { .. }
        | ConnectError::Greeting(_)
        | ConnectError::Refused(_) => None,
    }
}

/// The causes, without those that only repeat the text before.
fn causes(error: &dyn Error) -> Vec<String> {
    let mut said = error.to_string();
    let mut out = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if !said.contains(&text) {
            out.push(text.clone());
            said = text;
        }
        next = cause.source();
    }
    out
}

fn reader_left(error: &(dyn Error + 'static)) -> bool {
    let broken = |e: &(dyn Error + 'static)| {
        e.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
    };
    let mut next = Some(error);
    while let Some(e) = next {
        if broken(e) {
            return true;
        }
        next = e.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::out::colour::Colour;

    fn shown(error: impl Into<CliError>) -> String {
        let mut ui = Ui::new(false, true);
        ui.error_colour = Colour(false);
        error.into().text(&ui)
    }

    fn wire(code: Code, message: &str, hint: Option<&str>) -> WireError {
        WireError { code, message: message.into(), hint: hint.map(str::to_owned) }
    }

    #[test]
    fn texts_are_pm2s_where_people_match_on_them() {
        assert_eq!(
            shown(SelectError::UnknownName("x".into())),
            "[PM2][ERROR] Process or Namespace x not found"
        );
        assert_eq!(shown(SelectError::UnknownId("999".into())), "[PM2][ERROR] 999 : id unknown");
        assert_eq!(shown(SelectError::NothingFound), "[PM2][WARN] No process found");
        assert_eq!(shown(wire(Code::NotFound, "No process found", None)), "[PM2][WARN] No process found");
        assert_eq!(
            shown(wire(Code::Io, "disk is full", Some("make room"))),
            "error: disk is full\n  hint: make room"
        );
    }

    #[test]
    fn causes_are_named_once() {
        let source = io::Error::from(io::ErrorKind::PermissionDenied);
        let error = StartError::from(ConnectError::Socket { path: "/h/pmon.sock".into(), source });
        assert_eq!(
            shown(error),
            "error: failed to connect to `/h/pmon.sock`\n  caused by: permission denied"
        );
    }

    #[test]
    fn a_reader_that_left_is_no_failure() {
        let code = |kind: io::ErrorKind| CliError::from(io::Error::from(kind)).exit_code();
        assert_eq!(code(io::ErrorKind::BrokenPipe), ExitCode::SUCCESS);
        assert_eq!(code(io::ErrorKind::StorageFull), ExitCode::FAILURE);
        let deep = anyhow::Error::from(io::Error::from(io::ErrorKind::BrokenPipe)).context("draw");
        assert_eq!(CliError::from(deep).exit_code(), ExitCode::SUCCESS);
    }
}
