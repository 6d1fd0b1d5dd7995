//! [`Session`]: who is logged in, with which keys, and on which sockets.

use std::time::Duration;

use roomful::{EventError, SocketId};

use crate::secrets::{hash_key, is_random, is_same, random};
use crate::social::{Social, now_ms};

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

/// What proves it, told once: it is kept hashed.
pub(crate) struct Keys {
    pub(crate) id: String,
    /// What a page shows for its sockets. It knows this key, so it is good for nothing else.
    pub(crate) secret: String,
    /// What a browser or a program shows with requests.
    pub(crate) session: String,
}

/// Which of the keys is shown.
#[derive(Clone, Copy)]
pub(crate) enum Shown {
    Secret,
    Session,
}

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
    pub(crate) async fn begin_session(&self, person: i64) -> Result<Keys, EventError> {
        let now = now_ms();
        let life = i64::try_from(self.session_life.as_millis())?;
        let (id, secret, key) = (random(ID_BYTES)?, random(KEY_BYTES)?, random(KEY_BYTES)?);
        let over = sqlx::query("DELETE FROM sessions WHERE expires <= $1");
        over.bind(now).execute(&*self.db).await?;
        let insert = "INSERT INTO sessions (id, person, secret_hash, session_hash, expires) \
            VALUES ($1, $2, $3, $4, $5)";
        let insert = sqlx::query(insert).bind(&id).bind(person);
        let insert = insert.bind(hash_key(&secret)?).bind(hash_key(&key)?);
        insert.bind(now.saturating_add(life)).execute(&*self.db).await?;
        let session = format!("{id}.{key}");
        Ok(Keys { id, secret, session })
    }

    /// The session of that id, if there is one, it is not over, and the key is its own.
    pub(crate) async fn session(
        &self,
        id: &str,
        key: &str,
        shown: Shown,
    ) -> Result<Session, EventError> {
        if !is_random(id, ID_BYTES) || !is_random(key, KEY_BYTES) {
            return Err(unauthenticated());
        }
        let select = "SELECT secret_hash, session_hash, person, handle, name, expires \
            FROM sessions JOIN people ON people.id = person \
            WHERE sessions.id = $1 AND expires > $2";
        let select = sqlx::query_as(select).bind(id).bind(now_ms());
        let found = select.fetch_optional(&*self.db).await?.ok_or_else(unauthenticated)?;
        let (secret_hash, session_hash, person, handle, name, expires): (
            String,
            String,
            _,
            _,
            _,
            _,
        ) = found;
        let hash = match shown {
            Shown::Secret => secret_hash,
            Shown::Session => session_hash,
        };
        if !is_same(key, &hash)? {
            return Err(unauthenticated());
        }
        Ok(Session { id: id.to_owned(), person, handle, name, expires })
    }

    pub(crate) async fn end_session(&self, id: &str) -> Result<(), EventError> {
        let delete = sqlx::query("DELETE FROM sessions WHERE id = $1");
        delete.bind(id).execute(&*self.db).await?;
        Ok(())
    }

    /// Keeps that a socket is one of somebody's. `false` where the session has just ended.
    pub(crate) async fn add_socket(
        &self,
        socket: SocketId,
        session: &Session,
    ) -> Result<bool, EventError> {
        let insert = "INSERT INTO sockets (socket, person, run) \
            SELECT $1, person, $2 FROM sessions WHERE id = $3 \
            ON CONFLICT (socket) DO UPDATE SET person = excluded.person";
        let insert = sqlx::query(insert).bind(socket.to_string()).bind(&self.run);
        let added = insert.bind(&session.id).execute(&*self.db).await?;
        Ok(added.rows_affected() > 0)
    }

    pub(crate) async fn remove_socket(&self, socket: SocketId) -> Result<(), EventError> {
        let delete = sqlx::query("DELETE FROM sockets WHERE socket = $1");
        delete.bind(socket.to_string()).execute(&*self.db).await?;
        Ok(())
    }

    /// Forgets the sockets of a server that has crashed.
    pub(crate) async fn sweep(&self) -> Result<(), EventError> {
        let delete = sqlx::query("DELETE FROM sockets WHERE run <> $1");
        delete.bind(&self.run).execute(&*self.db).await?;
        Ok(())
    }
}
