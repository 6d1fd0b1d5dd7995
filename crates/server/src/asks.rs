//! [`Asks`]: questions to one client that wait for their answer; [`Call`]: one of them, for the user.

use std::collections::HashMap;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use roomful_proto::{AckId, ArgError, Args, EncodeError, FromArg};
use tokio::sync::oneshot;

use crate::socket_core::SocketCore;

/// The open questions of one socket. Nothing is allocated before the first.
///
/// Ids of a socket's own questions are even, those of a broadcast odd: a broadcast is encoded once,
/// so its id must be free at every recipient.
pub(crate) struct Asks {
    table: Mutex<Option<Box<Table>>>,
}

#[derive(Default)]
struct Table {
    asked: u64,
    open: HashMap<u64, oneshot::Sender<Args>>,
}

impl Asks {
    pub(crate) const fn new() -> Self {
        Self { table: Mutex::new(None) }
    }

    /// Opens a question; `None` when `open_max` are open already.
    pub(crate) fn open(&self, open_max: usize) -> Option<(AckId, oneshot::Receiver<Args>)> {
        let mut table = self.table.lock();
        let table = table.get_or_insert_default();
        if table.open.len() >= open_max {
            return None;
        }
        // Small numbers again after 2^50 questions: the oldest of them is long answered.
        let id = AckId::new((table.asked % (1 << 50)) * 2)?;
        table.asked += 1;
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

/// Why a question has no answer.
#[derive(Debug)]
#[non_exhaustive]
pub enum CallError {
    /// The client did not answer in time.
    Timeout,
    /// The client is gone, or had left the namespace.
    Gone,
    /// Too many questions to this client are open: the limit is
    /// [`Namespace::asks_max`](crate::Namespace::asks_max).
    TooMany,
    /// The question could not be written as JSON.
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
            Self::TooMany => f.write_str("too many questions to this client are open"),
            Self::Encode(e) => e.fmt(f),
            Self::ReservedEvent => f.write_str("the name of the event is reserved"),
            Self::Answer(e) => write!(f, "the answer does not fit: {e}"),
        }
    }
}

impl std::error::Error for CallError {}

/// A question that was sent to a client; `.await` it for the answer.
///
/// It was sent when it was made; what is lazy is only the waiting. Without
/// [`timeout`](Self::timeout) it waits for the `ack_timeout` of its namespace (10 s). `R` is the type of
/// the first argument of the answer; [`Args`] for all of them.
#[must_use = "a question that is not awaited has no answer; use `emit` to ask nothing"]
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
            R::from_arg(&mut args.cursor()).map_err(CallError::Answer)
        })
    }
}

impl<R> fmt::Debug for Call<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}
