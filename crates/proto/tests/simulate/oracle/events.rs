//! [`Events`]: what clients get.

use std::collections::BTreeMap;
use std::time::Duration;

use roomful_proto::Moment;

use super::Verdict;
use crate::history::{Chosen, Entry, Rooms, Who};
use crate::rules::{KEEPERS, Rules};

#[derive(Default)]
pub(crate) struct Events {
    sent: BTreeMap<u32, Sending>,
    clients: BTreeMap<u32, Client>,
}

struct Sending {
    at: usize,
    when: Moment,
    by: Who,
    to: Chosen,
}

struct Client {
    node: Who,
    /// The rooms that it was in, from which entry on and since when.
    rooms: Vec<(usize, Moment, Rooms)>,
    gone: Option<Moment>,
    got: Vec<u32>,
    /// The last that it got of each sender.
    last: BTreeMap<Who, u32>,
}

impl Events {
    pub(crate) fn see(&mut self, at: usize, when: Moment, entry: &Entry) -> Verdict {
        match *entry {
            Entry::Sent { event, by, to } => {
                self.sent.insert(event, Sending { at, when, by, to });
            }
            Entry::Unsent(event) => {
                self.sent.remove(&event);
            }
            Entry::Moved { client, node, rooms } => {
                let new = || Client {
                    node,
                    rooms: Vec::new(),
                    gone: None,
                    got: Vec::new(),
                    last: BTreeMap::new(),
                };
                let client = self.clients.entry(client).or_insert_with(new);
                client.rooms.push((at, when, rooms));
            }
            Entry::Killed(node) | Entry::Leaves(node) => {
                let clients = self.clients.values_mut().filter(|client| client.node == node);
                clients.for_each(|client| client.gone = Some(when));
            }
            Entry::Got { event, client } => return self.got(event, client),
            _ => {}
        }
        Ok(())
    }

    fn got(&mut self, event: u32, number: u32) -> Verdict {
        let (Some(sending), Some(client)) = (self.sent.get(&event), self.clients.get_mut(&number))
        else {
            return Err(format!("outsider: client {number} gets {event}, which nobody has sent"));
        };
        if !client.was_chosen(sending) || client.gone.is_some() {
            return Err(format!("outsider: client {number} gets {event}, and is not in its rooms"));
        }
        let last = client.last.entry(sending.by).or_default();
        if event > *last {
            *last = event;
            client.got.push(event);
            return Ok(());
        }
        Err(match client.got.contains(&event) {
            true => format!("twice: client {number} has got {event} before"),
            false => format!("order: client {number} gets {event} behind {last}"),
        })
    }

    /// Where nothing goes wrong, nothing is missed.
    pub(crate) fn end(&self, rules: &Rules, end: Moment) -> Verdict {
        if !rules.is_sound {
            return Ok(());
        }
        for (event, sending) in &self.sent {
            let by = sending.when + Duration::from_millis(rules.delay_ms_max) + KEEPERS;
            for (number, client) in &self.clients {
                let is_due = by < end && client.is_chosen_until(sending, by);
                if is_due && !client.got.contains(event) {
                    return Err(format!("missed: client {number} has never got {event}"));
                }
            }
        }
        Ok(())
    }
}

impl Client {
    /// Its rooms when something was sent, and all since, with the times when they began.
    fn rooms_since(&self, sending: &Sending) -> &[(usize, Moment, Rooms)] {
        let later = self.rooms.iter().rposition(|(at, ..)| *at < sending.at);
        &self.rooms[later.unwrap_or(0)..]
    }

    fn was_chosen(&self, sending: &Sending) -> bool {
        self.rooms_since(sending).iter().any(|(.., rooms)| sending.to.has(*rooms))
    }

    fn is_chosen_until(&self, sending: &Sending, by: Moment) -> bool {
        let was_there = self.rooms.first().is_some_and(|(at, ..)| *at < sending.at);
        let mut rooms = self.rooms_since(sending).iter().filter(|(_, since, _)| *since <= by);
        let stays = self.gone.is_none_or(|gone| gone > by);
        was_there && stays && rooms.all(|(.., rooms)| sending.to.has(*rooms))
    }
}
