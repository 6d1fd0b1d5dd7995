//! [`Limits`]: everything that a peer can make grow has a line here.

use std::time::Duration;

/// The limits of one connection, with their defaults. Sizes are in bytes, counts in items.
///
/// Crossing a limit is never silent: the peer gets a close or an error that names it, and the
/// server counts it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Largest message in either form: a WebSocket message (closed with 1009 above it), a polling
    /// body (413), and all attachments of one packet together. Told to clients as `maxPayload`.
    /// Default 1,000,000, as the official server; at most [`PAYLOAD_BYTES`](Self::PAYLOAD_BYTES).
    #[doc(alias = "maxPayload")]
    pub payload_bytes_max: usize,
    /// Frames of one fragmented WebSocket message. Fragments are joined as they come, so a
    /// fragment costs time but no memory. Default 100,000.
    pub fragments_max: u32,
    /// Bytes into which each compressed byte of a client may inflate, on the average of its WebSocket
    /// (closed with 1008 above it); it may be ahead of that by one message of `payload_bytes_max`,
    /// into which a message may inflate at most (1009). Records with equal fields reach 10 to 50, and
    /// the same over and over about 1,000, which is all that DEFLATE can do. Default 100.
    pub inflate_ratio_max: u32,
    /// Packets in one polling body. An unchanged client fills a body up to `maxPayload`, so this
    /// is only a ceiling for bodies made of separators. Default 200,000.
    pub payload_packets_max: u32,
    /// Attachments that one packet may announce. Default 10, as the official parser.
    pub attachments_max: u32,
    /// Attachments of a packet that came in one piece, as with msgpack. Its bytes are those of one
    /// message; this bounds what each of them costs beside. Default 10,000.
    pub whole_attachments_max: usize,
    /// Time for all attachments of a packet to arrive. Default 30 s.
    pub attachments_timeout: Duration,
    /// Levels of arrays and objects in the JSON of a packet. Default 512. (What a handler reads
    /// into a type may have 127, which is the bound of `serde_json`.)
    pub json_depth_max: u32,
    /// Namespaces that one connection has joined or is joining. Default 32.
    pub namespaces_max: usize,
    /// Bytes in the name of a namespace. Default 512.
    pub namespace_bytes_max: usize,
    /// Bytes of the JSON that a client gives as its auth payload when it asks to join a namespace; one
    /// with more is refused, and its connection stays. Default 16 KiB.
    ///
    /// It is what a client may send before anybody knows it, and a function that decides about the client
    /// reads it into values, which can take a hundred times its size.
    pub auth_bytes_max: usize,
    /// Bytes in the name of an event. Default 512.
    pub event_bytes_max: usize,
    /// Events held for a namespace that has not decided yet whether it lets the client in.
    /// Default 64.
    pub held_events_max: usize,
    /// Bytes of all such events of one connection. Default 2,000,000.
    #[doc(alias = "receiveBuffer")]
    pub held_bytes_max: usize,
    /// Time between a pong and the next ping. Default 25 s.
    pub ping_interval: Duration,
    /// Time for the pong to come; and for the next poll, where the WebSocket of an upgrade has ended. Default 20 s.
    pub ping_timeout: Duration,
    /// Time for an upgrade from polling to WebSocket. Default 10 s.
    pub upgrade_timeout: Duration,
    /// Time from the handshake until a namespace must have been joined. Default 45 s.
    pub connect_timeout: Duration,
    /// Time that a closing connection waits for its peer: for the next poll that carries the close
    /// packet, or for the answer to a WebSocket close. Default 5 s.
    pub close_timeout: Duration,
}

/// How much larger than `payload_bytes_max` the JSON of a packet may be that came in another
/// encoding. One byte of msgpack becomes up to six of JSON, so what a message of two thirds of the
/// limit says always fits.
const JSON_FACTOR: usize = 4;

impl Limits {
    /// What `payload_bytes_max` may be at most: 2 GiB. Where something lies in a packet is said in 32
    /// bits, and of a longer one the end would not be seen.
    pub const PAYLOAD_BYTES: usize = 1 << 31;

    /// The limits of a client: what a server may send it. A server is asked by whoever connects to it, and
    /// sends more than it is sent.
    ///
    /// | limit | here |
    /// |---|---|
    /// | `payload_bytes_max` | 16 MiB |
    /// | `attachments_max` | 1,000 |
    /// | `held_bytes_max` | 16 MiB: what was missed comes before the socket is connected |
    ///
    /// All others are as in [`default`](Self::default); those of what only a server decides have no meaning.
    pub fn client() -> Self {
        Self {
            payload_bytes_max: 16 * 1024 * 1024,
            attachments_max: 1_000,
            held_events_max: usize::MAX,
            held_bytes_max: 16 * 1024 * 1024,
            ..Self::default()
        }
    }

    /// Bytes of JSON that a packet may become that came in another encoding: four times
    /// `payload_bytes_max`, and in any case less than 4 GiB.
    pub const fn json_bytes_max(&self) -> usize {
        let bytes = self.payload_bytes_max.saturating_mul(JSON_FACTOR);
        let offset_max = u32::MAX as usize;
        if bytes < offset_max { bytes } else { offset_max }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            payload_bytes_max: 1_000_000,
            fragments_max: 100_000,
            inflate_ratio_max: 100,
            payload_packets_max: 200_000,
            attachments_max: 10,
            whole_attachments_max: 10_000,
            attachments_timeout: Duration::from_secs(30),
            json_depth_max: 512,
            namespaces_max: 32,
            namespace_bytes_max: 512,
            auth_bytes_max: 16 * 1024,
            event_bytes_max: 512,
            held_events_max: 64,
            held_bytes_max: 2_000_000,
            ping_interval: Duration::from_secs(25),
            ping_timeout: Duration::from_secs(20),
            upgrade_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(45),
            close_timeout: Duration::from_secs(5),
        }
    }
}
