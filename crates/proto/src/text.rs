//! Bytes that are text.

use ascii::AsciiStr;

/// Whether bytes are UTF-8. Most are ASCII, which is seen faster than anything else.
#[inline]
pub(crate) fn is_text(bytes: &[u8]) -> bool {
    bytes.is_ascii() || simdutf8::basic::from_utf8(bytes).is_ok()
}

/// Bytes as text; `None` where they are not UTF-8.
pub(crate) fn as_text(bytes: &[u8]) -> Option<&str> {
    match AsciiStr::from_ascii(bytes) {
        Ok(text) => Some(text.as_str()),
        Err(_) => simdutf8::basic::from_utf8(bytes).ok(),
    }
}
