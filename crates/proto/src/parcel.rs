//! [`Parcel`]: something to send, encoded once and shared by all its recipients.
//!
//! Its first form is what goes into a WebSocket: whole frames, unmasked, the Socket.IO packet and
//! its attachments one behind the other. A server's frames look the same for everybody, so these
//! very bytes are written to each socket. Polling needs another form, clients that take no binary
//! frames a third, and those that take compressed messages a fourth; each is made once, when
//! somebody first needs it.

use std::fmt;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::args::ToArgs;
use crate::deflate::Deflate;
use crate::engine::packet::{Data, Packet, base64_encode};
use crate::engine::payload::SEPARATOR;
use crate::engine::{Revision, v3};
use crate::error::EncodeError;
use crate::framed;
use crate::hidden::Hidden;
use crate::id::{AckId, RecoveryId, SocketId};
use crate::letter::{Answer, Letter};
use crate::socket::{Parser, Plain};
use crate::ws::CloseCode;
use crate::ws::frame::{self, CONTROL_BYTES_MAX, HEADER_BYTES_MAX, Header, Opcode};

/// Something to send. Cloning shares the bytes.
#[derive(Clone)]
pub struct Parcel {
    shared: Arc<Shared>,
}

impl fmt::Debug for Parcel {
    /// Only how long it is: the answer to CONNECT has a recovery id in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parcel").field("wire", &Hidden::new(&self.wire())).finish_non_exhaustive()
    }
}

/// What a client takes on its WebSocket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Form {
    /// Text frames and binary frames, as they were encoded.
    #[default]
    Wire,
    /// Text frames only, with bytes in base64: the client asked for `b64=1`.
    TextOnly,
    /// As Engine.IO 3 has it: a binary frame begins with the type of its packet.
    V3,
    /// Both: text frames only, with the type before the base64.
    V3TextOnly,
    /// As `Wire`, but frames may be compressed: `permessage-deflate` was agreed on.
    Deflated,
    /// As `V3`, but frames may be compressed.
    V3Deflated,
    /// No WebSocket: [packets behind their lengths](crate::framed).
    Framed,
}

impl Form {
    /// The revision of Engine.IO that is spoken.
    pub const fn revision(self) -> Revision {
        match self {
            Self::V3 | Self::V3TextOnly | Self::V3Deflated => Revision::V3,
            Self::Wire | Self::TextOnly | Self::Deflated | Self::Framed => Revision::V4,
        }
    }

    /// The same, where `permessage-deflate` was agreed on; `None` where it must not be.
    pub const fn deflated(self) -> Option<Self> {
        match self {
            Self::Wire | Self::Deflated => Some(Self::Deflated),
            Self::V3 | Self::V3Deflated => Some(Self::V3Deflated),
            Self::TextOnly | Self::V3TextOnly | Self::Framed => None,
        }
    }

    /// What a client takes that speaks `revision`, and with `base64` has asked for `b64=1`.
    pub const fn new(revision: Revision, base64: bool) -> Self {
        match (revision, base64) {
            (Revision::V4, false) => Self::Wire,
            (Revision::V4, true) => Self::TextOnly,
            (Revision::V3, false) => Self::V3,
            (Revision::V3, true) => Self::V3TextOnly,
        }
    }
}

struct Shared {
    wire: Wire,
    rare: OnceLock<Box<Rare>>,
    /// How it is compressed; without it, it is not.
    deflate: Option<Arc<Deflate>>,
}

/// The bytes of a parcel. Those of most lie beside its reference count, in one allocation.
enum Wire {
    Short { len: u8, bytes: [u8; SHORT_BYTES_MAX] },
    Long(Box<[u8]>),
}

/// With it, `Shared` and its count fill 160 bytes, which is a size that allocators have.
const SHORT_BYTES_MAX: usize = 118;

/// Forms that most parcels never need.
#[derive(Default)]
struct Rare {
    polling: OnceLock<Bytes>,
    text_only: OnceLock<Bytes>,
    v3: OnceLock<Bytes>,
    v3_text_only: OnceLock<Bytes>,
    framed: OnceLock<Bytes>,
    /// `None` when that is no smaller.
    deflated: OnceLock<Option<Bytes>>,
    v3_deflated: OnceLock<Option<Bytes>>,
}

impl Parcel {
    /// An event: `name` and arguments to the sockets of `namespace`, with an ack id if the clients
    /// are to answer. Specification: Socket.IO 5, `EVENT` and `BINARY_EVENT`.
    pub fn event<T: ToArgs + ?Sized>(
        namespace: &str,
        ack: Option<AckId>,
        name: &str,
        args: &T,
    ) -> Result<Self, EncodeError> {
        Ok(Letter::event(namespace, ack, name, args)?.into())
    }

