//! The rooms of the documents: whoever is in one hears when it changes.

use roomful::EventError;
use serde::{Deserialize, Serialize};

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
    // All that there are but those of single sockets are rooms of documents: one for each socket.
    io.rooms_max(1);
    io.on("join", join);
    io.on("leave", async |me: PageSocket, Room { room }: Room| {
        if me.is_in(&room) {
            leave(&me);
        }
        Ok::<_, EventError>(())
    });
}

/// The room that a socket is in, if it is in one.
pub(crate) fn of(me: &PageSocket) -> Option<String> {
    // The first is that of its own id.
    me.rooms().into_iter().nth(1)
}

async fn join(me: PageSocket, Room { room }: Room) -> Result<Joined, EventError> {
    me.state().access.check(&me.data().session, &room).await?;
    let version = me.state().documents.version(&room).await?;
    let everybody = me.everyone().to(&room);
    if !me.is_in(&room) {
        leave(&me);
        // Not if it has gone meanwhile.
        if me.join(&room) {
            everybody.emit("join", format!("{} has joined the {room} room", me.id()));
        }
    }
    Ok(Joined { version, people: people(&everybody).await, room })
}

fn leave(me: &PageSocket) {
    *me.data().place.lock() = Place::default();
    if let Some(room) = of(me) {
        me.leave(room);
    }
}
