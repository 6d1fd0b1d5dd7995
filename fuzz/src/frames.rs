//! WebSocket bytes in any pieces: the same messages, no more held than the limit, and what was heard
//! reads back when it is written again.
//!
//! Input: one byte for the role and the limit, one for the size of the pieces, then the wire.

use roomful_proto::ws::frame::{self, CONTROL_BYTES_MAX, Opcode};
use roomful_proto::ws::{Decoder, Message, Role, WsError};

const FRAGMENTS_MAX: u32 = 20;

type Heard = (Vec<Message>, Option<WsError>);

fn hear(role: Role, limit: usize, wire: &[u8], pieces: usize) -> Heard {
    let mut wire = wire.to_vec();
    let mut decoder = Decoder::new(role, limit, FRAGMENTS_MAX);
    let mut heard = Vec::new();
    for mut piece in wire.chunks_mut(pieces) {
        loop {
            let message = decoder.receive(&mut piece);
            let held = decoder.held_bytes();
            assert!(held <= limit + CONTROL_BYTES_MAX, "{held} bytes held");
            match message {
                Ok(Some(message)) => heard.push(message),
                Ok(None) => break,
                Err(e) => return (heard, Some(e)),
            }
        }
        assert!(piece.is_empty());
    }
    (heard, None)
}

fn write_again(role: Role, limit: usize, heard: &[Message]) {
    let mask = (role == Role::Server).then_some([1, 2, 3, 4]);
    let mut wire = Vec::new();
    for message in heard {
        let close;
        let (opcode, payload) = match message {
            Message::Text(text) => {
                assert!(std::str::from_utf8(text).is_ok());
                assert!(text.len() <= limit);
                (Opcode::Text, &text[..])
            }
            Message::Binary(bytes) => {
                assert!(bytes.len() <= limit);
                (Opcode::Binary, &bytes[..])
            }
            Message::Ping(bytes) => (Opcode::Ping, &bytes[..]),
            Message::Pong(bytes) => (Opcode::Pong, &bytes[..]),
            Message::Close(code, said) => {
                let code = code.map(|code| code.get().to_be_bytes());
                assert!(code.is_some() || said.is_empty());
                close = [code.as_ref().map_or(&[][..], |code| code), said].concat();
                (Opcode::Close, &close[..])
            }
        };
        frame::write(&mut wire, opcode, payload, mask);
    }
    let (again, error) = hear(role, limit, &wire, wire.len().max(1));
    assert_eq!((&again[..], error), (heard, None));
}

/// Runs the target on one input.
pub fn frames(data: &[u8]) {
    let [settings, pieces, wire @ ..] = data else {
        return;
    };
    let role = match settings & 1 {
        0 => Role::Server,
        _ => Role::Client,
    };
    let limit = usize::from(settings >> 1) * 16;
    let whole = hear(role, limit, wire, wire.len().max(1));
    let pieces = hear(role, limit, wire, usize::from(*pieces).max(1));
    assert_eq!(whole, pieces);
    write_again(role, limit, &whole.0);
}
