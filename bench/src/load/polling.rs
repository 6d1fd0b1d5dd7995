//! [`Pollers`]: many clients in one thread, over long-polling.
//!
//! Each has two connections that stay, as a browser has: one for the GET that waits, which is sent
//! again as soon as it is answered, and one for a POST at a time.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use super::http;
use super::swarm::PATIENCE;
use crate::{Result, fail};

/// Between the packets of one body.
const SEPARATOR: u8 = 0x1e;

/// A case while it runs.
pub(crate) trait Polled {
    /// A Socket.IO packet came for a client that has joined.
    fn packet(&mut self, who: usize, packet: &[u8]) -> Result<()>;

    /// What the client posted was taken.
    fn taken(&mut self, who: usize) -> Result<()>;

    /// What the client posts next, asked whenever it could.
    fn next(&mut self, who: usize) -> Option<String>;
}

/// A connection, on which one request is under way at most.
struct Line {
    stream: TcpStream,
    /// Received and not whole yet.
    held: Vec<u8>,
    /// To be written.
    out: Vec<u8>,
    busy: bool,
}

struct Poller {
    get: Line,
    post: Line,
    /// Of the session; empty until it is open.
    sid: String,
    joined: bool,
    /// A ping was not answered yet.
    pinged: bool,
    /// The post under way is an event, not the client's own.
    event: bool,
}

pub(crate) struct Pollers {
    poll: Poll,
    events: Events,
    buffer: Vec<u8>,
    address: SocketAddr,
    all: Vec<Poller>,
}

impl Pollers {
    /// Opens that many clients and waits until all have joined their namespace.
    pub(crate) fn open(address: SocketAddr, count: usize) -> Result<Self> {
        let (poll, events) = (Poll::new()?, Events::with_capacity(1024));
        let mut pollers =
            Self { poll, events, buffer: vec![0; 64 * 1024], address, all: Vec::new() };
        for who in 0..count {
            let (get, post) = (pollers.dial(2 * who)?, pollers.dial(2 * who + 1)?);
            let sid = String::new();
            let poller = Poller { get, post, sid, joined: false, pinged: false, event: false };
            pollers.all.push(poller);
            pollers.all[who].poll(address)?;
        }
        let started = Instant::now();
        while !pollers.all.iter().all(|poller| poller.joined) {
            pollers.turn(&mut Nothing, Duration::from_millis(100))?;
            if started.elapsed() > PATIENCE {
                return fail("not all clients could join by polling");
            }
        }
        Ok(pollers)
    }

    fn dial(&self, token: usize) -> Result<Line> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_nodelay(true)?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut stream, Token(token), interest)?;
        Ok(Line { stream, held: Vec::new(), out: Vec::new(), busy: false })
    }

    /// Posts what `play` has to say, for all clients.
    pub(crate) fn begin(&mut self, play: &mut impl Polled) -> Result<()> {
        let address = self.address;
        for (who, poller) in self.all.iter_mut().enumerate() {
            poller.speak(who, address, play)?;
        }
        Ok(())
    }

    /// Waits for something to happen, and has `play` do what it asks for.
    pub(crate) fn turn(&mut self, play: &mut impl Polled, wait: Duration) -> Result<()> {
        if let Err(error) = self.poll.poll(&mut self.events, Some(wait))
            && error.kind() != ErrorKind::Interrupted
        {
            return Err(error.into());
        }
        for event in &self.events {
            let (who, is_post) = (event.token().0 / 2, event.token().0 % 2 == 1);
            let poller = &mut self.all[who];
            let line = if is_post { &mut poller.post } else { &mut poller.get };
            if event.is_writable() && !line.out.is_empty() {
                line.flush()?;
            }
            if event.is_readable() && line.read(&mut self.buffer)? {
                poller.receive(who, is_post, self.address, play)?;
                poller.speak(who, self.address, play)?;
            }
        }
        Ok(())
    }
}

impl Line {
    fn send(&mut self, request: &str) -> Result<()> {
        self.busy = true;
        self.out.extend_from_slice(request.as_bytes());
        self.flush()
    }

