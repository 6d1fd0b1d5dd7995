//! A small server around the machines of this crate, in virtual time: what a real one does, without
//! sockets. And a generator of numbers that gives the same ones in every run.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use roomful_proto::engine::{
    Data, Handshake, Input, Output, Packet, Revision, Session, Transport, v3,
};
use roomful_proto::socket::{Arrived, Mux, Slot};
use roomful_proto::ws::frame::{self, Opcode};
use roomful_proto::{
    AckId, Args, Form, Limits, Moment, Parcel, Reason, SessionId, SocketId, Violation,
};

/// What leaves the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// A frame on the WebSocket of the session.
    Frame(Data),
    /// The answer to the waiting poll.
    Got(Vec<u8>),
    /// The second of two polls is refused.
    GotRefused,
    /// The oldest body is answered with `ok`.
    Posted,
    /// A frame on the probing WebSocket.
    Probed(Vec<u8>),
    /// The probing WebSocket is closed.
    ProbeClosed,
    /// The probing WebSocket took over.
    Upgraded,
    /// The peer broke a rule.
    Broken(Violation),
    /// The session is over.
    Closed(Reason),
}

/// One connection of a server whose application accepts `/` and `/a…`, takes its time over
/// `/slow…`, and refuses all else. It knows these events: `echo` comes back, `bye` makes the server
/// leave the namespace, `ask` makes it ask `question` and tell the answer as `answered`. Every
/// event with an ack id is acked with its arguments.
pub(crate) struct Server {
    pub(crate) now: Moment,
    pub(crate) session: Session,
    pub(crate) mux: Mux,
    revision: Revision,
    /// The client takes no bytes.
    base64: bool,
    limits: Arc<Limits>,
    waiting: VecDeque<Parcel>,
    slots: BTreeMap<String, Slot>,
    ids: u8,
    asked: u64,
    pub(crate) sent: Vec<Sent>,
    /// Messages of the session, where no application is wanted.
    pub(crate) raw: Option<Vec<Data>>,
}

impl Server {
    /// A connection that was just opened; the open packet is on its way.
    pub(crate) fn new(transport: Transport, limits: Limits) -> Self {
        Self::speaking(Revision::V4, false, transport, limits)
    }

    /// As [`new`](Self::new), with a client of that revision.
    pub(crate) fn speaking(
        revision: Revision,
        base64: bool,
        transport: Transport,
        limits: Limits,
    ) -> Self {
        let limits = Arc::new(limits);
        let now = Moment::from_millis(0);
        let mut server = Self {
            now,
            session: Session::new(now, transport, revision, Arc::clone(&limits)),
            mux: Mux::new(now + limits.connect_timeout, revision, Arc::clone(&limits)),
            revision,
            base64,
            limits,
            waiting: VecDeque::new(),
            slots: BTreeMap::new(),
            ids: 0,
            asked: 0,
            sent: Vec::new(),
            raw: None,
        };
        let upgrades = match transport {
            Transport::Polling => &[Transport::WebSocket][..],
            Transport::WebSocket => &[],
        };
        let open = Handshake {
            session: SessionId::from_random([0; 15]),
            upgrades,
            limits: &server.limits,
        };
        let open = Packet::Open(Bytes::from(open.to_json()));
        server.send(Parcel::engine(&open));
        if revision == Revision::V3 {
            let arrived = server.mux.join_main();
            server.arrived(arrived);
            server.work();
        }
        server
    }

    /// A connection whose messages are only collected, in [`Server::raw`].
    pub(crate) fn without_application(transport: Transport, limits: Limits) -> Self {
        Self { raw: Some(Vec::new()), ..Self::new(transport, limits) }
    }

    pub(crate) fn receive(&mut self, input: Input) {
        self.session.receive(self.now, input);
        self.work();
    }

    pub(crate) fn send(&mut self, parcel: Parcel) {
        self.waiting.push_back(parcel);
        self.work();
    }

