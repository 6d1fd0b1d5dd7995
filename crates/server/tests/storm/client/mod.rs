//! [`Client`]: the life of one that keeps to the rules: it comes, talks, is cut, and comes back.

mod cut;
mod steps;

use std::collections::BTreeMap;
use std::sync::Arc;

use roomful::SocketId;
use serde_json::{Value, json};

use crate::line::{Ended, Line};
use crate::order::Stream;
use crate::site::Site;
use crate::support::random::Random;
use crate::support::{Packet, prefix};

pub struct Client {
    site: Arc<Site>,
    pub key: u64,
    /// How many clients are there at the same time: rooms have a few of them each.
    at_once: u64,
    random: Random,
    /// Where it is, by namespace.
    seats: BTreeMap<String, Seat>,
    /// Where it was when it was cut.
    lost: BTreeMap<String, Seat>,
    visit: u64,
    asked: u64,
    /// It leaves questions alone, or answers them when nobody waits for that any more.
    is_slow_to_answer: bool,
    late: Vec<(String, String)>,
    numbers_seen: u64,
    answers_seen: u64,
}

/// A socket, as its client has it.
struct Seat {
    id: SocketId,
    pid: Option<String>,
    offset: Option<String>,
    /// By room; `*` is everyone in the namespace.
    streams: BTreeMap<String, Stream>,
    /// What it has said itself, by room.
    spoken: BTreeMap<String, u64>,
}

/// What a packet was.
enum News {
    Joined(String, Value),
    Refused(String),
    Left(String),
    Answer(String, u64, Value),
    Event,
}

impl Client {
    pub fn new(site: Arc<Site>, key: u64, at_once: u64, mut random: Random) -> Self {
        let is_slow_to_answer = random.below(10) == 0;
        Self {
            site,
            key,
            at_once,
            random,
            seats: BTreeMap::new(),
            lost: BTreeMap::new(),
            visit: 0,
            asked: 0,
            is_slow_to_answer,
            late: Vec::new(),
            numbers_seen: 0,
            answers_seen: 0,
        }
    }

    pub async fn live(mut self) {
        let visits = 1 + self.random.below(4);
        while self.visit < visits {
            self.visit += 1;
            self.visit().await;
            self.lost = std::mem::take(&mut self.seats);
        }
        self.site.books.count_all("numbers seen in order", self.numbers_seen);
        self.site.books.count_all("answers of the server", self.answers_seen);
        self.site.books.count_all("visits", visits);
    }

    async fn visit(&mut self) {
        let address = self.site.server.address;
        let opened = match self.random.below(2) {
            0 => Line::websocket(address).await,
            _ => Line::polling(address).await,
        };
        let mut line = match opened {
            Ok(line) => line,
            Err(Ended(why)) => return self.fault(&format!("it was not let in: {why}")),
        };
        let ended = match self.stay(&mut line).await {
            Ok(()) => self.go(line).await,
            ended => ended,
        };
        if let Err(Ended(why)) = ended {
            self.was_ended(&why).await;
        }
    }

    async fn stay(&mut self, line: &mut Line) -> Result<(), Ended> {
        let comes_back = self.random.below(4) > 0;
        let lost = std::mem::take(&mut self.lost);
        for (namespace, seat) in lost.into_iter().filter(|_| comes_back) {
            self.come_back(line, &namespace, seat).await?;
        }
        while self.seats.is_empty() || self.random.below(3) == 0 {
            self.step_in(line).await?;
        }
        for _ in 0..2 + self.random.below(10) {
            self.step(line).await?;
        }
        Ok(())
    }

    /// Joins a namespace.
    async fn step_in(&mut self, line: &mut Line) -> Result<(), Ended> {
        if self.seats.len() == 4 {
            return Ok(());
        }
        let number = self.key / 4;
        let namespace = match self.random.below(5) {
            0 => "/".to_owned(),
            1 | 2 => "/lobby".to_owned(),
            3 => format!("/child-{number}"),
            // Every other number is no namespace.
            _ => format!("/even-{number}"),
        };
        if self.seats.contains_key(&namespace) {
            return Ok(());
        }
        let exists = !namespace.starts_with("/even") || number.is_multiple_of(2);
        let joined = self.connect(line, &namespace, &self.auth()).await?;
        match joined {
            Some(answer) if exists => self.sit_down(namespace, &answer),
            None if !exists => {}
            _ => self.fault(&format!("{namespace} is there: {exists}, and it got {joined:?}")),
        }
        Ok(())
    }

