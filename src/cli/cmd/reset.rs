//! `reset`: zero the restart counters.

use super::ask;
use super::context::Context;
use crate::cli::error::CliError;
use crate::model::Order;

/// Arguments of `reset`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Id, name, namespace, /regex/ or all
    pub target: String,
}

/// Resets.
pub fn run(cx: &Context, args: Args) -> Result<(), CliError> {
    let mut client = cx.connect()?;
    let select = cx.selector(&args.target);
    for one in ask::order(&mut client, Order::Reset { select })? {
        cx.note(format!("Resetting meta for process id {}", one.id))?;
    }
    cx.show(&mut client)
}
