//! Socket.IO packets from any text: what is read keeps the limits, and says the same when it is sent
//! on in each of its forms.
//!
//! Input: one byte for the number of attachments, then the text.

use bytes::Bytes;
use roomful_proto::engine::payload::Payload;
use roomful_proto::engine::{self, Data};
use roomful_proto::socket::packet::is_reserved;
use roomful_proto::socket::{Packet, text::Header};
use roomful_proto::ws::frame::{self, Opcode};
use roomful_proto::{Form, Limits, Parcel, Violation};

/// Reads a packet with as many of these attachments as it announces, as all do that call `finish`.
fn decode(text: Bytes, mut attachments: Vec<Bytes>) -> Result<Packet, Violation> {
    let limits = Limits::default();
    let header = Header::decode(text, &limits)?;
    assert!(header.attachments <= limits.attachments_max);
    assert!(header.namespace().starts_with('/'));
    assert!(header.namespace().len() <= limits.namespace_bytes_max);
    if attachments.len() < header.attachments as usize {
        return Err(Violation::Payload);
    }
    attachments.truncate(header.attachments as usize);
    header.finish(attachments.into(), &limits)
}

fn data(packet: engine::Packet) -> Data {
    match packet {
        engine::Packet::Message(data) => data,
        other => panic!("{other:?} is no message"),
    }
}

/// What all forms of a parcel say.
fn read(parcel: &Parcel) -> Packet {
    let frames = |wire| {
        frame::split(wire).map(|(opcode, payload)| match opcode {
            Opcode::Binary => Data::Binary(Bytes::copy_from_slice(payload)),
            _ => data(engine::Packet::decode(&Bytes::copy_from_slice(payload)).unwrap()),
        })
    };
    let wire: Vec<_> = frames(parcel.wire()).collect();
    assert!(frames(parcel.form(Form::TextOnly)).eq(wire.iter().cloned()));
    let body = Payload::new(Bytes::copy_from_slice(parcel.polling()), 100).unwrap();
    assert!(body.map(|packet| data(packet.unwrap())).eq(wire.iter().cloned()));
    let mut wire = wire.into_iter();
    let Some(Data::Text(text)) = wire.next() else {
        panic!("no text first");
    };
    let attachments = wire.map(|data| match data {
        Data::Binary(bytes) => bytes,
        Data::Text(text) => panic!("{text:?} is no attachment"),
    });
    decode(text, attachments.collect()).unwrap()
}

/// Runs the target on one input.
pub fn text_packet(data: &[u8]) {
    let [count, text @ ..] = data else {
        return;
    };
    if std::str::from_utf8(text).is_err() {
        return;
    }
    let attachments: Vec<_> = (0..count % 11).map(|n| Bytes::from(vec![n; 3])).collect();
    let held = text.len() + attachments.len() * (size_of::<Bytes>() + 3);
    match decode(Bytes::copy_from_slice(text), attachments) {
        Ok(Packet::Event(event)) => {
            assert!(!is_reserved(event.name()));
            // The packet itself, and no copies of its parts.
            assert!(event.args.held_bytes() <= held);
            assert!(event.held_bytes() > event.args.held_bytes());
            let parcel = Parcel::event("/", event.ack, event.name(), &event.args).unwrap();
            let Packet::Event(again) = read(&parcel) else {
                panic!("no event any more");
            };
            assert_eq!(again.name(), event.name());
            assert_eq!((again.ack, again.args), (event.ack, event.args));
        }
        Ok(Packet::Ack(id, args)) => {
            let parcel = Parcel::ack("/a", id, &args).unwrap();
            let Packet::Ack(id_again, args_again) = read(&parcel) else {
                panic!("no ack any more");
            };
            assert_eq!(id_again, id);
            // No arguments may have been a space between the brackets.
            assert!(args_again == args || args_again.is_empty() && args.is_empty());
        }
        Ok(Packet::Connect(Some(auth))) => {
            assert!(auth.trim_ascii().starts_with(b"{"));
        }
        Ok(Packet::ConnectError(Some(why))) => {
            assert!(serde_json::from_slice::<&serde_json::value::RawValue>(&why).is_ok());
        }
        Ok(Packet::Connect(None) | Packet::Disconnect | Packet::ConnectError(None)) | Err(_) => {}
    }
}
