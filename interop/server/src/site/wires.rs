//! The TCP connections between clients and the server, to cut them: each is a wire of this process. The
//! server knows the clients by the inner ends of their wires.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::task::AbortHandle;

#[derive(Default)]
pub(crate) struct Wires {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    wires: HashMap<SocketAddr, Wire>,
    /// The sessions that were cut: what comes for them later is cut as well.
    cut: HashSet<String>,
}

struct Wire {
    ends: AbortHandle,
    /// Whose it is: the `key` of the last request that came on it.
    key: Option<String>,
    /// The session that this request was for.
    session: Option<String>,
}

impl Wires {
    pub(crate) async fn lay_tcp(self: Arc<Self>, listener: TcpListener, to: SocketAddr) {
        while let Ok((stream, _)) = listener.accept().await {
            if stream.set_nodelay(true).is_ok() {
                self.lay(stream, to).await;
            }
        }
    }

    pub(crate) async fn lay_unix(self: Arc<Self>, listener: UnixListener, to: SocketAddr) {
        while let Ok((stream, _)) = listener.accept().await {
            self.lay(stream, to).await;
        }
    }

    async fn lay<S>(self: &Arc<Self>, outer: S, to: SocketAddr)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        if let Err(error) = self.try_lay(outer, to).await {
            eprintln!("no wire for a client: {error}");
        }
    }

    async fn try_lay<S>(self: &Arc<Self>, mut outer: S, to: SocketAddr) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let mut inner = TcpStream::connect(to).await?;
        inner.set_nodelay(true)?;
        let address = inner.local_addr()?;
        let wires = Arc::clone(self);
        // The wire is known before anything goes through it.
        let mut state = lock(&self.state);
        let task = tokio::spawn(async move {
            // A client or a server that goes away is no error here.
            let _ = copy_bidirectional(&mut outer, &mut inner).await;
            lock(&wires.state).wires.remove(&address);
        });
        let wire = Wire { ends: task.abort_handle(), key: None, session: None };
        state.wires.insert(address, wire);
        Ok(())
    }

    /// Remembers whose request came on which wire.
    pub(crate) fn note(&self, address: SocketAddr, key: Option<String>, session: Option<String>) {
        let state = &mut *lock(&self.state);
        let Some(wire) = state.wires.get_mut(&address) else {
            return;
        };
        if session.as_ref().is_some_and(|session| state.cut.contains(session)) {
            wire.ends.abort();
        }
        (wire.key, wire.session) = (key, session);
    }

    /// Cuts all wires of a client: those of its key, and the one that its session was opened on.
    pub(crate) fn cut(&self, key: Option<String>, opened: Option<SocketAddr>) {
        let State { wires, cut } = &mut *lock(&self.state);
        wires.retain(|address, wire| {
            let of_key = key.is_some() && wire.key == key;
            let is_of_client = of_key || Some(*address) == opened;
            if is_of_client {
                wire.ends.abort();
                cut.extend(wire.session.take());
            }
            !is_of_client
        });
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
