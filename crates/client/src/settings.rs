//! [`Settings`]: how a client behaves, as its builder was told.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::HeaderMap;
use roomful_proto::Parser;
use roomful_proto::deflate::Deflate;
use roomful_proto::engine::{Revision, Transport};
use roomful_proto::percent;
use roomful_proto::socket::ManagerSettings;

use crate::cookies::Cookies;
use crate::lock::lock;
use crate::net::{Http, Net};

/// How a client behaves.
pub(crate) struct Settings {
    pub(crate) net: Arc<Net>,
    /// The path of the server, such as `/socket.io/`.
    pub(crate) path: String,
    pub(crate) headers: Mutex<HeaderMap>,
    pub(crate) cookies: Option<Arc<Mutex<Cookies>>>,
    pub(crate) transports: Vec<Transport>,
    pub(crate) try_all_transports: bool,
    pub(crate) upgrade: bool,
    /// Whether to begin with a WebSocket where the last one worked.
    pub(crate) remember_upgrade: bool,
    pub(crate) websocket_worked: AtomicBool,
    pub(crate) revision: Revision,
    pub(crate) force_base64: bool,
    pub(crate) connect_timeout: Duration,
    pub(crate) ack_timeout: Duration,
    pub(crate) deflate: Option<Arc<Deflate>>,
    pub(crate) parser: Option<Arc<dyn Parser>>,
    pub(crate) manager: Arc<ManagerSettings>,
    pub(crate) inbox_bytes_max: usize,
    pub(crate) handlers_max: usize,
    pub(crate) stream_bytes_max: usize,
}

/// An answer to a poll may be so much larger than what it carries: bytes are in base64 there.
const POLL_FACTOR: usize = 2;

/// So many times `waiting_bytes_max` may wait to be sent before nothing more is read or answered: what a
/// user emits is refused before that, so these are answers, and the server takes none of them.
const BACKLOG_FACTOR: usize = 2;

impl Settings {
    pub(crate) fn backlog_bytes_max(&self) -> usize {
        self.manager.waiting_bytes_max.saturating_mul(BACKLOG_FACTOR)
    }

    pub(crate) fn http(&self) -> Http {
        let bytes_max = self.manager.limits.payload_bytes_max.saturating_mul(POLL_FACTOR);
        Http::new(
            Arc::clone(&self.net),
            lock(&self.headers).clone(),
            self.cookies.clone(),
            bytes_max,
        )
    }

    /// The target of a request: path and query.
    pub(crate) fn target(
        &self,
        transport: Transport,
        session: Option<&str>,
        stamp: Option<u64>,
    ) -> String {
        let revision = match self.revision {
            Revision::V4 => '4',
            Revision::V3 => '3',
        };
        let mut target = format!("{}?EIO={revision}&transport={transport}", self.path);
        if self.force_base64 {
            target.push_str("&b64=1");
        }
        if let Some(session) = session {
            target.push_str("&sid=");
            percent::encode(session.as_bytes(), &mut target);
        }
        if let Some(stamp) = stamp {
            // So that no cache between answers for the server.
            target.push_str(&format!("&t={stamp:x}"));
        }
        if !self.net.address.query().is_empty() {
            target.push('&');
            target.push_str(self.net.address.query());
        }
        target
    }
}
