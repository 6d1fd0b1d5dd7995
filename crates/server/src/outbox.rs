//! [`Outbox`]: what waits to be sent to one client, bounded in bytes.
//!
//! Pure data: the [`Link`](crate::link::Link) around it has the lock and wakes the connection.

use std::collections::VecDeque;

use roomful_proto::Parcel;

/// What a waiting parcel counts for beside its bytes: its place in the queue and its share of the
/// allocations, so that a queue of tiny parcels is bounded too.
const PARCEL_OVERHEAD_BYTES: usize = 64;

/// The queue of one client.
#[derive(Debug)]
pub(crate) struct Outbox {
    parcels: VecDeque<Parcel>,
    /// What all parcels that were pushed and not yet reported as sent count for.
    bytes: usize,
    bytes_max: usize,
}

/// The parcel does not fit: the client reads more slowly than others write to it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl Outbox {
    pub(crate) const fn new(bytes_max: usize) -> Self {
        Self { parcels: VecDeque::new(), bytes: 0, bytes_max }
    }

    /// Puts a parcel at the end.
    pub(crate) fn push(&mut self, parcel: Parcel) -> Result<(), Full> {
        let cost = cost(&parcel);
        if self.bytes + cost > self.bytes_max {
            return Err(Full);
        }
        self.bytes += cost;
        self.parcels.push_back(parcel);
        Ok(())
    }

    /// Moves all waiting parcels to `sending`. They count until they are [`sent`](Self::sent).
    pub(crate) fn take(&mut self, sending: &mut VecDeque<Parcel>) {
        if sending.is_empty() {
            // The two queues change places, so neither has to grow again.
            std::mem::swap(&mut self.parcels, sending);
        } else {
            sending.append(&mut self.parcels);
        }
    }

    /// A parcel of `cost` is sent that never waited here.
    pub(crate) const fn charge(&mut self, cost: usize) {
        self.bytes += cost;
    }

    /// Parcels that count for `cost` were written.
    pub(crate) const fn sent(&mut self, cost: usize) {
        self.bytes = self.bytes.saturating_sub(cost);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.parcels.is_empty()
    }

    /// What waits and is being sent, in bytes.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Drops what waits.
    pub(crate) fn clear(&mut self) {
        self.parcels = VecDeque::new();
        self.bytes = 0;
    }

    /// Gives back the memory of a burst.
    pub(crate) fn shrink(&mut self) {
        shrink(&mut self.parcels);
    }
}

/// What a parcel counts for.
pub(crate) fn cost(parcel: &Parcel) -> usize {
    parcel.len() + PARCEL_OVERHEAD_BYTES
}

/// Gives back the memory of an empty queue that a burst has made large.
pub(crate) fn shrink(queue: &mut VecDeque<Parcel>) {
    if queue.is_empty() && queue.capacity() > 16 {
        *queue = VecDeque::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parcel(text: &str) -> Parcel {
        Parcel::event("/", None, "e", text).unwrap()
    }

    #[test]
    fn an_outbox_is_bounded_until_its_parcels_are_sent() {
        let one = cost(&parcel("x"));
        let mut outbox = Outbox::new(2 * one);
        assert_eq!(outbox.push(parcel("x")), Ok(()));
        assert_eq!(outbox.push(parcel("x")), Ok(()));
        assert_eq!(outbox.push(parcel("x")), Err(Full));
        let mut sending = VecDeque::new();
        outbox.take(&mut sending);
        assert_eq!((sending.len(), outbox.is_empty()), (2, true));
        assert_eq!(outbox.push(parcel("x")), Err(Full), "what is being sent still counts");
        outbox.sent(one);
        assert_eq!(outbox.push(parcel("x")), Ok(()));
    }

    #[test]
    fn order_is_kept_when_sending_is_not_done() {
        let mut outbox = Outbox::new(10_000);
        let mut sending = VecDeque::new();
        for text in ["a", "b", "c"] {
            assert_eq!(outbox.push(parcel(text)), Ok(()));
            outbox.take(&mut sending);
        }
        let sent: Vec<_> = sending.iter().map(|p| p.polling().to_vec()).collect();
        assert_eq!(sent, [&b"42[\"e\",\"a\"]"[..], b"42[\"e\",\"b\"]", b"42[\"e\",\"c\"]"]);
    }
}
