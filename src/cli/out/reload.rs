//! What a reload has to show for itself.

use crate::model::order::{Deed, Touched};
use crate::model::{Reason, State, WorkerId};
use std::fmt::Write;

/// `reload web: 16/16, 0 failed, 41.2 s`; those that were not even tried are named too, if there are any.
pub fn proof(name: &str, workers: &[&Touched], took_ms: u64) -> String {
    let failed = workers.iter().filter(|one| has_failed(one)).count();
    let untried = workers.iter().filter(|one| is_untried(one)).count();
    let done = workers.len() - failed - untried;
    let mut text = format!("reload {name}: {done}/{}, {failed} failed", workers.len());
    if untried > 0 {
        text.push_str(&format!(", {untried} not tried"));
    }
    let (seconds, tenth) = (took_ms / 1000, took_ms % 1000 / 100);
    text.push_str(&format!(", {seconds}.{tenth} s"));
    text
}

/// The last lines of a process that did not become ready.
pub fn last_words(name: &str, id: WorkerId, lines: &[String]) -> String {
    let mut text = format!("[{name}]({id}) the new process's last lines on stderr:");
    for line in lines {
        // Writing to a String does not fail.
        let _written = write!(text, "\n  {line}");
    }
    text
}

fn has_failed(one: &Touched) -> bool {
    one.deed == Deed::ReloadAbandoned || one.state == State::Failed
}

/// A reload of others was abandoned before its turn came.
fn is_untried(one: &Touched) -> bool {
    one.deed == Deed::Untouched && matches!(one.reason, Reason::ReloadAbandoned { .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touched(id: u32, deed: Deed, reason: Reason) -> Touched {
        let state = State::Ready;
        let (abandoned, last_words) = (None, Vec::new());
        Touched { id: WorkerId(id), name: "web".into(), deed, state, reason, abandoned, last_words }
    }

    #[test]
    fn the_proof_counts_what_was_done_failed_and_not_tried() {
        let what = || Reason::ReloadAbandoned { what: "x".into() };
        let good = touched(0, Deed::Reloaded, Reason::ReloadRequested);
        let bad = touched(1, Deed::ReloadAbandoned, what());
        let rest = touched(2, Deed::Untouched, what());
        assert_eq!(proof("web", &[&good, &good], 41_250), "reload web: 2/2, 0 failed, 41.2 s");
        assert_eq!(proof("web", &[&good, &bad, &rest], 99), "reload web: 1/3, 1 failed, 1 not tried, 0.0 s");
    }
}