    /// Comes back to a namespace, to its socket where that is still there.
    async fn come_back(
        &mut self,
        line: &mut Line,
        namespace: &str,
        mut seat: Seat,
    ) -> Result<(), Ended> {
        let mut auth = self.auth();
        if let Some(pid) = &seat.pid {
            auth["pid"] = json!(pid);
            if let Some(offset) = &seat.offset {
                auth["offset"] = json!(offset);
            }
        }
        let Some(answer) = self.connect(line, namespace, &auth).await? else {
            self.fault(&format!("{namespace} let it in once, and now refuses it"));
            return Ok(());
        };
        if answer["sid"] != json!(seat.id.as_str()) {
            self.sit_down(namespace.to_owned(), &answer);
            return Ok(());
        }
        self.site.books.count("came back to their sockets");
        seat.pid = answer["pid"].as_str().map(str::to_owned);
        // Those to whom it speaks may have missed the end of what it said before.
        seat.spoken.clear();
        self.seats.insert(namespace.to_owned(), seat);
        self.look_at_rooms(line, namespace).await?;
        self.mark(line, namespace).await
    }

    /// What it says about itself, the same each time.
    fn auth(&self) -> Value {
        let wait_ms = if self.key.is_multiple_of(4) { self.key % 20 } else { 0 };
        json!({ "client": self.key, "wait_ms": wait_ms })
    }

    fn sit_down(&mut self, namespace: String, answer: &Value) {
        let id = answer["sid"].as_str().and_then(SocketId::parse);
        let pid = answer["pid"].as_str().map(str::to_owned);
        let Some(id) = id.filter(|_| pid.is_some() == self.site.recovers) else {
            return self.fault(&format!("joined {namespace} as {answer}"));
        };
        let streams = [("*".to_owned(), Stream::default())].into();
        let seat = Seat { id, pid, offset: None, streams, spoken: BTreeMap::new() };
        self.seats.insert(namespace, seat);
    }

    /// `None` when it is refused.
    async fn connect(
        &mut self,
        line: &mut Line,
        namespace: &str,
        auth: &Value,
    ) -> Result<Option<Value>, Ended> {
        line.send(&format!("40{}{auth}", prefix(namespace))).await?;
        loop {
            match self.turn(line).await? {
                News::Joined(name, answer) if name == namespace => return Ok(Some(answer)),
                News::Refused(name) if name == namespace => return Ok(None),
                News::Event => {}
                other => self.odd(&other),
            }
        }
    }

    /// Asks the server, and waits for the answer.
    async fn ask(
        &mut self,
        line: &mut Line,
        namespace: &str,
        event: &str,
        args: Value,
    ) -> Result<Value, Ended> {
        let id = self.asked;
        self.send_question(line, namespace, event, args).await?;
        self.answer(line, namespace, id).await
    }

    async fn send_question(
        &mut self,
        line: &mut Line,
        namespace: &str,
        event: &str,
        mut args: Value,
    ) -> Result<(), Ended> {
        if let Some(args) = args.as_array_mut() {
            args.insert(0, json!(event));
        }
        let id = self.asked;
        self.asked += 1;
        line.send(&format!("42{}{id}{args}", prefix(namespace))).await
    }

    /// The answer to that question, which must be the next one.
    async fn answer(&mut self, line: &mut Line, namespace: &str, id: u64) -> Result<Value, Ended> {
        loop {
            match self.turn(line).await? {
                News::Answer(name, to, answer) if name == namespace && to == id => {
                    self.answers_seen += 1;
                    return Ok(answer);
                }
                News::Event => {}
                other => self.odd(&other),
            }
        }
    }

