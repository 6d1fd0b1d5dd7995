//! [`Social`]: what all of the program shares, and its database.

use std::collections::HashSet;
use std::env;
use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use roomful::EventError;
use sqlx::AnyPool;
use sqlx::any::AnyPoolOptions;
use tokio::sync::{Mutex, broadcast};

use crate::chats::Message;
use crate::limits::Limiter;
use crate::secrets::{Secrets, random};

/// Connections to the database. Who waits for one does so in order, and not for long.
const CONNECTIONS_MAX: u32 = 8;
const CONNECTION_WAIT: Duration = Duration::from_secs(5);
/// How far a subscription may be behind before it ends.
const NEWS_MAX: usize = 1_024;

pub(crate) struct Social {
    pub(crate) db: Database,
    /// Whose turn it is to store something and to tell it: so pages hear of all in the order of its ids.
    pub(crate) turn: Mutex<()>,
    pub(crate) news: broadcast::Sender<News>,
    pub(crate) secrets: Secrets,
    /// How fast a person may change something.
    pub(crate) mutations: Limiter<i64>,
    pub(crate) session_life: Duration,
    /// Names this run of the server, beside those that have crashed.
    pub(crate) run: String,
}

/// What subscriptions hear of.
#[derive(Clone)]
pub(crate) enum News {
    Message(Arc<Message>),
    /// A post, and who has it in a feed and is here now.
    Post(i64, Arc<HashSet<i64>>),
}

impl Social {
    pub(crate) async fn open() -> Result<Self, EventError> {
        let seconds = env::var("SESSION_SECONDS").map_or(Ok(43_200), |seconds| seconds.parse())?;
        Ok(Self {
            db: Database::open().await?,
            turn: Mutex::default(),
            news: broadcast::Sender::new(NEWS_MAX),
            secrets: Secrets::new()?,
            mutations: Limiter::new(Duration::from_millis(100), 60),
            session_life: Duration::from_secs(seconds),
            run: random(16)?,
        })
    }
}

/// SQLite or PostgreSQL.
pub(crate) struct Database(AnyPool);

impl Database {
    /// Opens what `DATABASE_URL` names, or `social.db` in the directory `DATA`, or here.
    async fn open() -> Result<Self, sqlx::Error> {
        sqlx::any::install_default_drivers();
        let directory = env::var("DATA").unwrap_or_else(|_| ".".to_owned());
        let mut url =
            env::var("DATABASE_URL").unwrap_or_else(|_| format!("sqlite://{directory}/social.db"));
        let is_sqlite = url.starts_with("sqlite:");
        if is_sqlite && !url.contains('?') {
            url.push_str("?mode=rwc");
        }
        let options = AnyPoolOptions::new().max_connections(CONNECTIONS_MAX);
        let pool = options.acquire_timeout(CONNECTION_WAIT).connect(&url).await?;
        if is_sqlite {
            sqlx::raw_sql("PRAGMA journal_mode = WAL").execute(&pool).await?;
        }
        sqlx::raw_sql(include_str!("../schema.sql")).execute(&pool).await?;
        Ok(Self(pool))
    }

    pub(crate) fn kind(&self) -> &'static str {
        match self.0.connect_options().database_url.scheme() {
            "sqlite" => "SQLite",
            _ => "PostgreSQL",
        }
    }
}

impl Deref for Database {
    type Target = AnyPool;

    fn deref(&self) -> &AnyPool {
        &self.0
    }
}

/// The time now, in milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// A text that somebody wants others to read, as it may be stored.
pub(crate) fn checked_text(text: &str, chars_max: usize) -> Result<String, EventError> {
    let text = text.trim().replace("\r\n", "\n");
    if !(1..=chars_max).contains(&text.chars().count()) || text.contains('\0') {
        return Err(EventError::new("bad_text", format!("Write 1 to {chars_max} characters.")));
    }
    Ok(text)
}

/// Checks what tells a text that is sent again from a new one.
pub(crate) fn check_key(key: &str) -> Result<(), EventError> {
    let is_plain = key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if !(8..=64).contains(&key.len()) || !is_plain {
        return Err(EventError::new("bad_key", "A key is 8 to 64 of a-z, A-Z, 0-9 and -."));
    }
    Ok(())
}

pub(crate) fn key_used() -> EventError {
    EventError::new("key_used", "Something else has this key: load the page again.")
}