    /// The answer to an event of a client. Specification: Socket.IO 5, `ACK` and `BINARY_ACK`.
    pub fn ack<T: ToArgs + ?Sized>(
        namespace: &str,
        ack: AckId,
        args: &T,
    ) -> Result<Self, EncodeError> {
        Ok(Answer::new(ack, args)?.address(namespace).into())
    }

    /// Tells a client that it has joined `namespace` as `socket`, and what it has to show to get that
    /// socket back, where it can.
    pub fn connected(namespace: &str, socket: SocketId, recovery: Option<RecoveryId>) -> Self {
        Letter::connected(namespace, socket, recovery).into()
    }

    /// As [`connected`](Self::connected), for a client of Socket.IO 2, which is told no id.
    pub fn connected_v2(namespace: &str) -> Self {
        Letter::connected_v2(namespace).into()
    }

    /// Tells a client that `namespace` does not let it in. `json` is an object with a `message`,
    /// and `data` if there is more to say; to a client of Socket.IO 2, what its page shall hear.
    pub fn refused(namespace: &str, json: &str) -> Self {
        Letter::refused(namespace, json).into()
    }

    /// Tells a client that it is no longer in `namespace`.
    pub fn disconnected(namespace: &str) -> Self {
        Letter::disconnected(namespace).into()
    }

    /// A letter in the words of a parser, which makes one message of it.
    pub fn worded(mut letter: Letter, parser: &dyn Parser) -> Self {
        let message =
            Plain::read(letter.packet(), letter.attachments()).map(|packet| parser.encode(&packet));
        let (opcode, digit, bytes): (_, &[u8], _) = match message {
            Some(Data::Text(text)) => (Opcode::Text, b"4", text),
            Some(Data::Binary(bytes)) => (Opcode::Binary, b"", bytes),
            // All letters can be read: they are written here.
            None => return letter.into(),
        };
        let mut head = [0; HEADER_BYTES_MAX + 1];
        let header = Header::new(opcode, digit.len() + bytes.len(), None);
        let len = header.as_bytes().len();
        head[..len].copy_from_slice(header.as_bytes());
        head[len..len + digit.len()].copy_from_slice(digit);
        let wire = Wire::new(&head[..len + digit.len()], &bytes);
        Self::new(wire, letter.deflate.take())
    }

    /// A packet of the session itself.
    pub fn engine(packet: &Packet) -> Self {
        Self::engine_behind(&[], packet)
    }

    /// A packet of the session, behind bytes that are not WebSocket yet: the answer to the request
    /// for it, so that both leave in one write. With such bytes it has no other form than
    /// [`wire`](Self::wire).
    pub fn engine_behind(answer: &[u8], packet: &Packet) -> Self {
        let mut text = Vec::new();
        packet.encode(&mut text);
        let mut head = answer.to_vec();
        head.extend_from_slice(Header::new(Opcode::Text, text.len(), None).as_bytes());
        Self::from_wire(Wire::new(&head, &text))
    }

    /// A WebSocket pong with the bytes of its ping, at most 125. It has no meaning on polling.
    pub fn pong(ping: &[u8]) -> Self {
        Self::frame(Opcode::Pong, ping)
    }

    /// A WebSocket close frame, with a reason in up to 123 bytes of text; more is cut off. It has no
    /// meaning on polling.
    pub fn close(code: CloseCode, reason: &str) -> Self {
        let mut end = reason.len().min(CONTROL_BYTES_MAX - 2);
        while !reason.is_char_boundary(end) {
            end -= 1;
        }
        let mut payload = code.get().to_be_bytes().to_vec();
        payload.extend_from_slice(&reason.as_bytes()[..end]);
        Self::frame(Opcode::Close, &payload)
    }

    /// Frames that are written already: those of letters or parcels, one behind the other. At least
    /// one, and none of which a part is missing.
    pub fn joined(wire: &[u8]) -> Self {
        Self::from_wire(Wire::new(wire, &[]))
    }

    /// What goes into a WebSocket: one or more whole frames.
    pub fn wire(&self) -> &[u8] {
        self.shared.wire.as_bytes()
    }

