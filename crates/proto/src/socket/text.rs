//! The default encoding of Socket.IO packets:
//! `<type>[<attachments>-][<namespace>,][<ack id>][<JSON>]`.
//!
//! [`Header`] reads what the peer sent. What is sent is a [`Letter`](crate::Letter).

use std::fmt;
use std::ops::Range;

use bytes::Bytes;
use serde::de::IgnoredAny;

use super::packet::{Event, Name, Packet, PacketKind, is_reserved};
use super::placeholder;
use crate::args::{Args, PLAIN_DEPTH, Span, check_depth, first_element, first_text, is_plain_list};
use crate::error::Violation;
use crate::hidden::Hidden;
use crate::id::AckId;
use crate::limits::Limits;

/// A text packet whose attachments, if it announces any, are still to come.
#[derive(Clone)]
pub struct Header {
    kind: PacketKind,
    /// Attachments to come.
    pub attachments: u32,
    namespace: Range<usize>,
    ack: Option<AckId>,
    json: usize,
    text: Bytes,
}

impl fmt::Debug for Header {
    /// Of the JSON, only how long the packet is with it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Header")
            .field("kind", &self.kind)
            .field("attachments", &self.attachments)
            .field("namespace", &self.namespace())
            .field("ack", &self.ack)
            .field("text", &Hidden::new(&self.text))
            .finish()
    }
}

/// What stands before the JSON of a packet.
pub(super) struct Head {
    pub(super) kind: PacketKind,
    attachments: u32,
    namespace: Range<usize>,
    pub(super) ack: Option<AckId>,
    /// Where the JSON begins.
    pub(super) json: usize,
}

impl Header {
    /// Reads all but the JSON of a packet.
    pub fn decode(text: Bytes, limits: &Limits) -> Result<Self, Violation> {
        let head = Head::read(&text, limits.attachments_max, limits.namespace_bytes_max)?;
        let Head { kind, attachments, namespace, ack, json } = head;
        Ok(Self { kind, attachments, namespace, ack, json, text })
    }

    /// The header of a packet that came in one piece and has been read, with so many attachments:
    /// where its namespace and its JSON are in `text`.
    pub(super) fn of_whole(
        kind: PacketKind,
        ack: Option<AckId>,
        attachments: usize,
        text: Bytes,
        namespace: Range<usize>,
        json: usize,
    ) -> Result<Self, Violation> {
        let kind = match (kind, attachments) {
            (kind, 0) => kind,
            (PacketKind::Event, _) => PacketKind::BinaryEvent,
            (PacketKind::Ack, _) => PacketKind::BinaryAck,
            // Only arguments have bytes in them.
            _ => return Err(Violation::Payload),
        };
        // All are there.
        Ok(Self { kind, attachments: 0, namespace, ack, json, text })
    }

    /// The namespace; `/` where the packet names none.
    pub fn namespace(&self) -> &str {
        name_of(&self.text, &self.namespace)
    }

    /// Reads the JSON, now that all attachments are there.
    pub fn finish(self, attachments: Box<[Bytes]>, limits: &Limits) -> Result<Packet, Violation> {
        if self.is_event() {
            let (name, args) = self.check_event(attachments.len(), limits)?;
            return Ok(Packet::Event(self.into_event(name, args, attachments)));
        }
        self.check_json(attachments.len(), limits)?;
        match self.kind {
            PacketKind::Connect => self.connect(),
            PacketKind::Disconnect if self.json == self.text.len() => Ok(Packet::Disconnect),
            PacketKind::Ack | PacketKind::BinaryAck => self.ack(attachments),
            PacketKind::ConnectError => self.connect_error(),
            PacketKind::Disconnect => Err(Violation::Payload),
            // Events are done with.
            PacketKind::Event | PacketKind::BinaryEvent => Err(Violation::Unexpected),
        }
    }

    #[inline(always)]
    fn check_json(&self, attachments: usize, limits: &Limits) -> Result<(), Violation> {
        let json = &self.text[self.json..];
        if limits.json_depth_max >= PLAIN_DEPTH && is_plain_list(json, attachments) {
            return Ok(());
        }
        self.check_any_json(json, attachments, limits)
    }

