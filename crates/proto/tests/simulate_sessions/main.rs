//! Clusters without sticky sessions in virtual time: clients whose every request comes to any node, by a bus that
//! delays, and loses what it carries while a node is away from it; nodes and clients that die.
//!
//! ```text
//!   World    what happens, all of it made of one number; the bus, and the ways between clients and nodes
//!   Client   speaks as the official one: a poll, a body, an upgrade
//!   Node     an owner and a guest with sessions, driven as the server does it
//! ```
//!
//! What must be so: each side hears what the other has said in order, without a gap and once, for as long as the session
//! lasts; no request waits for ever; nothing is left of what has ended. Where nobody dies and nothing is lost, every
//! client lives, and everything arrives.
//!
//! ```text
//! SEED=17 cargo test -p roomful-proto --test simulate_sessions replay
//! ```

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::unreachable,
    missing_docs
)]

mod client;
#[path = "../simulate/dice.rs"]
mod dice;
mod node;
mod world;

use self::dice::Dice;
use self::world::{Seen, World};

/// Worlds that are run where nobody says how many.
const SEEDS: u64 = 500;

/// A number of the environment.
fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok().filter(|text| !text.is_empty())?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

/// Names the seed of a world in which somebody panics.
struct Named(u64);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let seed = self.0;
            eprintln!("SEED={seed} cargo test -p roomful-proto --test simulate_sessions replay");
        }
    }
}

fn run(seed: u64) -> Seen {
    let _named = Named(seed);
    World::run(Dice::new(seed))
}

#[test]
fn whatever_happens() {
    let seeds = number("SEEDS").unwrap_or(SEEDS);
    let mut seen = Seen::default();
    (0..seeds).for_each(|seed| seen.add(&run(seed)));
    // A simulation in which nothing happens shows nothing.
    assert!(seeds < SEEDS || seen.never().is_empty(), "never: {:?}, {seen:?}", seen.never());
}

#[test]
fn replay() {
    let seed = number("SEED").unwrap_or(0);
    println!("{:?}", run(seed));
}

/// Or else nobody could look at one again.
#[test]
fn a_seed_is_a_world() {
    for seed in 0..5 {
        assert_eq!(run(seed), run(seed), "of seed {seed}");
    }
}