    /// Whether it is this very parcel, and not only one that says the same.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// Bytes of the wire form; what the parcel counts for in a queue.
    pub fn len(&self) -> usize {
        self.wire().len()
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

    /// What goes into the WebSocket of a client that takes this form: one or more whole frames.
    pub fn form(&self, form: Form) -> &[u8] {
        let rare = || self.shared.rare.get_or_init(Box::default);
        match form {
            Form::Wire => self.wire(),
            Form::Framed => rare().framed.get_or_init(|| self.encode_framed()),
            Form::TextOnly => rare().text_only.get_or_init(|| self.encode_text_only(base64_encode)),
            // Without bytes they are all the same.
            Form::V3 | Form::V3TextOnly if !self.has_bytes() => self.wire(),
            Form::V3 => rare().v3.get_or_init(|| self.encode_v3()),
            Form::V3TextOnly => {
                rare().v3_text_only.get_or_init(|| self.encode_text_only(v3::base64_encode))
            }
            Form::V3Deflated if !self.has_bytes() => self.form(Form::Deflated),
            Form::V3Deflated => self.deflated(Form::V3, || &rare().v3_deflated),
            Form::Deflated => self.deflated(Form::Wire, || &rare().deflated),
        }
    }

    /// A form of it, compressed where it is large enough, and then made once.
    fn deflated<'a>(
        &'a self,
        form: Form,
        made: impl FnOnce() -> &'a OnceLock<Option<Bytes>>,
    ) -> &'a [u8] {
        let frames = self.form(form);
        match &self.shared.deflate {
            Some(deflate) if self.deflates() => {
                let small = made().get_or_init(|| encode_deflated(frames, deflate));
                small.as_deref().unwrap_or(frames)
            }
            _ => frames,
        }
    }

    /// Whether it may have another form for those who take compressed messages.
    pub fn deflates(&self) -> bool {
        self.shared.deflate.as_ref().is_some_and(|deflate| self.len() >= deflate.threshold())
    }

    /// Whether its sender wants it compressed nowhere, as one that is [`Deflate::never`] is.
    pub fn is_plain(&self) -> bool {
        self.shared.deflate.as_ref().is_some_and(|deflate| deflate.threshold() == usize::MAX)
    }

    /// Whether it has attachments. Without, a client that takes no frames as they are encoded takes these.
    pub fn has_bytes(&self) -> bool {
        frame::split(self.wire()).any(|(opcode, _)| opcode == Opcode::Binary)
    }

    /// Appends what [`polling`](Self::polling) gives, without keeping it where nobody else needs it.
    pub fn append_polling(&self, body: &mut Vec<u8>) {
        let is_shared = Arc::strong_count(&self.shared) > 1;
        if is_shared || self.shared.rare.get().is_some() {
            body.extend_from_slice(self.polling());
        } else {
            self.write_polling(body);
        }
    }

    fn encode_polling(&self) -> Bytes {
        let mut body = Vec::with_capacity(self.len());
        self.write_polling(&mut body);
        Bytes::from(body)
    }

    fn write_polling(&self, body: &mut Vec<u8>) {
        for (index, (opcode, payload)) in frame::split(self.wire()).enumerate() {
            if index > 0 {
                body.push(SEPARATOR);
            }
            match opcode {
                Opcode::Binary => base64_encode(payload, body),
                _ => body.extend_from_slice(payload),
            }
        }
    }

    fn encode_text_only(&self, encode: fn(&[u8], &mut Vec<u8>)) -> Bytes {
        let mut wire = Vec::with_capacity(self.len());
        let mut text = Vec::new();
        for (opcode, payload) in frame::split(self.wire()) {
            if opcode == Opcode::Binary {
                text.clear();
                encode(payload, &mut text);
                frame::write(&mut wire, Opcode::Text, &text, None);
            } else {
                frame::write(&mut wire, opcode, payload, None);
            }
        }
        Bytes::from(wire)
    }

    fn encode_framed(&self) -> Bytes {
        let mut out = Vec::with_capacity(self.len());
        for (opcode, payload) in frame::split(self.wire()) {
            framed::write(&mut out, opcode == Opcode::Binary, payload);
        }
        Bytes::from(out)
    }

    fn encode_v3(&self) -> Bytes {
        let mut wire = Vec::with_capacity(self.len() + 16);
        for (opcode, payload) in frame::split(self.wire()) {
            let prefix: &[u8] = if opcode == Opcode::Binary { &[v3::MESSAGE] } else { &[] };
            let header = Header::new(opcode, prefix.len() + payload.len(), None);
            wire.extend_from_slice(header.as_bytes());
            wire.extend_from_slice(prefix);
            wire.extend_from_slice(payload);
        }
        Bytes::from(wire)
    }

    fn frame(opcode: Opcode, payload: &[u8]) -> Self {
        let header = Header::new(opcode, payload.len(), None);
        Self::from_wire(Wire::new(header.as_bytes(), payload))
    }

    fn new(wire: Wire, deflate: Option<Arc<Deflate>>) -> Self {
        Self { shared: Arc::new(Shared { wire, rare: OnceLock::new(), deflate }) }
    }

    fn from_wire(wire: Wire) -> Self {
        Self::new(wire, None)
    }
}