    #[inline(never)]
    fn check_any_json(
        &self,
        json: &[u8],
        attachments: usize,
        limits: &Limits,
    ) -> Result<(), Violation> {
        if !check_depth(json, limits.json_depth_max) {
            return Err(Violation::Depth);
        }
        let is_binary = self.kind.is_binary();
        if is_binary || !json.is_empty() {
            serde_json::from_slice::<IgnoredAny>(json).map_err(|_| Violation::Payload)?;
        }
        if is_binary { placeholder::check(json, attachments) } else { Ok(()) }
    }

    fn connect(self) -> Result<Packet, Violation> {
        let auth = self.text.slice(self.json..);
        match auth.trim_ascii().first() {
            None => Ok(Packet::Connect(None)),
            Some(b'{') => Ok(Packet::Connect(Some(auth))),
            Some(_) => Err(Violation::Payload),
        }
    }

    /// An object, or in Socket.IO 2 any value.
    fn connect_error(self) -> Result<Packet, Violation> {
        let error = self.text.slice(self.json..);
        let is_empty = error.trim_ascii().is_empty();
        Ok(Packet::ConnectError((!is_empty).then_some(error)))
    }

    pub(super) const fn is_event(&self) -> bool {
        matches!(self.kind, PacketKind::Event | PacketKind::BinaryEvent)
    }

    /// Reads the JSON of an event, now that all attachments are there: its name, and where in the
    /// packet its arguments are.
    #[inline(always)]
    pub(super) fn check_event(
        &self,
        attachments: usize,
        limits: &Limits,
    ) -> Result<(Name, Range<usize>), Violation> {
        self.check_json(attachments, limits)?;
        let (name, rest) = self.name()?;
        let bytes = name.bytes(&self.text);
        if bytes.len() > limits.event_bytes_max {
            return Err(Violation::EventName);
        }
        if is_reserved(bytes) {
            return Err(Violation::ReservedEvent);
        }
        Ok((name, self.json + rest.start..self.json + rest.end))
    }

    /// The event that was [checked](Self::check_event). Apart from that, and in place, so that it is
    /// written where it is needed and not moved there.
    #[inline(always)]
    pub(super) fn into_event(
        self,
        name: Name,
        args: Range<usize>,
        attachments: Box<[Bytes]>,
    ) -> Event {
        Event { name, args: Args::from_packet(self.text, args, attachments), ack: self.ack }
    }

    /// The name of an event, and where in the JSON its arguments are.
    #[inline(always)]
    fn name(&self) -> Result<(Name, Range<usize>), Violation> {
        let json = &self.text[self.json..];
        if let Some((name, rest)) = first_text(json) {
            let name = name.start + self.json..name.end + self.json;
            return Ok((Name::Within(Span::new(name)), rest));
        }
        self.unusual_name(json)
    }

    #[inline(never)]
    fn unusual_name(&self, json: &[u8]) -> Result<(Name, Range<usize>), Violation> {
        match first_element(json) {
            Some((first, rest)) => Ok((event_name(json, first, self.json)?, rest)),
            None if json.trim_ascii().starts_with(b"[") => Err(Violation::EventName),
            None => Err(Violation::Payload),
        }
    }

    fn ack(self, attachments: Box<[Bytes]>) -> Result<Packet, Violation> {
        let id = self.ack.ok_or(Violation::Payload)?;
        let json = &self.text[self.json..];
        let list = json.trim_ascii();
        if !list.starts_with(b"[") {
            return Err(Violation::Payload);
        }
        let before = json.len() - json.trim_ascii_start().len();
        let start = self.json + before + 1;
        let span = start..self.json + before + list.len() - 1;
        Ok(Packet::Ack(id, Args::from_packet(self.text, span, attachments)))
    }
}

