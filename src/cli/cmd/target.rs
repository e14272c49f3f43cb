//! What a word on the command line means.

use super::Context;
use crate::cli::error::CliError;
use crate::config::find::{self, Target};
use crate::config::{self, Resolved};
use crate::model::Selector;
use std::io::Read;

/// What a word means.
#[derive(Debug)]
pub enum Meant {
    /// Apps that are written down: in a file, or as JSON on our standard input (`-`).
    Apps(Resolved),
    /// Workers of the fleet.
    Workers(Selector),
}

/// PM2's order: `-`, a process file, otherwise a selector. Warnings of the file are said here.
pub fn meant(cx: &Context, word: &str, args: &[String]) -> Result<Meant, CliError> {
    let caller = cx.caller();
    let resolved = if word == "-" {
        config::from_stdin_json(&stdin()?, &cx.options(args), &caller)?
    } else {
        match find::target(word, &caller) {
            Target::File(path) => config::from_file(&path, &cx.options(args), &caller)?,
            Target::Script(_) => return Ok(Meant::Workers(cx.selector(word))),
        }
    };
    warn(cx, &resolved)?;
    Ok(Meant::Apps(resolved))
}

/// Says what `config` warns of.
pub fn warn(cx: &Context, resolved: &Resolved) -> Result<(), CliError> {
    resolved.warnings.iter().try_for_each(|warning| cx.warn(warning))
}

fn stdin() -> Result<String, CliError> {
    let mut text = String::new();
    std::io::stdin().lock().read_to_string(&mut text).map_err(CliError::Input)?;
    Ok(text)
}
