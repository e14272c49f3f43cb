//! `set`: one setting, in force at once.

use super::ask;
use super::context::Context;
use crate::cli::error::CliError;
use crate::cli::out::settings;
use serde_json::Value;

/// Arguments of `set`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// `module:key` or `module.key`; none: show everything that is set
    pub key: Option<String>,
    /// What it is from now on
    #[arg(allow_hyphen_values = true)]
    pub value: Option<String>,
}

/// Sets it; says what the module then has.
pub fn run(cx: &Context, args: Args) -> Result<(), CliError> {
    let (key, value) = match (args.key, args.value) {
        (Some(key), Some(value)) => (key, value),
        (Some(key), None) => return Err(CliError::Said(format!("{key}: a value is missing"))),
        (None, _) => return super::conf::run(cx, super::conf::Args { module: None }),
    };
    let module = key.split([':', '.']).next().unwrap_or_default().to_owned();
    let found = ask::configure(&mut cx.connect()?, vec![(key, value)], Vec::new())?;
    cx.note("Setting changed")?;
    match found.conf.get(&module) {
        Some(table) if table.is_object() => Ok(cx.ui.say(&settings::module(&module, table, cx.ui.colour))?),
        Some(Value::String(_)) | Some(_) | None => Ok(()),
    }
}
