//! [`Manager`]: one connection, which the sockets of several namespaces share.

use std::fmt;
use std::sync::Arc;

use roomful_proto::engine::Transport;
use tokio::sync::{oneshot, watch};

use crate::builder::{Builder, read_header};
use crate::core::Core;
use crate::counters::Stats;
use crate::error::BuildError;
use crate::lock::lock;
use crate::shared::{Handle, State};
use crate::socket::Socket;

/// One connection to a server, which the sockets of several namespaces share. A handle: cloning it is
/// cheap, and the connection is closed, in order, when the last one and the last [`Socket`] are dropped.
///
/// ```no_run
/// use roomful_client::Manager;
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let manager = Manager::builder("https://example.org")?.build()?;
/// let (chat, admin) = (manager.socket("/chat"), manager.socket("/admin"));
/// chat.connect().await?;
/// admin.auth(serde_json::json!({ "token": "…" }))?.connect().await?;
/// # Ok(()) }
/// ```
#[doc(alias = "forceNew")]
#[doc(alias = "multiplex")]
#[derive(Clone)]
pub struct Manager {
    handle: Arc<Handle>,
}

impl Manager {
    pub(crate) const fn new(handle: Arc<Handle>) -> Self {
        Self { handle }
    }

    /// Begins to describe a client of the server at `url`. The path, which is a namespace, has no effect
    /// but on [`Builder::namespace`].
    ///
    /// # Errors
    ///
    /// Where it is no URL of a server.
    #[doc(alias = "hostname")]
    #[doc(alias = "port")]
    #[doc(alias = "secure")]
    pub fn builder(url: &str) -> Result<Builder, BuildError> {
        Builder::of(url)
    }

    /// The socket of that namespace, such as `/chat`; the same one each time. It is not connected before
    /// [`Socket::connect`].
    pub fn socket(&self, namespace: &str) -> Socket {
        let name = match namespace {
            "" => "/".to_owned(),
            name if name.starts_with('/') => name.to_owned(),
            name => format!("/{name}"),
        };
        let core = self.handle.shared.look(|state| {
            let key = state.manager.socket(&name);
            if state.cores.len() <= key.index() {
                state.cores.resize(key.index() + 1, None);
            }
            let core =
                state.cores[key.index()].get_or_insert_with(|| Arc::new(Core::new(key, &name)));
            Arc::clone(core)
        });
        Socket::from_parts(core, Arc::clone(&self.handle))
    }

    /// Sets a header that goes with each request of the next connection and of those behind it, in place of
    /// those of that name: a token that has changed, for example. What a namespace is told is better
    /// [made anew each time](Socket::auth_with).
    ///
    /// # Errors
    ///
    /// Where it is none, or one that the client sets itself.
    #[doc(alias = "extraHeaders")]
    pub fn set_header(&self, name: &str, value: &str) -> Result<&Self, BuildError> {
        let (name, value) = read_header(name, value)?;
        lock(&self.handle.shared.settings.headers).insert(name, value);
        Ok(self)
    }

    /// The transport that carries the connection; `None` while there is none.
    #[doc(alias = "engine")]
    pub fn transport(&self) -> Option<Transport> {
        self.handle.shared.look(|state| state.transport())
    }

    /// Tells of each change of its [`transport`](Self::transport), of several at once only the last: an
    /// upgrade makes a WebSocket of polling. The receiver ends with the client.
    ///
    /// ```no_run
    /// # use roomful_client::{Manager, Transport};
    /// # async fn example(manager: Manager) -> Result<(), Box<dyn std::error::Error>> {
    /// // Until the connection is upgraded, or has begun with a WebSocket.
    /// let mut transport = manager.watch_transport();
    /// transport.wait_for(|transport| *transport == Some(Transport::WebSocket)).await?;
    /// # Ok(()) }
    /// ```
    #[doc(alias = "upgrade")]
    #[doc(alias = "upgrading")]
    pub fn watch_transport(&self) -> watch::Receiver<Option<Transport>> {
        self.handle.shared.look(|state| state.watch_transport())
    }

    /// Bytes that wait to be sent, of all sockets, whether they are connected or not.
    #[doc(alias = "sendBuffer")]
    #[doc(alias = "bufferedAmount")]
    pub fn waiting_bytes(&self) -> usize {
        self.handle.shared.look(|state| state.manager.waiting_bytes())
    }

    /// Waits until all that was emitted has left this client: was given to the system, or in polling
    /// taken by the server. It may wait for ever where there is no connection.
    #[doc(alias = "drain")]
    pub async fn drained(&self) {
        let shared = &self.handle.shared;
        let is_drained = |state: &mut State| {
            state.manager.waiting_bytes() == 0 && (state.writable || state.transport().is_none())
        };
        shared.until(is_drained).await;
    }

    /// Waits until the server has read all that was emitted, and tells whether it has: `false` where the
    /// connection ends before, or there is none. What waits of a socket that nobody has connected does not
    /// count; what is sent until its ack comes has arrived with that. So a client knows that its last words
    /// are not lost when it closes; what the server does with them only an ack can tell. On a WebSocket that
    /// is a ping and its pong, in polling the answer to the last request.
    pub async fn arrived(&self) -> bool {
        let (asker, arrived) = oneshot::channel();
        self.handle.shared.act(|state, _| state.ask(asker));
        arrived.await.is_ok()
    }

    /// Waits until the server has read what was emitted, as [`arrived`](Self::arrived) tells it, disconnects
    /// all sockets, and waits until the connection is closed. Each of both takes `close_timeout` (5 s) at most,
    /// and the last words a second. A connection that is made meanwhile is not waited for.
    pub async fn close(&self) {
        self.flush().await;
        let session = self.handle.shared.act(|state, _| {
            let cores: Vec<_> = state.cores.iter().flatten().cloned().collect();
            cores.iter().for_each(|core| state.leave(core));
            // It may be dialed only now, to be hung up.
            let closing = state.session.unwrap_or(state.sessions + 1);
            (!state.manager.is_idle()).then_some(closing)
        });
        let is_over = |state: &State| {
            let is_gone = |session| state.sessions >= session && state.session != Some(session);
            !state.running || session.is_none_or(is_gone)
        };
        self.handle.shared.until(|state| is_over(state) && state.parting == 0).await;
    }

    /// The official servers drop an event that they read together with the goodbye behind it.
    async fn flush(&self) {
        let shared = &self.handle.shared;
        let Some(runtime) = shared.runtime().filter(|_| self.transport().is_some()) else {
            return;
        };
        let flushed = {
            // Whoever closes may be outside of it.
            let _runtime = runtime.enter();
            tokio::time::timeout(shared.settings.manager.limits.close_timeout, self.arrived())
        };
        // What the server does not read in time is lost.
        let _ = flushed.await;
    }

    /// What was counted.
    pub fn stats(&self) -> Stats {
        self.handle.shared.counters.stats()
    }
}

impl fmt::Debug for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Manager").field("transport", &self.transport()).finish_non_exhaustive()
    }
}
