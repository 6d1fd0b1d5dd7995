//! [`Access`]: who is there, and whose document is whose.

use std::env;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use roomful::{EventError, Hello, Limiter, Rate, Refusal, RemoteSocket};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use sqlx::sqlite::{SqliteExecutor, SqlitePool};

use crate::documents::now_ms;
use crate::presence::Place;
use crate::{App, Io, PageSocket};

/// Said loudly when the program starts.
pub(crate) const DEMO_CODES: &str = "\
    DEMONSTRATION: with these invitation codes anybody can come in. Replace them in the table `states`.
    ohio-demo, oregon-demo, texas-demo, vermont-demo\n";

const COOKIE: &str = "collab_session";
const NAME_CHARS_MAX: usize = 40;
const NO_SESSION: &str = "no_session";

/// How fast an address may log in.
const LOGIN_RATE: Rate = Rate::per_second(20).burst(300);

pub(crate) struct Access {
    pool: SqlitePool,
    lifetime: Duration,
    logins: Limiter<IpAddr>,
}

/// Names a session without being its secret, which only the browser has.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SessionId(String);

#[derive(Serialize)]
pub(crate) struct Session {
    name: String,
    /// Those whose documents are this one's.
    pub(crate) states: Vec<String>,
    #[serde(skip)]
    left: Duration,
}

/// What is remembered of a socket.
pub(crate) struct Visitor {
    pub(crate) session: SessionId,
    pub(crate) name: String,
    pub(crate) place: Mutex<Place>,
}

/// What somebody gives who wants to come in.
#[derive(Deserialize)]
pub(crate) struct Login {
    name: String,
    code: String,
}

impl SessionId {
    /// That of a secret. Nobody has the one of the empty secret.
    fn of(secret: &str) -> Self {
        Self(hash(secret))
    }

    /// That of the session whose secret is in a header `cookie`.
    pub(crate) fn in_cookies(cookies: Option<&str>) -> Self {
        let mut pairs = cookies.into_iter().flat_map(|cookies| cookies.split("; "));
        Self::of(pairs.find_map(|pair| pair.strip_prefix(COOKIE)?.strip_prefix('=')).unwrap_or(""))
    }
}

impl Access {
    pub(crate) fn new(pool: SqlitePool) -> Result<Self, std::num::ParseIntError> {
        let seconds = env::var("SESSION_SECONDS").map_or(Ok(43_200), |seconds| seconds.parse())?;
        Ok(Self { pool, lifetime: Duration::from_secs(seconds), logins: Limiter::new(LOGIN_RATE) })
    }

    /// Whether a session may see the document of a state and change it: `join`, all other events and all
    /// routes ask this.
    pub(crate) async fn check(&self, id: &SessionId, state: &str) -> Result<(), EventError> {
        if self.session(id).await?.states.iter().any(|mine| mine == state) {
            return Ok(());
        }
        let why = "This is no document of yours. Give the code of your invitation to it first.";
        Err(EventError::new("no_permission", why))
    }

    pub(crate) async fn session(&self, id: &SessionId) -> Result<Session, EventError> {
        find(&self.pool, id).await
    }

