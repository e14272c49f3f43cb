//! `logs`: the last lines, or those of some time or that match, then those that come.
//!
//! History is read here from the files; the daemon says which they are and up to where, and sends what comes after.
//! `read` is the loop, `cursor` knows what of each file was shown, `page` shows.

mod cursor;
mod page;
mod read;
mod wait;

use super::ask::{self, Fleet};
use super::context::Context;
use crate::cli::error::CliError;
use crate::cli::out::colour;
use crate::cli::out::logs::{Form, LogPrinter};
use crate::model::Selector;
use crate::model::level;
use crate::model::select::SelectError;
use crate::proto::request::LogsRequest;
use crate::search::{Pattern, Query, when};
use crate::sys::clock;
use page::Page;
use read::Reader;

/// How a line's time is shown unless a format is given.
const TIME: &str = "YYYY-MM-DD-HH:mm:ss";
/// Lines of each file, unless something else limits them.
const LINES: usize = 15;

/// So many processors may search.
const THREADS: usize = 4;

/// Arguments of `logs`.
#[derive(Debug, Default, clap::Args)]
pub struct Args {
    /// Id, name, namespace or /regex/; none: all
    pub target: Option<String>,
    /// So many last lines of each file [default: 15; all with --grep, --level, --since, --until, --stats]; 0: only what comes
    #[arg(long, value_name = "N|all", value_parser = lines)]
    pub lines: Option<usize>,
    /// Only what is there, not what comes
    #[arg(long, visible_alias = "no-follow", overrides_with = "follow")]
    pub nostream: bool,
    /// Go on with what comes (the default)
    #[arg(long, overrides_with = "nostream")]
    pub follow: bool,
    /// Lines as they are
    #[arg(long)]
    pub raw: bool,
    /// Only stderr
    #[arg(long)]
    pub err: bool,
    /// Only stdout
    #[arg(long)]
    pub out: bool,
    /// One JSON object a line
    #[arg(long)]
    pub json: bool,
    /// `timestamp=… app=… id=… type=… message=…`
    #[arg(long)]
    pub format: bool,
    /// The time before each line, in this format
    #[arg(long, num_args = 0..=1, require_equals = true, value_name = "FORMAT")]
    pub timestamp: Option<Option<String>>,
    /// Mark the first place of this in each line
    #[arg(long, num_args = 0..=1, value_name = "TEXT")]
    pub highlight: Option<Option<String>>,
    /// Only lines that match
    #[arg(long, value_name = "REGEX", allow_hyphen_values = true)]
    pub grep: Option<String>,
    /// Only lines that do not match --grep
    #[arg(short = 'v', long, requires = "grep")]
    pub invert: bool,
    /// Capitals are as small letters in --grep [also -i]
    #[arg(long)]
    pub ignore_case: bool,
    /// So many lines behind each found one
    #[arg(short = 'A', long, value_name = "N")]
    pub after_context: Option<usize>,
    /// So many lines before each found one
    #[arg(short = 'B', long, value_name = "N")]
    pub before_context: Option<usize>,
    /// Both
    #[arg(short = 'C', long, value_name = "N", default_value_t = 0)]
    pub context: usize,
    /// Only lines at least as loud: debug, info, warn or error
    #[arg(long, value_name = "LEVEL")]
    pub level: Option<String>,
    /// Only lines since: `10m` ago, `14:30`, `2026-11-22T08:00`
    #[arg(long, value_name = "WHEN")]
    pub since: Option<String>,
    /// Only lines before; does not follow
    #[arg(long, value_name = "WHEN")]
    pub until: Option<String>,
    /// History in time order rather than file by file, as with --grep, --level, --since, --json and --format
    #[arg(long)]
    pub merge: bool,
    /// Lines that repeat but for their numbers: the first, and how many
    #[arg(long)]
    pub fold: bool,
    /// Counts instead of lines; does not follow
    #[arg(long)]
    pub stats: bool,
}

/// A number, or `all`.
fn lines(text: &str) -> Result<usize, String> {
    match text {
        "all" => Ok(usize::MAX),
        number => number.parse().map_err(|_not| "a number, or `all`".to_owned()),
    }
}

/// Prints until there is nothing more, or for ever.
pub fn run(cx: &Context, args: Args) -> Result<(), CliError> {
    let word = args.target.clone().unwrap_or_else(|| "all".to_owned());
    let select = cx.selector(&word);
    let query = query(&args, clock::now().wall_ms)?;
    let mut client = cx.connect()?;
    let fleet = ask::list(&mut client, false)?;
    // PM2 follows an unknown name for ever and shows nothing.
    check(&fleet, &select)?;
    let form = form(&args);
    let files = is_plain(&args);
    let count = query.last.filter(|n| *n != usize::MAX);
    if matches!(form, Form::Prefixed { .. }) && files {
        let lines = count.map_or_else(|| "all".to_owned(), |n| n.to_string());
        let text = format!(
            "Tailing last {lines} lines for [{word}] processes (change the value with --lines option)"
        );
        cx.ui.say(&format!("{} {text}", cx.ui.colour.paint(colour::BOLD, "[TAILING]")))?;
    }
    let shown = u32::try_from(count.unwrap_or(LINES)).unwrap_or(u32::MAX);
    let printer = LogPrinter::new(
        form.clone(),
        shown,
        args.highlight.clone().flatten(),
        &labels(&fleet, &select),
        cx.ui.colour,
    )
    .marking(query.pattern.clone());
    let request = LogsRequest {
        select,
        lines: shown,
        follow: !(args.nostream || args.until.is_some() || args.stats),
        out: args.out || !args.err,
        err: args.err || !args.out,
        files: true,
        places: true,
    };
    let page = Page::new(cx.ui, printer, &form, args.fold, args.stats);
    Reader::new(cx, page, request, &query, files).read(client)
}

