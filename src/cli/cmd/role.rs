//! `keeper` and `daemon`: this binary in its other roles. Nobody types these.

use super::context::Context;
use crate::cli::error::CliError;

/// Arguments of `keeper` and `daemon`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Descriptor on which to say `ready`, or why not
    #[arg(long, value_name = "N")]
    pub ready_fd: Option<i32>,
}

/// Is the keeper until it ends.
pub fn keeper(cx: &Context, args: Args) -> Result<(), CliError> {
    crate::keeper::enter(&cx.home, args.ready_fd)
        .map_err(|e| anyhow::Error::from(e).context("be the keeper").into())
}

/// Is the daemon until it ends.
pub fn daemon(cx: &Context, args: Args) -> Result<(), CliError> {
    Ok(crate::daemon::enter(&cx.home, args.ready_fd)?)
}
