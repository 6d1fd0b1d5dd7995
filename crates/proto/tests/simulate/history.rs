//! [`History`]: what has happened in a world, as somebody sees it who sees everything.

use std::fmt;
use std::sync::Arc;

use roomful_proto::Moment;
use roomful_proto::cluster::{Ask, Body, Selection};

/// Somebody who says something. Who comes again after an end is somebody else.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Who(pub(crate) u8);

impl Who {
    pub(crate) const EMITTER: Self = Self(0);
    /// Where a wire does not say who it is.
    pub(crate) const NOBODY: Self = Self(1);
    pub(crate) const STRANGER: Self = Self(2);
    /// The first that is a node.
    pub(crate) const FIRST: Self = Self(3);

    pub(crate) fn uid(self) -> Arc<str> {
        match self {
            Self::EMITTER => "emitter".into(),
            Self::NOBODY => "".into(),
            Self::STRANGER => "stranger".into(),
            Self(number) => format!("node-{number}").into(),
        }
    }

    pub(crate) fn of(uid: &str) -> Self {
        let number = |uid: &str| uid.strip_prefix("node-")?.parse().ok();
        match uid {
            "emitter" => Self::EMITTER,
            "" => Self::NOBODY,
            "stranger" => Self::STRANGER,
            _ => Self(number(uid).unwrap_or_else(|| panic!("{uid:?} is nobody's"))),
        }
    }
}

impl fmt::Debug for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.uid(), f)
    }
}

/// Several of them.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Crowd(u128);

impl Crowd {
    pub(crate) const NONE: Self = Self(0);

    pub(crate) const fn has(self, who: Who) -> bool {
        self.0 >> who.0 & 1 == 1
    }

    /// `false` when it was there already.
    pub(crate) const fn insert(&mut self, who: Who) -> bool {
        let had = self.has(who);
        self.0 |= 1 << who.0;
        !had
    }

    /// `false` when it was not there.
    pub(crate) const fn remove(&mut self, who: Who) -> bool {
        let had = self.has(who);
        self.0 &= !(1 << who.0);
        had
    }

    pub(crate) const fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = Who> {
        let mut left = self.0;
        std::iter::from_fn(move || {
            let first = (left != 0).then(|| Who(left.trailing_zeros() as u8));
            left &= left.wrapping_sub(1);
            first
        })
    }
}

impl FromIterator<Who> for Crowd {
    fn from_iter<I: IntoIterator<Item = Who>>(all: I) -> Self {
        let mut crowd = Self::default();
        all.into_iter().for_each(|who| _ = crowd.insert(who));
        crowd
    }
}

impl fmt::Debug for Crowd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// How many rooms there are.
pub(crate) const ROOMS: u8 = 5;

/// Rooms that a client is in, a bit for each.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Rooms(pub(crate) u8);

impl Rooms {
    pub(crate) fn names(self) -> Vec<String> {
        (0..ROOMS).filter(|room| self.0 >> room & 1 == 1).map(|room| room.to_string()).collect()
    }

    pub(crate) fn of(names: &[String]) -> Self {
        Self(names.iter().fold(0, |rooms, name| rooms | 1 << name.parse::<u8>().unwrap()))
    }
}

impl fmt::Debug for Rooms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:05b}", self.0)
    }
}

/// Whom something is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Chosen {
    /// None is everyone.
    pub(crate) rooms: Rooms,
    pub(crate) except: Rooms,
}

impl Chosen {
    pub(crate) const fn has(self, rooms: Rooms) -> bool {
        (self.rooms.0 == 0 || self.rooms.0 & rooms.0 != 0) && self.except.0 & rooms.0 == 0
    }

    pub(crate) fn selection(self) -> Selection {
        let (rooms, except) = (self.rooms.names(), self.except.names());
        Selection { rooms, except, ..Selection::default() }
    }

    pub(crate) fn of(selection: &Selection) -> Self {
        Self { rooms: Rooms::of(&selection.rooms), except: Rooms::of(&selection.except) }
    }
}

/// What an answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The one answer of a node.
    Node,
    /// How many clients a node has asked.
    Count(usize),
    /// That of a client.
    Ack,
}

