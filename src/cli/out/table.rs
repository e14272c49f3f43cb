//! The table of `list`, in three widths, and the list of `list -m`.

use super::colour::{self, Colour};
use super::grid::{Cell, draw};
use crate::fmt;
use crate::model::app::Mode;
use crate::model::snapshot::WorkerView;
use crate::model::{Stamp, State};
use serde_json::Value;
use std::sync::Arc;

/// One kind of column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    Id,
    Name,
    Namespace,
    Version,
    Mode,
    Pid,
    Uptime,
    Restarts,
    Status,
    Cpu,
    Memory,
    User,
    Watching,
}

/// A layout: columns with title and width. Width 0: as the content needs.
type Layout = &'static [(Column, &'static str, usize)];

const FULL: Layout = &[
    (Column::Id, "id", 0),
    (Column::Name, "name", 0),
    (Column::Namespace, "namespace", 13),
    (Column::Version, "version", 9),
    (Column::Mode, "mode", 9),
    (Column::Pid, "pid", 10),
    (Column::Uptime, "uptime", 8),
    (Column::Restarts, "↺", 6),
    (Column::Status, "status", 11),
    (Column::Cpu, "cpu", 10),
    (Column::Memory, "mem", 10),
    (Column::User, "user", 10),
    (Column::Watching, "watching", 10),
];
const CONDENSED: Layout = &[
    (Column::Id, "id", 0),
    (Column::Name, "name", 0),
    (Column::Mode, "mode", 10),
    (Column::Restarts, "↺", 6),
    (Column::Status, "status", 11),
    (Column::Cpu, "cpu", 10),
    (Column::Memory, "memory", 10),
];
const MINI: Layout = &[
    (Column::Id, "id", 0),
    (Column::Name, "name", 0),
    (Column::Status, "status", 11),
    (Column::Cpu, "cpu", 8),
    (Column::Memory, "mem", 10),
];

/// The widest of the three layouts that fits into `columns`; the narrowest where none does.
pub fn table(workers: &[Arc<WorkerView>], now: Stamp, columns: usize, colour: Colour) -> String {
    let layouts = [(FULL, 40), (CONDENSED, 20), (MINI, 16)];
    let mut chosen = (MINI, widths(MINI, workers, 16));
    for (layout, longest_name) in layouts {
        let widths = widths(layout, workers, longest_name);
        if widths.iter().sum::<usize>() + widths.len() < columns {
            chosen = (layout, widths);
            break;
        }
    }
    let (layout, widths) = chosen;
    let head: Vec<Cell> = layout.iter().map(|(_, title, _)| Cell::styled(colour::HEAD, *title)).collect();
    let rows: Vec<Vec<Cell>> = workers
        .iter()
        .map(|worker| layout.iter().map(|(column, _, _)| cell(*column, worker, now)).collect())
        .collect();
    let mut drawn = draw(&widths, &head, &rows, colour);
    drawn.push_str(&troubles(workers, now));
    drawn
}

/// PM2's table has no column for it: a line below for each worker whose log files take nothing or cost output.
fn troubles(workers: &[Arc<WorkerView>], now: Stamp) -> String {
    let told = workers.iter().filter_map(|worker| Some((worker, worker.log_trouble.as_ref()?)));
    told.map(|(worker, trouble)| {
        format!("log of {} ({}): {}\n", worker.app.name, worker.id, trouble.told(now))
    })
    .collect()
}

fn widths(layout: Layout, workers: &[Arc<WorkerView>], longest_name: usize) -> Vec<usize> {
    let digits = workers.iter().map(|w| w.id.to_string().len()).max().unwrap_or(0);
    let name = workers.iter().map(|w| Cell::plain(&w.app.name).width()).max();
    layout
        .iter()
        .map(|(column, _, width)| match column {
            Column::Id => (digits + 2).max(4),
            Column::Name => name.map_or(11, |longest| (longest + 5).min(longest_name)),
            Column::Namespace
            | Column::Version
            | Column::Mode
            | Column::Pid
            | Column::Uptime
            | Column::Restarts
            | Column::Status
            | Column::Cpu
            | Column::Memory
            | Column::User
            | Column::Watching => *width,
        })
        .collect()
}