impl Head {
    // Called for every packet, and given back in memory where it is not in place.
    #[inline(always)]
    pub(super) fn read(
        text: &[u8],
        attachments_max: u32,
        namespace_bytes_max: usize,
    ) -> Result<Self, Violation> {
        let (&digit, rest) = text.split_first().ok_or(Violation::PacketType)?;
        let kind = PacketKind::new(digit).ok_or(Violation::PacketType)?;
        let mut at = 1;
        let mut attachments = 0;
        if kind.is_binary() {
            let (count, len) = attachment_count(rest, attachments_max)?;
            attachments = count;
            at += len;
        }
        let namespace = namespace(text, at);
        if namespace.len() > namespace_bytes_max {
            return Err(Violation::NamespaceName);
        }
        if !namespace.is_empty() {
            // The comma is missing where nothing follows the name.
            at = (namespace.end + 1).min(text.len());
        }
        let digits = text[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let ack = ack_id(&text[at..at + digits])?;
        Ok(Self { kind, attachments, namespace, ack, json: at + digits })
    }

    /// The namespace; `/` where the packet names none.
    pub(super) fn namespace<'a>(&self, text: &'a [u8]) -> &'a str {
        name_of(text, &self.namespace)
    }
}

/// The name of a namespace in its packet.
fn name_of<'a>(text: &'a [u8], at: &Range<usize>) -> &'a str {
    let name = text.get(at.clone()).unwrap_or_default();
    if name.is_empty() { "/" } else { std::str::from_utf8(name).unwrap_or("/") }
}

/// The attachment count and the bytes it takes with its dash.
fn attachment_count(rest: &[u8], max: u32) -> Result<(u32, usize), Violation> {
    let dash = rest.iter().take(12).position(|&byte| byte == b'-');
    let digits = &rest[..dash.ok_or(Violation::AttachmentCount)?];
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Violation::AttachmentCount);
    }
    let count = digits.iter().try_fold(0_u32, |count, digit| {
        count.checked_mul(10)?.checked_add(u32::from(digit - b'0'))
    });
    match count {
        Some(count) if count <= max => Ok((count, digits.len() + 1)),
        _ => Err(Violation::AttachmentCount),
    }
}

/// Where the name of the namespace is; empty where there is none.
fn namespace(text: &[u8], at: usize) -> Range<usize> {
    if text.get(at) != Some(&b'/') {
        return at..at;
    }
    let end = text[at..].iter().position(|&byte| byte == b',');
    at..end.map_or(text.len(), |end| at + end)
}

fn ack_id(digits: &[u8]) -> Result<Option<AckId>, Violation> {
    if digits.is_empty() {
        return Ok(None);
    }
    let id = digits
        .iter()
        .try_fold(0_u64, |id, digit| id.checked_mul(10)?.checked_add(u64::from(digit - b'0')));
    id.and_then(AckId::new).map(Some).ok_or(Violation::AckId)
}

/// The name of an event from its JSON: a text, or a number as it is written.
fn event_name(json: &[u8], at: Range<usize>, offset: usize) -> Result<Name, Violation> {
    let raw = &json[at.clone()];
    let within =
        |range: Range<usize>| Name::Within(Span::new(range.start + offset..range.end + offset));
    match raw.first() {
        Some(b'"') if !raw.contains(&b'\\') => Ok(within(at.start + 1..at.end - 1)),
        Some(b'"') => match serde_json::from_slice::<String>(raw) {
            Ok(name) => Ok(Name::Unescaped(name.into())),
            Err(_) => Err(Violation::EventName),
        },
        Some(b'-' | b'0'..=b'9') => Ok(within(at)),
        _ => Err(Violation::EventName),
    }
}

