//! [`enter`]: has clients join rooms, which no figure counts.

use std::time::Instant;

use super::measure::{SILENCE, two_digits};
use crate::load::swarm::{Clients, Packet, Play, Swarm};
use crate::{Result, fail};

/// Has each client join the rooms that are its own, and waits until it is in them.
pub(super) fn enter(swarm: &mut Swarm, rooms: impl Fn(usize) -> Vec<String>) -> Result<()> {
    let mut entering = Entering { entered: vec![0; swarm.clients.len()], missing: 0 };
    for who in 0..swarm.clients.len() {
        for (count, room) in (0..).zip(rooms(who)) {
            let event = format!(r#"2{}["join","{room}"]"#, two_digits(count));
            swarm.clients.send(who, event.as_bytes());
            entering.missing += 1;
        }
    }
    let (mut heard, mut missing) = (Instant::now(), entering.missing);
    while missing > 0 {
        swarm.turn(&mut entering, Some(SILENCE))?;
        if entering.missing < missing {
            (heard, missing) = (Instant::now(), entering.missing);
        } else if heard.elapsed() > SILENCE {
            return fail(format!("{missing} were never let into their rooms: lost"));
        }
    }
    Ok(())
}

struct Entering {
    /// Rooms that each client is in.
    entered: Vec<u64>,
    missing: usize,
}

impl Play for Entering {
    fn packet(&mut self, who: usize, packet: Packet<'_>, _: &mut Clients) -> Result<()> {
        let wanted = format!("3{}[true]", two_digits(self.entered[who]));
        if !matches!(packet, Packet::Text(ack) if ack == wanted.as_bytes()) {
            return fail(format!("client {who} waits for {wanted} and got {packet:?}"));
        }
        self.entered[who] += 1;
        self.missing -= 1;
        Ok(())
    }
}
