//! The sockets of people's pages: who they are, what they hear, and what they may send.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_graphql::parser::types::{OperationDefinition, OperationType, Selection};
use async_graphql::{Positioned, Request, Response as Answer, Variables};
use futures_util::{FutureExt as _, StreamExt as _};
use parking_lot::Mutex;
use roomful::{
    Args, ConnectionFlow, EventError, EventFlow, Hello, OneEvent, Rate, Reason, Refusal, Server,
    Socket,
};
use serde::Deserialize;
use serde_json::json;
use tokio::task::AbortHandle;

use crate::graphql::coded;
use crate::sessions::{FOR_SOCKETS, Session, unauthenticated};
use crate::social::{Result, Social};

pub(crate) type Io = Server<Arc<Social>>;
type PageSocket = Socket<Arc<Social>, Page>;

/// Bytes of an event.
const EVENT_BYTES_MAX: usize = 16 * 1024;
/// How long a socket may wait before it says whose it is.
const IDENTIFY_TIMEOUT: Duration = Duration::from_secs(10);
/// The pause before the database is asked again that was away.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
const CONNECTIONS_MAX: usize = 10_000;
const SUBSCRIPTIONS_MAX: usize = 5;
const INITIAL_CONNECTION: &str = "initialConnection";

/// The room of all sockets of a person.
pub(crate) fn room(person: i64) -> String {
    format!("person {person}")
}

/// The room of those that a session has let in.
fn session_room(session: &str) -> String {
    format!("session {session}")
}

/// What is remembered of a socket: nothing, until it has said whose it is.
#[derive(Default)]
struct Page {
    session: OnceLock<Session>,
    subscriptions: Mutex<HashMap<String, AbortHandle>>,
}

impl Page {
    fn session(&self) -> Result<&Session> {
        self.session.get().ok_or_else(unauthenticated)
    }

    fn end_subscriptions(&self) {
        for (_, subscription) in self.subscriptions.lock().drain() {
            subscription.abort();
        }
    }
}

/// The Socket.IO server, with all its events. What does not answer holds a stop up for `stop_timeout`.
pub(crate) fn server(social: Arc<Social>, stop_timeout: Duration) -> Io {
    let flow = ConnectionFlow::new().handlers_max(16).rate(Rate::per_second(20).burst(100));
    let io = Server::builder()
        .state(social)
        .payload_bytes_max(4 * EVENT_BYTES_MAX)
        .ping_interval(Duration::from_secs(10))
        .ping_timeout(Duration::from_secs(5))
        .stop_timeout(stop_timeout)
        .connection_flow(flow)
        .connections_max(CONNECTIONS_MAX)
        .build();
    let pages = io.connect(async |_: Hello<Arc<Social>>| Ok::<_, Refusal>(Page::default()));
    // What a page sends behind it waits until it is known whose page it is.
    let initial = OneEvent::new().rate(Rate::per_second(1).burst(5)).ordered(true);
    let typing_rate = OneEvent::new().rate(Rate::per_second(2));
    let flow = EventFlow::new().args_bytes_max(EVENT_BYTES_MAX);
    pages.event_flow(flow.event(INITIAL_CONNECTION, initial).event("typing", typing_rate));
    pages.on_connect(async |me: PageSocket| me.expire_after(IDENTIFY_TIMEOUT));
    pages.on_expire(async |me: PageSocket| turn_away(&me));
    pages.on_disconnect(part);
    pages.before(only_known).on_error(note);
    pages.on(INITIAL_CONNECTION, initial_connection).on("typing", typing);
    pages.on("subscribe", subscribe).on("unsubscribe", unsubscribe);
    io
}

/// Says no. It is the last that this client hears: it leaves all rooms before.
fn turn_away(me: &PageSocket) {
    me.data().end_subscriptions();
    me.leave(me.rooms());
    me.emit("auth", false);
    me.disconnect();
}

/// The same to all sockets of a session that is over. What is told to people is told in turns, so nothing is
/// on its way to them meanwhile.
pub(crate) async fn turn_away_all(io: &Io, session: &str) -> Result<()> {
    let _turn = io.state().turn.lock().await;
    for each in io.to(session_room(session)).sockets().await {
        if let Some(page) = each.local_data::<Page>() {
            page.end_subscriptions();
        }
        each.leave(each.rooms());
        each.emit("auth", false);
        each.disconnect();
    }
    Ok(())
}

async fn only_known(me: PageSocket, event: String, args: Args) -> Result<Args> {
    if event != INITIAL_CONNECTION {
        me.data().session()?;
    }
    Ok(args)
}

/// An event has come to nothing, such as arguments that do not fit or are too large.
fn note(me: &PageSocket, event: &str, error: &EventError) {
    let is_ours = error.is_internal();
    if is_ours {
        eprintln!("{event}: {error}");
    }
    // Whoever asks too often is not answered for it.
    if event == INITIAL_CONNECTION && error.code() != "rate_limited" {
        // Nobody knows whose it is: its page may connect again.
        if is_ours { me.close() } else { turn_away(me) }
    }
}

/// What a page shows to prove whose it is.
#[derive(Deserialize)]
struct Claim {
    id: String,
    secretkey: String,
}