/// Appends the namespace with its comma; nothing for `/`.
pub(crate) fn push_namespace(out: &mut Vec<u8>, namespace: &str) {
    if namespace != "/" {
        out.extend_from_slice(namespace.as_bytes());
        out.push(b',');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(text: &str, attachments: &[&'static [u8]]) -> Result<Packet, Violation> {
        let limits = Limits::default();
        let header = Header::decode(Bytes::copy_from_slice(text.as_bytes()), &limits)?;
        header.finish(attachments.iter().map(|a| Bytes::from_static(a)).collect(), &limits)
    }

    fn event(text: &str) -> (String, String, Option<u64>) {
        match decode(text, &[]) {
            Ok(Packet::Event(event)) => {
                let args = String::from_utf8(event.args.as_json().to_vec()).unwrap();
                (event.name().to_owned(), args, event.ack.map(AckId::get))
            }
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn events_are_read() {
        let check = |text: &str, name: &str, args: &str, ack| {
            assert_eq!(event(text), (name.to_owned(), args.to_owned(), ack), "{text}");
        };
        check(r#"2["hello",1]"#, "hello", "1", None);
        check(r#"2/admin,456["project:delete",123]"#, "project:delete", "123", Some(456));
        check(r#"20["é😀"]"#, "é😀", "", Some(0));
        check(r#"2["a\"bé"]"#, "a\"bé", "", None);
        check("2[1,2]", "1", "2", None);
        check(
            r#"2["x",{"_placeholder":true,"num":9}]"#,
            "x",
            r#"{"_placeholder":true,"num":9}"#,
            None,
        );
        check(r#"2["lone","\ud800"]"#, "lone", r#""\ud800""#, None);
    }

    #[test]
    fn the_namespace_may_miss_its_comma() {
        let limits = Limits::default();
        for (text, name) in
            [("0", "/"), ("0/a,", "/a"), ("0/a", "/a"), ("0/a,{}", "/a"), ("0{}", "/")]
        {
            let header = Header::decode(Bytes::from(text), &limits).unwrap();
            assert_eq!(header.namespace(), name, "{text}");
        }
    }

    #[test]
    fn what_is_not_a_packet_is_named() {
        let check = |text: &str, violation| match decode(text, &[]) {
            Err(found) => assert_eq!(found, violation, "{text}"),
            Ok(packet) => panic!("{text}: {packet:?}"),
        };
        check("", Violation::PacketType);
        check("7", Violation::PacketType);
        check("é", Violation::PacketType);
        check("2", Violation::Payload);
        check("2[]", Violation::EventName);
        check("2[null]", Violation::EventName);
        check("2[{}]", Violation::EventName);
        check("2[true]", Violation::EventName);
        check(r#"2["\ud800"]"#, Violation::EventName);
        check(r#"2{"a":1}"#, Violation::Payload);
        check(r#"2"a""#, Violation::Payload);
        check(r#"2["a""#, Violation::Payload);
        check(r#"2["a",]"#, Violation::Payload);
        check(r#"2["a"]]"#, Violation::Payload);
        check(r#"2-1["a"]"#, Violation::Payload);
        check(r#"2["disconnect"]"#, Violation::ReservedEvent);
        check(r#"2["newL\u0069stener"]"#, Violation::ReservedEvent);
        check(r#"299999999999999999999["a"]"#, Violation::AckId);
        check(r#"29007199254740992["a"]"#, Violation::AckId);
        check("3[1]", Violation::Payload);
        check("31", Violation::Payload);
        check("31{}", Violation::Payload);
        check(r#"0"token""#, Violation::Payload);
        check("0[]", Violation::Payload);
        check("01[]", Violation::Payload);
        check("1[]", Violation::Payload);
        check(&format!("2[\"a\",{}1{}]", "[".repeat(10_000), "]".repeat(10_000)), Violation::Depth);
        check(&format!("2{}", "[".repeat(1_000_000)), Violation::Depth);
        check(&format!("0/{}", "a".repeat(1_000_000)), Violation::NamespaceName);
        check(&format!("2[\"{}\"]", "a".repeat(600)), Violation::EventName);
    }

    #[test]
    fn attachment_counts_are_checked_before_anything_is_held() {
        for text in [
            "5",
            "5-",
            "5[\"a\"]",
            "5x-[]",
            "5-1-[]",
            "511-[\"a\"]",
            "51000000000-[\"a\"]",
            "599999999999999999999-[\"a\"]",
            "5 1-[\"a\"]",
            "51.5-[\"a\"]",
        ] {
            assert_eq!(decode(text, &[]).unwrap_err(), Violation::AttachmentCount, "{text}");
        }
    }

    #[test]
    fn a_placeholder_must_name_an_attachment() {
        let check = |num: &str, good: bool| {
            let text = format!(r#"51-["a",{{"x":[{{"_placeholder":true,"num":{num}}}]}}]"#);
            match decode(&text, &[b"1"]) {
                Ok(_) => assert!(good, "{text}"),
                Err(violation) => {
                    assert_eq!((violation, good), (Violation::Placeholder, false), "{text}")
                }
            }
        };
        check("0", true);
        for num in ["1", "-1", "0.5", "\"0\"", "null", "18446744073709551616", "{}"] {
            check(num, false);
        }
        let missing = decode(r#"51-["a",{"_placeholder":true}]"#, &[b"1"]);
        assert_eq!(missing.unwrap_err(), Violation::Placeholder);
    }
}
