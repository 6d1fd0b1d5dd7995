//! [`Probe`]: a WebSocket that may take over from polling.

use roomful_proto::ws::CloseCode;

use crate::transport::outbox::Batch;
use crate::transport::stream::Stream;

pub(super) struct Probe {
    pub(super) stream: Stream,
    pub(super) sending: Batch,
    /// Write what waits, then drop it.
    pub(super) ending: bool,
}

impl Probe {
    /// Closes it, as far as can be done without waiting.
    pub(super) fn end(&mut self) {
        if !self.ending {
            self.ending = true;
            self.sending.push(self.stream.goodbye(CloseCode::NORMAL, ""));
        }
    }
}
