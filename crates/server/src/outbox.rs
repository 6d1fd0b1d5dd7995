//! [`Outbox`]: what waits to be sent to one client, bounded in bytes; [`Batch`]: what of it is being
//! written.
//!
//! Pure data: the [`Link`](crate::link::Link) around it has the lock and says who writes.

use std::cell::Cell;
use std::collections::VecDeque;
use std::io::IoSlice;

use roomful_proto::Parcel;

/// What a waiting parcel counts for beside its bytes: its place in the queue and its share of the
/// allocations, so that a queue of tiny parcels is bounded too.
const PARCEL_OVERHEAD_BYTES: usize = 64;
/// Parcels that one system call writes at most.
const PARCELS_PER_WRITE: usize = 64;
/// Places of an empty queue that are kept for the next burst.
const SPARE_PLACES: usize = 16;

/// The queue of one client.
#[derive(Debug)]
pub(crate) struct Outbox {
    parcels: VecDeque<Parcel>,
    /// Bytes of the first parcel that are written already.
    begun: usize,
    /// What all parcels that were pushed and are not written yet count for.
    bytes: usize,
    bytes_max: usize,
}

/// The parcel does not fit: the client reads more slowly than others write to it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// Parcels that were taken out to be written.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    parcels: VecDeque<Parcel>,
    /// Bytes of the first parcel that are written already.
    begun: usize,
    /// What the parcels that are written whole count for.
    cost: usize,
}

impl Outbox {
    pub(crate) const fn new(bytes_max: usize) -> Self {
        Self { parcels: VecDeque::new(), begun: 0, bytes: 0, bytes_max }
    }

    /// Puts a parcel at the end.
    pub(crate) fn push(&mut self, parcel: Parcel) -> Result<(), Full> {
        if self.bytes + cost(&parcel) > self.bytes_max {
            return Err(Full);
        }
        self.append(parcel);
        Ok(())
    }

    /// Puts a parcel at the end, whatever waits.
    pub(crate) fn append(&mut self, parcel: Parcel) {
        self.bytes += cost(&parcel);
        self.parcels.push_back(parcel);
    }

    /// Puts a parcel before all that is not begun.
    pub(crate) fn put_first(&mut self, parcel: Parcel) {
        self.bytes += cost(&parcel);
        let at = usize::from(self.begun > 0).min(self.parcels.len());
        self.parcels.insert(at, parcel);
    }

    /// Takes out all that waits. It counts until the batch is [given back](Self::give_back).
    pub(crate) fn take(&mut self) -> Batch {
        let mut batch = Batch { parcels: SPARE.take(), begun: self.begun, cost: 0 };
        std::mem::swap(&mut batch.parcels, &mut self.parcels);
        self.begun = 0;
        batch
    }

    /// Takes back what was not written; it goes before what came since.
    pub(crate) fn give_back(&mut self, mut batch: Batch) {
        self.bytes = self.bytes.saturating_sub(batch.cost);
        if batch.parcels.is_empty() {
            SPARE.set(batch.parcels);
        } else {
            self.begun = batch.begun;
            batch.parcels.append(&mut self.parcels);
            self.parcels = batch.parcels;
        }
    }

    /// Takes in a batch that did not come from here, as the first that is to be written.
    pub(crate) fn adopt(&mut self, mut batch: Batch) {
        batch.cost = 0;
        self.bytes += batch.parcels.iter().map(cost).sum::<usize>();
        self.give_back(batch);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.parcels.is_empty()
    }

    /// Parcels that wait and are not being written.
    pub(crate) fn len(&self) -> usize {
        self.parcels.len()
    }

    /// What waits and is being written, in bytes.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Drops what waits.
    pub(crate) fn clear(&mut self) {
        *self = Self::new(self.bytes_max);
    }

    /// Gives back the memory of a burst.
    pub(crate) fn shrink(&mut self) {
        if self.parcels.is_empty() && self.parcels.capacity() > SPARE_PLACES {
            self.parcels = VecDeque::new();
        }
    }
}

thread_local! {
    /// An empty queue to change places with one that is being written.
    static SPARE: Cell<VecDeque<Parcel>> = const { Cell::new(VecDeque::new()) };
}

