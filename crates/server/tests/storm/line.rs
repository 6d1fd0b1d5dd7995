//! [`Line`]: the way of a client to its server, whichever transport it is.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::net::SocketAddr;

use roomful_proto::ws::Message;
use roomful_proto::ws::frame::Opcode;
use serde_json::Value;

use crate::support::{Conn, POLLING, WEBSOCKET, Ws, frame_bytes, head, post, upgrade_head};

/// The line has ended, and not by its client: what it waited for, and what came.
#[derive(Debug)]
pub struct Ended(pub String);

fn ended(waited_for: &str, came: impl Debug) -> Ended {
    Ended(format!("{waited_for}, and there was {came:?}"))
}

pub struct Line {
    way: Way,
    /// Packets that were read and not yet used.
    inbox: VecDeque<String>,
}

#[allow(clippy::large_enum_variant, reason = "there are few at a time")]
enum Way {
    WebSocket(Ws),
    Polling(Polling),
}

/// Two HTTP connections, as a browser has them.
struct Polling {
    address: SocketAddr,
    session: String,
    gets: Conn,
    posts: Conn,
    /// A poll waits for its answer.
    waits: bool,
    /// It has given up an upgrade. While the server does not know, it lets no other begin.
    gave_up: bool,
}

/// How far an upgrade goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upgrade {
    /// The WebSocket is open.
    Opened,
    /// The probe was answered.
    Probed,
    Done,
}

impl Line {
    pub async fn websocket(address: SocketAddr) -> Result<Self, Ended> {
        Self::websocket_over(Conn::open(address).await).await
    }

    pub async fn websocket_over(conn: Conn) -> Result<Self, Ended> {
        let ws = upgraded(conn, WEBSOCKET).await?;
        let mut line = Self { way: Way::WebSocket(ws), inbox: VecDeque::new() };
        let open = line.packet().await?;
        if open.starts_with("0{") { Ok(line) } else { Err(ended("an open packet", open)) }
    }

    pub async fn polling(address: SocketAddr) -> Result<Self, Ended> {
        let mut gets = Conn::open(address).await;
        gets.send(head("GET", POLLING, "")).await;
        let response = gets.try_response().await.ok_or_else(|| ended("a session", ()))?;
        let open = response.text().strip_prefix('0').unwrap_or_default();
        let open: Value = serde_json::from_str(open).unwrap_or_default();
        let session = open["sid"].as_str().ok_or_else(|| ended("a session", &response))?.to_owned();
        let posts = Conn::open(address).await;
        let polling = Polling { address, session, gets, posts, waits: false, gave_up: false };
        Ok(Self { way: Way::Polling(polling), inbox: VecDeque::new() })
    }

    pub fn polls(&self) -> bool {
        matches!(self.way, Way::Polling(_))
    }

    /// Sends an Engine.IO packet.
    pub async fn send(&mut self, packet: &str) -> Result<(), Ended> {
        match &mut self.way {
            Way::WebSocket(ws) => {
                ws.send_text(packet).await;
                Ok(())
            }
            Way::Polling(polling) => polling.post(packet).await,
        }
    }

    /// The next Socket.IO packet. Pings are answered.
    pub async fn next(&mut self) -> Result<String, Ended> {
        loop {
            let packet = self.packet().await?;
            match packet.as_bytes() {
                [b'4', ..] => return Ok(packet[1..].to_owned()),
                b"2" => self.send("3").await?,
                b"6" => {}
                _ => return Err(ended("a packet", packet)),
            }
        }
    }

    async fn packet(&mut self) -> Result<String, Ended> {
        loop {
            if let Some(packet) = self.inbox.pop_front() {
                return Ok(packet);
            }
            match &mut self.way {
                Way::WebSocket(ws) => self.inbox.push_back(text(ws).await?),
                Way::Polling(polling) => {
                    polling.begin_poll().await;
                    self.inbox.extend(polling.end_poll().await?);
                }
            }
        }
    }

