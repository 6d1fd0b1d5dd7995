//! What is asked by HTTP: who logs in and out, GraphQL, and the files of the page.

use std::env;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_graphql::Request as Query;
use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, Extension, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::map_response;
use axum::response::{AppendHeaders, IntoResponse, IntoResponseParts, Response};
use axum::routing::post;
use axum::{Json, Router};
use roomful::{EventError, Limiter, PeerAddress, Rate};
use serde::Deserialize;
use serde_json::json;
use tower_http::services::{ServeDir, ServeFile};

use crate::graphql::coded;
use crate::live::{Io, turn_away_all};
use crate::people::{Newcomer, bad_login, is_handle};
use crate::sessions::{FOR_REQUESTS, Session, unauthenticated};
use crate::social::{Result, too_fast};

/// What all answers say: no script and no style but those of the page itself, and in no frame.
const HEADERS: [(header::HeaderName, HeaderValue); 3] = [
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
             connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        ),
    ),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache")),
];
const BODY_BYTES_MAX: usize = 64 * 1024;

/// How fast an address may log in and sign up, and how fast it may fail for a handle.
const ENTRY_RATE: Rate = Rate::per_second(20).burst(300);
const FAILURE_RATE: Rate = Rate::new(5, Duration::from_secs(60));

type Site = State<Arc<Shared>>;
type Peer = Extension<PeerAddress>;
type Body<T> = Result<Json<T>, JsonRejection>;
type Answer = Result<Response, Failure>;

struct Shared {
    io: Io,
    /// Logins and signups of an address, and failures of a handle.
    entries: Limiter<IpAddr>,
    failures: Limiter<String>,
}

pub(crate) fn router(io: Io) -> Router {
    let (entries, failures) = (Limiter::new(ENTRY_RATE), Limiter::new(FAILURE_RATE));
    let here = concat!(env!("CARGO_MANIFEST_DIR"), "/web/dist");
    let page = env::var_os("WEB").map_or_else(|| here.into(), PathBuf::from);
    let index = ServeFile::new(page.join("index.html"));
    Router::new()
        .route("/api/signup", post(sign_up))
        .route("/api/login", post(log_in))
        .route("/api/logout", post(log_out))
        .route("/graphql", post(graphql))
        // The page knows its own routes.
        .fallback_service(ServeDir::new(page).fallback(index))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(io.origin_layer())
        .layer(map_response(with_headers))
        .with_state(Arc::new(Shared { io, entries, failures }))
}

async fn with_headers(mut response: Response) -> Response {
    response.headers_mut().extend(HEADERS);
    response
}

async fn sign_up(State(site): Site, peer: Peer, newcomer: Body<Newcomer>) -> Answer {
    site.entries.take_of(peer.0.0.ip()).map_err(too_fast)?;
    let person = site.io.state().add_person(newcomer?.0).await?;
    enter(&site, person).await
}

#[derive(Deserialize)]
struct Login {
    handle: String,
    password: String,
}

async fn log_in(State(site): Site, peer: Peer, login: Body<Login>) -> Answer {
    site.entries.take_of(peer.0.0.ip()).map_err(too_fast)?;
    let Login { handle, password } = login?.0;
    // Nobody has it, and it may be too long to be remembered.
    if !is_handle(&handle) {
        return Err(bad_login().into());
    }
    // Before it is tried, so that a thousand at once are not tried, either.
    site.failures.take(handle.clone()).map_err(too_fast)?;
    let person = site.io.state().log_in(&handle, password).await;
    if !matches!(&person, Err(error) if error.code() == "bad_login") {
        site.failures.give_back(&handle);
    }
    enter(&site, person?).await
}

