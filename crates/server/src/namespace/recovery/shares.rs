//! Who gives way when the events, or the waiting sockets, of all namespaces together are too large.
//!
//! What is to be kept is divided as if among families: a namespace of the program's own is one, and so
//! are all children of a pattern or function together. Each family is sure of an equal share, and what one
//! does not need is shared by the others. Within a family its namespaces divide in the same way.
//! So whoever fills one namespace takes from that, and whoever fills many of a pattern from those.
//!
//! The task that notices makes room, while it holds no other lock. A total may be exceeded by an eighth meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::time::Instant;

use super::Store;
use super::journal::Journal;

/// So large a part of the bound is made free at once, so that it need not be done for each event.
const SLACK_PART: usize = 64;
/// So large a part of the bound may be exceeded while another makes room. Behind that one waits.
const EXCESS_PART: usize = 8;

/// What all journals of a [`Store`] hold.
#[derive(Debug, Default)]
pub(super) struct Totals {
    pub(super) events: AtomicUsize,
    /// Sockets that wait.
    pub(super) sockets: AtomicUsize,
}

/// What is made room for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Events,
    Sockets,
}

/// A journal, whose it is, what it holds, and since when.
struct Holder {
    family: Option<Arc<str>>,
    journal: Arc<Journal>,
    bytes: usize,
    oldest: Option<Instant>,
}

impl Store {
    /// Makes room where there is too little. Called without any lock.
    pub(super) fn make_room(&self) {
        for kind in [Kind::Events, Kind::Sockets] {
            if self.excess(kind).is_some() {
                self.make_room_for(kind);
            }
        }
    }

    #[cold]
    fn make_room_for(&self, kind: Kind) {
        let _making = match self.making_room.try_lock() {
            Some(making) => making,
            None if self
                .excess(kind)
                .is_none_or(|excess| excess < self.max(kind) / EXCESS_PART) =>
            {
                return;
            }
            None => self.making_room.lock(),
        };
        // Another may just have done it.
        if self.excess(kind).is_some() {
            self.cut(kind);
        }
    }

    /// By how much the bound is exceeded.
    fn excess(&self, kind: Kind) -> Option<usize> {
        self.total(kind).checked_sub(self.max(kind)).filter(|excess| *excess > 0)
    }

    fn total(&self, kind: Kind) -> usize {
        match kind {
            Kind::Events => self.totals.events.load(Ordering::Relaxed),
            Kind::Sockets => self.totals.sockets.load(Ordering::Relaxed),
        }
    }

    fn max(&self, kind: Kind) -> usize {
        match kind {
            Kind::Events => self.settings.bytes_max,
            Kind::Sockets => self.settings.sockets_bytes_max,
        }
    }

    /// Takes from those that have more than their share, until there is room. An event or a socket is taken
    /// whole: so that not all who have about the same lose theirs for one, those that have the oldest give
    /// way first, and no more of them than must.
    fn cut(&self, kind: Kind) {
        let mut holders = self.holders(kind);
        holders.sort_by(|a, b| (&a.family, &a.journal.name).cmp(&(&b.family, &b.journal.name)));
        // A namespace without a family is one of its own.
        let mut families: Vec<_> = holders
            .chunk_by_mut(|a, b| a.family.is_some() && a.family == b.family)
            .map(|family| {
                family.sort_by_key(|holder| holder.oldest);
                (&*family, family.iter().map(|holder| holder.bytes).sum::<usize>())
            })
            .collect();
        families.sort_by_key(|(family, _)| family.first().and_then(|holder| holder.oldest));
        let whole = self.max(kind) - self.max(kind) / SLACK_PART;
        let of_each = share(families.iter().map(|(_, bytes)| *bytes).collect(), whole);
        for (family, bytes) in families.into_iter().filter(|(_, bytes)| *bytes > of_each) {
            let of_family = of_each.max(bytes.saturating_sub(self.above(kind, whole)));
            let of_each = share(family.iter().map(|holder| holder.bytes).collect(), of_family);
            for holder in family.iter().filter(|holder| holder.bytes > of_each) {
                let above = self.above(kind, whole);
                if above == 0 {
                    return;
                }
                holder.journal.cut(kind, of_each.max(holder.bytes.saturating_sub(above)));
            }
        }
    }

    /// By how much all hold more than so much.
    fn above(&self, kind: Kind, whole: usize) -> usize {
        self.total(kind).saturating_sub(whole)
    }

    fn holders(&self, kind: Kind) -> Vec<Holder> {
        let journals: Vec<_> = self.journals.lock().values().cloned().collect();
        let holding = journals.into_iter().filter_map(|journal| {
            let bytes = journal.held(kind);
            (bytes > 0).then(|| Holder {
                family: journal.family(),
                bytes,
                oldest: journal.oldest(kind),
                journal,
            })
        });
        holding.collect()
    }
}

/// What each may keep at most, so that all keep no more than `whole`: an equal part, and of what others do
/// not need an equal part again.
fn share(mut sizes: Vec<usize>, whole: usize) -> usize {
    sizes.sort_unstable();
    let mut left = whole;
    for (index, size) in sizes.iter().enumerate() {
        let part = left / (sizes.len() - index);
        if *size > part {
            return part;
        }
        left -= size;
    }
    usize::MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_does_not_need_is_shared_by_the_others() {
        for (sizes, whole, expected) in [
            (vec![], 10, usize::MAX),
            (vec![10], 10, usize::MAX),
            (vec![11], 10, 10),
            (vec![1, 100], 10, 9),
            (vec![100, 2, 100, 1], 13, 5),
            (vec![5, 5, 5], 14, 4),
            (vec![1, 2, 3], 0, 0),
        ] {
            assert_eq!(share(sizes.clone(), whole), expected, "{sizes:?} {whole}");
            let kept: usize = sizes.iter().map(|size| (*size).min(expected)).sum();
            assert!(kept <= whole, "{sizes:?} {whole}");
        }
    }
}
