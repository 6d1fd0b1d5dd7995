//! Compressed WebSocket messages in any pieces: the same messages, never more than the limits, and
//! what was heard reads back when it is compressed again.
//!
//! Input: one byte for the limit, one for the size of the pieces, one for the cut between two
//! fragments, then compressed bytes.

use roomful_proto::deflate::{Deflater, End, Inflater};
use roomful_proto::ws::frame::{self, Opcode};
use roomful_proto::ws::{Decoder, Message, Role, WsError};

const RATIO_MAX: u32 = 10;
const FRAGMENTS_MAX: u32 = 2;
/// Says of the first frame that it is compressed, and that another follows.
const BEGINS: u8 = 0x42;
const ENDS: u8 = 0x80;

fn hear(limit: usize, wire: &[u8], pieces: usize) -> (Vec<Message>, Option<WsError>) {
    let mut wire = wire.to_vec();
    let mut decoder = Decoder::new(Role::Client, limit, FRAGMENTS_MAX).inflating(RATIO_MAX);
    let mut heard = Vec::new();
    for mut piece in wire.chunks_mut(pieces) {
        loop {
            let message = decoder.receive(&mut piece);
            assert!(decoder.held_bytes() <= limit, "{} bytes held", decoder.held_bytes());
            match message {
                Ok(Some(message)) => heard.push(message),
                Ok(None) => break,
                Err(e) => return (heard, Some(e)),
            }
        }
    }
    (heard, None)
}

/// Runs the target on one input.
pub fn deflate(data: &[u8]) {
    let [limit, pieces, cut, payload @ ..] = data else {
        return;
    };
    let limit = usize::from(*limit) * 64;
    let (head, tail) = payload.split_at(payload.len().min(usize::from(*cut)));
    let mut wire = Vec::new();
    frame::write(&mut wire, Opcode::Binary, head, None);
    wire[0] = BEGINS;
    let second = wire.len();
    frame::write(&mut wire, Opcode::Continuation, tail, None);
    wire[second] = ENDS;
    let whole = hear(limit, &wire, wire.len());
    assert_eq!(whole, hear(limit, &wire, usize::from(*pieces).max(1)));

    let mut inflater = Inflater::new();
    let inflated = inflater.inflate(payload, limit).map(<[u8]>::to_vec);
    assert!(inflater.held_bytes() <= limit + 1);
    if let ([Message::Binary(message)], None) = (&whole.0[..], whole.1) {
        assert_eq!(inflated.as_deref(), Ok(&message[..]));
        let mut again = Vec::new();
        Deflater::new(3).deflate(message, End::Message, &mut again).expect("it can be written");
        assert_eq!(inflater.inflate(&again, limit), Ok(&message[..]));
    }
}
