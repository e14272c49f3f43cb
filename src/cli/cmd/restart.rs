//! `restart`: stop, then start; with a file also start what is missing.

use super::act;
use super::context::Context;
use crate::cli::error::CliError;
use crate::cli::out::message::Action;

/// Arguments of `restart`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Ids, names, namespaces, /regex/, all, files or `-`
    #[arg(required = true, value_name = "TARGET")]
    pub targets: Vec<String>,
    /// New arguments of the script
    #[arg(last = true)]
    pub args: Vec<String>,
}

/// Restarts one target after the other.
pub fn run(cx: &Context, args: Args) -> Result<(), CliError> {
    act::each(cx, &args.targets, &args.args, Action::Restart)
}
