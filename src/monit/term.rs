//! The terminal: taken over, drawn to in whole frames, and always given back as it was.

use crossterm::cursor;
use crossterm::event::{
    DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste, EnableMouseCapture,
};
use crossterm::terminal::{
    BeginSynchronizedUpdate, EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen,
    disable_raw_mode, enable_raw_mode,
};
use crossterm::{execute, queue};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::buffer::Buffer;
use std::io::{self, BufWriter, Stdout, Write};
use std::sync::Once;

type Backend = CrosstermBackend<BufWriter<Stdout>>;

/// The screen taken over; dropping it gives it back.
pub struct Term {
    terminal: Terminal<Backend>,
}

impl std::fmt::Debug for Term {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Term")
    }
}

impl Term {
    /// Takes the terminal over. A panic gives it back before it is reported.
    pub fn take() -> io::Result<Term> {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let report = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                drop(give_back());
                report(panic);
            }));
        });
        enter().inspect_err(|_| drop(give_back()))?;
        let out = BufWriter::with_capacity(1 << 16, io::stdout());
        Ok(Term { terminal: Terminal::new(CrosstermBackend::new(out))? })
    }

    /// Draws one frame; only cells that changed are written, all of them at once.
    pub fn draw(&mut self, paint: impl FnOnce(&mut Buffer)) -> io::Result<()> {
        queue!(self.terminal.backend_mut(), BeginSynchronizedUpdate)?;
        self.terminal.draw(|frame| paint(frame.buffer_mut()))?;
        queue!(self.terminal.backend_mut(), EndSynchronizedUpdate)?;
        self.terminal.backend_mut().flush()
    }

    /// Columns and rows.
    pub fn size() -> io::Result<(u16, u16)> {
        crossterm::terminal::size()
    }

    /// Forgets what is on the screen: the next frame draws every cell.
    pub fn repaint(&mut self) -> io::Result<()> {
        self.terminal.clear()
    }

    /// Gives the terminal back for a while.
    pub fn pause(&mut self) -> io::Result<()> {
        give_back()
    }

    /// Takes it over again, whatever somebody did to it.
    pub fn resume(&mut self) -> io::Result<()> {
        disable_raw_mode()?;
        enter()?;
        self.repaint()
    }
}

impl Drop for Term {
    fn drop(&mut self) {
        // The terminal may be gone: then there is nothing to give back.
        drop(give_back());
    }
}

fn enter() -> io::Result<()> {
    enable_raw_mode()?;
    execute!(io::stdout(), EnterAlternateScreen, EnableMouseCapture, EnableBracketedPaste, cursor::Hide)
}

fn give_back() -> io::Result<()> {
    let shown = execute!(
        io::stdout(),
        EndSynchronizedUpdate,
        DisableBracketedPaste,
        DisableMouseCapture,
        LeaveAlternateScreen,
        cursor::Show
    );
    disable_raw_mode()?;
    shown
}

/// Prints a frame as text, blanks at line ends left out. A reader that is gone is no error.
pub fn print(frame: &Buffer) -> io::Result<()> {
    let mut text = String::new();
    for y in frame.area.top()..frame.area.bottom() {
        text.push_str(line(frame, y).trim_end());
        text.push('\n');
    }
    match io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush()) {
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// One line of a frame; a wide character covers the cells behind it.
pub fn line(frame: &Buffer, y: u16) -> String {
    let mut text = String::new();
    let mut covered = 0;
    for x in frame.area.left()..frame.area.right() {
        if covered > 0 {
            covered -= 1;
            continue;
        }
        let symbol = frame.cell((x, y)).map_or(" ", |cell| cell.symbol());
        covered = super::words::width(symbol).saturating_sub(1);
        text.push_str(symbol);
    }
    text
}
