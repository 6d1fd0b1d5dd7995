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
        if compress {
            // Its frames are whole, and stay as they are.
            self.packets.push_back(Pending { bytes: self.wire.len() - from, owner, compress });
        } else {
            self.pushed(from, owner, compress);
        }
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

    /// The packets of that socket that wait for one of these acks, which are sorted, are not to be given back,
    /// if they are still here.
    pub fn disown(&mut self, socket: u32, acks: &[AckId]) {
        for packet in &mut self.packets {
            if let Some((owner, Some(ack))) = packet.owner
                && owner == socket
                && acks.binary_search(&ack).is_ok()
            {
                packet.owner = None;
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::payload::Payload;
    use crate::parcel::Parcel;
    use crate::ws::{Decoder, Message, Role};

    fn text(text: &str) -> Packet {
        Packet::Message(Data::Text(Bytes::copy_from_slice(text.as_bytes())))
    }

    fn bytes(len: usize) -> Packet {
        Packet::Message(Data::Binary(vec![7; len].into()))
    }

    fn outgoing(packets: &[Packet]) -> Outgoing {
        let mut outgoing = Outgoing::new();
        packets.iter().for_each(|packet| outgoing.push_packet(packet));
        outgoing
    }

    fn v4_body(outgoing: &mut Outgoing, max: usize) -> String {
        match outgoing.take_body(Revision::V4, false, Some(max)) {
            Some(Data::Text(body)) => String::from_utf8(body.to_vec()).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    /// The messages that a server reads, and how many of them were compressed.
    fn read(mut wire: Vec<u8>) -> (Vec<Message>, usize) {
        let compressed = wire[0] & 0x40;
        let mut decoder = Decoder::new(Role::Server, 1_000_000, 10).inflating(100_000);
        let mut rest = &mut wire[..];
        let mut messages = Vec::new();
        while let Some(message) = decoder.receive(&mut rest).unwrap() {
            messages.push(message);
        }
        assert!(rest.is_empty());
        (messages, usize::from(compressed != 0))
    }

    fn frames(outgoing: &mut Outgoing, revision: Revision, base64: bool) -> Vec<Message> {
        let mut out = Vec::new();
        outgoing.take_frames(revision, base64, None, usize::MAX, || [1, 2, 3, 4], &mut out);
        read(out).0
    }

    #[test]
    fn a_body_has_whole_packets_up_to_its_limit_to_the_byte() {
        let all = [text("é"), bytes(4), text("ab")];
        let whole = "4é\u{1e}bBwcHBw==\u{1e}4ab";
        for max in 0..=whole.len() {
            let mut outgoing = outgoing(&all);
            let mut bodies = Vec::new();
            while !outgoing.is_empty() {
                bodies.push(v4_body(&mut outgoing, max));
            }
            assert_eq!(bodies.join("\u{1e}"), whole);
            let fits = |body: &String| body.len() <= max || !body.contains('\u{1e}');
            assert!(bodies.iter().all(fits), "{max}: {bodies:?}");
            let count = match max {
                ..13 => 3,
                13..17 => 2,
                _ => 1,
            };
            assert_eq!(bodies.len(), count, "{max}");
            assert_eq!(outgoing.take_body(Revision::V4, false, None), None);
        }
    }

    #[test]
    fn a_body_of_engine_io_3_reads_back_and_keeps_the_limit() {
        let all = [text("é😀"), bytes(4), text("ab"), bytes(200), Packet::Ping(Bytes::new())];
        for base64 in [false, true] {
            for max in (0..600).step_by(7) {
                let mut outgoing = outgoing(&all);
                let mut read = Vec::new();
                while let Some(body) = outgoing.take_body(Revision::V3, base64, Some(max)) {
                    assert!(!base64 || matches!(body, Data::Text(_)));
                    let (Data::Text(body) | Data::Binary(body)) = body;
                    let len = body.len();
                    let packets: Vec<_> =
                        Payload::v3(body, 9).unwrap().map(Result::unwrap).collect();
                    assert!(len <= max || packets.len() == 1, "{len} > {max}");
                    read.extend(packets);
                }
                assert_eq!(read, all);
            }
        }
    }

    #[test]
    fn frames_are_masked_and_in_the_form_of_their_revision() {
        let all = [text("é"), bytes(2)];
        let said = |first: &str, second: Message| {
            vec![Message::Text(Bytes::copy_from_slice(first.as_bytes())), second]
        };
        let binary = |bytes: &'static [u8]| Message::Binary(Bytes::from_static(bytes));
        let base64 = |text: &'static str| Message::Text(Bytes::from(text));
        let of = |revision, base64| frames(&mut outgoing(&all), revision, base64);
        assert_eq!(of(Revision::V4, false), said("4é", binary(&[7, 7])));
        assert_eq!(of(Revision::V3, false), said("4é", binary(&[4, 7, 7])));
        assert_eq!(of(Revision::V4, true), said("4é", base64("bBwc=")));
        assert_eq!(of(Revision::V3, true), said("4é", base64("b4Bwc=")));
    }

    #[test]
    fn each_frame_has_a_key_of_its_own() {
        let mut outgoing = outgoing(&[text("a"), text("a")]);
        let (mut out, mut key) = (Vec::new(), 0);
        let mask = || {
            key += 1;
            [key; 4]
        };
        outgoing.take_frames(Revision::V4, false, None, usize::MAX, mask, &mut out);
        assert_eq!((&out[2..6], &out[10..14]), (&[1; 4][..], &[2; 4][..]));
    }

    #[test]
    fn only_what_may_be_is_compressed() {
        let deflate = Deflate::new(100, 6);
        let long = "x".repeat(1_000);
        let check = |compress: bool, args: &str, revision, base64, expected| {
            let mut outgoing = Outgoing::new();
            outgoing.push(Letter::event("/", None, "e", args).unwrap(), None, compress);
            let plain = frames(&mut outgoing, revision, base64);
            outgoing.push(Letter::event("/", None, "e", args).unwrap(), None, compress);
            let mut out = Vec::new();
            let key = || [9; 4];
            outgoing.take_frames(revision, base64, Some(&deflate), usize::MAX, key, &mut out);
            let (messages, compressed) = read(out);
            assert_eq!((messages, compressed), (plain, expected));
        };
        check(true, &long, Revision::V4, false, 1);
        check(false, &long, Revision::V4, false, 0);
        check(true, "short", Revision::V4, false, 0);
        for (revision, base64) in [
            (Revision::V3, false),
            (Revision::V3, true),
            (Revision::V4, true),
            (Revision::V4, false),
        ] {
            let mut plain = outgoing(&[bytes(1_000)]);
            let expected = frames(&mut plain, revision, base64);
            let (mut out, mut outgoing) = (Vec::new(), outgoing(&[bytes(1_000)]));
            let key = || [9; 4];
            outgoing.take_frames(revision, base64, Some(&deflate), usize::MAX, key, &mut out);
            assert_eq!(read(out), (expected, 1), "{revision:?} {base64}");
        }
        assert!(deflate.tally().messages > 0);
    }

    #[test]
    fn a_letter_with_bytes_is_not_compressed_in_any_part_that_shall_not_be() {
        let deflate = Deflate::new(10, 6);
        let args = Bytes::from(vec![7; 500]);
        let mut outgoing = Outgoing::new();
        outgoing.push(Letter::event("/", None, "e", &args).unwrap(), None, false);
        outgoing.push_wire(Parcel::event("/", None, "e", &args).unwrap().wire(), None, false);
        let mut out = Vec::new();
        outgoing.take_frames(Revision::V4, false, Some(&deflate), 1 << 20, || [0; 4], &mut out);
        assert_eq!(deflate.tally().messages, 0);
        assert_eq!(read(out).0.len(), 4);
    }

    #[test]
    fn so_many_bytes_leave_at_once_and_the_rest_waits() {
        let mut outgoing = outgoing(&vec![text("0123456789"); 100]);
        let mut sizes = Vec::new();
        let mut all = Vec::new();
        while !outgoing.is_empty() {
            let before = all.len();
            outgoing.take_frames(Revision::V4, false, None, 500, || [5; 4], &mut all);
            sizes.push(all.len() - before);
        }
        // Each frame has 17 bytes.
        assert_eq!(sizes, [510, 510, 510, 170]);
        assert_eq!(read(all).0.len(), 100);
    }

    #[test]
    fn with_nothing_in_it_it_holds_next_to_nothing() {
        let mut outgoing = Outgoing::new();
        outgoing.push_packet(&bytes(1_000_000));
        outgoing.push_packet(&text(&"x".repeat(1_000_000)));
        let mut out = Vec::new();
        outgoing.take_frames(Revision::V4, true, None, usize::MAX, || [5; 4], &mut out);
        assert!(outgoing.is_empty());
        assert!(outgoing.wire.capacity() + outgoing.scratch.capacity() <= 2 * IDLE_BYTES_MAX);
        outgoing.push_packet(&bytes(1_000_000));
        assert!(outgoing.take_unsent().is_empty());
        assert_eq!((outgoing.len(), outgoing.wire.capacity()), (0, 0));
    }

    #[test]
    fn memory_that_has_left_is_used_again_while_something_always_waits() {
        let mut outgoing = outgoing(&[bytes(1_000)]);
        for _ in 0..1_000 {
            outgoing.push_packet(&bytes(1_000));
            let mut out = Vec::new();
            outgoing.take_frames(Revision::V4, false, None, 1, || [5; 4], &mut out);
        }
        assert_eq!(outgoing.len(), 1_004);
        assert!(outgoing.wire.capacity() < 10_000);
    }

    #[test]
    fn part_of_a_frame_is_dropped_and_what_is_for_a_websocket_alone_is_in_no_body() {
        let mut outgoing = Outgoing::new();
        outgoing.push_wire(&[0x81], None, true);
        outgoing.push_wire(&[0x81, 5, b'4'], None, false);
        assert!(outgoing.is_empty());
        outgoing.push_wire(Parcel::pong(b"x").wire(), None, true);
        assert_eq!(outgoing.take_body(Revision::V4, false, None), None);
        assert!(outgoing.is_empty());
        outgoing.push_wire(Parcel::pong(b"x").wire(), None, true);
        outgoing.push_packet(&text("a"));
        assert_eq!(v4_body(&mut outgoing, 100), "4a");
        assert!(format!("{outgoing:?}").contains("0 bytes"));
    }

    #[test]
    fn what_has_not_left_goes_back_to_its_owner() {
        let letter =
            |n: i32| Letter::event("/", None, "e", &(n, Bytes::from_static(b"b"))).unwrap();
        let mut outgoing = Outgoing::new();
        for n in 0..4 {
            outgoing.push(letter(n), (n != 2).then_some((n as u32, None)), n != 3);
        }
        let plain = |n| Parcel::from(letter(n)).wire().to_vec();
        let mut out = Vec::new();
        // The first, four bytes more for each of its frames, and a part of the second.
        outgoing.take_frames(Revision::V4, false, None, plain(0).len() + 9, || [0; 4], &mut out);
        let unsent = outgoing.take_unsent();
        let expected = [(3, plain(3), false)];
        let found: Vec<_> = unsent
            .into_iter()
            .map(|unsent| (unsent.owner.0, unsent.frames.to_vec(), unsent.compress))
            .collect();
        assert_eq!(found, expected);
        assert!(outgoing.is_empty());
    }
}
