//! Which columns the table has at a width: each has a priority, and the least important go first.

use crate::monit::state::State;
use crate::monit::state::rows::Sort;
use crate::monit::words;
use ratatui::layout::Rect;

/// A column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    /// Symbol of the state.
    Symbol,
    /// Word of the state.
    Status,
    /// Id.
    Id,
    /// Name, in a tree.
    Name,
    /// Fork or cluster.
    Mode,
    /// Restarts.
    Restarts,
    /// Uptime.
    Uptime,
    /// CPU.
    Cpu,
    /// CPU of the last seconds.
    CpuGraph,
    /// Memory.
    Memory,
    /// Memory of the last seconds.
    MemoryGraph,
    /// Memory's share of `max_memory_restart`.
    Share,
    /// Requests a second.
    Rate,
    /// Response time.
    P95,
    /// Event-loop delay.
    Delay,
    /// Where it listens.
    Listen,
    /// Pid.
    Pid,
}

/// In the order on the screen.
const ORDER: [Column; 17] = [
    Column::Symbol,
    Column::Status,
    Column::Id,
    Column::Name,
    Column::Mode,
    Column::Restarts,
    Column::Uptime,
    Column::Cpu,
    Column::CpuGraph,
    Column::Memory,
    Column::MemoryGraph,
    Column::Share,
    Column::Rate,
    Column::P95,
    Column::Delay,
    Column::Listen,
    Column::Pid,
];

/// The most important first; the first four are always there.
const PRIORITY: [Column; 17] = [
    Column::Symbol,
    Column::Name,
    Column::Cpu,
    Column::Memory,
    Column::Restarts,
    Column::Status,
    Column::Uptime,
    Column::Id,
    Column::CpuGraph,
    Column::Rate,
    Column::P95,
    Column::MemoryGraph,
    Column::Pid,
    Column::Share,
    Column::Listen,
    Column::Mode,
    Column::Delay,
];

impl Column {
    /// Its heading.
    pub fn title(self) -> &'static str {
        match self {
            Column::Symbol | Column::CpuGraph | Column::MemoryGraph => "",
            Column::Status => "status",
            Column::Id => "id",
            Column::Name => "name",
            Column::Mode => "mode",
            Column::Restarts => "↺",
            Column::Uptime => "uptime",
            Column::Cpu => "cpu",
            Column::Memory => "memory",
            Column::Share => "max",
            Column::Rate => "req/s",
            Column::P95 => "p95",
            Column::Delay => "loop",
            Column::Listen => "listening",
            Column::Pid => "pid",
        }
    }

    /// By what a click on it sorts.
    pub fn sort(self) -> Option<Sort> {
        match self {
            Column::Symbol | Column::Status => Some(Sort::Status),
            Column::Id => Some(Sort::Id),
            Column::Name => Some(Sort::Name),
            Column::Restarts => Some(Sort::Restarts),
            Column::Uptime => Some(Sort::Uptime),
            Column::Cpu | Column::CpuGraph => Some(Sort::Cpu),
            Column::Memory | Column::MemoryGraph => Some(Sort::Memory),
            Column::Rate => Some(Sort::Rate),
            Column::P95 => Some(Sort::P95),
            Column::Mode | Column::Share | Column::Delay | Column::Listen | Column::Pid => None,
        }
    }

    /// Text stands at the left, numbers at the right.
    pub fn is_text(self) -> bool {
        matches!(self, Column::Status | Column::Name | Column::Mode | Column::Listen)
    }

    fn width(self) -> u16 {
        match self {
            Column::Symbol => 1,
            Column::Id | Column::Share => 4,
            Column::Restarts => 5,
            Column::Cpu | Column::P95 | Column::Delay | Column::Memory | Column::Rate => 6,
            Column::Mode | Column::Uptime | Column::Pid => 7,
            Column::CpuGraph | Column::MemoryGraph => 8,
            Column::Status => 9,
            Column::Name => 9,
            Column::Listen => 12,
        }
    }

    /// Somebody in the fleet has something to show in it.
    fn is_useful(self, state: &State) -> bool {
        match self {
            Column::Rate | Column::P95 | Column::Delay => state.fleet.workers().any(|w| w.node.is_some()),
            Column::Listen => state.fleet.workers().any(|w| !w.listening.is_empty()),
            Column::Share => state.fleet.workers().any(|w| w.app.limits.max_memory.is_some()),
            Column::Symbol
            | Column::Status
            | Column::Id
            | Column::Name
            | Column::Mode
            | Column::Restarts
            | Column::Uptime
            | Column::Cpu
            | Column::CpuGraph
            | Column::Memory
            | Column::MemoryGraph
            | Column::Pid => true,
        }
    }
}

