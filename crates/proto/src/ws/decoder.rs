//! [`Decoder`]: arriving bytes to messages.
//!
//! Bytes are unmasked where they lie, in the caller's read buffer. Only what is not yet a whole
//! message is kept: up to 14 bytes of a cut header, and the joined payload of a message whose end
//! is still to come. A peer that sends nothing costs no buffer; one that announces a large frame
//! costs only what it really sent. A message that is compressed is held as it came, and inflated
//! when it is whole.

use std::fmt;

use bytes::Bytes;

use super::close::CloseCode;
use super::frame::{CONTROL_BYTES_MAX, HEADER_BYTES_MAX, Opcode};
use super::mask;
use super::utf8::Utf8;
use crate::deflate::{self, InflateError};
use crate::hidden::Hidden;
use crate::text::is_text;

/// The first byte of a frame that is a whole text, and of one that is whole and binary.
const WHOLE_TEXT: u8 = 0x81;
const WHOLE_BINARY: u8 = 0x82;

/// The reserved bit that says that a message is compressed (RFC 7692 section 6).
const COMPRESSED: u8 = 0x40;

/// Which end of the connection the decoder is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Frames that arrive must be masked (section 5.1).
    Server,
    /// Frames that arrive must not be masked.
    Client,
}

/// Something whole that arrived.
#[derive(Clone, PartialEq, Eq)]
pub enum Message {
    /// A text; it was checked to be UTF-8.
    Text(Bytes),
    /// Bytes.
    Binary(Bytes),
    /// To be answered by a pong with the same bytes.
    Ping(Bytes),
    /// An answer to a ping, or unasked for; nothing to do.
    Pong(Bytes),
    /// The peer closes; `None` when it gave no code. What it said about it was checked to be UTF-8; it has
    /// up to 123 bytes, and is empty where there is no code.
    Close(Option<CloseCode>, Bytes),
}

impl fmt::Debug for Message {
    /// Of texts and bytes only how long they are: there are secrets in them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.debug_tuple("Text").field(&Hidden::new(text)).finish(),
            Self::Binary(bytes) => f.debug_tuple("Binary").field(&Hidden::new(bytes)).finish(),
            Self::Ping(bytes) => f.debug_tuple("Ping").field(bytes).finish(),
            Self::Pong(bytes) => f.debug_tuple("Pong").field(bytes).finish(),
            Self::Close(code, said) => f.debug_tuple("Close").field(code).field(said).finish(),
        }
    }
}

/// How the peer broke the protocol. [`WsError::code`] is what to close with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WsError {
    /// A reserved bit was set although no extension was agreed on, or where that has no meaning.
    ReservedBits,
    /// An opcode that does not exist.
    Opcode,
    /// A masked frame from a server, or an unmasked one from a client.
    Mask,
    /// A control frame that is fragmented or longer than 125 bytes.
    Control,
    /// A continuation without a beginning, or a beginning inside a message.
    Continuation,
    /// A length that is not in its shortest form, or has its highest bit set.
    Length,
    /// A message above the limit of its size.
    TooBig,
    /// A message in more frames than the limit.
    Fragments,
    /// A text or a close reason that is not UTF-8.
    Utf8,
    /// A close frame with one byte, or with a code that may not be sent.
    Close,
    /// A compressed message that cannot be inflated.
    Inflate,
    /// A message that inflates to more than the limit of its size.
    InflatedTooBig,
    /// Messages that inflate to more than the limit for their compressed bytes.
    InflateRatio,
}

impl WsError {
    /// The code to close the connection with.
    pub const fn code(self) -> CloseCode {
        match self {
            Self::TooBig | Self::InflatedTooBig => CloseCode::TOO_BIG,
            Self::Fragments | Self::InflateRatio => CloseCode::POLICY,
            // The frames are right, but what is in them is not what they say: RFC 6455 section 7.4.1
            // has that as 1007, and RFC 7692 names no code.
            Self::Utf8 | Self::Inflate => CloseCode::INVALID_DATA,
            _ => CloseCode::PROTOCOL,
        }
    }