/// Begins a session, with its cookies.
async fn enter(site: &Shared, person: i64) -> Answer {
    let [id, for_sockets, key] = site.io.state().begin_session(person).await?;
    let Session { handle, name, .. } = site.io.state().session(&id, &key, FOR_REQUESTS).await?;
    let life = site.io.state().session_life.as_secs();
    let session = format!("{id}.{key}");
    let cookies = cookies([&id, &for_sockets, &session], life);
    Ok((cookies, Json(json!({ "handle": handle, "name": name }))).into_response())
}

/// Two that the page reads, for its sockets; and one that it needs not, for requests.
fn cookies([id, secretkey, session]: [&str; 3], seconds: u64) -> impl IntoResponseParts {
    let rest = format!("Path=/; Max-Age={seconds}; SameSite=Strict");
    AppendHeaders([
        (header::SET_COOKIE, format!("id={id}; {rest}")),
        (header::SET_COOKIE, format!("secretkey={secretkey}; {rest}")),
        (header::SET_COOKIE, format!("session={session}; {rest}; HttpOnly")),
    ])
}

async fn log_out(State(site): Site, headers: HeaderMap) -> Answer {
    match caller(&site, &headers).await {
        Ok(session) => {
            site.io.state().end_session(&session.id).await?;
            turn_away_all(&site.io, &session.id).await?;
        }
        // Then it is over already.
        Err(error) if error.code() == "unauthenticated" => {}
        Err(error) => return Err(error.into()),
    }
    Ok((StatusCode::NO_CONTENT, cookies([""; 3], 0), ()).into_response())
}

async fn graphql(State(site): Site, headers: HeaderMap, query: Body<Query>) -> Answer {
    let session = caller(&site, &headers).await?;
    site.io.state().queries.take(session.person).map_err(too_fast)?;
    let query = query?.0.data(session).data(site.io.clone()).data(Arc::clone(site.io.state()));
    Ok(Json(coded(site.io.state().api.execute(query).await)).into_response())
}

/// Whose request it is, by its cookie or, where a program asks, by `authorization`.
async fn caller(site: &Shared, headers: &HeaderMap) -> Result<Session> {
    let bearer = text(headers, header::AUTHORIZATION).and_then(|all| all.strip_prefix("Bearer "));
    let cookies = text(headers, header::COOKIE).unwrap_or_default();
    let cookie = || cookies.split("; ").find_map(|cookie| cookie.strip_prefix("session="));
    let shown = bearer.or_else(cookie).and_then(|shown| shown.split_once('.'));
    let (id, key) = shown.ok_or_else(unauthenticated)?;
    // A page says which session it shows: another tab may have begun a new one in its browser.
    if text(headers, "x-session").is_some_and(|own| own != id) {
        let why = "Another session has begun in this browser. Load the page again.";
        return Err(EventError::new("other_session", why));
    }
    site.io.state().session(id, key, FOR_REQUESTS).await
}

fn text(headers: &HeaderMap, name: impl header::AsHeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Why not, as JSON.
struct Failure(EventError);

impl From<EventError> for Failure {
    fn from(error: EventError) -> Self {
        Self(error)
    }
}

impl From<JsonRejection> for Failure {
    fn from(rejection: JsonRejection) -> Self {
        let (code, why) = match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => ("too_large", "This is more than 64 KiB."),
            _ => ("bad_json", "This is not the JSON that is wanted here."),
        };
        Self(EventError::new(code, why))
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let (code, message) = (self.0.code(), self.0.message());
        let status = match code {
            "unauthenticated" | "other_session" | "bad_login" => StatusCode::UNAUTHORIZED,
            "handle_taken" => StatusCode::CONFLICT,
            "too_large" => StatusCode::PAYLOAD_TOO_LARGE,
            "rate_limited" => StatusCode::TOO_MANY_REQUESTS,
            "busy" => StatusCode::SERVICE_UNAVAILABLE,
            _ if self.0.is_internal() => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::UNPROCESSABLE_ENTITY,
        };
        if status.is_server_error() {
            eprintln!("{}", self.0);
        }
        (status, Json(json!({ "error": { "code": code, "message": message } }))).into_response()
    }
}
