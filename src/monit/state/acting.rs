//! Verbs: which orders a key means for the row, the marked rows or the app.

use super::prompt::Prompt;
use super::rows::RowKey;
use super::{Link, State};
use crate::model::order::{Rolling, ScaleTo, Update};
use crate::model::{Order, Selector, WorkerId};
use crate::monit::action::Action;
use crate::monit::event::Deed;
use crate::monit::words;

/// Whom a verb is about.
struct Target {
    select: Selector,
    name: String,
}

impl State {
    pub(super) fn order(&mut self, verb: Action) -> Vec<Deed> {
        if self.read_only {
            self.say("read-only: started with --read-only".to_owned(), true);
            return Vec::new();
        }
        if self.link != Link::Up {
            self.say("the daemon is not there".to_owned(), true);
            return Vec::new();
        }
        let deeds = match verb {
            Action::More => self.scale(1),
            Action::Fewer => self.scale(-1),
            verb => self.orders(verb),
        };
        if verb != Action::Delete || deeds.is_empty() {
            self.marked.clear();
            return deeds;
        }
        self.prompt = Some(Prompt::Confirm { question: format!("delete {}?", self.whom()), deeds });
        Vec::new()
    }

    fn orders(&mut self, verb: Action) -> Vec<Deed> {
        let found = if verb == Action::Start { self.idle_targets() } else { self.targets() };
        let targets = match found {
            Ok(targets) => targets,
            Err(why) => {
                self.say(why, true);
                return Vec::new();
            }
        };
        targets.into_iter().filter_map(|target| deed(verb, target)).collect()
    }

    fn targets(&self) -> Result<Vec<Target>, String> {
        let by_ids = |ids: &mut dyn Iterator<Item = WorkerId>| ids.map(|id| self.by_id(id)).collect();
        if !self.marked.is_empty() {
            return by_ids(&mut self.marked.iter().copied());
        }
        match &self.selected {
            None => Ok(Vec::new()),
            Some(RowKey::Worker(id)) => by_ids(&mut [*id].into_iter()),
            // Names that a selector would understand as something else are spelled out.
            Some(RowKey::App(name)) if name == "all" || name.starts_with('/') => {
                by_ids(&mut self.fleet.of_app(name).into_iter())
            }
            Some(RowKey::App(name)) => Ok(vec![Target { select: select(name), name: name.clone() }]),
        }
    }

    /// Those that are not running: an app's others must not be restarted by `start`.
    fn idle_targets(&self) -> Result<Vec<Target>, String> {
        let ids =
            if self.marked.is_empty() { self.selected_ids() } else { self.marked.iter().copied().collect() };
        let idle = |id: &WorkerId| self.fleet.worker(*id).is_some_and(|w| !w.state.has_process());
        let targets: Vec<_> =
            ids.into_iter().filter(idle).map(|id| self.by_id(id)).collect::<Result<_, _>>()?;
        if targets.is_empty() { Err("it runs already".to_owned()) } else { Ok(targets) }
    }

    fn by_id(&self, id: WorkerId) -> Result<Target, String> {
        let text = id.to_string();
        // A number means a name first, then a namespace, then an id.
        match self.fleet.workers().find(|w| w.app.name == text || w.app.namespace == text) {
            Some(other) if other.id != id => {
                Err(format!("id {id} is also a name; act on that one by its name"))
            }
            _ => Ok(Target { select: select(&text), name: self.label(id) }),
        }
    }

    fn scale(&mut self, by: i32) -> Vec<Deed> {
        let ids: Vec<_> =
            if self.marked.is_empty() { self.selected_ids() } else { self.marked.iter().copied().collect() };
        let mut names: Vec<_> =
            ids.iter().filter_map(|id| self.fleet.worker(*id)).map(|w| w.app.name.clone()).collect();
        names.sort();
        names.dedup();
        if by < 0
            && let Some(last) = names.iter().find(|name| self.fleet.of_app(name).len() < 2)
        {
            self.say(format!("{last} has one instance; x deletes it"), true);
            return Vec::new();
        }
        let sign = if by > 0 { "+" } else { "-" };
        names
            .into_iter()
            .map(|name| Deed::Ask {
                what: format!("scale {name} {sign}1"),
                order: Order::Scale { name, to: ScaleTo::By(by) },
            })
            .collect()
    }

    /// `api:3`, `api with its 16 instances`, `4 marked workers`.
    fn whom(&self) -> String {
        match (&self.selected, self.marked.len()) {
            (_, 1..) => words::count(self.marked.len(), "marked worker"),
            (Some(RowKey::App(name)), 0) => {
                format!("{name} with its {}", words::count(self.fleet.of_app(name).len(), "instance"))
            }
            (Some(RowKey::Worker(_)) | None, 0) => self.selected_name(),
        }
    }
}

fn select(text: &str) -> Selector {
    Selector::new(text, "/")
}

fn deed(verb: Action, Target { select, name }: Target) -> Option<Deed> {
    let update = Update::default();
    let (word, order) = match verb {
        Action::Restart => ("restart", Order::Restart { select, update }),
        // `Restart` of what is down only starts it.
        Action::Start => ("start", Order::Restart { select, update }),
        Action::Reload => ("reload", Order::Reload { select, update, rolling: Rolling::default() }),
        Action::Stop => ("stop", Order::Stop { select }),
        Action::Delete => ("delete", Order::Delete { select }),
        Action::Reset => ("reset", Order::Reset { select }),
        _no_verb => return None,
    };
    Some(Deed::Ask { order, what: format!("{word} {name}") })
}