/// The session that a page shows. Nobody is told no because the database is away: it is asked again.
async fn session(me: &PageSocket, claim: &Claim) -> Result<Session> {
    loop {
        match me.state().session(&claim.id, &claim.secretkey, FOR_SOCKETS).await {
            Err(error) if error.code() == "internal_error" && me.is_connected() => {
                eprintln!("{INITIAL_CONNECTION}: {error}");
                me.expire_after(IDENTIFY_TIMEOUT);
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            answer => return answer,
        }
    }
}

async fn initial_connection(me: PageSocket, claim: Claim) -> Result<()> {
    let (social, page) = (me.state(), me.data());
    let session = session(&me, &claim).await?;
    if let Some(known) = page.session.get() {
        if known.person != session.person {
            return Err(unauthenticated());
        }
        if known.id == session.id {
            me.expire_after(session.left());
            me.emit("auth", true);
            return Ok(());
        }
    }
    // First the room, then the look whether the session is still there: a logout in between finds one
    // or the other.
    me.join(session_room(&session.id));
    if !social.add_socket(me.id(), &session).await? {
        return Err(unauthenticated());
    }
    me.expire_after(session.left());
    let person = room(session.person);
    let _ = page.session.set(session);
    if me.join(person) {
        me.emit("auth", true);
    } else {
        // It has gone meanwhile.
        social.remove_socket(me.id()).await?;
    }
    Ok(())
}

async fn part(me: PageSocket, _: Reason) {
    if me.data().session.get().is_some()
        && let Err(error) = me.state().remove_socket(me.id()).await
    {
        eprintln!("a socket stays in the table until the next start: {error}");
    }
}

#[derive(Deserialize)]
struct Typing {
    to: String,
}

async fn typing(me: PageSocket, Typing { to }: Typing) -> Result<()> {
    let session = me.data().session()?;
    let partner = me.state().partner(session.person, &to).await?;
    me.to(room(partner)).volatile().emit("typing", json!({ "from": session.handle }));
    Ok(())
}

/// A subscription in GraphQL, and how the page calls it.
#[derive(Deserialize)]
struct Wanted {
    id: String,
    query: String,
    #[serde(default)]
    variables: Variables,
}

async fn subscribe(me: PageSocket, wanted: Wanted) -> Result<()> {
    let Wanted { id, query, variables } = wanted;
    if id.is_empty() || id.len() > 40 {
        return Err(EventError::new("bad_id", "An id of a subscription has 1 to 40 bytes."));
    }
    let bad_query = |why: String| EventError::new("bad_query", why);
    let request = Request::new(query).variables(variables);
    let mut request = request.data(me.data().session()?.clone()).data(Arc::clone(me.state()));
    let asked = request.parsed_query().map_err(|error| bad_query(error.to_string()))?;
    for (_, asks) in asked.operations.iter() {
        let OperationDefinition { ty, selection_set, .. } = &asks.node;
        if *ty != OperationType::Subscription {
            return Err(bad_query("Only subscriptions: ask the rest at /graphql.".to_owned()));
        }
        // Each of its fields would be a subscription that nobody counts.
        let is_field = |only: &Positioned<Selection>| matches!(only.node, Selection::Field(_));
        if !matches!(&selection_set.node.items[..], [only] if is_field(only)) {
            return Err(bad_query("A subscription has one field.".to_owned()));
        }
    }
    let mut subscriptions = me.data().subscriptions.lock();
    if subscriptions.contains_key(&id) {
        return Err(EventError::new("id_used", "Another subscription has this id."));
    }
    if subscriptions.len() >= SUBSCRIPTIONS_MAX {
        return Err(EventError::new("too_many", "No more than five at once."));
    }
    let mut answers = me.state().api.execute_stream(request).peekable();
    // What is wrong with a query is known at once.
    let first = Pin::new(&mut answers).peek().now_or_never().flatten();
    if let Some(error) = first.and_then(|first| first.errors.first()) {
        return Err(bad_query(error.message.clone()));
    }
    let (page, name) = (me.clone(), id.clone());
    let telling = tokio::spawn(async move {
        let telling = async {
            // It ends when something goes wrong, too: the page subscribes again and asks for what it missed.
            while let Some(answer) = answers.next().await.map(coded).filter(Answer::is_ok) {
                page.emit("next", json!({ "id": name, "data": answer.data }));
            }
        };
        tokio::select! {
            () = page.disconnected() => {}
            () = telling => {}
        }
        let mut subscriptions = page.data().subscriptions.lock();
        // Its id may be that of another by now.
        if subscriptions.get(&name).is_some_and(|own| own.id() == tokio::task::id()) {
            subscriptions.remove(&name);
            page.emit("complete", json!({ "id": name }));
        }
    });
    subscriptions.insert(id, telling.abort_handle());
    Ok(())
}

#[derive(Deserialize)]
struct Unwanted {
    id: String,
}

async fn unsubscribe(me: PageSocket, Unwanted { id }: Unwanted) -> Result<()> {
    if let Some(subscription) = me.data().subscriptions.lock().remove(&id) {
        subscription.abort();
    }
    Ok(())
}
