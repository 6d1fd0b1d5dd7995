//! [`Swarm`]: many clients in one thread, over WebSocket.
//!
//! It opens them, answers pings, and hands every packet to the case that plays. What the case sends
//! while a packet is handed over leaves in one write per client when all that was read is handled.

use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use socket2::SockRef;

use super::dialect::Dialect;
use super::frames::{self, Kind};
use super::inflate::inflate;
use crate::{Result, fail};

/// How long anything may take before a run has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// Clients that connect at once, unless a case says otherwise.
const CONNECTING_MAX: usize = 256;
/// Compressed messages of up to so many bytes are read at once: some servers compress all that they send.
/// Longer ones are left to the case, which knows many of them by their bytes.
const SHORT_BYTES: usize = 256;
/// Clients that a short turn handles at most.
const SHORT_TURN: usize = 32;

/// A case while it runs.
pub(crate) trait Play {
    /// A packet came for a client that has joined.
    fn packet(&mut self, who: usize, packet: Packet<'_>, clients: &mut Clients) -> Result<()>;

    /// A client was told that it has joined.
    fn joined(&mut self, _who: usize, _packet: &[u8]) -> Result<()> {
        Ok(())
    }
}

/// A Socket.IO packet, or an attachment.
#[derive(Clone, Copy)]
pub(crate) enum Packet<'a> {
    Text(&'a [u8]),
    Binary(&'a [u8]),
    /// A message as it was compressed.
    Deflated(&'a [u8]),
}

impl fmt::Debug for Packet<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(bytes) => f.write_str(&String::from_utf8_lossy(bytes)),
            Self::Binary(bytes) => write!(f, "{} bytes", bytes.len()),
            Self::Deflated(bytes) => write!(f, "{} compressed bytes", bytes.len()),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Upgrading,
    Opening,
    Joining,
    Joined,
    Gone,
}

struct Client {
    stream: Option<TcpStream>,
    state: State,
    /// Received and not whole yet.
    held: Vec<u8>,
    /// To be written.
    out: Vec<u8>,
    dirty: bool,
    /// What it joins with, where that is not what all do.
    join: Option<Vec<u8>>,
}

/// The clients, as a case sees them.
pub(crate) struct Clients {
    all: Vec<Client>,
    dirty: Vec<usize>,
    joined: usize,
    /// Pings that were answered.
    pings: usize,
    dialect: Dialect,
    namespace: String,
    payload: Vec<u8>,
}

pub(crate) struct Swarm {
    poll: Poll,
    events: Events,
    buffer: Vec<u8>,
    address: SocketAddr,
    pub(crate) clients: Clients,
}

impl Clients {
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// Clients that have joined their namespace.
    pub(crate) const fn joined(&self) -> usize {
        self.joined
    }

    /// Pings that all of them have answered.
    pub(crate) const fn pings(&self) -> usize {
        self.pings
    }

    /// Whether this one has joined its namespace.
    pub(crate) fn has_joined(&self, who: usize) -> bool {
        self.all[who].state == State::Joined
    }

    /// Sends a Socket.IO packet.
    pub(crate) fn send(&mut self, who: usize, packet: &[u8]) {
        self.payload.clear();
        self.payload.push(b'4');
        self.payload.extend_from_slice(packet);
        frames::push(&mut self.all[who].out, Kind::Text, &self.payload);
        self.mark(who);
    }

    /// Sends frames that were made beforehand with [`frames::push`].
    pub(crate) fn send_frames(&mut self, who: usize, frames: &[u8]) {
        self.all[who].out.extend_from_slice(frames);
        self.mark(who);
    }

    /// Closes the connection of a client without a word.
    pub(crate) fn hang_up(&mut self, who: usize) {
        let client = &mut self.all[who];
        if client.state == State::Joined {
            self.joined -= 1;
        }
        *client = Client::new(None);
    }

    /// Cuts the connection of a client: the server gets a reset. No other way frees the port at
    /// once, and there are not ports enough for thousands that come back within a minute.
    pub(crate) fn cut(&mut self, who: usize) -> Result<()> {
        if let Some(stream) = &self.all[who].stream {
            SockRef::from(stream).set_linger(Some(Duration::ZERO))?;
        }
        self.hang_up(who);
        Ok(())
    }

    /// Its session is open: asks to join the namespace.
    fn join(&mut self, who: usize) {
        let client = &mut self.all[who];
        client.state = State::Joining;
        let own = client.join.take().map(|packet| (Kind::Text, packet));
        if let Some((kind, packet)) = own.or_else(|| self.dialect.join(&self.namespace)) {
            frames::push(&mut client.out, kind, &packet);
            self.mark(who);
        }
    }

    fn mark(&mut self, who: usize) {
        let client = &mut self.all[who];
        if !client.dirty {
            client.dirty = true;
            self.dirty.push(who);
        }
    }

    fn flush(&mut self) -> Result<()> {
        while let Some(who) = self.dirty.pop() {
            let client = &mut self.all[who];
            client.dirty = false;
            client.flush()?;
        }
        Ok(())
    }
}

impl Client {
    fn new(stream: Option<TcpStream>) -> Self {
        let state = if stream.is_some() { State::Upgrading } else { State::Gone };
        Self { stream, state, held: Vec::new(), out: Vec::new(), dirty: false, join: None }
    }

    fn flush(&mut self) -> Result<()> {
        let Some(stream) = &mut self.stream else {
            return Ok(());
        };
        let mut written = 0;
        while written < self.out.len() {
            match stream.write(&self.out[written..]) {
                Ok(len) => written += len,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return fail(format!("cannot write: {error}")),
            }
        }
        self.out.drain(..written);
        Ok(())
    }
}

impl Swarm {
    pub(crate) fn new(address: SocketAddr) -> Result<Self> {
        Self::speaking(Dialect::Default, address)
    }

    /// Clients that speak like this.
    pub(crate) fn speaking(dialect: Dialect, address: SocketAddr) -> Result<Self> {
        let clients = Clients {
            all: Vec::new(),
            dirty: Vec::new(),
            joined: 0,
            pings: 0,
            dialect,
            namespace: "/".to_owned(),
            payload: Vec::new(),
        };
        Ok(Self {
            poll: Poll::new()?,
            events: Events::with_capacity(1024),
            buffer: vec![0; 256 * 1024],
            address,
            clients,
        })
    }

    /// Joins this namespace from now on, not `/`.
    pub(crate) fn namespace(&mut self, name: &str) {
        name.clone_into(&mut self.clients.namespace);
    }

    /// Has a turn handle few clients, where a case must look at the clock often.
    pub(crate) fn take_short_turns(&mut self) {
        self.events = Events::with_capacity(SHORT_TURN);
    }

    /// Opens clients until there are `count`, and waits until all have joined.
    pub(crate) fn grow(&mut self, count: usize) -> Result<()> {
        self.grow_in(count, &mut Nothing)
    }

    /// As [`grow`](Self::grow), and hands over what comes.
    pub(crate) fn grow_in(&mut self, count: usize, play: &mut impl Play) -> Result<()> {
        let started = Instant::now();
        while self.clients.joined < count {
            while self.clients.len() < count
                && self.clients.len() - self.clients.joined < CONNECTING_MAX
            {
                self.clients.all.push(Client::new(None));
                self.dial(self.clients.len() - 1)?;
            }
            self.turn(play, Some(Duration::from_millis(100)))?;
            if started.elapsed() > PATIENCE {
                return fail(format!("only {} of {count} clients joined", self.clients.joined));
            }
        }
        Ok(())
    }

    /// Opens the connection of a client that has none.
    pub(crate) fn dial(&mut self, who: usize) -> Result<()> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_nodelay(true)?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut stream, Token(who), interest)?;
        self.clients.all[who] = Client::new(Some(stream));
        let request = self.clients.dialect.request(self.address);
        self.clients.all[who].out.extend_from_slice(request.as_bytes());
        Ok(())
    }