/// What is looked for.
fn query(args: &Args, now_ms: i64) -> Result<Query, CliError> {
    let said = |text: String| CliError::Said(text);
    let least = args.level.as_deref().map(|word| {
        level::named(word).ok_or_else(|| said(format!("{word} is no level: debug, info, warn or error")))
    });
    let moment = |text: &Option<String>| {
        let text = text.as_deref();
        let moment = text.map(|text| {
            when::parse(text, now_ms)
                .ok_or_else(|| said(format!("{text} is no moment: 10m, 14:30, 2026-11-22T08:00")))
        });
        moment.transpose()
    };
    let expression = args.grep.as_deref();
    let pattern = Pattern::new(expression, args.ignore_case, args.invert, least.transpose()?)
        .map_err(|error| said(format!("--grep is no regular expression: {error}")))?;
    let (since, until) = (moment(&args.since)?, moment(&args.until)?);
    let limited = !pattern.takes_all() || since.is_some() || until.is_some() || args.stats;
    let last = args.lines.unwrap_or(if limited { usize::MAX } else { LINES });
    Ok(Query {
        pattern,
        since,
        until,
        last: Some(last).filter(|n| *n != usize::MAX),
        before: args.before_context.unwrap_or(args.context),
        after: args.after_context.unwrap_or(args.context),
        timed: args.json || args.format || args.timestamp.is_some() || args.fold || args.stats,
        threads: std::thread::available_parallelism().map_or(1, |cores| cores.get().min(THREADS)),
    })
}

/// As PM2 has it: file by file, each headed by its path.
fn is_plain(args: &Args) -> bool {
    let limits = [&args.grep, &args.level, &args.since, &args.until];
    let limited = limits.iter().any(|limit| limit.is_some());
    !(limited || args.merge || args.fold || args.stats || args.json || args.format)
}

/// An error for a name that means nothing. `all` may be empty, and the daemon's own log is always there.
fn check(fleet: &Fleet, select: &Selector) -> Result<(), SelectError> {
    match fleet.resolve(select) {
        Ok(_) => Ok(()),
        Err(_) if ["all", "PM2", "pmon"].contains(&select.text.as_str()) => Ok(()),
        Err(error) => Err(error),
    }
}

fn labels(fleet: &Fleet, select: &Selector) -> Vec<String> {
    let workers = fleet.select(select).unwrap_or_default();
    workers.iter().map(|w| format!("{}|{}", w.id, w.app.name)).collect()
}

fn form(args: &Args) -> Form {
    if args.json {
        Form::Json
    } else if args.format {
        Form::KeyValue
    } else if args.raw {
        Form::Raw
    } else {
        let format = args.timestamp.clone().map(|format| format.unwrap_or_else(|| TIME.to_owned()));
        Form::Prefixed { timestamp: format }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::out::sample;

    #[test]
    fn only_a_name_that_means_nothing_is_refused() {
        let fleet = Fleet { workers: sample::fleet(), ..Fleet::default() };
        let ok = |fleet: &Fleet, word: &str| check(fleet, &Selector::new(word, "/")).is_ok();
        assert!(ok(&fleet, "crashy") && ok(&fleet, "0") && ok(&fleet, "all") && ok(&fleet, "PM2"));
        assert!(!ok(&fleet, "nope") && !ok(&fleet, "99"));
        assert!(ok(&Fleet::default(), "all"));
    }

    #[test]
    fn prefixes_are_as_wide_as_the_longest_selected_name() {
        let fleet = Fleet { workers: sample::fleet(), ..Fleet::default() };
        assert_eq!(labels(&fleet, &Selector::new("timeline-app", "/")), ["0|timeline-app", "1|timeline-app"]);
    }

    #[test]
    fn a_search_is_not_limited_to_the_last_lines_unless_it_is_asked_for() {
        let grep = |lines| Args { grep: Some("x".into()), lines, ..Args::default() };
        let last = |args: &Args| query(args, 0).unwrap().last;
        assert_eq!(last(&Args::default()), Some(15));
        assert_eq!(last(&grep(None)), None);
        assert_eq!(last(&grep(Some(3))), Some(3));
        assert_eq!(last(&Args { lines: lines("all").ok(), ..Args::default() }), None);
        assert!(is_plain(&Args::default()) && !is_plain(&grep(None)));
    }

    #[test]
    fn what_cannot_be_meant_is_said() {
        let said = |args: Args| query(&args, 0).unwrap_err().to_string();
        assert!(said(Args { grep: Some("(".into()), ..Args::default() }).contains("regular expression"));
        assert!(said(Args { since: Some("soon".into()), ..Args::default() }).contains("soon is no moment"));
        assert!(said(Args { level: Some("loud".into()), ..Args::default() }).contains("loud is no level"));
    }
}
