//! `startOrRestart` and `startOrReload`: apps of a file.

use super::act;
use super::context::Context;
use super::target::{self, Meant};
use crate::cli::error::CliError;
use crate::model::order::IfPresent;

/// Arguments of `startOrRestart` and `startOrReload`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The file, or `-`
    #[arg(value_name = "FILE")]
    pub file: String,
}

/// Starts what is missing; what is there is restarted or reloaded.
pub fn run(cx: &Context, args: Args, if_present: IfPresent) -> Result<(), CliError> {
    let mut client = cx.connect()?;
    match target::meant(cx, &args.file, &[])? {
        Meant::Apps(resolved) => act::start_apps(cx, &mut client, resolved.apps, if_present)?,
        Meant::Workers(_) => return Err(CliError::Said(format!("File {} not found", args.file))),
    }
    cx.show(&mut client)
}
