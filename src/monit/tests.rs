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
        scene("merged", "<tab><tab>a/timeline<enter>"),
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
