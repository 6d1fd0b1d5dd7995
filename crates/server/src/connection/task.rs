//! [`Task`]: what is done for a stream, first by HTTP and then perhaps by a connection.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::Connection;

/// As an `async` block it would be twice as large, and a connection that does nothing keeps all of it.
#[expect(
    clippy::large_enum_variant,
    reason = "it is mostly the large one, for as long as it lasts"
)]
pub(crate) enum Task<F> {
    /// Apart, since it is large and the connection outlives it.
    Http(Pin<Box<F>>),
    Connection(Connection),
}

impl<F> Task<F>
where
    F: Future<Output = Option<Connection>>,
{
    pub(crate) fn new(http: F) -> Self {
        Self::Http(Box::pin(http))
    }
}

impl<F> Future for Task<F>
where
    F: Future<Output = Option<Connection>>,
{
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        loop {
            match this {
                Self::Http(http) => match ready!(http.as_mut().poll(cx)) {
                    Some(connection) => *this = Self::Connection(connection),
                    None => return Poll::Ready(()),
                },
                Self::Connection(connection) => return Pin::new(connection).poll(cx),
            }
        }
    }
}
