//! [`Parcel`]: something to send, encoded once and shared by all its recipients.
//!
//! Its first form is what goes into a WebSocket: whole frames, unmasked, the Socket.IO packet and
//! its attachments one behind the other. A server's frames look the same for everybody, so these
//! very bytes are written to each socket. Polling needs another form, and clients that take no
//! binary frames a third; each is made once, when somebody first needs it.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::args::{ArgsWriter, Shape, ToArgs};
use crate::engine::packet::{Packet, base64_encode};
use crate::engine::payload::SEPARATOR;
use crate::error::EncodeError;
use crate::id::{AckId, SocketId};
use crate::socket::text::push_namespace;
use crate::ws::CloseCode;
use crate::ws::frame::{self, HEADER_BYTES_MAX, Header, Opcode};

/// Something to send. Cloning shares the bytes.
#[derive(Clone, Debug)]
pub struct Parcel {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// The wire form is what lies behind `start`.
    buffer: Vec<u8>,
    start: usize,
    rare: OnceLock<Box<Rare>>,
}

/// Forms that most parcels never need.
#[derive(Debug, Default)]
struct Rare {
    polling: OnceLock<Bytes>,
    text_only: OnceLock<Bytes>,
}

/// Room before the JSON of a packet: for a frame header, the Engine.IO digit, and the type with an
/// attachment count and its dash.
const HEADROOM: usize = HEADER_BYTES_MAX + 1 + 1 + ATTACHMENT_DIGITS_MAX + 1;
const ATTACHMENT_DIGITS_MAX: usize = 20;

impl Parcel {
    /// An event: `name` and arguments to the sockets of `namespace`, with an ack id if the clients
    /// are to answer. Specification: Socket.IO 5, `EVENT` and `BINARY_EVENT`.
    pub fn event<T: ToArgs + ?Sized>(
        namespace: &str,
        ack: Option<AckId>,
        name: &str,
        args: &T,
    ) -> Result<Self, EncodeError> {
        let mut draft = Draft::new(namespace, ack, 64);
        draft.buffer.push(b'[');
        serde_json::to_writer(&mut draft.buffer, name).map_err(EncodeError)?;
        draft.buffer.push(b',');
        draft.args(args)?;
        Ok(draft.finish(b'2', b'5'))
    }

    /// The answer to an event of a client. Specification: Socket.IO 5, `ACK` and `BINARY_ACK`.
    pub fn ack<T: ToArgs + ?Sized>(
        namespace: &str,
        ack: AckId,
        args: &T,
    ) -> Result<Self, EncodeError> {
        let mut draft = Draft::new(namespace, Some(ack), 32);
        draft.buffer.push(b'[');
        draft.args(args)?;
        Ok(draft.finish(b'3', b'6'))
    }

