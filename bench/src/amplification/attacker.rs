//! [`Attacker`]: connections that send what they should not, and count what they have sent.

use std::io::{ErrorKind, Read as _, Write as _};
use std::ops::Range;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use socket2::SockRef;

use super::victim::{Report, Victim};
use crate::load::frames::{self, Kind};
use crate::{Result, fail};

/// Headers of IP and TCP, without options: what each packet costs who sends it beside what is in it.
const HEADER_BYTES: u64 = 40;
/// What a packet carries at most on Ethernet.
const PACKET_BYTES: usize = 1448;
/// Packets of a connection beside what is sent on it: the first two of its beginning.
const OPENING_PACKETS: u64 = 2;
/// Connections that are opened at once.
const OPENING_MAX: usize = 256;
/// How long anything may take before an attack has failed.
const PATIENCE: Duration = Duration::from_secs(60);
/// A victim that takes nothing for so long will take nothing more. Longer than the kernel waits until it tries
/// again to open a connection.
const STUCK: Duration = Duration::from_secs(2);
/// A victim is at rest that has used less than `REST_CPU` in each of so many looks one after the other.
const REST: Duration = Duration::from_millis(20);
const REST_CPU: Duration = Duration::from_micros(300);
const REST_LOOKS: u32 = 3;

/// What is measured of an attack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// CPU: as much as can be sent in about a second.
    Flood,
    /// Memory: what many connections can have held at the same time.
    Hold,
}

/// What an attack has cost both.
pub(super) struct Cost {
    /// Bytes of the packets that the attacker has sent.
    pub(super) bytes: u64,
    /// Things that were done to the victim: packets, requests or connections.
    pub(super) items: u64,
    pub(super) cpu: Duration,
    /// Bytes on the heap at its peak, above those before.
    pub(super) peak: u64,
    /// What the counters have counted meanwhile.
    pub(super) counted: Vec<(String, u64)>,
}

pub(super) struct Attacker {
    pub(super) victim: Victim,
    pub(super) side: Side,
    poll: Poll,
    events: Events,
    buffer: Vec<u8>,
    lines: Vec<Line>,
    sent: u64,
    items: u64,
    begun: Begun,
}

struct Begun {
    cpu: Duration,
    report: Report,
}

struct Line {
    stream: Option<TcpStream>,
    out: Vec<u8>,
    written: usize,
    input: Vec<u8>,
    /// How much of the input is kept.
    keeps: usize,
    deaf: bool,
}

impl Attacker {
    pub(super) fn new(mut victim: Victim, side: Side) -> Result<Self> {
        let begun = Begun { cpu: victim.cpu()?, report: victim.report()? };
        Ok(Self {
            victim,
            side,
            poll: Poll::new()?,
            events: Events::with_capacity(1024),
            buffer: vec![0; 256 * 1024],
            lines: Vec::new(),
            sent: 0,
            items: 0,
            begun,
        })
    }

    /// How often something is done: a flood is one number, what is held another.
    pub(super) const fn times(&self, flood: usize, hold: usize) -> usize {
        match self.side {
            Side::Flood => flood,
            Side::Hold => hold,
        }
    }

    /// From here on it counts: what was before was the way of an honest client, who was let in.
    pub(super) fn begin(&mut self) -> Result<()> {
        self.rest()?;
        let report = self.victim.report()?;
        self.begun = Begun { cpu: self.victim.cpu()?, report };
        (self.sent, self.items) = (0, 0);
        Ok(())
    }

    /// What it has cost since it has begun, when the victim is at rest again.
    pub(super) fn cost(&mut self) -> Result<Cost> {
        self.rest()?;
        let cpu = self.victim.cpu()?.saturating_sub(self.begun.cpu);
        let report = self.victim.report()?;
        let before = &self.begun.report;
        let counted = report.stats.iter().map(|(name, &count)| {
            let before = before.stats.get(name).copied().unwrap_or_default();
            (name.clone(), count.saturating_sub(before))
        });
        Ok(Cost {
            bytes: self.sent,
            items: self.items,
            cpu,
            peak: report.heap.peak.saturating_sub(before.heap.live),
            counted: counted.collect(),
        })
    }

    /// Counts so many things that were done.
    pub(super) fn did(&mut self, items: usize) {
        self.items += items as u64;
    }

