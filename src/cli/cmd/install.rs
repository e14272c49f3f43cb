//! `install` and `uninstall`: PM2's modules, of which pmon has the log rotation built in.

use super::ask;
use super::context::Context;
use crate::cli::error::CliError;
use crate::cli::out::settings;
use crate::model::rotation::{MODULE, Word};
use serde_json::Value;

/// Arguments of `install` and `uninstall`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// `pm2-logrotate`
    pub module: String,
}

/// Turns the log rotation on, which it is unless it was turned off.
pub fn install(cx: &Context, args: Args) -> Result<(), CliError> {
    let found = switch(cx, &args.module, true)?;
    cx.note(format!("Module {MODULE} is built in, and on"))?;
    let table = found.effective().remove(MODULE).unwrap_or(Value::Null);
    Ok(cx.ui.say(&settings::module(MODULE, &table, cx.ui.colour))?)
}

/// Turns it off: logs grow from now on.
pub fn uninstall(cx: &Context, args: Args) -> Result<(), CliError> {
    switch(cx, &args.module, false)?;
    cx.note(format!("Module {MODULE} is built in, and off from now on: logs are not rotated"))
}

fn switch(cx: &Context, module: &str, on: bool) -> Result<ask::Settings, CliError> {
    // `pm2-logrotate@latest`
    let name = module.split('@').next().unwrap_or_default();
    if name != MODULE {
        return Err(CliError::Said(format!("{module}: pmon has no modules; {MODULE} is built in")));
    }
    let key = format!("{MODULE}:{}", Word::Enabled.spelling());
    match on {
        true => ask::configure(&mut cx.connect()?, Vec::new(), vec![key]),
        false => ask::configure(&mut cx.connect()?, vec![(key, false.to_string())], Vec::new()),
    }
}
