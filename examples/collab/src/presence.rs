//! Who is where: in which document, and in which of its sections and fields.

use std::collections::BTreeSet;
use std::future::ready;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use roomful::{Broadcast, EventError, RemoteSocket, RoomEvent};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::watch;

use crate::access::Visitor;
use crate::form::no_field;
use crate::{Io, PageSocket, rooms};

/// The least time between two lists of who is in a room.
const PAUSE: Duration = Duration::from_millis(200);
/// People in such a list.
const PEOPLE_MAX: usize = 200;

/// Where somebody is in a document. It only tells: everybody may edit there nevertheless.
#[derive(Clone, Default, Deserialize, Serialize)]
pub(crate) struct Place {
    section: Option<String>,
    field: Option<String>,
}

#[derive(Serialize)]
pub(crate) struct Person {
    id: String,
    name: String,
    #[serde(flatten)]
    place: Place,
}

/// The rooms in which somebody has come, gone or moved since their people were told.
type Moved = Arc<watch::Sender<BTreeSet<String>>>;

pub(crate) fn register(io: &Io) {
    let moved = Moved::default();
    tokio::spawn(tell(io.clone(), Arc::clone(&moved)));
    let focused = Arc::clone(&moved);
    io.on("focus", move |me: PageSocket, place: Place| ready(focus(&me, place, &focused)));
    io.on_room(move |_, event| match event {
        RoomEvent::Joined(room, _) | RoomEvent::Left(room, _) => note(&moved, room.to_owned()),
        _ => {}
    });
}

fn focus(me: &PageSocket, place: Place, moved: &Moved) -> Result<(), EventError> {
    if !me.state().form.has(place.section.as_deref(), place.field.as_deref()) {
        return Err(no_field());
    }
    *me.data().place.lock() = place;
    if let Some(room) = rooms::of(me) {
        note(moved, room);
    }
    Ok(())
}

fn note(moved: &Moved, room: String) {
    moved.send_if_modified(|rooms| rooms.insert(room));
}

/// Tells all who are in a room who else is, when that has changed.
async fn tell(io: Io, moved: Moved) {
    let mut changes = moved.subscribe();
    while changes.changed().await.is_ok() {
        let mut rooms = BTreeSet::new();
        moved.send_if_modified(|moved| {
            rooms = mem::take(moved);
            false
        });
        for room in rooms {
            let everybody = io.to(&room);
            let presence = json!({ "room": room, "people": people(&everybody).await });
            everybody.latest("presence").emit("presence", presence);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Who is in a room.
pub(crate) async fn people(everybody: &Broadcast) -> Vec<Person> {
    let sockets = everybody.sockets().await;
    let person = |socket: &RemoteSocket| {
        let visitor: &Visitor = socket.local_data()?;
        Some(Person {
            id: socket.id().to_string(),
            name: visitor.name.clone(),
            place: visitor.place.lock().clone(),
        })
    };
    sockets.iter().filter_map(person).take(PEOPLE_MAX).collect()
}