    /// A short text for logs and counters.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ReservedBits => "reserved bit in a frame",
            Self::Opcode => "unknown opcode",
            Self::Mask => "frame masked the wrong way",
            Self::Control => "bad control frame",
            Self::Continuation => "fragments out of order",
            Self::Length => "bad frame length",
            Self::TooBig => "message too big",
            Self::Fragments => "too many fragments",
            Self::Utf8 => "text is not UTF-8",
            Self::Close => "bad close frame",
            Self::Inflate => "compressed message is broken",
            Self::InflatedTooBig => "message too big when inflated",
            Self::InflateRatio => "messages inflate too much",
        }
    }
}

impl fmt::Display for WsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::error::Error for WsError {}

/// Turns arriving bytes into messages. After an error it must not be used again.
pub struct Decoder {
    message_bytes_max: usize,
    role: Role,
    fragments_max: u32,
    /// The header that is being received, as far as it is there.
    header: [u8; HEADER_BYTES_MAX],
    header_len: u8,
    /// The frame whose payload is being received.
    frame: Option<Frame>,
    /// Payload of a control frame of which a part is still to come. Rare, so it takes little room.
    control: Option<Box<Control>>,
    /// Joined payload of a data message of which a part is still to come.
    data: Vec<u8>,
    /// The fragmented data message that is being received, if any.
    partial: Option<Partial>,
    /// Messages may be compressed.
    inflating: Option<Box<Inflating>>,
}

impl fmt::Debug for Decoder {
    /// Of a message that is being received, only how much is there.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder")
            .field("role", &self.role)
            .field("message_bytes_max", &self.message_bytes_max)
            .field("data", &Hidden::new(&self.data))
            .finish_non_exhaustive()
    }
}

/// How much compressed messages may still become. What they become is bounded by what they were: a
/// peer that sends little cannot have much done for it.
struct Inflating {
    /// Bytes that come in for each compressed one.
    ratio_max: usize,
    /// Bytes that may go out. Starts with one whole message, and more is never carried over.
    credit: usize,
    /// The end of what the peer has sent compressed, where it remembers that; no memory until it has.
    window: Option<Vec<u8>>,
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    fin: bool,
    opcode: Opcode,
    mask: Option<[u8; 4]>,
    /// Payload bytes received so far.
    received: usize,
    len: usize,
}

#[derive(Default)]
struct Control {
    payload: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Partial {
    text: bool,
    compressed: bool,
    frames: u32,
    utf8: Utf8,
}

impl Decoder {
    /// A decoder for one connection. A message may have up to `message_bytes_max` bytes and come in
    /// up to `fragments_max` frames.
    pub fn new(role: Role, message_bytes_max: usize, fragments_max: u32) -> Self {
        Self {
            message_bytes_max,
            role,
            fragments_max,
            header: [0; HEADER_BYTES_MAX],
            header_len: 0,
            frame: None,
            control: None,
            data: Vec::new(),
            partial: None,
            inflating: None,
        }
    }

    /// The same where compression was [agreed on](deflate::negotiate): messages may be compressed. On
    /// the average each compressed byte may become `ratio_max` bytes; the peer may be ahead of that by
    /// one message of the largest size. The largest size is that of a message before and after.
    pub fn inflating(mut self, ratio_max: u32) -> Self {
        let ratio_max = usize::try_from(ratio_max).unwrap_or(usize::MAX);
        let credit = self.message_bytes_max;
        self.inflating = Some(Box::new(Inflating { ratio_max, credit, window: None }));
        self
    }

    /// The same where the peer [remembers](deflate::Agreed::remembers) the end of what it has sent.
    pub fn remembering(mut self) -> Self {
        if let Some(inflating) = &mut self.inflating {
            inflating.window = Some(Vec::new());
        }
        self
    }

    /// Takes bytes from the front of `input` until a message is whole, and gives it; `None` when
    /// `input` is used up. The bytes are unmasked in place, so they must not be given again.
    // As a call it would give the message back in memory, to be moved once more.
    #[inline(always)]
    pub fn receive(&mut self, input: &mut &mut [u8]) -> Result<Option<Message>, WsError> {
        match self.whole(input) {
            Some(message) => message.map(Some),
            None => self.pieces(input),
        }
    }

