//! [`Raw`]: a server by hand, which says whatever bytes a test wants.

#![allow(dead_code, unreachable_pub, reason = "each test uses its part of this")]

use std::future::Future;
use std::sync::Arc;

use roomful_client::Transport;
use roomful_proto::ws::frame::{self, Opcode};
use roomful_proto::ws::handshake::accept_key;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

pub const JOINED: &str = "40{\"sid\":\"abc\"}";

/// An open packet with these intervals.
pub fn open_packet(upgrades: &str, interval: u64, timeout: u64) -> String {
    format!(
        "0{{\"sid\":\"a-session\",\"upgrades\":[{upgrades}],\"pingInterval\":{interval},\
         \"pingTimeout\":{timeout},\"maxPayload\":1000000}}"
    )
}

/// A server that does the same with each connection.
pub struct Raw {
    pub url: String,
    task: JoinHandle<()>,
}

impl Drop for Raw {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Raw {
    pub async fn start<F, Fut>(script: F) -> Self
    where
        F: Fn(Wire) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let script = Arc::new(script);
        let task = tokio::spawn(async move {
            // Ended with the server.
            let mut scripts = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                let script = Arc::clone(&script);
                scripts.spawn(async move { script(Wire { stream, ahead: Vec::new() }).await });
                while scripts.try_join_next().is_some() {}
            }
        });
        Self { url, task }
    }

    /// A server that answers each request with these bytes, and then closes.
    pub async fn answers(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = Arc::new(bytes.into());
        Self::start(move |mut wire| {
            let bytes = Arc::clone(&bytes);
            async move { while wire.head().await.is_some() && wire.say(&bytes[..]).await {} }
        })
        .await
    }

    /// A server that opens a WebSocket and joins `/`, says these bytes, and reads until the end.
    pub async fn joins_and_says(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = Arc::new(bytes.into());
        Self::start(move |mut wire| {
            let bytes = Arc::clone(&bytes);
            async move {
                wire.join("").await;
                wire.say(&bytes[..]).await;
                wire.read_all().await;
            }
        })
        .await
    }
}

/// One connection of a raw server.
pub struct Wire {
    pub stream: TcpStream,
    ahead: Vec<u8>,
}

impl Wire {
    /// The head of the next request, without a body; `None` at the end of the stream.
    pub async fn head(&mut self) -> Option<String> {
        loop {
            if let Some(at) = self.ahead.windows(4).position(|four| four == b"\r\n\r\n") {
                let head = self.ahead.drain(..at + 4).collect();
                let head = String::from_utf8(head).unwrap();
                let length = head.to_ascii_lowercase();
                let length = length.split("content-length: ").nth(1);
                let length = length.and_then(|rest| rest.split("\r\n").next());
                let length: usize = length.map_or(0, |length| length.parse().unwrap());
                while self.ahead.len() < length {
                    self.more().await?;
                }
                self.ahead.drain(..length);
                return Some(head);
            }
            self.more().await?;
        }
    }

    async fn more(&mut self) -> Option<()> {
        let mut bytes = [0; 4096];
        match self.stream.read(&mut bytes).await {
            Ok(0) | Err(_) => None,
            Ok(len) => {
                self.ahead.extend_from_slice(&bytes[..len]);
                Some(())
            }
        }
    }

    /// Whether the bytes were taken.
    pub async fn say(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).await.is_ok()
    }

    /// Answers a request 200.
    pub async fn answer(&mut self, body: &str) -> bool {
        self.say(ok("text/plain; charset=UTF-8", body)).await
    }

    /// Opens a WebSocket; whether it was asked for.
    pub async fn open_websocket(&mut self, more: &str) -> bool {
        let Some(head) = self.head().await else {
            return false;
        };
        self.switch(&head, more).await
    }

    /// Answers the head of a request for a WebSocket.
    pub async fn switch(&mut self, head: &str, more: &str) -> bool {
        match switching(head, more) {
            Some(answer) => self.say(answer).await,
            None => false,
        }
    }

    /// Opens a WebSocket, and says the open packet and that `/` is joined.
    pub async fn join(&mut self, more: &str) -> bool {
        self.join_with(more, &open_packet("", 25_000, 20_000)).await
    }

    pub async fn join_with(&mut self, more: &str, open: &str) -> bool {
        self.open_websocket(more).await
            && self.say(text(open)).await
            && self.read_frame().await
            && self.say(text(JOINED)).await
    }

    /// Reads something, so that what comes first is over.
    pub async fn read_frame(&mut self) -> bool {
        if !self.ahead.is_empty() {
            self.ahead.clear();
            return true;
        }
        let some = self.more().await.is_some();
        self.ahead.clear();
        some
    }

    /// Reads until the end.
    pub async fn read_all(&mut self) {
        while self.more().await.is_some() {
            self.ahead.clear();
        }
    }

    /// The stream is reset.
    pub fn reset(self) {
        // What is not sent yet is dropped, and the peer told so.
        let _ = self.stream.set_zero_linger();
    }
}

/// An answer of status 200.
pub fn ok(content_type: &str, body: &str) -> Vec<u8> {
    status("200 OK", &format!("Content-Type: {content_type}\r\n"), body)
}

pub fn status(status: &str, more: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{more}\r\n{body}", body.len()).into_bytes()
}

/// The answer to the head of a request for a WebSocket; `None` to another one.
pub fn switching(head: &str, more: &str) -> Option<Vec<u8>> {
    let is_key = |line: &&str| line.to_ascii_lowercase().starts_with("sec-websocket-key: ");
    let (_, key) = head.lines().find(is_key)?.split_once(": ")?;
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {}\r\n{more}\r\n",
        accept_key(key)
    );
    Some(answer.into_bytes())
}

/// A frame of a server.
pub fn frame(opcode: Opcode, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let mut wire = Vec::new();
    frame::write(&mut wire, opcode, payload.as_ref(), None);
    wire
}

pub fn text(payload: impl AsRef<[u8]>) -> Vec<u8> {
    frame(Opcode::Text, payload)
}

pub fn binary(payload: impl AsRef<[u8]>) -> Vec<u8> {
    frame(Opcode::Binary, payload)
}

pub const POLLING: &[Transport] = &[Transport::Polling];
pub const WEBSOCKET: &[Transport] = &[Transport::WebSocket];
pub const BOTH: &[Transport] = &[Transport::Polling, Transport::WebSocket];
