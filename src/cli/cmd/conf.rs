//! `conf`: everything that is set.

use super::ask;
use super::context::Context;
use crate::cli::error::CliError;
use crate::cli::out::settings;

/// Arguments of `conf`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only this module
    pub module: Option<String>,
}

/// Shows it, with the log rotation that is in force whether it was set or not.
pub fn run(cx: &Context, args: Args) -> Result<(), CliError> {
    let conf = ask::settings(&mut cx.connect()?)?.effective();
    let text = match args.module.as_deref().and_then(|module| Some((module, conf.get(module)?))) {
        Some((module, table)) if table.is_object() => settings::module(module, table, cx.ui.colour),
        Some(_) | None => settings::all(&conf, cx.ui.colour),
    };
    Ok(cx.ui.say(&text)?)
}
