//! The fixture that `interop/node` judges; its README says what each event does.

mod polls;

use std::collections::HashMap;
use std::env;
use std::error::Error;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use roomful::{
    Ack, Args, Beginning, CallError, Compression, Cookie, Hello, HttpCompression, MsgPack,
    Namespace, Origins, Reason, Recovery, Refusal, Server, Socket,
};
use roomful_cluster::{Cluster, Redis, RedisSessionBus, RedisStreams};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, Semaphore};
use tokio::time::sleep;

const ODD_NAMES: [&str; 6] =
    ["with \"quotes\"", "back\\slash", "line\nbreak", "schön 雪 😀", "a,b/c-1[2]", ""];

type Me = Socket<(), Session>;

/// What is remembered of a socket.
#[derive(Default)]
struct Session {
    auth: Value,
    kept: Mutex<Option<Args>>,
    counters: Mutex<HashMap<String, u64>>,
    streaming: AtomicBool,
    streamed: AtomicU64,
    stop: Notify,
}

/// Where clients of `/slow` wait that have said until when.
static GATES: LazyLock<Mutex<HashMap<String, Arc<Semaphore>>>> = LazyLock::new(Mutex::default);

fn main() -> Result<(), Box<dyn Error>> {
    let mut builder = runtime::Builder::new_multi_thread();
    let runtime = builder.enable_all().on_thread_park(polls::settle).build()?;
    runtime.block_on(serve())
}

async fn serve() -> Result<(), Box<dyn Error>> {
    let io = configured().await?;
    offer(&io.of("/").connect(anybody));
    offer(&io.of("/a").connect(anybody));
    offer(&io.of("/b").connect(anybody));
    offer(&io.of("/slow").connect(slowly));
    offer(&io.of("/admin").connect(admin));

    // Nodes of one program behind one address, which clients must not notice.
    let others: Vec<_> = (1..number("NODES")?.unwrap_or(1)).map(|_| io.node()).collect();
    let port = number("PORT")?.unwrap_or(0);
    let listener = TcpListener::bind(("127.0.0.1", u16::try_from(port)?)).await?;
    let mut terminate = signal(SignalKind::terminate())?;
    println!("listening on http://{}", listener.local_addr()?);
    let close = async {
        terminate.recv().await;
        io.close().await;
    };
    tokio::join!(io.serve_nodes_on(listener), close);
    drop(others);
    Ok(())
}

async fn configured() -> Result<Server, Box<dyn Error>> {
    let mut builder =
        Server::builder().close_timeout(Duration::from_secs(2)).on_request(polls::watch);
    if let Some(ms) = number("PING_INTERVAL")? {
        builder = builder.ping_interval(Duration::from_millis(ms));
    }
    if let Some(ms) = number("PING_TIMEOUT")? {
        builder = builder.ping_timeout(Duration::from_millis(ms));
    }
    if let Some(ms) = number("CONNECT_TIMEOUT")? {
        builder = builder.connect_timeout(Duration::from_millis(ms));
    }
    if let Some(bytes) = number("MAX_PAYLOAD")? {
        builder = builder.payload_bytes_max(usize::try_from(bytes)?);
    }
    if let Some(ms) = number("RECOVERY")? {
        let recovery = Recovery::builder().window(Duration::from_millis(ms));
        builder = builder.recovery(recovery.build());
    }
    if let Some(bytes) = number("DEFLATE")? {
        let threshold = usize::try_from(bytes)?;
        builder = builder.compression(Compression::default().threshold(threshold));
    }
    if let Some(bytes) = number("HTTP_COMPRESSION")? {
        let threshold = usize::try_from(bytes)?;
        builder = builder.http_compression(HttpCompression::default().threshold(threshold));
    }
    if let Ok(origin) = env::var("ORIGIN") {
        let any = origin == "*";
        builder = builder.origins(if any { Origins::Any } else { Origins::List(vec![origin]) });
    }
    if let Ok(name) = env::var("COOKIE") {
        builder = builder.cookie(Cookie::new().name(&name));
    }
    if let Ok(url) = env::var("CLUSTER_URL") {
        // Several clusters share a Redis.
        let key = env::var("CLUSTER_KEY")?;
        // Where clients may come back they may do so to any node.
        let adapter = if number("RECOVERY")?.is_some() {
            Cluster::connect(RedisStreams::new(&url)?.stream_name(&key)).await?
        } else {
            Cluster::connect(Redis::new(&url)?.key(&key)).await?
        };
        let bus = RedisSessionBus::connect(&url).await?.channel_prefix(&key);
        // The machine may be busy with other tests.
        let patience = Duration::from_secs(10);
        builder = builder.adapter(adapter).session_bus(bus).session_lookup_timeout(patience);
    }
    match env::var("PARSER").as_deref() {
        Ok("msgpack") => builder = builder.parser(MsgPack),
        Ok(other) => return Err(format!("PARSER={other}: only msgpack is known").into()),
        Err(_) => {}
    }
    let is_set = |name: &str| env::var(name).is_ok_and(|value| value == "1");
    Ok(builder.allow_eio3(is_set("ALLOW_EIO3")).jsonp(is_set("JSONP")).build())
}

