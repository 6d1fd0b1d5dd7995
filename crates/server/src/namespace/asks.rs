//! [`AskIds`]: the numbers of ack requests; [`Asks`]: the ack requests to one client that wait for their answer;
//! [`Call`]: one of them, for the user.

use std::collections::HashMap;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use roomful_proto::{AckId, ArgError, Args, EncodeError, FromArg};
use tokio::sync::oneshot;

use crate::ground::random;
use crate::namespace::socket_core::SocketCore;

/// The ids of ack requests: one count for a whole server, for all servers that share a
/// [`Recovery`](crate::Recovery), and for all nodes of [`Server::node`](crate::Server::node).
///
/// A client answers when its user does, and names no more than the namespace and the id. By then its socket
/// may have left and come back, on this connection or as one that was recovered; its namespace may have
/// ended and been made again; or another server may have taken over. A count for each socket or namespace
/// would begin again with each of these, and the late answer would go to another ack request. For the same
/// reason the count begins at random: a server that was started anew is not to be answered what its
/// predecessor has asked.
///
/// Ids of ack requests to one socket are even, those of a broadcast odd: a broadcast is encoded once, so its id
/// must be free at every recipient. All are below 2^31, since clients in Java, C++ and C# read them as
/// integers of 32 bits. So an id comes again after 2^30 ack requests.
#[derive(Clone)]
pub(crate) struct AskIds {
    asked: Arc<AtomicU32>,
}

/// Ack requests until their ids come again.
const ASKS: u32 = 1 << 30;

impl AskIds {
    /// Begins at random.
    pub(crate) fn new() -> Self {
        // Where the system gives no randomness, there are no sockets to ask either.
        let begin = random::random().and_then(|bytes| bytes.first_chunk().copied());
        Self::from(u32::from_ne_bytes(begin.unwrap_or_default()))
    }

    fn from(asked: u32) -> Self {
        Self { asked: Arc::new(AtomicU32::new(asked)) }
    }

    /// The next id for one socket.
    fn next_own(&self) -> u64 {
        u64::from(self.next()) * 2
    }

    /// The next id for a broadcast.
    pub(crate) fn next_shared(&self) -> u64 {
        u64::from(self.next()) * 2 + 1
    }

    fn next(&self) -> u32 {
        // What the counter wraps at is a multiple of what the ids wrap at.
        self.asked.fetch_add(1, Ordering::Relaxed) % ASKS
    }
}

/// The open ack requests of one socket. Nothing is allocated before the first.
pub(crate) struct Asks {
    table: Mutex<Option<Box<Table>>>,
}

#[derive(Default)]
struct Table {
    open: HashMap<u64, oneshot::Sender<Args>>,
}

impl Asks {
    pub(crate) const fn new() -> Self {
        Self { table: Mutex::new(None) }
    }

    /// Opens an ack request; `None` when `open_max` are open already.
    pub(crate) fn open(
        &self,
        ids: &AskIds,
        open_max: usize,
    ) -> Option<(AckId, oneshot::Receiver<Args>)> {
        let mut table = self.table.lock();
        let table = table.get_or_insert_default();
        if table.open.len() >= open_max {
            return None;
        }
        let mut id = ids.next_own();
        // One that waits for as long as all others took keeps its id.
        while table.open.contains_key(&id) {
            id = ids.next_own();
        }
        let id = AckId::new(id)?;
        let (sender, receiver) = oneshot::channel();
        table.open.insert(id.get(), sender);
        Some((id, receiver))
    }

    /// Gives the answer to who asked; `false` when nobody waits for it.
    pub(crate) fn answer(&self, id: AckId, args: Args) -> bool {
        let sender = self.table.lock().as_mut().and_then(|table| table.open.remove(&id.get()));
        sender.is_some_and(|sender| sender.send(args).is_ok())
    }

    /// Nobody waits for the answer any more.
    fn forget(&self, id: AckId) {
        let mut table = self.table.lock();
        if let Some(open) = table.as_mut().map(|table| &mut table.open) {
            open.remove(&id.get());
            if open.is_empty() && open.capacity() > 64 {
                *open = HashMap::new();
            }
        }
    }

