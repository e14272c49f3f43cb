//! `logs`: the last lines, then those that come.

use super::ask::{self, Fleet};
use super::context::Context;
use crate::cli::error::CliError;
use crate::cli::out::colour;
use crate::cli::out::logs::{Form, LogPrinter, Piece};
use crate::client::{Client, Incoming, Stream};
use crate::model::Selector;
use crate::model::select::SelectError;
use crate::proto::request::LogsRequest;
use crate::proto::{Push, Reply, Request};
use crate::sys::clock;
use std::time::Duration;

/// How a line's time is shown unless a format is given.
const TIME: &str = "YYYY-MM-DD-HH:mm:ss";
/// A daemon that went away is back after its keeper restarted it: well within a second, unless it crash-loops.
const RETURN: Duration = Duration::from_secs(5);
/// Between two attempts to reach it.
const RETRY: Duration = Duration::from_millis(50);

/// Arguments of `logs`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Id, name, namespace or /regex/; none: all
    pub target: Option<String>,
    /// So many last lines of each file; 0: only what comes
    #[arg(long, default_value_t = 15, value_name = "N")]
    pub lines: u32,
    /// Only the last lines
    #[arg(long)]
    pub nostream: bool,
    /// Lines as they are
    #[arg(long)]
    pub raw: bool,
    /// Only stderr
    #[arg(long)]
    pub err: bool,
    /// Only stdout
    #[arg(long)]
    pub out: bool,
    /// One JSON object a line
    #[arg(long)]
    pub json: bool,
    /// `timestamp=… app=… id=… type=… message=…`
    #[arg(long)]
    pub format: bool,
    /// The time before each line, in this format
    #[arg(long, num_args = 0..=1, require_equals = true, value_name = "FORMAT")]
    pub timestamp: Option<Option<String>>,
    /// Mark the first place of this in each line
    #[arg(long, num_args = 0..=1, value_name = "TEXT")]
    pub highlight: Option<Option<String>>,
}

/// Prints until there is nothing more, or for ever.
pub fn run(cx: &Context, args: Args) -> Result<(), CliError> {
    let word = args.target.clone().unwrap_or_else(|| "all".to_owned());
    let select = cx.selector(&word);
    let mut client = cx.connect()?;
    let fleet = ask::list(&mut client, false)?;
    if let Err(error) = check(&fleet, &select) {
        // PM2 follows an unknown name for ever and shows nothing; with --nostream it ends well.
        return if args.nostream { cx.warn(error.to_string()) } else { Err(error.into()) };
    }
    let form = form(&args);
    if matches!(form, Form::Prefixed { .. }) {
        let text = format!(
            "Tailing last {} lines for [{word}] processes (change the value with --lines option)",
            args.lines
        );
        cx.ui.say(&format!("{} {text}", cx.ui.colour.paint(colour::BOLD, "[TAILING]")))?;
    }
    let mut reader = Reader {
        cx,
        printer: LogPrinter::new(
            form,
            args.lines,
            args.highlight.flatten(),
            &labels(&fleet, &select),
            cx.ui.colour,
        ),
        request: LogsRequest {
            select,
            lines: args.lines,
            follow: !args.nostream,
            out: args.out || !args.err,
            err: args.err || !args.out,
        },
    };
    reader.read(client)
}

/// An error for a name that means nothing. `all` may be empty, and the daemon's own log is always there.
fn check(fleet: &Fleet, select: &Selector) -> Result<(), SelectError> {
    match fleet.resolve(select) {
        Ok(_) => Ok(()),
        Err(_) if ["all", "PM2", "pmon"].contains(&select.text.as_str()) => Ok(()),
        Err(error) => Err(error),
    }
}

fn labels(fleet: &Fleet, select: &Selector) -> Vec<String> {
    let workers = fleet.select(select).unwrap_or_default();
    workers.iter().map(|w| format!("{}|{}", w.id, w.app.name)).collect()
}

