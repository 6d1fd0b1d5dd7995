//! [`Letter`]: something to send to one client.
//!
//! It is a packet in the memory in which it was written, and can be copied right into what is
//! written next to its client; what goes to many becomes a [`Parcel`](crate::Parcel), which its
//! recipients share.

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;

use crate::args::{ArgsWriter, Attachments, Shape, ToArgs, push_text};
use crate::deflate::Deflate;
use crate::error::EncodeError;
use crate::id::{AckId, RecoveryId, SocketId};
use crate::socket::text::push_namespace;
use crate::ws::frame::{HEADER_BYTES_MAX, Header, Opcode};

/// A packet for one client: whole frames, unmasked, the Socket.IO packet and its attachments one
/// behind the other.
pub struct Letter {
    draft: Draft,
    pub(crate) deflate: Option<Arc<Deflate>>,
}

/// The answer to an event of a client, not addressed yet: whoever writes it need not know the
/// client's namespace.
pub struct Answer {
    draft: Draft,
}

/// An event that can be recovered, without the stamp by which its clients say how far they have come.
/// It is written before that is known: whoever stamps holds a lock, and the arguments are a user's.
pub struct Unstamped {
    draft: Draft,
}

impl Letter {
    /// An event: `name` and arguments to a socket of `namespace`, with an ack id if the client is to
    /// answer. Specification: Socket.IO 5, `EVENT` and `BINARY_EVENT`.
    pub fn event<T: ToArgs + ?Sized>(
        namespace: &str,
        ack: Option<AckId>,
        name: &str,
        args: &T,
    ) -> Result<Self, EncodeError> {
        Ok(Draft::event(namespace, ack, name, args)?.finish(b'2', b'5'))
    }

    /// Asks a server to join `namespace`, with the JSON of an object as the auth payload.
    /// Specification: Socket.IO 5, `CONNECT`.
    pub fn connect(namespace: &str, payload: Option<&[u8]>) -> Self {
        let mut draft = Draft::new(namespace, None);
        draft.text().extend_from_slice(payload.unwrap_or_default());
        draft.finish(b'0', b'0')
    }

    /// Tells a client that it has joined `namespace` as `socket`, and what it has to show to get that
    /// socket back, where it can.
    pub fn connected(namespace: &str, socket: SocketId, recovery: Option<RecoveryId>) -> Self {
        let mut draft = Draft::new(namespace, None);
        draft.text().extend_from_slice(br#"{"sid":""#);
        draft.text().extend_from_slice(socket.as_bytes());
        if let Some(recovery) = recovery {
            draft.text().extend_from_slice(br#"","pid":""#);
            draft.text().extend_from_slice(recovery.as_bytes());
        }
        draft.text().extend_from_slice(br#""}"#);
        draft.finish(b'0', b'0')
    }

    /// As [`connected`](Self::connected), for a client of Socket.IO 2, which is told no id.
    pub fn connected_v2(namespace: &str) -> Self {
        Draft::new(namespace, None).finish(b'0', b'0')
    }

    /// Tells a client that `namespace` does not let it in. `json` is an object with a `message`,
    /// and `data` if there is more to say; to a client of Socket.IO 2, what its page shall hear.
    pub fn refused(namespace: &str, json: &str) -> Self {
        let mut draft = Draft::new(namespace, None);
        draft.text().extend_from_slice(json.as_bytes());
        draft.finish(b'4', b'4')
    }

    /// Tells a client that it is no longer in `namespace`.
    pub fn disconnected(namespace: &str) -> Self {
        Draft::new(namespace, None).finish(b'1', b'1')
    }

    /// Says whether and how it is to be compressed. Without that it is not on a WebSocket, and may be
    /// in an answer of HTTP.
    pub fn deflate_by(&mut self, deflate: &Arc<Deflate>) {
        self.deflate = Some(Arc::clone(deflate));
    }

    /// Whether it may have another form for those who take compressed messages.
    pub fn deflates(&self) -> bool {
        self.deflate.as_ref().is_some_and(|deflate| self.len() >= deflate.threshold())
    }

    /// Whether it has attachments.
    pub fn has_bytes(&self) -> bool {
        !self.attachments().is_empty()
    }

    /// Bytes of the letter; what it counts for in a queue.
    pub fn len(&self) -> usize {
        self.packet().len() + self.attachments().len()
    }

    /// Whether there is nothing to send. No letter is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Copies the letter to the end of what is written next.
    #[inline(always)]
    pub fn append_to(self, wire: &mut Vec<u8>) {
        wire.extend_from_slice(self.packet());
        if !self.attachments().is_empty() {
            wire.extend_from_slice(self.attachments());
        }
    }

    pub(crate) fn packet(&self) -> &[u8] {
        let paper = self.draft.paper.as_ref();
        paper.and_then(|paper| paper.text.get(self.draft.start..)).unwrap_or_default()
    }

    pub(crate) fn attachments(&self) -> &[u8] {
        self.draft.paper.as_ref().map_or(&[], |paper| &paper.attachments.frames)
    }
}

impl Unstamped {
    /// Writes an event that asks for no answer. Specification: Socket.IO 5, `EVENT`,
    /// `BINARY_EVENT` and connection state recovery.
    pub fn event<T: ToArgs + ?Sized>(
        namespace: &str,
        name: &str,
        args: &T,
    ) -> Result<Self, EncodeError> {
        Ok(Self { draft: Draft::event(namespace, None, name, args)? })
    }

    /// With the offset as its last argument. An offset has nothing that JSON would have to escape.
    pub fn stamp(mut self, offset: &str) -> Letter {
        let text = self.draft.text();
        // The bracket goes behind it.
        text.pop();
        text.extend_from_slice(b",\"");
        text.extend_from_slice(offset.as_bytes());
        text.extend_from_slice(b"\"]");
        self.draft.finish(b'2', b'5')
    }
}

impl Answer {
    /// Writes the answer to the event that came with `ack`. Specification: Socket.IO 5, `ACK` and
    /// `BINARY_ACK`.
    pub fn new<T: ToArgs + ?Sized>(ack: AckId, args: &T) -> Result<Self, EncodeError> {
        let mut draft = Draft::new("/", Some(ack));
        draft.text().push(b'[');
        draft.args(args)?;
        Ok(Self { draft })
    }

    /// Addresses it to a socket of `namespace`.
    pub fn address(mut self, namespace: &str) -> Letter {
        self.draft.address(namespace);
        self.draft.finish(b'3', b'6')
    }
}

impl fmt::Debug for Letter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Letter").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Unstamped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unstamped").finish_non_exhaustive()
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").finish_non_exhaustive()
    }
}

