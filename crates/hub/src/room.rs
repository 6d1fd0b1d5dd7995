//! The hub's own events: what clients may ask of rooms.
//!
//! ```text
//! room:join (room)                  → {ok, room, members}    the room hears room:joined {room, id}
//! room:leave (room)                 → {ok, room}             the room hears room:left {room, id}
//! room:members (room)               → {ok, room, members}
//! room:emit (room, event, ...args)  → {ok, room, delivered}  the room hears the event itself
//! ```
//!
//! Each is acked with `{ok: true, …}`, or `{ok: false, error: {code, message}}`.

use roomful::{Args, EmitError, FromArg, Reason, Server, Socket, SocketId};
use serde_json::{Value, json};

/// Bytes in the name of a room.
const ROOM_BYTES_MAX: usize = 256;
/// Names of events that begin so are the hub's to emit.
const OWN_EVENTS: &str = "room:";
/// The state of a hub that is open to all.
#[derive(Debug)]
pub(crate) struct Open;

type Me = Socket<Open>;

/// Why a call is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refused {
    Arguments,
    Room,
    Event,
    NotMember,
    TooManyRooms,
}

impl Refused {
    const fn code(self) -> &'static str {
        match self {
            Self::Arguments => "invalid_arguments",
            Self::Room => "invalid_room",
            Self::Event => "invalid_event",
            Self::NotMember => "not_a_member",
            Self::TooManyRooms => "too_many_rooms",
        }
    }

    const fn message(self) -> &'static str {
        match self {
            Self::Arguments => {
                "the arguments are: room, and for room:emit an event and its arguments"
            }
            Self::Room => {
                "the name of a room is a text of 1 to 256 bytes, and not the id of a socket"
            }
            Self::Event => "this name is reserved; choose one that does not begin with \"room:\"",
            Self::NotMember => "join the room first",
            Self::TooManyRooms => "leave another room first",
        }
    }
}

/// Offers the events to all clients of the hub.
pub(crate) fn offer(io: &Server<Open>) {
    io.on("room:join", async |me: Me, args: Args| answer(join(&me, &args)));
    io.on("room:leave", async |me: Me, args: Args| answer(leave(&me, &args)));
    io.on("room:members", async |me: Me, args: Args| answer(members(&me, &args)));
    io.on("room:emit", async |me: Me, args: Args| answer(emit(&me, &args)));
    io.on_disconnecting(async |me: Me, _: Reason| {
        for room in me.rooms().into_iter().skip(1) {
            me.to(&room).emit("room:left", json!({ "room": room, "id": me.id() }));
        }
    });
}

fn answer(result: Result<Value, Refused>) -> Value {
    match result {
        Ok(mut answer) => {
            answer["ok"] = true.into();
            answer
        }
        Err(refused) => json!({
            "ok": false,
            "error": { "code": refused.code(), "message": refused.message() },
        }),
    }
}

fn join(me: &Me, args: &Args) -> Result<Value, Refused> {
    let room = room(me, args)?;
    if !me.is_in(&room) {
        if !me.join(&room) {
            return Err(Refused::TooManyRooms);
        }
        me.everyone().to(&room).emit("room:joined", json!({ "room": room, "id": me.id() }));
    }
    let members = me.everyone().to(&room).local_ids();
    Ok(json!({ "room": room, "members": members }))
}

fn leave(me: &Me, args: &Args) -> Result<Value, Refused> {
    let room = room(me, args)?;
    if !me.leave(&room) {
        return Err(Refused::NotMember);
    }
    me.everyone().to(&room).emit("room:left", json!({ "room": room, "id": me.id() }));
    Ok(json!({ "room": room }))
}

fn members(me: &Me, args: &Args) -> Result<Value, Refused> {
    let room = room(me, args)?;
    let members = me.everyone().to(&room).local_ids();
    Ok(json!({ "room": room, "members": members }))
}

fn emit(me: &Me, args: &Args) -> Result<Value, Refused> {
    let mut cursor = args.cursor();
    let room = String::from_arg(&mut cursor).map_err(|_| Refused::Arguments)?;
    let room = checked(me, room)?;
    let event = String::from_arg(&mut cursor).map_err(|_| Refused::Arguments)?;
    if event.starts_with(OWN_EVENTS) {
        return Err(Refused::Event);
    }
    if !me.is_in(&room) {
        return Err(Refused::NotMember);
    }
    let to = me.everyone().to(&room);
    let delivered = to.try_emit(event, cursor.rest()).map_err(|error| match error {
        EmitError::ReservedEvent => Refused::Event,
        _ => Refused::Arguments,
    })?;
    Ok(json!({ "room": room, "delivered": delivered.local }))
}

fn room(me: &Me, args: &Args) -> Result<String, Refused> {
    checked(me, args.get(0).map_err(|_| Refused::Arguments)?)
}

/// The id of a socket is a room too, but its alone: not one for others to join or to speak to.
fn checked(me: &Me, room: String) -> Result<String, Refused> {
    let good = !room.is_empty() && room.len() <= ROOM_BYTES_MAX && !is_socket(me, &room);
    if good { Ok(room) } else { Err(Refused::Room) }
}

/// Whether a socket of that id is here.
fn is_socket(me: &Me, room: &str) -> bool {
    SocketId::parse(room).is_some_and(|id| me.everyone().to(room).local_ids().contains(&id))
}
