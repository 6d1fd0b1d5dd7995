//! What stays of an attack: the memory of the process when all clients have gone.

use std::thread::sleep;
use std::time::{Duration, Instant};

use super::attacker::{Attacker, Side};
use super::attacks::aftermaths;
use super::victim::{Heap, Victim};
use crate::Result;

/// When it is looked, after the last client has gone.
const SOON: Duration = Duration::from_secs(10);
const LATER: Duration = Duration::from_secs(30);

/// An allocator, and what it is told by its environment.
type Allocator = (&'static str, Heap, &'static [(&'static str, &'static str)]);

const ALLOCATORS: [Allocator; 5] = [
    ("mimalloc, as in the hub", Heap::Mimalloc, &[]),
    ("mimalloc, `MIMALLOC_PURGE_DELAY=0`", Heap::Mimalloc, &[("MIMALLOC_PURGE_DELAY", "0")]),
    ("glibc", Heap::Counting, &[]),
    ("glibc, `MALLOC_ARENA_MAX=2`", Heap::Counting, &[("MALLOC_ARENA_MAX", "2")]),
    (
        "glibc, `MALLOC_TRIM_THRESHOLD_=1000000`, `MALLOC_MMAP_THRESHOLD_=65536`",
        Heap::Counting,
        &[("MALLOC_TRIM_THRESHOLD_", "1000000"), ("MALLOC_MMAP_THRESHOLD_", "65536")],
    ),
];

/// Resident bytes of one attack with one allocator.
pub(super) struct After {
    pub(super) attack: &'static str,
    pub(super) allocator: &'static str,
    pub(super) before: f64,
    pub(super) peak: f64,
    pub(super) soon: f64,
    pub(super) later: f64,
    /// When honest clients have been there, and have gone.
    pub(super) honest: f64,
}

/// All attacks with all allocators. They wait at the same time for what goes late.
pub(super) fn measure() -> Result<Vec<After>> {
    let mut all = Vec::new();
    for (attack, run) in aftermaths() {
        let mut waiting = Vec::new();
        for (allocator, heap, env) in ALLOCATORS {
            let mut attacker = Attacker::new(Victim::start(heap, None, env)?, Side::Hold)?;
            attacker.rest()?;
            let before = attacker.victim.resident()?;
            run(&mut attacker)?;
            attacker.rest()?;
            let peak = attacker.victim.resident()?;
            attacker.cut_all()?;
            attacker.rest()?;
            let over = Instant::now();
            let after =
                After { attack, allocator, before, peak, soon: 0.0, later: 0.0, honest: 0.0 };
            waiting.push((after, attacker, over));
        }
        for (after, attacker, over) in &mut waiting {
            sleep(SOON.saturating_sub(over.elapsed()));
            after.soon = attacker.victim.resident()?;
        }
        for (mut after, mut attacker, over) in waiting {
            sleep(LATER.saturating_sub(over.elapsed()));
            after.later = attacker.victim.resident()?;
            be_honest(&mut attacker)?;
            after.honest = attacker.victim.resident()?;
            all.push(after);
        }
    }
    Ok(all)
}

/// Some clients come, say something and go.
fn be_honest(attacker: &mut Attacker) -> Result<()> {
    let event = format!("4217[\"echo\",\"{}\"]", "x".repeat(100));
    let lines = attacker.joined(200)?;
    for _ in 0..100 {
        for who in lines.clone() {
            attacker.text(who, event.as_bytes());
        }
        attacker.send()?;
    }
    attacker.rest()?;
    attacker.cut_all()?;
    attacker.rest()
}
