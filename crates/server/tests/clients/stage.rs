//! A server, the connections of one client to it, and what is said over them.

use std::collections::HashMap;
use std::io::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use roomful::{Args, CallError, Compression, Hello, Origins, Refusal, Server, Socket};
use serde_json::json;
use tokio::sync::mpsc;

use crate::line::{Frame, Line, Scene};
use crate::pattern::Names;
use crate::support::{Conn, KEY, Running, in_both_ways, passes, start, within};

/// What `Sec-WebSocket-Accept` is for [`KEY`].
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// Where another server listens that is to be judged instead of ours.
const ELSEWHERE: &str = "DIALOGUES_AT";

pub struct Stage {
    /// It serves as long as the stage stands.
    _server: Running,
    elsewhere: bool,
    address: SocketAddr,
    leaving: mpsc::UnboundedReceiver<(&'static str, String)>,
    names: Names,
    conns: HashMap<String, Conn>,
    /// The connection that lines are about.
    on: String,
    mask: [u8; 4],
    /// What the last request says about its body, if that was not sent yet.
    body_len: Option<usize>,
}

impl Stage {
    pub async fn build(scene: &Scene, behind_a_library: bool) -> Self {
        let (server, leaving) = serve(&scene.settings).await;
        let [own, behind] = in_both_ways(&server).await;
        let elsewhere = std::env::var(ELSEWHERE).ok();
        let address = match &elsewhere {
            Some(address) => address.parse().expect("an address with a port"),
            None if behind_a_library => behind,
            None => own,
        };
        let host = address.to_string();
        let port = address.port().to_string();
        let names =
            Names::new(&[("host", &host), ("port", &port), ("key", KEY), ("accept", ACCEPT)]);
        Self {
            _server: server,
            elsewhere: elsewhere.is_some(),
            address,
            leaving,
            names,
            conns: HashMap::new(),
            on: String::new(),
            mask: [0x12, 0x34, 0x56, 0x78],
            body_len: None,
        }
    }

    /// Whether the scene ends here: the time of another server cannot be moved.
    pub fn is_over(&self, line: &Line) -> bool {
        self.elsewhere && matches!(line, Line::Pass(_))
    }

    pub async fn play(&mut self, line: &Line) -> Result<(), String> {
        match line {
            Line::On(name) => {
                name.clone_into(&mut self.on);
                if !self.conns.contains_key(name) {
                    self.conns.insert(name.clone(), Conn::open(self.address).await);
                }
            }
            Line::Mask(mask) => self.mask = *mask,
            // Second by second, so that what is due in between is done.
            Line::Pass(seconds) => {
                for _ in 0..*seconds {
                    passes(Duration::from_secs(1)).await;
                    tokio::task::yield_now().await;
                }
            }
            Line::Request(head) => return self.request(head).await,
            Line::Body(text) => return self.body(text).await,
            Line::Answer(head, absent, body) => return self.answer(head, absent, body).await,
            Line::Send(frame, pieces) => return self.send(frame, *pieces).await,
            Line::Receive(frame) => return self.receive(frame).await,
            Line::Leave { in_order } => {
                let conn = self.conns.remove(&self.on).ok_or("no connection")?;
                if !in_order {
                    conn.reset();
                }
            }
            Line::Ended => {
                let conn = self.conn()?;
                while conn.fill().await {}
                return nothing_left(conn);
            }
            Line::Left(..) if self.elsewhere => {}
            Line::Left(namespace, reason) => {
                let left = within(self.leaving.recv()).await.ok_or("the server has ended")?;
                if (left.0, left.1.as_str()) != (reason.as_str(), namespace.as_str()) {
                    return Err(format!("{} was left: {}", left.1, left.0));
                }
            }
        }
        Ok(())
    }

    /// Whether all was said that the server has said.
    pub fn end(mut self) -> Result<(), String> {
        for (name, conn) in &self.conns {
            nothing_left(conn).map_err(|what| format!("on {name}: {what}"))?;
        }
        match self.leaving.try_recv() {
            Ok((reason, namespace)) => Err(format!("{namespace} was left: {reason}")),
            Err(_) => Ok(()),
        }
    }

    fn conn(&mut self) -> Result<&mut Conn, String> {
        self.conns.get_mut(&self.on).ok_or_else(|| "no connection: begin with `on`".to_owned())
    }

    async fn request(&mut self, head: &[String]) -> Result<(), String> {
        let mut bytes = String::new();
        self.body_len = None;
        for line in head {
            let line = self.names.fill(line)?;
            if let Some((name, len)) = line.split_once(": ")
                && name.eq_ignore_ascii_case("content-length")
            {
                self.body_len = Some(len.parse().map_err(|_| "a length that is no number")?);
            }
            bytes += &line;
            bytes += "\r\n";
        }
        bytes += "\r\n";
        self.conn()?.send(bytes).await;
        Ok(())
    }