    /// New connections.
    pub(super) fn open(&mut self, count: usize) -> Result<Range<usize>> {
        let first = self.lines.len();
        for who in first..first + count {
            let mut stream = TcpStream::connect(self.victim.address)?;
            stream.set_nodelay(true)?;
            let interest = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(&mut stream, Token(who), interest)?;
            self.lines.push(Line {
                stream: Some(stream),
                keeps: 4096,
                deaf: false,
                ..Line::over()
            });
            self.sent += OPENING_PACKETS * HEADER_BYTES;
            if (who - first) % OPENING_MAX == OPENING_MAX - 1 {
                self.wait(Duration::ZERO)?;
            }
        }
        Ok(first..first + count)
    }

    /// New WebSockets, with sessions of their own. `query` and `headers` come behind what is needed.
    pub(super) fn websockets(
        &mut self,
        count: usize,
        query: &str,
        headers: &str,
    ) -> Result<Range<usize>> {
        let revision = if query.contains("EIO=") { "" } else { "EIO=4&" };
        let head = format!(
            "GET /socket.io/?{revision}transport=websocket{query} HTTP/1.1\r\nHost: a\r\n\
             Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
        );
        let first = self.lines.len();
        // Not all at once: the kernel drops what a full queue of the listener has no place for.
        while self.lines.len() < first + count {
            let lines = self.open(OPENING_MAX.min(first + count - self.lines.len()))?;
            for who in lines.clone() {
                self.write(who, head.as_bytes());
            }
            self.hear(lines, "\"sid\"")?;
        }
        Ok(first..first + count)
    }

    /// New WebSockets in `/`.
    pub(super) fn joined(&mut self, count: usize) -> Result<Range<usize>> {
        let lines = self.websockets(count, "", "")?;
        for who in lines.clone() {
            self.text(who, b"40");
        }
        self.hear(lines.clone(), "40{")?;
        Ok(lines)
    }

    /// New sessions that poll, each on a connection of its own, and where their requests go.
    pub(super) fn pollers(
        &mut self,
        count: usize,
        query: &str,
    ) -> Result<(Range<usize>, Vec<String>)> {
        let lines = self.open(count)?;
        for who in lines.clone() {
            self.write(who, get(&format!("{query}&transport=polling"), "").as_bytes());
        }
        self.hear(lines.clone(), "sid")?;
        let target = |heard: String| {
            let sid = heard.replace('\\', "");
            let sid = sid.split_once("\"sid\":\"").and_then(|(_, rest)| rest.split_once('"'));
            let (sid, _) = sid.ok_or_else(|| format!("no session: {heard}"))?;
            Ok(format!("{query}&transport=polling&sid={sid}"))
        };
        let targets = lines.clone().map(|who| target(self.heard(who)));
        let targets = targets.collect::<Result<_>>()?;
        Ok((lines, targets))
    }

    /// Sends bytes as they are.
    pub(super) fn write(&mut self, who: usize, bytes: &[u8]) {
        self.lines[who].out.extend_from_slice(bytes);
    }

    /// Sends a WebSocket message: an Engine.IO packet.
    pub(super) fn text(&mut self, who: usize, message: &[u8]) {
        frames::push(&mut self.lines[who].out, Kind::Text, message);
    }

    /// Does not read from these connections any more.
    pub(super) fn turn_deaf(&mut self, lines: Range<usize>) {
        self.lines[lines].iter_mut().for_each(|line| line.deaf = true);
    }

    /// Ends these connections with a reset, which leaves no port behind.
    pub(super) fn cut(&mut self, lines: Range<usize>) -> Result<()> {
        for line in &mut self.lines[lines] {
            if let Some(stream) = line.stream.take() {
                SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
                self.sent += HEADER_BYTES;
            }
            *line = Line { keeps: 0, deaf: true, ..Line::over() };
        }
        Ok(())
    }

    /// Ends all connections.
    pub(super) fn cut_all(&mut self) -> Result<()> {
        self.cut(0..self.lines.len())
    }

    /// Sends all that is to be sent, as far as it is taken.
    pub(super) fn send(&mut self) -> Result<()> {
        let mut moved = Instant::now();
        loop {
            let before = self.sent;
            if !self.flush()? {
                return Ok(());
            }
            self.wait(Duration::from_millis(5))?;
            if self.sent != before {
                moved = Instant::now();
            } else if moved.elapsed() > STUCK {
                // What is not taken was not sent.
                for line in &mut self.lines {
                    line.out.clear();
                    line.written = 0;
                }
                return Ok(());
            }
        }
    }

