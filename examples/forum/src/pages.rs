//! The pages: HTML that is complete without a script, and what they are made of.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Form, Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{MethodRouter, get};
use axum::{Extension, Json, Router};
use roomful::{EventError, Limiter, PeerAddress, Rate};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::live::Io;
use crate::posts::{Draft, POSTS_MAX, Post, Topic, now_ms, publish};
use crate::visitors;

/// Nothing but what comes from here: no script of anybody else's, even where a post had got one in.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
const FORM_BYTES_MAX: usize = 32 * 1024;
/// How fast an address may post by forms. Pages with a script post by their sockets.
const FORM_RATE: Rate = Rate::per_second(20);

#[derive(Clone)]
struct Site {
    io: Io,
    forms: Arc<Limiter<IpAddr>>,
}

pub(crate) fn router(io: Io) -> Router {
    let script = "text/javascript";
    Router::new()
        .route("/", get(list))
        .route("/topics/{id}", get(topic).post(say))
        .route("/api/posts", get(posts_since))
        .route("/forum.css", file("text/css", include_str!("../web/forum.css")))
        .route("/forum.mjs", file(script, include_str!("../web/forum.mjs")))
        .route("/meter.mjs", file(script, include_str!("../web/meter.mjs")))
        .route("/icon.svg", file("image/svg+xml", include_str!("../web/icon.svg")))
        .fallback(async || Failure(EventError::new("no_page", "There is no such page.")))
        .layer(DefaultBodyLimit::max(FORM_BYTES_MAX))
        .layer(io.origin_layer())
        .with_state(Site { io, forms: Arc::new(Limiter::new(FORM_RATE)) })
}

fn file(kind: &'static str, text: &'static str) -> MethodRouter<Site> {
    get(async move || ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-cache")], text))
}

async fn list(State(site): State<Site>, headers: HeaderMap) -> Result<Response, Failure> {
    let topics = site.io.state().posts.topics(None).await?;
    let seen = topics.iter().map(|topic| topic.last_id).max().unwrap_or_default();
    let topics: String = topics.iter().map(topic_item).collect();
    let main = format!(r#"<h1>Topics</h1><ul id="topics" class="topics">{topics}</ul>"#);
    page(&site, &headers, "Topics", &format!(r#"data-seen="{seen}""#), &main).await
}

fn topic_item(Topic { id, title, about, posts, last, .. }: &Topic) -> String {
    let (title, about, last) = (escape(title), escape(about), escape(last));
    format!(
        r#"<li class="topic" data-id="{id}" data-testid="topic">
          <h2><a href="/topics/{id}">{title}</a></h2>
          <p class="about">{about}</p>
          <p class="last">{last}</p>
          <p class="count"><b data-testid="count">{posts}</b> posts</p></li>"#
    )
}

#[derive(Deserialize)]
struct Older {
    before: Option<i64>,
}

async fn topic(
    State(site): State<Site>,
    Path(id): Path<i64>,
    Query(Older { before }): Query<Older>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let topic = site.io.state().posts.topic(id).await?;
    let posts = site.io.state().posts.before(before.unwrap_or(i64::MAX), id).await?;
    let (first, last) =
        (posts.first().map_or(0, |post| post.id), posts.last().map_or(0, |post| post.id));
    let main = format!(
        include_str!("../web/topic.html"),
        id = id,
        title = escape(&topic.title),
        about = escape(&topic.about),
        older = if posts.len() < POSTS_MAX { "hidden" } else { "" },
        first = first,
        empty = if posts.is_empty() { "" } else { "hidden" },
        posts = posts.iter().map(post_item).collect::<String>(),
        key = site.io.state().posts.random().await?,
    );
    let attributes = match before {
        None => format!(r#"data-topic="{id}" data-seen="{last}""#),
        // Old posts are not live.
        Some(_) => "data-old".to_owned(),
    };
    page(&site, &headers, &topic.title, &attributes, &main).await
}

fn post_item(Post { id, name, text, key, time, date, .. }: &Post) -> String {
    let (name, text) = (escape(name), escape(text));
    format!(
        r#"<li class="post" id="post-{id}" data-key="{key}" data-testid="post">
          <p class="by"><bdi class="name">{name}</bdi> <time data-time="{time}">{date}</time></p>
          <p class="text">{text}</p></li>"#
    )
}

/// What a form says, of a page without a script.
async fn say(
    State(Site { io, forms }): State<Site>,
    Path(topic): Path<i64>,
    Extension(PeerAddress(peer)): Extension<PeerAddress>,
    Form(draft): Form<Draft>,
) -> Result<Redirect, Failure> {
    let taken = forms.take_of(peer.ip());
    taken.map_err(|_| EventError::new("rate_limited", "Too many at once. Try again."))?;
    let post = publish(Arc::clone(io.state()), io.everyone(), topic, draft).await?;
    Ok(Redirect::to(&format!("/topics/{topic}#post-{}", post.id)))
}

#[derive(Deserialize)]
struct Since {
    since: i64,
    topic: Option<i64>,
}

async fn posts_since(
    State(site): State<Site>,
    Query(Since { since, topic }): Query<Since>,
) -> Result<Json<Value>, Failure> {
    let posts = site.io.state().posts.since(since, topic).await?;
    let more = posts.len() == POSTS_MAX;
    Ok(Json(json!({ "time": now_ms(), "posts": posts, "more": more })))
}

/// A page, and the cookie that makes whoever sees it a visitor.
async fn page(
    Site { io, .. }: &Site,
    headers: &HeaderMap,
    title: &str,
    attributes: &str,
    main: &str,
) -> Result<Response, Failure> {
    let html = format!(
        include_str!("../web/page.html"),
        title = escape(title),
        attributes = attributes,
        visitors = io.state().visitors.count(),
        main = main,
    );
    let page = (
        [(header::CONTENT_SECURITY_POLICY, POLICY), (header::CACHE_CONTROL, "private, no-cache")],
        Html(html),
    );
    let cookies = headers.get(header::COOKIE).and_then(|cookies| cookies.to_str().ok());
    if cookies.is_some_and(visitors::are_in) {
        return Ok(page.into_response());
    }
    let visitor = io.state().posts.random().await?;
    let cookie = format!("visitor={visitor}; Path=/; Max-Age=31536000; HttpOnly; SameSite=Lax");
    Ok(([(header::SET_COOKIE, cookie)], page).into_response())
}

/// Why there is no page, as a page.
struct Failure(EventError);

impl<E: Into<EventError>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = match self.0.code() {
            "no_topic" | "no_page" => StatusCode::NOT_FOUND,
            "rate_limited" => StatusCode::TOO_MANY_REQUESTS,
            _ if self.0.is_internal() => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::UNPROCESSABLE_ENTITY,
        };
        let html = format!(include_str!("../web/failure.html"), why = escape(self.0.message()));
        (status, [(header::CONTENT_SECURITY_POLICY, POLICY)], Html(html)).into_response()
    }
}

/// Text of somebody's, as HTML shows it, between tags and in attributes.
fn escape(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    text.replace('"', "&quot;").replace('\'', "&#39;")
}
