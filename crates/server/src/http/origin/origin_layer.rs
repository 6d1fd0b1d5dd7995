//! [`OriginLayer`]: the routes of a program beside the server, for the same pages.

use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, Version, header};
use http_body_util::Either;

use crate::http::body::{self, Body};
use crate::http::door;
use crate::http::origin::cors::CorsHeaders;
use crate::http::service::head;
use crate::http::site::Site;

/// A tower layer that applies the server's [`Origins`](crate::Origins), [`Cors`](crate::Cors) and
/// [hosts](crate::Builder::hosts) to the routes of a program, so that they are said once for sockets and routes.
/// Made by [`Server::origin_layer`](crate::Server::origin_layer).
///
/// - A request to a host that is not listed is refused with status 421.
/// - A request from a page that may not connect is refused with status 403, so that no page acts with the cookies of
///   its visitors. A `GET` or `HEAD` that names no origin is answered, wherever it comes from: links and pictures
///   elsewhere lead here. What the answer says cannot be read there, unless it is a script.
/// - Pages that may connect are told so in each answer, and their preflights are answered here. Which methods
///   they may use says [`Cors::methods`](crate::Cors::methods), which names `GET` and `POST` by default. What a route
///   says itself in `Access-Control-Allow-Origin` is replaced.
/// - Requests below the path of the server pass: it looks at them itself.
///
/// What is refused is counted, told to [`on_connection_error`](crate::Server::on_connection_error) and answered as
/// the server answers its own clients: `{"code":4,"message":"Origin not allowed"}`. Other requests that name no origin
/// pass: they are from programs that are no browsers.
///
/// ```
/// use axum::{Router, routing::post};
/// use roomful::{Origins, Server};
///
/// # fn app() -> Router {
/// let app = Origins::List(vec!["https://app.example.org".to_owned()]);
/// let io = Server::builder().origins(app).build();
/// Router::new().route("/api/posts", post(async || "stored")).layer(io.origin_layer())
/// # }
/// ```
#[derive(Clone)]
pub struct OriginLayer {
    site: Arc<Site>,
}

/// What [`OriginLayer`] makes of a service.
#[derive(Clone)]
pub struct OriginChecked<S> {
    site: Arc<Site>,
    service: S,
}

impl OriginLayer {
    pub(crate) const fn new(site: Arc<Site>) -> Self {
        Self { site }
    }
}

impl<S> tower_layer::Layer<S> for OriginLayer {
    type Service = OriginChecked<S>;

    fn layer(&self, service: S) -> OriginChecked<S> {
        OriginChecked { site: Arc::clone(&self.site), service }
    }
}

impl<S, B, T> tower_service::Service<Request<B>> for OriginChecked<S>
where
    S: tower_service::Service<Request<B>, Response = Response<T>>,
    S::Future: Send + 'static,
    S::Error: 'static,
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    T: http_body::Body<Data = Bytes>,
{
    type Response = Response<Either<Body, T>>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let is_ours = self.site.settings.is_ours(request.uri().path());
        let (parts, body) = request.into_parts();
        let passed = match is_ours {
            // The server looks at them itself.
            true => Ok(CorsHeaders::Nothing),
            false => door::pass_by(&self.site, &head(&parts), parts.version == Version::HTTP_11),
        };
        match passed {
            Ok(cors) => {
                let site = Arc::clone(&self.site);
                let answering = self.service.call(Request::from_parts(parts, body));
                Box::pin(async move {
                    let mut response = answering.await?.map(Either::Right);
                    add(&site, cors, response.headers_mut());
                    Ok(response)
                })
            }
            Err(answer) => {
                // Who waits to be asked for the body is not asked for one that nobody wants.
                let is_sent = !parts.headers.contains_key(header::EXPECT);
                Box::pin(async move {
                    if is_sent {
                        body::read_past(pin!(body)).await;
                    }
                    Ok(answer.into_response().map(Either::Left))
                })
            }
        }
    }
}

/// Says what browsers are to know. What the route itself says of origins gives way: two answers are none.
fn add(site: &Site, cors: CorsHeaders, headers: &mut HeaderMap) {
    cors.each(&site.settings.cors, true, |name, value| {
        if name == header::VARY || name == header::ACCESS_CONTROL_EXPOSE_HEADERS {
            headers.append(name, value);
        } else {
            headers.insert(name, value);
        }
    });
}

impl fmt::Debug for OriginLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OriginLayer").field("origins", &self.site.settings.origins).finish()
    }
}

impl<S> fmt::Debug for OriginChecked<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OriginChecked").finish_non_exhaustive()
    }
}
