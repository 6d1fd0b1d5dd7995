//! [`Events`]: the events of a socket as an iterator.

use serde::de::DeserializeOwned;

use super::threads::wait;
use crate::events::StreamError;

/// Events of a socket, as they come: each `next` waits for one. It ends with the client; what it holds
/// meanwhile is bounded as in [`Events`](crate::Events).
#[derive(Debug)]
#[must_use = "a stream that is dropped hears nothing"]
pub struct Events<T> {
    events: crate::Events<T>,
}

impl<T> Events<T> {
    pub(super) const fn new(events: crate::Events<T>) -> Self {
        Self { events }
    }
}

impl<T: DeserializeOwned> Iterator for Events<T> {
    type Item = Result<T, StreamError>;

    fn next(&mut self) -> Option<Self::Item> {
        wait(self.events.next())
    }
}