/// Each frame is a message of its own, and only those that get smaller are compressed.
fn encode_deflated(frames: &[u8], deflate: &Deflate) -> Option<Bytes> {
    let mut wire = Vec::new();
    let mut small = Vec::new();
    let mut any = false;
    for (opcode, payload) in frame::split(frames) {
        if deflate.message(payload, &mut small) {
            let header = Header::new(opcode, small.len(), None).compressed();
            wire.extend_from_slice(header.as_bytes());
            wire.extend_from_slice(&small);
            any = true;
        } else {
            frame::write(&mut wire, opcode, payload, None);
        }
    }
    any.then(|| Bytes::from(wire.into_boxed_slice()))
}

impl From<Letter> for Parcel {
    // What sends many letters mostly has them joined, and needs none of this at hand.
    #[inline(never)]
    fn from(mut letter: Letter) -> Self {
        let deflate = letter.deflate.take();
        let wire = Wire::new(letter.packet(), letter.attachments());
        Self::new(wire, deflate)
    }
}

impl Wire {
    /// The bytes of `head` and `tail` one behind the other.
    fn new(head: &[u8], tail: &[u8]) -> Self {
        let len = head.len() + tail.len();
        if let Ok(short) = u8::try_from(len)
            && len <= SHORT_BYTES_MAX
        {
            let mut bytes = [0; SHORT_BYTES_MAX];
            bytes[..head.len()].copy_from_slice(head);
            if !tail.is_empty() {
                bytes[head.len()..len].copy_from_slice(tail);
            }
            return Self::Short { len: short, bytes };
        }
        let mut bytes = Vec::with_capacity(len);
        bytes.extend_from_slice(head);
        bytes.extend_from_slice(tail);
        Self::Long(bytes.into_boxed_slice())
    }

    fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Short { len, bytes } => &bytes[..usize::from(*len)],
            Self::Long(bytes) => bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn polling(parcel: &Parcel) -> String {
        String::from_utf8(parcel.polling().to_vec()).unwrap()
    }

    #[test]
    fn a_short_parcel_fills_its_size() {
        // With the two counts in front.
        assert_eq!(size_of::<Shared>() + 2 * size_of::<usize>(), 160);
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
        check(Parcel::connected("/", socket, None), r#"40{"sid":"AAAAAAAAAAAAAAAAAAAA"}"#);
        let recovery = Some(RecoveryId::from_random([255; 15]));
        check(
            Parcel::connected("/a", socket, recovery),
            r#"40/a,{"sid":"AAAAAAAAAAAAAAAAAAAA","pid":"____________________"}"#,
        );
        check(Letter::connected_v2("/").into(), "40");
        check(Letter::connected_v2("/a").into(), "40/a,");
        check(Parcel::refused("/a", r#""no""#), r#"44/a,"no""#);
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
        let frames: Vec<_> = frame::split(parcel.form(Form::TextOnly)).collect();
        assert_eq!(frames, [(Opcode::Text, json.as_bytes()), (Opcode::Text, &b"bAQI="[..])]);
        let frames: Vec<_> = frame::split(parcel.form(Form::V3)).collect();
        assert_eq!(frames, [(Opcode::Text, json.as_bytes()), (Opcode::Binary, &[4, 1, 2][..])]);
        let frames: Vec<_> = frame::split(parcel.form(Form::V3TextOnly)).collect();
        assert_eq!(frames, [(Opcode::Text, json.as_bytes()), (Opcode::Text, &b"b4AQI="[..])]);
        let framed = parcel.form(Form::Framed);
        let (head, tail) = framed.split_at(json.len() + 1);
        assert_eq!((usize::from(head[0]), &head[1..]), (json.len(), json.as_bytes()));
        assert_eq!(tail, [0x82, 1, 2]);
        let answer = Parcel::ack("/a", AckId::new(5).unwrap(), &bytes).unwrap();
        let json = r#"461-/a,5[{"_placeholder":true,"num":0}]"#;
        assert_eq!(polling(&answer), format!("{json}\u{1e}bAQI="));
    }

    #[test]
    fn what_has_no_bytes_is_the_same_in_every_form() {
        let parcel = Parcel::event("/", None, "e", "x").unwrap();
        for form in [Form::V3, Form::V3TextOnly] {
            assert_eq!(parcel.form(form).as_ptr(), parcel.wire().as_ptr());
        }
        assert_eq!(parcel.form(Form::TextOnly), parcel.wire());
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
