//! Packets of `socket.io-msgpack-parser` as a client writes and reads them; no more of MessagePack than a
//! client of ours meets.

/// An event with one text, as the official client writes it. Texts of up to 31 bytes and of up to 255,
/// and numbers of up to 127.
pub(crate) fn event(ack: u64, name: &str, text: &str) -> Vec<u8> {
    let mut packet = b"\x85\xa4type\x02\xa4data\x92".to_vec();
    packet.push(0xa0 | name.len() as u8);
    packet.extend_from_slice(name.as_bytes());
    push_text(&mut packet, text);
    packet.extend_from_slice(b"\xa7options\x81\xa8compress\xc3\xa2id");
    packet.push(ack as u8);
    packet.extend_from_slice(b"\xa3nsp\xa1/");
    packet
}

/// The number and the text of an ack with one text: the entries come in the order that the server likes.
pub(crate) fn ack(packet: &[u8]) -> Option<(u64, &str)> {
    if !packet.windows(6).any(|six| six == b"\xa4type\x03") {
        return None;
    }
    let number = *after(packet, b"\xa2id")?.first()?;
    let [0xd9, len, rest @ ..] = after(packet, b"\xa4data\x91")? else {
        return None;
    };
    let text = std::str::from_utf8(rest.get(..usize::from(*len))?).ok()?;
    Some((number.into(), text))
}

fn push_text(packet: &mut Vec<u8>, text: &str) {
    packet.extend_from_slice(&[0xd9, text.len() as u8]);
    packet.extend_from_slice(text.as_bytes());
}

fn after<'a>(bytes: &'a [u8], what: &[u8]) -> Option<&'a [u8]> {
    let at = bytes.windows(what.len()).position(|window| window == what)?;
    Some(&bytes[at + what.len()..])
}

#[cfg(test)]
mod tests {
    use super::{ack, event};

    const TEXT: &str = "a text that is longer than thirty-one characters";

    #[test]
    fn writes_what_the_official_client_writes() {
        let packet = event(12, "echo", TEXT);
        assert!(packet.starts_with(b"\x85\xa4type\x02\xa4data\x92\xa4echo\xd9\x30a text"));
        assert!(packet.ends_with(b"\xa7options\x81\xa8compress\xc3\xa2id\x0c\xa3nsp\xa1/"));
    }

    #[test]
    fn reads_acks_in_any_order_and_nothing_else() {
        let data = [b"\xa4data\x91\xd9\x30", TEXT.as_bytes()].concat();
        for parts in [[&b"\x84\xa4type\x03\xa2id\x0c"[..], &data], [b"\x84", &data]] {
            let packet = [parts.concat(), b"\xa2id\x0c\xa4type\x03".to_vec()].concat();
            assert_eq!(ack(&packet), Some((12, TEXT)));
        }
        assert_eq!(ack(&event(12, "echo", TEXT)), None);
    }
}