    /// Goes from polling to a WebSocket, or some way there. Then what was opened is dropped, and the client
    /// polls on.
    pub async fn upgrade(&mut self, until: Upgrade, while_polling: bool) -> Result<(), Ended> {
        let Way::Polling(polling) = &mut self.way else {
            return Ok(());
        };
        if while_polling {
            polling.begin_poll().await;
        }
        let gave_up = std::mem::replace(&mut polling.gave_up, until != Upgrade::Done);
        let mut ws = match polling.probe(until).await {
            Err(_) if gave_up => return Ok(()),
            probed => probed?,
        };
        if until == Upgrade::Opened {
            return Ok(());
        }
        if polling.waits {
            self.inbox.extend(polling.end_poll().await?);
        }
        if until == Upgrade::Done {
            ws.send_text("5").await;
            self.way = Way::WebSocket(ws);
        }
        Ok(())
    }

    /// Asks for what comes next and does not wait for it.
    pub async fn begin_poll(&mut self) {
        if let Way::Polling(polling) = &mut self.way {
            polling.begin_poll().await;
        }
    }

    /// Ends the streams by resets.
    pub fn reset(self) {
        match self.way {
            Way::WebSocket(ws) => ws.conn.reset(),
            Way::Polling(polling) => {
                polling.gets.reset();
                polling.posts.reset();
            }
        }
    }

    /// Sends a part of something.
    pub async fn send_a_part(&mut self) {
        match &mut self.way {
            Way::WebSocket(ws) => {
                let frame = frame_bytes(Opcode::Text, b"42[\"echo\",\"never heard\"]");
                ws.conn.send(&frame[..frame.len() / 2]).await;
            }
            Way::Polling(polling) => {
                let request = post(&polling.target(), "42[\"echo\",\"never heard\"]");
                polling.posts.send(&request.as_bytes()[..request.len() - 9]).await;
            }
        }
    }

    /// Says goodbye as a browser does whose page is left: by a close frame, or not at all.
    pub async fn send_close_frame(&mut self) {
        if let Way::WebSocket(ws) = &mut self.way {
            ws.send_frame(Opcode::Close, &1001_u16.to_be_bytes()).await;
        }
    }

    /// Reads and answers nothing until the server has ended the line.
    pub async fn is_silent(&mut self) {
        while self.packet().await.is_ok() {}
    }
}

impl Polling {
    fn target(&self) -> String {
        format!("{POLLING}&sid={}", self.session)
    }

    /// A WebSocket that may take over, and has shown that it works.
    async fn probe(&self, until: Upgrade) -> Result<Ws, Ended> {
        let target = format!("{WEBSOCKET}&sid={}", self.session);
        let mut ws = upgraded(Conn::open(self.address).await, &target).await?;
        if until != Upgrade::Opened {
            ws.send_text("2probe").await;
            let answer = text(&mut ws).await?;
            if answer != "3probe" {
                return Err(ended("an answer to the probe", answer));
            }
        }
        Ok(ws)
    }

    async fn begin_poll(&mut self) {
        if !self.waits {
            self.gets.send(head("GET", &self.target(), "")).await;
            self.waits = true;
        }
    }

    async fn end_poll(&mut self) -> Result<Vec<String>, Ended> {
        self.waits = false;
        let response = self.gets.try_response().await.ok_or_else(|| ended("a poll", ()))?;
        if response.status != 200 {
            return Err(ended("a poll", response));
        }
        Ok(response.text().split('\u{1e}').map(str::to_owned).collect())
    }

    async fn post(&mut self, packet: &str) -> Result<(), Ended> {
        self.posts.send(post(&self.target(), packet)).await;
        let response = self.posts.try_response().await.ok_or_else(|| ended("a post", ()))?;
        if response.status == 200 { Ok(()) } else { Err(ended("a post", response)) }
    }
}

async fn upgraded(mut conn: Conn, target: &str) -> Result<Ws, Ended> {
    conn.send(upgrade_head(target)).await;
    let response = conn.try_response().await.ok_or_else(|| ended("a WebSocket", ()))?;
    if response.status == 101 { Ok(Ws::over(conn)) } else { Err(ended("a WebSocket", response)) }
}

async fn text(ws: &mut Ws) -> Result<String, Ended> {
    match ws.next().await {
        Some(Message::Text(text)) => {
            String::from_utf8(text.to_vec()).map_err(|e| ended("a text", e))
        }
        other => Err(ended("a text", other)),
    }
}
