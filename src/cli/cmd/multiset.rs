//! `multiset`: several settings, all or none.

use super::ask;
use super::context::Context;
use crate::cli::error::CliError;
use crate::config;

/// Arguments of `multiset`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// `"key value key value"`
    #[arg(required = true, allow_hyphen_values = true)]
    pub words: Vec<String>,
}

/// Sets them.
pub fn run(cx: &Context, args: Args) -> Result<(), CliError> {
    let words = config::split_words(&args.words.join(" "));
    let (pairs, rest) = words.as_chunks::<2>();
    if let [alone, ..] = rest {
        return Err(CliError::Said(format!("{alone}: a value is missing")));
    }
    let pairs = pairs.iter().map(|[key, value]| (key.clone(), value.clone())).collect();
    ask::configure(&mut cx.connect()?, pairs, Vec::new())?;
    cx.note("Setting changed")
}
