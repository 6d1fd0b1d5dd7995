//! [`Access`]: who is there, and whose document is whose.

use std::collections::HashMap;
use std::env;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use roomful::{EventError, Hello, Refusal};
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use sqlx::sqlite::SqlitePool;

use crate::documents::now_ms;
use crate::presence::Place;
use crate::{App, Io, PageSocket};

/// The states of the demonstration. The invitation code of each is its id with this behind it.
const STATES: [(&str, &str); 4] =
    [("ohio", "Ohio"), ("oregon", "Oregon"), ("texas", "Texas"), ("vermont", "Vermont")];
const DEMO_CODE: &str = "-demo";

const COOKIE: &str = "collab_session";
/// Begins the names of rooms that have the sockets of a session. No document has such a name.
pub(crate) const SESSION_ROOM: &str = "session:";
const NAME_CHARS_MAX: usize = 40;
const CODE_BYTES_MAX: usize = 100;

/// Log-ins of an address: so many at once, and then each so long after the other.
const LOGIN_BURST: u32 = 300;
const LOGIN_PAUSE: Duration = Duration::from_millis(50);
/// Addresses whose log-ins are counted at the same time.
const ADDRESSES_MAX: usize = 10_000;

pub(crate) struct Access {
    pool: SqlitePool,
    pub(crate) lifetime: Duration,
    /// When each address may log in as often again as one that never has.
    logins: Mutex<HashMap<IpAddr, Instant>>,
}

/// Names a session without being its secret, which nobody but the browser has.
#[derive(Clone)]
pub(crate) struct SessionId(String);

impl SessionId {
    fn of(secret: &str) -> Self {
        Self(hash(secret))
    }

    /// That of the session whose secret is in a header `cookie`.
    pub(crate) fn in_cookies(cookies: &str) -> Option<Self> {
        let mut pairs = cookies.split("; ").filter_map(|cookie| cookie.split_once('='));
        pairs.find(|(name, _)| *name == COOKIE).map(|(_, secret)| Self::of(secret))
    }

    /// The room of all its sockets.
    pub(crate) fn room(&self) -> String {
        format!("{SESSION_ROOM}{}", self.0)
    }
}

/// The codes that everybody knows, said loudly: whoever makes more of this replaces them.
pub(crate) fn demo_codes() -> String {
    let codes = STATES.map(|(id, name)| format!("  {name}: {id}{DEMO_CODE}\n")).concat();
    format!(
        "DEMONSTRATION: anybody can come in with these invitation codes, so replace them.\n{codes}"
    )
}

/// What somebody who wants to come in gives.
#[derive(Deserialize)]
pub(crate) struct Login {
    name: String,
    code: String,
}

impl Access {
    pub(crate) async fn open(pool: SqlitePool) -> Result<Self, Box<dyn std::error::Error>> {
        for (id, name) in STATES {
            let insert = "INSERT INTO states (id, name, code_hash) VALUES ($1, $2, $3) \
                          ON CONFLICT (id) DO NOTHING";
            let code_hash = hash(&format!("{id}{DEMO_CODE}"));
            sqlx::query(insert).bind(id).bind(name).bind(code_hash).execute(&pool).await?;
        }
        let seconds = env::var("SESSION_SECONDS").map_or(Ok(43_200), |seconds| seconds.parse())?;
        Ok(Self { pool, lifetime: Duration::from_secs(seconds), logins: Mutex::default() })
    }

    /// Whether a session may see the document of a state and change it. Events and routes all ask this.
    pub(crate) async fn check(&self, session: &SessionId, state: &str) -> Result<(), EventError> {
        let select = "SELECT EXISTS (SELECT 1 FROM sessions WHERE id = $1 AND expires_at > $2), \
                      EXISTS (SELECT 1 FROM states WHERE id = $3), \
                      EXISTS (SELECT 1 FROM permissions WHERE session = $1 AND state = $3)";
        let select = sqlx::query_as(select).bind(&session.0).bind(now_ms()).bind(state);
        match select.fetch_one(&self.pool).await? {
            (false, _, _) => Err(no_session()),
            (true, false, _) => Err(EventError::new("no_document", "There is no such document.")),
            (true, true, false) => Err(EventError::new(
                "no_permission",
                "This is the document of others. Give the code of your invitation to it first.",
            )),
            (true, true, true) => Ok(()),
        }
    }