/// What is told of a packet that a node is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Goodbye,
    Answer(u32, Answer),
    Other,
}

impl Said {
    pub(crate) fn of(body: &Body) -> Self {
        let answer = match body {
            Body::ClientCount { count, .. } => Answer::Count(*count),
            Body::Ack { .. } => Answer::Ack,
            _ => Answer::Node,
        };
        match (body, body.answers()) {
            (Body::Goodbye, _) => Self::Goodbye,
            (_, Some(request)) => Self::Answer(request_number(request), answer),
            _ => Self::Other,
        }
    }
}

/// A request as packets name it, and back.
pub(crate) fn request_id(number: u32) -> Arc<str> {
    number.to_string().into()
}

pub(crate) fn request_number(id: &str) -> u32 {
    id.parse().unwrap_or_else(|_| panic!("{id:?} is no request"))
}

/// How a request ended for whoever made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Nobody is waited for.
    Done,
    /// Its time is over.
    Time,
    /// It was lost before anybody could be asked.
    NotAsked,
}

/// One thing that has happened.
#[derive(Clone, Debug)]
#[allow(dead_code, reason = "some of it is only shown")]
pub(crate) enum Entry {
    Started(Who),
    /// A node is no more: it died, or has said goodbye.
    Killed(Who),
    Leaves(Who),
    /// Between these two nothing goes from the one half to the other.
    Cut(Crowd),
    Healed,
    EngineAway,
    EngineBack,
    Connected(Who),
    Disconnected(Who),
    /// So many packets of a node were not sent, since the engine was away.
    Lost(Who, usize),
    /// What one said does not reach the other, or only then.
    Undelivered {
        from: Who,
        to: Who,
    },
    Late {
        from: Who,
        to: Who,
        until: Moment,
    },
    /// A client is in these rooms from now on; the first time it has come.
    Moved {
        client: u32,
        node: Who,
        rooms: Rooms,
    },
    Sent {
        event: u32,
        by: Who,
        to: Chosen,
    },
    Got {
        event: u32,
        client: u32,
    },
    /// A relay was asked to wait for the nodes that it knew, and said how many these are.
    Asked {
        request: u32,
        by: Who,
        ask: Ask,
        known: Crowd,
        said: Option<usize>,
        until: Moment,
    },
    Refused(Who),
    /// So this event goes to no other node.
    Unsent(u32),
    /// Nobody can be counted, so it is to be as many as were counted last.
    Expected {
        request: u32,
        nodes: usize,
    },
    Counted {
        node: Who,
        request: u32,
        nodes: usize,
    },
    /// A relay is given a packet.
    Heard {
        node: Who,
        from: Who,
        said: Said,
    },
    /// It passes an answer on.
    Passed {
        node: Who,
        request: u32,
        answer: Answer,
    },
    Done {
        node: Who,
        request: u32,
    },
    /// A request is over for whoever has made it, and this is what they are told.
    Ended {
        request: u32,
        how: End,
        nodes_missing: usize,
        clients_missing: usize,
    },
    Forgotten {
        request: u32,
    },
    Joined {
        node: Who,
        other: Who,
    },
    Left {
        node: Who,
        other: Who,
    },
    /// A keeper has looked whose time is over. Then these are known, and it is to look again at that time.
    Looked {
        node: Who,
        others: Crowd,
        deadline: Option<Moment>,
    },
    /// What is left of all at a node in the end.
    Rest {
        node: Who,
        requests: usize,
        replies: usize,
        signals: usize,
    },
}

/// Lines of a history that are shown when something is wrong with it.
const LINES: usize = 40;

/// What has happened, in order.
#[derive(Default)]
pub(crate) struct History {
    pub(crate) entries: Vec<(Moment, Entry)>,
}

impl History {
    /// An entry and the last before it, as they are shown when something is wrong.
    pub(crate) fn lines(&self, up_to: usize) -> String {
        let end = self.entries.len().min(up_to + 1);
        let shown = self.entries[end.saturating_sub(LINES)..end].iter();
        shown.map(|(at, entry)| format!("{:>6} ms  {entry:?}\n", at.as_millis())).collect()
    }
}
