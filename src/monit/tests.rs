//! The screen as people see it: pictures at fixed sizes, and scripts of keys.

use super::event::{Deed, Event, News};
use super::state::rows::RowKey;
use super::state::{Pane, State, Tab, View};
use super::theme::{Depth, Theme};
use super::{fixture, pane, term};
use crate::model::{Order, WorkerId};
use crate::proto::{Code, Reply, WireError};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier};
use std::fmt::Write as _;

const SIZES: [(u16, u16); 8] =
    [(40, 10), (60, 15), (80, 24), (100, 30), (120, 40), (132, 43), (160, 45), (200, 60)];

fn frame(state: &mut State, size: (u16, u16), depth: Depth) -> Buffer {
    state.update(Event::Resize(size.0, size.1), state.now);
    let mut buf = Buffer::empty(Rect::new(0, 0, size.0, size.1));
    pane::draw(&mut buf, state, &Theme::new(depth, false));
    buf
}

fn text(buf: &Buffer) -> String {
    (0..buf.area.height).map(|y| term::line(buf, y).trim_end().to_owned() + "\n").collect()
}

/// Keys as in a script: characters, and words in angle brackets.
fn press(state: &mut State, script: &str) -> Vec<Deed> {
    let mut deeds = Vec::new();
    let mut rest = script;
    while let Some(c) = rest.chars().next() {
        let (code, modifiers, used) = match rest.strip_prefix('<').and_then(|r| r.split_once('>')) {
            Some((word, _)) => {
                let (code, modifiers) = named(word);
                (code, modifiers, word.len() + 2)
            }
            None => (KeyCode::Char(c), KeyModifiers::NONE, c.len_utf8()),
        };
        deeds.extend(state.update(Event::Key(KeyEvent::new(code, modifiers)), state.now));
        rest = rest.get(used..).unwrap();
    }
    deeds
}

fn named(word: &str) -> (KeyCode, KeyModifiers) {
    let none = KeyModifiers::NONE;
    match word {
        "enter" => (KeyCode::Enter, none),
        "esc" => (KeyCode::Esc, none),
        "tab" => (KeyCode::Tab, none),
        "up" => (KeyCode::Up, none),
        "pgup" => (KeyCode::PageUp, none),
        "backspace" => (KeyCode::Backspace, none),
        "lt" => (KeyCode::Char('<'), none),
        "gt" => (KeyCode::Char('>'), none),
        ctrl => {
            (KeyCode::Char(ctrl.strip_prefix("c-").unwrap().chars().next().unwrap()), KeyModifiers::CONTROL)
        }
    }
}

fn click(state: &mut State, x: u16, y: u16) {
    let kind = MouseEventKind::Down(MouseButton::Left);
    let event = MouseEvent { kind, column: x, row: y, modifiers: KeyModifiers::NONE };
    state.update(Event::Mouse(event), state.now);
}

fn scenes() -> Vec<(&'static str, State)> {
    let scene = |name, script: &str| {
        let mut state = fixture::sixteen();
        press(&mut state, script);
        (name, state)
    };
    vec![
        ("empty", fixture::empty()),
        scene("fleet", ""),
        scene("failure", "Gkk3"),
        ("gone", fixture::gone()),
        scene("wall", "v"),
        scene("zoom", "jjj<enter>"),
        scene("help", "?"),
        scene("graphs", "jjjj2"),
        scene("metadata", "jj4"),
        scene("merged", "<tab>a/timeline<enter>"),
    ]
}

#[test]
fn every_scene_at_every_size() {
    for (name, mut state) in scenes() {
        for size in SIZES {
            let frame = frame(&mut state, size, Depth::Mono);
            insta::assert_snapshot!(format!("{name}_{}x{}", size.0, size.1), text(&frame));
        }
    }
}

/// Pictures with colours, for people: `shoot - out.png < target/tmp/monit/fleet_160x45.ansi`.
#[test]
fn frames_with_colours_can_be_looked_at() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/target/tmp/monit");
    std::fs::create_dir_all(dir).unwrap();
    for (name, mut state) in scenes() {
        for size in SIZES {
            let frame = frame(&mut state, size, Depth::True);
            let path = format!("{dir}/{name}_{}x{}.ansi", size.0, size.1);
            std::fs::write(path, coloured(&frame)).unwrap();
        }
    }
}

