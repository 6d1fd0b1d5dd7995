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
    /// Which socket of the manager this is: keys are used again.
    pub(super) serial: u32,
    /// Which connection attempt to the namespace this is: what belongs to an earlier one is dropped.
    pub(super) attempt: u32,
    /// Nobody uses it any more, but it has still to leave.
    pub(super) is_removed: bool,
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
        /// When the client is told that this takes long; `None` when it was.
        until: Option<Moment>,
    },
    /// CONNECT was sent.
    Joining {
        until: Option<Moment>,
        /// What came before the answer. Without it, that is dropped.
        held: Option<Held>,
    },
    Joined,
    /// CONNECT was sent, and then nobody wanted it any more. The server can be told when it has answered.
    Leaving {
        /// The socket is to be connected after that.
        again: bool,
        until: Option<Moment>,
    },
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
    pub(super) fn new(namespace: &str, serial: u32) -> Self {
        Self {
            namespace: namespace.into(),
            state: State::Inactive,
            serial,
            attempt: 0,
            is_removed: false,
            acks: Acks::new(),
            buffer: Buffer::default(),
            retries: Retries::new(),
            recovery: Recovery::default(),
        }
    }

    pub(super) const fn is_active(&self) -> bool {
        !matches!(self.state, State::Inactive | State::Leaving { again: false, .. })
    }

    pub(super) const fn is_joined(&self) -> bool {
        matches!(self.state, State::Joined)
    }

    pub(super) const fn is_leaving(&self) -> bool {
        matches!(self.state, State::Leaving { .. })
    }

    /// Events that came before the answer to CONNECT.
    pub(super) const fn held(&self) -> Option<&Held> {
        match &self.state {
            State::Joining { held: Some(held), .. } => Some(held),
            _ => None,
        }
    }

    /// Bytes that wait here to be sent.
    pub(super) const fn waiting_bytes(&self) -> usize {
        self.buffer.bytes() + self.retries.bytes()
    }

    /// Until when the namespace must have answered; gone when the client was told that it has not.
    pub(super) const fn join_until(&mut self) -> Option<&mut Option<Moment>> {
        match &mut self.state {
            State::Authorizing { until }
            | State::Joining { until, .. }
            | State::Leaving { until, .. } => Some(until),
            State::Inactive | State::Away | State::Joined => None,
        }
    }

    /// Drops all that is to be sent, and says who waited for acks.
    pub(super) fn clear(&mut self) -> (Vec<Waiter<W>>, Vec<W>) {
        self.buffer = Buffer::default();
        self.recovery = Recovery::default();
        let retries = std::iter::from_fn(|| self.retries.pop());
        let retries = retries.filter_map(|retry| retry.waiter).collect();
        (self.acks.take_all(), retries)
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
