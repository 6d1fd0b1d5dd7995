//! [`Documents`]: what the plans of the states say, in SQLite.

use std::collections::BTreeMap;
use std::time::SystemTime;

use roomful::EventError;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::sqlite::{SqlitePool, SqliteTransaction};
use tokio::sync::Mutex;

/// Edits of each document whose keys are known: one that comes again after so many others is a new one.
const EDITS_KEPT: i64 = 10_000;

pub(crate) struct Documents {
    pool: SqlitePool,
    /// Whose turn it is to edit one, and to tell of it.
    pub(crate) turn: Mutex<()>,
}

/// What somebody wants to change.
#[derive(Deserialize)]
pub(crate) struct Edit {
    pub(crate) state: String,
    pub(crate) field: String,
    pub(crate) value: Value,
    /// The version of the field that it was based on.
    pub(crate) base: i64,
    pub(crate) key: String,
}

/// What became of it.
#[derive(Serialize)]
pub(crate) struct Edited {
    field: String,
    /// That of the document, and from now on of the field.
    pub(crate) version: i64,
    /// What was there, so that it can be undone.
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

/// What an edit of a key is, as it was stored: field, value, base, version and what was before.
type Stored = (String, String, i64, i64, String);
/// The version of a document, and one of its fields unless it has none: id, value, version, by, at.
type FieldRow = (i64, Option<String>, Option<String>, Option<i64>, Option<String>, Option<i64>);

impl Documents {
    pub(crate) fn new(pool: SqlitePool) -> Self {
        Self { pool, turn: Mutex::default() }
    }

    /// Creates the document of a state, unless there is one: its version, and whether it was this key
    /// that has created it; and whether that was just now.
    pub(crate) async fn create(
        &self,
        state: &str,
        key: &str,
    ) -> Result<(i64, bool, bool), EventError> {
        let insert =
            "INSERT INTO documents (state, key) VALUES ($1, $2) ON CONFLICT (state) DO NOTHING";
        let added = sqlx::query(insert).bind(state).bind(key).execute(&self.pool).await?;
        let select = "SELECT version, key = $2 FROM documents WHERE state = $1";
        let select = sqlx::query_as(select).bind(state).bind(key);
        let (version, created) = select.fetch_one(&self.pool).await?;
        // As the first time.
        let version = if created { 0 } else { version };
        Ok((version, created, added.rows_affected() > 0))
    }

    /// Puts a value into a field if that is still as it was when the edit was made, and says whether
    /// that was just now: an edit that is stored already is only answered again.
    pub(crate) async fn edit(
        &self,
        edit: &Edit,
        empty: Value,
        by: &str,
    ) -> Result<(Edited, bool), EventError> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        if let Some(edited) = repeated(&mut transaction, edit).await? {
            return Ok((edited, false));
        }
        let held = held(&mut transaction, edit).await?;
        let held = held.unwrap_or(Held { value: empty, version: 0, by: None, at: 0 });
        if held.version != edit.base {
            let why = "Somebody else has changed this field meanwhile.";
            return Err(EventError::new("conflict", why).data(held));
        }
        let version = store(&mut transaction, edit, &held.value, by).await?;
        transaction.commit().await?;
        Ok((Edited { field: edit.field.clone(), version, before: held.value }, true))
    }

    /// The version of a document, and those of its fields that were edited after that one.
    pub(crate) async fn since(
        &self,
        state: &str,
        version: i64,
    ) -> Result<(i64, BTreeMap<String, Held>), EventError> {
        // One statement, so that the version is that of the fields.
        let select = "SELECT documents.version, field, value, fields.version, by, at FROM documents \
                      LEFT JOIN fields ON fields.state = documents.state AND fields.version > $2 \
                      WHERE documents.state = $1";
        let select = sqlx::query_as(select).bind(state).bind(version);
        let rows: Vec<FieldRow> = select.fetch_all(&self.pool).await?;
        let (version, ..) = rows.first().ok_or_else(no_document)?;
        let (version, mut fields) = (*version, BTreeMap::new());
        for row in rows {
            if let (_, Some(field), Some(value), Some(version), by, Some(at)) = row {
                fields
                    .insert(field, Held { value: serde_json::from_str(&value)?, version, by, at });
            }
        }
        Ok((version, fields))
    }

