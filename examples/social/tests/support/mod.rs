//! The built program on either database, the people in it, and pages of theirs that are no browsers.

pub mod postgres;

use std::future::IntoFuture;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use roomful_client::{Events, Manager, Reconnection, Socket, Status, ToArgs, Transport};
use serde_json::{Value, json};
use sqlx::any::AnyPoolOptions;

/// How long anything may take before a test fails.
const PATIENCE: Duration = Duration::from_secs(20);

pub const PASSWORD: &str = "correct horse battery";

pub async fn soon<T>(future: impl IntoFuture<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future.into_future()).await.expect("it takes too long")
}

#[derive(Clone, Copy, PartialEq)]
pub enum Kind {
    Sqlite,
    Postgres,
}

/// A network on a port of its own, with data of its own.
pub struct App {
    child: Child,
    directory: PathBuf,
    env: Vec<(&'static str, String)>,
    pub database: String,
    pub address: String,
}

impl App {
    pub async fn start(kind: Kind) -> Self {
        Self::start_with(kind, &[]).await
    }

    pub async fn start_with(kind: Kind, env: &[(&'static str, &str)]) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("roomful-social-{}-{count}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&directory).unwrap();
        let mut env: Vec<_> =
            env.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        let database = match kind {
            Kind::Sqlite => format!("sqlite://{}/social.db", directory.display()),
            Kind::Postgres => postgres::database(&format!("social_{count}")).await,
        };
        // SQLite is what there is without it.
        if kind == Kind::Postgres {
            env.push(("DATABASE_URL", database.clone()));
        }
        let (child, address) = launch(&directory, &env, "0");
        Self { child, directory, env, database, address }
    }

    /// Stops it where it is, so that it answers nobody any more.
    pub fn freeze(&self) {
        self.signal("-STOP");
    }

    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it again with the same data at the same address.
    pub fn start_again(&mut self) {
        let port = self.address.rsplit(':').next().unwrap().to_owned();
        (self.child, self.address) = launch(&self.directory, &self.env, &port);
    }

    /// Asks it to end, and says how it did.
    pub async fn terminate(&mut self) -> ExitStatus {
        self.signal("-TERM");
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(began.elapsed() < PATIENCE, "it does not end");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }

    /// What is answered to a request: its status, its head, and its body.
    pub fn http(&self, request: &str, headers: &str, body: &str) -> (u16, String, String) {
        http(&self.address, request, headers, body).unwrap()
    }

    /// The answer to JSON: its status, its head, and its own JSON.
    pub fn post(&self, path: &str, headers: &str, body: &Value) -> (u16, String, Value) {
        let headers = format!("content-type: application/json\r\n{headers}");
        let (status, head, body) = self.http(&format!("POST {path}"), &headers, &body.to_string());
        (status, head, serde_json::from_str(&body).unwrap_or(Value::Null))
    }

    /// Signs somebody up.
    pub fn person(&self, handle: &str) -> Person {
        let body = json!({ "handle": handle, "name": handle.to_uppercase(), "password": PASSWORD });
        let (status, head, answer) = self.post("/api/signup", "", &body);
        assert_eq!(status, 200, "{answer}");
        self.entered(handle, &head)
    }

    /// Another session of somebody: a phone.
    pub fn log_in(&self, handle: &str) -> Person {
        let body = json!({ "handle": handle, "password": PASSWORD });
        let (status, head, answer) = self.post("/api/login", "", &body);
        assert_eq!(status, 200, "{answer}");
        self.entered(handle, &head)
    }

    fn entered(&self, handle: &str, head: &str) -> Person {
        let cookie = |name| cookie(head, name).split(';').next().unwrap().to_owned();
        let address = self.address.clone();
        let (id, secretkey, session) = (cookie("id"), cookie("secretkey"), cookie("session"));
        Person { address, handle: handle.to_owned(), id, secretkey, session }
    }

    /// A socket that has not said whose it is.
    pub async fn stranger(&self) -> Tab {
        let tab = Tab::new(&self.address);
        soon(tab.socket.connect()).await.unwrap();
        tab
    }

    /// What a browser does that polls, with nothing in between: a request, and its answer.
    pub fn poll(&self, method: &str, sid: &str, body: &str) -> String {
        let session = if sid.is_empty() { "" } else { "&sid=" };
        let request = format!("{method} /socket.io/?EIO=4&transport=polling{session}{sid}");
        let (status, _, body) = self.http(&request, "", body);
        assert_eq!(status, 200, "{body}");
        body
    }

    /// What is in the database: the columns of rows, all as text.
    pub async fn rows(&self, select: &str) -> Vec<String> {
        sqlx::any::install_default_drivers();
        let pool = AnyPoolOptions::new().max_connections(1).connect(&self.database).await.unwrap();
        let rows = sqlx::query_scalar(select).fetch_all(&pool).await.unwrap();
        pool.close().await;
        rows
    }

    /// The sockets in the table, of people that are there.
    pub async fn sockets(&self) -> Vec<String> {
        self.rows("SELECT socket FROM sockets JOIN people ON people.id = person").await
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.kill();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn launch(directory: &Path, env: &[(&'static str, String)], port: &str) -> (Child, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_social"))
        .env_remove("DATABASE_URL")
        .env_remove("SESSION_SECONDS")
        .env("WEB", directory)
        .env("DATA", directory)
        .env("HOST", "127.0.0.1")
        .env("PORT", port)
        .envs(env.iter().map(|(name, value)| (name, value)))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let kind = lines.next().expect("what it uses").unwrap();
    let expected = if env.iter().any(|(name, _)| *name == "DATABASE_URL") {
        "everything is kept in PostgreSQL"
    } else {
        "everything is kept in SQLite"
    };
    assert_eq!(kind, expected);
    let line = lines.next().expect("where it listens").unwrap();
    let address = line.strip_prefix("listening on http://").expect("where it listens");
    (child, address.to_owned())
}

/// What is answered to a request, if there is somebody to answer.
fn http(
    address: &str,
    request: &str,
    headers: &str,
    body: &str,
) -> std::io::Result<(u16, String, String)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let length = body.len();
    let head = format!(
        "{request} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n"
    );
    // A body that is too large is not read to its end, so the rest of it may not be taken.
    let _ = stream.write_all(format!("{head}{body}").as_bytes());
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let broken = || std::io::Error::other("the answer is not complete");
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(broken)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let length = head
        .to_lowercase()
        .split_once("content-length: ")
        .and_then(|(_, rest)| rest.lines().next()?.trim().parse::<usize>().ok());
    if length.is_some_and(|length| body.len() < length) {
        return Err(broken());
    }
    Ok((status.ok_or_else(broken)?, head.to_owned(), body.to_owned()))
}

/// The value of a cookie that is set, with its attributes.
pub fn cookie<'a>(head: &'a str, name: &str) -> &'a str {
    let set = |line: &'a str| line.strip_prefix(&format!("set-cookie: {name}="));
    head.lines().find_map(set).unwrap_or_else(|| panic!("no cookie {name}: {head}"))
}

pub fn code(answer: &Value) -> &str {
    answer["error"]["code"].as_str().unwrap_or_else(|| panic!("no error: {answer}"))
}

/// Somebody with a session.
#[derive(Clone)]
pub struct Person {
    address: String,
    pub handle: String,
    pub id: String,
    pub secretkey: String,
    pub session: String,
}

pub const PERSON: &str = "handle name followers following isFollowed followsMe";
pub const MESSAGE: &str = "id chat from to text at key";

impl Person {
    pub fn cookies(&self) -> String {
        let Self { id, secretkey, session, .. } = self;
        format!("cookie: id={id}; secretkey={secretkey}; session={session}\r\n")
    }

    /// The answer to GraphQL, if there is somebody to answer: its status, and its JSON.
    pub fn try_ask(&self, query: &str, variables: &Value) -> std::io::Result<(u16, Value)> {
        let headers = format!("content-type: application/json\r\n{}", self.cookies());
        let body = json!({ "query": query, "variables": variables }).to_string();
        let (status, _, answer) = http(&self.address, "POST /graphql", &headers, &body)?;
        Ok((status, serde_json::from_str(&answer).map_err(std::io::Error::other)?))
    }

    /// The data that is answered.
    pub fn ask(&self, query: &str, variables: Value) -> Value {
        let (status, mut answer) = self.try_ask(query, &variables).unwrap();
        assert_eq!((status, &answer["errors"]), (200, &Value::Null), "{query}");
        answer["data"].take()
    }

    /// The code of the error that is answered.
    pub fn refused(&self, query: &str, variables: Value) -> String {
        let (status, answer) = self.try_ask(query, &variables).unwrap();
        assert_eq!(status, 200, "{query}: {answer}");
        let error = &answer["errors"][0];
        assert!(error["message"].as_str().is_some_and(|message| message.len() > 8), "{answer}");
        error["extensions"]["code"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    pub fn follow(&self, handle: &str, follow: impl Into<Value>) -> Value {
        let query = format!(
            "mutation ($h: String!, $f: Boolean) \
             {{ followUnfollowUser(handle: $h, follow: $f) {{ {PERSON} }} }}"
        );
        self.ask(&query, json!({ "h": handle, "f": follow.into() }))["followUnfollowUser"].take()
    }

    pub fn post(&self, text: &str, key: &str) -> Value {
        let post = self.ask(POST, json!({ "t": text, "k": key }))["post"].take();
        assert_eq!(post["text"], text);
        post
    }

    pub fn send(&self, to: &str, text: &str, key: &str) -> Value {
        self.ask(SEND, json!({ "to": to, "t": text, "k": key }))["sendMessage"].take()
    }

    /// The texts of the feed, the newest first.
    pub fn feed(&self) -> Vec<String> {
        let data = self.ask("{ feed { text } }", Value::Null);
        data["feed"].as_array().unwrap().iter().map(|post| post["text"].to_string()).collect()
    }

    /// The chat with somebody, with its messages.
    pub fn chat(&self, with: &str) -> Value {
        let query = format!(
            "query ($w: String!) {{ chat(with: $w) {{ id unread with {{ handle }} \
             last {{ {MESSAGE} }} messages {{ {MESSAGE} }} }} }}"
        );
        self.ask(&query, json!({ "w": with }))["chat"].take()
    }

    /// A page of theirs, which says so again when it comes back.
    pub async fn tab(&self) -> Tab {
        let mut tab = Tab::new(&self.address);
        let claim = self.claim();
        tab.socket.on_connect(move |page: Socket| {
            page.emit("initialConnection", &claim);
            std::future::ready(())
        });
        soon(tab.socket.connect()).await.unwrap();
        assert_eq!(tab.hears("auth").await, true);
        tab
    }

    pub fn claim(&self) -> Value {
        json!({ "id": self.id, "secretkey": self.secretkey })
    }
}

pub const POST: &str = "mutation ($t: String!, $k: String!) \
    { post(text: $t, key: $k) { id text at author { handle isFollowed } } }";
pub const SEND: &str = "mutation ($to: String!, $t: String!, $k: String!) \
    { sendMessage(to: $to, text: $t, key: $k) { id chat from to text at key } }";

/// The name of an event, and what it says.
fn named(event: Value) -> (String, Value) {
    match event {
        Value::String(name) => (name, Value::Null),
        Value::Object(event) => event.into_iter().next().unwrap(),
        other => panic!("no event: {other}"),
    }
}

/// A page, as far as its socket goes, and all that it hears.
pub struct Tab {
    pub socket: Socket,
    heard: Events<Value>,
}

impl Tab {
    fn new(address: &str) -> Self {
        let builder = Manager::builder(&format!("http://{address}")).unwrap();
        let often = Reconnection::every(Duration::from_millis(50));
        let socket = builder.reconnection(often).build().unwrap().socket("/");
        // What comes before an ack is in the stream before whoever waits for the ack goes on.
        let heard = socket.all_events();
        Self { socket, heard }
    }

    /// The next that it hears, whose name that must be.
    pub async fn hears(&mut self, name: &str) -> Value {
        let (heard, value) = self.hears_any().await;
        assert_eq!(heard, name, "{value}");
        value
    }

    pub async fn hears_any(&mut self) -> (String, Value) {
        named(soon(self.heard.next()).await.unwrap().unwrap())
    }

    /// How much it has heard of which nobody has asked yet.
    pub fn heard(&mut self) -> usize {
        std::iter::from_fn(|| self.has_come()).count()
    }

    /// The next of what has come already.
    fn has_come(&mut self) -> Option<(String, Value)> {
        match pin!(self.heard.next()).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(event) => Some(named(event.unwrap().unwrap())),
            Poll::Pending => None,
        }
    }

    /// Waits until it hears that, whatever comes before it.
    pub async fn comes_to_hear(&mut self, name: &str, is: impl Fn(&Value) -> bool) {
        loop {
            let (heard, value) = self.hears_any().await;
            if heard == name && is(&value) {
                return;
            }
        }
    }

    /// It is on a WebSocket, and the server knows so. Until then what is volatile may find no poll that waits,
    /// and be dropped.
    pub async fn is_upgraded(&mut self) {
        let mut transport = self.socket.manager().watch_transport();
        let upgraded = transport.wait_for(|transport| *transport == Some(Transport::WebSocket));
        soon(upgraded).await.unwrap();
        self.hears_nothing().await;
    }

    /// It is at the server that runs now, which knows whose page it is: only then is it answered so.
    pub async fn is_back(&self) {
        let nothing = json!({ "id": "nothing" });
        let back = async {
            while self.socket.call("unsubscribe", &nothing).await.ok()
                != Some(json!({ "ok": null }))
            {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        soon(back).await;
    }

    /// What is answered to an event.
    pub async fn call(&self, event: &str, args: impl ToArgs) -> Value {
        soon(self.socket.call(event, args)).await.unwrap()
    }

    /// Nothing more has come of all that was sent to it until now: the answer comes behind it.
    pub async fn hears_nothing(&mut self) {
        assert_eq!(
            self.call("unsubscribe", json!({ "id": "nothing" })).await,
            json!({ "ok": null })
        );
        self.has_heard_nothing();
    }

    pub fn has_heard_nothing(&mut self) {
        if let Some((name, value)) = self.has_come() {
            panic!("it has heard {name}: {value}");
        }
    }

    /// It is told no and disconnected.
    pub async fn is_turned_away(&mut self) {
        assert_eq!(self.hears("auth").await, false);
        self.is_out().await;
    }

    pub async fn is_out(&mut self) {
        let Status::Disconnected(why) = soon(self.socket.closed()).await else {
            panic!("it is still there");
        };
        assert_eq!(why.reason.to_string(), "io server disconnect");
        self.has_heard_nothing();
    }

    pub async fn subscribe(&self, id: &str, query: &str) -> Value {
        self.call("subscribe", json!({ "id": id, "query": query })).await
    }
}
