//! The built program, and pages of it that are no browsers.

use std::future::IntoFuture;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use roomful_client::{EventError, Events, Manager, Socket, ToArgs};
use serde::Deserialize;
use serde_json::{Value, json};
use sqlx::sqlite::SqlitePool;

/// How long anything may take before a test fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// The origin of a page that is allowed beside those of the same host.
pub const WEB_ORIGIN: &str = "http://localhost:5173";

pub async fn soon<T>(future: impl IntoFuture<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future.into_future()).await.expect("it takes too long")
}

/// The code of an error, in an ack or in an answer of HTTP.
pub fn code(answer: &Value) -> &str {
    answer["error"]["code"].as_str().unwrap_or_else(|| panic!("no error: {answer}"))
}

/// A server on a port of its own, with data of its own.
pub struct App {
    child: Child,
    output: BufReader<ChildStdout>,
    directory: PathBuf,
    session_seconds: u32,
    pub address: String,
}

impl App {
    pub fn start() -> Self {
        Self::with_sessions_of(600)
    }

    pub fn with_sessions_of(session_seconds: u32) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let directory = std::env::temp_dir().join(format!("roomful-collab-{name}"));
        std::fs::create_dir_all(directory.join("web")).unwrap();
        std::fs::write(directory.join("web/index.html"), "<title>the page</title>").unwrap();
        let (child, output, address) = launch(&directory, "0", session_seconds);
        Self { child, output, directory, session_seconds, address }
    }

    /// What it has stored.
    pub async fn database(&self) -> SqlitePool {
        let path = self.directory.join("collab.db");
        SqlitePool::connect(&format!("sqlite://{}", path.display())).await.unwrap()
    }

    /// The next line that it prints.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line
    }

    /// Stops it where it is, so that it answers nobody any more.
    pub fn freeze(&self) {
        self.signal("-STOP");
    }

    /// Kills it as a crash would, and starts it again with the same data at the same address.
    pub fn crash_and_start_again(&mut self) {
        self.kill();
        self.start_again();
    }

    /// Stops it as whoever installs a new version does, which must end well, and starts it again.
    pub fn stop_and_start_again(&mut self) {
        self.signal("-TERM");
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
        self.start_again();
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    fn start_again(&mut self) {
        let port = self.address.rsplit(':').next().unwrap().to_owned();
        (self.child, self.output, self.address) =
            launch(&self.directory, &port, self.session_seconds);
    }

    fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// What is answered to a request: its head, and its body.
    pub fn http(&self, request: &str, headers: &str, body: &str) -> (String, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let (host, length) = (&self.address, body.len());
        let head = format!(
            "{request} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n"
        );
        stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.to_lowercase(), body.to_owned())
    }

    /// The status and the JSON that is answered to a session, or to nobody.
    pub fn ask(&self, request: &str, session: &str, body: &str) -> (u16, Value) {
        let json = "content-type: application/json\r\n";
        let headers = format!("{json}cookie: a=b; collab_session={session}\r\n");
        let (head, body) = self.http(request, &headers, body);
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(&body).unwrap_or_default())
    }

    /// A session with the documents of these states: what its cookie has.
    pub fn log_in(&self, name: &str, states: &[&str]) -> String {
        let mut session = String::new();
        for state in states {
            let body = json!({ "name": name, "code": format!("{state}-demo") }).to_string();
            let headers =
                format!("content-type: application/json\r\ncookie: collab_session={session}\r\n");
            let (head, _) = self.http("POST /api/session", &headers, &body);
            assert!(head.starts_with("http/1.1 200"), "{head}");
            if let Some((_, rest)) = head.split_once("set-cookie: collab_session=") {
                rest.split(';').next().unwrap().clone_into(&mut session);
            }
        }
        session
    }

    /// A socket of a session, which has it in a cookie as browsers have.
    pub fn socket(&self, session: &str) -> Socket {
        let builder = Manager::builder(&format!("http://{}", self.address)).unwrap();
        let cookie = format!("a=b; collab_session={session}");
        builder.header("cookie", &cookie).unwrap().build().unwrap().socket("/")
    }

    /// As that, connected.
    pub async fn page_of(&self, session: &str) -> Page {
        let socket = self.socket(session);
        // What comes before an ack is in the stream before whoever waits for the ack goes on.
        let (all, heard) = (socket.all_events(), Vec::new());
        let (joins, changes) = (socket.events("join"), socket.events("changed"));
        let (presence, expired) = (socket.events("presence"), socket.events("session-expired"));
        soon(socket.connect()).await.unwrap();
        let session = session.to_owned();
        Page { socket, joins, changes, presence, expired, all, heard, session }
    }

    /// A page that has the document of a state open, which is there.
    pub async fn page(&self, name: &str, state: &str) -> Page {
        let page = self.page_of(&self.log_in(name, &[state])).await;
        let joined = page.ask("join", json!({ "room": state })).await;
        assert_eq!(joined["ok"]["room"], state, "{joined}");
        let create = json!({ "state": state, "key": format!("created-by-{name}") });
        let created = page.ask("createAPD", create).await;
        assert_eq!(created["ok"]["state"], state, "{created}");
        page
    }

    /// What a document says.
    pub fn document(&self, page: &Page, state: &str) -> Document {
        let (status, answer) = self.ask(&format!("GET /api/documents/{state}"), &page.session, "");
        assert_eq!((status, &answer["state"]), (200, &json!(state)), "{answer}");
        serde_json::from_value(answer).unwrap()
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.kill();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn launch(
    directory: &Path,
    port: &str,
    session_seconds: u32,
) -> (Child, BufReader<ChildStdout>, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_collab"))
        .env("DATA", directory)
        .env("WEB", directory.join("web"))
        .env("WEB_ORIGIN", WEB_ORIGIN)
        .env("SESSION_SECONDS", session_seconds.to_string())
        .env("HOST", "127.0.0.1")
        .env("PORT", port)
        .env_remove("DATABASE_URL")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("listening on http://").expect("where it listens");
    let address = address.to_owned();
    (child, output, address)
}

#[derive(Debug, Deserialize, PartialEq)]
pub struct Document {
    pub version: i64,
    pub fields: std::collections::BTreeMap<String, Field>,
}

#[derive(Debug, Deserialize, PartialEq)]
pub struct Field {
    pub value: Value,
    pub version: i64,
    pub by: String,
    pub at: i64,
}

#[derive(Debug, Deserialize, PartialEq)]
pub struct Edited {
    pub field: String,
    pub version: i64,
    pub before: Value,
}

pub struct Page {
    pub socket: Socket,
    pub session: String,
    pub joins: Events<String>,
    pub changes: Events<Value>,
    pub presence: Events<Value>,
    pub expired: Events<()>,
    /// All events, whatever they are.
    all: Events<Value>,
    heard: Vec<String>,
}

impl Page {
    pub fn id(&self) -> String {
        self.socket.id().unwrap()
    }

    /// The ack of an event.
    pub async fn ask(&self, event: &str, args: impl ToArgs) -> Value {
        soon(self.socket.call(event, args)).await.unwrap()
    }

    pub async fn edit(
        &self,
        state: &str,
        field: &str,
        value: impl Into<Value>,
        base: i64,
        key: &str,
    ) -> Result<Edited, EventError> {
        let value: Value = value.into();
        let edit =
            json!({ "state": state, "field": field, "value": value, "base": base, "key": key });
        soon(self.socket.call("editAPD", edit)).await.unwrap()
    }

    pub async fn change(&mut self) -> Value {
        soon(self.changes.next()).await.unwrap().unwrap()
    }

    /// Waits until it is told that these are in its room: name, section and field of each.
    pub async fn sees(&mut self, people: Value) {
        loop {
            let presence = soon(self.presence.next()).await.unwrap().unwrap();
            let list = presence["people"].as_array().unwrap();
            let short =
                |person: &Value| json!([person["name"], person["section"], person["field"]]);
            let mut seen: Vec<_> = list.iter().map(short).collect();
            seen.sort_by_key(Value::to_string);
            if Value::from(seen) == people {
                return;
            }
        }
    }

    /// All that it has heard of these events until now, the answer to an event of its own included: what was
    /// sent to it before has come before that.
    pub async fn heard(&mut self) -> &[String] {
        let focus: Value = self.ask("focus", json!({})).await;
        assert_eq!(focus, json!({ "ok": null }));
        while let Poll::Ready(event) =
            pin!(self.all.next()).poll(&mut Context::from_waker(Waker::noop()))
        {
            self.heard.push(match event.unwrap().unwrap() {
                Value::Object(event) => {
                    let (name, value) = event.into_iter().next().unwrap();
                    format!("{name} {value}")
                }
                name => name.to_string(),
            });
        }
        &self.heard
    }
}
