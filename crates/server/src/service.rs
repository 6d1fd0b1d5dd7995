//! The server as a tower service and as a layer.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use http_body_util::Either;

use crate::body::Body;
use crate::core::Core;
use crate::door;

/// A tower service that answers each request as one to the server, whatever its path: mount it
/// where the server shall be. Made by [`Server::service`](crate::Server::service).
///
/// ```
/// # fn app() -> axum::Router {
/// let io = roomful::Server::new();
/// axum::Router::new().nest_service("/socket.io", io.service())
/// # }
/// ```
#[derive(Clone)]
pub struct Service {
    core: Arc<Core>,
}

/// A tower layer that answers requests below the path of the server, and leaves all others to the
/// service behind it. Made by [`Server::layer`](crate::Server::layer).
///
/// ```
/// # fn app() -> axum::Router {
/// let io = roomful::Server::new();
/// axum::Router::new().layer(io.layer())
/// # }
/// ```
#[derive(Clone)]
pub struct Layer {
    core: Arc<Core>,
}

/// What [`Layer`] makes of a service.
#[derive(Clone, Debug)]
pub struct Layered<S> {
    ours: Service,
    theirs: S,
}

type Answering<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;

impl Service {
    pub(crate) const fn new(core: Arc<Core>) -> Self {
        Self { core }
    }

    /// Whether a path is that of the server or below it.
    fn is_ours(&self, path: &str) -> bool {
        let rest = path.strip_prefix(self.core.config.path.as_str());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl<B> tower_service::Service<Request<B>> for Service
where
    B: http_body::Body + Send + 'static,
    B::Data: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answering<Response<Body>, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let core = Arc::clone(&self.core);
        Box::pin(async move { Ok(door::answer(core, request).await) })
    }
}

impl Layer {
    pub(crate) const fn new(core: Arc<Core>) -> Self {
        Self { core }
    }
}

impl<S> tower_layer::Layer<S> for Layer {
    type Service = Layered<S>;

    fn layer(&self, theirs: S) -> Layered<S> {
        Layered { ours: Service::new(Arc::clone(&self.core)), theirs }
    }
}

impl<S, B, T> tower_service::Service<Request<B>> for Layered<S>
where
    S: tower_service::Service<Request<B>, Response = Response<T>>,
    S::Future: Send + 'static,
    S::Error: 'static,
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    T: http_body::Body<Data = bytes::Bytes>,
{
    type Response = Response<Either<Body, T>>;
    type Error = S::Error;
    type Future = Answering<Response<Either<Body, T>>, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.theirs.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if self.ours.is_ours(request.uri().path()) {
            let core = Arc::clone(&self.ours.core);
            return Box::pin(async move {
                let response = door::answer(core, request).await;
                Ok(response.map(Either::Left))
            });
        }
        let answering = self.theirs.call(request);
        Box::pin(async move { Ok(answering.await?.map(Either::Right)) })
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("path", &self.core.config.path).finish_non_exhaustive()
    }
}

impl fmt::Debug for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Layer").field("path", &self.core.config.path).finish_non_exhaustive()
    }
}
