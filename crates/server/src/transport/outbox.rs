//! [`Outbox`]: what waits to be sent to one client, bounded in bytes; [`Batch`]: what of it is being
//! written.
//!
//! Pure data: the [`Link`](crate::transport::link::Link) around it has the lock and says who writes. The one is
//! made of the other and given back to it, so both are here, before their tests.
//!
//! Parcels that wait together and have up to 16 KiB are copied into one piece, which costs the system less than a list.
//! Larger ones are written from where they are, up to 64 of them in one vectored write.
//!
//! A full outbox is the end of its own connection, counted, and of no other. One message always fits for a client that
//! keeps up, so an outbox holds its bound, or a quarter of it and one message. A volatile event ends no connection, and
//! waits behind no more than 64 KiB.

use std::cell::Cell;
use std::collections::HashMap;
use std::io::IoSlice;

use roomful_proto::{Form, Letter, Parcel};
use smallvec::SmallVec;

/// What a waiting parcel counts for beside its bytes: its place in the queue and its share of the
/// allocations, so that a queue of tiny parcels is bounded too.
const PARCEL_OVERHEAD_BYTES: usize = 64;
/// Parcels that one system call writes at most.
const PARCELS_PER_WRITE: usize = 64;
/// Bytes that are rather copied into one piece than written from where they are.
pub(crate) const COPIED_BYTES_MAX: usize = 16 * 1024;
/// Parcels that wait without a queue on the heap: what one turn of others sends is rarely more.
const PLACES: usize = 4;
/// A client for whom more than this part of its bound waits is slow.
pub(crate) const SLOW_PART: usize = 4;
/// Bytes that are joined as they come.
const TAIL_BYTES_MAX: usize = 64 * 1024;
/// A volatile event goes behind no more than this: all that is sent at once leaves with one write, or two.
const BEHIND_BYTES_MAX: usize = TAIL_BYTES_MAX;

type Parcels = SmallVec<[Parcel; PLACES]>;

/// The queue of one client.
#[derive(Debug)]
pub(crate) struct Outbox {
    parcels: Parcels,
    /// What goes behind all parcels, already in one piece. It grows while the client's own task
    /// runs, and is written at the end of its turn.
    tail: Vec<u8>,
    /// Bytes of the first parcel that are written already.
    begun: usize,
    /// What all that was pushed and is not written yet counts for.
    bytes: usize,
    bytes_max: usize,
    /// By its key, the last parcel that the next one of that key takes the place of.
    latest: Option<Box<Latest>>,
    /// What the client takes on a WebSocket.
    form: Form,
}

/// Apart, since few clients have any.
#[derive(Debug, Default)]
struct Latest(HashMap<u64, Parcel>);

/// What does not fit: the client reads more slowly than others write to it.
#[derive(Debug)]
pub(crate) struct Full(Parcel);

/// What was taken out to be written.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    parcels: Parcels,
    tail: Vec<u8>,
    /// How many parcels are written whole.
    done: usize,
    /// Bytes that are written already of the first parcel that is left, or of the tail.
    begun: usize,
    /// What is written whole counts for this.
    cost: usize,
}

impl Outbox {
    pub(crate) const fn new(bytes_max: usize) -> Self {
        Self {
            parcels: Parcels::new_const(),
            tail: Vec::new(),
            begun: 0,
            bytes: 0,
            bytes_max,
            latest: None,
            form: Form::Wire,
        }
    }

    pub(crate) const fn form(&self) -> Form {
        self.form
    }

    pub(crate) const fn set_form(&mut self, form: Form) {
        self.form = form;
    }

    /// The client takes compressed messages: what may be one is not joined with others.
    const fn deflates(&self) -> bool {
        matches!(self.form, Form::Deflated | Form::V3Deflated)
    }

    /// The client takes this in another form than it is encoded in, bytes or all: it is not joined either.
    fn converts(&self, has_bytes: impl FnOnce() -> bool) -> bool {
        match self.form {
            Form::Wire | Form::Deflated => false,
            Form::Framed => true,
            _ => has_bytes(),
        }
    }

    /// Puts a parcel at the end.
    pub(crate) fn push(&mut self, parcel: Parcel) -> Result<(), Full> {
        if self.bytes + cost(&parcel) > self.bytes_max {
            return Err(Full(parcel));
        }
        self.append(parcel);
        Ok(())
    }