    fn flush(&mut self) -> Result<()> {
        while !self.out.is_empty() {
            match self.stream.write(&self.out) {
                Ok(len) => drop(self.out.drain(..len)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return fail(format!("cannot write: {error}")),
            }
        }
        Ok(())
    }

    /// Reads what there is; `false` when that is nothing.
    fn read(&mut self, buffer: &mut [u8]) -> Result<bool> {
        loop {
            match self.stream.read(buffer) {
                Ok(0) => return fail("the server closed a connection that should stay"),
                Ok(len) => {
                    self.held.extend_from_slice(&buffer[..len]);
                    if len < buffer.len() {
                        return Ok(true);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return Ok(!self.held.is_empty());
                }
                Err(error) => return fail(format!("cannot read: {error}")),
            }
        }
    }
}

impl Poller {
    /// Takes the answer to the request under way, if that is whole.
    fn receive(
        &mut self,
        who: usize,
        is_post: bool,
        address: SocketAddr,
        play: &mut impl Polled,
    ) -> Result<()> {
        let line = if is_post { &mut self.post } else { &mut self.get };
        let held = std::mem::take(&mut line.held);
        let Some((body, len)) = http::first(&held)? else {
            line.held = held;
            return Ok(());
        };
        if !line.busy || len < held.len() {
            return fail(format!("client {who} got an answer that it did not ask for"));
        }
        line.busy = false;
        if is_post {
            return self.taken(who, &body, play);
        }
        for packet in body.split(|&byte| byte == SEPARATOR) {
            self.packet(who, packet, address, play)?;
        }
        self.poll(address)
    }

    fn taken(&mut self, who: usize, body: &[u8], play: &mut impl Polled) -> Result<()> {
        // As the protocol has it; python-socketio shouts, and clients do not look.
        if !body.eq_ignore_ascii_case(b"ok") {
            let body = String::from_utf8_lossy(body);
            return fail(format!("client {who} posted and got {body}, not ok"));
        }
        if std::mem::take(&mut self.event) { play.taken(who) } else { Ok(()) }
    }

    fn packet(
        &mut self,
        who: usize,
        packet: &[u8],
        address: SocketAddr,
        play: &mut impl Polled,
    ) -> Result<()> {
        match packet {
            [b'0', ..] if self.sid.is_empty() => {
                let open: serde_json::Value = serde_json::from_slice(&packet[1..])?;
                self.sid = open["sid"].as_str().ok_or("no session id")?.to_owned();
                self.post(address, "40")
            }
            [b'4', b'0', ..] if !self.joined => {
                self.joined = true;
                Ok(())
            }
            b"2" => {
                self.pinged = true;
                Ok(())
            }
            [b'4', packet @ ..] if self.joined => play.packet(who, packet),
            _ => fail(format!("client {who} got {}", String::from_utf8_lossy(packet))),
        }
    }

    /// Posts what is to be posted, when the last one was taken.
    fn speak(&mut self, who: usize, address: SocketAddr, play: &mut impl Polled) -> Result<()> {
        if self.post.busy || !self.joined {
            return Ok(());
        }
        if std::mem::take(&mut self.pinged) {
            return self.post(address, "3");
        }
        let Some(packet) = play.next(who) else {
            return Ok(());
        };
        self.event = true;
        self.post(address, &format!("4{packet}"))
    }

    fn poll(&mut self, address: SocketAddr) -> Result<()> {
        let session = if self.sid.is_empty() { "" } else { "&sid=" };
        self.get.send(&format!(
            "GET /socket.io/?EIO=4&transport=polling{session}{} HTTP/1.1\r\nHost: {address}\r\n\
             Accept: */*\r\nConnection: keep-alive\r\n\r\n",
            self.sid
        ))
    }

    fn post(&mut self, address: SocketAddr, body: &str) -> Result<()> {
        self.post.send(&format!(
            "POST /socket.io/?EIO=4&transport=polling&sid={} HTTP/1.1\r\nHost: {address}\r\n\
             Accept: */*\r\nConnection: keep-alive\r\nContent-Type: text/plain;charset=UTF-8\r\n\
             Content-Length: {}\r\n\r\n{body}",
            self.sid,
            body.len()
        ))
    }
}

/// Plays where nothing is expected.
struct Nothing;

impl Polled for Nothing {
    fn packet(&mut self, _: usize, packet: &[u8]) -> Result<()> {
        let text = String::from_utf8_lossy(packet);
        fail(format!("a packet that nobody asked for: {text}"))
    }

    fn taken(&mut self, _: usize) -> Result<()> {
        fail("a post that nobody sent")
    }

    fn next(&mut self, _: usize) -> Option<String> {
        None
    }
}
