//! [`Connect`]: a socket that is being connected.

use std::future::{Future, IntoFuture};
use std::pin::Pin;

use roomful_proto::DisconnectReason;

use crate::core::Outcomes;
use crate::error::ConnectError;
use crate::socket::Socket;
use crate::status::Status;

/// A socket that is being connected: see [`Socket::connect`]. It goes on when this is dropped.
#[derive(Debug)]
pub struct Connect {
    socket: Socket,
    /// Whether it waits through attempts that fail.
    patient: bool,
    /// What had become of attempts when this began.
    before: Outcomes,
}

impl Connect {
    pub(crate) fn new(socket: &Socket, patient: bool) -> Self {
        Self { socket: socket.clone(), patient, before: socket.core().outcomes() }
    }

    /// What has become of it, where the socket stands there; `None` while nothing has.
    fn outcome(&self, status: &Status) -> Option<Result<(), ConnectError>> {
        let Outcomes { connections, failures, failure } = self.socket.core().outcomes();
        if status.is_connected() || connections != self.before.connections {
            return Some(Ok(()));
        }
        match status {
            Status::Disconnected(why) => Some(Err(ConnectError::Disconnected(why.clone()))),
            Status::Failed(error) => Some(Err((**error).clone())),
            // The next attempt may have begun already.
            _ if self.patient || failures == self.before.failures => None,
            _ => failure.map(|error| Err((*error).clone())),
        }
    }
}

impl IntoFuture for Connect {
    type Output = Result<(), ConnectError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let mut watch = self.socket.watch();
            loop {
                let status = watch.borrow_and_update().clone();
                if let Some(outcome) = self.outcome(&status) {
                    return outcome;
                }
                // The socket is held, so that its status stays.
                if watch.changed().await.is_err() {
                    let why = DisconnectReason::ClientDisconnect;
                    return Err(ConnectError::Disconnected(why.into()));
                }
            }
        })
    }
}
