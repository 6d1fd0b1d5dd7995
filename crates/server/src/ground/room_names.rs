//! [`RoomNames`]: one room, or several at once.

use std::borrow::Cow;
use std::sync::Arc;

use roomful_proto::SocketId;

/// The name of a room, or those of several: a text, the id of a socket, or an array, a slice or a
/// vector of such, and references to all of these. An empty list is no room.
///
/// ```
/// # use roomful::{Server, Socket};
/// # fn example(io: Server, me: Socket, rooms: Vec<String>) {
/// me.join(["news", "sports"]);
/// io.to(&rooms).except(me.id()).emit("hello", ());
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` names no rooms",
    label = "not the name of a room, nor a list of such",
    note = "it is a text, a `SocketId`, or an array, a slice or a `Vec` of these"
)]
pub trait RoomNames {
    /// Gives each name to `take`.
    fn each_room(&self, take: &mut dyn FnMut(&str));

    /// Puts the names behind others.
    fn append_to(self, rooms: &mut Vec<String>)
    where
        Self: Sized,
    {
        self.each_room(&mut |room| rooms.push(room.to_owned()));
    }
}

impl<T: RoomNames + ?Sized> RoomNames for &T {
    fn each_room(&self, take: &mut dyn FnMut(&str)) {
        (**self).each_room(take);
    }
}

impl RoomNames for String {
    fn each_room(&self, take: &mut dyn FnMut(&str)) {
        take(self);
    }

    fn append_to(self, rooms: &mut Vec<String>) {
        rooms.push(self);
    }
}

macro_rules! one_room {
    ($($text:ty),*) => {$(
        impl RoomNames for $text {
            fn each_room(&self, take: &mut dyn FnMut(&str)) {
                take(self);
            }
        }
    )*};
}

one_room!(str, SocketId, Box<str>, Arc<str>, Cow<'_, str>);

impl<T: RoomNames> RoomNames for [T] {
    fn each_room(&self, take: &mut dyn FnMut(&str)) {
        self.iter().for_each(|rooms| rooms.each_room(take));
    }
}

impl<T: RoomNames, const N: usize> RoomNames for [T; N] {
    fn each_room(&self, take: &mut dyn FnMut(&str)) {
        self.as_slice().each_room(take);
    }
}

impl<T: RoomNames> RoomNames for Vec<T> {
    fn each_room(&self, take: &mut dyn FnMut(&str)) {
        self.as_slice().each_room(take);
    }

    fn append_to(self, rooms: &mut Vec<String>) {
        self.into_iter().for_each(|room| room.append_to(rooms));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(rooms: impl RoomNames) -> Vec<String> {
        let mut seen = Vec::new();
        rooms.each_room(&mut |room| seen.push(room.to_owned()));
        let mut names = Vec::new();
        rooms.append_to(&mut names);
        assert_eq!(seen, names);
        names
    }

    #[test]
    fn one_room_or_several_whatever_they_are_written_as() {
        let (text, id) = ("a".to_owned(), SocketId::from_random([1; 15]));
        assert_eq!(names("a"), ["a"]);
        assert_eq!(names(&text), ["a"]);
        assert_eq!(names(id), [id.as_str()]);
        assert_eq!(names(Cow::Borrowed("a")), ["a"]);
        assert_eq!(names(["a", "b"]), ["a", "b"]);
        assert_eq!(names(&["a".to_owned(), "b".to_owned()][..]), ["a", "b"]);
        assert_eq!(names(vec![&text, &text]), ["a", "a"]);
        assert_eq!(names(vec!["a".to_owned(), "b".to_owned()]), ["a", "b"]);
        assert_eq!(names([id, id]), [id.as_str(), id.as_str()]);
        assert_eq!(names([""; 0]), [""; 0]);
    }
}