    /// The way of most messages: if the next frame is a whole data message and all of it is there,
    /// takes it without noting anything down. Gives `None`, and takes nothing, for all else.
    #[inline(always)]
    fn whole(&mut self, input: &mut &mut [u8]) -> Option<Result<Message, WsError>> {
        if self.header_len > 0 || self.frame.is_some() || self.partial.is_some() {
            return None;
        }
        let (&[first, second], rest) = input.split_first_chunk::<2>()?;
        let text = match first {
            WHOLE_TEXT => true,
            WHOLE_BINARY => false,
            _ => return None,
        };
        let masked = second & 0x80 != 0;
        let (len, extended) = match second & 0x7f {
            126 => (usize::from(u16::from_be_bytes(*rest.first_chunk()?)), 2),
            127 => return None,
            len => (usize::from(len), 0),
        };
        let shortest = extended == 0 || len > 125;
        if masked != (self.role == Role::Server) || !shortest || len > self.message_bytes_max {
            return None;
        }
        let header_len = 2 + extended + if masked { 4 } else { 0 };
        if input.len() < header_len + len {
            return None;
        }
        let (header, payload) = take(input, header_len + len).split_at_mut(header_len);
        let key = header.last_chunk::<4>().copied().filter(|_| masked);
        if let Some(key) = key {
            mask::apply(key, 0, payload);
        }
        Some(match text {
            true if !is_text(payload) => Err(WsError::Utf8),
            true => Ok(Message::Text(Bytes::copy_from_slice(payload))),
            false => Ok(Message::Binary(Bytes::copy_from_slice(payload))),
        })
    }

    /// The way of all messages.
    fn pieces(&mut self, input: &mut &mut [u8]) -> Result<Option<Message>, WsError> {
        loop {
            let frame = match self.frame {
                Some(frame) => frame,
                None => match self.header(input)? {
                    Some(frame) => frame,
                    None => return Ok(None),
                },
            };
            if let Some(message) = self.payload(frame, input)? {
                return Ok(Some(message));
            }
            if self.frame.is_some() {
                return Ok(None);
            }
        }
    }

    /// Whether a message has begun to arrive and is not whole yet.
    pub const fn is_within_message(&self) -> bool {
        self.header_len > 0 || self.frame.is_some() || self.partial.is_some()
    }

    /// Bytes held of messages that are not whole yet, and of those that the peer
    /// [remembers](deflate::Agreed::remembers).
    pub fn held_bytes(&self) -> usize {
        let control = self.control.as_ref().map_or(0, |control| control.payload.capacity());
        let window = self.inflating.as_ref().and_then(|inflating| inflating.window.as_ref());
        control + self.data.capacity() + window.map_or(0, Vec::capacity)
    }

    /// Collects the header of the next frame and checks it.
    fn header(&mut self, input: &mut &mut [u8]) -> Result<Option<Frame>, WsError> {
        loop {
            let have = usize::from(self.header_len);
            let need = header_len(&self.header[..have]);
            if have == need {
                self.header_len = 0;
                let frame = self.check(need)?;
                self.frame = Some(frame);
                return Ok(Some(frame));
            }
            let taken = take(input, need - have);
            if taken.is_empty() {
                return Ok(None);
            }
            self.header[have..have + taken.len()].copy_from_slice(taken);
            // A header has at most 14 bytes.
            self.header_len += taken.len() as u8;
            if self.header_len >= 2 && have < 2 {
                self.check_start()?;
            }
        }
    }

    /// What the first two bytes already tell, checked before more is waited for.
    fn check_start(&self) -> Result<(), WsError> {
        let [first, second, ..] = self.header;
        let opcode = Opcode::new(first & 0x0f);
        if first & 0x70 != 0 {
            let begins = matches!(opcode, Some(Opcode::Text | Opcode::Binary));
            if first & 0x70 != COMPRESSED || !begins || self.inflating.is_none() {
                return Err(WsError::ReservedBits);
            }
        }
        let opcode = opcode.ok_or(WsError::Opcode)?;
        let fin = first & 0x80 != 0;
        if opcode.is_control() && (!fin || usize::from(second & 0x7f) > CONTROL_BYTES_MAX) {
            return Err(WsError::Control);
        }
        if (second & 0x80 != 0) != (self.role == Role::Server) {
            return Err(WsError::Mask);
        }
        match (opcode, &self.partial) {
            (Opcode::Continuation, None) | (Opcode::Text | Opcode::Binary, Some(_)) => {
                Err(WsError::Continuation)
            }
            _ => Ok(()),
        }
    }