    /// The client is gone: whoever waits learns it.
    pub(crate) fn close(&self) {
        *self.table.lock() = None;
    }
}

/// Whether an id belongs to a broadcast.
pub(crate) const fn is_shared(id: AckId) -> bool {
    id.get() % 2 == 1
}

/// Why an ack request has no answer.
#[derive(Debug)]
#[non_exhaustive]
pub enum CallError {
    /// The client did not answer in time.
    Timeout,
    /// The client is gone, or had left the namespace.
    Gone,
    /// Too many ack requests to this client are open: the limit is
    /// [`Namespace::asks_max`](crate::Namespace::asks_max).
    TooMany,
    /// The ack request could not be written as JSON.
    Encode(EncodeError),
    /// The name belongs to the protocol, such as `disconnect`.
    ReservedEvent,
    /// The answer is not of the type that was asked for.
    Answer(ArgError),
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout => f.write_str("the client did not answer in time"),
            Self::Gone => f.write_str("the client is gone"),
            Self::TooMany => f.write_str("too many ack requests to this client are open"),
            Self::Encode(e) => e.fmt(f),
            Self::ReservedEvent => f.write_str("the name of the event is reserved"),
            Self::Answer(e) => write!(f, "the answer does not fit: {e}"),
        }
    }
}

impl std::error::Error for CallError {}

/// An ack request that was sent to a client; `.await` it for the answer.
///
/// It was sent when it was made; what is lazy is only the waiting. Without
/// [`timeout`](Self::timeout) it waits for the `ack_timeout` of its namespace (10 s). `R` is the type of
/// the first argument of the answer, a tuple that of several, and [`Args`] all as they came: see
/// [`FromArg::from_answer`].
#[must_use = "an ack request that is not awaited has no answer; use `emit` to ask nothing"]
pub struct Call<R> {
    pub(crate) asked: Result<Asked, CallError>,
    pub(crate) timeout: Duration,
    pub(crate) answer: PhantomData<fn() -> R>,
}

pub(crate) struct Asked {
    pub(crate) socket: Arc<SocketCore>,
    pub(crate) id: AckId,
    pub(crate) receiver: oneshot::Receiver<Args>,
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.socket.asks.forget(self.id);
    }
}

impl<R> Call<R> {
    /// Waits for at most this long.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}

impl<R: FromArg + Send + 'static> IntoFuture for Call<R> {
    type Output = Result<R, CallError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let mut asked = self.asked?;
            let answer = tokio::time::timeout(self.timeout, &mut asked.receiver).await;
            let args = answer.map_err(|_| CallError::Timeout)?.map_err(|_| CallError::Gone)?;
            R::from_answer(&args).map_err(CallError::Answer)
        })
    }
}

impl<R> fmt::Debug for Call<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_stay_below_two_to_the_thirty_first_and_come_again() {
        let ids = AskIds::from(ASKS - 1);
        assert_eq!(ids.next_own(), (1 << 31) - 2);
        assert_eq!(ids.next_shared(), 1);
        let ids = AskIds::from(u32::MAX);
        assert_eq!(ids.next_shared(), (1 << 31) - 1);
        assert_eq!(ids.next_own(), 0);
    }

    #[test]
    fn the_count_begins_at_random() {
        let begins: std::collections::HashSet<_> =
            (0..100).map(|_| AskIds::new().next_own()).collect();
        assert!(begins.len() > 90, "{begins:?}");
    }

    #[test]
    fn an_open_ack_request_keeps_its_id() {
        let asks = Asks::new();
        let open = |begin| asks.open(&AskIds::from(begin), 10).unwrap();
        let (first, mut answer) = open(7);
        let (second, _other) = open(7);
        assert_eq!((first.get(), second.get()), (14, 16));
        assert!(asks.answer(first, Args::default()));
        answer.try_recv().unwrap();
        assert!(!asks.answer(first, Args::default()));
    }
}
