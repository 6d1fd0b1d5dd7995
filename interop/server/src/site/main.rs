//! The site of `interop/client` on our own server; its README says what each event does.
//!
//! Usage: `site [OPTION...]`, with the command line of the other sites.

mod options;
mod wires;

use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use roomful::{
    Ack, Args, Beginning, Compression, Flow, Hello, MsgPack, Namespace, Recovery, Refusal, Server,
    Socket,
};
use serde::Serialize;
use serde::ser::{SerializeTuple, Serializer};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;

use crate::options::Options;
use crate::wires::{Wires, lock};

/// What this server cannot do, in the words of the README.
const MISSING: [&str; 2] = ["cut-needs-key", "no-upgrade"];

/// What all sockets share.
struct Site {
    tries: Mutex<HashMap<String, u64>>,
    wires: Arc<Wires>,
}

type Me = Socket<Site, Value>;
type Place = Namespace<Site, Value>;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::read().unwrap_or_else(|error| {
        eprintln!("{error}");
        std::process::exit(2);
    });
    let wires = Arc::new(Wires::default());
    let io = configured(&options, Arc::clone(&wires));
    serve_main(&io.of("/").connect(anybody));
    serve_private(&io.of("/private").connect(known));
    serve_echo(&io.of("/a").connect(anybody));
    serve_echo(&io.of("/b").connect(anybody));
    serve_echo(&io.of_matching(is_numbered).connect(anybody));

    // Clients come in through wires, which can be cut; the server behind them hears of no other.
    let inside = TcpListener::bind(("127.0.0.1", 0)).await?;
    let inside_at = inside.local_addr()?;
    let outside = TcpListener::bind(("127.0.0.1", options.port)).await?;
    let port = outside.local_addr()?.port();
    if let Some(path) = &options.unix {
        drop(tokio::spawn(Arc::clone(&wires).lay_unix(UnixListener::bind(path)?, inside_at)));
    }
    drop(tokio::spawn(wires.lay_tcp(outside, inside_at)));
    println!("{}", json!({ "port": port, "unix": options.unix }));

    tokio::select! {
        () = io.serve_on(inside) => {}
        result = told_to_end() => result?,
    }
    if let Some(path) = &options.unix {
        std::fs::remove_file(path)?;
    }
    // The thread that reads the input cannot be ended otherwise.
    std::process::exit(0);
}

fn configured(options: &Options, wires: Arc<Wires>) -> Server<Site> {
    let mut builder = Server::builder()
        .transports(options.transports)
        .initial_headers(|_, headers| headers.add("set-cookie", "site=1; Path=/"));
    if let Some(interval) = options.ping_interval {
        builder = builder.ping_interval(interval);
    }
    if let Some(timeout) = options.ping_timeout {
        builder = builder.ping_timeout(timeout);
    }
    if let Some(bytes) = options.max_payload {
        builder = builder.payload_bytes_max(bytes);
    }
    if options.msgpack {
        builder = builder.parser(MsgPack);
    }
    if options.deflate {
        builder = builder.compression(Compression::default().threshold(0));
    }
    if options.recovery {
        builder = builder.recovery(Recovery::new());
    }
    let noting = Arc::clone(&wires);
    builder
        .on_request(move |request, _| {
            if let Some(address) = request.address() {
                noting.note(address, request.query("key"), request.query("sid"));
            }
            Flow::Pass
        })
        .state(Site { tries: Mutex::default(), wires })
        .build()
}

/// Waits until the input ends, or until the signal to end comes.
async fn told_to_end() -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let input = async {
        let mut rest = Vec::new();
        tokio::io::stdin().read_to_end(&mut rest).await
    };
    tokio::select! {
        _ = terminate.recv() => Ok(()),
        result = input => result.map(drop),
    }
}

async fn anybody(hello: Hello<Site>) -> Result<Value, Refusal> {
    hello.auth()
}

async fn known(hello: Hello<Site>) -> Result<Value, Refusal> {
    let auth: Value = hello.auth()?;
    if auth["token"] == "letmein" {
        return Ok(auth);
    }
    Err(Refusal::new("not allowed").data(json!({ "code": 401 })))
}