    async fn body(&mut self, text: &str) -> Result<(), String> {
        let text = self.names.fill(text)?;
        if self.body_len.take() != Some(text.len()) {
            return Err(format!("Content-Length has to be {}", text.len()));
        }
        self.conn()?.send(text).await;
        Ok(())
    }

    async fn answer(
        &mut self,
        head: &[String],
        absent: &[String],
        body: &str,
    ) -> Result<(), String> {
        let (found_head, found_body) = read_answer(self.conn()?).await?;
        let mut lines = found_head.split("\r\n");
        let status = lines.next().unwrap_or_default();
        let headers: Vec<(&str, &str)> =
            lines.filter_map(|line| line.split_once(": ").or(line.split_once(':'))).collect();
        let all = |name: &str| -> Vec<&str> {
            let same = headers.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
            same.map(|(_, value)| *value).collect()
        };
        let mut same = self.names.matches(&head[0], status);
        for line in &head[1..] {
            let (name, value) = line.split_once(": ").ok_or("a header without a value")?;
            same &= matches!(all(name)[..], [found] if self.names.matches(value, found));
        }
        same &= absent.iter().all(|name| all(name).is_empty());
        same &= self.names.matches(body, &found_body);
        if same { Ok(()) } else { Err(format!("the answer is\n{found_head}\n\n{found_body}")) }
    }

    async fn send(&mut self, frame: &Frame, pieces: Option<usize>) -> Result<(), String> {
        let (opcode, payload) = self.written(frame)?;
        let reserved = if matches!(frame, Frame::Deflated(_)) { 0x40 } else { 0 };
        let mut wire = Vec::new();
        let mut parts = payload.chunks(pieces.unwrap_or(usize::MAX)).peekable();
        let mut first = opcode | reserved;
        if parts.peek().is_none() {
            push_frame(&mut wire, 0x80 | first, &[], self.mask);
        }
        while let Some(part) = parts.next() {
            let last = if parts.peek().is_none() { 0x80 } else { 0 };
            push_frame(&mut wire, last | first, part, self.mask);
            first = 0;
        }
        self.conn()?.send(wire).await;
        Ok(())
    }

    /// A frame of the client as its opcode and its payload.
    fn written(&self, frame: &Frame) -> Result<(u8, Vec<u8>), String> {
        Ok(match frame {
            Frame::Text(text) => (1, self.names.fill(text)?.into_bytes()),
            Frame::Deflated(text) => (1, deflate(self.names.fill(text)?.as_bytes())),
            Frame::Bytes(bytes) => (2, bytes.clone()),
            Frame::Ping(text) => (9, self.names.fill(text)?.into_bytes()),
            Frame::Pong(text) => (10, self.names.fill(text)?.into_bytes()),
            Frame::Close(None, _) => (8, Vec::new()),
            Frame::Close(Some(code), said) => {
                (8, [&code.to_be_bytes()[..], said.as_bytes()].concat())
            }
        })
    }

