//! [`Rules`]: what may happen in a world.

use std::time::Duration;

use roomful_proto::cluster::{Presence, RelaySettings};

use crate::dice::Dice;

/// Time between heartbeats, and the silence after which a node is taken for dead: the defaults of a relay.
pub(crate) const INTERVAL: Duration = Duration::from_secs(5);
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);
/// How often a keeper looks whose time is over.
pub(crate) const TICK: Duration = Duration::from_millis(500);
/// For longer nobody who is silent is known or waited for, as long as there is an engine.
pub(crate) const SILENCE_MAX: Duration = TIMEOUT.saturating_add(TICK);
/// What keepers take at most to publish something.
pub(crate) const KEEPERS: Duration = Duration::from_millis(100);
/// A packet that takes longer is late: heartbeats are, with it, too far from each other.
pub(crate) const LATE: Duration = Duration::from_secs(4);

/// What may happen in a world.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) presence: Presence,
    /// Nothing is lost, late or a lie, and nobody goes without a word.
    pub(crate) is_sound: bool,
    /// What a packet takes at most where it is not late.
    pub(crate) delay_ms_max: u64,
    /// One packet in so many is lost on its way to one node, comes late, or comes twice; 0 for none.
    pub(crate) lost_one_in: u64,
    pub(crate) late_one_in: u64,
    pub(crate) twice_one_in: u64,
    /// Somebody who is no node speaks, too.
    pub(crate) has_liar: bool,
    /// A node hears what it says itself.
    pub(crate) echoes: bool,
    /// An answer goes to whoever has asked alone.
    pub(crate) is_addressed: bool,
    /// An answer does not say whose it is, as on the wire of classic Redis.
    pub(crate) is_anonymous: bool,
    pub(crate) requests_max: usize,
}

impl Rules {
    /// Those of a world of its own.
    pub(crate) fn new(dice: &mut Dice) -> Self {
        let presence = match dice.one_in(3) {
            true => Presence::Counted,
            false => Presence::Heartbeats,
        };
        let is_sound = dice.one_in(4);
        let is_anonymous = presence == Presence::Counted && dice.one_in(2);
        let mut sometimes = |times| if is_sound || dice.one_in(2) { 0 } else { times };
        let (lost_one_in, late_one_in) = (sometimes(20), sometimes(200));
        let has_liar = sometimes(1) == 1;
        // Twice is what nobody notices, so it is no fault. Nobody can tell two answers of nobody apart.
        let twice_one_in = if is_anonymous || dice.one_in(2) { 0 } else { 4 };
        Self {
            presence,
            is_sound,
            delay_ms_max: [2, 50, 2_000][dice.below(3) as usize],
            lost_one_in,
            late_one_in,
            twice_one_in,
            has_liar,
            echoes: dice.one_in(2),
            is_addressed: dice.one_in(2),
            is_anonymous,
            requests_max: if dice.one_in(8) { 3 } else { 10_000 },
        }
    }

    /// Those of a world in which nothing goes wrong.
    pub(crate) const fn sound(presence: Presence) -> Self {
        Self {
            presence,
            is_sound: true,
            delay_ms_max: 50,
            lost_one_in: 0,
            late_one_in: 0,
            twice_one_in: 0,
            has_liar: false,
            echoes: true,
            is_addressed: false,
            is_anonymous: false,
            requests_max: 10_000,
        }
    }

    pub(crate) fn relay_settings(&self) -> RelaySettings {
        let mut settings = RelaySettings::new(self.presence);
        settings.heartbeat_interval = INTERVAL;
        settings.heartbeat_timeout = TIMEOUT;
        settings.requests_max = self.requests_max;
        settings
    }
}
