//! `id`: the ids of an app, as Node prints an array.

use super::ask;
use super::context::Context;
use crate::cli::error::CliError;
use crate::cli::out::inspect;

/// Arguments of `id`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the app
    pub name: String,
}

/// Prints them; `[]` and success where there is nothing.
pub fn run(cx: &Context, args: Args) -> Result<(), CliError> {
    let fleet = ask::list(&mut cx.connect()?, false)?;
    let ids = fleet.named(&args.name).map(|w| w.id.0).collect();
    Ok(cx.ui.data(format!("{}\n", inspect::inspect(&ids)).as_bytes())?)
}