fn number(name: &str) -> Result<Option<u64>, Box<dyn Error>> {
    match env::var(name) {
        Ok(text) => Ok(Some(text.parse().map_err(|e| format!("{name}={text}: {e}"))?)),
        Err(_) => Ok(None),
    }
}

async fn anybody(hello: Hello) -> Result<Session, Refusal> {
    Ok(Session { auth: hello.auth()?, ..Session::default() })
}

async fn slowly(hello: Hello) -> Result<Session, Refusal> {
    let auth: Value = hello.auth()?;
    match auth["until"].as_str() {
        Some(key) => drop(gate(key).acquire().await),
        None => sleep(Duration::from_millis(500)).await,
    }
    anybody(hello).await
}

/// The same for both who come to it: who waits, and who lets them in.
fn gate(key: &str) -> Arc<Semaphore> {
    let closed = || Arc::new(Semaphore::new(0));
    Arc::clone(lock(&GATES).entry(key.to_owned()).or_insert_with(closed))
}

async fn admin(hello: Hello) -> Result<Session, Refusal> {
    let auth: Value = hello.auth()?;
    if auth["token"] == "letmein" {
        return anybody(hello).await;
    }
    Err(Refusal::new("not allowed").data(json!({ "code": 401, "hint": "bad token" })))
}

fn offer(io: &Namespace<(), Session>) {
    // What was kept comes back, as it does with the official server.
    io.carry_over(|old, new| {
        new.kept = Mutex::new(lock(&old.kept).take());
        new.counters = Mutex::new(std::mem::take(&mut *lock(&old.counters)));
    });
    io.on_connect(async |me: Me| {
        me.emit("welcome", json!({ "id": me.id(), "auth": me.data().auth }));
    });
    io.on_disconnect(async |me: Me, reason: Reason| {
        me.data().stop.notify_one();
        me.to("watch").emit("left", (me.id(), reason.as_str()));
    });
    offer_echoes(io);
    offer_questions(io);
    offer_rooms(io);
    offer_streams(io);
    offer_state(io);
}

fn offer_echoes(io: &Namespace<(), Session>) {
    io.on("echo", async |me: Me, args: Args| me.emit("echo", args));
    io.on("echo-plain", async |me: Me, args: Args| me.compress(false).emit("echo", args));
    let is_clustered = env::var_os("CLUSTER_URL").is_some();
    io.on("echo-ack", move |me: Me, args: Args| async move {
        if is_clustered && args.get::<String>(0).is_ok_and(|text| text == "fence") {
            // What other nodes have sent before they answer has come before that.
            drop(me.everyone().to("nobody is here").sockets().await);
        }
        args
    });
    for name in ODD_NAMES {
        io.on(name, async |_: Me, args: Args| args);
    }
    io.on("wait", async |_: Me, ms: u64, value: Args| {
        sleep(Duration::from_millis(ms)).await;
        value
    });
}

fn offer_questions(io: &Namespace<(), Session>) {
    io.on("ask", async |me: Me, args: Args| {
        ask(&me, "question", args, Duration::from_secs(5)).await;
    });
    io.on("ask-silent", async |me: Me, ms: u64| {
        ask(&me, "question-silent", Args::default(), Duration::from_millis(ms)).await;
    });
    io.on("ask-room", async |me: Me, room: String, ms: u64| {
        let timeout = Duration::from_millis(ms);
        let mut answers = me.everyone().to(room).timeout(timeout).call::<_, _, Value>("poll", ());
        let mut all = Vec::new();
        while let Some((_, answer)) = answers.next().await {
            all.push(answer.unwrap_or_default());
        }
        json!({ "answers": all, "missing": answers.missing() })
    });
}