    /// Lets somebody in who has a code: into the session that is there, or into a new one. Either has a
    /// new secret from then on, whose cookie this gives: nobody who knew the old one comes in with it.
    pub(crate) async fn log_in(
        &self,
        io: &Io,
        known: &SessionId,
        Login { name, code }: Login,
    ) -> Result<(Session, String), EventError> {
        let name = name.trim();
        if !(1..=NAME_CHARS_MAX).contains(&name.chars().count()) || name.contains(char::is_control)
        {
            return Err(EventError::new("bad_name", "A name is one line of 1 to 40 characters."));
        }
        let state = self.state_of(&code).await?;
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).map_err(|error| EventError::internal(error.to_string()))?;
        let secret = hex(&secret);
        let id = SessionId::of(&secret);
        let now = now_ms();
        let mut change = self.pool.begin().await?;
        let forget = sqlx::query("DELETE FROM sessions WHERE expires_at <= $1").bind(now);
        forget.execute(&mut *change).await?;
        let rename = sqlx::query("UPDATE sessions SET id = $1 WHERE id = $2");
        let renamed = rename.bind(&id.0).bind(&known.0).execute(&mut *change).await?;
        // One that was there keeps its name and its end.
        let insert = "INSERT INTO sessions (id, state, name, expires_at) \
                      SELECT $1, $2, coalesce(max(name), $3), coalesce(max(expires_at), $4) \
                      FROM sessions WHERE id = $1 ON CONFLICT DO NOTHING";
        let insert = sqlx::query(insert).bind(&id.0).bind(state).bind(name);
        let expires_at = now.saturating_add(i64::try_from(self.lifetime.as_millis())?);
        insert.bind(expires_at).execute(&mut *change).await?;
        let session = find(&mut *change, &id).await?;
        change.commit().await?;
        if renamed.rows_affected() > 0 {
            // They have come with the old secret. Their pages come back with the new one.
            sockets_of(io, known).await.iter().for_each(RemoteSocket::disconnect);
        }
        Ok((session, cookie(&secret, self.lifetime)))
    }

    /// The state that a code invites to. The time that this takes does not tell how much of it is right.
    async fn state_of(&self, code: &str) -> Result<String, EventError> {
        let given = hash(code.trim());
        let mut found = None;
        let select = sqlx::query_as("SELECT id, code_hash FROM states");
        for (id, code_hash) in select.fetch_all(&self.pool).await? {
            let (id, code_hash): (String, String) = (id, code_hash);
            let pairs = code_hash.bytes().zip(given.bytes());
            let differs =
                pairs.fold(code_hash.len() ^ given.len(), |all, (a, b)| all | usize::from(a ^ b));
            found = if differs == 0 { Some(id) } else { found };
        }
        found.ok_or_else(|| EventError::new("bad_code", "There is no invitation of this code."))
    }

    /// Ends a session with all its sockets; gives the cookie that takes the secret away.
    pub(crate) async fn log_out(&self, io: &Io, id: &SessionId) -> Result<String, EventError> {
        let delete = sqlx::query("DELETE FROM sessions WHERE id = $1").bind(&id.0);
        if delete.execute(&self.pool).await?.rows_affected() == 0 {
            return Err(no_session());
        }
        for socket in sockets_of(io, id).await {
            socket.emit("session-expired", ());
            socket.disconnect();
        }
        Ok(cookie("", Duration::ZERO))
    }

    /// Counts a log-in of an address, unless it has had too many.
    pub(crate) fn count_login(&self, address: IpAddr) -> Result<(), EventError> {
        let taken = self.logins.take_of(address);
        taken.map_err(|_| EventError::new("rate_limited", "Too many log-ins. Try again soon."))
    }
}

async fn find(database: impl SqliteExecutor<'_>, id: &SessionId) -> Result<Session, EventError> {
    let select = "SELECT name, state, expires_at - $2 FROM sessions \
                  WHERE id = $1 AND expires_at > $2 ORDER BY state";
    let select = sqlx::query_as(select).bind(&id.0).bind(now_ms());
    let rows: Vec<(String, String, i64)> = select.fetch_all(database).await?;
    let (name, _, ms) = rows.first().cloned().ok_or_else(no_session)?;
    let states = rows.into_iter().map(|(_, state, _)| state).collect();
    Ok(Session { name, states, left: Duration::from_millis(ms.unsigned_abs()) })
}

async fn sockets_of(io: &Io, id: &SessionId) -> Vec<RemoteSocket> {
    let is_theirs = |socket: &RemoteSocket| {
        socket.local_data().is_some_and(|visitor: &Visitor| visitor.session == *id)
    };
    io.everyone().sockets().await.into_iter().filter(is_theirs).collect()
}

/// What a page says as it connects: whom it shows. The cookie may be that of another session by now.
/// Programs have none, and say their session.
#[derive(Deserialize)]
struct Opening {
    session: Option<String>,
    name: Option<String>,
}

/// Lets sockets in that have a session.
pub(crate) async fn enter(hello: Hello<Arc<App>>) -> Result<Visitor, Refusal> {
    let Opening { session, name } = hello.auth()?;
    let secret = session.as_deref().or_else(|| hello.cookie(COOKIE)).unwrap_or_default();
    let session = SessionId::of(secret);
    let found = hello.state().access.session(&session).await?;
    if name.is_some_and(|name| name != found.name) {
        return Err(no_session().into());
    }
    Ok(Visitor { session, name: found.name, place: Mutex::default() })
}

/// Sockets stay for as long as their sessions.
pub(crate) fn register(io: &Io) {
    io.on_connect(async |me: PageSocket| {
        // Asked once more, now that a log-out finds the socket: one that did not was before this.
        match me.state().access.session(&me.data().session).await {
            Ok(session) => me.expire_after(session.left),
            Err(error) if error.code() == NO_SESSION => me.expire_after(Duration::ZERO),
            // It is not known. Put out without a word, the page comes back, and it is asked again.
            Err(error) => {
                eprintln!("{}: {error:?}", me.id());
                me.disconnect();
            }
        }
    });
    io.on_expire(async |me: PageSocket| me.emit("session-expired", ()));
}

fn cookie(secret: &str, lifetime: Duration) -> String {
    let seconds = lifetime.as_secs();
    format!("{COOKIE}={secret}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax")
}

fn no_session() -> EventError {
    EventError::new(NO_SESSION, "There is no session any more. Give your name and your code.")
}

fn hash(secret: &str) -> String {
    hex(&Sha256::digest(secret))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
