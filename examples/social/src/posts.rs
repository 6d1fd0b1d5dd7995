//! [`Post`]: what people say to those who follow them.

use std::collections::HashSet;
use std::sync::Arc;

use async_graphql::{ID, SimpleObject};
use sqlx::any::AnyRow;
use sqlx::{FromRow, Row};

use crate::drafts::{Draft, key_used};
use crate::graphql::Change;
use crate::people::{PERSON, Person};
use crate::social::{News, Result, Social, now_ms};

const TEXT_MAX: usize = 500;
pub(crate) const POSTS_MAX: usize = 50;

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
        let (id, author): (i64, _) = (row.try_get("post")?, Person::from_row(row)?);
        Ok(Self { id: id.into(), author, text: row.try_get("text")?, at: row.try_get("time")? })
    }
}

/// Stores a post and tells those who follow its author. One that is there already is only given again.
pub(crate) async fn publish(by: Change, draft: [String; 2]) -> Result<Post> {
    let (social, me, draft) = (by.social, by.me.person, Draft::new(draft, TEXT_MAX)?);
    let mut told = social.turn.lock().await;
    let id = social.add_post(me, &draft).await?;
    let post = social.feed_post(me, id).await?.filter(|post| post.text == draft.text);
    let post = post.ok_or_else(key_used)?;
    tell(&social, &mut told.post).await?;
    Ok(post)
}

/// Tells of what is stored and was not told.
async fn tell(social: &Social, told: &mut i64) -> Result<()> {
    loop {
        let posts = social.posts_after(*told).await?;
        let is_all = posts.len() < POSTS_MAX;
        for (id, author) in posts {
            let audience = social.audience(author).await?;
            // Nobody may have subscribed.
            let _ = social.news.send(News::Post(id, Arc::new(audience)));
            *told = id;
        }
        if is_all {
            return Ok(());
        }
    }
}

impl Social {
    /// The id of the post when it is stored for good.
    async fn add_post(&self, me: i64, Draft { text, key }: &Draft) -> Result<i64> {
        let insert = "INSERT INTO posts (id, author, text, key, time) \
            VALUES ((SELECT coalesce(max(id), 0) + 1 FROM posts), $1, $2, $3, $4) \
            ON CONFLICT (author, key) DO NOTHING";
        sql!(query, insert, me, text, key, now_ms()).execute(&self.db).await?;
        let select = "SELECT id FROM posts WHERE author = $1 AND key = $2";
        Ok(sql!(query_scalar, select, me, key).fetch_one(&self.db).await?)
    }

    /// The oldest behind that one, with their authors.
    async fn posts_after(&self, id: i64) -> Result<Vec<(i64, i64)>> {
        let select =
            format!("SELECT id, author FROM posts WHERE id > $1 ORDER BY id LIMIT {POSTS_MAX}");
        Ok(sql!(query_as, &select, id).fetch_all(&self.db).await?)
    }

    /// Who sees the posts of somebody and has a socket open.
    async fn audience(&self, author: i64) -> Result<HashSet<i64>> {
        let select = "SELECT DISTINCT person FROM sockets WHERE person = $1 \
            OR person IN (SELECT follower FROM follows WHERE followed = $1)";
        let people: Vec<i64> = sql!(query_scalar, select, author).fetch_all(&self.db).await?;
        Ok(people.into_iter().collect())
    }

    /// Somebody's own posts and those of whom they follow: the newest before that one.
    pub(crate) async fn feed(&self, me: i64, before: i64) -> Result<Vec<Post>> {
        self.posts(me, "posts.id < $2", before).await
    }

    /// One of these.
    pub(crate) async fn feed_post(&self, me: i64, id: i64) -> Result<Option<Post>> {
        Ok(self.posts(me, "posts.id = $2", id).await?.pop())
    }

    async fn posts(&self, me: i64, which: &str, id: i64) -> Result<Vec<Post>> {
        let select = format!(
            "SELECT posts.id AS post, text, time, {PERSON} FROM posts JOIN people p ON p.id = author \
             WHERE {which} AND (author = $1 \
             OR author IN (SELECT followed FROM follows WHERE follower = $1)) \
             ORDER BY posts.id DESC LIMIT {POSTS_MAX}"
        );
        Ok(sql!(query_as, &select, me, id).fetch_all(&self.db).await?)
    }
}
