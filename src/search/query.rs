//! What is looked for.

use super::pattern::Pattern;

/// What is looked for. The default is every line.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// Which lines.
    pub pattern: Pattern,
    /// Written at or after, Unix milliseconds.
    pub since: Option<i64>,
    /// Written before.
    pub until: Option<i64>,
    /// No more than so many of each log, the last ones.
    pub last: Option<usize>,
    /// Lines before each find that are shown with it.
    pub before: usize,
    /// And behind it.
    pub after: usize,
    /// Lines' times are wanted, also where only one log is read.
    pub timed: bool,
    /// So many threads may help.
    pub threads: usize,
}

impl Query {
    /// Every line written is wanted, whatever it says.
    pub fn takes_all(&self) -> bool {
        self.pattern.takes_all() && self.since.is_none() && self.until.is_none()
    }

    /// A line of this time is wanted.
    pub fn wants_time(&self, at_ms: i64) -> bool {
        self.since.is_none_or(|since| at_ms >= since) && self.until.is_none_or(|until| at_ms < until)
    }

    /// Lines near finds are wanted.
    pub fn has_context(&self) -> bool {
        self.before > 0 || self.after > 0
    }

    /// It has limits of time.
    pub fn has_times(&self) -> bool {
        self.since.is_some() || self.until.is_some()
    }
}
