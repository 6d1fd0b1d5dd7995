//! [`Session`]: who is logged in, with which keys, and on which sockets.

use std::time::Duration;

use roomful::{EventError, SocketId};

use crate::secrets::{hash_key, is_random, is_same, random};
use crate::social::{Result, Social, now_ms};

const ID_BYTES: usize = 16;
const KEY_BYTES: usize = 32;

/// That somebody is logged in, on one of their devices.
#[derive(Clone)]
pub(crate) struct Session {
    pub(crate) id: String,
    pub(crate) person: i64,
    pub(crate) handle: String,
    pub(crate) name: String,
    expires: i64,
}

/// Which of its keys is shown: the one that a page knows, for its sockets, or the one for requests, which
/// it does not know. It is the column in which the hash is.
#[derive(Clone, Copy)]
pub(crate) struct Shown(&'static str);

pub(crate) const FOR_SOCKETS: Shown = Shown("secret_hash");
pub(crate) const FOR_REQUESTS: Shown = Shown("session_hash");

impl Session {
    /// How long it is still good for.
    pub(crate) fn left(&self) -> Duration {
        Duration::from_millis((self.expires - now_ms()).try_into().unwrap_or_default())
    }
}

pub(crate) fn unauthenticated() -> EventError {
    EventError::new("unauthenticated", "Log in first.")
}

impl Social {
    /// Begins one, and tells its id and its keys: for sockets, and for requests. They are kept hashed.
    pub(crate) async fn begin_session(&self, person: i64) -> Result<[String; 3]> {
        let (now, life) = (now_ms(), i64::try_from(self.session_life.as_millis())?);
        let over = "DELETE FROM sessions WHERE expires <= $1";
        sql!(query, over, now).execute(&self.db).await?;
        let keys = [random(ID_BYTES)?, random(KEY_BYTES)?, random(KEY_BYTES)?];
        let [id, for_sockets, for_requests] = &keys;
        let insert = "INSERT INTO sessions (id, person, secret_hash, session_hash, expires) \
            VALUES ($1, $2, $3, $4, $5)";
        let hashes = (hash_key(for_sockets)?, hash_key(for_requests)?);
        let insert = sql!(query, insert, id, person, hashes.0, hashes.1, now.saturating_add(life));
        insert.execute(&self.db).await?;
        Ok(keys)
    }

    /// The session of that id, if there is one, it is not over, and the key is its own.
    pub(crate) async fn session(&self, id: &str, key: &str, shown: Shown) -> Result<Session> {
        if !is_random(id, ID_BYTES) || !is_random(key, KEY_BYTES) {
            return Err(unauthenticated());
        }
        let Shown(hash) = shown;
        let select = format!(
            "SELECT {hash}, person, handle, name, expires FROM sessions \
             JOIN people ON people.id = person WHERE sessions.id = $1 AND expires > $2"
        );
        let found = sql!(query_as, &select, id, now_ms()).fetch_optional(&self.db).await?;
        let (hash, person, handle, name, expires): (String, _, _, _, _) =
            found.ok_or_else(unauthenticated)?;
        if !is_same(key, &hash)? {
            return Err(unauthenticated());
        }
        Ok(Session { id: id.to_owned(), person, handle, name, expires })
    }

    pub(crate) async fn end_session(&self, id: &str) -> Result<()> {
        sql!(query, "DELETE FROM sessions WHERE id = $1", id).execute(&self.db).await?;
        Ok(())
    }

    /// Keeps that a socket is one of somebody's. `false` where the session has just ended.
    pub(crate) async fn add_socket(&self, socket: SocketId, session: &Session) -> Result<bool> {
        let insert = "INSERT INTO sockets (socket, person) \
            SELECT $1, person FROM sessions WHERE id = $2 \
            ON CONFLICT (socket) DO UPDATE SET person = excluded.person";
        let added = sql!(query, insert, socket.to_string(), &session.id);
        Ok(added.execute(&self.db).await?.rows_affected() > 0)
    }

    pub(crate) async fn remove_socket(&self, socket: SocketId) -> Result<()> {
        let delete = "DELETE FROM sockets WHERE socket = $1";
        sql!(query, delete, socket.to_string()).execute(&self.db).await?;
        Ok(())
    }
}
