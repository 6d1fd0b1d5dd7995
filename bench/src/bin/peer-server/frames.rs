//! Frames of WebSocket, as a server writes them.

/// A message of text.
pub(crate) fn text(payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    push(&mut bytes, payload);
    bytes
}

pub(crate) fn push(out: &mut Vec<u8>, payload: &[u8]) {
    head(out, payload.len());
    out.extend_from_slice(payload);
}

/// The ack of this number, with what an event had behind its name.
pub(crate) fn push_ack(out: &mut Vec<u8>, id: &str, rest: &str) {
    head(out, 3 + id.len() + rest.len());
    for part in ["43", id, "[", rest] {
        out.extend_from_slice(part.as_bytes());
    }
}

/// What stands before a payload, of less than 64 KiB.
fn head(out: &mut Vec<u8>, len: usize) {
    out.push(0x81);
    if len > 125 {
        out.push(126);
        out.extend_from_slice(&(len as u16).to_be_bytes());
    } else {
        out.push(len as u8);
    }
}