    /// Puts at the end what did not fit, if the client keeps up: one message of any size always fits, so
    /// that nobody is cut off for what it was sent while it read all that came.
    #[cold]
    pub(crate) fn push_one_more(&mut self, Full(parcel): Full) -> bool {
        let fits = !self.is_slow();
        if fits {
            self.append(parcel);
        }
        fits
    }

    /// Puts a parcel at the end, and drops the one before of the same key if that still waits.
    pub(crate) fn push_latest(&mut self, parcel: Parcel, key: u64) -> Result<(), Full> {
        let latest = self.latest.get_or_insert_default();
        if let Some(before) = latest.0.insert(key, parcel.clone()) {
            self.remove(&before);
        }
        if self.bytes + cost(&parcel) > self.bytes_max {
            return Err(Full(parcel));
        }
        if !self.tail.is_empty() {
            self.seal();
        }
        self.bytes += cost(&parcel);
        self.parcels.push(parcel);
        Ok(())
    }

    /// Drops a parcel, unless it is being written.
    fn remove(&mut self, parcel: &Parcel) {
        let begun = usize::from(self.begun > 0);
        let waits = self.parcels.iter().skip(begun).position(|waiting| waiting.is(parcel));
        if let Some(at) = waits {
            self.bytes -= cost(parcel);
            self.parcels.remove(begun + at);
        }
    }

    /// Puts a parcel at the end, whatever waits.
    pub(crate) fn append(&mut self, parcel: Parcel) {
        if self.tail.is_empty() {
            self.bytes += cost(&parcel);
            self.parcels.push(parcel);
        } else if parcel.len() <= COPIED_BYTES_MAX
            && self.tail.len() + parcel.len() <= TAIL_BYTES_MAX
            && !(self.deflates() && parcel.deflates() || self.converts(|| parcel.has_bytes()))
        {
            self.bytes += parcel.len();
            self.tail.extend_from_slice(parcel.wire());
        } else {
            self.seal();
            self.append(parcel);
        }
    }

    /// Puts a letter at the end, for the client of a WebSocket: mostly it is joined with those before it
    /// at once.
    pub(crate) fn push_letter(&mut self, letter: Letter) -> Result<(), Full> {
        let len = letter.len();
        if self.bytes + len > self.bytes_max {
            return Err(Full(letter.into()));
        }
        let stays_apart =
            self.deflates() && letter.deflates() || self.converts(|| letter.has_bytes());
        if stays_apart || self.tail.len() + len > TAIL_BYTES_MAX {
            return self.push(letter.into());
        }
        if self.tail.is_empty() {
            self.tail = SPARE.try_with(Cell::take).unwrap_or_default();
        }
        self.bytes += len;
        letter.append_to(&mut self.tail);
        Ok(())
    }

    /// Makes a parcel of the tail, so that something else can go behind it.
    fn seal(&mut self) {
        self.bytes += PARCEL_OVERHEAD_BYTES;
        self.parcels.push(Parcel::joined(&self.tail));
        spare(std::mem::take(&mut self.tail));
    }

    /// Puts a parcel before all that is not begun.
    pub(crate) fn put_first(&mut self, parcel: Parcel) {
        self.bytes += cost(&parcel);
        let at = usize::from(self.begun > 0).min(self.parcels.len());
        self.parcels.insert(at, parcel);
    }

    /// Takes out all that waits. It counts until the batch is [given back](Self::give_back).
    pub(crate) fn take(&mut self) -> Batch {
        let begun = std::mem::take(&mut self.begun);
        let parcels = std::mem::take(&mut self.parcels);
        Batch { parcels, tail: std::mem::take(&mut self.tail), done: 0, begun, cost: 0 }
    }

    /// Takes back what was not written; it goes before what came since.
    pub(crate) fn give_back(&mut self, mut batch: Batch) {
        self.bytes = self.bytes.saturating_sub(batch.cost);
        if batch.is_empty() {
            if self.is_empty() {
                self.latest = None;
            }
            return spare(batch.tail);
        }
        self.begun = batch.begun;
        batch.parcels.drain(..batch.done);
        if !batch.tail.is_empty() {
            // It may wait for long now, and then holds no more than it needs.
            self.bytes += PARCEL_OVERHEAD_BYTES;
            batch.parcels.push(Parcel::joined(&batch.tail));
            spare(batch.tail);
        }
        batch.parcels.append(&mut self.parcels);
        self.parcels = batch.parcels;
    }

