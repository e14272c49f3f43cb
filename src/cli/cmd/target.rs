//! What a word on the command line means.

use super::Context;
use crate::cli::error::CliError;
use crate::config::find::{self, Target};
use crate::config::{self, Caller, ConfigError, Options, Resolved};
use crate::model::Selector;
use std::io::Read;
use std::path::Path;

/// What a word means.
#[derive(Debug)]
pub enum Meant<Apps> {
    /// Apps that are written down: in a file, or as JSON on our standard input (`-`).
    Apps(Apps),
    /// Workers of the fleet.
    Workers(Selector),
}

/// What a word means to a verb that starts. Warnings of the file are said here.
pub fn meant(cx: &Context, word: &str, args: &[String]) -> Result<Meant<Resolved>, CliError> {
    let meant = read(cx, word, args, config::from_stdin_json, config::from_file)?;
    if let Meant::Apps(resolved) = &meant {
        warn(cx, resolved)?;
    }
    Ok(meant)
}

/// What a word means to a verb that ends something: names are enough.
pub fn meant_names(cx: &Context, word: &str) -> Result<Meant<Vec<String>>, CliError> {
    read(cx, word, &[], config::names_in_stdin_json, config::names_in_file)
}

/// PM2's order: `-`, a process file, otherwise a selector.
fn read<Apps>(
    cx: &Context,
    word: &str,
    args: &[String],
    from_text: fn(&str, &Options, &Caller) -> Result<Apps, ConfigError>,
    from_file: fn(&Path, &Options, &Caller) -> Result<Apps, ConfigError>,
) -> Result<Meant<Apps>, CliError> {
    let (caller, options) = (cx.caller(), cx.options(args));
    if word == "-" {
        return Ok(Meant::Apps(from_text(&stdin()?, &options, &caller)?));
    }
    match find::target(word, &caller) {
        Target::File(path) => Ok(Meant::Apps(from_file(&path, &options, &caller)?)),
        Target::Script(_) => Ok(Meant::Workers(cx.selector(word))),
    }
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