    /// Whose session it is, and how long it still is one.
    pub(crate) async fn session(&self, id: &SessionId) -> Result<(String, Duration), EventError> {
        let select = "SELECT name, expires_at - $2 FROM sessions WHERE id = $1 AND expires_at > $2";
        let select = sqlx::query_as(select).bind(&id.0).bind(now_ms());
        let found: Option<(String, i64)> = select.fetch_optional(&self.pool).await?;
        let (name, ms) = found.ok_or_else(no_session)?;
        Ok((name, Duration::from_millis(ms.unsigned_abs())))
    }

    /// The ids of the states whose documents are the session's.
    pub(crate) async fn states(&self, id: &SessionId) -> Result<Vec<String>, sqlx::Error> {
        let select = "SELECT state FROM permissions WHERE session = $1 ORDER BY state";
        sqlx::query_scalar(select).bind(&id.0).fetch_all(&self.pool).await
    }

    /// Lets somebody in who has a code: into the session that is there, or into a new one, whose cookie
    /// this gives then.
    pub(crate) async fn log_in(
        &self,
        session: Option<SessionId>,
        login: Login,
    ) -> Result<(SessionId, Option<String>), EventError> {
        let name = login.name.trim();
        if !(1..=NAME_CHARS_MAX).contains(&name.chars().count()) || name.contains(char::is_control)
        {
            return Err(EventError::new("bad_name", "A name is one line of 1 to 40 characters."));
        }
        let state = self.state_of(&login.code).await?;
        let known = match session {
            Some(id) => self.session(&id).await.is_ok().then_some(id),
            None => None,
        };
        let (id, cookie) = match known {
            Some(id) => (id, None),
            None => self.begin(name).await.map(|(id, cookie)| (id, Some(cookie)))?,
        };
        let insert = "INSERT INTO permissions (session, state) VALUES ($1, $2) \
                      ON CONFLICT DO NOTHING";
        sqlx::query(insert).bind(&id.0).bind(state).execute(&self.pool).await?;
        Ok((id, cookie))
    }

    /// The state that a code lets into. Which one it is, and how much of a wrong one is right, cannot be told from
    /// the time that this takes.
    async fn state_of(&self, code: &str) -> Result<String, EventError> {
        let given = if code.len() > CODE_BYTES_MAX { hash("") } else { hash(code.trim()) };
        let select = "SELECT id, code_hash FROM states";
        let states: Vec<(String, String)> = sqlx::query_as(select).fetch_all(&self.pool).await?;
        let fits = |hash: &str| {
            let differences = hash.bytes().zip(given.bytes()).fold(0, |all, (a, b)| all | (a ^ b));
            hash.len() == given.len() && differences == 0
        };
        let state = states.into_iter().fold(None, |state, (id, hash)| match fits(&hash) {
            true => Some(id),
            false => state,
        });
        state.ok_or_else(|| EventError::new("bad_code", "There is no invitation of this code."))
    }

    /// Begins a session, and forgets those that are over.
    async fn begin(&self, name: &str) -> Result<(SessionId, String), EventError> {
        let mut random = [0; 32];
        getrandom::fill(&mut random).map_err(|error| EventError::internal(error.to_string()))?;
        let secret = hex(&random);
        let (id, now) = (SessionId::of(&secret), now_ms());
        let lifetime_ms = i64::try_from(self.lifetime.as_millis())?;
        sqlx::query("DELETE FROM sessions WHERE expires_at <= $1")
            .bind(now)
            .execute(&self.pool)
            .await?;
        let insert = "INSERT INTO sessions (id, name, expires_at) VALUES ($1, $2, $3)";
        let insert = sqlx::query(insert).bind(&id.0).bind(name);
        insert.bind(now.saturating_add(lifetime_ms)).execute(&self.pool).await?;
        Ok((id, cookie(&secret, self.lifetime)))
    }

