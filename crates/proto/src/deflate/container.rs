//! Compressed bodies of HTTP: the containers around DEFLATE.

use flate2::Crc;

use super::{Deflater, End};

/// The head of RFC 1952: no name, no time, an unknown system.
const GZIP_HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
/// The head of RFC 1950: a window of 32 KiB, the fastest level.
const ZLIB_HEAD: [u8; 2] = [0x78, 0x01];

/// `body` as `Content-Encoding: gzip` wants it; `None` where that is not smaller. `level` is from 1,
/// the fastest, to 9.
pub fn gzip(level: u8, body: &[u8]) -> Option<Vec<u8>> {
    wrap(level, body, &GZIP_HEAD, |out| {
        let mut crc = Crc::new();
        crc.update(body);
        out.extend_from_slice(&crc.sum().to_le_bytes());
        // Modulo 2^32, as RFC 1952 has it.
        out.extend_from_slice(&(body.len() as u32).to_le_bytes());
    })
}

/// `body` as `Content-Encoding: deflate` wants it, which is the format of zlib (RFC 9110 section
/// 8.4.1.2); else as [`gzip`].
pub fn zlib(level: u8, body: &[u8]) -> Option<Vec<u8>> {
    wrap(level, body, &ZLIB_HEAD, |out| out.extend_from_slice(&adler32(body).to_be_bytes()))
}

fn wrap(level: u8, body: &[u8], head: &[u8], tail: impl FnOnce(&mut Vec<u8>)) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(body.len() / 2);
    out.extend_from_slice(head);
    Deflater::with(level, |deflater| deflater.deflate(body, End::Stream, &mut out)).ok()?;
    tail(&mut out);
    (out.len() < body.len()).then_some(out)
}

/// RFC 1950 section 8.2.
fn adler32(bytes: &[u8]) -> u32 {
    const MODULO: u32 = 65_521;
    /// So many bytes can be added before the sums must be made smaller.
    const BYTES: usize = 5_552;
    let (mut sum, mut sums) = (1, 0);
    for chunk in bytes.chunks(BYTES) {
        for &byte in chunk {
            sum += u32::from(byte);
            sums += sum;
        }
        sum %= MODULO;
        sums %= MODULO;
    }
    sums << 16 | sum
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::{GzDecoder, ZlibDecoder};

    use super::*;

    #[test]
    fn readers_of_both_containers_find_what_was_put_in() {
        for len in [600, 5_552, 5_553, 100_000] {
            let body: Vec<u8> = b"abcdefgh\xff".iter().copied().cycle().take(len).collect();
            for level in [1, 9, 3] {
                let mut read = Vec::new();
                let packed = gzip(level, &body).unwrap();
                GzDecoder::new(&packed[..]).read_to_end(&mut read).unwrap();
                let packed = zlib(level, &body).unwrap();
                ZlibDecoder::new(&packed[..]).read_to_end(&mut read).unwrap();
                assert_eq!(read, [&body[..], &body].concat(), "{len} bytes, level {level}");
            }
        }
    }

    #[test]
    fn what_gets_no_smaller_is_left_as_it_is() {
        assert_eq!(gzip(1, b"short"), None);
        assert_eq!(zlib(1, b""), None);
    }
}
