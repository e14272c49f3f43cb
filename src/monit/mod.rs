//! The screen.

/// Placeholder.
#[derive(Debug)]
#[expect(missing_docs, reason = "placeholder")]
pub struct Options {
    pub once: bool,
    pub size: Option<(u16, u16)>,
    pub read_only: bool,
}

/// Placeholder.
pub fn run(_home: &crate::sys::paths::Home, _options: Options) -> anyhow::Result<()> {
    anyhow::bail!("show the monitor: it is not there yet")
}
