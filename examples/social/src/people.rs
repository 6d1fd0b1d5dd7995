//! [`Person`]: who there is, as somebody else sees them, and who follows whom.

use async_graphql::SimpleObject;
use roomful::EventError;
use serde::Deserialize;
use serde_json::json;
use sqlx::any::AnyRow;
use sqlx::{FromRow, Row};

use crate::graphql::Change;
use crate::live::room;
use crate::social::{Result, Social};

pub(crate) const PEOPLE_MAX: usize = 50;

/// Somebody, and how they and who asks follow each other.
#[derive(SimpleObject)]
pub(crate) struct Person {
    #[graphql(skip)]
    pub(crate) id: i64,
    pub(crate) handle: String,
    name: String,
    followers: i64,
    following: i64,
    is_followed: bool,
    follows_me: bool,
}

/// Columns of a [`Person`] `p` for the person `$1`.
pub(crate) const PERSON: &str = "p.id AS person, p.handle, p.name, \
    (SELECT count(*) FROM follows WHERE followed = p.id) AS followers, \
    (SELECT count(*) FROM follows WHERE follower = p.id) AS following, \
    (SELECT count(*) FROM follows WHERE follower = $1 AND followed = p.id) AS is_followed, \
    (SELECT count(*) FROM follows WHERE follower = p.id AND followed = $1) AS follows_me";

impl FromRow<'_, AnyRow> for Person {
    fn from_row(row: &AnyRow) -> Result<Self, sqlx::Error> {
        let count = |column| row.try_get::<i64, _>(column);
        let (followers, following) = (count("followers")?, count("following")?);
        let (is_followed, follows_me) = (count("is_followed")? > 0, count("follows_me")? > 0);
        let (id, handle, name) = (count("person")?, row.try_get("handle")?, row.try_get("name")?);
        Ok(Self { id, handle, name, followers, following, is_followed, follows_me })
    }
}

/// Who wants to be one.
#[derive(Deserialize)]
pub(crate) struct Newcomer {
    handle: String,
    name: String,
    password: String,
}

impl Newcomer {
    fn checked(mut self) -> Result<Self> {
        self.name = self.name.trim().to_owned();
        let bad = |code, why| Err(EventError::new(code, why));
        if !is_handle(&self.handle) {
            return bad("bad_handle", "A handle has 3 to 20 of a-z, 0-9 and _.");
        }
        if !(1..=40).contains(&self.name.chars().count()) || self.name.contains(char::is_control) {
            return bad("bad_name", "A name is one line of 1 to 40 characters.");
        }
        if !(8..=200).contains(&self.password.chars().count()) {
            return bad("bad_password", "A password has 8 to 200 characters.");
        }
        Ok(self)
    }
}

pub(crate) fn bad_login() -> EventError {
    EventError::new("bad_login", "This handle and password do not fit.")
}

pub(crate) fn is_handle(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    (3..=20).contains(&text.len()) && text.bytes().all(is_plain)
}

/// Makes that somebody follows the person of a handle, or no longer does; where it is not said, the
/// other than now. Tells that person's sockets, if it changes anything.
pub(crate) async fn follow(by: Change, handle: String, follow: Option<bool>) -> Result<Person> {
    let Change { social, io, me } = by;
    let _turn = social.turn.lock().await;
    let person = social.person(me.person, &handle).await?;
    if person.id == me.person {
        return Err(EventError::new("self", "You cannot follow yourself."));
    }
    let follow = follow.unwrap_or(!person.is_followed);
    let change = if follow {
        "INSERT INTO follows (follower, followed) VALUES ($1, $2) ON CONFLICT DO NOTHING"
    } else {
        "DELETE FROM follows WHERE follower = $1 AND followed = $2"
    };
    let changed = sql!(query, change, me.person, person.id).execute(&social.db).await?;
    if changed.rows_affected() > 0 {
        let by = json!({ "handle": me.handle, "name": me.name });
        io.to(room(person.id)).emit("followed", json!({ "by": by, "follow": follow }));
    }
    social.person(me.person, &handle).await
}

impl Social {
    /// Adds somebody; gives the id.
    pub(crate) async fn add_person(&self, newcomer: Newcomer) -> Result<i64> {
        let Newcomer { handle, name, password } = newcomer.checked()?;
        let hash = self.secrets.hash_password(password).await?;
        let _turn = self.turn.lock().await;
        let insert = "INSERT INTO people (id, handle, name, password_hash) \
            VALUES ((SELECT coalesce(max(id), 0) + 1 FROM people), $1, $2, $3) \
            ON CONFLICT (handle) DO NOTHING RETURNING id";
        let insert = sql!(query_scalar, insert, handle, name, hash).fetch_optional(&self.db);
        let taken = || EventError::new("handle_taken", "Somebody else has this handle.");
        insert.await?.ok_or_else(taken)
    }

    /// The id of whom that handle and password are of.
    pub(crate) async fn log_in(&self, handle: &str, password: String) -> Result<i64> {
        let select = "SELECT id, password_hash FROM people WHERE handle = $1";
        let found = sql!(query_as, select, handle).fetch_optional(&self.db).await?;
        let (id, hash): (Option<i64>, Option<String>) = found.unzip();
        let fits = self.secrets.is_password(password, hash).await?;
        id.filter(|_| fits).ok_or_else(bad_login)
    }

    /// The person of that handle, as `me` sees them.
    pub(crate) async fn person(&self, me: i64, handle: &str) -> Result<Person> {
        let none = || EventError::new("no_person", "There is nobody of that handle.");
        if !is_handle(handle) {
            return Err(none());
        }
        let select = format!("SELECT {PERSON} FROM people p WHERE handle = $2");
        sql!(query_as, &select, me, handle).fetch_optional(&self.db).await?.ok_or_else(none)
    }

    /// Others, whose handle or name has that text in it.
    pub(crate) async fn people(&self, me: i64, search: &str) -> Result<Vec<Person>> {
        let search = search.trim().to_lowercase();
        if search.chars().count() > 40 || search.contains(char::is_control) {
            return Err(EventError::new("bad_search", "Search for up to 40 characters."));
        }
        let search = search.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
        let select = format!(
            "SELECT {PERSON} FROM people p WHERE p.id <> $1 \
             AND (handle LIKE $2 ESCAPE '\\' OR lower(name) LIKE $2 ESCAPE '\\') \
             ORDER BY handle LIMIT {PEOPLE_MAX}"
        );
        Ok(sql!(query_as, &select, me, format!("%{search}%")).fetch_all(&self.db).await?)
    }
}
