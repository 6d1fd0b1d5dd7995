//! What is asked by HTTP: who logs in and out, GraphQL, and the files of the page.

use std::env;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_graphql::{Request, Response as Answer};
use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, Extension, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::map_response;
use axum::response::{AppendHeaders, IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use roomful::{EventError, PeerAddress};
use serde::Deserialize;
use serde_json::json;
use tower_http::services::{ServeDir, ServeFile};

use crate::graphql::{Api, coded};
use crate::limits::Limiter;
use crate::live::{Io, session_room};
use crate::people::Newcomer;
use crate::sessions::{Session, Shown, unauthenticated};
use crate::social::Social;

/// No script and no style but those of the page itself.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                      connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
const BODY_BYTES_MAX: usize = 64 * 1024;

type Site = Arc<Shared>;

struct Shared {
    social: Arc<Social>,
    io: Io,
    api: Api,
    /// Logins and signups of an address, and failures of a handle.
    entries: Limiter<IpAddr>,
    failures: Limiter<String>,
}

pub(crate) fn router(social: Arc<Social>, io: Io, api: Api) -> Router {
    let entries = Limiter::new(Duration::from_millis(50), 300);
    let failures = Limiter::new(Duration::from_secs(12), 5);
    let built = env::var_os("WEB").map_or_else(built_here, PathBuf::from);
    let index = ServeFile::new(built.join("index.html"));
    Router::new()
        .route("/api/signup", post(sign_up))
        .route("/api/login", post(log_in))
        .route("/api/logout", post(log_out))
        .route("/graphql", post(graphql))
        // The page knows its own routes.
        .fallback_service(ServeDir::new(built).fallback(index))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(map_response(guarded))
        .with_state(Arc::new(Shared { social, io, api, entries, failures }))
}

fn built_here() -> PathBuf {
    concat!(env!("CARGO_MANIFEST_DIR"), "/web/dist").into()
}

async fn guarded(mut response: Response) -> Response {
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "same-origin"),
        (header::CACHE_CONTROL, "private, no-cache"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

async fn sign_up(
    State(site): State<Site>,
    Extension(PeerAddress(peer)): Extension<PeerAddress>,
    headers: HeaderMap,
    newcomer: Result<Json<Newcomer>, JsonRejection>,
) -> Result<Response, Failure> {
    check_origin(&headers)?;
    site.entries.take(peer.ip())?;
    let Json(newcomer) = newcomer?;
    let person = site.social.add_person(newcomer).await?;
    enter(&site, person).await
}

#[derive(Deserialize)]
struct Login {
    handle: String,
    password: String,
}

async fn log_in(
    State(site): State<Site>,
    Extension(PeerAddress(peer)): Extension<PeerAddress>,
    headers: HeaderMap,
    login: Result<Json<Login>, JsonRejection>,
) -> Result<Response, Failure> {
    check_origin(&headers)?;
    site.entries.take(peer.ip())?;
    let Json(Login { handle, password }) = login?;
    // Before it is tried, so that a thousand at once are not tried, either.
    site.failures.take(handle.clone())?;
    let person = site.social.log_in(&handle, password).await;
    if !matches!(&person, Err(error) if error.code() == "bad_login") {
        site.failures.give_back(&handle);
    }
    enter(&site, person?).await
}

/// Begins a session, with its cookies.
async fn enter(site: &Shared, person: i64) -> Result<Response, Failure> {
    let keys = site.social.begin_session(person).await?;
    let (id, key) = keys.session.split_once('.').unwrap_or_default();
    let Session { handle, name, .. } = site.social.session(id, key, Shown::Session).await?;
    let life = site.social.session_life.as_secs();
    let cookies = cookies([&keys.id, &keys.secret, &keys.session], life);
    Ok((cookies, Json(json!({ "handle": handle, "name": name }))).into_response())
}

/// Two that the page reads, for its sockets; and one that it needs not, for requests.
fn cookies(
    [id, secret, session]: [&str; 3],
    seconds: u64,
) -> AppendHeaders<[(header::HeaderName, String); 3]> {
    let rest = format!("Path=/; Max-Age={seconds}; SameSite=Strict");
    AppendHeaders([
        (header::SET_COOKIE, format!("id={id}; {rest}")),
        (header::SET_COOKIE, format!("secretkey={secret}; {rest}")),
        (header::SET_COOKIE, format!("session={session}; {rest}; HttpOnly")),
    ])
}

async fn log_out(State(site): State<Site>, headers: HeaderMap) -> Result<Response, Failure> {
    check_origin(&headers)?;
    let cleared = cookies([""; 3], 0);
    match caller(&site, &headers).await {
        Ok(session) => {
            site.social.end_session(&session.id).await?;
            let sockets = site.io.to(session_room(&session.id));
            sockets.emit("auth", false);
            sockets.disconnect();
        }
        // Then it is over already.
        Err(error) if error.code() == "unauthenticated" => {}
        Err(error) => return Err(error.into()),
    }
    Ok((StatusCode::NO_CONTENT, cleared).into_response())
}

async fn graphql(
    State(site): State<Site>,
    headers: HeaderMap,
    request: Result<Json<Request>, JsonRejection>,
) -> Result<Json<Answer>, Failure> {
    check_origin(&headers)?;
    let session = caller(&site, &headers).await?;
    let Json(request) = request?;
    Ok(Json(coded(site.api.execute(request.data(session)).await)))
}

/// Whose request it is, by its cookie or, where a program asks, by `authorization`.
async fn caller(site: &Shared, headers: &HeaderMap) -> Result<Session, EventError> {
    let bearer = text(headers, header::AUTHORIZATION).and_then(|all| all.strip_prefix("Bearer "));
    let cookies = text(headers, header::COOKIE).unwrap_or_default();
    let cookie = || cookies.split("; ").find_map(|cookie| cookie.strip_prefix("session="));
    let shown = bearer.or_else(cookie).and_then(|shown| shown.split_once('.'));
    let (id, key) = shown.ok_or_else(unauthenticated)?;
    site.social.session(id, key, Shown::Session).await
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// A page of another host must not act for who looks at it: browsers say whose page it is.
fn check_origin(headers: &HeaderMap) -> Result<(), EventError> {
    let page = text(headers, header::ORIGIN);
    let page = page.map(|origin| origin.split_once("://").unwrap_or_default().1);
    match page {
        Some(page) if Some(page) != text(headers, header::HOST) => {
            Err(EventError::new("bad_origin", "Only for the page of this host."))
        }
        _ => Ok(()),
    }
}

/// Why not, as JSON.
struct Failure(EventError);

impl<E: Into<EventError>> From<E> for Failure {
    fn from(error: E) -> Self {
        let error = error.into();
        let rejection = error.source().and_then(|source| source.downcast_ref::<JsonRejection>());
        Self(match rejection.map(JsonRejection::status) {
            None => error,
            Some(StatusCode::PAYLOAD_TOO_LARGE) => {
                EventError::new("too_large", "This is more than 64 KiB.")
            }
            Some(_) => EventError::new("bad_json", "This is not the JSON that is wanted here."),
        })
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = match self.0.code() {
            "unauthenticated" | "bad_login" => StatusCode::UNAUTHORIZED,
            "bad_origin" => StatusCode::FORBIDDEN,
            "handle_taken" => StatusCode::CONFLICT,
            "too_large" => StatusCode::PAYLOAD_TOO_LARGE,
            "rate_limited" => StatusCode::TOO_MANY_REQUESTS,
            "busy" => StatusCode::SERVICE_UNAVAILABLE,
            "internal_error" => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::UNPROCESSABLE_ENTITY,
        };
        if status == StatusCode::INTERNAL_SERVER_ERROR {
            eprintln!("{}", self.0);
        }
        let (code, message) = (self.0.code(), self.0.message());
        let error = json!({ "error": { "code": code, "message": message } });
        (status, Json(error)).into_response()
    }
}
