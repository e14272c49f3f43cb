//! What the daemon says, taken in.

use super::{Link, State};
use crate::model::order::{Deed as Done, Touched};
use crate::monit::event::{Deed, News};
use crate::monit::words;
use crate::proto::Reply;
use std::time::Duration;

impl State {
    pub(super) fn hear(&mut self, news: News) -> Vec<Deed> {
        match news {
            News::Up => {
                // The old lines come again with the new subscription.
                self.book.clear();
                self.history_complete = false;
                if matches!(self.link, Link::Gone { .. }) && self.fleet.known {
                    self.say("the daemon is back".to_owned(), false);
                }
                self.link = Link::Up;
            }
            News::Gone { why } => self.lose(why),
            News::Fleet { whole, workers, removed, host, daemon } => {
                self.fleet.merge(whole, workers, &removed);
                (self.fleet.host, self.fleet.daemon) = (host, daemon);
                self.fleet.sample(self.now, Duration::from_millis(900));
                self.book.retain(|id| self.fleet.worker(id).is_some() || !whole);
            }
            News::Changed(change) => self.fleet.note(change),
            News::Lines(lines) => lines.into_iter().for_each(|line| self.book.push(line)),
            News::HistoryEnd => self.history_complete = true,
            News::Lagged(lines) => self.lagged += lines,
            News::Answer { id, reply } => self.conclude(id, reply),
        }
        Vec::new()
    }

    fn lose(&mut self, why: String) {
        let since = match &self.link {
            Link::Gone { since, .. } => *since,
            Link::Connecting | Link::Up => self.now,
        };
        self.link = Link::Gone { since, why };
        if let Some(what) = std::mem::take(&mut self.pending).into_values().next_back() {
            self.say(format!("{what}: the daemon went away; it may or may not have happened"), true);
        }
    }

    fn conclude(&mut self, id: u64, reply: Reply) {
        let Some(what) = self.pending.remove(&id) else { return };
        match reply {
            Reply::Done { touched } => {
                let abandoned = touched.iter().find(|t| t.deed == Done::ReloadAbandoned);
                match abandoned {
                    Some(touched) => self.say(format!("{what}: {}", touched.reason), true),
                    None => self.say(format!("{what}: {}", summary(&touched)), false),
                }
            }
            Reply::Error(error) => {
                let hint = error.hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
                self.say(format!("{what}: {}{hint}", error.message), true);
            }
            Reply::Pong
            | Reply::Fleet { .. }
            | Reply::Saved { .. }
            | Reply::Flushed { .. }
            | Reply::Settings { .. }
            | Reply::LogSizes { .. }
            | Reply::Upgrading
            | Reply::Subscribed
            | Reply::Unknown => self.say(format!("{what}: done"), false),
        }
    }
}

/// `4 workers restarted`.
fn summary(touched: &[Touched]) -> String {
    let Some(first) = touched.first() else { return "nothing to do".to_owned() };
    let deed = match first.deed {
        Done::Launched => "launched",
        Done::Started => "started",
        Done::Stopped => "stopped",
        Done::Restarted => "restarted",
        Done::Reloaded => "reloaded",
        Done::ReloadAbandoned => "not reloaded",
        Done::Deleted => "deleted",
        Done::Reset => "reset",
        Done::Signalled => "signalled",
        Done::Untouched => "untouched",
    };
    format!("{} {deed}", words::count(touched.len(), "worker"))
}
