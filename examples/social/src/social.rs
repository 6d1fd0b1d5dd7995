//! [`Social`]: what all of the program shares, and its database: SQLite or PostgreSQL.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use std::{env, result};

use roomful::{EventError, Limiter, Rate};
use sqlx::AnyPool;
use sqlx::any::AnyPoolOptions;
use tokio::sync::{Mutex, broadcast};

use crate::chats::Message;
use crate::graphql::{self, Api};
use crate::secrets::Secrets;

/// Connections to the database. Who waits for one does so in order, and not for long.
const CONNECTIONS_MAX: u32 = 8;
const CONNECTION_WAIT: Duration = Duration::from_secs(5);
/// How fast a person may change something.
const CHANGE_RATE: Rate = Rate::per_second(10).burst(60);
/// How fast a person may ask, with what is to change something.
const QUERY_RATE: Rate = Rate::per_second(20).burst(200);
/// How far a subscription may be behind before it ends.
const NEWS_MAX: usize = 1_024;

/// What goes wrong is told to who asked: a code for programs and a sentence for people.
pub(crate) type Result<T, E = EventError> = result::Result<T, E>;

/// A statement, with the values of `$1`, `$2`, ….
macro_rules! sql {
    ($query:ident, $sql:expr $(, $value:expr)*) => {
        sqlx::$query($sql)$(.bind($value))*
    };
}

pub(crate) struct Social {
    pub(crate) db: AnyPool,
    /// Whose turn it is to store something and to tell it: so pages hear of all in the order of its ids.
    pub(crate) turn: Mutex<Told>,
    pub(crate) api: Api,
    pub(crate) news: broadcast::Sender<News>,
    pub(crate) secrets: Secrets,
    /// Of each person.
    pub(crate) changes: Limiter<i64>,
    pub(crate) queries: Limiter<i64>,
    pub(crate) session_life: Duration,
}

/// The newest that pages were told of. What is stored behind it was not told, since the database failed
/// right then: whose turn is next does that.
pub(crate) struct Told {
    pub(crate) message: i64,
    pub(crate) post: i64,
}

/// What subscriptions hear of.
#[derive(Clone)]
pub(crate) enum News {
    Message(Arc<Message>),
    /// A post, and who has it in a feed and is here now.
    Post(i64, Arc<HashSet<i64>>),
}

impl Social {
    /// Opens what `DATABASE_URL` names, or `social.db` in the directory `DATA`, or here.
    pub(crate) async fn open() -> Result<Self> {
        let directory = env::var("DATA").unwrap_or_else(|_| ".".to_owned());
        let url = env::var("DATABASE_URL");
        let mut url = url.unwrap_or_else(|_| format!("sqlite://{directory}/social.db"));
        let is_sqlite = url.starts_with("sqlite:");
        if is_sqlite && !url.contains('?') {
            url.push_str("?mode=rwc");
        }
        sqlx::any::install_default_drivers();
        let options = AnyPoolOptions::new().max_connections(CONNECTIONS_MAX);
        let db = options.acquire_timeout(CONNECTION_WAIT).connect(&url).await?;
        if is_sqlite {
            sqlx::raw_sql("PRAGMA journal_mode = WAL").execute(&db).await?;
        }
        sqlx::raw_sql(include_str!("../schema.sql")).execute(&db).await?;
        // Those that a crash has left.
        sqlx::raw_sql("DELETE FROM sockets").execute(&db).await?;
        // Pages look for what came before when they connect.
        let newest = |table| format!("SELECT coalesce(max(id), 0) FROM {table}");
        let message = sqlx::query_scalar(&newest("messages")).fetch_one(&db).await?;
        let post = sqlx::query_scalar(&newest("posts")).fetch_one(&db).await?;
        let seconds = env::var("SESSION_SECONDS").map_or(Ok(43_200), |seconds| seconds.parse())?;
        Ok(Self {
            db,
            turn: Mutex::new(Told { message, post }),
            api: graphql::schema(),
            news: broadcast::Sender::new(NEWS_MAX),
            secrets: Secrets::new()?,
            changes: Limiter::new(CHANGE_RATE),
            queries: Limiter::new(QUERY_RATE),
            session_life: Duration::from_secs(seconds),
        })
    }

    pub(crate) fn database(&self) -> &'static str {
        match self.db.connect_options().database_url.scheme() {
            "sqlite" => "SQLite",
            _ => "PostgreSQL",
        }
    }

    /// Whatever has begun to be stored is stored and told.
    pub(crate) async fn close(&self) {
        let _turn = self.turn.lock().await;
        self.db.close().await;
    }
}

/// What somebody is told who has been too fast.
pub(crate) fn too_fast(_: Duration) -> EventError {
    EventError::new("rate_limited", "Too fast. Wait a little and try again.")
}

/// The time now, in milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