    pub(crate) async fn log_out(&self, id: &SessionId) -> Result<(), sqlx::Error> {
        sqlx::query("DELETE FROM sessions WHERE id = $1").bind(&id.0).execute(&self.pool).await?;
        Ok(())
    }

    /// Counts a log-in of an address, unless it has had too many.
    pub(crate) fn count_login(&self, address: IpAddr) -> Result<(), EventError> {
        let address = match address {
            // What one visitor has.
            IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64)),
            ip => ip,
        };
        let now = Instant::now();
        let mut logins = self.logins.lock().unwrap_or_else(PoisonError::into_inner);
        if logins.len() >= ADDRESSES_MAX {
            logins.retain(|_, full_at| *full_at > now);
        }
        let full_at = logins.get(&address).map_or(now, |full_at| now.max(*full_at)) + LOGIN_PAUSE;
        let is_full = logins.len() >= ADDRESSES_MAX && !logins.contains_key(&address);
        if is_full || full_at - now > LOGIN_PAUSE * LOGIN_BURST {
            return Err(EventError::new("rate_limited", "Too many log-ins. Try again soon."));
        }
        logins.insert(address, full_at);
        Ok(())
    }
}

/// What is remembered of a socket.
pub(crate) struct Visitor {
    pub(crate) session: SessionId,
    pub(crate) name: String,
    place: Mutex<Place>,
}

impl Visitor {
    pub(crate) fn place(&self) -> Place {
        self.place.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn go(&self, place: Place) {
        *self.place.lock().unwrap_or_else(PoisonError::into_inner) = place;
    }
}

/// What a page says as it connects, unless a cookie says it: programs have none.
#[derive(Deserialize)]
struct Opening {
    session: Option<String>,
}

/// Lets sockets of sessions in.
pub(crate) async fn enter(hello: Hello<Arc<App>>) -> Result<Visitor, Refusal> {
    let Opening { session } = hello.auth()?;
    let given = session.map(|secret| SessionId::of(&secret));
    let session = given.or_else(|| hello.header("cookie").and_then(SessionId::in_cookies));
    let refuse =
        |error: EventError| Refusal::new(error.message()).data(json!({ "code": error.code() }));
    let session = session.ok_or_else(|| refuse(no_session()))?;
    let (name, _) = hello.state().access.session(&session).await.map_err(refuse)?;
    Ok(Visitor { session, name, place: Mutex::default() })
}

/// Sockets stay for as long as their sessions.
pub(crate) fn register(io: &Io) {
    io.on_connect(async |me: PageSocket| {
        me.join(me.data().session.room());
        // Asked when it is in that room: who logs out meanwhile does it before this, or finds it there.
        match me.state().access.session(&me.data().session).await {
            Ok((_, left)) => me.expire_after(left),
            Err(_) => end(&me),
        }
    });
    io.on_expire(async |me: PageSocket| me.emit("session-expired", ()));
}

/// Ends all sockets of a session that is over before its time.
pub(crate) fn end_all(io: &Io, session: &SessionId) {
    let sockets = io.to(session.room());
    sockets.emit("session-expired", ());
    sockets.disconnect();
}

fn end(me: &PageSocket) {
    me.emit("session-expired", ());
    me.disconnect();
}

/// The header that gives a browser the secret of its session; an empty one takes it away.
pub(crate) fn cookie(secret: &str, lifetime: Duration) -> String {
    let seconds = lifetime.as_secs();
    format!("{COOKIE}={secret}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax")
}

pub(crate) fn no_session() -> EventError {
    EventError::new("no_session", "There is no session any more. Give your name and your code.")
}

fn hash(secret: &str) -> String {
    hex(&Sha256::digest(secret))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
