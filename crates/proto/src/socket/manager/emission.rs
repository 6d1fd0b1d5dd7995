//! [`Emission`]: an event that a user emits, on its way into a [`Manager`](super::Manager).

use std::time::Duration;

use crate::id::AckId;
use crate::letter::Letter;
use crate::parcel::Parcel;
use crate::socket::parser::Parser;

/// An event that a user emits: whole frames, as a letter or as a parcel has them.
#[derive(Debug)]
pub struct Emission<W> {
    /// The frames.
    pub frames: Frames,
    /// Who waits for the ack, if anybody does.
    pub ask: Option<Ask<W>>,
    /// Whether it is dropped if it cannot leave at once: that is so where the engine's transport takes
    /// something now.
    pub volatile: Option<Writable>,
    /// Whether it may be compressed.
    pub compress: bool,
}

/// Whether the transport takes something now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Writable(pub bool);

/// Frames that are to be sent.
#[derive(Debug)]
pub enum Frames {
    /// In the default encoding.
    Letter(Letter),
    /// In that of a parser.
    Parcel(Parcel),
}

impl Frames {
    /// In the words of the parser, if there is one.
    pub fn new(letter: Letter, parser: Option<&dyn Parser>) -> Self {
        match parser {
            None => Self::Letter(letter),
            Some(parser) => Self::Parcel(Parcel::worded(letter, parser)),
        }
    }

    pub(super) fn into_bytes(self) -> Box<[u8]> {
        match self {
            Self::Letter(letter) => {
                let mut frames = Vec::with_capacity(letter.len());
                letter.append_to(&mut frames);
                frames.into()
            }
            Self::Parcel(parcel) => parcel.wire().into(),
        }
    }
}

/// An ack that is asked for.
#[derive(Debug)]
pub struct Ask<W> {
    /// The id in the event. Even: the others are those of events that are sent again. No two events of
    /// a manager may have the same, whatever their sockets: an ack may come after its socket has left
    /// and the next one has joined.
    pub id: AckId,
    /// Who waits.
    pub waiter: W,
    /// For how long; without it as long as the connection lasts.
    pub timeout: Option<Duration>,
}

/// Why an event was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NotSent {
    /// More than `waiting_bytes_max` wait.
    Full,
    /// More than `acks_max` events wait for their ack.
    TooManyAcks,
    /// It was volatile, and could not leave at once.
    Dropped,
}
