//! [`Call`]: an event that was sent and is to be answered.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use roomful_proto::socket::manager::{Key, NoAck};
use roomful_proto::{AckId, Args, FromArg};
use tokio::sync::oneshot;

use crate::error::CallError;
use crate::shared::Handle;

/// An event that was sent; `.await` it for its answer.
///
/// It was sent when it was made, or waits until the socket is connected. Without
/// [`timeout`](Self::timeout) the answer is waited for as long as [`Builder::ack_timeout`](crate::Builder)
/// says (10 s). `R` is the type of the first argument of the answer, a tuple that of several, and [`Args`] all as
/// they came: see [`FromArg::from_answer`]. Dropping it forgets the answer, not the event.
#[must_use = "an answer that is not awaited is lost; use `emit` to ask for none"]
pub struct Call<R> {
    pub(crate) asked: Result<Asked, Option<CallError>>,
    pub(crate) types: PhantomData<fn() -> R>,
}

pub(crate) struct Asked {
    pub(crate) handle: Arc<Handle>,
    pub(crate) key: Key,
    /// Absent for an event that is sent again until its answer comes.
    pub(crate) id: Option<AckId>,
    pub(crate) receiver: oneshot::Receiver<Result<Args, NoAck>>,
    pub(crate) is_done: bool,
}

impl Drop for Asked {
    fn drop(&mut self) {
        if let Some(id) = self.id
            && !self.is_done
        {
            let waiter = self.handle.shared.look(|state| state.manager.forget(self.key, id));
            // Dropped, it wakes who has polled this: that is done when the lock is free.
            drop(waiter);
        }
    }
}

impl<R> Call<R> {
    /// Waits for so long at most, from now on. It has no effect on an event that is sent again until its
    /// answer comes.
    pub fn timeout(self, timeout: Duration) -> Self {
        if let Ok(Asked { handle, key, id: Some(id), .. }) = &self.asked {
            handle.shared.act(|state, now| {
                state.manager.set_ack_timeout(now, *key, *id, timeout);
            });
        }
        self
    }
}

impl<R: FromArg> Future for Call<R> {
    type Output = Result<R, CallError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let asked = match &mut self.asked {
            Ok(asked) => asked,
            Err(e) => return Poll::Ready(Err(e.take().unwrap_or(CallError::Disconnected))),
        };
        let answer = ready!(Pin::new(&mut asked.receiver).poll(cx));
        asked.is_done = true;
        let why = match answer {
            Ok(Ok(args)) => {
                let answer = R::from_answer(&args);
                return Poll::Ready(answer.map_err(CallError::Answer));
            }
            Ok(Err(NoAck::Timeout)) => CallError::Timeout,
            Ok(Err(NoAck::Dropped)) => CallError::Dropped,
            Ok(Err(_)) | Err(_) => CallError::Disconnected,
        };
        Poll::Ready(Err(why))
    }
}

impl<R> fmt::Debug for Call<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("was_sent", &self.asked.is_ok()).finish_non_exhaustive()
    }
}
