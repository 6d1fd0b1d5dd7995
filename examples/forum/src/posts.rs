//! [`Posts`]: what has been said, in SQLite.

use std::sync::Arc;
use std::{env, time::SystemTime};

use roomful::{Broadcast, EventError};
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqliteRow};
use tokio::sync::Mutex;

use crate::{Forum, live};

/// How many posts a page or an answer has at most.
pub(crate) const POSTS_MAX: usize = 100;

pub(crate) struct Posts {
    pool: SqlitePool,
    /// Whose turn it is to store one.
    turn: Mutex<()>,
}

/// A post as everybody sees it.
#[derive(Serialize)]
pub(crate) struct Post {
    pub(crate) id: i64,
    pub(crate) topic: i64,
    pub(crate) name: String,
    pub(crate) text: String,
    pub(crate) key: String,
    /// Milliseconds since 1970, and the same for people.
    pub(crate) time: i64,
    #[serde(skip)]
    pub(crate) date: String,
}

/// What somebody wants to say, in a form or in an event.
#[derive(Deserialize)]
pub(crate) struct Draft {
    pub(crate) text: String,
    pub(crate) key: String,
    pub(crate) name: Option<String>,
}

/// A topic, and of its posts the last, its id, and how many there are.
pub(crate) struct Topic {
    pub(crate) id: i64,
    pub(crate) title: String,
    pub(crate) about: String,
    pub(crate) posts: i64,
    pub(crate) last_id: i64,
    pub(crate) last: String,
}

impl Draft {
    /// As it may be stored.
    fn checked(self) -> Result<Self, EventError> {
        let Self { text, key, name } = self;
        let text = text.trim().replace("\r\n", "\n");
        let name = name.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
        let name = name.unwrap_or_else(|| "guest".to_owned());
        let is_plain = key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if !(1..=2_000).contains(&text.chars().count()) {
            return Err(EventError::new("bad_text", "A post has 1 to 2,000 characters."));
        }
        if name.chars().count() > 40 || name.contains(char::is_control) {
            return Err(EventError::new("bad_name", "A name is one line, up to 40 characters."));
        }
        if !(8..=64).contains(&key.len()) || !is_plain {
            return Err(EventError::new("bad_key", "A key is 8 to 64 of a-z, A-Z, 0-9 and -."));
        }
        Ok(Self { text, key, name: Some(name) })
    }
}

/// Stores a post, and tells all pages that show it. One that is there already is only given again.
///
/// Once begun it is done, even if nobody waits for it any more. And it is done for one post after the
/// other, so that pages hear of posts in the order of their ids.
pub(crate) async fn publish(
    forum: Arc<Forum>,
    everyone: Broadcast,
    topic: i64,
    draft: Draft,
) -> Result<Post, EventError> {
    let draft = draft.checked()?;
    let publishing = tokio::spawn(async move {
        let _turn = forum.posts.turn.lock().await;
        let (post, is_new) = forum.posts.add(topic, draft).await?;
        if is_new {
            everyone.to([live::LIST, &live::room(topic)]).emit("post_update", &post);
        }
        Ok(post)
    });
    publishing.await?
}

impl Posts {
    /// Opens the database that `DATABASE_URL` names, or `forum.db` in the directory `DATA`, or here.
    pub(crate) async fn open() -> Result<Self, sqlx::Error> {
        let directory = env::var("DATA").unwrap_or_else(|_| ".".to_owned());
        let url = env::var("DATABASE_URL");
        let url = url.unwrap_or_else(|_| format!("sqlite://{directory}/forum.db"));
        let options: SqliteConnectOptions = url.parse()?;
        let options = options.create_if_missing(true).journal_mode(SqliteJournalMode::Wal);
        let pool = SqlitePool::connect_with(options).await?;
        sqlx::raw_sql(include_str!("../schema.sql")).execute(&pool).await?;
        Ok(Self { pool, turn: Mutex::default() })
    }

