//! What changes documents, and the word that one has changed. What has changed is for HTTP to tell.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use roomful::{EventError, EventFlow, OneEvent, Rate};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::documents::{Documents, Edit, Edited};
use crate::{Io, PageSocket};

/// How fast a socket may edit.
const EDIT_RATE: Rate = Rate::per_second(10).burst(40);

/// Less than the version of any document.
const NOT_BEGUN: i64 = -1;

#[derive(Deserialize)]
struct Create {
    state: String,
    key: String,
}

pub(crate) fn register(io: &Io) {
    io.event_flow(EventFlow::new().event("editAPD", OneEvent::new().rate(EDIT_RATE)));
    io.on("createAPD", create);
    io.on("editAPD", edit);
}

async fn create(me: PageSocket, Create { state, key }: Create) -> Result<Value, EventError> {
    me.state().access.check(&me.data().session, &state).await?;
    check_key(&key)?;
    let documents = &me.state().documents;
    let mut turn = documents.turn.lock().await;
    let told = told(&mut turn, documents, &state).await?;
    let created = documents.create(&state, &key).await;
    announce(&me, &state, told).await?;
    let created = created?;
    // Whoever has created it is answered as the first time.
    let version = if created { 0 } else { *told };
    Ok(json!({ "state": state, "version": version, "created": created }))
}

async fn edit(me: PageSocket, edit: Edit) -> Result<Edited, EventError> {
    me.state().access.check(&me.data().session, &edit.state).await?;
    check_key(&edit.key)?;
    let field = me.state().form.field(&edit.field)?;
    field.check(&edit.value)?;
    let (documents, state) = (&me.state().documents, edit.state.clone());
    // One after the other, so that changes are told in the order of their versions.
    let mut turn = documents.turn.lock().await;
    let told = told(&mut turn, documents, &state).await?;
    let edited = documents.edit(edit, field.empty(), &me.data().name).await;
    announce(&me, &state, told).await?;
    edited
}

/// The version of a document that was told last. What an earlier run of the program has stored is
/// known to all: they have joined since.
async fn told<'a>(
    turn: &'a mut BTreeMap<String, i64>,
    documents: &Documents,
    state: &str,
) -> Result<&'a mut i64, EventError> {
    Ok(match turn.entry(state.to_owned()) {
        Entry::Occupied(told) => told.into_mut(),
        Entry::Vacant(none) => none.insert(documents.version(state).await?.unwrap_or(NOT_BEGUN)),
    })
}

/// Tells all who have a document open that it has changed, and nobody what has. It looks what is
/// stored: an edit may be, although what followed it has failed.
async fn announce(me: &PageSocket, state: &str, told: &mut i64) -> Result<(), EventError> {
    let version = me.state().documents.version(state).await?.unwrap_or(NOT_BEGUN);
    if version > *told {
        let change = json!({ "room": state, "version": version, "by": me.id() });
        me.everyone().to(state).emit("changed", change);
        *told = version;
    }
    Ok(())
}

fn check_key(key: &str) -> Result<(), EventError> {
    let is_plain = key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if is_plain && (8..=64).contains(&key.len()) {
        return Ok(());
    }
    Err(EventError::new("bad_key", "A key is 8 to 64 of a-z, A-Z, 0-9 and -."))
}