impl Batch {
    pub(crate) fn is_empty(&self) -> bool {
        self.parcels.is_empty()
    }

    /// Puts a parcel at the end.
    pub(crate) fn push(&mut self, parcel: Parcel) {
        self.parcels.push_back(parcel);
    }

    /// The next parcel.
    pub(crate) fn first(&self) -> Option<&Parcel> {
        self.parcels.front()
    }

    /// The next parcel was written whole.
    pub(crate) fn written_first(&mut self) {
        if let Some(parcel) = self.parcels.pop_front() {
            self.cost += cost(&parcel);
        }
    }

    /// Has `write` write what comes next, as far as one call does.
    pub(crate) fn write<R>(
        &self,
        form: impl Fn(&Parcel) -> &[u8],
        write: impl FnOnce(&[IoSlice<'_>]) -> R,
    ) -> R {
        if let (1, Some(parcel)) = (self.parcels.len(), self.parcels.front()) {
            return write(&[IoSlice::new(&form(parcel)[self.begun..])]);
        }
        let mut slices = [IoSlice::new(&[]); PARCELS_PER_WRITE];
        let mut count = 0;
        for (slice, parcel) in slices.iter_mut().zip(&self.parcels) {
            let skip = if count == 0 { self.begun } else { 0 };
            *slice = IoSlice::new(&form(parcel)[skip..]);
            count += 1;
        }
        write(&slices[..count])
    }

    /// This many bytes were written: parcels that are written whole leave.
    pub(crate) fn written(&mut self, bytes: usize, form: impl Fn(&Parcel) -> &[u8]) {
        self.begun += bytes;
        while let Some(first) = self.parcels.front() {
            let len = form(first).len();
            if self.begun < len {
                break;
            }
            self.begun -= len;
            self.written_first();
        }
    }
}

/// What a parcel counts for.
fn cost(parcel: &Parcel) -> usize {
    parcel.len() + PARCEL_OVERHEAD_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parcel(text: &str) -> Parcel {
        Parcel::event("/", None, "e", text).unwrap()
    }

    fn texts(outbox: &mut Outbox) -> Vec<String> {
        let batch = outbox.take();
        let text = |parcel: &Parcel| String::from_utf8(parcel.polling().to_vec()).unwrap();
        batch.parcels.iter().map(text).collect()
    }

    #[test]
    fn an_outbox_is_bounded_until_its_parcels_are_written() {
        let one = cost(&parcel("x"));
        let mut outbox = Outbox::new(2 * one);
        assert_eq!(outbox.push(parcel("x")), Ok(()));
        assert_eq!(outbox.push(parcel("x")), Ok(()));
        assert_eq!(outbox.push(parcel("x")), Err(Full));
        let mut batch = outbox.take();
        assert!(outbox.is_empty());
        assert_eq!(outbox.push(parcel("x")), Err(Full), "what is being written still counts");
        batch.written_first();
        outbox.give_back(batch);
        assert_eq!(outbox.push(parcel("x")), Ok(()));
    }

    #[test]
    fn order_is_kept_when_a_batch_is_not_written_whole() {
        let mut outbox = Outbox::new(10_000);
        outbox.append(parcel("a"));
        outbox.append(parcel("b"));
        let mut batch = outbox.take();
        outbox.append(parcel("c"));
        let len = parcel("a").len();
        batch.written(len + 3, Parcel::wire);
        outbox.give_back(batch);
        outbox.put_first(parcel("ping"));
        let names = [r#"42["e","b"]"#, r#"42["e","ping"]"#, r#"42["e","c"]"#];
        assert_eq!(texts(&mut outbox), names, "what is begun stays first");
    }

    #[test]
    fn one_write_takes_what_is_left_of_the_first_and_the_others() {
        let mut outbox = Outbox::new(10_000);
        outbox.append(parcel("a"));
        outbox.append(parcel("b"));
        let mut batch = outbox.take();
        batch.written(2, Parcel::wire);
        let lens = batch.write(Parcel::wire, |slices| slices.iter().map(|s| s.len()).collect());
        let len = parcel("a").len();
        let lens: Vec<usize> = lens;
        assert_eq!(lens, [len - 2, len]);
    }
}
