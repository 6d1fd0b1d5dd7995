//! [`Outgoing`]: what a client has yet to send.
//!
//! It holds plain frames, the form in which packets are written, one behind the other: what goes into a
//! WebSocket is masked where it is copied to, and what goes into a POST is joined there. So an upgrade
//! moves nothing.

use std::collections::VecDeque;
use std::fmt;

use bytes::Bytes;

use super::handshake::Revision;
use super::packet::{Data, Packet, base64_encode};
use super::payload::SEPARATOR;
use super::v3;
use crate::deflate::Deflate;
use crate::hidden::Hidden;
use crate::id::AckId;
use crate::letter::Letter;
use crate::ws::frame::{self, Header, Opcode};

/// More than this is not kept where nothing waits.
const IDLE_BYTES_MAX: usize = 4 * 1024;
/// The same for packets.
const IDLE_PACKETS_MAX: usize = 32;
/// Marks the frame, in its first byte, that is not to be compressed. As an extension would have to be
/// agreed on that gives this bit a meaning (RFC 6455 section 5.2), it is never set on a wire.
const PLAIN: u8 = 0x20;

/// What waits to be sent by a client: whole frames, unmasked.
#[derive(Default)]
pub struct Outgoing {
    wire: Vec<u8>,
    /// Whose the frames are, in their order.
    packets: VecDeque<Pending>,
    /// Where what waits begins.
    start: usize,
    /// What the last frame became before it was written, where it has to become something.
    scratch: Vec<u8>,
}

/// A packet that waits: one frame or several.
struct Pending {
    bytes: usize,
    /// Who gets it back if it is not sent; nobody, once a part of it has left.
    owner: Option<Owner>,
    compress: bool,
}

/// Who has a packet back that was not sent: a socket, and the ack that it waits for.
pub type Owner = (u32, Option<AckId>);

/// A packet that was not sent.
#[derive(Debug)]
pub struct Unsent {
    /// Whose it is.
    pub owner: Owner,
    /// Its frames, unmasked.
    pub frames: Box<[u8]>,
    /// Whether it may be compressed.
    pub compress: bool,
}

/// A frame that waits.
struct Waiting<'a> {
    opcode: Opcode,
    payload: &'a [u8],
    is_plain: bool,
}

impl Outgoing {
    /// With nothing in it, and without memory.
    pub const fn new() -> Self {
        Self { wire: Vec::new(), packets: VecDeque::new(), start: 0, scratch: Vec::new() }
    }

    /// Bytes that wait, as frames.
    pub const fn len(&self) -> usize {
        self.wire.len() - self.start
    }

    /// Whether nothing waits.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Puts a Socket.IO packet behind what waits. `owner` has it back if it is not sent, `compress` says
    /// whether it may be compressed, where that was agreed on.
    pub fn push(&mut self, letter: Letter, owner: Option<Owner>, compress: bool) {
        let from = self.wire.len();
        letter.append_to(&mut self.wire);
        self.pushed(from, owner, compress);
    }

    /// Puts a packet of the session behind what waits.
    pub fn push_packet(&mut self, packet: &Packet) {
        let from = self.wire.len();
        if let Packet::Message(Data::Binary(bytes)) = packet {
            frame::write(&mut self.wire, Opcode::Binary, bytes, None);
        } else {
            self.scratch.clear();
            packet.encode(&mut self.scratch);
            frame::write(&mut self.wire, Opcode::Text, &self.scratch, None);
            tidy(&mut self.scratch);
        }
        self.pushed(from, None, true);
    }

    /// Puts frames behind what waits that are written already: those of a
    /// [`Parcel`](crate::Parcel::wire), whole and unmasked. A part of one at their end is dropped.
    pub fn push_wire(&mut self, frames: &[u8], owner: Option<Owner>, compress: bool) {
        let from = self.wire.len();
        self.wire.extend_from_slice(frames);
        self.pushed(from, owner, compress);
    }

