//! The screen. Placeholder.

/// How to show it.
#[derive(Debug, Clone, Copy, Default)]
#[expect(missing_docs, reason = "placeholder")]
pub struct Options {
    pub once: bool,
    pub size: Option<(u16, u16)>,
    pub read_only: bool,
}

/// Runs the screen.
pub fn run(_home: &crate::sys::paths::Home, _options: Options) -> anyhow::Result<()> {
    anyhow::bail!("not in this build")
}