    fn check(&mut self, header_len: usize) -> Result<Frame, WsError> {
        let [first, second, ..] = self.header;
        let opcode = Opcode::new(first & 0x0f).ok_or(WsError::Opcode)?;
        let mask_len = if second & 0x80 != 0 { 4 } else { 0 };
        let (extended, mask) = self.header[2..header_len].split_at(header_len - 2 - mask_len);
        let len = payload_len(second & 0x7f, extended)?;
        let mask = <[u8; 4]>::try_from(mask).ok();
        let frame = Frame { fin: first & 0x80 != 0, opcode, mask, received: 0, len };
        if !opcode.is_control() {
            self.check_message(frame)?;
        }
        Ok(frame)
    }

    /// Counts a data frame in its message.
    fn check_message(&mut self, frame: Frame) -> Result<(), WsError> {
        let room = self.message_bytes_max.saturating_sub(self.data.len());
        if frame.len > room {
            return Err(WsError::TooBig);
        }
        if frame.opcode == Opcode::Continuation {
            let partial = self.partial.as_mut().ok_or(WsError::Continuation)?;
            partial.frames += 1;
            if partial.frames > self.fragments_max {
                return Err(WsError::Fragments);
            }
        } else {
            let text = frame.opcode == Opcode::Text;
            let compressed = self.header[0] & COMPRESSED != 0;
            self.partial = Some(Partial { text, compressed, frames: 1, utf8: Utf8::default() });
        }
        Ok(())
    }

    /// Takes payload of `frame`; gives the message that it completes. Afterwards `self.frame` is
    /// set only when the frame needs more than there was.
    fn payload(
        &mut self,
        mut frame: Frame,
        input: &mut &mut [u8],
    ) -> Result<Option<Message>, WsError> {
        let piece = take(input, frame.len - frame.received);
        if let Some(key) = frame.mask {
            mask::apply(key, frame.received, piece);
        }
        frame.received += piece.len();
        let whole = frame.received == frame.len;
        self.frame = (!whole).then_some(frame);
        if frame.opcode.is_control() {
            self.control(frame, piece, whole)
        } else {
            self.data(frame, piece, whole)
        }
    }

    fn control(
        &mut self,
        frame: Frame,
        piece: &[u8],
        whole: bool,
    ) -> Result<Option<Message>, WsError> {
        if !whole {
            hold(&mut self.control.get_or_insert_default().payload, piece, CONTROL_BYTES_MAX);
            return Ok(None);
        }
        let payload = match self.control.take() {
            Some(mut control) => join(&mut control.payload, piece),
            None => Bytes::copy_from_slice(piece),
        };
        Ok(Some(match frame.opcode {
            Opcode::Ping => Message::Ping(payload),
            Opcode::Pong => Message::Pong(payload),
            _ => close(&payload)?,
        }))
    }

    fn data(
        &mut self,
        frame: Frame,
        piece: &[u8],
        whole: bool,
    ) -> Result<Option<Message>, WsError> {
        let partial = self.partial.as_mut().ok_or(WsError::Continuation)?;
        if partial.compressed {
            return self.compressed(piece, whole && frame.fin);
        }
        if partial.text {
            partial.utf8.push(piece).map_err(|_| WsError::Utf8)?;
        }
        if !(whole && frame.fin) {
            hold(&mut self.data, piece, self.message_bytes_max);
            return Ok(None);
        }
        let text = partial.text;
        if text {
            partial.utf8.finish().map_err(|_| WsError::Utf8)?;
        }
        self.partial = None;
        let payload = join(&mut self.data, piece);
        Ok(Some(if text { Message::Text(payload) } else { Message::Binary(payload) }))
    }

