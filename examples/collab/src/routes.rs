//! What is plain HTTP: sessions, what the documents say, and the page.

use std::convert::Infallible;
use std::path::Path as FilePath;

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Extension, FromRequestParts, Path, Query, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use roomful::{EventError, OriginLayer, PeerAddress};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tower_http::services::{ServeDir, ServeFile};
use tower_http::set_header::SetResponseHeaderLayer;

use crate::Io;
use crate::access::{Login, SessionId};

/// Nothing but what comes from here: no script of anybody else's, even where a field had got one in.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
const BODY_BYTES_MAX: usize = 4 * 1024;

type Answer = Result<Response, Failure>;

/// All that is not the sockets': `/api`, and the built page in the directory `web`.
pub(crate) fn router(io: Io, origins: OriginLayer, web: &FilePath) -> Router {
    let page = ServeDir::new(web).fallback(ServeFile::new(web.join("index.html")));
    let api = Router::new()
        .route("/session", get(session).post(log_in).delete(log_out))
        .route("/states", get(states))
        .route("/documents/{state}", get(document))
        .route("/documents/{state}/changes", get(document))
        .fallback(async || Failure(EventError::new("no_route", "There is no such route.")))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(origins)
        .layer(always(header::CACHE_CONTROL, "no-store"));
    Router::new()
        .nest("/api", api)
        .fallback_service(page)
        .layer(always(header::CONTENT_SECURITY_POLICY, POLICY))
        .layer(always(header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .layer(always(header::REFERRER_POLICY, "no-referrer"))
        .with_state(io)
}

fn always(name: HeaderName, value: &'static str) -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::overriding(name, HeaderValue::from_static(value))
}

impl FromRequestParts<Io> for SessionId {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &Io) -> Result<Self, Infallible> {
        let cookies = parts.headers.get(header::COOKIE).and_then(|cookies| cookies.to_str().ok());
        Ok(Self::in_cookies(cookies))
    }
}

async fn session(State(io): State<Io>, id: SessionId) -> Answer {
    answer(io.state().access.session(&id).await?)
}

async fn log_in(
    State(io): State<Io>,
    Extension(PeerAddress(address)): Extension<PeerAddress>,
    known: SessionId,
    login: Result<Json<Login>, JsonRejection>,
) -> Answer {
    io.state().access.count_login(address.ip())?;
    let Json(login) = login.map_err(|error| match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => EventError::new("too_large", "This is too large."),
        _ => EventError::new("bad_body", "The body is JSON: { name, code }, both texts."),
    })?;
    let (session, cookie) = io.state().access.log_in(&io, &known, login).await?;
    Ok(([(header::SET_COOKIE, cookie)], Json(session)).into_response())
}

async fn log_out(State(io): State<Io>, id: SessionId) -> Answer {
    let cookie = io.state().access.log_out(&io, &id).await?;
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)]).into_response())
}

async fn states(State(io): State<Io>, id: SessionId) -> Answer {
    let states = io.state().access.session(&id).await?.states;
    answer(json!({ "states": io.state().documents.summaries(states).await? }))
}

#[derive(Deserialize)]
struct Since {
    since: Option<i64>,
}

/// A document, or what has changed in it since a version.
async fn document(
    State(io): State<Io>,
    id: SessionId,
    Path(state): Path<String>,
    since: Result<Query<Since>, QueryRejection>,
) -> Answer {
    io.state().access.check(&id, &state).await?;
    let since = since.map_err(|_| EventError::new("bad_since", "It is ?since= and a version."));
    let since = since?.since.unwrap_or_default();
    let (version, fields) = io.state().documents.since(&state, since).await?;
    answer(json!({ "state": state, "version": version, "fields": fields }))
}

fn answer(answer: impl Serialize) -> Answer {
    Ok(Json(answer).into_response())
}

/// Why there is no answer.
struct Failure(EventError);

impl<E: Into<EventError>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let Self(error) = self;
        let status = match error.code() {
            "no_session" | "bad_code" => StatusCode::UNAUTHORIZED,
            "no_permission" => StatusCode::FORBIDDEN,
            "no_document" | "no_route" => StatusCode::NOT_FOUND,
            "too_large" => StatusCode::PAYLOAD_TOO_LARGE,
            "rate_limited" => StatusCode::TOO_MANY_REQUESTS,
            _ if error.is_internal() => {
                eprintln!("HTTP: {error:?}");
                StatusCode::INTERNAL_SERVER_ERROR
            }
            _ => StatusCode::UNPROCESSABLE_ENTITY,
        };
        let error = json!({ "code": error.code(), "message": error.message() });
        (status, Json(json!({ "error": error }))).into_response()
    }
}