fn cell(column: Column, worker: &WorkerView, now: Stamp) -> Cell {
    let app = &worker.app;
    match column {
        Column::Id => Cell::styled(colour::HEAD, worker.id.to_string()),
        Column::Name => Cell::plain(&app.name),
        Column::Namespace => Cell::plain(&app.namespace),
        Column::Version => Cell::plain(app.version.as_deref().unwrap_or("N/A")),
        Column::Mode => match app.mode {
            Mode::Fork => Cell::styled(colour::REVERSE, "fork"),
            Mode::Cluster => Cell::styled(colour::BUSY, "cluster"),
        },
        Column::Pid => Cell::plain(pid(worker)),
        Column::Uptime => Cell::plain(uptime(worker, now)),
        Column::Restarts => Cell::plain(worker.restarts.to_string()),
        Column::Status => Cell::styled(status_style(worker.state), worker.state.pm2_name()),
        Column::Cpu => Cell::plain(fmt::percent(worker.usage.cpu)),
        Column::Memory => Cell::plain(fmt::bytes(worker.usage.memory)),
        Column::User => Cell::styled(colour::BOLD, user(worker)),
        Column::Watching if watched(worker) => Cell::styled(colour::GOOD, "enabled"),
        Column::Watching => Cell::styled(colour::FAINT, "disabled"),
    }
}

/// Green online, blue launching, everything else red.
pub fn status_style(state: State) -> anstyle::Style {
    match state {
        State::Running | State::Ready => colour::GOOD,
        State::Starting => colour::BUSY,
        State::Down | State::Stopping | State::Backoff | State::Failed => colour::BAD,
    }
}

/// The pid; `0` after a process, `N/A` where there never was one.
pub fn pid(worker: &WorkerView) -> String {
    match worker.pid {
        Some(pid) => pid.to_string(),
        None if worker.started.is_some() => "0".to_owned(),
        None => "N/A".to_owned(),
    }
}

/// PM2's uptime; `0` when it is not online.
pub fn uptime(worker: &WorkerView, now: Stamp) -> String {
    if worker.state.is_online() { fmt::span(worker.uptime(now)) } else { "0".to_owned() }
}

/// Who runs it: what the client noted, the configured user, or whoever the environment names.
pub fn user(worker: &WorkerView) -> String {
    let app = &worker.app;
    let noted = app.extra.get("username").and_then(Value::as_str).map(str::to_owned);
    let configured = app.user.as_ref().map(|user| user.name.clone());
    configured.or(noted).or_else(|| app.env.0.get("USER").cloned()).unwrap_or_else(|| "N/A".to_owned())
}

/// True if files are watched for it.
pub fn watched(worker: &WorkerView) -> bool {
    match worker.app.extra.get("watch") {
        None | Some(Value::Null) => false,
        Some(Value::Bool(on)) => *on,
        Some(Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_)) => true,
    }
}

/// `list -m`: a few lines a worker, no frame.
pub fn mini_list(workers: &[Arc<WorkerView>], now: Stamp) -> String {
    let mut out = String::new();
    for worker in workers {
        let app = &worker.app;
        let mode = match app.mode {
            Mode::Fork => "fork",
            Mode::Cluster => "cluster",
        };
        let lines = [
            ("namespace", app.namespace.clone()),
            ("version", app.version.clone().unwrap_or_else(|| "N/A".to_owned())),
            ("pid", pid(worker)),
            ("pm2 id", worker.id.to_string()),
            ("status", worker.state.pm2_name().to_owned()),
            ("mode", mode.to_owned()),
            ("restarted", worker.restarts.to_string()),
            ("uptime", uptime(worker, now)),
            ("memory usage", format!("{} ", fmt::bytes(worker.usage.memory))),
            ("error log", worker.error_file.clone().unwrap_or_else(|| "/dev/null".to_owned())),
            ("watching", if watched(worker) { "yes" } else { "no" }.to_owned()),
            ("PID file", worker.pid_file.clone().unwrap_or_default()),
        ];
        out.push_str(&format!("+--- {}\n", app.name));
        for (key, value) in lines {
            out.push_str(&format!("{key} : {value}\n"));
        }
        out.push('\n');
    }
    out
}

/// What a table can be sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sort {
    field: Field,
    descending: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Name,
    Namespace,
    Pid,
    Id,
    Cpu,
    Memory,
    Uptime,
    Status,
}

impl Default for Sort {
    fn default() -> Sort {
        Sort { field: Field::Name, descending: false }
    }
}

impl std::str::FromStr for Sort {
    type Err = String;

