//! [`Tally`]: how often what can happen has happened.

use std::collections::BTreeMap;

use crate::history::{Answer, End, Entry, History, Said};

#[derive(Default)]
pub(crate) struct Tally(BTreeMap<&'static str, usize>);

/// All that can happen.
const ALL: [&str; 26] = [
    "started",
    "killed",
    "leaves",
    "cut",
    "away",
    "connected",
    "disconnected",
    "lost",
    "undelivered",
    "late",
    "moved",
    "sent",
    "got",
    "asked",
    "refused",
    "counted",
    "expected",
    "ack",
    "answer",
    "goodbye",
    "joined",
    "left",
    "done with nobody missing",
    "done with somebody missing",
    "over with somebody missing",
    "not asked",
];

impl Tally {
    pub(crate) fn count(&mut self, history: &History) {
        for name in history.entries.iter().filter_map(|(_, entry)| name(entry)) {
            *self.0.entry(name).or_default() += 1;
        }
    }

    /// What has never happened.
    pub(crate) fn never(&self) -> Vec<&'static str> {
        ALL.into_iter().filter(|name| !self.0.contains_key(name)).collect()
    }
}

const fn name(entry: &Entry) -> Option<&'static str> {
    Some(match entry {
        Entry::Started(_) => "started",
        Entry::Killed(_) => "killed",
        Entry::Leaves(_) => "leaves",
        Entry::Cut(_) => "cut",
        Entry::EngineAway => "away",
        Entry::Connected(_) => "connected",
        Entry::Disconnected(_) => "disconnected",
        Entry::Lost(..) => "lost",
        Entry::Undelivered { .. } => "undelivered",
        Entry::Late { .. } => "late",
        Entry::Moved { .. } => "moved",
        Entry::Sent { .. } => "sent",
        Entry::Got { .. } => "got",
        Entry::Asked { .. } => "asked",
        Entry::Refused(_) => "refused",
        Entry::Counted { .. } => "counted",
        Entry::Expected { .. } => "expected",
        Entry::Passed { answer: Answer::Ack, .. } => "ack",
        Entry::Passed { .. } => "answer",
        Entry::Heard { said: Said::Goodbye, .. } => "goodbye",
        Entry::Joined { .. } => "joined",
        Entry::Left { .. } => "left",
        Entry::Ended { how: End::Done, nodes_missing: 0, .. } => "done with nobody missing",
        Entry::Ended { how: End::Done, .. } => "done with somebody missing",
        Entry::Ended { how: End::Time, nodes_missing: 1.., .. } => "over with somebody missing",
        Entry::Ended { how: End::NotAsked, .. } => "not asked",
        _ => return None,
    })
}
