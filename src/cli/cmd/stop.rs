//! `stop`: stop, keep listed.

use super::act;
use super::context::Context;
use crate::cli::error::CliError;
use crate::cli::out::message::Action;

/// Arguments of `stop`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Ids, names, namespaces, /regex/, all, files or `-`
    #[arg(required = true, value_name = "TARGET")]
    pub targets: Vec<String>,
}

/// Stops one target after the other.
pub fn run(cx: &Context, args: Args) -> Result<(), CliError> {
    act::each(cx, &args.targets, &[], Action::Stop)
}
