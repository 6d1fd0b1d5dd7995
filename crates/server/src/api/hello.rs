//! [`Hello`]: a client that asks to join a namespace.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use roomful_proto::args::misfit;
use serde::de::DeserializeOwned;

use crate::ground::errors::refusal::Refusal;
use crate::ground::handshake::Handshake;
use crate::namespace::namespace_core::NamespaceCore;
use crate::transport::link::Link;

/// A client that asks to join a namespace: what it says about itself, and how it came. It is not a
/// socket yet, so nothing can be sent to it.
pub struct Hello<A = ()> {
    link: Arc<Link>,
    namespace: Arc<NamespaceCore>,
    /// The name that is asked for, where that namespace is only the parent.
    name: Option<Box<str>>,
    auth: Option<Bytes>,
    state: Arc<A>,
}

impl<A: Send + Sync + 'static> Hello<A> {
    /// `None` when the server's state is of another type, which its type parameter rules out.
    pub(crate) fn new(
        link: &Arc<Link>,
        namespace: &Arc<NamespaceCore>,
        auth: Option<Bytes>,
    ) -> Option<Self> {
        let state = Arc::clone(&namespace.registry()?.state).downcast().ok()?;
        let (link, namespace) = (Arc::clone(link), Arc::clone(namespace));
        Some(Self { link, namespace, name: None, auth, state })
    }

    /// One that asks for a namespace that there is not yet.
    pub(crate) fn asking(
        link: &Arc<Link>,
        parent: &Arc<NamespaceCore>,
        name: &str,
        auth: Option<Bytes>,
    ) -> Option<Self> {
        Some(Self { name: Some(name.into()), ..Self::new(link, parent, auth)? })
    }

    /// The state that the server shares with all its sockets.
    pub fn state(&self) -> &A {
        &self.state
    }
}

impl<A> Hello<A> {
    /// The namespace that the client asks for.
    pub fn namespace(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.namespace.name)
    }

    /// What stands in a gap of the namespace's name: see [`Namespace::param`](crate::Namespace::param).
    pub fn param(&self, gap: &str) -> Option<&str> {
        self.namespace.param(gap)
    }

    /// What the client gave as `auth`, as a `T`. A client that gave nothing reads as an empty
    /// object. The error says what does not fit, without the values that the client gave, and as a
    /// [`Refusal`] it can be answered with `?`.
    ///
    /// Whoever asks to join may give anything here, before anybody knows who it is: up to
    /// [`Builder::auth_bytes_max`](crate::Builder::auth_bytes_max) bytes of JSON, 16 KiB by default. Read into
    /// a [`serde_json::Value`], that takes up to a hundred times its size: `[{"":0},{"":0},…]` takes 96 bytes
    /// of memory for each byte, for as long as the value is held. A type with named fields takes what it
    /// keeps, and the rest is read past. So ask for what is needed, and let go of it before a wait:
    ///
    /// ```
    /// use roomful::{Hello, Refusal};
    ///
    /// #[derive(serde::Deserialize)]
    /// struct Auth {
    ///     token: String,
    /// }
    ///
    /// async fn connect(hello: Hello) -> Result<(), Refusal> {
    ///     let Auth { token } = hello.auth()?;
    ///     (token == "letmein").then_some(()).ok_or(Refusal::new("no"))
    /// }
    /// ```
    pub fn auth<T: DeserializeOwned>(&self) -> Result<T, Refusal> {
        let json = self.auth.as_deref().unwrap_or(b"{}");
        serde_json::from_slice(json)
            .map_err(|e| Refusal::new(format!("the auth payload does not fit: {}", misfit(&e))))
    }

    /// A header of the request that opened the connection, by its name in any case.
    #[doc(alias = "headers")]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.handshake().header(name)
    }

    /// A cookie of that request, by its name: see [`Handshake::cookie`].
    pub fn cookie(&self, name: &str) -> Option<&str> {
        self.handshake().cookie(name)
    }

    /// A parameter of that request's query, percent-decoded.
    pub fn query(&self, name: &str) -> Option<String> {
        self.handshake().query(name)
    }

    /// The address of the peer: a proxy's, where there is one. `None` when the server is embedded
    /// in another that did not say (see [`PeerAddress`](crate::PeerAddress)).
    pub fn address(&self) -> Option<SocketAddr> {
        self.handshake().address()
    }

    /// The request that opened the connection.
    #[doc(alias = "request")]
    pub fn handshake(&self) -> &Handshake {
        &self.link.handshake
    }
}

impl<A> fmt::Debug for Hello<A> {
    /// Without the auth payload, which is mostly a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hello")
            .field("namespace", &self.namespace())
            .field("address", &self.address())
            .finish_non_exhaustive()
    }
}

/// A function that decides who may join a namespace, and what is remembered of them.
#[diagnostic::on_unimplemented(
    message = "this is not a `connect` function",
    label = "not a `connect` function",
    note = "it is `async fn(Hello) -> Result<Data, Refusal>`: `Ok` lets the client in and is what \
            `socket.data()` gives from then on, `Err` is told to the client",
    note = "a closure that only refuses says what data it would give: `Err::<(), _>(Refusal::new(\"no\"))`"
)]
#[doc(alias = "middleware")]
#[doc(alias = "use")]
pub trait Connect<A, U>: Send + Sync + 'static {
    /// Decides.
    fn decide(&self, hello: Hello<A>) -> impl Future<Output = Result<U, Refusal>> + Send + 'static;
}

impl<A, U, F, Fut> Connect<A, U> for F
where
    A: 'static,
    F: Fn(Hello<A>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<U, Refusal>> + Send + 'static,
{
    fn decide(&self, hello: Hello<A>) -> impl Future<Output = Result<U, Refusal>> + Send + 'static {
        self(hello)
    }
}

/// The types of a namespace, as a type without values.
pub(crate) type Types<A, U> = PhantomData<fn() -> (A, U)>;
