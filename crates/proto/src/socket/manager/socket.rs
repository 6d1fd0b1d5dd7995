//! [`Socket`]: one namespace, as the client is in it or wants to be.

use bytes::Bytes;

use super::acks::Acks;
use super::buffer::Buffer;
use super::retries::Retries;
use crate::socket::Event;
use crate::time::Moment;

/// A socket of the client. It outlives the connections on which it is in its namespace.
#[derive(Debug)]
pub(super) struct Socket<W> {
    pub(super) namespace: Box<str>,
    pub(super) state: State,
    /// Which connection attempt to the namespace this is: what belongs to an earlier one is dropped.
    pub(super) attempt: u32,
    /// The handle is gone: the socket is removed when it has left.
    pub(super) acks: Acks<Waiter<W>>,
    pub(super) buffer: Buffer,
    pub(super) retries: Retries<W>,
    pub(super) recovery: Recovery,
}

/// Where a socket is.
#[derive(Debug)]
pub(super) enum State {
    /// Not connected, and not to be.
    Inactive,
    /// To be connected as soon as there is a connection.
    Away,
    /// There is a connection, and the auth payload is asked for.
    Authorizing {
        until: Moment,
    },
    /// CONNECT was sent.
    Joining {
        until: Moment,
        held: Held,
    },
    Joined,
}

/// Events that came before the answer to CONNECT, as those do that were missed.
#[derive(Debug, Default)]
pub(super) struct Held {
    pub(super) events: Vec<Event>,
    pub(super) bytes: usize,
}

/// Who waits for an ack.
#[derive(Debug)]
pub(super) enum Waiter<W> {
    /// The user.
    User(W),
    /// The queue of events that are sent again.
    Retries,
}

/// What the client shows to get its socket back. Specification: connection state recovery.
#[derive(Default)]
pub(super) struct Recovery {
    /// The secret id of the socket; absent where the server does not recover.
    pub(super) id: Option<Box<str>>,
    /// The offset of the last event.
    pub(super) offset: String,
}

impl std::fmt::Debug for Recovery {
    /// Without the id, which is a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recovery").field("has_id", &self.id.is_some()).finish_non_exhaustive()
    }
}

/// Bytes of an offset that are remembered; a longer one is none.
const OFFSET_BYTES_MAX: usize = 256;

impl Recovery {
    /// Remembers the offset of an event that is handed over: a text as the last argument of one that
    /// wants no ack.
    pub(super) fn note(&mut self, event: &Event) {
        if self.id.is_none() || event.ack.is_some() || !event.args.as_json().ends_with(b"\"") {
            return;
        }
        let last = event.args.iter().last();
        if let Some([b'"', offset @ .., b'"']) = last
            && offset.len() <= OFFSET_BYTES_MAX
            && !offset.contains(&b'\\')
            && let Ok(offset) = std::str::from_utf8(offset)
        {
            self.offset.clear();
            self.offset.push_str(offset);
        }
    }

    /// Appends `"pid":…,"offset":…` to an object that is being written.
    pub(super) fn write(&self, json: &mut Vec<u8>) {
        let Some(id) = &self.id else {
            return;
        };
        json.extend_from_slice(b"\"pid\":");
        // A text can always be written.
        let _ = serde_json::to_writer(&mut *json, id);
        if !self.offset.is_empty() {
            json.extend_from_slice(b",\"offset\":");
            let _ = serde_json::to_writer(&mut *json, &self.offset);
        }
    }
}

impl<W> Socket<W> {
    pub(super) fn new(namespace: &str) -> Self {
        Self {
            namespace: namespace.into(),
            state: State::Inactive,
            attempt: 0,
            acks: Acks::new(),
            buffer: Buffer::default(),
            retries: Retries::new(),
            recovery: Recovery::default(),
        }
    }

    pub(super) const fn is_active(&self) -> bool {
        !matches!(self.state, State::Inactive)
    }

    pub(super) const fn is_joined(&self) -> bool {
        matches!(self.state, State::Joined)
    }

    /// Bytes that wait here to be sent.
    pub(super) const fn waiting_bytes(&self) -> usize {
        self.buffer.bytes() + self.retries.bytes()
    }

    /// Until when the namespace must have answered.
    pub(super) const fn join_until(&self) -> Option<Moment> {
        match self.state {
            State::Authorizing { until } | State::Joining { until, .. } => Some(until),
            State::Inactive | State::Away | State::Joined => None,
        }
    }

    /// The payload of CONNECT: what recovers the socket, and the user's payload behind it.
    pub(super) fn connect_payload(&self, auth: Option<&[u8]>) -> Option<Bytes> {
        let auth = auth.map(<[u8]>::trim_ascii);
        let fields = auth.and_then(|auth| auth.strip_prefix(b"{")?.strip_suffix(b"}"));
        let fields = fields.map(<[u8]>::trim_ascii).unwrap_or_default();
        let mut json = vec![b'{'];
        self.recovery.write(&mut json);
        if json.len() > 1 && !fields.is_empty() {
            json.push(b',');
        }
        json.extend_from_slice(fields);
        json.push(b'}');
        (auth.is_some() || json.len() > 2).then(|| json.into())
    }
}
