//! What clients tell a server of a cluster to do: see `interop/cluster/README.md`.

use std::collections::BTreeSet;
use std::error::Error;
use std::future::pending;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use roomful::{Args, Broadcast, Hello, Namespace, Refusal, Server, Socket};
use roomful_cluster::Cluster;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value as Json, json};

use crate::value::Value;

pub(crate) struct State {
    pub(crate) name: String,
    pub(crate) cluster: Cluster,
    pub(crate) io: OnceLock<Server<Arc<Self>>>,
}

type Shared = Arc<State>;
type Done = Result<Answer, Box<dyn Error + Send + Sync>>;

/// Events of a burst that are sent at once.
const BURST: usize = 100;
const PATIENCE: Duration = Duration::from_secs(10);

/// Who a client says it is, and the room that it wants to be in.
struct Client {
    name: Json,
    room: Option<String>,
}

/// The server-side events that a namespace has had.
type Seen = Arc<Mutex<Vec<Vec<Value>>>>;

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Answer {
    Ok(Value),
    Error(String),
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Params {
    rooms: Vec<String>,
    except: Vec<String>,
    flags: Flags,
    timeout: u64,
    event: String,
    args: Option<Box<RawValue>>,
    into: Vec<String>,
    from: Vec<String>,
    close: bool,
    count: usize,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Flags {
    volatile: bool,
    local: bool,
    compress: Option<bool>,
}

/// Lets clients in, and does what they say.
pub(crate) fn serve(namespace: &Namespace<Shared>, state: &Shared) {
    let namespace = namespace.connect(async |hello: Hello<Shared>| {
        let auth: Json = hello.auth().unwrap_or_default();
        let room = auth["room"].as_str().map(str::to_owned);
        Ok::<_, Refusal>(Client { name: auth["name"].clone(), room })
    });
    namespace.share_data(|client| json!({ "name": client.name }));
    let seen = Seen::default();
    record(&namespace, &seen, &state.name);
    namespace.on_connect(async |me: Socket<Shared, Client>| {
        if let Some(room) = &me.data().room {
            me.join(room);
        }
    });
    let seen = Arc::clone(&seen);
    namespace.on("do", move |me: Socket<Shared, Client>, args: Args| {
        let seen = Arc::clone(&seen);
        async move {
            match carry_out(&me, &args, &seen).await {
                Ok(answer) => answer,
                Err(error) => Answer::Error(error.to_string()),
            }
        }
    });
}

/// Notes the events of other servers.
fn record(namespace: &Namespace<Shared, Client>, seen: &Seen, name: &str) {
    for event in ["hello", "ask", "mute"] {
        let (seen, name) = (Arc::clone(seen), name.to_owned());
        namespace.on_server_side(event, move |args: Args| {
            let got = Value::all(&args);
            let mut all = vec![Value::Plain(event.into())];
            all.extend(got.iter().cloned());
            seen.lock().unwrap_or_else(PoisonError::into_inner).push(all);
            let answer = [
                ("from".to_owned(), Value::Plain(name.clone().into())),
                ("got".to_owned(), Value::List(got)),
            ];
            async move {
                match event {
                    "mute" => pending().await,
                    _ => Value::Map(answer.into()),
                }
            }
        });
    }
}

async fn carry_out(me: &Socket<Shared, Client>, args: &Args, seen: &Seen) -> Done {
    let op: String = args.get(0)?;
    let json = args.iter().nth(1).unwrap_or(b"{}");
    let params: Params = serde_json::from_slice(json)?;
    let state = me.state();
    let io = state.io.get().ok_or("the server has not begun")?;
    let namespace = io.find(me.namespace()).ok_or("the namespace is gone")?;
    let sent = match &params.args {
        Some(list) => Args::from_json(list.get(), args.attachments().to_vec())?,
        None => Args::default(),
    };
    let to = selection(&namespace, &params);
    let none = || Ok(Answer::Ok(Value::Plain(0.into())));
    let json = |json: Json| Ok(Answer::Ok(Value::Plain(json)));
    match &*op {
        "emit" => {
            flagged(to, &params.flags).emit(&*params.event, sent);
            none()
        }
        "burst" => {
            for number in 0..params.count {
                to.emit(&*params.event, sent.clone());
                // Others have their turn, the task that publishes among them.
                if number % BURST == BURST - 1 {
                    tokio::task::yield_now().await;
                    state.cluster.flush(PATIENCE).await?;
                }
            }
            none()
        }
        "emitAck" => Ok(Answer::Ok(ask(to, &params, sent).await)),
        "fetch" => json(fetched(&to).await),
        "join" => {
            to.join(params.into);
            none()
        }
        "leave" => {
            to.leave(params.from);
            none()
        }
        "disconnect" => {
            if params.close {
                to.close()
            } else {
                to.disconnect()
            }
            none()
        }
        "serverSide" => {
            namespace.server_side_emit(&*params.event, sent)?;
            none()
        }
        "serverSideAck" => {
            let answers: roomful::NodeAnswers<Args> =
                namespace.server_side_call(&*params.event, sent).await?;
            let missing = answers.nodes_missing();
            let error = (missing > 0).then(|| format!("missing {missing} responses"));
            let list = answers.iter().map(Value::first).collect();
            let pairs = [("answers", Value::List(list)), ("error", Value::Plain(error.into()))];
            Ok(Answer::Ok(Value::Map(pairs.map(|(key, value)| (key.to_owned(), value)).into())))
        }
        "serverSeen" => {
            let seen = seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
            Ok(Answer::Ok(Value::List(seen.into_iter().map(Value::List).collect())))
        }
        "serverCount" => json(state.cluster.nodes(me.namespace()).await?.into()),
        "rooms" => {
            let sockets = namespace.everyone().local().sockets().await;
            let rooms: BTreeSet<_> = sockets.iter().flat_map(|socket| socket.rooms()).collect();
            json(json!(rooms))
        }
        "me" => {
            // The others reach it when the engine knows of its rooms.
            state.cluster.flush(PATIENCE).await?;
            json(json!(me.id()))
        }
        _ => Err(format!("there is no operation {op}").into()),
    }
}

fn selection(namespace: &Namespace<Shared>, params: &Params) -> Broadcast {
    let to = match &*params.rooms {
        [] => namespace.everyone(),
        rooms => namespace.to(rooms),
    };
    if params.except.is_empty() { to } else { to.except(&*params.except) }
}

fn flagged(to: Broadcast, flags: &Flags) -> Broadcast {
    let to = if flags.volatile { to.volatile() } else { to };
    let to = if flags.local { to.local() } else { to };
    match flags.compress {
        Some(compress) => to.compress(compress),
        None => to,
    }
}

async fn ask(to: Broadcast, params: &Params, sent: Args) -> Value {
    let mut answers =
        to.timeout(Duration::from_millis(params.timeout)).call::<_, _, Args>(&*params.event, sent);
    let mut all = Vec::new();
    while let Some((_, answer)) = answers.next().await {
        all.extend(answer.ok().map(|args| Value::first(&args)));
    }
    all.sort_by_cached_key(|answer| serde_json::to_string(answer).unwrap_or_default());
    let missing = answers.missing() + answers.nodes_missing();
    let error = (missing > 0).then(|| "operation has timed out".to_owned());
    let pairs = [
        ("answers", Value::List(all)),
        ("error", Value::Plain(error.into())),
        ("missing", Value::Plain(missing.into())),
    ];
    Value::Map(pairs.map(|(key, value)| (key.to_owned(), value)).into())
}

async fn fetched(to: &Broadcast) -> Json {
    let mut sockets = Vec::from_iter(to.sockets().await);
    sockets.sort_by_key(|socket| socket.id().to_string());
    let told = sockets.iter().map(|socket| {
        let mut rooms = socket.rooms().to_vec();
        rooms.sort();
        let handshake = socket.handshake();
        json!({
            "id": socket.id(),
            "rooms": rooms,
            "data": socket.data::<Json>(),
            "query": handshake.query("tag"),
            "secure": handshake.is_secure(),
        })
    });
    told.collect()
}
