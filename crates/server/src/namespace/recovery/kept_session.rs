//! [`KeptSession`]: a session as the engine of a cluster keeps it, so that a client is recovered by any node.
//!
//! It is a JSON object with the fields of the official server: `sid`, `pid`, `rooms` and `data`. What only nodes of ours
//! know stands in a field `roomful`. Without it, as an official server writes a session, whoever shows the secret and
//! is let in by `connect` is taken for the visitor, and was in its rooms all the time, as official servers take it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use roomful_proto::SocketId;
use roomful_proto::cluster::Offset;
use serde::{Deserialize, Serialize};

use super::log::Log;
use super::session::{Place, Session, Stay};
use super::{AuthDigest, Claim, Key, Newcomer, NotRecovered};
use crate::namespace::erased::Data;

/// A session as it is written.
#[derive(Serialize, Deserialize)]
pub(crate) struct KeptSession {
    sid: String,
    pid: String,
    rooms: Vec<RoomName>,
    /// What the namespace shares of the data of the socket.
    #[serde(default)]
    data: serde_json::Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    roomful: Option<Own>,
}

/// What only nodes of ours know.
#[derive(Serialize, Deserialize)]
struct Own {
    auth: [u8; 32],
    since: Offset,
    sent: Offset,
    lost: Offset,
    known_since: Offset,
    stays: Vec<KeptStay>,
    /// When its time is over, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    over_at_ms: Option<u64>,
}

#[derive(Serialize, Deserialize)]
struct KeptStay {
    room: String,
    from: Offset,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<Offset>,
}

/// To JavaScript a number is the name of a room as well.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum RoomName {
    Text(String),
    Number(serde_json::Number),
}

impl KeptSession {
    /// Reads one.
    pub(crate) fn read(json: &str) -> Option<Self> {
        serde_json::from_str(json).ok()
    }

    /// What the namespace shares of the data of the socket.
    pub(crate) fn data(&self) -> serde_json::Value {
        self.data.clone()
    }

    /// A socket that was lost just now; `None` for one that nobody can come back to.
    pub(super) fn of(
        id: SocketId,
        session: &Session,
        log: &Log,
        life: Option<Duration>,
    ) -> Option<Self> {
        let pid = session.secret.as_ref()?.to_string();
        let Place::Waiting { sent, .. } = session.place else {
            return None;
        };
        let own_room = RoomName::Text(id.to_string());
        let rooms = session.rooms().into_iter().map(|room| RoomName::Text((*room).to_owned()));
        let stay = |stay: &Stay| KeptStay {
            room: (*stay.room).to_owned(),
            from: log.offset_of(stay.from),
            until: stay.until.map(|until| log.offset_of(until)),
        };
        let own = Own {
            auth: session.auth.0,
            since: log.offset_of(session.since),
            sent: log.offset_of(sent),
            lost: log.last_offset(),
            known_since: log.offset_of(session.known_since),
            stays: session.stays().map(stay).collect(),
            over_at_ms: life.map(|life| unix_ms().saturating_add(millis(life))),
        };
        Some(Self {
            sid: id.to_string(),
            pid,
            rooms: [own_room].into_iter().chain(rooms).collect(),
            data: serde_json::Value::Null,
            roomful: Some(own),
        })
    }

    /// The last event that was sent before it was lost, as far as that is known: a log that is not as far as this cannot
    /// tell what was missed.
    pub(crate) fn lost(&self) -> Offset {
        self.roomful.as_ref().map_or(Offset::BEGINNING, |own| own.lost)
    }

    /// The session that it was, waiting for whoever claims it, and the id of its socket.
    pub(super) fn into_session(
        self,
        claim: &Claim,
        newcomer: &Newcomer,
        log: &Log,
    ) -> Result<(SocketId, Session, Option<Duration>), NotRecovered> {
        let id = SocketId::parse(&self.sid).ok_or(NotRecovered::Unknown)?;
        if self.pid != claim.id.to_string() {
            return Err(NotRecovered::Unknown);
        }
        let mut session = Session::new(Key::new(&claim.id), newcomer, 0);
        session.secret = Some(claim.id);
        let Some(own) = self.roomful else {
            let names = self.rooms.into_iter().map(RoomName::into_text);
            for room in names.filter(|room| *room != *id) {
                session.join(room.into(), 0);
            }
            // All behind what its client shows.
            let had =
                claim.offset.as_deref().and_then(|offset| log.number_of(offset.parse().ok()?));
            session.wait(had.unwrap_or(0), 0);
            return Ok((id, session, None));
        };
        let number = |offset| log.number_of(offset).ok_or(NotRecovered::Incomplete);
        let shown = claim.offset.as_deref().and_then(|offset| offset.parse::<Offset>().ok());
        let was_sent_some = own.sent > own.since;
        if was_sent_some && number(own.sent)? == 0 && shown.is_none_or(|shown| shown < own.sent) {
            // It has not had all that it was sent, and that is not known here any more.
            return Err(NotRecovered::Incomplete);
        }
        session.auth = AuthDigest(own.auth);
        session.since = number(own.since)?;
        session.known_since = number(own.known_since)?;
        for KeptStay { room, from, until } in own.stays {
            let until = until.map(number).transpose()?;
            session.stay(Stay { room: room.into(), from: number(from)?, until });
        }
        session.wait(number(own.sent)?, number(own.lost)?);
        let life = own.over_at_ms.map(|at| Duration::from_millis(at.saturating_sub(unix_ms())));
        Ok((id, session, life))
    }
}

fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl RoomName {
    fn into_text(self) -> String {
        match self {
            Self::Text(name) => name,
            Self::Number(number) => number.to_string(),
        }
    }
}

/// A socket that was lost, to be kept by the engine.
pub(crate) struct Departed {
    pub(super) kept: KeptSession,
    pub(super) keeps: Duration,
    /// Whoever waits for its end waits until it is dropped. It has data of the user's, too.
    pub(super) session: Box<Session>,
}

impl Departed {
    /// What it remembers.
    pub(crate) fn data(&self) -> &Data {
        &self.session.data
    }

    /// Gives it to whoever keeps it: by its key, as JSON, for so long.
    pub(crate) fn give(self, data: serde_json::Value, keep: impl FnOnce(&str, String, Duration)) {
        let kept = KeptSession { data, ..self.kept };
        if let Ok(json) = serde_json::to_string(&kept) {
            keep(&kept.pid, json, self.keeps);
        }
        drop(self.session);
    }
}
