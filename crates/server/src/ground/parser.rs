//! How packets are written: [`Parser`].
//!
//! [`MsgPack`] is what clients speak that have the npm package `socket.io-msgpack-parser`:
//! packets with bytes in them are one message, and numbers and bytes are smaller. Anything else is a
//! type that implements [`Parser`]. This one writes whole packets as JSON, and knows no bytes:
//!
//! ```
//! use roomful::Server;
//! use roomful::parser::{AckId, Data, Limits, Parser, Plain, Violation, Whole};
//! use serde_json::{Value, json};
//!
//! #[derive(serde::Deserialize)]
//! struct Packet {
//!     number: u8,
//!     namespace: String,
//!     ack: Option<u64>,
//!     data: Option<Value>,
//! }
//!
//! #[derive(Debug)]
//! struct Json;
//!
//! impl Parser for Json {
//!     fn decode(&self, message: Data, _: &Limits) -> Result<Whole, Violation> {
//!         let Data::Text(text) = message else {
//!             return Err(Violation::Malformed);
//!         };
//!         let packet: Packet = serde_json::from_slice(&text).map_err(|_| Violation::Malformed)?;
//!         let ack = packet.ack.map(|id| AckId::new(id).ok_or(Violation::AckId)).transpose()?;
//!         let mut whole = Whole::new(packet.number, &packet.namespace, ack)?;
//!         if let Some(data) = packet.data {
//!             serde_json::to_writer(whole.json(), &data).map_err(|_| Violation::Malformed)?;
//!         }
//!         Ok(whole)
//!     }
//!
//!     fn encode(&self, packet: &Plain<'_>) -> Data {
//!         let head = json!({ "number": packet.number(), "namespace": packet.namespace() });
//!         let mut text = head.to_string();
//!         text.pop();
//!         if let Some(ack) = packet.ack() {
//!             text += &format!(r#","ack":{}"#, ack.get());
//!         }
//!         if let Some(data) = packet.json() {
//!             text += &format!(r#","data":{data}"#);
//!         }
//!         text.push('}');
//!         Data::Text(text.into())
//!     }
//! }
//!
//! let io = Server::builder().parser(Json).build();
//! ```

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use roomful_proto::{EncodeError, Letter, Parcel};

pub use roomful_proto::engine::Data;
pub use roomful_proto::socket::{MsgPack, Parser, Plain, Whole};
pub use roomful_proto::{AckId, Limits, Violation};

use crate::ground::shared::Shared;

/// The parser of a server, which may panic: it can be a user's.
///
/// It translates at both edges, and nothing between knows of it. A message becomes a [`Whole`]: JSON with
/// placeholders behind a header, which the mux judges as any other. A [`Letter`] becomes a [`Parcel`] of one frame in
/// the encoding of the parser (see [`parcel`]), so its forms for polling and the sharing stay as they are.
/// A server has one encoding, so a parcel has no form for each parser. A client of another encoding is closed at its
/// first packet.
#[derive(Clone, Debug)]
pub(crate) struct ServerParser(Arc<dyn Parser>);

impl ServerParser {
    pub(crate) fn new(parser: impl Parser) -> Self {
        Self(Arc::new(parser))
    }

    /// Reads a packet of a client.
    pub(crate) fn read(&self, message: Data, shared: &Shared) -> Result<Whole, Violation> {
        let read = || self.0.decode(message, &shared.limits);
        catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| {
            shared.metrics.panics.add();
            tracing::error!("the parser panicked; its client is disconnected");
            Err(Violation::Malformed)
        })
    }
}

/// A letter as it leaves, in the encoding of the server. Whatever is sent comes through here, but
/// letters in the default encoding that are joined.
pub(crate) fn parcel(letter: Letter, parser: Option<&ServerParser>) -> Result<Parcel, EncodeError> {
    let Some(ServerParser(parser)) = parser else {
        return Ok(letter.into());
    };
    let word = || Parcel::worded(letter, &**parser);
    catch_unwind(AssertUnwindSafe(word)).map_err(|_| panicked())
}

/// Why a packet could not be written.
pub(crate) fn panicked() -> EncodeError {
    EncodeError::new("the parser panicked")
}
