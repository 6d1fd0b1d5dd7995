//! [`Post`]: what people say to those who follow them.

use std::collections::HashSet;
use std::sync::Arc;

use async_graphql::{ID, SimpleObject};
use roomful::EventError;
use sqlx::any::AnyRow;
use sqlx::{FromRow, Row};

use crate::people::{PERSON, Person};
use crate::sessions::Session;
use crate::social::{News, Social, check_key, checked_text, key_used, now_ms};

const TEXT_MAX: usize = 500;
const POSTS_MAX: usize = 50;

#[derive(SimpleObject)]
pub(crate) struct Post {
    id: ID,
    author: Person,
    text: String,
    /// Milliseconds since 1970.
    at: i64,
}

impl FromRow<'_, AnyRow> for Post {
    fn from_row(row: &AnyRow) -> Result<Self, sqlx::Error> {
        let id: i64 = row.try_get("post")?;
        let (text, at) = (row.try_get("text")?, row.try_get("time")?);
        Ok(Self { id: id.into(), author: Person::from_row(row)?, text, at })
    }
}

/// Stores a post and tells those who follow its author. One that is there already is only given again.
pub(crate) async fn publish(
    social: Arc<Social>,
    me: Session,
    text: String,
    key: String,
) -> Result<Post, EventError> {
    let text = checked_text(&text, TEXT_MAX)?;
    check_key(&key)?;
    let _turn = social.turn.lock().await;
    let (id, is_new) = social.add_post(me.person, &text, &key).await?;
    let post = social.feed_post(me.person, id).await?.ok_or_else(key_used)?;
    if post.text != text {
        return Err(key_used());
    }
    if is_new {
        let audience = social.audience(me.person).await?;
        // Nobody may have subscribed.
        let _ = social.news.send(News::Post(id, Arc::new(audience)));
    }
    Ok(post)
}

impl Social {
    /// The id of the post when it is stored for good, and whether it is new.
    async fn add_post(&self, me: i64, text: &str, key: &str) -> Result<(i64, bool), EventError> {
        let insert = "INSERT INTO posts (id, author, text, key, time) \
            VALUES ((SELECT coalesce(max(id), 0) + 1 FROM posts), $1, $2, $3, $4) \
            ON CONFLICT (author, key) DO NOTHING";
        let insert = sqlx::query(insert).bind(me).bind(text).bind(key).bind(now_ms());
        let added = insert.execute(&*self.db).await?.rows_affected() > 0;
        let select = sqlx::query_scalar("SELECT id FROM posts WHERE author = $1 AND key = $2");
        Ok((select.bind(me).bind(key).fetch_one(&*self.db).await?, added))
    }

    /// Who sees the posts of somebody and has a socket open.
    async fn audience(&self, author: i64) -> Result<HashSet<i64>, EventError> {
        let select = "SELECT DISTINCT person FROM sockets WHERE person = $1 \
            OR person IN (SELECT follower FROM follows WHERE followed = $1)";
        let people: Vec<i64> = sqlx::query_scalar(select).bind(author).fetch_all(&*self.db).await?;
        Ok(people.into_iter().collect())
    }

    /// Somebody's own posts and those of whom they follow: the newest before that one.
    pub(crate) async fn feed(&self, me: i64, before: i64) -> Result<Vec<Post>, EventError> {
        self.posts(me, "posts.id < $2", before).await
    }

    /// One of these.
    pub(crate) async fn feed_post(&self, me: i64, id: i64) -> Result<Option<Post>, EventError> {
        Ok(self.posts(me, "posts.id = $2", id).await?.pop())
    }

    async fn posts(&self, me: i64, which: &str, id: i64) -> Result<Vec<Post>, EventError> {
        let select = format!(
            "SELECT posts.id AS post, text, time, {PERSON} FROM posts JOIN people p ON p.id = author \
             WHERE {which} AND (author = $1 \
             OR author IN (SELECT followed FROM follows WHERE follower = $1)) \
             ORDER BY posts.id DESC LIMIT {POSTS_MAX}"
        );
        let select = sqlx::query_as(&select).bind(me).bind(id);
        Ok(select.fetch_all(&*self.db).await?)
    }
}
