//! [`Pages`]: the playground, from the program itself.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};

use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use roomful::Body;

/// What the pages may load and do: only what is theirs. (`blob:` is for previews of images.)
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
                      img-src 'self' blob:; connect-src 'self'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

struct Page {
    path: &'static str,
    content_type: &'static str,
    bytes: &'static [u8],
}

macro_rules! page {
    ($path:literal, $file:literal, $content_type:expr) => {
        Page {
            path: $path,
            content_type: $content_type,
            bytes: include_bytes!(concat!("../web/", $file)),
        }
    };
}

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

const PAGES: [Page; 12] = [
    page!("/", "index.html", HTML),
    page!("/playground.css", "playground.css", "text/css; charset=utf-8"),
    page!("/favicon.svg", "favicon.svg", "image/svg+xml"),
    page!("/theme.js", "theme.js", SCRIPT),
    page!("/playground.js", "playground.js", SCRIPT),
    page!("/connection.js", "connection.js", SCRIPT),
    page!("/rooms.js", "rooms.js", SCRIPT),
    page!("/chat.js", "chat.js", SCRIPT),
    page!("/emit.js", "emit.js", SCRIPT),
    page!("/log.js", "log.js", SCRIPT),
    page!("/values.js", "values.js", SCRIPT),
    page!("/dom.js", "dom.js", SCRIPT),
];

/// A service that answers with the playground.
#[derive(Clone, Debug)]
pub(crate) struct Pages;

impl<B> tower_service::Service<Request<B>> for Pages {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        ready(Ok(answer(request.method(), request.uri().path(), request.headers())))
    }
}

fn answer(method: &Method, path: &str, headers: &HeaderMap) -> Response<Body> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return text(StatusCode::METHOD_NOT_ALLOWED, "Only GET is answered here.\n");
    }
    let Some(page) = PAGES.iter().find(|page| page.path == path) else {
        return text(StatusCode::NOT_FOUND, "No such page. The playground is at /.\n");
    };
    let etag = concat!("\"", env!("CARGO_PKG_VERSION"), "\"");
    if cfg!(not(debug_assertions))
        && headers.get(header::IF_NONE_MATCH).is_some_and(|tag| tag == etag)
    {
        return with(StatusCode::NOT_MODIFIED, HTML, Body::default());
    }
    let mut response =
        with(StatusCode::OK, page.content_type, bytes::Bytes::from_static(page.bytes).into());
    if cfg!(not(debug_assertions)) {
        response.headers_mut().insert(header::ETAG, HeaderValue::from_static(etag));
    }
    response
}

fn text(status: StatusCode, text: &'static str) -> Response<Body> {
    with(status, "text/plain; charset=utf-8", text.into())
}

fn with(status: StatusCode, content_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
