//! `start`: scripts, binaries, commands, files, JSON on stdin; names and ids that are there are restarted.

use super::act;
use super::ask;
use super::context::{Context, here};
use super::target;
use crate::cli::error::CliError;
use crate::cli::out::message::{self, Action};
use crate::client::Client;
use crate::config;
use crate::config::find::{self, Target};
use crate::model::order::{IfPresent, Order};

/// Arguments of `start`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Scripts, binaries, commands in quotes, files, names, ids, or `-`; none: `ecosystem.config.js`
    #[arg(value_name = "TARGET")]
    pub targets: Vec<String>,
    /// Arguments of the script
    #[arg(last = true)]
    pub args: Vec<String>,
}

/// Starts one target after the other; the first that fails ends it.
pub fn run(cx: &Context, args: Args) -> Result<(), CliError> {
    let (watch, targets) = targets(cx, args.targets)?;
    let mut app = cx.app.clone();
    app.watch = watch;
    let cx = &cx.with_app(app);
    let mut client = cx.connect()?;
    for word in &targets {
        one(cx, &mut client, word, &args.args)?;
    }
    cx.show(&mut client)
}

/// What to watch and what to start. In `start --watch app.js` the only word was taken for the path to watch.
fn targets(cx: &Context, typed: Vec<String>) -> Result<(Option<Vec<String>>, Vec<String>), CliError> {
    match cx.app.watch.clone() {
        Some(words) if typed.is_empty() && !words.is_empty() => Ok((Some(Vec::new()), words)),
        watch if typed.is_empty() => {
            let file = config::default_file(&cx.caller())?;
            Ok((watch, vec![file.display().to_string()]))
        }
        watch => Ok((watch, typed)),
    }
}

fn one(cx: &Context, client: &mut Client, word: &str, args: &[String]) -> Result<(), CliError> {
    let is_file = word == "-" || matches!(find::target(word, &cx.caller()), Target::File(_));
    if is_file {
        let target::Meant::Apps(resolved) = target::meant(cx, word, args)? else { return Ok(()) };
        let if_present = if cx.flags.force { IfPresent::Add } else { IfPresent::Restart };
        return act::start_apps(cx, client, resolved.apps, if_present);
    }
    if !cx.flags.force && is_in_fleet(cx, client, word)? {
        return act::selected(cx, client, &cx.selector(word), args, Action::Restart);
    }
    script(cx, client, word, args)
}

/// True for a name, a namespace or an id that is there. A word that is also a file with a path or an extension
/// (`./web`, `web.js`) means the file.
fn is_in_fleet(cx: &Context, client: &mut Client, word: &str) -> Result<bool, CliError> {
    let path = std::path::Path::new(word);
    let like_a_file = word.contains('/') || path.extension().is_some();
    if like_a_file && here().join(path).is_file() {
        return Ok(false);
    }
    let fleet = ask::list(client, false)?;
    let found = fleet.select(&cx.selector(word)).unwrap_or_default();
    // The selector also knows workers by their script; starting a script is another thing.
    Ok(found
        .iter()
        .any(|w| w.app.name == word || w.app.namespace == word || w.id.to_string() == word || word == "all"))
}

fn script(cx: &Context, client: &mut Client, word: &str, args: &[String]) -> Result<(), CliError> {
    let resolved = config::from_script(word, &cx.options(args), &cx.caller())?;
    target::warn(cx, &resolved)?;
    let fleet = ask::list(client, false)?;
    for app in &resolved.apps {
        let runs = |w: &crate::model::snapshot::WorkerView| {
            w.state.is_online() && w.app.program.script == app.program.script
        };
        if cx.flags.force || !fleet.named(&app.name).any(|w| runs(w)) {
            cx.note(message::starting(app))?;
        }
    }
    let if_present = if cx.flags.force { IfPresent::Add } else { IfPresent::Refuse };
    let touched = ask::order(client, Order::Start { apps: resolved.apps, if_present })?;
    act::warn_of_failed(cx, &touched)?;
    cx.note("Done.")
}
