//! [`Documents`]: what the plans of the states say, in SQLite.

use std::collections::BTreeMap;
use std::time::SystemTime;

use roomful::EventError;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::sqlite::SqlitePool;
use tokio::sync::Mutex;

/// Past edits of each document that are kept, and their keys: one that comes again after so many others
/// is a new one.
const EDITS_KEPT: i64 = 10_000;

pub(crate) struct Documents {
    pool: SqlitePool,
    /// Whose turn it is to change one, and to tell of it: the version of each that was told last.
    pub(crate) turn: Mutex<BTreeMap<String, i64>>,
}

/// What somebody wants to change.
#[derive(Deserialize)]
pub(crate) struct Edit {
    pub(crate) state: String,
    pub(crate) field: String,
    pub(crate) value: Value,
    /// The version of the field that it was based on.
    base: i64,
    pub(crate) key: String,
}

/// What became of it.
#[derive(Serialize)]
pub(crate) struct Edited {
    field: String,
    /// That of the document, and from now on of the field.
    pub(crate) version: i64,
    /// What stood there, so that it can be undone.
    before: Value,
}

/// What stands in a field.
#[derive(Serialize)]
pub(crate) struct Held {
    value: Value,
    version: i64,
    /// Nobody has edited it yet where this is none.
    by: Option<String>,
    at: i64,
}

impl Documents {
    pub(crate) fn new(pool: SqlitePool) -> Self {
        Self { pool, turn: Mutex::default() }
    }

    /// Creates the document of a state unless there is one, and says whether it was this key that has.
    pub(crate) async fn create(&self, state: &str, key: &str) -> Result<bool, EventError> {
        let insert = "INSERT INTO documents (state, key) VALUES ($1, $2) ON CONFLICT DO NOTHING";
        sqlx::query(insert).bind(state).bind(key).execute(&self.pool).await?;
        let select = sqlx::query_scalar("SELECT key FROM documents WHERE state = $1").bind(state);
        let creator: String = select.fetch_one(&self.pool).await?;
        Ok(creator == key)
    }

    /// Puts a value into a field if that is still as it was when the edit was made. An edit that is stored
    /// already is only answered again.
    pub(crate) async fn edit(
        &self,
        edit: Edit,
        empty: Value,
        by: &str,
    ) -> Result<Edited, EventError> {
        self.version(&edit.state).await?.ok_or_else(no_document)?;
        let Edit { state, field, value, base, key } = edit;
        let value = value.to_string();
        // One statement, so that nothing comes between the comparison and the change.
        let insert = "INSERT INTO edits (state, version, field, value, key, base, before, by, at) SELECT $1, \
            (SELECT coalesce(max(version), 0) + 1 FROM edits WHERE state = $1), $2, $3, $4, $5, \
            (SELECT value FROM edits WHERE state = $1 AND version = $5), $6, $7 \
            WHERE $5 = (SELECT coalesce(max(version), 0) FROM edits WHERE state = $1 AND field = $2) \
            ON CONFLICT (state, key) DO NOTHING";
        let insert = sqlx::query(insert).bind(&state).bind(&field).bind(&value).bind(&key);
        insert.bind(base).bind(by).bind(now_ms()).execute(&self.pool).await?;
        let select = "SELECT version, coalesce(before, $3), (field, value, base) = ($4, $5, $6) \
                      FROM edits WHERE state = $1 AND key = $2";
        let select = sqlx::query_as(select).bind(&state).bind(&key).bind(empty.to_string());
        let select = select.bind(&field).bind(&value).bind(base);
        let stored: Option<(i64, String, bool)> = select.fetch_optional(&self.pool).await?;
        let Some((version, before, is_same)) = stored else {
            let why = "Somebody else has changed this field meanwhile.";
            let held = self.held(&state, &field, empty).await?;
            return Err(EventError::new("conflict", why).data(held));
        };
        if !is_same {
            let why = "Another edit has this key: load the page again.";
            return Err(EventError::new("key_used", why));
        }
        if version % EDITS_KEPT == 0
            && let Err(error) = self.forget(&state, version - EDITS_KEPT).await
        {
            eprintln!("the old edits of {state} are kept: {error}");
        }
        let before = serde_json::from_str(&before)?;
        Ok(Edited { field, version, before })
    }

    async fn held(&self, state: &str, field: &str, empty: Value) -> Result<Held, EventError> {
        let select = "SELECT value, version, by, at FROM edits WHERE state = $1 AND field = $2 \
                      ORDER BY version DESC LIMIT 1";
        let select = sqlx::query_as(select).bind(state).bind(field);
        let found: Option<(String, i64, String, i64)> = select.fetch_optional(&self.pool).await?;
        let Some((value, version, by, at)) = found else {
            return Ok(Held { value: empty, version: 0, by: None, at: 0 });
        };
        Ok(Held { value: serde_json::from_str(&value)?, version, by: Some(by), at })
    }

    /// Forgets the edits up to a version of which nothing is left in the fields.
    async fn forget(&self, state: &str, version: i64) -> Result<(), sqlx::Error> {
        let delete = "DELETE FROM edits WHERE state = $1 AND version <= $2 AND version NOT IN \
                      (SELECT max(version) FROM edits WHERE state = $1 GROUP BY field)";
        sqlx::query(delete).bind(state).bind(version).execute(&self.pool).await?;
        Ok(())
    }

    /// The version of a document, and those of its fields that were edited after that one.
    pub(crate) async fn since(
        &self,
        state: &str,
        version: i64,
    ) -> Result<(i64, BTreeMap<String, Held>), EventError> {
        let mut newest = self.version(state).await?.ok_or_else(no_document)?;
        // In SQLite the other columns are those of the row that has the maximum.
        let select = "SELECT field, value, max(version), by, at FROM edits \
                      WHERE state = $1 AND version > $2 GROUP BY field";
        let select = sqlx::query_as(select).bind(state).bind(version);
        let rows: Vec<(String, String, i64, String, i64)> = select.fetch_all(&self.pool).await?;
        let mut fields = BTreeMap::new();
        for (field, value, version, by, at) in rows {
            let value = serde_json::from_str(&value)?;
            fields.insert(field, Held { value, version, by: Some(by), at });
            // What was edited since that was asked for is here, too.
            newest = newest.max(version);
        }
        Ok((newest, fields))
    }

    /// The version of a document, if there is one.
    pub(crate) async fn version(&self, state: &str) -> Result<Option<i64>, sqlx::Error> {
        let select = "SELECT (SELECT coalesce(max(version), 0) FROM edits WHERE state = $1) \
                      FROM documents WHERE state = $1";
        sqlx::query_scalar(select).bind(state).fetch_optional(&self.pool).await
    }

    /// The documents of these states, whether or not they were created.
    pub(crate) async fn summaries(&self, states: Vec<String>) -> Result<Vec<Value>, sqlx::Error> {
        let mut summaries = Vec::with_capacity(states.len());
        for state in states {
            let select = sqlx::query_scalar("SELECT name FROM states WHERE id = $1").bind(&state);
            let name: String = select.fetch_one(&self.pool).await?;
            let version = self.version(&state).await?;
            let (created, version) = (version.is_some(), version.unwrap_or_default());
            summaries.push(
                json!({ "state": state, "name": name, "created": created, "version": version }),
            );
        }
        Ok(summaries)
    }
}

fn no_document() -> EventError {
    EventError::new("no_document", "Nobody has begun this document yet.")
}

/// The time now, in milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
