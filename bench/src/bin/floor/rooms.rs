//! [`Rooms`]: who is in which room.

/// The members of each room, by the number of their client, with the connection `C` of each.
pub(crate) struct Rooms<C>(Vec<Vec<(usize, C)>>);

impl<C> Default for Rooms<C> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<C> Rooms<C> {
    pub(crate) fn enter(&mut self, room: usize, who: usize, connection: C) {
        if self.0.len() <= room {
            self.0.resize_with(room + 1, Vec::new);
        }
        self.0[room].push((who, connection));
    }

    /// Those who come and go are the last ones, so the search begins there.
    pub(crate) fn leave(&mut self, room: usize, who: usize) {
        if let Some(members) = self.0.get_mut(room)
            && let Some(at) = members.iter().rposition(|(member, _)| *member == who)
        {
            members.swap_remove(at);
        }
    }

    pub(crate) fn members(&self, room: usize) -> &[(usize, C)] {
        self.0.get(room).map_or(&[], Vec::as_slice)
    }
}