async fn ask(me: &Me, event: &str, args: Args, timeout: Duration) {
    match me.call::<_, _, Args>(event, args).timeout(timeout).await {
        Ok(answer) => me.emit("answer", answer),
        Err(CallError::Timeout) => me.emit("answer-error", "timeout"),
        Err(error) => me.emit("answer-error", error.to_string()),
    }
}

fn offer_rooms(io: &Namespace<(), Session>) {
    io.on("join", async |me: Me, room: String| me.join(room));
    io.on("leave", async |me: Me, room: String| {
        me.leave(room);
        true
    });
    io.on("say", async |me: Me, room: String, event: String, args: Args| {
        me.everyone().to(room).emit(event, args);
        true
    });
    io.on("say-volatile", async |me: Me, room: String, event: String, args: Args| {
        me.everyone().to(room).volatile().emit(event, args);
        true
    });
    io.on("say-rooms", async |me: Me, rooms: Vec<String>, event: String, args: Args| {
        let to = rooms.into_iter().fold(me.everyone(), |to, room| to.to(room));
        to.emit(event, args);
        true
    });
    io.on("say-others", async |me: Me, room: String, event: String, args: Args| {
        me.to(room).emit(event, args);
        true
    });
    io.on("say-except", async |me: Me, room: String, except: String, event: String, args: Args| {
        me.everyone().to(room).except(except).emit(event, args);
        true
    });
    io.on("say-all", async |me: Me, event: String, args: Args| {
        me.everyone().emit(event, args);
        true
    });
    io.on("rooms", async |me: Me| me.rooms());
    io.on("members", async |me: Me, room: String| {
        let members = me.everyone().to(room).sockets().await;
        members.iter().map(|socket| socket.id()).collect::<Vec<_>>()
    });
}

fn offer_streams(io: &Namespace<(), Session>) {
    io.on("burst", async |me: Me, n: u64| {
        (0..n).for_each(|i| me.emit("tick", i));
        n
    });
    io.on("burst-volatile", async |me: Me, n: u64| {
        (0..n).for_each(|i| me.emit_volatile("tick", i));
        n
    });
    io.on("stream", async |me: Me, ms: u64| {
        me.data().streaming.store(true, Ordering::SeqCst);
        while me.is_connected() {
            let stopped = me.data().stop.notified();
            if tokio::time::timeout(Duration::from_millis(ms), stopped).await.is_ok() {
                return;
            }
            if me.data().streaming.load(Ordering::SeqCst) {
                me.emit("tick", me.data().streamed.fetch_add(1, Ordering::SeqCst));
            }
        }
    });
    io.on("stream-stop", async |me: Me, ack: Ack| {
        me.data().streaming.store(false, Ordering::SeqCst);
        me.data().stop.notify_one();
        ack.send(me.data().streamed.load(Ordering::SeqCst));
    });
}

fn offer_state(io: &Namespace<(), Session>) {
    io.on("count", async |me: Me, key: String| {
        let mut counters = lock(&me.data().counters);
        let counter = counters.entry(key).or_default();
        *counter += 1;
        *counter
    });
    io.on("drop-first", async |me: Me, key: String, ack: Ack| {
        let attempts = {
            let mut counters = lock(&me.data().counters);
            let attempts = counters.entry(format!("drop-first {key}")).or_default();
            *attempts += 1;
            *attempts
        };
        if attempts > 1 {
            ack.send(attempts);
        }
    });
    io.on("release", async |_: Me, key: String| {
        gate(&key).add_permits(1);
        true
    });
    io.on("recovered", async |me: Me| matches!(me.recovery(), Beginning::Recovered { .. }));
    io.on("set-data", async |me: Me, value: Args| {
        *lock(&me.data().kept) = Some(value);
        true
    });
    io.on("get-data", async |me: Me, ack: Ack| match lock(&me.data().kept).clone() {
        Some(kept) => ack.send(kept),
        None => ack.send(Value::Null),
    });
    io.on("kick", async |me: Me, close: bool| if close { me.close() } else { me.disconnect() });
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
