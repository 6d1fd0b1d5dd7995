//! [`Hidden`]: what a peer has said, in the [`Debug`] of what holds it.
//!
//! Session ids, recovery ids and auth payloads are secrets that pass through here in all shapes: parameters
//! of a query, raw messages, half frames, packets to be sent. A log of any of these must not show them.

use std::fmt;

/// Bytes of which only the number is shown.
pub(crate) struct Hidden(usize);

impl Hidden {
    pub(crate) fn new(bytes: &impl AsRef<[u8]>) -> Self {
        Self(bytes.as_ref().len())
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "…({} bytes)", self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;

    use crate::engine::payload::Payload;
    use crate::engine::{self, Data, Input, Output, Query, Revision, Session, Transport};
    use crate::socket::{Arrived, MsgPack, Mux, Packet, Parser, Plain, Whole, text::Header};
    use crate::ws::{Decoder, Message, Role};
    use crate::{Form, Letter, Limits, Moment, Parcel, RecoveryId, SessionId, SocketId};

    const NOW: Moment = Moment::from_millis(0);
    const SECRET: &str = "hunter2hunter2hunter";

    fn connect() -> Bytes {
        Bytes::from(format!(r#"0{{"token":"{SECRET}"}}"#))
    }

    fn check(what: &dyn std::fmt::Debug) {
        let secret = SECRET.as_bytes();
        let list = secret.iter().map(u8::to_string).collect::<Vec<_>>().join(", ");
        for shown in [format!("{what:?}"), format!("{what:#?}").replace([' ', '\n'], "")] {
            assert!(!shown.contains(&SECRET[..5]), "{shown}");
            assert!(!shown.contains(&list) && !shown.contains(&list.replace(' ', "")), "{shown}");
        }
    }

    #[test]
    fn a_query_does_not_show_the_session() {
        let query = format!("EIO=4&transport=polling&sid={SECRET}");
        let query = Query::parse(&query);
        assert_eq!(query.session, Some(SECRET));
        check(&query);
        assert!(format!("{query:?}").contains("session: Some(…(20 bytes))"), "{query:?}");
    }

    #[test]
    fn messages_and_packets_do_not_show_what_they_carry() {
        let message = Bytes::from([b"4", &connect()[..]].concat());
        check(&Message::Text(message.clone()));
        check(&Message::Binary(message.clone()));
        check(&Data::Text(connect()));
        check(&Data::Binary(connect()));
        check(&Input::Frame(Data::Text(message.clone())));
        check(&Input::Body(message.clone()));
        check(&Output::Message(Data::Text(connect())));
        check(&Payload::new(message, 10).unwrap());
        check(&engine::Packet::Message(Data::Text(connect())));
        let open = engine::Handshake {
            session: SessionId::parse(SECRET).unwrap(),
            upgrades: &[],
            limits: &Limits::default(),
        };
        check(&engine::Packet::Open(open.to_json().into()));
    }

    #[test]
    fn a_session_does_not_show_a_body_that_waits() {
        let limits = Arc::new(Limits::default());
        let mut session = Session::new(NOW, Transport::Polling, Revision::V4, limits);
        session.receive(NOW, Input::Body(Bytes::from([b"4", &connect()[..]].concat())));
        check(&session);
    }

    #[test]
    fn the_socket_half_does_not_show_an_auth_payload() {
        let limits = Arc::new(Limits::default());
        let header = Header::decode(connect(), &limits).unwrap();
        check(&header);
        let packet = header.finish(Box::default(), &limits).unwrap();
        assert!(matches!(&packet, Packet::Connect(Some(_))));
        check(&packet);
        let mut mux = Mux::new(NOW, Revision::V4, limits);
        mux.receive(NOW, Data::Text(connect())).unwrap();
        check(&mux);
        let arrived = mux.poll().unwrap();
        assert!(matches!(&arrived, Arrived::Connect { auth: Some(_), .. }));
        check(&arrived);
        let mut whole = Whole::new(0, "/", None).unwrap();
        whole.json().extend_from_slice(&connect()[1..]);
        check(&whole);
    }

    #[test]
    fn half_a_message_is_not_shown() {
        let mut frame = Vec::new();
        let opcode = crate::ws::frame::Opcode::Text;
        crate::ws::frame::write(&mut frame, opcode, &connect(), Some([0; 4]));
        for whole in [false, true] {
            let mut decoder = Decoder::new(Role::Server, 1_000, 10).inflating(10);
            let mut piece = &mut frame[..];
            if !whole {
                let len = piece.len() - 1;
                piece = &mut piece[..len];
            }
            assert_eq!(decoder.receive(&mut piece).unwrap().is_some(), whole);
            check(&decoder);
        }
    }

    /// A parser that shows what it is given.
    #[derive(Debug)]
    struct Shown;

    impl Parser for Shown {
        fn decode(&self, message: Data, limits: &Limits) -> Result<Whole, crate::Violation> {
            MsgPack.decode(message, limits)
        }

        fn encode(&self, packet: &Plain<'_>) -> Data {
            check(packet);
            MsgPack.encode(packet)
        }
    }

    #[test]
    fn what_is_sent_does_not_show_a_recovery_id() {
        let recovery = RecoveryId::parse(SECRET).unwrap();
        let socket = SocketId::from_random([1; 15]);
        let parcel = Parcel::connected("/", socket, Some(recovery));
        for form in [Form::Wire, Form::TextOnly, Form::V3] {
            let _ = parcel.form(form);
        }
        let _ = parcel.polling();
        check(&parcel);
        let letter = Letter::event("/", None, "x", &SECRET).unwrap();
        check(&letter);
        check(&Parcel::worded(letter, &Shown));
    }
}