/// A column with its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    /// Which.
    pub column: Column,
    /// Its first cell.
    pub x: u16,
    /// Its cells.
    pub width: u16,
}

/// From this width on names get what they need first.
const ROOMY: u16 = 56;
/// Cells between columns.
const GAP: u16 = 1;
/// Cells at the left for cursor and mark, with their gap.
pub const GUTTER: u16 = 2;

/// The columns that fit into `inner`, from left to right.
pub fn place(state: &State, inner: Rect) -> Vec<Placed> {
    let room = inner.width.saturating_sub(GUTTER);
    let mut chosen: Vec<Column> = Vec::new();
    let mut used = 0;
    // A name that can be read is worth more than the columns of least priority.
    let name =
        if room < ROOMY { Column::Name.width() } else { longest_name(state).clamp(Column::Name.width(), 22) };
    for (rank, column) in PRIORITY.into_iter().enumerate() {
        let cost = if column == Column::Name { name } else { column.width() } + GAP;
        if rank < 4 || (used + cost <= room + GAP && column.is_useful(state)) {
            chosen.push(column);
            used += cost;
        }
    }
    let mut spare = (room + GAP).saturating_sub(used);
    let mut grow = |wanted: u16| {
        let more = wanted.min(spare);
        spare -= more;
        more
    };
    let name = name - Column::Name.width() + grow(longest_name(state).saturating_sub(name).min(16));
    let has = |column| chosen.contains(&column);
    let listen = if has(Column::Listen) {
        grow(longest_place(state).saturating_sub(Column::Listen.width()).min(24))
    } else {
        0
    };
    let graphs = u16::from(has(Column::CpuGraph)) + u16::from(has(Column::MemoryGraph));
    let graph = grow(graphs * 16) / graphs.max(1);
    let mut x = inner.x + GUTTER;
    let ordered = ORDER.into_iter().filter(|column| has(*column));
    let place = ordered.map(|column| {
        let more = match column {
            Column::Name => name,
            Column::Listen => listen,
            Column::CpuGraph | Column::MemoryGraph => graph,
            _fixed => 0,
        };
        let width = column.width() + more;
        let placed = Placed { column, x, width };
        x += width + GAP;
        placed
    });
    place.collect()
}

/// Cells of the longest name with its branch of the tree.
fn longest_name(state: &State) -> u16 {
    let longest = state.fleet.workers().map(|w| words::width(&w.app.name)).max().unwrap_or(0);
    longest.saturating_add(6)
}

/// Cells of the longest list of addresses.
fn longest_place(state: &State) -> u16 {
    state.fleet.workers().map(|w| words::width(&w.listening.join(" "))).max().unwrap_or(0)
}

/// First column of the names.
pub fn name_start(state: &State, inner: Rect) -> Option<u16> {
    place(state, inner).into_iter().find(|p| p.column == Column::Name).map(|p| p.x)
}

/// By what a click at this column of the heading sorts.
pub fn sort_at(state: &State, inner: Rect, x: u16) -> Option<Sort> {
    place(state, inner).into_iter().find(|p| x >= p.x && x < p.x + p.width + GAP)?.column.sort()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monit::fixture;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_width_shows_an_empty_table_or_columns_outside(width in 38u16..400) {
            let state = fixture::sixteen();
            let inner = Rect::new(1, 1, width, 10);
            let placed = place(&state, inner);
            for wanted in [Column::Symbol, Column::Name, Column::Cpu, Column::Memory] {
                prop_assert!(placed.iter().any(|p| p.column == wanted));
            }
            for pair in placed.windows(2) {
                prop_assert!(pair[0].x + pair[0].width < pair[1].x + 1);
            }
            prop_assert!(placed.iter().all(|p| p.x + p.width <= inner.right()));
        }
    }
}
