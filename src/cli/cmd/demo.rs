//! `demo`: a fleet to play with, in a home of its own.

use super::context::Context;
use crate::cli::error::CliError;
use crate::demo::Options;
use std::process::ExitCode;

/// Arguments of `demo`. How many instances is said with `-i`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print one frame as text and end
    #[arg(long)]
    pub once: bool,
    /// Use the built-in worker even where there is Node
    #[arg(long)]
    pub no_node: bool,
    /// End by itself after so many seconds
    #[arg(long, value_name = "N")]
    pub seconds: Option<u64>,
}

/// Plays; its exit code is the demo's.
pub fn run(cx: &Context, args: Args) -> Result<ExitCode, CliError> {
    let mut options =
        Options { once: args.once, no_node: args.no_node, seconds: args.seconds, ..Options::default() };
    if let Some(count) = &cx.app.instances {
        let number = count.parse();
        options.instances =
            number.map_err(|_not| CliError::Said(format!("{count} is not a number of instances")))?;
    }
    Ok(crate::demo::run(options)?)
}