fn form(args: &Args) -> Form {
    if args.json {
        Form::Json
    } else if args.format {
        Form::KeyValue
    } else if args.raw {
        Form::Raw
    } else {
        let format = args.timestamp.clone().map(|format| format.unwrap_or_else(|| TIME.to_owned()));
        Form::Prefixed { timestamp: format }
    }
}

struct Reader<'a> {
    cx: &'a Context,
    printer: LogPrinter,
    request: LogsRequest,
}

impl Reader<'_> {
    fn read(&mut self, client: Client) -> Result<(), CliError> {
        let mut stream = client.into_stream();
        loop {
            stream.ask(Request::Logs(self.request.clone()))?;
            if self.until_gone(&mut stream)? {
                return Ok(());
            }
            self.cx.warn("The daemon went away; waiting for it")?;
            stream = self.again()?;
            // What was shown is not shown again.
            self.request.lines = 0;
        }
    }

    /// Prints what comes. True: that was all; false: the daemon went away.
    fn until_gone(&mut self, stream: &mut Stream) -> Result<bool, CliError> {
        while let Some(incoming) = stream.next()? {
            match incoming {
                Incoming::Log(batch) => {
                    let piece = self.printer.batch(&batch.header, &batch.bytes, clock::now().wall_ms);
                    self.write(&piece)?;
                }
                Incoming::Push { push: Push::HistoryEnd, .. } if !self.request.follow => return Ok(true),
                Incoming::Push { push: Push::Lagged { lines }, .. } => {
                    let piece = self.printer.lagged(lines);
                    self.write(&piece)?;
                }
                Incoming::Push { push: Push::Changed(change), .. } => {
                    if let Some(piece) = self.printer.event(&change) {
                        self.write(&piece)?;
                    }
                }
                Incoming::Push { push: Push::HistoryEnd | Push::Fleet { .. } | Push::Unknown, .. } => {}
                Incoming::Reply { reply: Reply::Error(error), .. } => return Err(error.into()),
                Incoming::Reply { .. } => {}
            }
        }
        Ok(false)
    }

    fn write(&self, piece: &Piece) -> Result<(), CliError> {
        let ui = &self.cx.ui;
        if piece.to_stderr {
            return Ok(ui.error_data(&piece.bytes)?);
        }
        ui.data(&piece.bytes)?;
        Ok(ui.flush()?)
    }

    /// Waits for the daemon that the keeper is starting again.
    fn again(&self) -> Result<Stream, CliError> {
        let start = clock::now();
        loop {
            match Client::connect(&self.cx.home) {
                Ok(client) => return Ok(client.into_stream()),
                Err(error) if clock::now().since(start) > RETURN => return Err(error.into()),
                Err(_not_yet) => pause()?,
            }
        }
    }
}

/// Nothing tells when a socket begins to listen, so this is asked again from time to time.
fn pause() -> Result<(), CliError> {
    let time = rustix::event::Timespec::try_from(RETRY).unwrap_or_default();
    match rustix::event::poll(&mut [], Some(&time)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(CliError::Output(error.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::out::sample;

    #[test]
    fn only_a_name_that_means_nothing_is_refused() {
        let fleet = Fleet { workers: sample::fleet(), ..Fleet::default() };
        let ok = |fleet: &Fleet, word: &str| check(fleet, &Selector::new(word, "/")).is_ok();
        assert!(ok(&fleet, "crashy") && ok(&fleet, "0") && ok(&fleet, "all") && ok(&fleet, "PM2"));
        assert!(!ok(&fleet, "nope") && !ok(&fleet, "99"));
        assert!(ok(&Fleet::default(), "all"));
    }

    #[test]
    fn prefixes_are_as_wide_as_the_longest_selected_name() {
        let fleet = Fleet { workers: sample::fleet(), ..Fleet::default() };
        assert_eq!(labels(&fleet, &Selector::new("timeline-app", "/")), ["0|timeline-app", "1|timeline-app"]);
    }
}