    /// The version of a document, if there is one.
    pub(crate) async fn version(&self, state: &str) -> Result<Option<i64>, sqlx::Error> {
        let select = "SELECT version FROM documents WHERE state = $1";
        sqlx::query_scalar(select).bind(state).fetch_optional(&self.pool).await
    }

    /// What there is of these states.
    pub(crate) async fn states(&self, ids: &[String]) -> Result<Vec<Value>, sqlx::Error> {
        let mut states = Vec::with_capacity(ids.len());
        for id in ids {
            let select = "SELECT name, version FROM states \
                          LEFT JOIN documents ON state = id WHERE id = $1";
            let select = sqlx::query_as(select).bind(id);
            let (name, version): (String, Option<i64>) = select.fetch_one(&self.pool).await?;
            let (created, version) = (version.is_some(), version.unwrap_or_default());
            states
                .push(json!({ "state": id, "name": name, "created": created, "version": version }));
        }
        Ok(states)
    }
}

/// The answer that an edit of that key has had.
async fn repeated(
    transaction: &mut SqliteTransaction<'_>,
    edit: &Edit,
) -> Result<Option<Edited>, EventError> {
    let select =
        "SELECT field, value, base, version, before FROM edits WHERE state = $1 AND key = $2";
    let select = sqlx::query_as(select).bind(&edit.state).bind(&edit.key);
    let found: Option<Stored> = select.fetch_optional(&mut **transaction).await?;
    let Some((field, value, base, version, before)) = found else { return Ok(None) };
    if (&field, &value, base) != (&edit.field, &edit.value.to_string(), edit.base) {
        return Err(EventError::new("key_used", "Another edit has this key: load the page again."));
    }
    Ok(Some(Edited { field, version, before: serde_json::from_str(&before)? }))
}

/// What is in the field of an edit, if anybody has edited it.
async fn held(
    transaction: &mut SqliteTransaction<'_>,
    edit: &Edit,
) -> Result<Option<Held>, EventError> {
    let select = "SELECT value, version, by, at FROM fields WHERE state = $1 AND field = $2";
    let select = sqlx::query_as(select).bind(&edit.state).bind(&edit.field);
    let found: Option<(String, i64, String, i64)> =
        select.fetch_optional(&mut **transaction).await?;
    let Some((value, version, by, at)) = found else { return Ok(None) };
    Ok(Some(Held { value: serde_json::from_str(&value)?, version, by: Some(by), at }))
}

/// Stores an edit: the version that the document has with it.
async fn store(
    transaction: &mut SqliteTransaction<'_>,
    edit: &Edit,
    before: &Value,
    by: &str,
) -> Result<i64, EventError> {
    let Edit { state, field, value, base, key } = edit;
    let value = value.to_string();
    let update = "UPDATE documents SET version = version + 1 WHERE state = $1 RETURNING version";
    let version = sqlx::query_scalar(update).bind(state).fetch_optional(&mut **transaction).await?;
    let version: i64 = version.ok_or_else(no_document)?;
    let replace = "REPLACE INTO fields (state, field, value, version, by, at) \
                   VALUES ($1, $2, $3, $4, $5, $6)";
    let replace = sqlx::query(replace).bind(state).bind(field).bind(&value).bind(version);
    replace.bind(by).bind(now_ms()).execute(&mut **transaction).await?;
    let insert = "INSERT INTO edits (state, version, key, field, value, base, before) \
                  VALUES ($1, $2, $3, $4, $5, $6, $7)";
    let insert = sqlx::query(insert).bind(state).bind(version).bind(key).bind(field).bind(&value);
    insert.bind(base).bind(before.to_string()).execute(&mut **transaction).await?;
    let forget = "DELETE FROM edits WHERE state = $1 AND version <= $2";
    let forget = sqlx::query(forget).bind(state).bind(version - EDITS_KEPT);
    forget.execute(&mut **transaction).await?;
    Ok(version)
}

fn no_document() -> EventError {
    EventError::new("no_document", "Nobody has begun this document yet.")
}

/// The time now, in milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