async fn is_numbered(hello: Hello<Site>) -> bool {
    hello.namespace().strip_prefix("/dyn-").is_some_and(|number| {
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

fn greet(io: &Place) {
    io.on_connect(async |me: Me| {
        let query: BTreeMap<_, _> = me.handshake().query_pairs().collect();
        let welcome = json!({
            "id": me.id(),
            "auth": me.data(),
            "headers": { "x-test": me.header("x-test"), "cookie": me.header("cookie") },
            "transport": query.get("transport"),
            "query": query,
            "recovered": matches!(me.recovery(), Beginning::Recovered { .. }),
        });
        me.emit("welcome", welcome);
    });
}

fn serve_private(io: &Place) {
    greet(io);
    io.on("whoami", async |me: Me| me.data()["user"].clone());
}

fn serve_echo(io: &Place) {
    greet(io);
    io.on("echo", async |me: Me, args: Args| {
        let values = args.iter().filter_map(|json| serde_json::from_slice(json).ok());
        let name = Value::from(me.namespace());
        me.emit("echo", Several(std::iter::once(name).chain(values).collect()));
    });
    io.on("ask", async |_: Me, args: Args| args);
}

/// As many arguments as there are values.
struct Several(Vec<Value>);

impl Serialize for Several {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut tuple = serializer.serialize_tuple(self.0.len())?;
        for value in &self.0 {
            tuple.serialize_element(value)?;
        }
        tuple.end()
    }
}

fn serve_main(io: &Place) {
    greet(io);
    io.on("names", async |_: Me| MISSING.to_vec());
    serve_questions(io);
    serve_tries(io);
    serve_rooms(io);
    serve_streams(io);
    serve_ends(io);
}

fn serve_questions(io: &Place) {
    io.on("echo", async |me: Me, args: Args| me.emit("echo", args));
    io.on("ask", async |_: Me, args: Args| args);
    io.on("binary-ask", async |_: Me, args: Args| args);
    io.on("sum", async |_: Me, a: i64, b: i64| a + b);
    io.on("slow", async |_: Me, ms: u64, value: Args| {
        sleep(Duration::from_millis(ms)).await;
        value
    });
    io.on("never", async |_: Me, ack: Ack| drop(ack));
    serve_held(io);
    io.on("question-me", async |me: Me, n: u64| {
        // A question is sent when it is made.
        let questions: Vec<_> = (0..n).map(|i| me.call::<_, _, Value>("question", i)).collect();
        let mut answers = Vec::new();
        for question in questions {
            answers.push(question.timeout(Duration::from_secs(60)).await.unwrap_or_default());
        }
        me.emit("answered", (answers,));
    });
}

fn serve_held(io: &Place) {
    // What is held of each socket, with the answer that it will have.
    let held = Arc::new(Mutex::new(HashMap::<_, Vec<_>>::new()));
    let holding = Arc::clone(&held);
    io.on("hold", move |me: Me, value: Args, ack: Ack| {
        lock(&holding).entry(me.id()).or_default().push((ack, value));
        async {}
    });
    io.on("let-go", move |me: Me| {
        let answers = lock(&held).remove(&me.id()).unwrap_or_default();
        answers.into_iter().for_each(|(ack, value)| ack.send(value));
        async { true }
    });
}

fn serve_tries(io: &Place) {
    io.on("flaky", async |me: Me, key: String, n: u64, value: Value, ack: Ack| {
        let tries = {
            let mut all = lock(&me.state().tries);
            let tries = all.entry(key).or_default();
            *tries += 1;
            *tries
        };
        if tries >= n {
            ack.send(json!({ "value": value, "tries": tries }));
        }
    });
    io.on("seen", async |me: Me, key: String| {
        lock(&me.state().tries).get(&key).copied().unwrap_or_default()
    });
}

fn serve_rooms(io: &Place) {
    io.on("join", async |me: Me, room: String| me.join(room));
    io.on("leave", async |me: Me, room: String| {
        me.leave(room);
        true
    });
    io.on("say", async |me: Me, room: String, text: Args| {
        me.to(room).emit("said", text);
        true
    });
}

fn serve_streams(io: &Place) {
    io.on("burst", async |me: Me, n: u64| {
        (0..n).for_each(|i| me.emit("number", i));
        n
    });
    io.on("volatile-burst", async |me: Me, n: u64| {
        (0..n).for_each(|i| me.emit_volatile("number", i));
        n
    });
    io.on("big", async |me: Me, length: usize| me.emit("big", "x".repeat(length)));
}

fn serve_ends(io: &Place) {
    io.on("leave-me", async |me: Me| me.disconnect());
    io.on("close-me", async |me: Me| me.close());
    io.on("cut-me", async |me: Me| cut(&me));
    // Who is to be sent something when it is lost, and how much.
    let lost: Arc<Mutex<HashMap<_, u64>>> = Arc::default();
    let losing = Arc::clone(&lost);
    io.on("cut-and-send", move |me: Me, n: u64| {
        let losing = Arc::clone(&losing);
        async move {
            me.join(format!("all-of-{}", me.id()));
            lock(&losing).insert(me.id(), n);
            cut(&me);
        }
    });
    io.on_disconnect(move |me: Me, _| {
        let numbers = lock(&lost).remove(&me.id()).unwrap_or_default();
        async move {
            let (id, room) = (me.id().to_string(), format!("all-of-{}", me.id()));
            for i in 0..numbers {
                me.everyone().to(if i % 2 == 0 { &id } else { &room }).emit("number", i);
            }
        }
    });
}

fn cut(me: &Me) {
    me.state().wires.cut(me.query("key"), me.address());
}