    /// Compressed payload is joined as it is, and inflated when all of it is there.
    fn compressed(&mut self, piece: &[u8], last: bool) -> Result<Option<Message>, WsError> {
        if !last {
            hold(&mut self.data, piece, self.message_bytes_max);
            return Ok(None);
        }
        let text = self.partial.take().is_some_and(|partial| partial.text);
        let inflating = self.inflating.as_mut().ok_or(WsError::ReservedBits)?;
        let payload = if self.data.is_empty() {
            inflating.inflate(piece, self.message_bytes_max)?
        } else {
            let joined = join(&mut self.data, piece);
            inflating.inflate(&joined, self.message_bytes_max)?
        };
        match text {
            true if !is_text(&payload) => Err(WsError::Utf8),
            true => Ok(Some(Message::Text(payload))),
            false => Ok(Some(Message::Binary(payload))),
        }
    }
}

impl Inflating {
    fn inflate(&mut self, message: &[u8], bytes_max: usize) -> Result<Bytes, WsError> {
        let credit = self.credit.saturating_add(message.len().saturating_mul(self.ratio_max));
        let (before, bytes_max_now) = (self.window.as_deref(), credit.min(bytes_max));
        let payload = deflate::inflate(message, before, bytes_max_now).map_err(|e| match e {
            InflateError::Garbage => WsError::Inflate,
            InflateError::TooBig if credit < bytes_max => WsError::InflateRatio,
            InflateError::TooBig => WsError::InflatedTooBig,
        })?;
        self.credit = (credit - payload.len()).min(bytes_max);
        if let Some(window) = &mut self.window {
            deflate::remember(window, &payload);
        }
        Ok(payload)
    }
}

/// The length of the header that starts with `have`, as far as that can be told; never more than
/// needed to tell more.
fn header_len(have: &[u8]) -> usize {
    let Some(&second) = have.get(1) else {
        return 2;
    };
    let extended = match second & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    2 + extended + if second & 0x80 != 0 { 4 } else { 0 }
}

/// The payload length; it must be in its shortest form (section 5.2).
fn payload_len(short: u8, extended: &[u8]) -> Result<usize, WsError> {
    let long = extended.iter().fold(0_u64, |len, &byte| len << 8 | u64::from(byte));
    match short {
        126 if long > 125 => Ok(long as usize),
        127 if long > 0xffff && long >> 63 == 0 => {
            usize::try_from(long).map_err(|_| WsError::TooBig)
        }
        126 | 127 => Err(WsError::Length),
        len => Ok(usize::from(len)),
    }
}

/// Up to `max` bytes off the front of `input`.
fn take<'a>(input: &mut &'a mut [u8], max: usize) -> &'a mut [u8] {
    let len = max.min(input.len());
    let (taken, rest) = std::mem::take(input).split_at_mut(len);
    *input = rest;
    taken
}

/// Keeps a piece. The room grows by doubling, but not above `max`, the most that can still come.
fn hold(held: &mut Vec<u8>, piece: &[u8], max: usize) {
    let need = held.len() + piece.len();
    if need > held.capacity() {
        let room = need.max(max.min(held.capacity() * 2));
        held.reserve_exact(room - held.len());
    }
    held.extend_from_slice(piece);
}

/// The held bytes and the last piece as one payload; nothing stays held.
fn join(held: &mut Vec<u8>, last: &[u8]) -> Bytes {
    if held.is_empty() {
        return Bytes::copy_from_slice(last);
    }
    let mut all = std::mem::take(held);
    all.reserve_exact(last.len());
    all.extend_from_slice(last);
    Bytes::from(all)
}

/// What the payload of a close frame says; its reason must be UTF-8 (section 5.5.1).
fn close(payload: &[u8]) -> Result<Message, WsError> {
    match payload {
        [] => Ok(Message::Close(None, Bytes::new())),
        [high, low, reason @ ..] => {
            let code = CloseCode::new(u16::from_be_bytes([*high, *low])).ok_or(WsError::Close)?;
            std::str::from_utf8(reason).map_err(|_| WsError::Utf8)?;
            Ok(Message::Close(Some(code), Bytes::copy_from_slice(reason)))
        }
        [_] => Err(WsError::Close),
    }
}