    /// Takes in a batch that did not come from here, as the first that is to be written.
    pub(crate) fn adopt(&mut self, mut batch: Batch) {
        batch.cost = 0;
        self.bytes += batch.left().iter().map(cost).sum::<usize>();
        debug_assert!(batch.tail.is_empty(), "what did not come from here has parcels only");
        self.give_back(batch);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.parcels.is_empty() && self.tail.is_empty()
    }

    /// Pieces that wait and are not being written.
    pub(crate) fn len(&self) -> usize {
        self.parcels.len() + usize::from(!self.tail.is_empty())
    }

    /// What waits and is being written, in bytes.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// What may still be pushed, in bytes.
    pub(crate) const fn bytes_left(&self) -> usize {
        self.bytes_max.saturating_sub(self.bytes)
    }

    /// Whether more waits than should for a client that keeps up: a quarter of the bound.
    pub(crate) const fn is_slow(&self) -> bool {
        self.bytes > self.bytes_max / SLOW_PART
    }

    /// Whether so little waits that the client keeps up again.
    pub(crate) const fn keeps_up(&self) -> bool {
        self.bytes <= self.bytes_max / (2 * SLOW_PART)
    }

    /// Whether so much waits, or is being written, that what comes now does not leave at once.
    pub(crate) const fn is_behind(&self) -> bool {
        self.bytes > BEHIND_BYTES_MAX
    }

    /// Drops what waits.
    pub(crate) fn clear(&mut self) {
        *self = Self { form: self.form, ..Self::new(self.bytes_max) };
    }
}

