//! The cases: what is measured, one file for each kind.
//!
//! A new case is a file with a [`Case`] in it, and a line in [`all`].

mod connect;
mod echo;
mod idle;
mod paced;
mod room;

use std::time::{Duration, Instant};

use crate::Result;
use crate::fail;
use crate::load::swarm::{PATIENCE, Play, Swarm};
use crate::servers::Server;

/// Something that can be measured.
pub(crate) trait Case {
    /// As it is called on the command line and in the data.
    fn name(&self) -> String;

    /// As it is called in a table.
    fn title(&self) -> String;

    /// What its first figure is, with its unit.
    fn unit(&self) -> &'static str;

    /// Measures one server; each figure by its name. The first is the one that counts.
    fn run(&self, server: &Server, scale: &Scale) -> Result<Vec<Figure>>;
}

/// A name and a value.
pub(crate) type Figure = (&'static str, f64);

/// How long things are measured.
pub(crate) struct Scale {
    pub(crate) warm: Duration,
    pub(crate) window: Duration,
    /// Clients of the cases about memory.
    pub(crate) idle_clients: usize,
    pub(crate) waves: usize,
}

/// All cases, in the order of the tables.
pub(crate) fn all() -> Vec<Box<dyn Case>> {
    vec![
        Box::new(echo::Echo { in_flight: 16, bytes: None }),
        Box::new(echo::Echo { in_flight: 1, bytes: None }),
        Box::new(paced::Paced { per_second: 4_000 }),
        Box::new(room::Room { members: 1_000, in_flight: 4 }),
        Box::new(room::Room { members: 1_000, in_flight: 1 }),
        Box::new(room::Room { members: 5_000, in_flight: 4 }),
        Box::new(room::Room { members: 5_000, in_flight: 1 }),
        Box::new(connect::Connect { at_once: 16 }),
        Box::new(echo::Echo { in_flight: 16, bytes: Some(1024) }),
        Box::new(idle::Idle),
    ]
}

/// A case that counts what is done.
pub(crate) trait Counted: Play {
    /// Things done so far.
    fn done(&self) -> u64;

    /// The warm-up is over: forget the times of it.
    fn begin(&mut self);

    /// Called before each turn; gives how long the turn may wait.
    fn pace(&mut self, _: &mut Swarm) -> Result<Option<Duration>> {
        Ok(Some(Duration::from_secs(1)))
    }
}

/// What a window of time brought.
pub(crate) struct Measured {
    pub(crate) done: u64,
    pub(crate) wall: Duration,
    pub(crate) cpu: Duration,
}

impl Measured {
    /// Microseconds of the server's CPU for each thing done.
    pub(crate) fn cpu_us(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.done as f64
    }

    /// Things done in a second.
    pub(crate) fn rate(&self) -> f64 {
        self.done as f64 / self.wall.as_secs_f64()
    }
}

/// Plays through the warm-up and the window.
pub(crate) fn measure<P: Counted>(
    swarm: &mut Swarm,
    play: &mut P,
    server: &Server,
    scale: &Scale,
) -> Result<Measured> {
    play_for(swarm, play, scale.warm)?;
    play.begin();
    let (cpu, done, started) = (server.cpu()?, play.done(), Instant::now());
    play_for(swarm, play, scale.window)?;
    let (wall, cpu) = (started.elapsed(), server.cpu()? - cpu);
    Ok(Measured { done: play.done() - done, wall, cpu })
}

fn play_for<P: Counted>(swarm: &mut Swarm, play: &mut P, time: Duration) -> Result<()> {
    let (started, mut heard, mut done) = (Instant::now(), Instant::now(), play.done());
    while started.elapsed() < time {
        let wait = play.pace(swarm)?;
        swarm.turn(play, wait)?;
        if play.done() > done {
            (heard, done) = (Instant::now(), play.done());
        } else if heard.elapsed() > PATIENCE {
            return fail(format!("after {done} nothing more came: something is lost"));
        }
    }
    Ok(())
}

/// The number of a message as two digits, so that all messages have one length and a bare server
/// can have its answers ready. With less than ninety in flight, a message that is lost, doubled or
/// out of order shows.
pub(crate) const fn two_digits(count: u64) -> u64 {
    10 + count % 90
}
