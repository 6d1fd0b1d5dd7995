//! What a client does while it is there: each step is a talk with the server that has an end.

use std::collections::HashMap;

use roomful::Reason;
use serde_json::json;

use super::{Client, News, leaving};
use crate::line::{Ended, Line, Upgrade};
use crate::order::Stream;
use crate::site::ROOMS_MAX;
use crate::support::prefix;

/// Events that one step sends.
const BURST_MAX: u64 = 8;

/// Who has left may be cut before that was read.
const LEFT_OR_CUT: &[Reason] = &[
    Reason::ClientNamespaceDisconnect,
    Reason::TransportError,
    Reason::TransportClose,
    Reason::PingTimeout,
];

impl Client {
    pub(super) async fn step(&mut self, line: &mut Line) -> Result<(), Ended> {
        let Some(namespace) = self.some_seat() else {
            return self.step_in(line).await;
        };
        let namespace = namespace.as_str();
        match self.random.below(22) {
            0..4 => self.join_room(line, namespace).await,
            4 => self.leave_room(line, namespace).await,
            5..8 => self.tell(line, namespace).await,
            8..11 => self.say(line, namespace).await,
            11 => self.mark(line, namespace).await,
            12 => self.echo(line, namespace).await,
            13 => self.wait(line, namespace).await,
            14 => self.be_asked(line, namespace).await,
            15 => self.ask_room(line, namespace).await,
            16 => self.look_at_rooms(line, namespace).await,
            17 => self.be_refused(line).await,
            18 => self.step_out(line, namespace).await,
            19 => self.answer_late(line).await,
            _ => self.upgrade(line).await,
        }
    }

    async fn be_refused(&mut self, line: &mut Line) -> Result<(), Ended> {
        if self.seats.contains_key("/lobby") {
            return Ok(());
        }
        let mut auth = self.auth();
        auth["refuse"] = json!(true);
        if let Some(answer) = self.connect(line, "/lobby", &auth).await? {
            self.fault(&format!("it was to be refused and got {answer}"));
        }
        Ok(())
    }

    /// Leaves a namespace.
    async fn step_out(&mut self, line: &mut Line, namespace: &str) -> Result<(), Ended> {
        line.send(&leaving(namespace)).await?;
        if let Some(seat) = self.seats.remove(namespace) {
            self.site.books.expect(seat.id, LEFT_OR_CUT);
        }
        Ok(())
    }

    async fn join_room(&mut self, line: &mut Line, namespace: &str) -> Result<(), Ended> {
        let room = self.some_room(namespace);
        let Some(seat) = self.seats.get_mut(namespace) else {
            return Ok(());
        };
        if seat.streams.contains_key(&room) || seat.streams.len() > ROOMS_MAX / 2 {
            return Ok(());
        }
        seat.streams.insert(room.clone(), Stream::default());
        let answer = self.ask(line, namespace, "join", json!([room])).await?;
        match answer[0].as_u64() {
            Some(number) => self.check(namespace, &room, |stream| stream.joined(number)),
            None => self.fault(&format!("{namespace}: joining {room}: {answer}")),
        }
        Ok(())
    }

    async fn leave_room(&mut self, line: &mut Line, namespace: &str) -> Result<(), Ended> {
        let Some(seat) = self.seats.get_mut(namespace) else {
            return Ok(());
        };
        let Some(room) = seat.streams.keys().find(|room| *room != "*").cloned() else {
            return Ok(());
        };
        seat.streams.entry(room.clone()).or_default().is_sure = false;
        let answer = self.ask(line, namespace, "leave", json!([room])).await?;
        let number = answer[0].as_u64().unwrap_or(u64::MAX);
        self.check(namespace, &room, |stream| stream.left(number));
        if let Some(seat) = self.seats.get_mut(namespace) {
            seat.streams.remove(&room);
        }
        Ok(())
    }

    /// Lets the server tell something in a room, be it in there or not; seldom to everyone.
    async fn tell(&mut self, line: &mut Line, namespace: &str) -> Result<(), Ended> {
        let everyone = self.random.below(12) == 0;
        let room = if everyone { "*".to_owned() } else { self.some_room(namespace) };
        let count = if everyone { 1 } else { 1 + self.random.below(BURST_MAX) };
        self.ask(line, namespace, "tell", json!([room, count])).await?;
        Ok(())
    }

    /// Says something in a room, be it in there or not.
    async fn say(&mut self, line: &mut Line, namespace: &str) -> Result<(), Ended> {
        let room = self.some_room(namespace);
        let Some(seat) = self.seats.get_mut(namespace) else {
            return Ok(());
        };
        // Each visit has its own voice, since nobody knows what of an earlier one was heard.
        let voice = format!("{}/{}", seat.id, self.visit);
        let spoken = seat.spoken.entry(room.clone()).or_default();
        let first = *spoken;
        *spoken += 1 + self.random.below(BURST_MAX);
        let last = *spoken - 1;
        for number in first..last {
            let event = json!(["say", room, voice, number]);
            line.send(&format!("42{}{event}", prefix(namespace))).await?;
        }
        self.ask(line, namespace, "say", json!([room, voice, last])).await?;
        Ok(())
    }