    /// As [`dial`](Self::dial), and joins with this text.
    pub(crate) fn dial_with(&mut self, who: usize, join: Vec<u8>) -> Result<()> {
        self.dial(who)?;
        self.clients.all[who].join = Some(join);
        Ok(())
    }

    /// Waits for something to happen, and has `play` do what it asks for.
    pub(crate) fn turn(&mut self, play: &mut impl Play, wait: Option<Duration>) -> Result<()> {
        self.clients.flush()?;
        if let Err(error) = self.poll.poll(&mut self.events, wait)
            && error.kind() != ErrorKind::Interrupted
        {
            return Err(error.into());
        }
        for event in &self.events {
            let who = event.token().0;
            if event.is_writable() && !self.clients.all[who].out.is_empty() {
                if let Some(stream) = &self.clients.all[who].stream
                    && let Some(error) = stream.take_error()?
                {
                    return fail(format!("cannot connect: {error}"));
                }
                self.clients.all[who].flush()?;
            }
            if event.is_readable() {
                read(&mut self.clients, who, &mut self.buffer, play)?;
            }
        }
        Ok(())
    }
}

/// Plays where nothing is expected.
pub(crate) struct Nothing;

impl Play for Nothing {
    fn packet(&mut self, _: usize, packet: Packet<'_>, _: &mut Clients) -> Result<()> {
        fail(format!("a packet that nobody asked for: {packet:?}"))
    }
}

