//! Polling bodies of both revisions: never more packets than the limit, nothing after an error, and
//! what was read reads back when it is written again.
//!
//! Input: one byte for the limit, then the body.

use bytes::Bytes;
use roomful_proto::Violation;
use roomful_proto::engine::payload::{self, Payload, SEPARATOR};
use roomful_proto::engine::{Data, Packet};

fn read(body: &[u8], max: u32) -> (Vec<Packet>, Option<Violation>) {
    drain(Payload::new(Bytes::copy_from_slice(body), max))
}

fn drain(payload: Result<Payload, Violation>) -> (Vec<Packet>, Option<Violation>) {
    let mut payload = match payload {
        Ok(payload) => payload,
        Err(violation) => return (Vec::new(), Some(violation)),
    };
    let mut packets = Vec::new();
    while let Some(packet) = payload.next() {
        match packet {
            Ok(packet) => packets.push(packet),
            Err(violation) => {
                assert!(payload.is_done());
                assert!(payload.next().is_none());
                return (packets, Some(violation));
            }
        }
    }
    assert!(payload.is_done());
    (packets, None)
}

/// Runs the target on one input.
pub fn payload(data: &[u8]) {
    let [max, body @ ..] = data else {
        return;
    };
    let max = u32::from(*max);
    let (packets, _) = drain(Payload::v3(Bytes::copy_from_slice(body), max));
    assert!(packets.len() <= max as usize);
    for packet in packets {
        if let Packet::Message(Data::Text(text)) = packet {
            assert!(std::str::from_utf8(&text).is_ok());
        }
    }
    let (packets, violation) = read(body, max);
    assert!(packets.len() <= max as usize);
    let separators = body.iter().filter(|byte| **byte == SEPARATOR).count();
    if violation.is_none() {
        assert_eq!(packets.len(), separators + 1);
    }
    if packets.is_empty() {
        return;
    }
    let mut again = Vec::new();
    for packet in &packets {
        payload::push(&mut again, packet);
    }
    assert_eq!(read(&again, max), (packets, None));
}