    /// Sees that nothing is missing up to now.
    pub(super) async fn mark(&mut self, line: &mut Line, namespace: &str) -> Result<(), Ended> {
        let seat = self.seats.get(namespace);
        let rooms: Option<Vec<_>> = seat.map(|seat| seat.streams.keys().cloned().collect());
        for room in rooms.unwrap_or_default() {
            let answer = self.ask(line, namespace, "mark", json!([room])).await?;
            let number = answer[0].as_u64().unwrap_or(u64::MAX);
            self.check(namespace, &room, |stream| stream.marked(number));
        }
        Ok(())
    }

    /// Asks several things at once, and hears the answers in that order.
    async fn echo(&mut self, line: &mut Line, namespace: &str) -> Result<(), Ended> {
        let first = self.asked;
        for _ in 0..=self.random.below(BURST_MAX) {
            let value = format!("{}-{}", self.key, self.asked);
            self.send_question(line, namespace, "echo", json!([value])).await?;
        }
        for id in first..self.asked {
            let answer = self.answer(line, namespace, id).await?;
            if answer != json!([format!("{}-{id}", self.key)]) {
                self.fault(&format!("{namespace}: question {id} has the answer {answer}"));
            }
        }
        Ok(())
    }

    /// Asks several things at once that take their time, and hears the answers in any order.
    async fn wait(&mut self, line: &mut Line, namespace: &str) -> Result<(), Ended> {
        let mut open = HashMap::new();
        for _ in 0..3 {
            let value = format!("{}-{}", self.key, self.asked);
            open.insert(self.asked, json!([value]));
            let ms = self.random.below(100);
            self.send_question(line, namespace, "wait", json!([ms, value])).await?;
        }
        while !open.is_empty() {
            match self.turn(line).await? {
                News::Answer(name, id, answer) if name == namespace => {
                    self.answers_seen += 1;
                    if open.remove(&id).as_ref() != Some(&answer) {
                        self.fault(&format!("{namespace}: question {id} has the answer {answer}"));
                    }
                }
                News::Event => {}
                other => self.odd(&other),
            }
        }
        Ok(())
    }

    async fn be_asked(&mut self, line: &mut Line, namespace: &str) -> Result<(), Ended> {
        let nonce = self.random.below(1 << 40);
        let answer = self.ask(line, namespace, "ask me", json!([nonce])).await?;
        let may_be = answer == json!(["answered"]) || answer == json!(["timeout"]);
        if !may_be {
            self.fault(&format!("{namespace}: it was asked, and the server says {answer}"));
        }
        Ok(())
    }

    async fn ask_room(&mut self, line: &mut Line, namespace: &str) -> Result<(), Ended> {
        let room = self.some_room(namespace);
        let nonce = self.random.below(1 << 40);
        self.ask(line, namespace, "ask room", json!([room, nonce])).await?;
        Ok(())
    }

    /// Compares the rooms that it is in with those that the server says. Afterwards all are sure.
    pub(super) async fn look_at_rooms(
        &mut self,
        line: &mut Line,
        namespace: &str,
    ) -> Result<(), Ended> {
        let answer = self.ask(line, namespace, "rooms", json!([])).await?;
        let rooms: Vec<String> = serde_json::from_value(answer[0].clone()).unwrap_or_default();
        let Some(seat) = self.seats.get_mut(namespace) else {
            return Ok(());
        };
        let mut lost = Vec::new();
        seat.streams.retain(|room, stream| {
            let is_there = room == "*" || rooms.contains(room);
            if !is_there && stream.is_sure {
                lost.push(room.clone());
            }
            stream.is_sure = is_there;
            is_there
        });
        let odd: Vec<_> = rooms.iter().filter(|room| !seat.streams.contains_key(*room)).collect();
        if !(lost.is_empty() && odd.is_empty()) {
            let odd = format!("{namespace}: rooms lost {lost:?}, and not asked for {odd:?}");
            self.fault(&odd);
        }
        Ok(())
    }

    pub(super) async fn answer_late(&mut self, line: &mut Line) -> Result<(), Ended> {
        let late = std::mem::take(&mut self.late);
        for (namespace, answer) in late {
            if self.seats.contains_key(&namespace) {
                line.send(&answer).await?;
            }
        }
        Ok(())
    }

    async fn upgrade(&mut self, line: &mut Line) -> Result<(), Ended> {
        let until = match self.random.below(6) {
            0 => Upgrade::Opened,
            1 => Upgrade::Probed,
            _ => Upgrade::Done,
        };
        let while_polling = self.random.below(2) == 0;
        line.upgrade(until, while_polling).await
    }
}
