//! [`Hooks`]: functions of the user's that stand around requests.
//!
//! A panic in one of them costs its one request.

use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::FutureExt as _;

use crate::ground::errors::refusal::Refusal;
use crate::http::flow::Flow;
use crate::http::head::Head;
use crate::http::headers::AnswerHeaders;
use crate::http::refused::{Cause, ConnectionError};
use crate::http::request::Request;
use crate::http::site::Site;

type Asking = Pin<Box<dyn Future<Output = Result<(), Refusal>> + Send>>;
type HeadersFn = Arc<dyn Fn(&Request<'_>, &mut AnswerHeaders) + Send + Sync>;
type RequestFn = Arc<dyn Fn(&Request<'_>, &mut AnswerHeaders) -> Flow + Send + Sync>;
type AllowFn = Arc<dyn Fn(Request<'static>) -> Asking + Send + Sync>;
pub(crate) type ErrorFn = Arc<dyn Fn(&ConnectionError<'_>) + Send + Sync>;

/// What a server was given. A request that nothing stands around pays one look for each.
#[derive(Clone, Default)]
pub(crate) struct Hooks {
    on_request: Option<RequestFn>,
    allow: Option<AllowFn>,
    initial_headers: Option<HeadersFn>,
    headers: Option<HeadersFn>,
}

/// Why a request may not open a session.
pub(crate) enum NotAllowed {
    Refused(Refusal),
    Late,
    Panicked,
}

impl Hooks {
    pub(crate) fn set_on_request<F>(&mut self, on_request: F)
    where
        F: Fn(&Request<'_>, &mut AnswerHeaders) -> Flow + Send + Sync + 'static,
    {
        self.on_request = Some(Arc::new(on_request));
    }

    /// Whether somebody sees requests before the server does.
    pub(crate) const fn see_requests(&self) -> bool {
        self.on_request.is_some()
    }

    pub(crate) fn set_allow<F, Fut>(&mut self, allow: F)
    where
        F: Fn(Request<'static>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), Refusal>> + Send + 'static,
    {
        self.allow = Some(Arc::new(move |request| Box::pin(allow(request))));
    }

    pub(crate) fn set_initial_headers<F>(&mut self, add: F)
    where
        F: Fn(&Request<'_>, &mut AnswerHeaders) + Send + Sync + 'static,
    {
        self.initial_headers = Some(Arc::new(add));
    }

    pub(crate) fn set_headers<F>(&mut self, add: F)
    where
        F: Fn(&Request<'_>, &mut AnswerHeaders) + Send + Sync + 'static,
    {
        self.headers = Some(Arc::new(add));
    }

    /// Whether anything is added to answers of sessions.
    pub(crate) const fn add_headers(&self) -> bool {
        self.initial_headers.is_some() || self.headers.is_some()
    }

    /// Whether somebody decides who may open a session.
    pub(crate) const fn decides(&self) -> bool {
        self.allow.is_some()
    }
}

/// Shows a request to whoever sees it first, and collects what is added to its answer; `None` when
/// the function panics.
pub(crate) fn see(site: &Site, head: &Head<'_>, headers: &mut AnswerHeaders) -> Option<Flow> {
    let Some(see) = &site.settings.hooks.on_request else {
        return Some(Flow::Pass);
    };
    add(site, "the function of on_request", headers, |to| see(&Request::new(*head), to))
}

/// Collects what is added to the answer to a request of a session, which may be its first.
pub(crate) fn headers(site: &Site, head: &Head<'_>, initial: bool, headers: &mut AnswerHeaders) {
    let hooks = &site.settings.hooks;
    let request = Request::new(*head);
    if let Some(first) = hooks.initial_headers.as_ref().filter(|_| initial) {
        add(site, "the function of initial_headers", headers, |to| first(&request, to));
    }
    if let Some(every) = &hooks.headers {
        add(site, "the function of headers", headers, |to| every(&request, to));
    }
}

/// Lets a function add headers. What one has added that panics is forgotten with it.
fn add<T>(
    site: &Site,
    what: &str,
    headers: &mut AnswerHeaders,
    function: impl FnOnce(&mut AnswerHeaders) -> T,
) -> Option<T> {
    let mut added = AnswerHeaders::default();
    let returned = site.guarded(what, || function(&mut added))?;
    site.metrics.headers_refused.add_all(added.refused());
    headers.append(added);
    Some(returned)
}

/// Asks whether a request may open a session.
pub(crate) async fn allow(site: &Site, request: Request<'static>) -> Result<(), NotAllowed> {
    let Some(allow) = &site.settings.hooks.allow else {
        return Ok(());
    };
    let asking = AssertUnwindSafe(async { allow(request).await }).catch_unwind();
    match tokio::time::timeout(site.settings.allow_timeout, asking).await {
        Ok(Ok(Ok(()))) => Ok(()),
        Ok(Ok(Err(refusal))) => {
            site.metrics.forbidden.add();
            Err(NotAllowed::Refused(refusal))
        }
        Ok(Err(_panic)) => {
            site.metrics.panics.add();
            tracing::error!("the function of allow_request panicked; the request is refused");
            Err(NotAllowed::Panicked)
        }
        Err(_late) => {
            site.metrics.allow_timeouts.add();
            tracing::warn!("the function of allow_request did not decide in time");
            Err(NotAllowed::Late)
        }
    }
}

impl NotAllowed {
    pub(crate) fn cause(&self) -> Cause<'_> {
        match self {
            Self::Refused(refusal) => Cause::Forbidden { message: refusal.message() },
            Self::Late => Cause::NoDecision,
            Self::Panicked => Cause::Panicked,
        }
    }
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks")
            .field("on_request", &self.on_request.is_some())
            .field("allow", &self.allow.is_some())
            .field("initial_headers", &self.initial_headers.is_some())
            .field("headers", &self.headers.is_some())
            .finish()
    }
}