fn coloured(buf: &Buffer) -> String {
    let mut out = String::new();
    for y in 0..buf.area.height {
        let mut covered = 0;
        for x in 0..buf.area.width {
            if covered > 0 {
                covered -= 1;
                continue;
            }
            let cell = &buf[(x, y)];
            out.push_str("\x1b[0");
            for (modifier, code) in
                [(Modifier::BOLD, 1), (Modifier::DIM, 2), (Modifier::UNDERLINED, 4), (Modifier::REVERSED, 7)]
            {
                if cell.modifier.contains(modifier) {
                    write!(out, ";{code}").unwrap();
                }
            }
            for (colour, code) in [(cell.fg, 38), (cell.bg, 48)] {
                match colour {
                    Color::Rgb(r, g, b) => write!(out, ";{code};2;{r};{g};{b}").unwrap(),
                    Color::Indexed(n) => write!(out, ";{code};5;{n}").unwrap(),
                    _default => {}
                }
            }
            write!(out, "m{}", cell.symbol()).unwrap();
            covered = super::words::width(cell.symbol()).saturating_sub(1);
        }
        out.push_str("\x1b[0m\n");
    }
    out
}

fn orders(deeds: &[Deed]) -> Vec<String> {
    let word = |deed: &Deed| match deed {
        Deed::Ask { order, what } => format!("{what} = {}", order_text(order)),
        other => format!("{other:?}"),
    };
    deeds.iter().map(word).collect()
}

fn order_text(order: &Order) -> String {
    match order {
        Order::Restart { select, .. } => format!("restart {}", select.text),
        Order::Reload { select, .. } => format!("reload {}", select.text),
        Order::Stop { select } => format!("stop {}", select.text),
        Order::Delete { select } => format!("delete {}", select.text),
        other => format!("{other:?}"),
    }
}

