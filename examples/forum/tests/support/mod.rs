//! The built program, and pages of it that are no browsers.

use std::future::IntoFuture;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use roomful_client::{EventError, Events, Manager, Socket, ToArgs};
use serde::Deserialize;
use serde_json::{Value, json};

/// How long anything may take before a test fails.
const PATIENCE: Duration = Duration::from_secs(20);

pub async fn soon<T>(future: impl IntoFuture<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future.into_future()).await.expect("it takes too long")
}

/// A forum on a port of its own, with data of its own.
pub struct App {
    child: Child,
    directory: PathBuf,
    pub address: String,
}

impl App {
    pub fn start() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let directory = std::env::temp_dir().join(format!("roomful-forum-{name}"));
        std::fs::create_dir_all(&directory).unwrap();
        let (child, address) = launch(&directory, "0");
        Self { child, directory, address }
    }

    /// Kills it as a crash would, and starts it again with the same data at the same address.
    pub fn crash_and_start_again(&mut self) {
        self.kill();
        let port = self.address.rsplit(':').next().unwrap().to_owned();
        (self.child, self.address) = launch(&self.directory, &port);
    }

    fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A page of a topic, or the list of topics, with a cookie or without.
    pub fn socket(&self, topic: impl Into<Value>, visitor: Option<&str>) -> Socket {
        let mut builder = Manager::builder(&self.url()).unwrap();
        if let Some(visitor) = visitor {
            builder = builder.header("cookie", &format!("a=b; visitor={visitor}")).unwrap();
        }
        let socket = builder.build().unwrap().socket("/");
        let topic = topic.into();
        socket.auth(json!({ "topic": topic })).unwrap();
        socket
    }

    /// As [`socket`](Self::socket), connected and greeted.
    pub async fn page(&self, topic: impl Into<Value>) -> Page {
        self.page_of(topic, None).await
    }

    pub async fn page_of(&self, topic: impl Into<Value>, visitor: Option<&str>) -> Page {
        let socket = self.socket(topic, visitor);
        let (updates, visitors) = (socket.events("post_update"), socket.events("visitors"));
        let mut greetings = socket.events::<_, Value>("event_from_server");
        soon(socket.connect()).await.unwrap();
        let greeting = soon(greetings.next()).await.unwrap().unwrap();
        Page { socket, updates, visitors, greeting }
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
        (head.to_owned(), body.to_owned())
    }

    pub fn get(&self, path: &str) -> String {
        self.http(&format!("GET {path}"), "", "").1
    }

    /// The texts of all posts of a topic.
    pub fn texts(&self, topic: i64) -> Vec<String> {
        let answer: Answer =
            serde_json::from_str(&self.get(&format!("/api/posts?since=0&topic={topic}"))).unwrap();
        answer.posts.into_iter().map(|post| post.text).collect()
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.kill();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn launch(directory: &PathBuf, port: &str) -> (Child, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_forum"))
        .env("DATA", directory)
        .env("HOST", "127.0.0.1")
        .env("PORT", port)
        .env_remove("DATABASE_URL")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("listening on http://").expect("where it listens");
    (child, address.to_owned())
}

#[derive(Debug, Deserialize)]
pub struct Answer {
    pub posts: Vec<Post>,
    pub more: bool,
}

#[derive(Debug, Deserialize, PartialEq)]
pub struct Post {
    pub id: i64,
    pub topic: i64,
    pub name: String,
    pub text: String,
    pub key: String,
}

pub struct Page {
    pub socket: Socket,
    pub updates: Events<Post>,
    pub visitors: Events<usize>,
    pub greeting: Value,
}

impl Page {
    pub async fn say(&self, topic: i64, text: &str, key: &str) -> Result<Post, EventError> {
        soon(self.socket.call("post_from_client", (topic, text, key, "ann"))).await.unwrap()
    }

    /// What is answered to a post whose arguments are these.
    pub async fn say_anything(&self, args: impl ToArgs) -> Value {
        soon(self.socket.call("post_from_client", args)).await.unwrap()
    }

    pub async fn update(&mut self) -> Post {
        soon(self.updates.next()).await.unwrap().unwrap()
    }

    /// Waits until it hears that there are so many visitors.
    pub async fn hears_of_visitors(&mut self, count: usize) {
        while soon(self.visitors.next()).await.unwrap().unwrap() != count {}
    }
}