    /// Drops all that waits, and gives those packets back that have an owner and of which nothing has left.
    pub fn take_unsent(&mut self) -> Vec<Unsent> {
        let Self { wire, packets, start, .. } = std::mem::take(self);
        let mut at = start;
        let unsent = packets.into_iter().filter_map(|Pending { bytes, owner, compress }| {
            let mut frames: Box<[u8]> = wire.get(at..at + bytes)?.into();
            at += bytes;
            let owner = owner?;
            if !compress {
                for_each_frame(&mut frames, |first| *first &= !PLAIN);
            }
            Some(Unsent { owner, frames, compress })
        });
        unsent.collect()
    }

    /// The body of the next POST; `None` when nothing waits for one. With `base64_only` it is text in
    /// Engine.IO 3, too. Whole packets up to `bytes_max`, the `maxPayload` of the server; the first goes in
    /// any case, since no other body could take it.
    pub fn take_body(
        &mut self,
        revision: Revision,
        base64_only: bool,
        bytes_max: Option<usize>,
    ) -> Option<Data> {
        let bytes_max = bytes_max.unwrap_or(usize::MAX);
        let (mut end, mut len, mut count) = (self.start, 0_usize, 0);
        for waiting in self.waiting() {
            // What is only for a WebSocket is not for a body.
            if !waiting.opcode.is_control() {
                let more = body_len(revision, base64_only, &waiting, count == 0);
                if count > 0 && len.saturating_add(more) > bytes_max {
                    break;
                }
                len = len.saturating_add(more);
                count += 1;
            }
            end += frame::whole_len(waiting.payload.len());
        }
        let packets = frame::split(&self.wire[self.start..end]);
        let packets = packets.filter(|(opcode, _)| !opcode.is_control());
        let body = (count > 0).then(|| match revision {
            Revision::V4 => Data::Text(join(packets, len)),
            Revision::V3 => v3::encode(packets, base64_only),
        });
        self.taken(end);
        body
    }

    /// Appends whole frames to `out`, masked as a client has to, until they are `bytes_max` or more. In
    /// Engine.IO 3 a binary one begins with its type; with `base64_only` it becomes text. With `deflate`
    /// messages are compressed that may be, that it finds large enough, and that get smaller. `mask` gives
    /// the key for the next frame, which nobody shall be able to predict.
    pub fn take_frames(
        &mut self,
        revision: Revision,
        base64_only: bool,
        deflate: Option<&Deflate>,
        bytes_max: usize,
        mut mask: impl FnMut() -> [u8; 4],
        out: &mut Vec<u8>,
    ) {
        let (mut end, from) = (self.start, out.len());
        let mut scratch = std::mem::take(&mut self.scratch);
        let mut small = Vec::new();
        for waiting in self.waiting() {
            if out.len() - from >= bytes_max {
                break;
            }
            end += frame::whole_len(waiting.payload.len());
            let Waiting { mut opcode, mut payload, is_plain } = waiting;
            let is_binary = opcode == Opcode::Binary;
            let deflate = deflate.filter(|_| !is_plain && !opcode.is_control());
            let mut prefix: &[u8] = &[];
            scratch.clear();
            if is_binary && base64_only {
                match revision {
                    Revision::V4 => base64_encode(payload, &mut scratch),
                    Revision::V3 => v3::base64_encode(payload, &mut scratch),
                }
                (opcode, payload) = (Opcode::Text, &scratch);
            } else if is_binary && revision == Revision::V3 {
                prefix = &[v3::MESSAGE];
                if deflate.is_some_and(|deflate| payload.len() >= deflate.threshold()) {
                    // Compressed, it has to be in one piece.
                    scratch.extend_from_slice(prefix);
                    scratch.extend_from_slice(payload);
                    (prefix, payload) = (&[], &scratch);
                }
            }
            let key = mask();
            if prefix.is_empty()
                && deflate.is_some_and(|deflate| deflate.message(payload, &mut small))
            {
                let header = Header::new(opcode, small.len(), Some(key)).compressed();
                frame::write_masked(out, &header, key, &[], &small);
            } else {
                let header = Header::new(opcode, prefix.len() + payload.len(), Some(key));
                frame::write_masked(out, &header, key, prefix, payload);
            }
        }
        tidy(&mut scratch);
        self.scratch = scratch;
        self.taken(end);
    }

