//! Identifiers: of a session, of a socket, of what a socket can come back to, of an expected ack.
//!
//! A session id is a secret of one client: whoever knows it can act for that client while it is
//! polling. So is a recovery id: whoever knows it can come back as that client. A socket id is public
//! and is shown to other clients. They are different types, and none is made from another.
//!
//! The cookie of a load balancer is made from neither. A client of Socket.IO 2 makes a `socket.id` of its own from its
//! session id; it is not the id of its socket at the server.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::num::NonZeroU64;
use std::ops::Deref;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::text::as_text;

/// Characters in an id: 15 bytes in URL-safe base64.
pub const ID_CHARS: usize = 20;
/// Bytes of randomness that make an id (120 bits).
pub const ID_BYTES: usize = 15;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub struct $name([u8; ID_CHARS]);

        impl $name {
            /// The id for these random bytes. The caller must take them from a source that cannot
            /// be guessed.
            pub fn from_random(bytes: [u8; ID_BYTES]) -> Self {
                Self(encode(bytes))
            }

            /// Reads an id from its text; `None` unless it is 20 characters of the URL-safe
            /// base64 alphabet.
            pub fn parse(text: &str) -> Option<Self> {
                parse(text).map(Self)
            }

            /// The text of the id, always 20 characters of `A-Z a-z 0-9 _ -`.
            pub fn as_str(&self) -> &str {
                // Only letters of that alphabet are ever stored, so this is never the empty text.
                as_text(&self.0).unwrap_or_default()
            }
        }

        impl Deref for $name {
            type Target = str;

            fn deref(&self) -> &str {
                self.as_str()
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                self.as_str()
            }
        }

        /// As its text, so that a table of ids can be asked with a text.
        impl Hash for $name {
            fn hash<H: Hasher>(&self, state: &mut H) {
                self.as_str().hash(state);
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

id! {
    /// The id of an Engine.IO session. A secret: its [`Debug`] shows only the first characters.
    SessionId
}

id! {
    /// The public id of a socket: one per namespace of a connection.
    SocketId
}

id! {
    /// What a client shows to get its socket back after its connection was lost; the `pid` of the
    /// protocol. A secret: its [`Debug`] shows only the first characters.
    RecoveryId
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.as_str().get(..4).unwrap_or_default();
        write!(f, "SessionId({shown}…)")
    }
}

impl fmt::Debug for RecoveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.as_str().get(..4).unwrap_or_default();
        write!(f, "RecoveryId({shown}…)")
    }
}

impl fmt::Debug for SocketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SocketId({})", self.as_str())
    }
}

impl serde::Serialize for SocketId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> serde::Deserialize<'de> for SocketId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not a socket id"))
    }
}

/// The number by which an ack finds the event that asked for it. Decimal on the wire, at most 2^53 - 1, so that
/// every client can hold it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AckId {
    /// One more than the number. So it is never 0, and whether there is an id takes no room of its own in
    /// an event.
    successor: NonZeroU64,
}

impl AckId {
    /// The largest id: 2^53 - 1, the largest whole number that a JavaScript client counts exactly.
    pub const MAX: u64 = (1 << 53) - 1;

    /// An id; `None` above [`AckId::MAX`].
    pub const fn new(id: u64) -> Option<Self> {
        if id > Self::MAX {
            return None;
        }
        match NonZeroU64::new(id + 1) {
            Some(successor) => Some(Self { successor }),
            None => None,
        }
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.successor.get() - 1
    }
}

impl fmt::Debug for AckId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AckId").field(&self.get()).finish()
    }
}

fn encode(bytes: [u8; ID_BYTES]) -> [u8; ID_CHARS] {
    let mut text = [b'A'; ID_CHARS];
    // 15 bytes are exactly 20 characters, so the slice always has room.
    let _ = URL_SAFE_NO_PAD.encode_slice(bytes, &mut text);
    text
}

fn parse(text: &str) -> Option<[u8; ID_CHARS]> {
    let text: [u8; ID_CHARS] = text.as_bytes().try_into().ok()?;
    let known = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_' || *b == b'-';
    text.iter().all(known).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_twenty_letters_and_reads_back() {
        let id = SocketId::from_random([0xff; ID_BYTES]);
        assert_eq!(id.as_str(), "____________________");
        assert_eq!(SocketId::parse(&id), Some(id));
    }

    #[test]
    fn what_is_not_an_id_is_refused() {
        for text in
            ["", "abc", "____________________x", "...................", "é__________________"]
        {
            assert_eq!(SessionId::parse(text), None, "{text}");
        }
    }

    #[test]
    fn an_ack_id_is_its_number_and_none_above_the_largest() {
        for number in [0, 1, AckId::MAX] {
            let id = AckId::new(number).unwrap();
            assert_eq!((id.get(), format!("{id:?}")), (number, format!("AckId({number})")));
        }
        assert_eq!(AckId::new(AckId::MAX + 1), None);
        assert_eq!(AckId::new(u64::MAX), None);
        assert_eq!(size_of::<Option<AckId>>(), size_of::<u64>());
    }

    #[test]
    fn a_secret_id_is_not_shown_whole() {
        let id = SessionId::from_random([7; ID_BYTES]);
        assert!(!format!("{id:?}").contains(id.as_str()));
        let id = RecoveryId::from_random([7; ID_BYTES]);
        assert!(!format!("{id:?}").contains(id.as_str()));
    }
}
