//! `env`: the environment of a worker, `KEY: value`.

use super::ask;
use super::context::Context;
use crate::cli::error::CliError;
use crate::cli::out::colour::{self, Colour};
use crate::model::snapshot::WorkerView;

/// Arguments of `env`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Id or name
    pub target: String,
}

/// Prints it.
pub fn run(cx: &Context, args: Args) -> Result<(), CliError> {
    let fleet = ask::list(&mut cx.connect()?, true)?;
    let workers = fleet.select(&cx.selector(&args.target)).unwrap_or_default();
    let Some(worker) = workers.first() else {
        return Err(CliError::Said(format!("Modules with id {} not found", args.target)));
    };
    Ok(cx.ui.data(text(worker, cx.ui.colour).as_bytes())?)
}

/// PM2 prints from the last attribute to the first; the facts that it mixes in are kept.
fn text(worker: &WorkerView, colour: Colour) -> String {
    let app = &worker.app;
    let mut lines = vec![("namespace".to_owned(), app.namespace.clone())];
    lines.push((app.instance_var.clone(), worker.instance.to_string()));
    lines.extend(app.env.0.iter().map(|(k, v)| (k.clone(), v.clone())));
    lines.push(("unique_id".to_owned(), worker.unique_id.clone()));
    lines.extend(app.version.iter().map(|v| ("version".to_owned(), v.clone())));
    lines.extend(worker.node_version().map(|v| ("node_version".to_owned(), v.to_owned())));
    lines.iter().rev().map(|(k, v)| format!("{k}: {}\n", colour.paint(colour::OUT, v))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::out::sample;

    #[test]
    fn the_last_is_printed_first() {
        assert_eq!(
            text(&sample::fleet()[0], Colour(false)),
            "node_version: 20.20.2\nversion: 1.4.2\nunique_id: 61a37caa-6a5c-4fe3-9f37-6deb7d177f80\n\
             USER: root\nNODE_ENV: production\nHOME: /root\nNODE_APP_INSTANCE: 0\nnamespace: default\n"
        );
    }
}
