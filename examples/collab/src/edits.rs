//! What changes documents, and the word that one has changed. What has changed is for HTTP to tell.

use roomful::{EventError, Rate};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::documents::{Edit, Edited};
use crate::{Io, PageSocket};

/// How fast a socket may edit.
const EDIT_RATE: Rate = Rate::per_second(10).burst(40);

#[derive(Deserialize)]
struct Create {
    state: String,
    key: String,
}

pub(crate) fn register(io: &Io) {
    io.event_rate("editAPD", EDIT_RATE);
    io.on("createAPD", create);
    io.on("editAPD", edit);
}

async fn create(me: PageSocket, Create { state, key }: Create) -> Result<Value, EventError> {
    me.state().access.check(&me.data().session, &state).await?;
    check_key(&key)?;
    let documents = &me.state().documents;
    let _turn = documents.turn.lock().await;
    let (is_new, created) = documents.create(&state, &key).await?;
    if is_new {
        announce(&me, &state, 0);
    }
    // Whoever has created it is answered as the first time.
    let version = if created { Some(0) } else { documents.version(&state).await? };
    Ok(json!({ "state": state, "version": version, "created": created }))
}

async fn edit(me: PageSocket, edit: Edit) -> Result<Edited, EventError> {
    me.state().access.check(&me.data().session, &edit.state).await?;
    check_key(&edit.key)?;
    let field = me.state().form.field(&edit.field)?;
    field.check(&edit.value)?;
    let (documents, state) = (&me.state().documents, edit.state.clone());
    // One after the other, so that changes are told in the order of their versions.
    let _turn = documents.turn.lock().await;
    let (edited, is_new) = documents.edit(edit, field.empty(), &me.data().name).await?;
    if is_new {
        announce(&me, &state, edited.version);
    }
    Ok(edited)
}

/// Tells all who have a document open that it has changed, and nobody what has.
fn announce(me: &PageSocket, state: &str, version: i64) {
    let change = json!({ "room": state, "version": version, "by": me.id() });
    me.everyone().to(state).emit("changed", change);
}

fn check_key(key: &str) -> Result<(), EventError> {
    let is_plain = key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if is_plain && (8..=64).contains(&key.len()) {
        return Ok(());
    }
    Err(EventError::new("bad_key", "A key is 8 to 64 of a-z, A-Z, 0-9 and -."))
}
