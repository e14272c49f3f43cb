//! Questions to the user in the bottom line: a filter, a pattern, yes or no.

use super::State;
use super::filter::Filter;
use super::reader::Search;
use crate::monit::event::Deed;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// A question.
#[derive(Debug, Clone, PartialEq)]
pub enum Prompt {
    /// The table's filter; applied while it is typed.
    Filter {
        /// As it was, for Esc.
        before: String,
        /// As it is.
        text: String,
    },
    /// The log's pattern.
    Search {
        /// As it is.
        text: String,
    },
    /// Really?
    Confirm {
        /// The question.
        question: String,
        /// What yes does.
        deeds: Vec<Deed>,
    },
}

impl State {
    pub(super) fn answer(&mut self, key: &KeyEvent) -> Vec<Deed> {
        let Some(prompt) = self.prompt.take() else { return Vec::new() };
        let ctrl = key.modifiers.contains(KeyModifiers::CONTROL);
        match prompt {
            Prompt::Confirm { deeds, .. } => {
                if matches!(key.code, KeyCode::Char('y' | 'Y') | KeyCode::Enter) && !ctrl {
                    self.marked.clear();
                    return deeds;
                }
                self.say("not deleted".to_owned(), false);
            }
            Prompt::Filter { before, text } => match edit(text, key) {
                Edited::Text(text) => {
                    self.arrangement.filter = Filter::parse(&text);
                    self.prompt = Some(Prompt::Filter { before, text });
                }
                Edited::Done(_) => {}
                Edited::Cancelled => self.arrangement.filter = Filter::parse(&before),
            },
            Prompt::Search { text } => match edit(text, key) {
                Edited::Text(text) => {
                    self.reader.search = (!text.is_empty()).then(|| Search::new(&text));
                    self.prompt = Some(Prompt::Search { text });
                }
                Edited::Done(text) if text.is_empty() => self.reader.search = None,
                Edited::Done(text) => self.search(&text),
                Edited::Cancelled => {
                    self.reader.search = None;
                    self.reader.only_matches = false;
                }
            },
        }
        Vec::new()
    }

    fn search(&mut self, text: &str) {
        self.reader.search = Some(Search::new(text));
        if self.reader.search.as_ref().is_some_and(|search| search.regex.is_none()) {
            self.say(format!("`{text}` is not a regular expression"), true);
            return;
        }
        self.find(true);
    }

    pub(super) fn find(&mut self, older: bool) {
        let sources = self.sources();
        if !self.reader.find(&self.book, &sources, older) {
            let text = self.reader.search.as_ref().map_or("", |search| search.text.as_str());
            let said = if text.is_empty() {
                "nothing is searched for: / begins".to_owned()
            } else {
                format!("no line matches `{text}`")
            };
            self.say(said, true);
        }
    }

    pub(super) fn paste(&mut self, pasted: &str) -> Vec<Deed> {
        let pasted: String = pasted.chars().filter(|c| !c.is_control()).take(200).collect();
        match self.prompt.as_mut() {
            Some(Prompt::Filter { text, .. }) => {
                text.push_str(&pasted);
                self.arrangement.filter = Filter::parse(text);
            }
            Some(Prompt::Search { text }) => {
                text.push_str(&pasted);
                self.reader.search = Some(Search::new(text));
            }
            Some(Prompt::Confirm { .. }) | None => {}
        }
        Vec::new()
    }
}

enum Edited {
    Text(String),
    Done(String),
    Cancelled,
}

fn edit(mut text: String, key: &KeyEvent) -> Edited {
    let ctrl = key.modifiers.contains(KeyModifiers::CONTROL);
    match key.code {
        KeyCode::Enter => return Edited::Done(text),
        KeyCode::Esc => return Edited::Cancelled,
        KeyCode::Char('c' | 'g') if ctrl => return Edited::Cancelled,
        KeyCode::Char('u') if ctrl => text.clear(),
        KeyCode::Char('w') if ctrl => {
            let kept = text.trim_end().rfind(' ').map_or(0, |at| at + 1);
            text.truncate(kept);
        }
        KeyCode::Backspace if text.is_empty() => return Edited::Cancelled,
        KeyCode::Backspace => {
            text.pop();
        }
        KeyCode::Char(c) if !ctrl => text.push(c),
        _other => {}
    }
    Edited::Text(text)
}
