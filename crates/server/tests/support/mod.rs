//! A raw client: exact bytes out, and what comes back taken apart, at three levels. [`Conn`] is
//! HTTP, [`Ws`] is a WebSocket, [`Client`] and [`Poller`] speak Socket.IO.
//!
//! Nothing here waits for time to pass: each wait is for something to happen, and gives up after
//! [`PATIENCE`].
#![allow(dead_code, reason = "each test program uses its part of this")]

pub mod proxy;
pub mod random;
pub mod returner;

use std::collections::VecDeque;
use std::future::Future;
use std::net::SocketAddr;
use std::ops::Deref;
use std::os::fd::AsFd;
use std::time::Duration;

use bytes::Bytes;
use roomful::{Broadcast, EmitError, Emitted, Server, Socket, Stats};
use roomful_proto::SocketId;
use roomful_proto::ws::frame::{self, Opcode};
use roomful_proto::ws::{Decoder, Message, Role};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// How long anything may take before the test fails. Long, so that a busy machine fails nothing.
pub const PATIENCE: Duration = Duration::from_secs(20);

const MASK: [u8; 4] = [0x12, 0x34, 0x56, 0x78];
pub const POLLING: &str = "/socket.io/?EIO=4&transport=polling";
pub const WEBSOCKET: &str = "/socket.io/?EIO=4&transport=websocket";
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// Waits for something that must happen.
pub async fn within<F: Future>(future: F) -> F::Output {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(output) => output,
        Err(_) => panic!("nothing happened for {PATIENCE:?}"),
    }
}

/// Waits until `condition` holds. For numbers that nobody announces, such as those of `stats()`.
pub async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let looking = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let happened = tokio::time::timeout(PATIENCE, looking).await;
    assert!(happened.is_ok(), "never: {what}");
}

/// A server that serves.
pub struct Running<A = ()> {
    pub io: Server<A>,
    pub address: SocketAddr,
    pub serving: JoinHandle<()>,
    /// The other nodes, where the test runs over a cluster: `NODES=2`.
    pub others: Vec<Server<A>>,
}

impl<A> Deref for Running<A> {
    type Target = Server<A>;

    fn deref(&self) -> &Server<A> {
        &self.io
    }
}

impl<A: Send + Sync + 'static> Running<A> {
    /// All nodes.
    pub fn nodes(&self) -> impl Iterator<Item = &Server<A>> {
        [&self.io].into_iter().chain(&self.others)
    }

    /// What all nodes have counted.
    pub fn stats(&self) -> Stats {
        self.nodes().map(|io| io.stats()).reduce(|all, one| all + one).unwrap()
    }

    /// The sockets in `/`, of all nodes.
    pub fn len(&self) -> usize {
        self.nodes().map(|io| io.len()).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A socket in `/`, of whichever node.
    pub fn socket(&self, id: SocketId) -> Option<Socket<A>> {
        self.nodes().find_map(|io| io.socket(id))
    }

    /// The ids of a selection of sockets in `/`, of all nodes.
    pub fn ids(&self, select: impl Fn(&Server<A>) -> Broadcast) -> Vec<SocketId> {
        self.nodes().flat_map(|io| select(io).local_ids()).collect()
    }

    /// A namespace has ended at all nodes.
    pub async fn has_ended(&self, namespace: &str) {
        until("the namespace ended", || self.nodes().all(|io| io.find(namespace).is_none())).await;
    }

    /// An event has gone to so many clients. How many of these are at the node that has sent it nobody knows
    /// where there are several.
    pub fn has_emitted(&self, emitted: Result<Emitted, EmitError>, count: usize) {
        let local = emitted.unwrap().local;
        assert!(if self.others.is_empty() { local == count } else { local <= count });
    }
}