    /// The post when it is stored for good, and whether it is new.
    async fn add(&self, topic: i64, draft: Draft) -> Result<(Post, bool), EventError> {
        let insert = "INSERT INTO posts (topic, name, text, key, time) VALUES ($1, $2, $3, $4, $5) \
                      ON CONFLICT (key) DO NOTHING";
        let insert = sqlx::query(insert).bind(topic).bind(&draft.name).bind(&draft.text);
        let added = insert.bind(&draft.key).bind(now_ms()).execute(&self.pool).await;
        let added = added.map_err(|error| match error.as_database_error() {
            Some(error) if error.is_foreign_key_violation() => no_topic(),
            _ => error.into(),
        })?;
        let select = format!("{SELECT} WHERE key = $1");
        let post: Post = sqlx::query_as(&select).bind(&draft.key).fetch_one(&self.pool).await?;
        if post.topic != topic || post.text != draft.text {
            return Err(EventError::new(
                "key_used",
                "Another post has this key: load the page again.",
            ));
        }
        Ok((post, added.rows_affected() > 0))
    }

    /// The oldest posts behind that one, of one topic or of all.
    pub(crate) async fn since(
        &self,
        id: i64,
        topic: Option<i64>,
    ) -> Result<Vec<Post>, sqlx::Error> {
        let which = "WHERE id > $1 AND topic = coalesce($2, topic) ORDER BY id";
        let select = format!("{SELECT} {which} LIMIT {POSTS_MAX}");
        sqlx::query_as(&select).bind(id).bind(topic).fetch_all(&self.pool).await
    }

    /// The newest posts of a topic before that one, the oldest first.
    pub(crate) async fn before(&self, id: i64, topic: i64) -> Result<Vec<Post>, sqlx::Error> {
        let which = "WHERE id < $1 AND topic = $2 ORDER BY id DESC";
        let select = format!("SELECT * FROM ({SELECT} {which} LIMIT {POSTS_MAX}) ORDER BY id");
        sqlx::query_as(&select).bind(id).bind(topic).fetch_all(&self.pool).await
    }

    /// All topics, or the one of that id.
    pub(crate) async fn topics(&self, id: Option<i64>) -> Result<Vec<Topic>, sqlx::Error> {
        sqlx::query_as(SELECT_TOPICS).bind(id).fetch_all(&self.pool).await
    }

    pub(crate) async fn topic(&self, id: i64) -> Result<Topic, EventError> {
        self.topics(Some(id)).await?.pop().ok_or_else(no_topic)
    }

    /// 32 random hexadecimal digits, from the generator of SQLite, which the system seeds.
    pub(crate) async fn random(&self) -> Result<String, sqlx::Error> {
        let select = "SELECT lower(hex(randomblob(16)))";
        sqlx::query_scalar(select).fetch_one(&self.pool).await
    }
}

const SELECT: &str = "SELECT id, topic, name, text, key, time, \
    strftime('%Y-%m-%d %H:%MZ', time / 1000, 'unixepoch') FROM posts";

const SELECT_TOPICS: &str = "SELECT topics.id, title, about, \
    (SELECT count(*) FROM posts WHERE topic = topics.id), \
    coalesce(posts.id, 0), coalesce(name || ': ' || text, '') \
    FROM topics LEFT JOIN posts ON posts.id = (SELECT max(id) FROM posts WHERE topic = topics.id) \
    WHERE topics.id = coalesce($1, topics.id) ORDER BY topics.id";

impl FromRow<'_, SqliteRow> for Post {
    fn from_row(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        let (id, topic, name, text, key, time, date) = FromRow::from_row(row)?;
        Ok(Self { id, topic, name, text, key, time, date })
    }
}

impl FromRow<'_, SqliteRow> for Topic {
    fn from_row(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        let (id, title, about, posts, last_id, last) = FromRow::from_row(row)?;
        Ok(Self { id, title, about, posts, last_id, last })
    }
}

fn no_topic() -> EventError {
    EventError::new("no_topic", "There is no such topic.")
}

/// The time now, in milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
