//! `get`: one setting, a module's, or all.

use super::ask;
use super::context::Context;
use crate::cli::error::CliError;
use crate::cli::out::settings;
use crate::model::rotation::{MODULE, Word};
use serde_json::Value;
use std::process::ExitCode;

/// Arguments of `get`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// `module:key`, `module.key` or `module`
    pub key: Option<String>,
}

/// Shows it. What is not set fails without a word, as with PM2.
pub fn run(cx: &Context, args: Args) -> Result<ExitCode, CliError> {
    let Some(key) = args.key else {
        super::conf::run(cx, super::conf::Args { module: None })?;
        return Ok(ExitCode::SUCCESS);
    };
    let conf = Value::from(ask::settings(&mut cx.connect()?)?.effective());
    let mut parts: Vec<&str> = key.split(if key.contains(':') { ':' } else { '.' }).collect();
    if let [MODULE, word] = parts.as_mut_slice()
        && let Some(known) = Word::find(word)
    {
        *word = known.spelling();
    }
    let found = parts.iter().try_fold(&conf, |table, part| table.get(part));
    match found {
        None => return Ok(ExitCode::FAILURE),
        Some(table @ Value::Object(_)) => {
            cx.ui.say(&settings::module(&key, table, cx.ui.colour))?;
            cx.ui.say("Modules configuration. Copy/Paste line to edit values.")?;
        }
        Some(value) => {
            let value = settings::text(value);
            match parts.split_first() {
                Some((module, rest)) if !rest.is_empty() => {
                    let key = rest.join(":");
                    cx.ui.say(&format!("Value for module {module} key {key}: {value}"))?;
                }
                Some(_) | None => cx.ui.say(&format!("Value for key {key}: {value}"))?,
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