impl<A: Send + Sync + 'static> Running<A> {
    /// The server still serves a new client, and when all are gone nothing is left of them.
    pub async fn is_unharmed(&self) {
        let mut client = Ws::upgrade(self.address, WEBSOCKET).await;
        assert!(client.text().await.starts_with("0{"));
        client.send_text("40").await;
        assert!(client.text().await.starts_with("40{\"sid\""));
        client.send_text("41").await;
        client.close().await;
        drop(client);
        self.is_empty_again().await;
    }

    /// Nothing is left of any client.
    pub async fn is_empty_again(&self) {
        until("all connections gone", || self.stats().connections == 0).await;
        assert_eq!(self.len(), 0, "ghosts in the namespace");
        assert_eq!(self.ids(|io| io.everyone()), []);
        let stats = self.stats();
        assert_eq!(stats.opened, stats.closed, "{stats:?}");
    }

    pub async fn ws(&self) -> Ws {
        Ws::upgrade(self.address, WEBSOCKET).await
    }

    /// A WebSocket whose open packet was read.
    pub async fn opened(&self) -> Ws {
        let mut ws = self.ws().await;
        assert!(ws.text().await.starts_with("0{"));
        ws
    }

    /// A client in `/`.
    pub async fn client(&self) -> Client {
        let mut client = Client::open(self.address).await;
        let joined = client.join("/", "").await;
        client.id = joined.expect("let in");
        client
    }

    pub async fn poller(&self) -> Poller {
        Poller::open(self.address).await
    }
}

/// Whether the test runs over a cluster, and is not to: why is printed.
pub fn is_for_one_node(why: &str) -> bool {
    let clustered = std::env::var("NODES").is_ok_and(|nodes| nodes != "1");
    if clustered {
        println!("not over a cluster: {why}");
    }
    clustered
}

/// The socket of a client in `/`.
pub fn socket_of(server: &Running, client: &Client) -> Socket {
    server.socket(SocketId::parse(&client.id).unwrap()).unwrap()
}

/// Whatever was sent to the client before this has arrived, and there was nothing: an `echo` answers.
pub async fn hears_nothing(client: &mut Client) {
    assert_eq!(client.ask("echo", "0").await, json!([0]));
}

/// Bytes of memory that the process has (Linux).
pub fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4_096
}

/// So much time passes at once. Whatever is to come before it must have been seen.
pub async fn passes(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

/// Where a server serves by itself, and where it is a layer in another.
pub async fn in_both_ways<A: Send + Sync + 'static>(server: &Running<A>) -> [SocketAddr; 2] {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = axum::Router::new().layer(server.io.layer());
    drop(tokio::spawn(async move { axum::serve(listener, router).await }));
    [server.address, address]
}

/// Serves on a free port. With `NODES=2` it is two nodes behind one address, with clients at each in turn.
pub async fn start<A: Send + Sync + 'static>(io: Server<A>) -> Running<A> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let count = std::env::var("NODES").map_or(1, |nodes| nodes.parse().unwrap());
    let others: Vec<_> = (1..count).map(|_| io.node()).collect();
    let server = io.clone();
    let serving = tokio::spawn(async move { server.serve_nodes_on(listener).await });
    Running { io, address, serving, others }
}

/// An HTTP connection.
pub struct Conn<S = TcpStream> {
    pub stream: S,
    /// What was read and not yet used.
    pub input: Vec<u8>,
}

#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(n, _)| n == name);
        let value = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "{name} twice: {self:?}");
        value
    }

    /// All values of a header that may come several times.
    pub fn headers(&self, name: &str) -> Vec<&str> {
        let found = self.headers.iter().filter(|(n, _)| n == name);
        found.map(|(_, value)| value.as_str()).collect()
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a text")
    }
}

