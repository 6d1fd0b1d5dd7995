//! Packets from any bytes as msgpack: what is read keeps the limits and is JSON, and says the same
//! when it is sent on.
//!
//! Input: a message.

use std::sync::Arc;

use bytes::Bytes;
use roomful_proto::engine::Data;
use roomful_proto::socket::packet::is_reserved;
use roomful_proto::socket::{Arrived, Mux, Whole};
use roomful_proto::ws::frame::{self, Opcode};
use roomful_proto::{AckId, Answer, Args, Letter, Limits, Moment, MsgPack, Parcel, Parser};
use serde_json::value::RawValue;

const NOW: Moment = Moment::from_millis(0);

fn limits() -> Limits {
    let mut limits = Limits::default();
    // Small enough for the inputs of a fuzzer to reach.
    limits.payload_bytes_max = 1_000;
    limits.whole_attachments_max = 100;
    limits.json_depth_max = 50;
    limits
}

/// What arrives of a message at one who has joined `/` and `/a`.
fn arrived(message: Bytes) -> Option<Arrived> {
    let limits = Arc::new(limits());
    let mut whole = MsgPack.decode(Data::Binary(message), &limits).ok()?;
    assert!(std::str::from_utf8(whole.json()).is_ok());
    assert!(whole.attachments().len() <= limits.whole_attachments_max);
    let mut mux = Mux::new(NOW, roomful_proto::engine::Revision::V4, Arc::clone(&limits));
    let mut arrived = None;
    for namespace in ["/", "/a"] {
        let hello = Whole::new(0, namespace, None).unwrap();
        mux.take_whole(NOW, hello, &mut arrived).unwrap();
        let Some(Arrived::Connect { slot, .. }) = arrived.take() else {
            panic!("no CONNECT");
        };
        assert!(mux.accept(slot));
    }
    mux.take_whole(NOW, whole, &mut arrived).ok()?;
    arrived
}

/// The message that a letter becomes.
fn message(letter: Letter) -> Bytes {
    let parcel = Parcel::worded(letter, &MsgPack);
    let mut frames = frame::split(parcel.wire());
    match (frames.next(), frames.next()) {
        (Some((Opcode::Binary, bytes)), None) => Bytes::copy_from_slice(bytes),
        other => panic!("{other:?} is not one binary message"),
    }
}

fn check_args(args: &Args) {
    assert!(args.as_json().len() <= limits().json_bytes_max());
    for json in args.iter() {
        serde_json::from_slice::<&RawValue>(json).unwrap();
    }
}

fn check_event(name: &str, ack: Option<AckId>, args: &Args) {
    assert!(!is_reserved(name));
    check_args(args);
    let letter = Letter::event("/", ack, name, args).unwrap();
    // What is longer now may cross a limit.
    if let Some(Arrived::Event { event, .. }) = arrived(message(letter)) {
        assert_eq!((event.name(), event.ack), (name, ack));
        assert_eq!(&event.args, args);
    }
}

/// Runs the target on one input.
pub fn msgpack(data: &[u8]) {
    match arrived(Bytes::copy_from_slice(data)) {
        Some(Arrived::Event { event, .. }) => check_event(event.name(), event.ack, &event.args),
        Some(Arrived::Ack { id, args, .. }) => {
            check_args(&args);
            let answer = Answer::new(id, &args).unwrap().address("/a");
            if let Some(Arrived::Ack { id: again, args: found, .. }) = arrived(message(answer)) {
                assert_eq!((again, found), (id, args));
            }
        }
        Some(Arrived::Connect { auth: Some(auth), .. }) => {
            assert!(auth.starts_with(b"{"));
            serde_json::from_slice::<&RawValue>(&auth).unwrap();
        }
        _ => {}
    }
}
