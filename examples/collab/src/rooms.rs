//! The rooms of the documents: whoever is in one hears when it changes.

use roomful::EventError;
use serde::{Deserialize, Serialize};

use crate::access::SESSION_ROOM;
use crate::presence::{Person, Place, people};
use crate::{Io, PageSocket};

#[derive(Deserialize)]
struct Room {
    room: String,
}

/// What somebody finds who joins.
#[derive(Serialize)]
struct Joined {
    room: String,
    /// None where nobody has begun the document yet.
    version: Option<i64>,
    people: Vec<Person>,
}

pub(crate) fn register(io: &Io) {
    io.on("join", join);
    io.on("leave", async |me: PageSocket, Room { room }: Room| {
        if document(&me) == Some(room) {
            leave(&me);
        }
    });
}

/// The document that a socket is in the room of: of one, or of none.
pub(crate) fn document(me: &PageSocket) -> Option<String> {
    // The first is that of its own id.
    let mut rooms = me.rooms().into_iter().skip(1);
    rooms.find(|room| !room.starts_with(SESSION_ROOM))
}

async fn join(me: PageSocket, Room { room }: Room) -> Result<Joined, EventError> {
    me.state().access.check(&me.data().session, &room).await.map_err(|error| {
        match error.code() {
            "no_document" => EventError::new("no_room", "There is no such room."),
            _ => error,
        }
    })?;
    let version = me.state().documents.version(&room).await?;
    let everybody = me.everyone().to(&room);
    if !me.is_in(&room) {
        leave(&me);
        me.join(&room);
        everybody.emit("join", format!("{} has joined the {room} room", me.id()));
    }
    Ok(Joined { version, people: people(&everybody).await?, room })
}

fn leave(me: &PageSocket) {
    me.data().go(Place::default());
    if let Some(room) = document(me) {
        me.leave(room);
    }
}
