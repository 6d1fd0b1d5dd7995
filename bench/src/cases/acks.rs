//! [`Acks`]: the events of one client whose acks are still to come.
//!
//! Every ack must come, and once. That one overtakes another is not against the protocol, which
//! knows acks by their number, and a server that runs each handler as a task of its own does it
//! all the time: it is counted, and at servers of this repository it is an error.

use std::collections::VecDeque;
use std::time::Instant;

use super::measure::two_digits;
use crate::servers::{self, Server};
use crate::{Result, fail};

#[derive(Clone, Default)]
pub(super) struct Acks {
    sent: u64,
    /// By their number, with the time when each was due.
    under_way: VecDeque<(u64, Instant)>,
    overtaken: u64,
}

impl Acks {
    /// The number of the next event, which is due at this time.
    pub(super) fn send(&mut self, due: Instant) -> u64 {
        let number = two_digits(self.sent);
        self.sent += 1;
        self.under_way.push_back((number, due));
        number
    }

    /// An ack of this number came; tells when its event was due.
    pub(super) fn answer(&mut self, number: u64) -> Result<Instant> {
        let at = self.under_way.iter().position(|(sent, _)| *sent == number);
        self.overtaken += u64::from(at.is_some_and(|at| at > 0));
        let event = at.and_then(|at| self.under_way.remove(at));
        event.map(|(_, due)| due).ok_or_else(|| format!("ack {number} came twice").into())
    }

    /// The number of the ack that is to come next, if none overtakes it.
    pub(super) fn first(&self) -> Option<u64> {
        self.under_way.front().map(|(number, _)| *number)
    }

    /// Acks that are still to come.
    pub(super) fn missing(&self) -> usize {
        self.under_way.len()
    }

    /// Events sent so far.
    pub(super) const fn sent(&self) -> u64 {
        self.sent
    }
}

/// The number of an ack, `3NN[…]` or, with an attachment, `61-NN[…]`.
pub(super) fn number(packet: &[u8]) -> Option<u64> {
    let rest = packet.strip_prefix(b"3").or_else(|| packet.strip_prefix(b"61-"))?;
    std::str::from_utf8(rest.get(..2)?).ok()?.parse().ok()
}

/// How many of a hundred acks overtook another.
pub(super) fn overtaken_percent<'a>(
    server: &Server,
    clients: impl Iterator<Item = &'a Acks>,
) -> Result<f64> {
    let sum =
        |(sent, overtaken): (u64, u64), acks: &Acks| (sent + acks.sent, overtaken + acks.overtaken);
    let (sent, overtaken) = clients.fold((0, 0), sum);
    if overtaken > 0 && servers::is_own(&server.name) {
        return fail(format!("{overtaken} acks overtook another"));
    }
    Ok(100.0 * overtaken as f64 / sent as f64)
}
