//! What of the forum is real time: the sockets of its pages.

use std::sync::Arc;
use std::time::Duration;

use roomful::{
    ConnectionFlow, EventError, EventFlow, Hello, OneEvent, Rate, Reason, Refusal, Server, Socket,
};
use serde::Deserialize;
use serde_json::json;

use crate::posts::{Draft, Post, now_ms, publish};
use crate::{Forum, visitors};

pub(crate) type Io = Server<Arc<Forum>>;
type PageSocket = Socket<Arc<Forum>, Page>;

/// The room of the pages with the list of topics.
pub(crate) const LIST: &str = "list";
/// Bytes of an event. A post has up to 2,000 characters, of up to 4 bytes or 6 where JSON escapes them.
const EVENT_BYTES_MAX: usize = 16 * 1024;
/// Whoever has vanished counts as a visitor for so long.
const PING_TIMEOUT: Duration = Duration::from_secs(5);
/// How fast a socket may post.
const POST_RATE: Rate = Rate::per_second(1).burst(10);
/// The least time between two counts of visitors.
const COUNT_PAUSE: Duration = Duration::from_millis(200);

/// The room of the pages that show a topic.
pub(crate) fn room(topic: i64) -> String {
    format!("topic {topic}")
}

/// What a page says as it connects: its topic, unless it is the list of topics.
#[derive(Deserialize)]
struct Opening {
    topic: Option<i64>,
}

/// What is remembered of it. A program that is no browser is no visitor.
struct Page {
    topic: Option<i64>,
    visitor: Option<String>,
}

/// How it is connected.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Transport {
    Polling,
    WebSocket,
}

/// The Socket.IO server, with all its events.
pub(crate) fn server(forum: Arc<Forum>) -> Io {
    let flow = ConnectionFlow::new().handlers_max(16).rate(Rate::per_second(20).burst(200));
    let io = Server::builder()
        .state(forum)
        .payload_bytes_max(4 * EVENT_BYTES_MAX)
        .ping_timeout(PING_TIMEOUT)
        .connection_flow(flow)
        .build();
    let pages = io.connect(enter);
    let flow = EventFlow::new().args_bytes_max(EVENT_BYTES_MAX);
    pages.event_flow(flow.event("post_from_client", OneEvent::new().rate(POST_RATE)));
    pages.on_connect(greet).on_disconnect(part);
    pages.on("event_from_client", async |_: PageSocket, _: Transport| now_ms());
    pages.on("post_from_client", post);
    io
}

async fn enter(hello: Hello<Arc<Forum>>) -> Result<Page, Refusal> {
    let Opening { topic } = hello.auth()?;
    if let Some(id) = topic {
        hello.state().posts.topic(id).await?;
    }
    let visitor = hello.cookie("visitor").filter(|id| visitors::is_id(id)).map(str::to_owned);
    Ok(Page { topic, visitor })
}

async fn greet(me: PageSocket) {
    let Page { topic, visitor } = me.data();
    me.join(topic.map_or_else(|| LIST.to_owned(), room));
    let visitors = &me.state().visitors;
    if let Some(visitor) = visitor {
        visitors.arrive(visitor);
    }
    let greeting = json!({ "time": now_ms(), "visitors": visitors.count(), "topic": topic });
    me.emit("event_from_server", greeting);
}

async fn part(me: PageSocket, _: Reason) {
    if let Some(visitor) = me.data().visitor.clone() {
        visitors::leave_soon(Arc::clone(me.state()), visitor);
    }
}

async fn post(
    me: PageSocket,
    topic: i64,
    text: String,
    key: String,
    name: Option<String>,
) -> Result<Post, EventError> {
    publish(Arc::clone(me.state()), me.everyone(), topic, Draft { text, key, name }).await
}

/// Tells all pages how many visitors there are, when that changes.
pub(crate) async fn tell_visitors(io: Io) {
    let (mut changes, mut told) = (io.state().visitors.watch(), 0);
    while changes.changed().await.is_ok() {
        let count = changes.borrow_and_update().len();
        if count != told {
            io.everyone().latest("visitors").emit("visitors", count);
            told = count;
        }
        tokio::time::sleep(COUNT_PAUSE).await;
    }
}
