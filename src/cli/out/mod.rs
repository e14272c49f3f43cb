//! The only printer of the command line. Everything here makes text from plain data; [`Ui`] writes it.
//!
//! The tables are PM2's to the character, because people's scripts cut them at columns.

pub mod colour;
pub mod date;
pub mod describe;
pub mod frame;
pub mod grid;
pub mod host;
pub mod inspect;
pub mod jlist;
pub mod logs;
pub mod message;
pub mod number;
pub mod reload;
#[cfg(test)]
pub(crate) mod sample;
pub mod settings;
pub mod stats;
pub mod table;

use colour::Colour;
use std::io::{self, IsTerminal, Write};

/// Columns assumed where no terminal says how wide it is.
const PIPED_WIDTH: usize = 300;

/// Where output goes and how it may look.
#[derive(Debug, Clone, Copy)]
pub struct Ui {
    /// Messages and tables are not wanted (`--silent`); data (`jlist`, log lines) still is.
    silent: bool,
    /// Whether stdout is coloured.
    pub colour: Colour,
    /// Whether stderr is coloured.
    pub error_colour: Colour,
    /// Columns of stdout.
    pub width: usize,
}

impl Ui {
    /// For this process. `PM2_SILENT` is PM2's way to ask for silence without a flag.
    pub fn new(silent: bool, no_colour: bool) -> Ui {
        Ui {
            silent: silent || std::env::var_os("PM2_SILENT").is_some(),
            colour: Colour::of(&io::stdout(), no_colour),
            error_colour: Colour::of(&io::stderr(), no_colour),
            width: width(),
        }
    }

    /// One message or table on stdout, unless silent; a newline is added.
    pub fn say(&self, text: &str) -> io::Result<()> {
        if self.silent { Ok(()) } else { line(io::stdout().lock(), text) }
    }

    /// One message on stderr, unless silent; a newline is added.
    pub fn warn(&self, text: &str) -> io::Result<()> {
        if self.silent { Ok(()) } else { line(io::stderr().lock(), text) }
    }

    /// What was asked for, on stdout, as it is, also when silent.
    pub fn data(&self, bytes: &[u8]) -> io::Result<()> {
        io::stdout().lock().write_all(bytes)
    }

    /// As [`Ui::data`], on stderr.
    pub fn error_data(&self, bytes: &[u8]) -> io::Result<()> {
        io::stderr().lock().write_all(bytes)
    }

    /// Hands over what is still buffered.
    pub fn flush(&self) -> io::Result<()> {
        io::stdout().lock().flush()
    }
}

fn line(mut stream: impl Write, text: &str) -> io::Result<()> {
    stream.write_all(format!("{text}\n").as_bytes())
}

fn width() -> usize {
    let stdout = io::stdout();
    if !stdout.is_terminal() {
        return PIPED_WIDTH;
    }
    match rustix::termios::tcgetwinsize(&stdout) {
        Ok(size) if size.ws_col > 0 => usize::from(size.ws_col),
        _unknown => PIPED_WIDTH,
    }
}
