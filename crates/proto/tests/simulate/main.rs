//! Clusters in virtual time: nodes that speak by an engine which delays, loses and repeats, that die, leave and come
//! again, and are lied to. What happens is recorded, and [`oracle`] says what must be so in every history.
//!
//! ```text
//!   World     what happens, all of it made of one number
//!   Node      a relay with clients, driven as `roomful-cluster` does it; its Keeper has the connection
//!   Bus       the engine
//!   History   what has happened
//! ```
//!
//! A world in which something is wrong can be looked at again. `SEEDS=20000` runs so many of them.
//!
//! ```text
//! SEED=17 cargo test -p roomful-proto --test simulate replay
//! ```

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod bus;
mod dice;
mod history;
mod keeper;
mod liar;
mod node;
mod oracle;
mod rules;
mod scene;
mod tally;
mod world;

use std::collections::BTreeSet;

use roomful_proto::cluster::Presence;

use self::dice::Dice;
use self::history::{Answer, Entry, History, Said};
use self::rules::Rules;
use self::tally::Tally;
use self::world::World;

/// Worlds that are run where nobody says how many: so many show all that can happen.
const SEEDS: u64 = 1_000;

/// A number of the environment.
fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok().filter(|text| !text.is_empty())?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

/// What happens in the world of a seed, where nothing is wrong with it.
fn run(seed: u64) -> History {
    let _named = Named(seed);
    let mut dice = Dice::new(seed);
    let rules = Rules::new(&mut dice);
    let history = World::history(rules.clone(), dice);
    judge(&rules, &history);
    history
}

fn judge(rules: &Rules, history: &History) {
    if let Err(wrong) = oracle::check(rules, history) {
        panic!("{rules:#?}\n{}{}", history.lines(wrong.at), wrong.why);
    }
}

/// Names the seed of a world in which somebody panics.
struct Named(u64);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let seed = self.0;
            eprintln!("SEED={seed} cargo test -p roomful-proto --test simulate replay");
        }
    }
}

#[test]
fn whatever_happens() {
    let seeds = number("SEEDS").unwrap_or(SEEDS);
    let mut tally = Tally::default();
    (0..seeds).for_each(|seed| tally.count(&run(seed)));
    // A simulation in which nothing happens shows nothing.
    assert!(seeds < SEEDS || tally.never().is_empty(), "never: {:?}", tally.never());
}

#[test]
fn replay() {
    drop(run(number("SEED").unwrap_or(0)));
}

/// Or else nobody could look at one again.
#[test]
fn a_seed_is_a_world() {
    for seed in 0..5 {
        // What a relay says at once of several nodes or requests it says in any order.
        let sorted = || {
            let entries = run(seed).entries.into_iter();
            let mut lines: Vec<_> = entries.map(|entry| format!("{entry:?}")).collect();
            lines.sort_unstable();
            lines
        };
        assert_eq!(sorted(), sorted(), "of seed {seed}");
    }
}

/// Every answer of a node comes twice, and is passed on once. That of a client does not say whose it is, so on no wire
/// it comes twice.
#[test]
fn a_repeated_answer_is_counted_once() {
    for (presence, seed) in [Presence::Heartbeats, Presence::Counted].into_iter().zip(1..) {
        let rules = Rules { twice_one_in: 1, ..Rules::sound(presence) };
        let history = World::history(rules.clone(), Dice::new(seed));
        judge(&rules, &history);
        let (mut heard, mut passed) = (0, BTreeSet::new());
        let mut entries = history.entries.iter().map(|(_, entry)| entry).peekable();
        while let Some(entry) = entries.next() {
            let Entry::Heard { node, from, said: Said::Answer(request, answer) } = *entry else {
                continue;
            };
            if answer != Answer::Ack {
                heard += 1;
                let is_passed = matches!(entries.peek(), Some(Entry::Passed { .. }));
                assert!(!is_passed || passed.insert((node, from, request)), "{entry:?}");
            }
        }
        assert!(passed.len() > 100 && heard >= 2 * passed.len(), "{heard}, {}", passed.len());
    }
}