    /// Reads a packet and does with it what is always done.
    async fn turn(&mut self, line: &mut Line) -> Result<News, Ended> {
        let packet = line.next().await?;
        let (packet, _) = Packet::parse(&packet);
        let name = packet.namespace;
        Ok(match (packet.kind, packet.ack) {
            (0, _) => News::Joined(name, packet.data),
            (1, _) => News::Left(name),
            (2, None) => {
                self.hear(&name, packet.data);
                News::Event
            }
            (2, Some(id)) => {
                let answer = json!([[packet.data[1], self.key]]);
                let answer = format!("43{}{id}{answer}", prefix(&name));
                if self.is_slow_to_answer {
                    // It answers the questions before this one, also those of an earlier socket.
                    self.answer_late(line).await?;
                    self.late.push((name, answer));
                } else if self.seats.contains_key(&name) {
                    line.send(&answer).await?;
                }
                News::Event
            }
            (3, Some(id)) => News::Answer(name, id, packet.data),
            (4, _) => News::Refused(name),
            (kind, id) => {
                self.fault(&format!("a packet of type {kind} and id {id:?}"));
                News::Event
            }
        })
    }

    fn hear(&mut self, namespace: &str, mut event: Value) {
        let Some(seat) = self.seats.get_mut(namespace) else {
            // It may have left while this was on its way.
            return;
        };
        if self.site.recovers {
            let offset = event.as_array_mut().and_then(Vec::pop);
            seat.offset = offset.and_then(|offset| offset.as_str().map(str::to_owned));
        }
        let text = |at: usize| event[at].as_str().unwrap_or_default();
        let room = text(1);
        let seen = match text(0) {
            "welcome" if event == json!(["welcome", self.key]) => return,
            "told" => event[2].as_u64().map(|number| (None, number)),
            "said" => event[3].as_u64().map(|number| (Some(text(2)), number)),
            _ => None,
        };
        let Some((voice, number)) = seen else {
            return self.fault(&format!("{namespace}: an odd event {event}"));
        };
        self.numbers_seen += 1;
        let judged = match (seat.streams.get_mut(room), voice) {
            (None, _) => Err("it is not in there".to_owned()),
            (Some(stream), None) => stream.told(number),
            (Some(stream), Some(voice)) => stream.said(voice, number),
        };
        if let Err(fault) = judged {
            self.fault(&format!("{namespace}, room {room}: {event}: {fault}"));
        }
    }

    fn check(
        &mut self,
        namespace: &str,
        room: &str,
        judge: impl FnOnce(&mut Stream) -> Result<(), String>,
    ) {
        let seat = self.seats.get_mut(namespace);
        let judged = seat.and_then(|seat| seat.streams.get_mut(room)).map(judge);
        if let Some(Err(fault)) = judged {
            self.fault(&format!("{namespace}, room {room}: {fault}"));
        }
    }

    fn some_seat(&mut self) -> Option<String> {
        let at = self.random.below(self.seats.len().max(1) as u64);
        self.seats.keys().nth(at as usize).cloned()
    }

    fn some_room(&mut self, namespace: &str) -> String {
        let is_shared = !namespace.contains('-');
        let rooms = if is_shared { 4 + self.at_once / 32 } else { 2 };
        format!("room {}", self.random.below(rooms))
    }

    fn odd(&self, news: &News) {
        match news {
            News::Joined(name, answer) => self.fault(&format!("joined {name} unasked: {answer}")),
            News::Refused(name) => self.fault(&format!("refused by {name} unasked")),
            News::Left(name) => self.fault(&format!("put out of {name} unasked")),
            News::Answer(name, id, answer) => {
                self.fault(&format!("{name}: an answer to question {id}, not awaited: {answer}"));
            }
            News::Event => {}
        }
    }

    fn fault(&self, fault: &str) {
        self.site.books.fault(format!("client {}, visit {}: {fault}", self.key, self.visit));
    }
}

/// The packet that leaves a namespace.
fn leaving(namespace: &str) -> String {
    format!("41{}", prefix(namespace))
}
