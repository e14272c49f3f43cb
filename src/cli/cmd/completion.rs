//! `completion`: the completions of a shell, for `source <(pmon completion bash)`.

use super::context::Context;
use crate::cli::args::Cli;
use crate::cli::error::CliError;
use clap::CommandFactory;
use clap_complete::Shell;

/// Arguments of `completion`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which shell
    pub shell: Shell,
}

/// Prints it.
pub fn run(cx: &Context, args: Args) -> Result<(), CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "pmon", &mut script);
    Ok(cx.ui.data(&script)?)
}
