//! `sendSignal`: a signal to the worker's own process.

use super::ask;
use super::context::Context;
use crate::cli::error::CliError;
use crate::model::Order;
use crate::model::exit::{signal_name, signal_number};

/// Arguments of `sendSignal`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// `SIGUSR2`, `usr2` or `12`
    pub signal: String,
    /// Id, name, namespace, /regex/ or all
    pub target: String,
}

/// Sends it.
pub fn run(cx: &Context, args: Args) -> Result<(), CliError> {
    let Some(signal) = signal_number(&args.signal) else {
        return Err(CliError::Said(format!("Unknown signal: {}", args.signal)));
    };
    let select = cx.selector(&args.target);
    for one in ask::order(&mut cx.connect()?, Order::Signal { select, signal })? {
        cx.note(format!("[{}]({}) got {}", one.name, one.id, signal_name(signal)))?;
    }
    Ok(())
}