    /// Tells a client that it has joined `namespace` as `socket`.
    pub fn connected(namespace: &str, socket: SocketId) -> Self {
        let mut draft = Draft::new(namespace, None, 64);
        draft.buffer.extend_from_slice(br#"{"sid":""#);
        draft.buffer.extend_from_slice(socket.as_bytes());
        draft.buffer.extend_from_slice(br#""}"#);
        draft.finish(b'0', b'0')
    }

    /// Tells a client that `namespace` does not let it in. `json` is an object with a `message`,
    /// and `data` if there is more to say.
    pub fn refused(namespace: &str, json: &str) -> Self {
        let mut draft = Draft::new(namespace, None, json.len());
        draft.buffer.extend_from_slice(json.as_bytes());
        draft.finish(b'4', b'4')
    }

    /// Tells a client that it is no longer in `namespace`.
    pub fn disconnected(namespace: &str) -> Self {
        Draft::new(namespace, None, 0).finish(b'1', b'1')
    }

    /// A packet of the session itself.
    pub fn engine(packet: &Packet) -> Self {
        let mut text = Vec::new();
        packet.encode(&mut text);
        let mut buffer = Vec::with_capacity(HEADER_BYTES_MAX + text.len());
        frame::write(&mut buffer, Opcode::Text, &text, None);
        Self::from_wire(buffer, 0)
    }

    /// A WebSocket pong with the bytes of its ping, at most 125. It has no meaning on polling.
    pub fn pong(ping: &[u8]) -> Self {
        let mut buffer = Vec::with_capacity(HEADER_BYTES_MAX + ping.len());
        frame::write(&mut buffer, Opcode::Pong, ping, None);
        Self::from_wire(buffer, 0)
    }

    /// A WebSocket close frame. It has no meaning on polling.
    pub fn close(code: CloseCode) -> Self {
        let mut buffer = Vec::with_capacity(HEADER_BYTES_MAX + 2);
        frame::write(&mut buffer, Opcode::Close, &code.get().to_be_bytes(), None);
        Self::from_wire(buffer, 0)
    }

    /// What goes into a WebSocket: one or more whole frames.
    pub fn wire(&self) -> &[u8] {
        &self.shared.buffer[self.shared.start..]
    }

    /// Bytes of the wire form; what the parcel counts for in a queue.
    pub fn len(&self) -> usize {
        self.shared.buffer.len() - self.shared.start
    }

    /// Whether there is nothing to send. No parcel is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What goes into a polling body: packets with separators between, bytes in base64.
    pub fn polling(&self) -> &[u8] {
        let rare = self.shared.rare.get_or_init(Box::default);
        rare.polling.get_or_init(|| self.encode_polling())
    }

    /// What goes into the WebSocket of a client that takes no binary frames (`b64=1`).
    pub fn text_only(&self) -> &[u8] {
        let rare = self.shared.rare.get_or_init(Box::default);
        rare.text_only.get_or_init(|| self.encode_text_only())
    }

    fn encode_polling(&self) -> Bytes {
        let mut body = Vec::with_capacity(self.len());
        for (opcode, payload) in frame::split(self.wire()) {
            if !body.is_empty() {
                body.push(SEPARATOR);
            }
            match opcode {
                Opcode::Binary => base64_encode(payload, &mut body),
                _ => body.extend_from_slice(payload),
            }
        }
        Bytes::from(body)
    }

    fn encode_text_only(&self) -> Bytes {
        let mut wire = Vec::with_capacity(self.len());
        let mut text = Vec::new();
        for (opcode, payload) in frame::split(self.wire()) {
            if opcode == Opcode::Binary {
                text.clear();
                base64_encode(payload, &mut text);
                frame::write(&mut wire, Opcode::Text, &text, None);
            } else {
                frame::write(&mut wire, opcode, payload, None);
            }
        }
        Bytes::from(wire)
    }

    fn from_wire(buffer: Vec<u8>, start: usize) -> Self {
        Self { shared: Arc::new(Shared { buffer, start, rare: OnceLock::new() }) }
    }
}

/// A packet that is being written: the JSON grows at the end, and once its attachments and its
/// length are known, the type and the headers go in front of it, into the headroom.
struct Draft {
    buffer: Vec<u8>,
    attachments: Vec<Bytes>,
    /// Where what is written begins.
    start: usize,
}

impl Draft {
    fn new(namespace: &str, ack: Option<AckId>, capacity: usize) -> Self {
        let mut buffer = Vec::with_capacity(HEADROOM + namespace.len() + capacity);
        buffer.resize(HEADROOM, 0);
        push_namespace(&mut buffer, namespace);
        if let Some(ack) = ack {
            buffer.extend_from_slice(itoa::Buffer::new().format(ack.get()).as_bytes());
        }
        Self { buffer, attachments: Vec::new(), start: HEADROOM }
    }

    /// Appends arguments behind a `[` or a comma, and the closing bracket.
    fn args<T: ToArgs + ?Sized>(&mut self, args: &T) -> Result<(), EncodeError> {
        let before = self.buffer.len();
        let shape = args.write(&mut ArgsWriter::new(&mut self.buffer, &mut self.attachments))?;
        match shape {
            Shape::One => self.buffer.push(b']'),
            Shape::Bracketed => {
                // Of the two brackets only the closing one is wanted: what stands before the
                // opening one, a few bytes, moves over it.
                self.buffer.copy_within(self.start..before, self.start + 1);
                self.start += 1;
            }
            Shape::None => {
                if self.buffer.last() == Some(&b',') {
                    self.buffer.pop();
                }
                self.buffer.push(b']');
            }
        }
        Ok(())
    }

    fn finish(mut self, plain: u8, binary: u8) -> Parcel {
        if self.attachments.is_empty() {
            self.prepend(&[b'4', plain]);
        } else {
            self.prepend(b"-");
            self.prepend(itoa::Buffer::new().format(self.attachments.len()).as_bytes());
            self.prepend(&[b'4', binary]);
        }
        let header = Header::new(Opcode::Text, self.buffer.len() - self.start, None);
        self.prepend(header.as_bytes());
        for attachment in &self.attachments {
            frame::write(&mut self.buffer, Opcode::Binary, attachment, None);
        }
        Parcel::from_wire(self.buffer, self.start)
    }

    fn prepend(&mut self, bytes: &[u8]) {
        self.start -= bytes.len();
        self.buffer[self.start..self.start + bytes.len()].copy_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn polling(parcel: &Parcel) -> String {
        String::from_utf8(parcel.polling().to_vec()).unwrap()
    }

    #[test]
    fn packets_are_written_to_the_byte() {
        let ack = AckId::new(12);
        let check = |parcel: Parcel, text: &str| assert_eq!(polling(&parcel), text);
        check(Parcel::event("/", None, "hello", "world").unwrap(), r#"42["hello","world"]"#);
        check(Parcel::event("/", None, "hello", &("a", 1)).unwrap(), r#"42["hello","a",1]"#);
        check(Parcel::event("/a", ack, "é\"", &()).unwrap(), r#"42/a,12["é\""]"#);
        check(Parcel::ack("/", AckId::new(0).unwrap(), &()).unwrap(), "430[]");
        check(Parcel::ack("/a", AckId::new(7).unwrap(), &(1, 2)).unwrap(), "43/a,7[1,2]");
        check(Parcel::ack("/", AckId::new(7).unwrap(), "x").unwrap(), r#"437["x"]"#);
        check(Parcel::disconnected("/"), "41");
        check(Parcel::disconnected("/a"), "41/a,");
        check(Parcel::refused("/a", r#"{"message":"no"}"#), r#"44/a,{"message":"no"}"#);
        let socket = SocketId::from_random([0; 15]);
        check(Parcel::connected("/", socket), r#"40{"sid":"AAAAAAAAAAAAAAAAAAAA"}"#);
        check(Parcel::engine(&Packet::Ping(Bytes::new())), "2");
    }

    #[test]
    fn attachments_follow_their_packet_in_every_form() {
        let bytes = Bytes::from_static(&[1, 2]);
        let parcel = Parcel::event("/a", AckId::new(5), "f", &(&bytes, "x")).unwrap();
        let json = r#"451-/a,5["f",{"_placeholder":true,"num":0},"x"]"#;
        assert_eq!(polling(&parcel), format!("{json}\u{1e}bAQI="));
        let frames: Vec<_> = frame::split(parcel.wire()).collect();
        assert_eq!(frames, [(Opcode::Text, json.as_bytes()), (Opcode::Binary, &[1, 2][..])]);
        let frames: Vec<_> = frame::split(parcel.text_only()).collect();
        assert_eq!(frames, [(Opcode::Text, json.as_bytes()), (Opcode::Text, &b"bAQI="[..])]);
    }

    #[test]
    fn long_packets_keep_their_header() {
        for len in [0, 100, 125, 126, 70_000] {
            let text = "x".repeat(len);
            let parcel = Parcel::event("/", None, "e", text.as_str()).unwrap();
            assert_eq!(polling(&parcel), format!(r#"42["e","{text}"]"#));
        }
    }
}
