//! [`Person`]: who there is, as somebody else sees them.

use async_graphql::SimpleObject;
use roomful::EventError;
use serde::Deserialize;
use sqlx::any::AnyRow;
use sqlx::{FromRow, Row};

use crate::social::Social;

const PEOPLE_MAX: usize = 50;

/// Somebody, and how they and who asks follow each other.
#[derive(SimpleObject)]
pub(crate) struct Person {
    #[graphql(skip)]
    pub(crate) id: i64,
    pub(crate) handle: String,
    name: String,
    followers: i64,
    following: i64,
    pub(crate) is_followed: bool,
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
        let is = |column| row.try_get::<i64, _>(column).map(|count| count > 0);
        Ok(Self {
            id: row.try_get("person")?,
            handle: row.try_get("handle")?,
            name: row.try_get("name")?,
            followers: row.try_get("followers")?,
            following: row.try_get("following")?,
            is_followed: is("is_followed")?,
            follows_me: is("follows_me")?,
        })
    }
}

/// Who wants to be one.
#[derive(Deserialize)]
pub(crate) struct Newcomer {
    pub(crate) handle: String,
    pub(crate) name: String,
    pub(crate) password: String,
}

impl Newcomer {
    fn checked(mut self) -> Result<Self, EventError> {
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

fn is_handle(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    (3..=20).contains(&text.len()) && text.bytes().all(is_plain)
}

pub(crate) fn no_person() -> EventError {
    EventError::new("no_person", "There is nobody of that handle.")
}

impl Social {
    /// Adds somebody; gives the id.
    pub(crate) async fn add_person(&self, newcomer: Newcomer) -> Result<i64, EventError> {
        let Newcomer { handle, name, password } = newcomer.checked()?;
        let hash = self.secrets.hash_password(password).await?;
        let _turn = self.turn.lock().await;
        let insert = "INSERT INTO people (id, handle, name, password_hash) \
            VALUES ((SELECT coalesce(max(id), 0) + 1 FROM people), $1, $2, $3) \
            ON CONFLICT (handle) DO NOTHING RETURNING id";
        let insert = sqlx::query_scalar(insert).bind(handle).bind(name).bind(hash);
        let taken = || EventError::new("handle_taken", "Somebody else has this handle.");
        insert.fetch_optional(&*self.db).await?.ok_or_else(taken)
    }

    /// The id of whom that handle and password are of.
    pub(crate) async fn log_in(&self, handle: &str, password: String) -> Result<i64, EventError> {
        let bad_login = || EventError::new("bad_login", "This handle and password do not fit.");
        if !is_handle(handle) || password.len() > 800 {
            return Err(bad_login());
        }
        let select = "SELECT id, name, password_hash FROM people WHERE handle = $1";
        let select = sqlx::query_as(select).bind(handle);
        let found: Option<(i64, String, String)> = select.fetch_optional(&*self.db).await?;
        let (id, hash) = found.map(|(id, _, hash)| (id, hash)).unzip();
        let fits = self.secrets.is_password(password, hash).await?;
        id.filter(|_| fits).ok_or_else(bad_login)
    }

    /// The person of that handle, as `me` sees them.
    pub(crate) async fn person(&self, me: i64, handle: &str) -> Result<Person, EventError> {
        if !is_handle(handle) {
            return Err(no_person());
        }
        let select = format!("SELECT {PERSON} FROM people p WHERE handle = $2");
        let select = sqlx::query_as(&select).bind(me).bind(handle);
        select.fetch_optional(&*self.db).await?.ok_or_else(no_person)
    }

    /// Others, whose handle or name has that text in it.
    pub(crate) async fn people(&self, me: i64, search: &str) -> Result<Vec<Person>, EventError> {
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
        let select = sqlx::query_as(&select).bind(me).bind(format!("%{search}%"));
        Ok(select.fetch_all(&*self.db).await?)
    }
}
