//! [`Client`]: speaks as the official one does.

use std::collections::VecDeque;

use roomful_proto::SessionId;
use roomful_proto::cluster::sessions::Carried;
use roomful_proto::engine::{Data, Packet};

/// A request or a WebSocket of a client. No two have the same.
pub(crate) type Line = u64;

/// What a client sends to a node.
#[derive(Clone, Debug)]
pub(crate) enum Request {
    Open,
    Poll,
    Body(Vec<Carried>),
    WebSocket,
    /// On a WebSocket that is there.
    Frame(Carried),
    /// It gives the line up.
    Gone,
}

/// What a node answers.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Opened(SessionId),
    Packets(Vec<Carried>),
    Taken,
    Refused,
    /// On a WebSocket.
    Frame(Carried),
    Closed,
}

/// What a client wants to send: to any node on a new line, or on one that is there.
#[derive(Debug)]
pub(crate) enum Wish {
    New(Request),
    On(Line, Carried),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Opening,
    Polling,
    /// A WebSocket is being tried; from the answer to the probe on it polls no more.
    Probing {
        line: Line,
        paused: bool,
    },
    OnWebSocket(Line),
    Dead,
}

#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) state: State,
    pub(crate) session: Option<SessionId>,
    pub(crate) poll: Option<Line>,
    pub(crate) body: Option<Line>,
    /// The WebSocket that it has opened last.
    pub(crate) socket: Option<Line>,
    /// What waits to be sent.
    waiting: VecDeque<Carried>,
    /// Numbers that it has said.
    pub(crate) said: u64,
    /// The next number that it has to hear.
    pub(crate) heard: u64,
}

/// A message with a number in it.
pub(crate) fn numbered(number: u64) -> Carried {
    Carried::message(Data::Text(number.to_string().into()))
}

/// The number in a message.
pub(crate) fn number_of(text: &[u8]) -> u64 {
    std::str::from_utf8(text).unwrap().parse().unwrap()
}

impl Client {
    pub(crate) fn new() -> Self {
        Self {
            state: State::Opening,
            session: None,
            poll: None,
            body: None,
            socket: None,
            waiting: VecDeque::new(),
            said: 0,
            heard: 0,
        }
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.state == State::Dead
    }

    /// Says the next number.
    pub(crate) fn say(&mut self) {
        self.waiting.push_back(numbered(self.said));
        self.said += 1;
    }

    /// Begins to come over to a WebSocket; `false` where it does already.
    pub(crate) fn may_upgrade(&self) -> bool {
        self.state == State::Polling
    }

    /// What it sends next, until it gives `None`.
    pub(crate) fn next(&mut self) -> Option<Wish> {
        match self.state {
            State::Opening | State::Dead => None,
            State::OnWebSocket(line) => Some(Wish::On(line, self.waiting.pop_front()?)),
            State::Polling | State::Probing { paused: false, .. } => self.next_of_polling(),
            // What was begun is ended first.
            State::Probing { line, paused: true } if self.poll.is_none() && self.body.is_none() => {
                self.state = State::OnWebSocket(line);
                Some(Wish::On(line, Carried::Packet(Packet::Upgrade)))
            }
            State::Probing { .. } => None,
        }
    }

    fn next_of_polling(&mut self) -> Option<Wish> {
        if self.poll.is_none() {
            return Some(Wish::New(Request::Poll));
        }
        if self.body.is_none() && !self.waiting.is_empty() {
            return Some(Wish::New(Request::Body(self.waiting.drain(..).collect())));
        }
        None
    }

    /// The answer on a line. Where it dies, all its lines end.
    pub(crate) fn hear(&mut self, line: Line, answer: Answer) {
        match answer {
            Answer::Opened(session) => {
                self.session = Some(session);
                self.state = State::Polling;
                self.poll = None;
            }
            Answer::Packets(packets) if self.poll == Some(line) => {
                self.poll = None;
                packets.into_iter().for_each(|packet| self.packet(packet));
            }
            Answer::Taken if self.body == Some(line) => self.body = None,
            Answer::Refused if self.poll == Some(line) || self.body == Some(line) => {
                self.state = State::Dead;
            }
            Answer::Frame(Carried::Packet(Packet::Pong(_))) => {
                if let State::Probing { line: probing, paused } = &mut self.state
                    && *probing == line
                {
                    *paused = true;
                }
            }
            Answer::Frame(packet) if self.state == State::OnWebSocket(line) => self.packet(packet),
            Answer::Refused | Answer::Closed => match self.state {
                // It goes on polling, unless it polls no more.
                State::Probing { line: probing, paused: false } if probing == line => {
                    self.state = State::Polling;
                }
                State::Probing { line: own, .. } | State::OnWebSocket(own) if own == line => {
                    self.state = State::Dead;
                }
                _ => {}
            },
            _ => {}
        }
    }

    fn packet(&mut self, packet: Carried) {
        match packet {
            Carried::Packet(Packet::Message(Data::Text(text))) => {
                assert_eq!(number_of(&text), self.heard, "a client hears what it should not");
                self.heard += 1;
            }
            Carried::Packet(Packet::Ping(_)) => {
                self.waiting.push_back(Carried::Packet(Packet::Pong(Default::default())));
            }
            Carried::Packet(Packet::Close) => self.state = State::Dead,
            Carried::Packet(Packet::Noop) => {}
            other => panic!("a client hears {other:?}"),
        }
    }
}