    pub(crate) fn close(&mut self, reason: Reason) {
        self.session.close(self.now, reason);
        self.work();
    }

    /// Holds bodies back, or lets them go on.
    pub(crate) fn hold(&mut self, held: bool) {
        self.session.hold(held);
        self.work();
    }

    pub(crate) fn abort(&mut self, reason: Reason) {
        self.session.abort(reason);
        self.work();
    }

    pub(crate) fn deadline(&self) -> Option<Moment> {
        let session = self.session.deadline()?;
        let mux = match self.raw {
            Some(_) => None,
            None => self.mux.deadline(),
        };
        Some(mux.map_or(session, |mux| mux.min(session)))
    }

    /// Time passes, with a stop at each deadline.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.deadline().filter(|at| *at <= end) {
            assert!(at >= self.now, "a deadline lies in the past");
            self.now = at;
            self.expire();
            assert_ne!(self.deadline(), Some(at), "a deadline stays where it is");
        }
        self.now = end;
    }

    /// Does what time asks for now.
    pub(crate) fn expire(&mut self) {
        self.session.expire(self.now);
        if self.raw.is_none()
            && let Err(violation) = self.mux.expire(self.now)
        {
            self.session.fail(self.now, violation);
        }
        self.work();
    }

    /// The namespace that took its time decides.
    pub(crate) fn decide(&mut self, namespace: &str, accept: bool) -> bool {
        let slot = self.slots[namespace];
        let mut stood = true;
        if accept {
            stood = self.mux.accept(slot);
            if stood {
                self.welcome(namespace);
            }
        } else {
            self.mux.refuse(slot);
            self.refuse(namespace);
        }
        self.arrivals();
        self.work();
        stood
    }

    /// The server takes the client out of a namespace.
    pub(crate) fn leave(&mut self, namespace: &str) {
        self.mux.leave(self.now, self.slots[namespace]);
        self.send(Parcel::disconnected(namespace));
    }

    fn work(&mut self) {
        self.drain();
        if self.waiting.is_empty() && self.session.transport() == Transport::Polling {
            self.session.flushed();
            self.drain();
        }
        if self.flush() {
            self.work();
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.session.poll(self.now) {
            match output {
                Output::Message(data) => self.message(data),
                Output::Send(packet) => self.waiting.push_back(Parcel::engine(&packet)),
                Output::BodyDone => self.sent.push(Sent::Posted),
                Output::Probe(packet) => {
                    let mut text = Vec::new();
                    packet.encode(&mut text);
                    self.sent.push(Sent::Probed(text));
                }
                Output::DropProbe => self.sent.push(Sent::ProbeClosed),
                Output::Upgraded => self.sent.push(Sent::Upgraded),
                Output::PollRefused => self.sent.push(Sent::GotRefused),
                Output::Broken(violation, _) => self.sent.push(Sent::Broken(violation)),
                Output::Closed(reason) => {
                    self.flush();
                    self.sent.push(Sent::Closed(reason));
                }
            }
        }
    }

    /// Gives what waits to the transport; whether a poll was answered.
    fn flush(&mut self) -> bool {
        match self.session.transport() {
            Transport::WebSocket => {
                for parcel in self.waiting.drain(..) {
                    let form = Form::new(self.revision, self.base64);
                    for (opcode, payload) in frame::split(parcel.form(form)) {
                        let payload = Bytes::copy_from_slice(payload);
                        self.sent.push(Sent::Frame(match opcode {
                            Opcode::Binary => Data::Binary(payload),
                            _ => Data::Text(payload),
                        }));
                    }
                }
                false
            }
            Transport::Polling if !self.session.is_polled() || self.waiting.is_empty() => false,
            Transport::Polling => {
                let parcels: Vec<_> = self.waiting.drain(..).collect();
                let body = match self.revision {
                    Revision::V4 => {
                        let packets: Vec<_> = parcels.iter().map(Parcel::polling).collect();
                        packets.join(&0x1e)
                    }
                    Revision::V3 => {
                        let frames = parcels.iter().flat_map(|parcel| frame::split(parcel.wire()));
                        match v3::encode(frames, self.base64) {
                            Data::Text(body) | Data::Binary(body) => body.to_vec(),
                        }
                    }
                };
                self.sent.push(Sent::Got(body));
                self.session.receive(self.now, Input::PollAnswered);
                true
            }
        }
    }

    fn message(&mut self, data: Data) {
        if let Some(raw) = &mut self.raw {
            raw.push(data);
        } else if let Err(violation) = self.mux.receive(self.now, data) {
            self.session.fail(self.now, violation);
        } else {
            self.arrivals();
        }
    }

    fn arrivals(&mut self) {
        while let Some(arrived) = self.mux.poll() {
            self.arrived(arrived);
        }
    }

    fn arrived(&mut self, arrived: Arrived) {
        match arrived {
            Arrived::Connect { slot, .. } => self.asked_to_join(slot),
            Arrived::Crowded { namespace } => self.refuse(&namespace),
            Arrived::AuthTooLarge { slot } => {
                let namespace = self.mux.namespace(slot).to_owned();
                self.refuse(&namespace);
            }
            Arrived::Event { slot, event } => {
                let namespace = self.mux.namespace(slot).to_owned();
                self.event(&namespace, event.name(), event.ack, &event.args);
            }
            Arrived::Ack { slot, id, args } => {
                let namespace = self.mux.namespace(slot).to_owned();
                let id = args_with_id(id, &args);
                self.emit(&namespace, None, "answered", &id);
            }
            Arrived::Disconnect { .. } => {}
        }
    }

    fn asked_to_join(&mut self, slot: Slot) {
        let namespace = self.mux.namespace(slot).to_owned();
        self.slots.insert(namespace.clone(), slot);
        if namespace == "/" || namespace.starts_with("/a") {
            assert!(self.mux.accept(slot));
            self.welcome(&namespace);
        } else if !namespace.starts_with("/slow") {
            self.mux.refuse(slot);
            self.refuse(&namespace);
        }
    }

    fn welcome(&mut self, namespace: &str) {
        self.ids += 1;
        let id = SocketId::from_random([self.ids; 15]);
        self.waiting.push_back(match self.revision {
            Revision::V4 => Parcel::connected(namespace, id, None),
            Revision::V3 => Parcel::connected_v2(namespace),
        });
    }

    fn refuse(&mut self, namespace: &str) {
        let why = match self.revision {
            Revision::V4 => r#"{"message":"Invalid namespace"}"#,
            Revision::V3 => r#""Invalid namespace""#,
        };
        self.waiting.push_back(Parcel::refused(namespace, why));
    }

    fn event(&mut self, namespace: &str, name: &str, ack: Option<AckId>, args: &Args) {
        match name {
            "echo" => self.emit(namespace, None, "echo", args),
            "bye" => self.leave(namespace),
            "ask" => {
                let id = AckId::new(self.asked);
                self.asked += 1;
                self.emit(namespace, id, "question", args);
            }
            _ => {}
        }
        if let Some(id) = ack {
            let parcel = Parcel::ack(namespace, id, args).unwrap();
            self.waiting.push_back(parcel);
        }
    }

    fn emit(&mut self, namespace: &str, ack: Option<AckId>, name: &str, args: &Args) {
        let parcel = Parcel::event(namespace, ack, name, args).unwrap();
        self.waiting.push_back(parcel);
    }
}

/// The id of an answer before its arguments.
fn args_with_id(id: AckId, args: &Args) -> Args {
    let values: Vec<serde_json::Value> =
        args.iter().map(|json| serde_json::from_slice(json).unwrap()).collect();
    Args::new(&(id.get(), values)).unwrap()
}

/// Marsaglia's xorshift: numbers that look random and are the same in each run.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `sides`.
    pub(crate) fn roll(&mut self, sides: usize) -> usize {
        (self.next() >> 11) as usize % sides
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }
}
