//! `pmon demo`: a fleet, load and the monitor in a home of its own. Placeholder.

/// What was asked of the demo.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "placeholder")]
pub struct Options {
    pub once: bool,
    pub no_node: bool,
    pub instances: u32,
    pub seconds: Option<u64>,
}

impl Default for Options {
    fn default() -> Options {
        Options { once: false, no_node: false, instances: 16, seconds: None }
    }
}

/// Runs the demo.
pub fn run(_options: Options) -> anyhow::Result<std::process::ExitCode> {
    anyhow::bail!("not in this build")
}

/// The built-in HTTP worker.
pub fn worker() -> std::process::ExitCode {
    std::process::ExitCode::FAILURE
}