thread_local! {
    /// Where small parcels are joined; at most [`COPIED_BYTES_MAX`] long.
    static JOINED: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    /// The memory of a tail that was written; at most about twice [`TAIL_BYTES_MAX`].
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Keeps the memory of a tail for the next one.
fn spare(mut tail: Vec<u8>) {
    if tail.capacity() > 0 {
        tail.clear();
        // Fails only while the thread ends, and then nobody needs it.
        let _ = SPARE.try_with(|spare| spare.set(tail));
    }
}

impl Batch {
    /// The parcels that are not written whole.
    pub(crate) fn left(&self) -> &[Parcel] {
        &self.parcels[self.done..]
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.left().is_empty() && self.tail.is_empty()
    }

    /// Puts a parcel at the end.
    pub(crate) fn push(&mut self, parcel: Parcel) {
        self.parcels.push(parcel);
    }

    /// How far it is written: it differs when more was.
    pub(crate) const fn written_so_far(&self) -> (usize, usize, usize) {
        (self.cost, self.done, self.begun)
    }

    /// The next parcel.
    pub(crate) fn first(&self) -> Option<&Parcel> {
        self.left().first()
    }

    /// The next parcel was written whole.
    pub(crate) fn written_first(&mut self) {
        self.cost += self.first().map_or(0, cost);
        self.done = self.parcels.len().min(self.done + 1);
    }

    /// Has `write` write what comes next, as far as one call does. Small parcels are copied into
    /// one piece: that costs the system less than a list of pieces.
    pub(crate) fn write<R>(&self, form: Form, write: impl FnOnce(&[IoSlice<'_>]) -> R) -> R {
        match self.left() {
            [] => return write(&[IoSlice::new(&self.tail[self.begun..])]),
            [parcel] if self.tail.is_empty() => {
                return write(&[IoSlice::new(&parcel.form(form)[self.begun..])]);
            }
            _ => {}
        }
        let tail = (!self.tail.is_empty()).then_some(&*self.tail);
        let parts = self.left().iter().map(|parcel| parcel.form(form)).chain(tail);
        if parts.clone().map(<[u8]>::len).sum::<usize>() <= COPIED_BYTES_MAX {
            let mut joined = JOINED.take();
            joined.clear();
            parts.for_each(|part| joined.extend_from_slice(part));
            let result = write(&[IoSlice::new(&joined[self.begun..])]);
            JOINED.set(joined);
            return result;
        }
        let mut slices = [IoSlice::new(&[]); PARCELS_PER_WRITE];
        let mut count = 0;
        for (slice, part) in slices.iter_mut().zip(parts) {
            let skip = if count == 0 { self.begun } else { 0 };
            *slice = IoSlice::new(&part[skip..]);
            count += 1;
        }
        write(&slices[..count])
    }

    /// This many bytes were written: what is written whole leaves.
    pub(crate) fn written(&mut self, bytes: usize, form: Form) {
        self.begun += bytes;
        while let Some(first) = self.first() {
            let len = first.form(form).len();
            if self.begun < len {
                return;
            }
            self.begun -= len;
            self.written_first();
        }
        // A stream that says it took more than it was given must not be believed.
        if self.begun >= self.tail.len() {
            self.begun = 0;
            self.cost += self.tail.len();
            self.tail.clear();
        }
    }
}

/// What a parcel counts for.
fn cost(parcel: &Parcel) -> usize {
    parcel.len() + PARCEL_OVERHEAD_BYTES
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use roomful_proto::deflate::Deflate;

    use super::*;

    fn parcel(text: &str) -> Parcel {
        Parcel::event("/", None, "e", text).unwrap()
    }

    fn letter(text: &str) -> Letter {
        Letter::event("/", None, "e", text).unwrap()
    }

    /// All that waits, as one write takes it.
    fn wire(outbox: &mut Outbox) -> Vec<u8> {
        let batch = outbox.take();
        batch.write(Form::Wire, |slices| slices.iter().flat_map(|s| s.to_vec()).collect())
    }

    fn texts(outbox: &mut Outbox) -> Vec<String> {
        let batch = outbox.take();
        let text = |parcel: &Parcel| String::from_utf8(parcel.polling().to_vec()).unwrap();
        batch.left().iter().map(text).collect()
    }

    #[test]
    fn an_outbox_is_bounded_until_its_parcels_are_written() {
        let one = cost(&parcel("x"));
        let mut outbox = Outbox::new(2 * one);
        assert!(outbox.push(parcel("x")).is_ok());
        assert!(outbox.push(parcel("x")).is_ok());
        assert!(outbox.push(parcel("x")).is_err());
        let mut batch = outbox.take();
        assert!(outbox.is_empty());
        assert!(outbox.push(parcel("x")).is_err(), "what is being written still counts");
        batch.written_first();
        outbox.give_back(batch);
        assert!(outbox.push(parcel("x")).is_ok());
    }

    #[test]
    fn one_message_of_any_size_fits_for_a_client_that_keeps_up() {
        let mut outbox = Outbox::new(1_000);
        let large = "x".repeat(5_000);
        outbox.push(parcel("a")).unwrap();
        let full = outbox.push(parcel(&large)).unwrap_err();
        assert!(outbox.push_one_more(full));
        let full = outbox.push_letter(letter("b")).unwrap_err();
        assert!(!outbox.push_one_more(full), "more than a quarter waits");
        assert_eq!(
            wire(&mut outbox),
            [parcel("a"), parcel(&large)].map(|p| p.wire().to_vec()).concat()
        );
    }

    #[test]
    fn order_is_kept_when_a_batch_is_not_written_whole() {
        let mut outbox = Outbox::new(10_000);
        outbox.append(parcel("a"));
        outbox.append(parcel("b"));
        let mut batch = outbox.take();
        outbox.append(parcel("c"));
        let len = parcel("a").len();
        batch.written(len + 3, Form::Wire);
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
        batch.written(2, Form::Wire);
        let write = |slices: &[IoSlice<'_>]| slices.iter().map(|s| s.len()).collect::<Vec<_>>();
        let len = parcel("a").len();
        assert_eq!(batch.write(Form::Wire, write), [2 * len - 2], "joined");
        let big = parcel(&"x".repeat(COPIED_BYTES_MAX));
        let big_len = big.len();
        batch.push(big);
        assert_eq!(batch.write(Form::Wire, write), [len - 2, len, big_len], "too much to copy");
    }
    #[test]
    fn letters_and_parcels_leave_in_the_order_in_which_they_came() {
        let mut outbox = Outbox::new(1_000_000);
        let big = "x".repeat(TAIL_BYTES_MAX);
        outbox.append(parcel("a"));
        outbox.push_letter(letter("b")).unwrap();
        outbox.append(parcel("c"));
        outbox.push_letter(letter(&big)).unwrap();
        outbox.push_letter(letter("d")).unwrap();
        outbox.append(parcel(&big));
        outbox.put_first(parcel("ping"));
        let expected: Vec<u8> = ["ping", "a", "b", "c", &big, "d", &big]
            .iter()
            .flat_map(|text| parcel(text).wire().to_vec())
            .collect();
        assert_eq!(outbox.len(), 6, "ping, a, b and c, big, d, big");
        assert_eq!(wire(&mut outbox), expected);
    }

    #[test]
    fn letters_that_are_not_written_whole_stay_first() {
        let mut outbox = Outbox::new(10_000);
        outbox.push_letter(letter("a")).unwrap();
        outbox.push_letter(letter("b")).unwrap();
        let mut batch = outbox.take();
        outbox.push_letter(letter("c")).unwrap();
        batch.written(3, Form::Wire);
        outbox.give_back(batch);
        outbox.put_first(parcel("ping"));
        let whole: Vec<u8> =
            ["a", "b", "ping", "c"].iter().flat_map(|text| parcel(text).wire().to_vec()).collect();
        assert_eq!(wire(&mut outbox), whole[3..]);
    }

    #[test]
    fn letters_count_until_they_are_written() {
        let len = letter("x").len();
        let mut outbox = Outbox::new(2 * len);
        outbox.push_letter(letter("x")).unwrap();
        outbox.push_letter(letter("x")).unwrap();
        assert!(outbox.push_letter(letter("x")).is_err());
        let mut batch = outbox.take();
        assert!(outbox.push_letter(letter("x")).is_err(), "what is being written counts");
        batch.written(2 * len, Form::Wire);
        outbox.give_back(batch);
        assert_eq!(outbox.bytes(), 0);
        assert!(outbox.push_letter(letter("x")).is_ok());
    }
    #[test]
    fn a_stream_that_says_it_took_more_than_it_was_given_is_not_believed() {
        let mut outbox = Outbox::new(10_000);
        outbox.append(parcel("a"));
        outbox.push_letter(letter("b")).unwrap();
        let mut batch = outbox.take();
        batch.written(10_000, Form::Wire);
        assert!(batch.is_empty());
        outbox.give_back(batch);
        assert_eq!((outbox.is_empty(), outbox.bytes()), (true, 0));
    }

    #[test]
    fn what_may_be_compressed_is_joined_only_for_those_who_do_not_take_that() {
        let deflate = Arc::new(Deflate::new(1_000, 1));
        let deflated = |text: &str| {
            let mut letter = letter(text);
            letter.deflate_by(&deflate);
            letter
        };
        let large = || deflated(&"x".repeat(2_000));
        for (deflates, pieces) in [(false, 1), (true, 5)] {
            let mut outbox = Outbox::new(1_000_000);
            outbox.set_form(if deflates { Form::Deflated } else { Form::Wire });
            outbox.push_letter(letter("a")).unwrap();
            outbox.push_letter(large()).unwrap();
            outbox.push_letter(deflated("b")).unwrap();
            outbox.append(large().into());
            outbox.push_letter(letter("c")).unwrap();
            assert_eq!(outbox.len(), pieces);
            let plain = [letter("a"), large(), letter("b"), large(), letter("c")];
            let plain: Vec<u8> = plain.map(|letter| Parcel::from(letter).wire().to_vec()).concat();
            let batch = outbox.take();
            let wire: Vec<u8> =
                batch.write(Form::Wire, |slices| slices.iter().flat_map(|s| s.to_vec()).collect());
            assert_eq!(wire, plain);
            let form = if deflates { Form::Deflated } else { Form::Wire };
            let len: usize = batch.write(form, |slices| slices.iter().map(|s| s.len()).sum());
            assert_eq!(len < 500, deflates, "{len}");
        }
    }

    /// Texts are the same in every form, and bytes are in none but one as they are encoded.
    #[test]
    fn what_has_bytes_is_joined_only_for_those_who_take_it_as_it_is() {
        let blob = || Letter::event("/", None, "b", &bytes::Bytes::from_static(&[7; 3])).unwrap();
        for (form, pieces) in
            [(Form::Wire, 1), (Form::TextOnly, 5), (Form::V3, 5), (Form::V3TextOnly, 5)]
        {
            let mut outbox = Outbox::new(1_000_000);
            outbox.set_form(form);
            outbox.push_letter(letter("a")).unwrap();
            outbox.push_letter(letter("b")).unwrap();
            outbox.push_letter(blob()).unwrap();
            outbox.push_letter(letter("c")).unwrap();
            outbox.append(blob().into());
            outbox.push_letter(letter("d")).unwrap();
            assert_eq!(outbox.len(), pieces, "{form:?}");
            let sent = [letter("a"), letter("b"), blob(), letter("c"), blob(), letter("d")];
            let sent: Vec<u8> =
                sent.map(|letter| Parcel::from(letter).form(form).to_vec()).concat();
            let wire: Vec<u8> = outbox
                .take()
                .write(form, |slices| slices.iter().flat_map(|slice| slice.to_vec()).collect());
            assert_eq!(wire, sent, "{form:?}");
        }
    }

    #[test]
    fn the_latest_of_a_key_takes_the_place_of_the_one_before_at_the_end() {
        let mut outbox = Outbox::new(10_000);
        outbox.push_latest(parcel("a 1"), 1).unwrap();
        outbox.push_latest(parcel("b 1"), 2).unwrap();
        outbox.push(parcel("other")).unwrap();
        outbox.push_letter(letter("joined")).unwrap();
        outbox.push_latest(parcel("a 2"), 1).unwrap();
        let whole = ["b 1", "other", "joined", "a 2"];
        let whole: Vec<u8> = whole.iter().flat_map(|text| parcel(text).wire().to_vec()).collect();
        assert_eq!(wire(&mut outbox), whole);
    }

    #[test]
    fn a_latest_that_is_being_written_is_not_taken_back() {
        let mut outbox = Outbox::new(10_000);
        outbox.push_latest(parcel("a 1"), 1).unwrap();
        outbox.push_latest(parcel("b 1"), 2).unwrap();
        let mut batch = outbox.take();
        outbox.push_latest(parcel("b 2"), 2).unwrap();
        batch.written(3, Form::Wire);
        outbox.give_back(batch);
        outbox.push_latest(parcel("a 2"), 1).unwrap();
        outbox.push_latest(parcel("b 3"), 2).unwrap();
        let whole: Vec<u8> = ["a 1", "b 1", "a 2", "b 3"]
            .iter()
            .flat_map(|text| parcel(text).wire().to_vec())
            .collect();
        assert_eq!(wire(&mut outbox), whole[3..]);
    }

    /// A thousand states of one key wait as one, and nothing is kept of the keys afterwards.
    #[test]
    fn states_do_not_pile_up() {
        let one = cost(&parcel("999"));
        let mut outbox = Outbox::new(one);
        for n in 0..1_000 {
            outbox.push_latest(parcel(&n.to_string()), 1).unwrap();
        }
        assert_eq!((outbox.len(), outbox.bytes()), (1, one));
        let mut batch = outbox.take();
        batch.written_first();
        outbox.give_back(batch);
        assert!(outbox.latest.is_none() && outbox.bytes() == 0);
    }

    #[test]
    fn an_outbox_is_behind_until_what_waits_too_much_is_written() {
        let mut outbox = Outbox::new(1_000_000);
        let large = parcel(&"x".repeat(BEHIND_BYTES_MAX / 2));
        outbox.push(large.clone()).unwrap();
        assert!(!outbox.is_behind());
        outbox.push(large).unwrap();
        assert!(outbox.is_behind());
        let mut batch = outbox.take();
        assert!(outbox.is_behind(), "what is being written is not gone yet");
        batch.written_first();
        outbox.give_back(batch);
        assert!(!outbox.is_behind());
    }

    #[test]
    fn a_large_parcel_behind_letters_is_not_copied() {
        let mut outbox = Outbox::new(1_000_000);
        let big = parcel(&"x".repeat(COPIED_BYTES_MAX));
        outbox.push_letter(letter("a")).unwrap();
        outbox.append(big.clone());
        let batch = outbox.take();
        assert_eq!(
            batch.left().last().map(|parcel| parcel.wire().as_ptr()),
            Some(big.wire().as_ptr())
        );
    }
}
