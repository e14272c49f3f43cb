//! People's words for numbers: bytes, spans, times, plurals.
//!
//! Two families: PM2's forms, which scripts match on (`52.4mb`, `63s`, `0.9%`), and the short forms
//! of the monitor (`52.4M`, `2m 05s`, `1.2k/s`). Numbers to text only; `config::units` reads them.

mod bytes;
mod count;
mod span;
mod wall;

pub use bytes::{bytes, short_bytes};
pub use count::{percent, plural, rate};
pub use span::{clock_span, span};
pub use wall::{iso_utc, wall};
