//! `keeper` and `daemon`: this binary in its other roles. Nobody types these.

use super::context::Context;
use crate::cli::error::CliError;
use crate::keeper::Beginning;

/// Arguments of `keeper` and `daemon`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Descriptor on which to say `ready`, or why not
    #[arg(long, value_name = "N")]
    pub ready_fd: Option<i32>,
    /// Replace the dead keeper of the daemon with this pid
    #[arg(long, value_name = "PID")]
    pub adopt_from: Option<u32>,
    /// Go on with what the version before this one left at this descriptor
    #[arg(long, value_name = "N")]
    pub resume: Option<i32>,
    /// Only say whether this version could go on
    #[arg(long)]
    pub check: bool,
}

/// Is the keeper until it ends.
pub fn keeper(cx: &Context, args: Args) -> Result<(), CliError> {
    let beginning = match args {
        Args { check: true, .. } => Beginning::Check,
        Args { resume: Some(image), .. } => Beginning::Resume(image),
        Args { adopt_from: Some(daemon), .. } => Beginning::Adopt(daemon),
        Args { ready_fd, .. } => Beginning::Fresh(ready_fd),
    };
    crate::keeper::enter(&cx.home, beginning)
        .map_err(|e| anyhow::Error::from(e).context("be the keeper").into())
}

/// Is the daemon until it ends.
pub fn daemon(cx: &Context, args: Args) -> Result<(), CliError> {
    Ok(crate::daemon::enter(&cx.home, args.ready_fd)?)
}
