//! How messages and answers are compressed: [`Compression`] on WebSockets, [`HttpCompression`] for
//! polling.

/// Compression of WebSocket messages (`permessage-deflate`, RFC 7692). It is off unless it is given
/// to [`Builder::compression`](crate::Builder::compression), as in the official server; browsers and
/// the official client for Node.js then use it by themselves.
///
/// ```
/// # use roomful::{Compression, Server};
/// let io = Server::builder().compression(Compression::default().threshold(4_096)).build();
/// ```
///
/// An event is compressed once, for all who get it and take compressed messages, by whoever is the
/// first to write it: about 5 ms for a megabyte. The server remembers nothing of what it has sent between two
/// messages (`server_no_context_takeover`), and neither do most clients (`client_no_context_takeover`): for
/// them an idle connection keeps nothing. A client that wants a window below 32 KiB for what it gets is
/// served without compression.
///
/// Some clients end the handshake when they are told `client_no_context_takeover` and have not offered it,
/// and their offers do not show it. Browsers take it, and so does OkHttp; those are told. Any other client that
/// has not offered it, such as that of Node.js, is told to remember 512 bytes at most
/// (`client_max_window_bits=9`). Its connection keeps these 512 bytes from the first message on that the client
/// has compressed. A client that cannot be told that either is served without compression.
///
/// Of the official options `threshold` and the level are here. The others are not needed: contexts
/// that are taken over would cost some 400 KB for each connection, and an encoding of their own for
/// each recipient; with sizes of windows there would be several compressed forms; and there is no
/// pool of threads that a `concurrencyLimit` could protect, since compressing is bounded by the
/// size of a message and happens where the message is written.
///
/// What waits for a client counts with its bytes before compression.
///
/// A secret in a message that also holds what an attacker has chosen can be guessed from the size of
/// what is sent, even if that is encrypted. Send such messages with
/// [`Broadcast::compress`](crate::Broadcast::compress)`(false)` or
/// [`Socket::compress`](crate::Socket::compress)`(false)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "it does nothing until it is given to a builder"]
#[doc(alias = "perMessageDeflate")]
pub struct Compression {
    pub(crate) threshold: usize,
    pub(crate) level: u8,
    pub(crate) ratio_max: u32,
}

impl Default for Compression {
    fn default() -> Self {
        // The level takes two or three times as long as the lowest, and a fifth to a third off what
        // that leaves; it is paid once for all who get the event.
        Self { threshold: 1_024, level: 3, ratio_max: 100 }
    }
}

impl Compression {
    /// The smallest message that is compressed, in bytes. Each attachment is a message of its own.
    /// Default 1,024.
    pub fn threshold(mut self, bytes: usize) -> Self {
        self.threshold = bytes;
        self
    }

    /// How much is done to make it small, from 1, the fastest, to 9. Default 3.
    pub fn level(mut self, level: u8) -> Self {
        self.level = level.clamp(1, 9);
        self
    }

    /// Bytes into which each compressed byte of a client may inflate, on the average of its
    /// connection, which is closed with 1008 above that. It may be ahead by one message of
    /// [`payload_bytes_max`](crate::Builder::payload_bytes_max), which is also what a message may
    /// inflate to (1009). Records with equal fields reach 10 to 50, and the same over and over about
    /// 1,000. Default 100.
    pub fn ratio_max(mut self, ratio: u32) -> Self {
        self.ratio_max = ratio;
        self
    }
}

/// Compression of the answers to polls, by `gzip`, `deflate`, or, with the cargo feature `brotli`,
/// `br`, as the client accepts it. On by default, as in the official server.
///
/// As with all compression over TLS, somebody who sees how large answers are, and can have chosen
/// text sent to a client beside a secret, can guess the secret bit by bit (the attack called BREACH).
/// If that can happen in your application, turn this off, or send what holds the secret with
/// [`compress(false)`](crate::Broadcast::compress): an answer that holds such an event is sent as it
/// is, with all else that is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "it does nothing until it is given to a builder"]
#[doc(alias = "httpCompression")]
pub struct HttpCompression {
    pub(crate) threshold: usize,
    pub(crate) level: u8,
}

impl Default for HttpCompression {
    fn default() -> Self {
        // It is done again for each client, so it is to be fast.
        Self { threshold: 1_024, level: 1 }
    }
}

impl HttpCompression {
    /// No answer is compressed.
    pub const fn off() -> Self {
        Self { threshold: usize::MAX, level: 1 }
    }

    /// The smallest body that is compressed, in bytes. Default 1,024.
    pub fn threshold(mut self, bytes: usize) -> Self {
        self.threshold = bytes;
        self
    }

    /// How much is done to make it small, from 1, the fastest, to 9. Each answer is compressed on
    /// its own: a megabyte takes about 2 ms with 1 (`gzip`), and 20 with 9. Default 1.
    pub fn level(mut self, level: u8) -> Self {
        self.level = level.clamp(1, 9);
        self
    }

    pub(crate) const fn is_off(&self) -> bool {
        self.threshold == usize::MAX
    }
}