    /// Sends, and waits until each of these connections was told something with this text in it, now or
    /// since [`heard`](Self::heard) was asked.
    pub(super) fn hear(&mut self, lines: Range<usize>, text: &str) -> Result<()> {
        let began = Instant::now();
        self.send()?;
        for who in lines {
            while !contains(&self.lines[who].input, text) {
                if self.lines[who].stream.is_none() || began.elapsed() > PATIENCE {
                    let heard = String::from_utf8_lossy(&self.lines[who].input);
                    return fail(format!("{text} never came, but {heard:?}"));
                }
                self.wait(Duration::from_millis(5))?;
            }
        }
        Ok(())
    }

    /// What a connection has heard since this was asked the last time.
    pub(super) fn heard(&mut self, who: usize) -> String {
        let heard = std::mem::take(&mut self.lines[who].input);
        String::from_utf8_lossy(&heard).into_owned()
    }

    /// Waits until the victim has worked off what was sent.
    pub(super) fn rest(&mut self) -> Result<()> {
        self.send()?;
        let (began, mut looks) = (Instant::now(), 0);
        while looks < REST_LOOKS {
            let (look, before) = (Instant::now(), self.victim.cpu()?);
            while look.elapsed() < REST {
                self.wait(REST)?;
            }
            let used = self.victim.cpu()?.saturating_sub(before);
            looks = if used < REST_CPU { looks + 1 } else { 0 };
            if began.elapsed() > PATIENCE {
                return fail("the victim does not come to rest");
            }
        }
        Ok(())
    }

    /// Writes what is taken; whether there is more.
    fn flush(&mut self) -> Result<bool> {
        let mut more = false;
        for line in &mut self.lines {
            let Some(stream) = &mut line.stream else {
                line.out.clear();
                continue;
            };
            while line.written < line.out.len() {
                match stream.write(&line.out[line.written..]) {
                    Ok(len) => {
                        line.written += len;
                        self.sent +=
                            (len + len.div_ceil(PACKET_BYTES) * HEADER_BYTES as usize) as u64;
                    }
                    Err(error) if is_later(error.kind()) => break,
                    // It has closed the connection, which is its right.
                    Err(_) => {
                        line.stream = None;
                        line.out.clear();
                        line.written = 0;
                        break;
                    }
                }
            }
            if line.written == line.out.len() {
                line.out.clear();
                line.written = 0;
            } else {
                more = true;
            }
        }
        Ok(more)
    }

    /// Reads what comes within this time.
    fn wait(&mut self, time: Duration) -> Result<()> {
        if let Err(error) = self.poll.poll(&mut self.events, Some(time))
            && error.kind() != ErrorKind::Interrupted
        {
            return Err(error.into());
        }
        for event in &self.events {
            let line = &mut self.lines[event.token().0];
            while !line.deaf
                && let Some(stream) = &mut line.stream
            {
                match stream.read(&mut self.buffer) {
                    Ok(len @ 1..) => {
                        let kept = len.min(line.keeps.saturating_sub(line.input.len()));
                        line.input.extend_from_slice(&self.buffer[..kept]);
                    }
                    Err(error) if is_later(error.kind()) => break,
                    Ok(_) | Err(_) => {
                        // It leaves no port behind either.
                        let _ = SockRef::from(&*stream).set_linger(Some(Duration::ZERO));
                        line.stream = None;
                    }
                }
            }
        }
        Ok(())
    }
}

impl Line {
    const fn over() -> Self {
        let out = Vec::new();
        let input = Vec::new();
        Self { stream: None, out, written: 0, input, keeps: 0, deaf: true }
    }
}

/// A request with this query.
pub(super) fn get(query: &str, headers: &str) -> String {
    format!("GET /socket.io/?{query} HTTP/1.1\r\nHost: a\r\n{headers}\r\n")
}

/// A request with this query and a body.
pub(super) fn post(query: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let len = body.len();
    let head = format!(
        "POST /socket.io/?{query} HTTP/1.1\r\nHost: a\r\n{headers}Content-Length: {len}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

/// Whether an error only says that it is too early, as while a connection is being opened.
fn is_later(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::NotConnected | ErrorKind::Interrupted)
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}