/// Reads all there is for one client.
fn read(clients: &mut Clients, who: usize, buffer: &mut [u8], play: &mut impl Play) -> Result<()> {
    loop {
        let client = &mut clients.all[who];
        let Some(stream) = &mut client.stream else {
            return Ok(());
        };
        let held = client.held.len();
        buffer[..held].copy_from_slice(&client.held);
        client.held.clear();
        let len = match stream.read(&mut buffer[held..]) {
            Ok(0) => return fail(format!("the server closed the connection of client {who}")),
            Ok(len) => len,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                client.held.extend_from_slice(&buffer[..held]);
                return Ok(());
            }
            Err(error) => return fail(format!("cannot read: {error}")),
        };
        let whole = held + len == buffer.len();
        let used = take(clients, who, &buffer[..held + len], play)?;
        clients.all[who].held.extend_from_slice(&buffer[used..held + len]);
        clients.flush()?;
        // Less than there was room for: that was all.
        if !whole {
            return Ok(());
        }
    }
}

/// Hands over all whole packets, and tells how many bytes they took.
fn take(clients: &mut Clients, who: usize, bytes: &[u8], play: &mut impl Play) -> Result<usize> {
    let mut at = 0;
    if clients.all[who].state == State::Upgrading {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let Some(end) = end else {
            return Ok(0);
        };
        if !bytes.starts_with(b"HTTP/1.1 101") {
            return fail(format!("no upgrade: {}", String::from_utf8_lossy(bytes)));
        }
        clients.all[who].state = State::Opening;
        at = end + 4;
    }
    while let Some((kind, payload, len)) = frames::first(&bytes[at..])? {
        at += len;
        let inflated = match kind {
            Kind::Deflated if len <= SHORT_BYTES => inflate(payload),
            _ => None,
        };
        let (kind, payload) = match &inflated {
            Some(text) => (Kind::Text, &text[..]),
            None => (kind, payload),
        };
        if clients.all[who].state == State::Joining && clients.dialect.has_joined(kind, payload) {
            clients.all[who].state = State::Joined;
            clients.joined += 1;
            play.joined(who, payload)?;
            continue;
        }
        match (kind, payload) {
            (Kind::Binary, bytes) => play.packet(who, Packet::Binary(bytes), clients)?,
            (Kind::Deflated, bytes) => play.packet(who, Packet::Deflated(bytes), clients)?,
            (Kind::Text, [b'4', packet @ ..]) => play.packet(who, Packet::Text(packet), clients)?,
            (Kind::Text, b"2") => {
                clients.pings += 1;
                frames::push(&mut clients.all[who].out, Kind::Text, b"3");
                clients.mark(who);
            }
            (Kind::Text, [b'0', ..]) if clients.all[who].state == State::Opening => {
                clients.join(who);
            }
            (kind, payload) => {
                let payload = String::from_utf8_lossy(payload);
                return fail(format!("client {who} got {kind:?} {payload}"));
            }
        }
    }
    Ok(at)
}
