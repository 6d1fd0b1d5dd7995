//! What comes of requests that other nodes have received.

use std::sync::Arc;

use bytes::Bytes;
use roomful_proto::Moment;
use roomful_proto::engine::{Data, Input, Transport};

use super::{Connection, carry};
use crate::node::core::Core;
use crate::transport::link::Link;
use crate::transport::stream::Stream;

impl Connection {
    /// A connection of a session that another node has opened, and gives away with its stream. What its client has
    /// sent there, and nobody has looked at, comes first.
    pub(crate) fn taken_over(
        core: Arc<Core>,
        link: Arc<Link>,
        stream: Stream,
        sent: Vec<Data>,
    ) -> Self {
        let carrier = carry(&link, stream);
        let mut this = Self::begin(core, link, Transport::WebSocket, carrier);
        let now = this.core.now();
        for data in sent {
            this.session.receive(now, Input::Frame(data));
        }
        this
    }

    /// A body of the polling before this stream, which its client was told is taken.
    pub(super) fn forwarded_late(&mut self, now: Moment, body: Bytes) {
        // While nothing is read, such bodies would wait without bound.
        if !self.pressure().is_on() {
            self.session.heard(now);
            self.session.receive(now, Input::Body(body));
        }
    }
}
