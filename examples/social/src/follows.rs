//! Who follows whom.

use std::sync::Arc;

use roomful::EventError;
use serde_json::json;

use crate::live::{Io, room};
use crate::people::Person;
use crate::sessions::Session;
use crate::social::Social;

/// Makes that somebody follows the person of a handle, or no longer does; where it is not said, the
/// other than now. Tells that person's sockets, if it changes anything.
pub(crate) async fn follow(
    social: Arc<Social>,
    io: Io,
    me: Session,
    handle: String,
    follow: Option<bool>,
) -> Result<Person, EventError> {
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
    let change = sqlx::query(change).bind(me.person).bind(person.id);
    if change.execute(&*social.db).await?.rows_affected() > 0 {
        let by = json!({ "handle": me.handle, "name": me.name });
        io.to(room(person.id)).emit("followed", json!({ "by": by, "follow": follow }));
    }
    social.person(me.person, &handle).await
}
