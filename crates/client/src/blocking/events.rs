//! [`Events`]: the events of a socket as an iterator.

use std::time::Duration;

use serde::de::DeserializeOwned;

use super::threads::{wait, wait_at_most};
use crate::events::StreamError;

/// Events of a socket, as they come: each `next` waits for one, and
/// [`next_timeout`](Self::next_timeout) for a time only. It ends with the client; what it holds meanwhile
/// is bounded as in [`Events`](crate::Events).
#[derive(Debug)]
#[must_use = "a stream that is dropped hears nothing"]
pub struct Events<T> {
    events: crate::Events<T>,
}

impl<T> Events<T> {
    pub(super) const fn new(events: crate::Events<T>) -> Self {
        Self { events }
    }

    /// The next event, which is waited for that long at most: where none has come by then, the item is
    /// [`StreamError::Timeout`], and those that follow are as before. With zero it waits for nothing.
    /// `None` when there will be none any more.
    ///
    /// ```no_run
    /// # use roomful_client::{StreamError, blocking::Socket};
    /// # use std::time::Duration;
    /// # fn example(io: Socket) -> Result<(), StreamError> {
    /// let mut moved = io.events::<_, (f32, f32)>("moved");
    /// match moved.next_timeout(Duration::from_secs(1)) {
    ///     Some(Ok((x, y))) => println!("{x} {y}"),
    ///     Some(Err(StreamError::Timeout)) => println!("nothing has moved"),
    ///     Some(Err(error)) => return Err(error),
    ///     None => println!("the client has ended"),
    /// }
    /// # Ok(()) }
    /// ```
    pub fn next_timeout(&mut self, timeout: Duration) -> Option<Result<T, StreamError>> {
        wait_at_most(timeout, self.events.next()).unwrap_or(Some(Err(StreamError::Timeout)))
    }
}

impl<T: DeserializeOwned> Iterator for Events<T> {
    type Item = Result<T, StreamError>;

    fn next(&mut self) -> Option<Self::Item> {
        wait(self.events.next())
    }
}
