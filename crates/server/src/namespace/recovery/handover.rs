//! What a [`Guard`] does where an engine keeps the events for all nodes: sockets go to it and come from it, and its log
//! begins somewhere.

use std::sync::Arc;
use std::time::Duration;

use roomful_proto::SocketId;
use roomful_proto::cluster::Offset;
use tokio::time::Instant;

use super::guard::{Guard, SESSIONS_BYTES_PART};
use super::kept_session::{Departed, KeptSession};
use super::session::{Newcomer, Place};
use super::{Claim, Key, NotRecovered};
use crate::transport::link::Link;

impl Guard<'_> {
    /// Whether the socket that is claimed is known here, connected or not.
    pub(crate) fn knows(&self, claim: &Claim) -> bool {
        self.claimed(claim).is_ok()
    }

    /// The log of the engine begins behind this offset, as far as it is known here.
    pub(super) fn begin_behind(&mut self, offset: Offset) {
        self.dropped_log = Some(self.state.log.begin_behind(offset));
        self.journal.note_events(self.state.log.bytes());
    }

    /// Takes over a socket that was lost at another node; it waits here from now on.
    pub(super) fn import(
        &mut self,
        kept: KeptSession,
        claim: &Claim,
        newcomer: &Newcomer,
    ) -> Result<(), NotRecovered> {
        let (id, mut session, life) = kept.into_session(claim, newcomer, &self.state.log)?;
        let bytes = session.bytes();
        if self.state.sessions.contains_key(&id) {
            return Err(NotRecovered::Connected);
        }
        if bytes > self.journal.settings.sockets_bytes_max / SESSIONS_BYTES_PART {
            return Err(NotRecovered::TooMuch);
        }
        let since = Instant::now();
        session.over_at = life.and_then(|life| since.checked_add(life));
        if let Place::Waiting { since: waits, .. } = &mut session.place {
            *waits = since;
        }
        self.state.keys.insert(session.key, id);
        self.state.sessions.insert(id, Box::new(session));
        self.wait(bytes);
        self.state.waiting.push_back((since, id));
        self.trim();
        Ok(())
    }

    /// The connection of a socket, by the hashes that another node tells.
    pub(super) fn is_connected_to(&self, socket: &str, visitor: &str) -> Option<Arc<Link>> {
        let key = Key::parse(socket)?;
        let session = self.state.sessions.get(self.state.keys.get(&key)?)?;
        match &session.place {
            Place::Connected { link, .. } if session.auth.to_string() == visitor => {
                Some(Arc::clone(link))
            }
            _ => None,
        }
    }

    /// Forgets a socket that waits; `false` where none does.
    pub(crate) fn forget(&mut self, key: Key) -> bool {
        let Some(id) = self.state.keys.get(&key).copied() else {
            return false;
        };
        let waits = self.state.sessions.get(&id).is_some_and(|session| session.waits());
        if waits {
            self.remove(id);
        }
        waits
    }

    /// Takes a socket out that was lost just now, to be kept by the engine.
    pub(super) fn hand_over(
        &mut self,
        id: SocketId,
        sent: u64,
        life: Option<Duration>,
    ) -> Option<Departed> {
        let mut session = self.state.sessions.remove(&id)?;
        self.state.keys.remove(&session.key);
        // With it goes whoever waits for its end: that is when it is kept.
        let before = std::mem::replace(&mut session.place, Place::nowhere());
        session.wait(sent, self.last());
        let kept = KeptSession::of(id, &session, &self.state.log, life);
        session.place = before;
        let is_too_large =
            session.bytes() > self.journal.settings.sockets_bytes_max / SESSIONS_BYTES_PART;
        // What was under way to it may be gone.
        let is_unsure =
            sent > session.since && self.state.log.has_cut(sent, self.journal.silence());
        if is_too_large || is_unsure {
            self.dropped.push(*session);
            return None;
        }
        let window = self.journal.settings.window;
        let keeps = life.map_or(window, |life| life.min(window));
        Some(Departed { kept: kept?, keeps, session })
    }
}
