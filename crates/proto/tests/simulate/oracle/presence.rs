//! [`Presences`]: who knows whom.

use std::collections::BTreeMap;
use std::time::Duration;

use roomful_proto::Moment;
use roomful_proto::cluster::Presence;

use super::Verdict;
use crate::history::{Crowd, Entry, Said, Who};
use crate::rules::{INTERVAL, KEEPERS, LATE, Rules, SILENCE_MAX, TICK, TIMEOUT};

pub(crate) struct Presences {
    presence: Presence,
    /// After so long without trouble everybody has heard everybody.
    unknown_max: Duration,
    known: BTreeMap<Who, Crowd>,
    /// When the one was heard by the other last.
    heard: BTreeMap<(Who, Who), Moment>,
    /// Of whom a node has heard that they go.
    goodbyes: BTreeMap<Who, Crowd>,
    /// The last packet that a node was given, which explains whom it knows from then on.
    given: Option<(Who, Who)>,
    here: Crowd,
    leaving: Crowd,
    connected: Crowd,
    is_away: bool,
    /// Until when nothing was to be expected: of all, of one, of what one says to another.
    trouble: Moment,
    troubles: BTreeMap<Who, Moment>,
    pair_troubles: BTreeMap<(Who, Who), Moment>,
}

impl Presences {
    pub(crate) fn new(rules: &Rules) -> Self {
        // A hello and what is said to it, where nothing is lost; the next heartbeat otherwise.
        let unknown_max = match rules.is_sound {
            true => 2 * (KEEPERS + Duration::from_millis(rules.delay_ms_max)),
            false => INTERVAL + TICK + KEEPERS + LATE,
        };
        Self {
            presence: rules.presence,
            unknown_max,
            known: BTreeMap::new(),
            heard: BTreeMap::new(),
            goodbyes: BTreeMap::new(),
            given: None,
            here: Crowd::NONE,
            leaving: Crowd::NONE,
            connected: Crowd::NONE,
            is_away: false,
            trouble: Moment::from_millis(0),
            troubles: BTreeMap::new(),
            pair_troubles: BTreeMap::new(),
        }
    }

    pub(crate) fn see(&mut self, now: Moment, entry: &Entry) -> Verdict {
        let given = self.given.take();
        match *entry {
            Entry::Heard { node, from, said } => return self.hear(now, node, from, said),
            Entry::Joined { node, other } => return self.joined(given, node, other),
            Entry::Left { node, other } => {
                // It has said goodbye, or too little.
                let is_early = given != Some((node, other))
                    && now.since(self.last_sign(node, other)) < TIMEOUT;
                if is_early {
                    return Err(format!("known: {node:?} gives up {other:?} too early"));
                }
                return self.left(now, node, other);
            }
            Entry::Looked { node, others, deadline } => {
                if deadline.is_some_and(|deadline| deadline <= now) {
                    return Err(format!("deadline: {node:?} is to look again at once"));
                }
                return self.looked(now, node, others);
            }
            _ => self.note(now, entry),
        }
        Ok(())
    }

    /// Who is there, and what of the engine works.
    fn note(&mut self, now: Moment, entry: &Entry) {
        match *entry {
            Entry::Started(node) => {
                self.here.insert(node);
                self.troubles.insert(node, now);
            }
            Entry::Killed(node) | Entry::Leaves(node) => {
                self.here.remove(node);
                if matches!(entry, Entry::Leaves(_)) {
                    self.leaving.insert(node);
                }
            }
            Entry::Connected(node) => {
                self.connected.insert(node);
                self.troubles.insert(node, now);
            }
            Entry::Disconnected(node) => {
                self.connected.remove(node);
            }
            Entry::EngineAway => (self.is_away, self.trouble) = (true, now),
            Entry::EngineBack => (self.is_away, self.trouble) = (false, now),
            Entry::Undelivered { from, to } => self.note_trouble(from, to, now),
            Entry::Late { from, to, until } => self.note_trouble(from, to, until),
            _ => {}
        }
    }

