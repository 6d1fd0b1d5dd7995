//! [`check`]: what must be so in every history.
//!
//! | oracle | what must be so, and why |
//! |---|---|
//! | `twice` | No client gets an event twice: a message that is shown twice is the first thing that people notice. |
//! | `order` | Events of one sender reach each client as they were sent: programs build on it. |
//! | `outsider` | Nobody gets what is for rooms in which they were not: rooms keep secrets. |
//! | `missed` | Where nothing goes wrong, everybody who was in a room all the time gets what is for it. |
//! | `ends` | Every request ends, by all answers or by its time, and says who is missing: callers wait for it. |
//! | `waits` | Nobody who is dead is waited for longer than it takes to see that, or all requests would be slow. |
//! | `answers` | Only who was asked answers, and once, or a caller would go on without all answers. |
//! | `ghosts` | Who is silent for too long is unknown, and so is at once who has said goodbye. |
//! | `known` | Who is heard is known, and no other is given up: who is unknown is not asked. |
//! | `deadline` | What is to be done by now has been done, or a driver that sleeps until then would never sleep. |
//! | `rest` | In the end nothing is left, or a server would grow until it falls. |
//!
//! That lies neither panic nor end a request is no oracle of its own: they are among what all of these see.

mod events;
mod presence;
mod requests;
mod spoiled;

use roomful_proto::Moment;

use self::events::Events;
use self::presence::Presences;
use self::requests::Requests;
use crate::history::{Entry, History};
use crate::rules::Rules;

/// What is wrong, in words that begin with the name of an oracle.
pub(crate) type Verdict = Result<(), String>;

/// What is wrong, and with which entry.
#[derive(Debug)]
pub(crate) struct Wrong {
    pub(crate) at: usize,
    pub(crate) why: String,
}

/// Looks at a whole history.
pub(crate) fn check(rules: &Rules, history: &History) -> Result<(), Wrong> {
    let (mut events, mut requests) = (Events::default(), Requests::new(rules));
    let mut presences = Presences::new(rules);
    for (at, (now, entry)) in history.entries.iter().enumerate() {
        let verdict = events.see(at, *now, entry);
        let verdict = verdict.and_then(|()| requests.see(*now, entry));
        let verdict = verdict.and_then(|()| presences.see(*now, entry));
        let verdict = verdict.and_then(|()| is_at_rest(entry));
        verdict.map_err(|why| Wrong { at, why })?;
    }
    let last = history.entries.len().saturating_sub(1);
    let end = history.entries.last().map_or(Moment::default(), |(now, _)| *now);
    let verdict = requests.end().and_then(|()| events.end(rules, end));
    verdict.map_err(|why| Wrong { at: last, why })
}

fn is_at_rest(entry: &Entry) -> Verdict {
    match entry {
        Entry::Rest { node, requests, replies, signals } if requests + replies + signals > 0 => {
            Err(format!("rest: something is left at {node:?}"))
        }
        _ => Ok(()),
    }
}
