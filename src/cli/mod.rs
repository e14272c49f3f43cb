//! Arguments, verbs, output: the only room that people type at.
//!
//! `args` says what may be typed (`argv` what clap cannot), one file of `cmd` does it, `out` prints, `error` says why not.

pub mod args;
pub mod argv;
pub mod cmd;
pub mod error;
pub mod out;

use args::Cli;
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use cmd::Context;
use out::{Ui, message};
use std::process::ExitCode;

/// The whole program.
pub fn main() -> ExitCode {
    crate::sys::paths::keep_own_rights();
    match Cli::try_parse_from(argv::arrange(std::env::args_os())) {
        Ok(cli) => run(cli),
        Err(error) => usage(&error),
    }
}

fn run(cli: Cli) -> ExitCode {
    let ui = Ui::new(cli.flags.silent, cli.flags.no_color);
    let done = if cli.flags.version {
        // PM2 prints the bare number; unlike PM2, asking for it starts no daemon.
        ui.data(concat!(env!("CARGO_PKG_VERSION"), "\n").as_bytes())
            .map(|()| ExitCode::SUCCESS)
            .map_err(Into::into)
    } else if let Some(verb) = cli.verb {
        cmd::run(&Context::new(ui, cli.flags, cli.app), verb)
    } else {
        let usage = Cli::command().render_help().to_string();
        return ui.data(usage.as_bytes()).map_or(ExitCode::SUCCESS, |()| ExitCode::FAILURE);
    };
    match done.and_then(|code| ui.flush().map(|()| code).map_err(Into::into)) {
        Ok(code) => code,
        Err(error) => {
            error.print(&ui);
            error.exit_code()
        }
    }
}

/// `--help` is success; everything else that clap says is a mistake of the user: PM2's code for it is 1.
fn usage(error: &clap::Error) -> ExitCode {
    if error.kind() == ErrorKind::InvalidSubcommand {
        let ui = Ui::new(false, false);
        drop(ui.warn(&message::error("Command not found", ui.error_colour)));
    }
    // Nobody is left to tell if this cannot be written.
    drop(error.print());
    if error.use_stderr() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