    /// `field`, `field:asc` or `field:desc`.
    fn from_str(text: &str) -> Result<Sort, String> {
        let (field, order) = text.split_once(':').unwrap_or((text, "asc"));
        let field = match field {
            "name" => Field::Name,
            "namespace" => Field::Namespace,
            "pid" => Field::Pid,
            "id" => Field::Id,
            "cpu" => Field::Cpu,
            "memory" => Field::Memory,
            "uptime" => Field::Uptime,
            "status" => Field::Status,
            _other => return Err("one of name, namespace, pid, id, cpu, memory, uptime, status".to_owned()),
        };
        match order {
            "asc" => Ok(Sort { field, descending: false }),
            "desc" => Ok(Sort { field, descending: true }),
            _other => Err("`:asc` or `:desc` after the field".to_owned()),
        }
    }
}

impl Sort {
    /// Sorts; equals stay in order of id.
    pub fn apply(self, workers: &mut [Arc<WorkerView>], now: Stamp) {
        workers.sort_by_key(|w| w.id);
        workers.sort_by(|a, b| {
            let order = match self.field {
                Field::Name => a.app.name.cmp(&b.app.name),
                Field::Namespace => a.app.namespace.cmp(&b.app.namespace),
                Field::Pid => a.pid.cmp(&b.pid),
                Field::Id => a.id.cmp(&b.id),
                Field::Cpu => a.usage.cpu.total_cmp(&b.usage.cpu),
                Field::Memory => a.usage.memory.cmp(&b.usage.memory),
                Field::Uptime => a.uptime(now).cmp(&b.uptime(now)),
                Field::Status => a.state.pm2_name().cmp(b.state.pm2_name()),
            };
            if self.descending { order.reverse() } else { order }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn a_wide_terminal_shows_everything() {
        let fleet = sample::fleet();
        insta::assert_snapshot!(table(&fleet, sample::NOW, 300, Colour(false)));
    }

    #[test]
    fn the_full_table_needs_its_exact_width() {
        let fleet = sample::fleet();
        let wide = table(&fleet, sample::NOW, 300, Colour(false));
        let needed = wide.lines().next().unwrap().chars().count();
        assert_eq!(table(&fleet, sample::NOW, needed, Colour(false)), wide);
        assert_ne!(table(&fleet, sample::NOW, needed - 1, Colour(false)), wide);
    }

    #[test]
    fn a_narrow_terminal_shows_less() {
        let fleet = sample::fleet();
        insta::assert_snapshot!("condensed", table(&fleet, sample::NOW, 100, Colour(false)));
        insta::assert_snapshot!("mini", table(&fleet, sample::NOW, 60, Colour(false)));
        insta::assert_snapshot!("mini_at_any_width", table(&fleet, sample::NOW, 10, Colour(false)));
    }

    #[test]
    fn no_worker_gives_an_empty_table() {
        insta::assert_snapshot!(table(&[], sample::NOW, 300, Colour(false)));
    }

    #[test]
    fn a_coloured_status_wider_than_its_column_is_cut_not_lost() {
        let coloured = table(&sample::fleet(), sample::NOW, 60, Colour(true));
        assert!(coloured.contains("\u{1b}[31mwaiting …\u{1b}[0m"), "{coloured}");
        let stripped = anstream::adapter::strip_str(&coloured).to_string();
        assert_eq!(stripped, table(&sample::fleet(), sample::NOW, 60, Colour(false)));
    }

    #[test]
    fn every_line_is_equally_wide() {
        for columns in [300, 100, 60] {
            let drawn = table(&sample::fleet(), sample::NOW, columns, Colour(false));
            let widths: std::collections::BTreeSet<usize> =
                drawn.lines().map(unicode_width::UnicodeWidthStr::width).collect();
            assert_eq!(widths.len(), 1, "{drawn}");
        }
    }

    #[test]
    fn mini_list_is_pm2s() {
        insta::assert_snapshot!(mini_list(&sample::fleet()[..1], sample::NOW));
    }

    #[test]
    fn sorting_is_by_name_then_id_unless_told() {
        let ids = |sort: &str| {
            let mut fleet = sample::fleet();
            fleet.reverse();
            sort.parse::<Sort>().unwrap().apply(&mut fleet, sample::NOW);
            fleet.iter().map(|w| w.id.0).collect::<Vec<_>>()
        };
        assert_eq!(ids("name"), [4, 0, 1, 12]);
        assert_eq!(ids("id:desc"), [12, 4, 1, 0]);
        assert_eq!(ids("memory:desc"), [0, 1, 4, 12]);
        assert!("colour".parse::<Sort>().is_err());
        assert!("id:up".parse::<Sort>().is_err());
    }
}