    fn note_trouble(&mut self, from: Who, to: Who, until: Moment) {
        let trouble = self.pair_troubles.entry((from, to)).or_default();
        *trouble = until.max(*trouble);
    }

    fn hear(&mut self, now: Moment, node: Who, from: Who, said: Said) -> Verdict {
        if node == from {
            return Ok(());
        }
        if said == Said::Goodbye {
            if self.leaving.has(from) {
                self.goodbyes.entry(node).or_default().insert(from);
            } else {
                // Somebody else has said it.
                self.note_trouble(from, node, now);
            }
        }
        self.heard.insert((from, node), now);
        self.given = Some((node, from));
        Ok(())
    }

    fn joined(&mut self, given: Option<(Who, Who)>, node: Who, other: Who) -> Verdict {
        if given != Some((node, other)) || self.presence != Presence::Heartbeats {
            return Err(format!("ghosts: {node:?} has not heard {other:?}"));
        }
        if other == Who::EMITTER {
            return Err("ghosts: an emitter is no node".to_owned());
        }
        if self.has_said_goodbye(node, other) {
            return Err(format!("ghosts: {other:?} had said goodbye to {node:?}"));
        }
        match self.known.entry(node).or_default().insert(other) {
            true => Ok(()),
            false => Err(format!("known: {other:?} was known to {node:?} before")),
        }
    }

    fn left(&mut self, now: Moment, node: Who, other: Who) -> Verdict {
        if !self.known.entry(node).or_default().remove(other) {
            return Err(format!("known: {other:?} was not known to {node:?}"));
        }
        self.is_not_silent(now, node, other)
    }

    fn has_said_goodbye(&self, node: Who, other: Who) -> bool {
        self.goodbyes.get(&node).is_some_and(|gone| gone.has(other))
    }

    /// When one was heard by a node last. Without an engine nobody could be.
    fn last_sign(&self, node: Who, other: Who) -> Moment {
        let of = |time: Option<&Moment>| time.copied().unwrap_or_default();
        of(self.heard.get(&(other, node))).max(of(self.troubles.get(&node)))
    }

    fn is_not_silent(&self, now: Moment, node: Who, other: Who) -> Verdict {
        match now.since(self.last_sign(node, other)) > SILENCE_MAX {
            true => Err(format!("ghosts: {node:?} knows {other:?}, which is silent")),
            false => Ok(()),
        }
    }

    fn looked(&self, now: Moment, node: Who, others: Crowd) -> Verdict {
        if others != self.known.get(&node).copied().unwrap_or_default() {
            return Err(format!("known: {node:?} has told of others than it knows"));
        }
        for other in others.iter() {
            self.is_not_silent(now, node, other)?;
            if self.has_said_goodbye(node, other) {
                return Err(format!("ghosts: {node:?} knows {other:?}, which has said goodbye"));
            }
        }
        if self.presence != Presence::Heartbeats || self.is_away {
            return Ok(());
        }
        let is_settled = |since: Moment| now.since(since) > self.unknown_max;
        let is_missing = |other: &Who| {
            !others.has(*other) && *other != node && is_settled(self.trouble_between(*other, node))
        };
        let both = self.connected.has(node) && is_settled(self.trouble);
        let mut there = self.here.iter().filter(|other| both && self.connected.has(*other));
        match there.find(is_missing) {
            Some(other) => Err(format!("known: {node:?} does not know {other:?}, which is there")),
            None => Ok(()),
        }
    }

    /// The end of the last trouble with what one says to another.
    fn trouble_between(&self, from: Who, to: Who) -> Moment {
        let of = |who: Who| self.troubles.get(&who).copied().unwrap_or_default();
        let pair = self.pair_troubles.get(&(from, to)).copied().unwrap_or_default();
        of(from).max(of(to)).max(pair)
    }
}
