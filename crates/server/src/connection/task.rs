//! [`Task`]: what is done for a stream, first by HTTP and then perhaps by a connection; and
//! [`Guarded`]: what is done for a connection that others may run too.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::Connection;
use crate::transport::link::{Link, Resting};

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

/// The task of a connection that began with polling. While it polls, it rests in its link, and the
/// request that brings a body runs it right there, on behalf of this task.
pub(crate) struct Guarded {
    link: Arc<Link>,
    /// On a WebSocket nobody else has anything to bring.
    own: Option<Resting>,
}

impl Guarded {
    pub(crate) fn new(link: Arc<Link>, connection: Connection) -> Self {
        Self { link, own: Some(Box::new(connection)) }
    }
}

impl Future for Guarded {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let Some(mut connection) = this.own.take().or_else(|| this.link.take_resting(cx.waker()))
        else {
            return if this.link.is_over() { Poll::Ready(()) } else { Poll::Pending };
        };
        if Pin::new(&mut *connection).poll(cx).is_ready() {
            return Poll::Ready(());
        }
        if connection.is_polling() {
            drop(this.link.put_resting(connection));
        } else {
            this.own = Some(connection);
        }
        Poll::Pending
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        drop(self.link.abandon());
    }
}
