//! [`Window`]: what is under way, by the ids of acks.

use std::collections::VecDeque;

use crate::id::AckId;

/// Places without a value, of those between others, go when there are so many more of them than of values.
const HOLES_MAX: usize = 64;
/// Places for which memory is kept where nothing is under way.
const KEPT_MAX: usize = 32;

/// Values by ascending ids. Most come behind all others and go as the first: that costs no search, and no
/// memory is moved. What goes between others leaves a hole.
#[derive(Debug)]
pub(super) struct Window<T> {
    places: VecDeque<(AckId, Option<T>)>,
    /// How many of them have a value; the first and the last one always do.
    len: usize,
}

impl<T> Window<T> {
    pub(super) const fn new() -> Self {
        Self { places: VecDeque::new(), len: 0 }
    }

    /// How many there are.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) fn get(&self, id: AckId) -> Option<&T> {
        self.places.get(self.find(id).ok()?)?.1.as_ref()
    }

    pub(super) fn get_mut(&mut self, id: AckId) -> Option<&mut T> {
        let at = self.find(id).ok()?;
        self.places.get_mut(at)?.1.as_mut()
    }

    /// Puts a value in. One with the same id is lost.
    pub(super) fn insert(&mut self, id: AckId, value: T) {
        match self.find(id) {
            Ok(at) => {
                let before = self.places[at].1.replace(value);
                self.len += usize::from(before.is_none());
            }
            Err(at) => {
                self.places.insert(at, (id, Some(value)));
                self.len += 1;
            }
        }
    }

    /// Takes a value out, if it is such a one.
    pub(super) fn remove_if(&mut self, id: AckId, is_such: impl FnOnce(&T) -> bool) -> Option<T> {
        let at = self.find(id).ok()?;
        let place = self.places.get_mut(at)?;
        let value = place.1.take_if(|value| is_such(value))?;
        self.len -= 1;
        self.tidy();
        Some(value)
    }

    /// In the order of their ids.
    pub(super) fn iter(&self) -> impl Iterator<Item = (AckId, &T)> {
        self.places.iter().filter_map(|(id, value)| Some((*id, value.as_ref()?)))
    }

    /// All of them, in the order of their ids.
    pub(super) fn take_all(&mut self) -> impl Iterator<Item = T> + use<T> {
        std::mem::replace(self, Self::new()).places.into_iter().filter_map(|(_, value)| value)
    }

    /// Where that id is, or would be.
    #[inline]
    fn find(&self, id: AckId) -> Result<usize, usize> {
        match (self.places.front(), self.places.back()) {
            (Some((first, _)), _) if *first == id => Ok(0),
            (_, Some((last, _))) if *last < id => Err(self.places.len()),
            _ => self.places.binary_search_by_key(&id, |(id, _)| *id),
        }
    }

    fn tidy(&mut self) {
        while let Some((_, None)) = self.places.front() {
            self.places.pop_front();
        }
        while let Some((_, None)) = self.places.back() {
            self.places.pop_back();
        }
        if self.places.len() > 2 * self.len + HOLES_MAX {
            self.places.retain(|(_, value)| value.is_some());
            self.places.shrink_to(2 * self.len);
        } else if self.len == 0 && self.places.capacity() > KEPT_MAX {
            self.places = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn id(number: u64) -> AckId {
        AckId::new(number).unwrap()
    }

    #[test]
    fn it_holds_what_a_map_would() {
        let (mut window, mut map) = (Window::new(), BTreeMap::new());
        // Any function that jumps, and mostly goes up.
        let mut seed = 1_u64;
        for step in 0..100_000_u64 {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let near = id(step / 4 + (seed >> 33) % 300);
            match (seed >> 20) % 8 {
                0..4 => {
                    window.insert(near, step);
                    map.insert(near, step);
                }
                4..7 => {
                    let is_such = map.get(&near).is_some_and(|value| value % 7 > 0);
                    let removed = if is_such { map.remove(&near) } else { None };
                    assert_eq!(window.remove_if(near, |value| value % 7 > 0), removed);
                }
                _ => {
                    let first = map.keys().next().copied().unwrap_or(near);
                    assert_eq!(window.remove_if(first, |_| true), map.remove(&first));
                }
            }
            assert_eq!((window.get(near), window.len()), (map.get(&near), map.len()));
            assert_eq!(window.get_mut(near), map.get_mut(&near));
        }
        assert!(window.iter().eq(map.iter().map(|(id, value)| (*id, value))));
        assert!(window.take_all().eq(map.into_values()));
        assert_eq!((window.len(), window.iter().count()), (0, 0));
    }

    #[test]
    fn holes_and_memory_do_not_pile_up() {
        let mut window = Window::new();
        window.insert(id(0), ());
        for number in 1..10_000 {
            window.insert(id(number), ());
            window.insert(id(number + 1), ());
            window.remove_if(id(number), |()| true);
        }
        assert!(window.places.len() <= HOLES_MAX + 5, "{}", window.places.len());
        for number in 10..20_000 {
            window.insert(id(number), ());
        }
        for number in 0..20_000 {
            window.remove_if(id(number), |()| true);
        }
        assert_eq!((window.len(), window.places.capacity()), (0, 0));
    }
}