/// A packet that is being written: the JSON grows at the end, and once its attachments and its
/// length are known, the type and the headers go in front of it, into the headroom. It is copied to
/// where it goes when it is whole: then its size is known.
struct Draft {
    /// Always there, until the draft is dropped and the next one can have it.
    paper: Option<Box<Paper>>,
    /// Where what is written begins.
    start: usize,
}

/// Where a packet is written: memory of the thread's, used again for the next one.
struct Paper {
    /// Begins with the headroom.
    text: Vec<u8>,
    attachments: Attachments,
}

/// More than this is not kept for the next packet.
const PAPER_BYTES_MAX: usize = 64 * 1024;

thread_local! {
    static PAPER: Cell<Option<Box<Paper>>> = const { Cell::new(None) };
}

/// Room before the JSON of a packet: for a frame header, the Engine.IO digit, and the type with an
/// attachment count and its dash.
const HEADROOM: usize = HEADER_BYTES_MAX + 1 + 1 + ATTACHMENT_DIGITS_MAX + 1;
const ATTACHMENT_DIGITS_MAX: usize = 20;

impl Draft {
    fn new(namespace: &str, ack: Option<AckId>) -> Self {
        // There is none the first time, and while a value that writes itself writes a packet.
        let mut paper = PAPER.try_with(Cell::take).ok().flatten().unwrap_or_else(Paper::new);
        push_namespace(&mut paper.text, namespace);
        if let Some(ack) = ack {
            paper.text.extend_from_slice(itoa::Buffer::new().format(ack.get()).as_bytes());
        }
        Self { paper: Some(paper), start: HEADROOM }
    }

    /// An event up to its closing bracket.
    fn event<T: ToArgs + ?Sized>(
        namespace: &str,
        ack: Option<AckId>,
        name: &str,
        args: &T,
    ) -> Result<Self, EncodeError> {
        let mut draft = Self::new(namespace, ack);
        draft.text().push(b'[');
        push_text(draft.text(), name).map_err(EncodeError)?;
        draft.text().push(b',');
        draft.args(args)?;
        Ok(draft)
    }

    fn text(&mut self) -> &mut Vec<u8> {
        &mut self.paper().text
    }

    fn paper(&mut self) -> &mut Paper {
        self.paper.get_or_insert_with(Paper::new)
    }

    /// Appends arguments behind a `[` or a comma, and the closing bracket.
    fn args<T: ToArgs + ?Sized>(&mut self, args: &T) -> Result<(), EncodeError> {
        let Paper { text, attachments } = self.paper();
        let shape = args.write(&mut ArgsWriter::new(text, attachments))?;
        if shape == Shape::None && text.last() == Some(&b',') {
            text.pop();
        }
        text.push(b']');
        Ok(())
    }

    /// Puts the namespace in front of what was written without one.
    fn address(&mut self, namespace: &str) {
        if namespace != "/" {
            let (start, name) = (self.start, namespace.bytes().chain([b',']));
            self.text().splice(start..start, name);
        }
    }

    /// Writes what goes before the JSON: `plain` is the type of a packet without attachments,
    /// `binary` that of one with some.
    fn finish(mut self, plain: u8, binary: u8) -> Letter {
        match self.paper().attachments.count {
            0 => self.prepend(&[b'4', plain]),
            attachments => {
                self.prepend(b"-");
                self.prepend(itoa::Buffer::new().format(attachments).as_bytes());
                self.prepend(&[b'4', binary]);
            }
        }
        let header = Header::new(Opcode::Text, self.text().len() - self.start, None);
        self.prepend(header.as_bytes());
        Letter { draft: self, deflate: None }
    }

    fn prepend(&mut self, bytes: &[u8]) {
        self.start -= bytes.len();
        let start = self.start;
        self.text()[start..start + bytes.len()].copy_from_slice(bytes);
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if let Some(paper) = self.paper.take() {
            paper.keep();
        }
    }
}

impl Paper {
    fn new() -> Box<Self> {
        Box::new(Self { text: vec![0; HEADROOM], attachments: Attachments::default() })
    }

    /// Keeps it for the next packet.
    fn keep(mut self: Box<Self>) {
        self.text.truncate(HEADROOM);
        self.attachments.clear();
        if self.text.capacity() + self.attachments.frames.capacity() <= PAPER_BYTES_MAX {
            // Fails only while the thread ends, and then nobody needs it.
            let _ = PAPER.try_with(|kept| kept.set(Some(self)));
        }
    }
}
