//! Which polls the fixture has taken in. Two HTTP connections have no order between them, so a test that
//! needs a poll to wait before it goes on can only ask for that.

use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::{LazyLock, Mutex, PoisonError};

use roomful::{AnswerHeaders, Flow, Request, StatusCode};

/// Below the path of the server. It is asked with the query of a poll.
const ASKED_AT: &str = "/socket.io/taken-in";

thread_local! {
    /// The queries of polls that this thread is taking in.
    static COMING: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// The queries of those that wait for something to send, or did. Clients write each of their own.
static TAKEN: LazyLock<Mutex<HashSet<String>>> = LazyLock::new(Mutex::default);

/// Notes the polls among requests, and says which there were.
pub(crate) fn watch(request: &Request<'_>, _: &mut AnswerHeaders) -> Flow {
    let query = request.query_string();
    if request.path() == ASKED_AT {
        let is_taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner).contains(query);
        return Flow::answer(StatusCode::OK, is_taken.to_string());
    }
    if request.method() == "GET" && request.query("transport").as_deref() == Some("polling") {
        COMING.with_borrow_mut(|coming| coming.push(query.to_owned()));
    }
    Flow::Pass
}

/// To be called when a thread of the runtime has nothing to do. By then the requests that it was reading
/// have been handed to their connections, and not only been seen here.
pub(crate) fn settle() {
    let coming = COMING.take();
    if !coming.is_empty() {
        TAKEN.lock().unwrap_or_else(PoisonError::into_inner).extend(coming);
    }
}
