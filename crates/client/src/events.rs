//! [`Events`]: the events of a socket as a stream.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use futures_core::Stream;
use roomful_proto::ArgError;
use roomful_proto::socket::packet::Event;
use serde::de::DeserializeOwned;

use crate::lock::lock;

/// Events of a socket, as they come: those of one name ([`Socket::events`](crate::Socket::events)), or all
/// ([`Socket::all_events`](crate::Socket::all_events)). It ends with the client.
///
/// What is not taken waits here, up to `stream_bytes_max` ([`Builder`](crate::Builder), 4 MiB by default); above
/// that the oldest are dropped, and the next item says how many. It never holds up the connection.
#[must_use = "a stream that is dropped hears nothing"]
pub struct Events<T> {
    tap: Arc<Tap>,
    read: fn(&Event) -> Result<T, ArgError>,
    types: PhantomData<fn() -> T>,
}

/// Why an item of a stream is none.
#[derive(Debug)]
#[non_exhaustive]
pub enum StreamError {
    /// An event whose arguments do not fit.
    Misfit(ArgError),
    /// So many events were dropped, since they were not taken in time.
    Lagged(u64),
    /// None came in the time for which it was waited. More may follow. Only
    /// `blocking::Events::next_timeout` says so.
    Timeout,
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Misfit(e) => e.fmt(f),
            Self::Lagged(events) => write!(f, "{events} events were not taken in time"),
            Self::Timeout => f.write_str("no event came in time"),
        }
    }
}

impl std::error::Error for StreamError {}

/// Where the events of a stream wait.
pub(crate) struct Tap {
    /// Of all names without it.
    name: Option<Box<str>>,
    bytes_max: usize,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    events: VecDeque<Event>,
    bytes: usize,
    missed: u64,
    waker: Option<Waker>,
    ended: bool,
}

impl Tap {
    pub(crate) fn new(name: Option<&str>, bytes_max: usize) -> Arc<Self> {
        Arc::new(Self { name: name.map(Box::from), bytes_max, queue: Mutex::default() })
    }

    /// Takes an event, if it is one of this stream.
    pub(crate) fn pour(&self, event: &Event) {
        if self.name.as_deref().is_some_and(|name| name != event.name()) {
            return;
        }
        let waker = {
            let mut queue = lock(&self.queue);
            queue.bytes += event.held_bytes();
            queue.events.push_back(event.clone());
            while queue.bytes > self.bytes_max
                && let Some(oldest) = queue.events.pop_front()
            {
                queue.bytes -= oldest.held_bytes();
                queue.missed += 1;
            }
            queue.waker.take()
        };
        waker.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn end(&self) {
        let waker = {
            let mut queue = lock(&self.queue);
            queue.ended = true;
            queue.waker.take()
        };
        waker.into_iter().for_each(Waker::wake);
    }

    fn poll(&self, cx: &Context<'_>) -> Poll<Option<Result<Event, StreamError>>> {
        let mut queue = lock(&self.queue);
        if queue.missed > 0 {
            let missed = std::mem::take(&mut queue.missed);
            return Poll::Ready(Some(Err(StreamError::Lagged(missed))));
        }
        match queue.events.pop_front() {
            Some(event) => {
                queue.bytes -= event.held_bytes();
                Poll::Ready(Some(Ok(event)))
            }
            None if queue.ended => Poll::Ready(None),
            None => {
                queue.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl<T: DeserializeOwned> Events<T> {
    /// Of one name: all arguments as a `T`.
    pub(crate) fn of_one(tap: Arc<Tap>) -> Self {
        Self { tap, read: |event| event.args.read(), types: PhantomData }
    }

    /// Of all names: each as a variant of a `T`.
    pub(crate) fn of_all(tap: Arc<Tap>) -> Self {
        Self { tap, read: |event| event.read(), types: PhantomData }
    }
}

impl<T> Events<T> {
    /// The next event; `None` when there will be none any more.
    pub async fn next(&mut self) -> Option<Result<T, StreamError>> {
        poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&self, cx: &Context<'_>) -> Poll<Option<Result<T, StreamError>>> {
        self.tap
            .poll(cx)
            .map(|event| event.map(|event| (self.read)(&event?).map_err(StreamError::Misfit)))
    }
}

impl<T> Stream for Events<T> {
    type Item = Result<T, StreamError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll(cx)
    }
}

impl<T> fmt::Debug for Events<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").field("name", &self.tap.name).finish_non_exhaustive()
    }
}