    fn waiting(&self) -> impl Iterator<Item = Waiting<'_>> {
        let mut at = self.start;
        frame::split(&self.wire[at..]).map(move |(opcode, payload)| {
            let is_plain = self.wire.get(at).is_some_and(|first| first & PLAIN != 0);
            at += frame::whole_len(payload.len());
            Waiting { opcode, payload, is_plain }
        })
    }

    /// Notes whose the frames are from there on, and cuts off what is no whole frame.
    fn pushed(&mut self, from: usize, owner: Option<Owner>, compress: bool) {
        let mark = if compress { 0 } else { PLAIN };
        let len =
            for_each_frame(self.wire.get_mut(from..).unwrap_or_default(), |first| *first |= mark);
        self.wire.truncate(from + len);
        self.packets.push_back(Pending { bytes: len, owner, compress });
    }

    /// What lies before `end` has left.
    fn taken(&mut self, end: usize) {
        let mut left = end - self.start;
        while left > 0
            && let Some(packet) = self.packets.front_mut()
        {
            if packet.bytes > left {
                // The server has the beginning: nobody may send it again.
                (packet.bytes, packet.owner) = (packet.bytes - left, None);
                break;
            }
            left -= packet.bytes;
            self.packets.pop_front();
        }
        self.start = end;
        if self.start == self.wire.len() {
            self.start = 0;
            self.wire.clear();
            tidy(&mut self.wire);
            if self.packets.capacity() > IDLE_PACKETS_MAX {
                self.packets = VecDeque::new();
            }
        } else if self.start > self.wire.len() / 2 {
            // At most as much is moved as has left.
            self.wire.drain(..self.start);
            self.start = 0;
        }
    }
}

impl fmt::Debug for Outgoing {
    /// Only how much it is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let waiting = &self.wire[self.start..];
        f.debug_struct("Outgoing").field("waiting", &Hidden::new(&waiting)).finish_non_exhaustive()
    }
}

/// Calls `f` with the first byte of each frame, and says how long all whole ones are.
fn for_each_frame(wire: &mut [u8], mut f: impl FnMut(&mut u8)) -> usize {
    let mut at = 0;
    loop {
        let payload = frame::split(wire.get(at..).unwrap_or_default()).next();
        let Some(len) = payload.map(|(_, payload)| frame::whole_len(payload.len())) else {
            return at;
        };
        f(&mut wire[at]);
        at += len;
    }
}

/// Keeps only a little memory for what comes next.
fn tidy(buffer: &mut Vec<u8>) {
    if buffer.capacity() > IDLE_BYTES_MAX {
        *buffer = Vec::new();
    }
}

/// Bytes by which a body grows with a frame; in Engine.IO 3, at most.
fn body_len(revision: Revision, base64: bool, waiting: &Waiting<'_>, is_first: bool) -> usize {
    let len = waiting.payload.len();
    let is_binary = waiting.opcode == Opcode::Binary;
    let base64_len = len.div_ceil(3).saturating_mul(4);
    match revision {
        // The separator, and the `b`.
        Revision::V4 if is_binary => usize::from(!is_first) + 1 + base64_len,
        Revision::V4 => usize::from(!is_first) + len,
        Revision::V3 => {
            let packet = match (is_binary, base64) {
                (true, true) => 2 + base64_len,
                (true, false) => 1 + len,
                (false, _) => len,
            };
            // The length, and what is around it.
            packet + itoa::Buffer::new().format(packet).len() + 2
        }
    }
}

/// A body of Engine.IO 4.
fn join<'a>(packets: impl Iterator<Item = (Opcode, &'a [u8])>, len: usize) -> Bytes {
    let mut body = Vec::with_capacity(len);
    for (opcode, payload) in packets {
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
