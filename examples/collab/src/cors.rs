//! [`Cors`]: the pages that may call, the same for HTTP and for sockets.

use std::env;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use roomful::{EventError, Origins};
use tower_http::cors::CorsLayer;

use crate::routes::Failure;

/// Pages of the same host may call, and those of one more origin: such as that of a development server.
#[derive(Clone)]
pub(crate) struct Cors {
    web_origin: Option<HeaderValue>,
}

impl Cors {
    /// With the origin that `WEB_ORIGIN` names.
    pub(crate) fn read() -> Result<Self, header::InvalidHeaderValue> {
        let web_origin = env::var("WEB_ORIGIN").ok().filter(|origin| !origin.is_empty());
        Ok(Self { web_origin: web_origin.map(HeaderValue::try_from).transpose()? })
    }

    /// For sockets.
    pub(crate) fn origins(&self) -> Origins {
        let origin = self.web_origin.as_ref().and_then(|origin| origin.to_str().ok());
        Origins::List(origin.into_iter().map(str::to_owned).collect())
    }

    /// For HTTP: what browsers are told. [`refuse_others`] is what holds, also for what they do not ask about.
    pub(crate) fn layer(&self) -> CorsLayer {
        CorsLayer::new()
            .allow_origin(self.web_origin.clone().into_iter().collect::<Vec<_>>())
            .allow_credentials(true)
            .allow_methods([Method::GET, Method::POST, Method::DELETE])
            .allow_headers([header::CONTENT_TYPE])
    }

    /// Whether a request comes from a page that may call, or from a program that is no browser.
    fn allows(&self, headers: &HeaderMap) -> bool {
        let Some(origin) = headers.get(header::ORIGIN) else { return true };
        let page = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let is_same_host = page.zip(host).is_some_and(|((_, page), host)| page == host);
        is_same_host || self.web_origin.as_ref() == Some(origin)
    }
}

/// Answers pages of other origins that they may not call, before anything is done for them.
pub(crate) async fn refuse_others(
    State(cors): State<Cors>,
    request: Request,
    next: Next,
) -> Response {
    if cors.allows(request.headers()) {
        return next.run(request).await;
    }
    Failure(EventError::new("bad_origin", "Pages of other origins may not call.")).into_response()
}