    async fn receive(&mut self, frame: &Frame) -> Result<(), String> {
        let found = read_frame(self.conn()?).await?;
        let same = match (frame, &found) {
            (Frame::Text(pattern), Frame::Text(text))
            | (Frame::Deflated(pattern), Frame::Deflated(text))
            | (Frame::Ping(pattern), Frame::Ping(text))
            | (Frame::Pong(pattern), Frame::Pong(text)) => self.names.matches(pattern, text),
            (expected, found) => expected == found,
        };
        if same { Ok(()) } else { Err(format!("the server sends {found:?}")) }
    }
}

/// The server of every dialogue: a few events, and a namespace that asks for a token.
async fn serve(settings: &[String]) -> (Running, mpsc::UnboundedReceiver<(&'static str, String)>) {
    let (gone, leaving) = mpsc::unbounded_channel();
    let mut builder = Server::builder();
    for setting in settings {
        builder = match setting.split_once(' ').unwrap_or((setting, "")) {
            ("allows", "EIO=3") => builder.allow_eio3(true),
            ("compresses", "everything") => {
                builder.compression(Compression::default().threshold(0))
            }
            ("serves-pages-of", "everybody") => builder.origins(Origins::Any),
            _ => panic!("no such setting: {setting}"),
        };
    }
    let io = builder.build();
    io.of("/admin").connect(async |hello: Hello| {
        let auth: serde_json::Value = hello.auth()?;
        if auth["token"] == "letmein" {
            return Ok(());
        }
        Err(Refusal::new("not allowed").data(json!({ "code": 401 })))
    });
    for name in ["/", "/chat", "/admin"] {
        let gone = gone.clone();
        let namespace = io.of(name);
        namespace.on("echo", async |me: Socket, args: Args| me.emit("echo", args));
        namespace.on("room/echo", async |me: Socket, args: Args| me.emit("room/echo", args));
        namespace.on("echo-ack", async |_: Socket, args: Args| args);
        namespace.on("ask", async |me: Socket, args: Args| {
            match me.call::<_, _, Args>("question", args).await {
                Ok(answer) => me.emit("answer", answer),
                Err(CallError::Timeout) => me.emit("answer-error", "timeout"),
                Err(error) => me.emit("answer-error", error.to_string()),
            }
        });
        namespace.on_disconnect(move |_: Socket, reason| {
            let _ = gone.send((reason.as_str(), name.to_owned()));
            async {}
        });
    }
    (start(io).await, leaving)
}

fn nothing_left(conn: &Conn) -> Result<(), String> {
    if conn.input.is_empty() {
        return Ok(());
    }
    Err(format!("the server says more: {}", String::from_utf8_lossy(&conn.input)))
}

/// The head of an answer without the empty line, and its body.
async fn read_answer(conn: &mut Conn) -> Result<(String, String), String> {
    let end = loop {
        if let Some(at) = conn.input.windows(4).position(|four| four == b"\r\n\r\n") {
            break at;
        }
        if !conn.fill().await {
            let said = String::from_utf8_lossy(&conn.input);
            return Err(format!("the server ends the connection after `{said}`"));
        }
    };
    let head: Vec<u8> = conn.input.drain(..end + 4).take(end).collect();
    let head = String::from_utf8(head).map_err(|_| "a head that is no text")?;
    let informs = head.get(9..10) == Some("1");
    let len = head.split("\r\n").find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    let len = len.unwrap_or(0);
    if len == 0 && !informs && !head.to_ascii_lowercase().contains("content-length: 0") {
        return Err(format!("an answer without a length\n{head}"));
    }
    while conn.input.len() < len {
        if !conn.fill().await {
            return Err("the server ends the connection in a body".to_owned());
        }
    }
    let body: Vec<u8> = conn.input.drain(..len).collect();
    Ok((head, String::from_utf8(body).map_err(|_| "a body that is no text")?))
}

/// The next frame of the server, which is whole, not masked, and as short as it can be.
async fn read_frame(conn: &mut Conn) -> Result<Frame, String> {
    let (head_len, len) = loop {
        let short = conn.input.get(1).map(|byte| byte & 0x7f);
        match (short, &conn.input[..]) {
            (Some(127), [_, _, rest @ ..]) if rest.len() >= 8 => {
                let len = u64::from_be_bytes(rest[..8].try_into().expect("eight bytes"));
                break (10, usize::try_from(len).expect("a length"));
            }
            (Some(126), [_, _, a, b, ..]) => break (4, usize::from(u16::from_be_bytes([*a, *b]))),
            (Some(len @ 0..=125), _) => break (2, usize::from(len)),
            _ => {}
        }
        more(conn).await?;
    };
    while conn.input.len() < head_len + len {
        more(conn).await?;
    }
    let first = conn.input[0];
    let masked = conn.input[1] & 0x80 != 0;
    let payload: Vec<u8> = conn.input.drain(..head_len + len).skip(head_len).collect();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|_| "not UTF-8");
    Ok(match (masked, first) {
        (false, 0x81) => Frame::Text(text(&payload)?),
        (false, 0xc1) => Frame::Deflated(text(&inflate(&payload))?),
        (false, 0x82) => Frame::Bytes(payload),
        (false, 0x88) if payload.is_empty() => Frame::Close(None, String::new()),
        (false, 0x88) if payload.len() >= 2 => {
            let code = u16::from_be_bytes([payload[0], payload[1]]);
            Frame::Close(Some(code), text(&payload[2..])?)
        }
        (false, 0x89) => Frame::Ping(text(&payload)?),
        (false, 0x8a) => Frame::Pong(text(&payload)?),
        _ => return Err(format!("a frame that begins with {first:#x}")),
    })
}

async fn more(conn: &mut Conn) -> Result<(), String> {
    if conn.fill().await {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&conn.input);
    Err(format!("the server ends the connection after `{said}`"))
}

fn push_frame(wire: &mut Vec<u8>, first: u8, payload: &[u8], mask: [u8; 4]) {
    wire.push(first);
    match payload.len() {
        len @ 0..=125 => wire.push(0x80 | u8::try_from(len).expect("small")),
        len @ 126..=0xffff => {
            wire.push(0x80 | 126);
            wire.extend(u16::try_from(len).expect("two bytes").to_be_bytes());
        }
        len => {
            wire.push(0x80 | 127);
            wire.extend((len as u64).to_be_bytes());
        }
    }
    wire.extend(mask);
    wire.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
}

/// One message for permessage-deflate, with nothing taken over from another (RFC 7692 section
/// 7.2.1).
fn deflate(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 64);
    let mut state = flate2::Compress::new(flate2::Compression::default(), false);
    state.compress_vec(text, &mut out, flate2::FlushCompress::Sync).expect("memory");
    out.truncate(out.len() - 4);
    out
}

fn inflate(payload: &[u8]) -> Vec<u8> {
    let mut inflater = flate2::write::DeflateDecoder::new(Vec::new());
    let whole = [payload, &[0, 0, 0xff, 0xff]].concat();
    inflater.write_all(&whole).and_then(|()| inflater.flush()).expect("good bytes");
    inflater.get_ref().clone()
}