#[test]
fn verbs_act_on_the_app_the_row_or_the_marked_rows() {
    let mut state = fixture::sixteen();
    assert_eq!(orders(&press(&mut state, "R")), ["reload api = reload api"]);
    assert_eq!(orders(&press(&mut state, "jjjr")), ["restart api:2 = restart 2"]);
    assert_eq!(orders(&press(&mut state, "  s")), ["stop api:2 = stop 2", "stop api:3 = stop 3"]);
    assert!(state.marked.is_empty(), "marks are spent");
    let scale = orders(&press(&mut state, "+"));
    assert_eq!(scale, [r#"scale api +1 = Scale { name: "api", to: By(1) }"#]);
}

#[test]
fn start_leaves_those_alone_that_run() {
    let mut state = fixture::sixteen();
    assert!(press(&mut state, "S").is_empty());
    assert!(state.notice.as_ref().is_some_and(|notice| notice.text.contains("runs already")));
    assert_eq!(orders(&press(&mut state, "GkkS")), ["start crashy = restart 17"]);
}

#[test]
fn delete_asks_and_only_yes_deletes() {
    let mut state = fixture::sixteen();
    assert!(press(&mut state, "Gxn").is_empty());
    assert_eq!(orders(&press(&mut state, "xy")), ["delete nightly-report = delete 19"]);
}

#[test]
fn the_last_instance_is_not_scaled_away() {
    let mut state = fixture::sixteen();
    assert!(press(&mut state, "G-").is_empty());
    assert!(state.notice.is_some_and(|notice| notice.bad && notice.text.contains("one instance")));
}

#[test]
fn an_id_that_is_also_a_name_is_refused() {
    let mut state = fixture::empty();
    let workers = [(3, "web"), (4, "3")].map(|(id, name)| fixture::worker(id, name, 0).into()).to_vec();
    state.update(fixture::push(true, workers), fixture::NOW);
    assert!(press(&mut state, "r").is_empty());
    assert!(state.notice.is_some_and(|notice| notice.bad && notice.text.contains("also a name")));
}

#[test]
fn read_only_has_no_verbs() {
    let mut state = fixture::sixteen();
    state.read_only = true;
    assert!(press(&mut state, "rRsSxy+-0").is_empty());
    press(&mut state, "?");
    assert!(!text(&frame(&mut state, (160, 45), Depth::Mono)).contains("reload without a gap"));
}

#[test]
fn an_orders_answer_reaches_the_status_line() {
    let mut state = fixture::sixteen();
    let what = "restart api".to_owned();
    state.update(Event::Asked { id: 7, what }, fixture::NOW);
    assert!(text(&frame(&mut state, (80, 24), Depth::Mono)).contains("restart api …"));
    let error = WireError { code: Code::Busy, message: "Reload already in progress".into(), hint: None };
    state.update(Event::News(News::Answer { id: 7, reply: Reply::Error(error) }), fixture::NOW);
    assert!(text(&frame(&mut state, (80, 24), Depth::Mono)).contains("✖ restart api: Reload already"));
}

#[test]
fn orders_lost_with_the_daemon_are_not_called_done() {
    let mut state = fixture::sixteen();
    state.update(Event::Asked { id: 7, what: "stop api".to_owned() }, fixture::NOW);
    state.update(Event::News(News::Gone { why: String::new() }), fixture::NOW);
    assert!(state.pending.is_empty());
    assert!(state.notice.is_some_and(|notice| notice.bad && notice.text.contains("may or may not")));
    assert!(press(&mut fixture::gone(), "r").is_empty(), "no order goes to a daemon that is gone");
}

#[test]
fn the_selection_is_kept_by_identity_when_the_daemon_comes_back() {
    let mut state = fixture::sixteen();
    press(&mut state, "jjjjj");
    let selected = state.selected.clone();
    assert_eq!(selected, Some(RowKey::Worker(WorkerId(4))));
    state.update(Event::News(News::Gone { why: String::new() }), fixture::NOW);
    state.update(Event::News(News::Up), fixture::NOW);
    let mut workers: Vec<_> = state.fleet.workers().cloned().collect();
    workers.push(fixture::worker(99, "aaa", 0).into());
    workers.retain(|worker| worker.id != WorkerId(0));
    state.update(fixture::push(true, workers), fixture::NOW);
    assert_eq!(state.selected, selected);
}

#[test]
fn a_selected_worker_that_is_deleted_hands_over_to_its_neighbour() {
    let mut state = fixture::sixteen();
    press(&mut state, "jjj");
    let workers = state.fleet.workers().filter(|w| w.id != WorkerId(2)).cloned().collect();
    state.update(fixture::push(true, workers), fixture::NOW);
    assert_eq!(state.selected, Some(RowKey::Worker(WorkerId(3))));
}

#[test]
fn filter_narrows_while_typed_and_esc_takes_it_back() {
    let mut state = fixture::sixteen();
    press(&mut state, "/status:errored");
    assert_eq!(state.rows.len(), 1);
    press(&mut state, "<enter>");
    assert!(state.prompt.is_none());
    press(&mut state, "<esc>");
    assert_eq!(state.rows.len(), 21);
    press(&mut state, "/zzz<esc>");
    assert_eq!(state.rows.len(), 21);
}

#[test]
fn search_highlights_counts_and_goes_round() {
    let mut state = fixture::sixteen();
    press(&mut state, "<tab>/slow query<enter>");
    assert_eq!(state.focus, Pane::Logs);
    let (count, place) = state.reader.search.as_ref().unwrap().count.unwrap();
    assert!(count > 3 && place == 0);
    let first = state.reader.search.as_ref().unwrap().at;
    press(&mut state, "n");
    assert!(state.reader.search.as_ref().unwrap().at < first);
    press(&mut state, "N");
    assert_eq!(state.reader.search.as_ref().unwrap().at, first);
    press(&mut state, "&");
    let shown = text(&frame(&mut state, (160, 45), Depth::Mono));
    assert!(!shown.contains("INFO GET"), "only matches are left");
    press(&mut state, "<esc>");
    assert!(state.reader.search.is_none());
}

#[test]
fn a_scrolled_log_stays_where_it_is_while_lines_come() {
    let mut state = fixture::sixteen();
    press(&mut state, "<tab>kkkkk");
    let before = logs_part(&mut state);
    let late = fixture::line(0, crate::proto::push::StreamKind::Out, fixture::NOW, "late");
    state.update(Event::News(News::Lines(vec![late])), fixture::NOW);
    assert_eq!(logs_part(&mut state), before);
    press(&mut state, "f");
    assert!(logs_part(&mut state).iter().any(|line| line.contains("late")));
}

/// The log's lines on the screen, without frames.
fn logs_part(state: &mut State) -> Vec<String> {
    let buf = frame(state, (160, 45), Depth::Mono);
    let area = super::layout::inside(super::layout::areas(state).logs.unwrap());
    (area.top()..area.bottom())
        .map(|y| (area.left()..area.right()).map(|x| buf[(x, y)].symbol().to_owned()).collect())
        .collect()
}

#[test]
fn skipped_lines_are_counted_in_the_frame_of_the_logs_until_esc() {
    let mut state = fixture::sixteen();
    for lines in [48_000, 210] {
        state.update(Event::News(News::Lagged(lines)), fixture::NOW);
    }
    insta::assert_snapshot!("lagged_120x40", text(&frame(&mut state, (120, 40), Depth::Mono)));
    press(&mut state, "<esc>");
    assert!(!text(&frame(&mut state, (120, 40), Depth::Mono)).contains("skipped"));
}

#[test]
fn esc_goes_back_one_step_at_a_time() {
    let mut state = fixture::sixteen();
    press(&mut state, "v<enter>?");
    assert!(state.help.is_some() && state.zoomed && state.view == View::Wall);
    press(&mut state, "<esc>");
    assert!(state.help.is_none() && state.zoomed);
    press(&mut state, "<esc>");
    assert!(!state.zoomed && state.view == View::Wall);
    press(&mut state, "<esc>");
    assert_eq!(state.view, View::Fleet);
}

#[test]
fn folding_keeps_the_app_selected() {
    let mut state = fixture::sixteen();
    press(&mut state, "jjjh");
    assert_eq!(state.selected, Some(RowKey::App("api".to_owned())));
    assert_eq!(state.rows.len(), 5);
    press(&mut state, "l");
    assert_eq!(state.rows.len(), 21);
}

#[test]
fn the_mouse_selects_sorts_and_changes_tabs() {
    let mut state = fixture::sixteen();
    frame(&mut state, (160, 45), Depth::Mono);
    let areas = super::layout::areas(&state);
    let table = areas.table.unwrap();
    click(&mut state, 30, table.y + 5);
    assert_eq!(state.selected, Some(RowKey::Worker(WorkerId(2))));
    let heading = text(&frame(&mut state, (160, 45), Depth::Mono));
    let line = heading.lines().nth(usize::from(table.y) + 1).unwrap();
    let cpu = line.chars().position(|c| c == 'c').unwrap() as u16;
    click(&mut state, cpu, table.y + 1);
    assert_eq!(state.arrangement.sort, super::state::rows::Sort::Cpu);
    let detail = areas.detail.unwrap();
    let (_, span) = super::layout::tab_spans(detail, true)[2];
    click(&mut state, span.x + 1, span.y);
    assert_eq!((state.tab, state.focus), (Tab::Metadata, Pane::Detail));
}

#[test]
fn a_worker_cannot_write_to_the_terminal() {
    let mut state = fixture::sixteen();
    let evil = "\u{1b}]52;c;ZXZpbA==\u{7}\u{1b}[2J\u{1b}[31mred\u{1b}[0m \u{9b}5n\u{202e}x";
    let line = fixture::line(0, crate::proto::push::StreamKind::Out, fixture::NOW, evil);
    state.update(Event::News(News::Lines(vec![line])), fixture::NOW);
    let buf = frame(&mut state, (160, 45), Depth::True);
    assert!(buf.content.iter().all(|cell| !cell.symbol().chars().any(|c| c.is_control() || c == '\u{202e}')));
    assert!(text(&buf).contains("red x"));
}

#[test]
fn no_size_panics_and_no_width_is_blank() {
    let mut states = [fixture::sixteen(), fixture::empty(), fixture::gone(), fixture::many(500)];
    for state in &mut states {
        for size in [(1, 1), (2, 3), (10, 4), (20, 5), (39, 9), (400, 12), (41, 100)] {
            for script in ["", "v", "v<enter>", "<tab>", "4", "?"] {
                press(state, script);
                let blank = text(&frame(state, size, Depth::Sixteen)).trim().is_empty();
                assert!(!blank || size.0 < 10, "{size:?} {script:?}");
                press(state, "<esc><esc><esc><esc>");
            }
        }
    }
    for width in 40..400 {
        let shown = text(&frame(&mut states[0], (width, 24), Depth::Mono));
        assert!(shown.contains("api:0") && shown.contains('%'), "{width}:\n{shown}");
    }
}

#[test]
fn words_on_the_page_of_a_worker() {
    let mut state = fixture::sixteen();
    press(&mut state, "jjj<enter>");
    let shown = text(&frame(&mut state, (120, 40), Depth::Mono));
    assert!(shown.contains("pid 4002") && shown.contains("limit 128M"), "{shown}");
}
