//! What may be asked of the next daemon if one dies over it: what changes nothing; what may be done twice; and orders that
//! have a name by which workers know that they were told.

use super::call::CallError;
use crate::model::Order;
use crate::proto::hello::AGAIN;
use crate::proto::{Code, Hello, Reply, Request};
use crate::sys::clock;

/// The request, with a name of its own if the daemon can do with one.
pub(super) fn keyed(request: Request, daemon: Option<&Hello>) -> Request {
    if !daemon.is_some_and(knows_keys) {
        return request;
    }
    match request {
        Request::Order { order } if order.may_be_repeated() => {
            Request::Order { order: Order::Keyed { key: key(), order: Box::new(order) } }
        }
        Request::Resurrect { .. } => Request::Resurrect { key: Some(key()) },
        other => other,
    }
}

/// Unlike that of any other client of this home.
fn key() -> u64 {
    clock::monotonic_ns().rotate_left(22) ^ u64::from(std::process::id())
}

fn knows_keys(daemon: &Hello) -> bool {
    daemon.features.iter().any(|feature| feature == AGAIN)
}

/// Whether it may be asked twice.
pub(super) fn may(request: &Request) -> bool {
    match request {
        Request::Ping
        | Request::List { .. }
        | Request::Settings
        | Request::LogSizes { .. }
        | Request::Save { .. }
        | Request::Flush { .. }
        | Request::ReopenLogs => true,
        // A key that is gone already is none that can be removed.
        Request::Configure { unset, .. } => unset.is_empty(),
        Request::Order { order: Order::Keyed { .. } } | Request::Resurrect { key: Some(_) } => true,
        Request::Order { .. }
        | Request::Resurrect { key: None }
        | Request::Upgrade { .. }
        | Request::Watch
        | Request::Logs(_)
        | Request::Unknown => false,
    }
}

/// Whether this daemon can be asked it after another one was.
pub(super) fn knows(request: &Request, daemon: Option<&Hello>) -> bool {
    let needs_key = matches!(request, Request::Order { .. } | Request::Resurrect { .. });
    may(request) && (!needs_key || daemon.is_none_or(knows_keys))
}

/// The answer for both: what is gone, or as many as wanted, is what the last daemon has made so.
pub(super) fn whole(request: &Request, answer: Result<Reply, CallError>) -> Result<Reply, CallError> {
    let Request::Order { order: Order::Keyed { order, .. } } = request else { return answer };
    match (&answer, &**order) {
        (Err(CallError::Refused(no)), Order::Delete { .. }) if no.code == Code::NotFound => {}
        (Err(CallError::Refused(no)), Order::Scale { .. }) if no.code == Code::NothingToDo => {}
        _ => return answer,
    }
    Ok(Reply::Done { touched: Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::order::ScaleTo;
    use crate::proto::WireError;

    fn scale(to: ScaleTo) -> Request {
        Request::Order { order: Order::Scale { name: "web".into(), to } }
    }

    #[test]
    fn only_a_daemon_that_knows_names_is_given_one() {
        let old = Hello { features: Vec::new(), ..Hello::ours() };
        let order = scale(ScaleTo::To(3));
        assert!(!may(&keyed(order.clone(), Some(&old))));
        let named = keyed(order, Some(&Hello::ours()));
        assert!(may(&named) && knows(&named, Some(&Hello::ours())) && !knows(&named, Some(&old)));
        assert!(!may(&keyed(scale(ScaleTo::By(-1)), Some(&Hello::ours()))), "who is gone is not remembered");
    }

    #[test]
    fn what_the_last_daemon_has_done_is_no_failure_of_the_next() {
        let named = keyed(scale(ScaleTo::To(3)), Some(&Hello::ours()));
        let refused = |code| Err(WireError { code, message: "no".into(), hint: None }.into());
        assert!(whole(&named, refused(Code::NothingToDo)).is_ok());
        assert!(whole(&named, refused(Code::NotFound)).is_err());
    }
}