impl Conn {
    pub async fn open(address: SocketAddr) -> Self {
        let stream = within(TcpStream::connect(address)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self::over(stream)
    }

    /// A second handle of the stream, to write with while this one reads.
    pub fn writer(&self) -> TcpStream {
        let own = self.stream.as_fd().try_clone_to_owned().unwrap();
        TcpStream::from_std(std::net::TcpStream::from(own)).unwrap()
    }

    /// Ends the connection by a reset.
    pub fn reset(self) {
        self.stream.set_zero_linger().unwrap();
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Conn<S> {
    pub fn over(stream: S) -> Self {
        Self { stream, input: Vec::new() }
    }

    /// Sends bytes. That the peer has gone already is no failure of the test: it reads why.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = within(self.stream.write_all(bytes.as_ref())).await;
    }

    /// Reads more; `false` at the end, be it in order or by a reset.
    pub async fn fill(&mut self) -> bool {
        matches!(within(self.stream.read_buf(&mut self.input)).await, Ok(1..))
    }

    /// The next response; `None` when the connection ends instead.
    pub async fn try_response(&mut self) -> Option<Response> {
        let head_len = loop {
            if let Some(at) = self.input.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            if !self.fill().await {
                return None;
            }
        };
        let head: Vec<u8> = self.input.drain(..head_len).collect();
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().unwrap();
        let status = status.split(' ').nth(1).unwrap().parse().unwrap();
        let headers: Vec<_> = lines
            .map(|line| line.split_once(':').unwrap())
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let mut response = Response { status, headers, body: Vec::new() };
        let len = match (response.header("content-length"), status) {
            (_, 101 | 204 | 304) => 0,
            (Some(len), _) => len.parse().unwrap(),
            (None, _) => panic!("a response without a length: {response:?}"),
        };
        while self.input.len() < len {
            if !self.fill().await {
                return None;
            }
        }
        response.body = self.input.drain(..len).collect();
        Some(response)
    }

    pub async fn response(&mut self) -> Response {
        self.try_response().await.expect("a response")
    }

    /// The status of a response that has neither headers nor a body.
    pub async fn response_head(&mut self) -> u16 {
        while !self.input.ends_with(b"\r\n\r\n") {
            assert!(self.fill().await);
        }
        let head = String::from_utf8(std::mem::take(&mut self.input)).unwrap();
        head.split(' ').nth(1).unwrap().parse().unwrap()
    }

    /// Reads on until the peer ends the connection.
    pub async fn ended(&mut self) {
        while self.fill().await {}
    }
}

/// One request on a connection of its own.
pub async fn request(address: SocketAddr, request: impl AsRef<[u8]>) -> Response {
    let mut conn = Conn::open(address).await;
    conn.send(request).await;
    conn.response().await
}

/// A GET, with further header lines that each end in `\r\n`.
pub async fn get(address: SocketAddr, target: &str, headers: &str) -> Response {
    request(address, head("GET", target, headers)).await
}

pub fn head(method: &str, target: &str, headers: &str) -> String {
    format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n")
}

pub fn post(target: &str, body: &str) -> String {
    let len = format!("Content-Length: {}\r\n", body.len());
    head("POST", target, &len) + body
}

pub fn upgrade_head(target: &str) -> String {
    upgrade_head_with(target, "")
}

pub fn upgrade_head_with(target: &str, headers: &str) -> String {
    let own = format!(
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: {KEY}\r\n{headers}"
    );
    head("GET", target, &own)
}

/// A WebSocket.
pub struct Ws<S = TcpStream> {
    pub conn: Conn<S>,
    decoder: Decoder,
    messages: VecDeque<Message>,
}

impl Ws {
    pub async fn upgrade(address: SocketAddr, target: &str) -> Self {
        Self::upgrade_with(address, target, "").await
    }

    /// With more headers.
    pub async fn upgrade_with(address: SocketAddr, target: &str, headers: &str) -> Self {
        let mut conn = Conn::open(address).await;
        conn.send(upgrade_head_with(target, headers)).await;
        let response = conn.response().await;
        assert_eq!(response.status, 101, "{response:?}");
        Self::over(conn)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Ws<S> {
    pub fn over(conn: Conn<S>) -> Self {
        Self {
            conn,
            decoder: Decoder::new(Role::Client, 1 << 30, u32::MAX),
            messages: VecDeque::new(),
        }
    }

    pub async fn send_frame(&mut self, opcode: Opcode, payload: &[u8]) {
        let bytes = frame_bytes(opcode, payload);
        self.conn.send(bytes).await;
    }

    pub async fn send_text(&mut self, text: &str) {
        self.send_frame(Opcode::Text, text.as_bytes()).await;
    }

    pub async fn send_binary(&mut self, bytes: &[u8]) {
        self.send_frame(Opcode::Binary, bytes).await;
    }

    /// The next message; `None` at the end of the stream.
    pub async fn next(&mut self) -> Option<Message> {
        loop {
            if let Some(message) = self.next_of_input() {
                return Some(message);
            }
            if !self.conn.fill().await {
                return None;
            }
        }
    }

    /// The next message in what was read already.
    pub fn next_of_input(&mut self) -> Option<Message> {
        let mut input = std::mem::take(&mut self.conn.input);
        let mut rest = &mut input[..];
        while let Some(message) = self.decoder.receive(&mut rest).expect("good frames") {
            self.messages.push_back(message);
        }
        self.messages.pop_front()
    }

    /// The next message, which must be a text.
    pub async fn text(&mut self) -> String {
        match self.next().await {
            Some(Message::Text(text)) => String::from_utf8(text.to_vec()).unwrap(),
            other => panic!("a text, not {other:?}"),
        }
    }

    /// Reads until a close frame or the end; gives its code.
    pub async fn close_code(&mut self) -> Option<u16> {
        self.close_frame().await.map(|(code, _)| code)
    }

    /// As [`close_code`](Self::close_code), with what is said about it.
    pub async fn close_frame(&mut self) -> Option<(u16, String)> {
        loop {
            match self.next().await {
                Some(Message::Close(code, said)) => {
                    return Some((code?.get(), String::from_utf8(said.to_vec()).unwrap()));
                }
                Some(_) => {}
                None => return None,
            }
        }
    }

    /// Reads on until the end of the stream.
    pub async fn ended(&mut self) {
        while self.next().await.is_some() {}
    }

    /// Closes in order, and sees the server answer and end the stream.
    pub async fn close(&mut self) {
        self.send_frame(Opcode::Close, &1000_u16.to_be_bytes()).await;
        assert_eq!(self.close_code().await, Some(1000));
        self.ended().await;
    }
}

/// A whole masked frame.
pub fn frame_bytes(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut wire = Vec::new();
    frame::write(&mut wire, opcode, payload, Some(MASK));
    wire
}

/// A masked frame with any first byte and any length field.
pub fn odd_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut wire = frame_bytes(Opcode::Text, payload);
    wire[0] = first;
    wire
}

/// A Socket.IO packet from the server.
#[derive(Clone, Debug, PartialEq)]
pub struct Packet {
    pub kind: u8,
    pub namespace: String,
    pub ack: Option<u64>,
    pub data: Value,
    pub attachments: Vec<Bytes>,
}

impl Packet {
    /// From the text behind the Engine.IO digit; and how many attachments follow.
    pub fn parse(text: &str) -> (Self, usize) {
        let (kind, mut rest) = text.split_at(1);
        let kind = kind.parse().unwrap();
        let mut attachments = 0;
        if matches!(kind, 5 | 6) {
            let (count, tail) = rest.split_once('-').unwrap();
            attachments = count.parse().unwrap();
            rest = tail;
        }
        let mut namespace = "/";
        if rest.starts_with('/') {
            (namespace, rest) = rest.split_once(',').unwrap_or((rest, ""));
        }
        let digits = rest.chars().take_while(char::is_ascii_digit).count();
        let (ack, json) = rest.split_at(digits);
        let packet = Self {
            kind,
            namespace: namespace.to_owned(),
            ack: ack.parse().ok(),
            data: match json {
                "" => Value::Null,
                json => serde_json::from_str(json).unwrap(),
            },
            attachments: Vec::new(),
        };
        (packet, attachments)
    }
}

/// A Socket.IO client over a WebSocket.
pub struct Client {
    pub ws: Ws,
    /// Its id in the first namespace it has joined.
    pub id: String,
}

impl Client {
    pub async fn open(address: SocketAddr) -> Self {
        Self::open_at(address, WEBSOCKET).await
    }

    pub async fn open_at(address: SocketAddr, target: &str) -> Self {
        Self::over(Ws::upgrade(address, target).await).await
    }

    /// With more headers.
    pub async fn open_with(address: SocketAddr, headers: &str) -> Self {
        Self::over(Ws::upgrade_with(address, WEBSOCKET, headers).await).await
    }

    async fn over(mut ws: Ws) -> Self {
        assert!(ws.text().await.starts_with("0{"));
        Self { ws, id: String::new() }
    }

    /// Joins a namespace; gives the id there, or what the refusal says.
    pub async fn join(&mut self, namespace: &str, auth: &str) -> Result<String, Value> {
        self.send(&format!("0{}{auth}", prefix(namespace))).await;
        let packet = self.next().await;
        assert_eq!(packet.namespace, namespace);
        match packet.kind {
            0 => Ok(packet.data["sid"].as_str().unwrap().to_owned()),
            4 => Err(packet.data),
            _ => panic!("{packet:?}"),
        }
    }

    /// Sends a Socket.IO packet, given without the Engine.IO digit.
    pub async fn send(&mut self, packet: &str) {
        self.ws.send_text(&format!("4{packet}")).await;
    }

    /// Sends an event in `/`. `json` is its arguments with commas between.
    pub async fn emit(&mut self, event: &str, json: &str) {
        self.send(&format!("2{}", array(event, json))).await;
    }

    /// Sends an event in `/` that asks for an answer, and gives the arguments of the answer, which
    /// must be the next packet.
    pub async fn ask(&mut self, event: &str, json: &str) -> Value {
        self.send(&format!("27{}", array(event, json))).await;
        let packet = self.next().await;
        assert_eq!((packet.kind, packet.ack), (3, Some(7)), "{packet:?}");
        packet.data
    }

    /// The next packet; `None` at the end. Pings are answered.
    pub async fn try_next(&mut self) -> Option<Packet> {
        loop {
            let text = match self.ws.next().await? {
                Message::Text(text) => String::from_utf8(text.to_vec()).unwrap(),
                Message::Close(..) => return None,
                other => panic!("a text, not {other:?}"),
            };
            match text.split_at(1) {
                ("2", _) => self.ws.send_text("3").await,
                ("4", packet) => {
                    let (mut packet, attachments) = Packet::parse(packet);
                    for _ in 0..attachments {
                        match self.ws.next().await {
                            Some(Message::Binary(bytes)) => packet.attachments.push(bytes),
                            other => panic!("an attachment, not {other:?}"),
                        }
                    }
                    return Some(packet);
                }
                _ => panic!("a message, not {text}"),
            }
        }
    }

    pub async fn next(&mut self) -> Packet {
        self.try_next().await.expect("a packet")
    }

    /// The next packet, which must be an event in any namespace: its name and its arguments.
    pub async fn event(&mut self) -> Value {
        let packet = self.next().await;
        assert!(matches!(packet.kind, 2 | 5), "{packet:?}");
        packet.data
    }
}

/// `[event, arguments]`.
pub fn array(event: &str, json: &str) -> String {
    if json.is_empty() { format!("[\"{event}\"]") } else { format!("[\"{event}\",{json}]") }
}

/// What stands before the rest of a packet for a namespace.
pub fn prefix(namespace: &str) -> String {
    match namespace {
        "/" => String::new(),
        other => format!("{other},"),
    }
}

/// A client on HTTP long-polling. Each request has a connection of its own.
pub struct Poller {
    pub address: SocketAddr,
    pub sid: String,
}

impl Poller {
    pub async fn open(address: SocketAddr) -> Self {
        Self::open_at(address, POLLING).await
    }

    /// Opens a session elsewhere; its later requests go to the usual place all the same.
    pub async fn open_at(address: SocketAddr, target: &str) -> Self {
        let response = get(address, target, "").await;
        assert_eq!(response.status, 200, "{response:?}");
        let open: Value = serde_json::from_str(response.text().strip_prefix('0').unwrap()).unwrap();
        let sid = open["sid"].as_str().unwrap().to_owned();
        Self { address, sid }
    }

    /// Where its requests go.
    pub fn target(&self) -> String {
        format!("{POLLING}&sid={}", self.sid)
    }

    /// Where its upgrade goes.
    pub fn upgrade_target(&self) -> String {
        format!("{WEBSOCKET}&sid={}", self.sid)
    }

    pub async fn get(&self) -> Response {
        get(self.address, &self.target(), "").await
    }

    /// Sends a poll and does not wait for its answer.
    pub async fn pending(&self) -> Conn {
        let mut conn = Conn::open(self.address).await;
        conn.send(head("GET", &self.target(), "")).await;
        conn
    }

    pub async fn post(&self, body: &str) -> Response {
        request(self.address, post(&self.target(), body)).await
    }

    /// Joins `/`.
    pub async fn join(&self) {
        assert_eq!(self.post("40").await.text(), "ok");
        assert!(self.get().await.text().starts_with("40{\"sid\""));
    }
}
