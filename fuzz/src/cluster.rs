//! What a broker brings, on each wire of a cluster: it is refused, or what was read is written in the same way when it
//! was written and read again. (Bytes that no argument names are read, and not written. What is longer now may cross a
//! limit.)
//!
//! Input: the wire (`j` the common envelope, `e`, `r` and `a` events, requests and answers of the classic one, `s` the
//! sessions of the cluster engine), and a message.

use std::sync::Arc;

use bytes::Bytes;
use roomful_proto::Limits;
use roomful_proto::cluster::{Body, Packet, classic, envelope, sessions};

const BYTES_MAX: usize = 100_000;

fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.payload_bytes_max = BYTES_MAX;
    limits
}

/// Runs the target on one input.
pub fn cluster(data: &[u8]) {
    let Some((wire, message)) = data.split_first() else {
        return;
    };
    let message = Bytes::copy_from_slice(message);
    let (limits, namespace) = (limits(), Arc::from("/"));
    match wire {
        b'j' => {
            let Ok(packet) = envelope::decode(&message, &limits) else {
                return;
            };
            check(&packet);
            let write = |packet: &Packet| envelope::encode(packet);
            let read = |message: &Bytes| envelope::decode(message, &limits).ok();
            settles(&packet, write, read);
        }
        b'e' => {
            if let Ok(Some(packet)) = classic::decode_event(&namespace, &message, &limits) {
                check(&packet);
                let write = |packet: &Packet| Some(classic::encode(packet)?.1);
                let read = |message: &Bytes| {
                    classic::decode_event(&namespace, message, &limits).ok().flatten()
                };
                settles(&packet, write, read);
            }
        }
        b'r' => {
            classic::decode_request(&namespace, &message, &limits).iter().for_each(check);
        }
        b'a' => {
            classic::decode_answer(&namespace, &message, &limits).iter().for_each(check);
        }
        b's' => {
            if let Ok(message) = sessions::decode(&message, BYTES_MAX) {
                let again = Bytes::from(sessions::encode(&message));
                if again.len() <= BYTES_MAX {
                    assert_eq!(sessions::decode(&again, BYTES_MAX).as_ref(), Ok(&message));
                }
            }
        }
        _ => {}
    }
}

/// It keeps the limits, and can be held.
fn check(packet: &Packet) {
    assert!(packet.namespace.len() <= limits().namespace_bytes_max);
    assert!(packet.body.held_bytes() > 0);
    if let Body::Emit { args, .. } | Body::ServerSide { args, .. } = &packet.body {
        for json in args.iter() {
            serde_json::from_slice::<&serde_json::value::RawValue>(json).unwrap();
        }
    }
}

/// What was written once is written in the same way from then on.
fn settles(
    packet: &Packet,
    write: impl Fn(&Packet) -> Option<Bytes>,
    read: impl Fn(&Bytes) -> Option<Packet>,
) {
    let Some(plain) = write(packet).and_then(|written| read(&written)) else {
        return;
    };
    if let Some(written) = write(&plain)
        && let Some(again) = read(&written)
    {
        assert_eq!(write(&again), Some(written));
    }
}
