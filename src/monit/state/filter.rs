//! The query of the table's filter: words that must all hold.
//!
//! `cpu>20` `mem>=100M` `restarts>3` `rps<1` `p95>50` `status:errored` `name~^api` `!word`; any other word must
//! be part of name, namespace, status or id.

use crate::model::snapshot::WorkerView;
use crate::monit::words;
use regex::Regex;

/// A query, understood.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// As typed.
    pub text: String,
    terms: Vec<Term>,
}

#[derive(Debug, Clone)]
enum Term {
    Not(Box<Term>),
    Has(String),
    Status(String),
    Name(Regex),
    Compare(Quantity, Ordering, f64),
}

#[derive(Debug, Clone, Copy)]
enum Quantity {
    Cpu,
    Memory,
    Restarts,
    Rps,
    P95,
    Id,
}

#[derive(Debug, Clone, Copy)]
enum Ordering {
    Less,
    LessEqual,
    Equal,
    GreaterEqual,
    Greater,
}

impl Filter {
    /// Understands any text: what is no comparison is a word to look for.
    pub fn parse(text: &str) -> Filter {
        Filter { text: text.to_owned(), terms: text.split_whitespace().map(term).collect() }
    }

    /// Nothing is asked.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// All words hold for this worker.
    pub fn accepts(&self, worker: &WorkerView) -> bool {
        self.terms.iter().all(|term| holds(term, worker))
    }
}

fn term(word: &str) -> Term {
    if let Some(rest) = word.strip_prefix('!').filter(|rest| !rest.is_empty()) {
        return Term::Not(Box::new(term(rest)));
    }
    if let Some(status) = word.strip_prefix("status:") {
        return Term::Status(status.to_lowercase());
    }
    if let Some(regex) = word.strip_prefix("name~").and_then(|pattern| Regex::new(pattern).ok()) {
        return Term::Name(regex);
    }
    comparison(word).unwrap_or_else(|| Term::Has(word.to_lowercase()))
}

fn comparison(word: &str) -> Option<Term> {
    let (at, sign, ordering) = [
        ("<=", Ordering::LessEqual),
        (">=", Ordering::GreaterEqual),
        ("<", Ordering::Less),
        (">", Ordering::Greater),
        ("=", Ordering::Equal),
    ]
    .into_iter()
    .find_map(|(sign, ordering)| word.find(sign).map(|at| (at, sign, ordering)))?;
    let quantity = match word.get(..at)? {
        "cpu" => Quantity::Cpu,
        "mem" | "memory" => Quantity::Memory,
        "restarts" => Quantity::Restarts,
        "rps" | "req" => Quantity::Rps,
        "p95" => Quantity::P95,
        "id" => Quantity::Id,
        _other => return None,
    };
    Some(Term::Compare(quantity, ordering, number(word.get(at + sign.len()..)?)?))
}

/// `20`, `20%`, `100M`.
fn number(text: &str) -> Option<f64> {
    let shift = match text.chars().last()?.to_ascii_uppercase() {
        'K' => 10,
        'M' => 20,
        'G' => 30,
        _digit => 0,
    };
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == '%');
    Some(digits.parse::<f64>().ok()? * f64::from(1u32 << shift))
}

fn holds(term: &Term, worker: &WorkerView) -> bool {
    match term {
        Term::Not(term) => !holds(term, worker),
        Term::Has(word) => {
            worker.app.name.to_lowercase().contains(word)
                || worker.app.namespace.to_lowercase().contains(word)
                || words::state(worker.state).contains(word.as_str())
                || worker.id.to_string() == *word
        }
        Term::Status(word) => worker.state.pm2_name().contains(word.as_str()),
        Term::Name(regex) => regex.is_match(&worker.app.name),
        Term::Compare(quantity, ordering, number) => {
            let node = worker.node.unwrap_or_default();
            let value = match quantity {
                Quantity::Cpu => f64::from(worker.usage.cpu),
                Quantity::Memory => worker.usage.memory.get() as f64,
                Quantity::Restarts => f64::from(worker.restarts),
                Quantity::Rps => f64::from(node.rps),
                Quantity::P95 => f64::from(node.http_p95),
                Quantity::Id => f64::from(worker.id.0),
            };
            match ordering {
                Ordering::Less => value < *number,
                Ordering::LessEqual => value <= *number,
                Ordering::Equal => (value - *number).abs() < 1e-9,
                Ordering::GreaterEqual => value >= *number,
                Ordering::Greater => value > *number,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monit::fixture;

    #[test]
    fn words_and_comparisons_must_all_hold() {
        let worker = fixture::worker(3, "api", 0);
        let accepts = |text: &str| Filter::parse(text).accepts(&worker);
        assert!(
            accepts("") && accepts("ap") && accepts("AP onl") && accepts("3") && accepts("status:online")
        );
        assert!(accepts("mem>10M cpu<1000") && accepts("id=3") && accepts("name~^a") && accepts("!web"));
        assert!(!accepts("web") && !accepts("!api") && !accepts("mem>10G") && !accepts("name~^x"));
        assert!(!accepts("cpu>"), "an unfinished comparison is a word like any other");
    }
}
