//! [`measure`]: plays through a warm-up and a window of time, and sees at the end that nothing is
//! missing.

use std::time::{Duration, Instant};

use super::Scale;
use crate::load::swarm::{Play, Swarm};
use crate::load::times::Times;
use crate::servers::Server;
use crate::{Result, fail};

/// When nothing came for so long, nothing will: the slowest server takes seconds for one event to
/// a room of 18,000.
pub(super) const SILENCE: Duration = Duration::from_secs(15);
/// What comes twice comes within this.
pub(super) const AFTERMATH: Duration = Duration::from_millis(20);

/// What a case counts.
#[derive(Default)]
pub(super) struct Count {
    /// Things begun so far.
    pub(super) begun: u64,
    /// Things done so far.
    pub(super) done: u64,
    /// The window is over: begin nothing more.
    pub(super) over: bool,
    /// How long they took.
    pub(super) times: Times,
}

/// A case that counts what is done.
pub(super) trait Counted: Play {
    fn count(&mut self) -> &mut Count;

    /// Things that were begun and are not done.
    fn under_way(&mut self) -> u64 {
        let count = self.count();
        count.begun - count.done
    }

    /// The warm-up is over: forget the times of it.
    fn begin(&mut self) {
        self.count().times.clear();
    }

    /// Called before each turn; gives how long the turn may wait.
    fn pace(&mut self, _: &mut Swarm) -> Result<Option<Duration>> {
        Ok(Some(Duration::from_secs(1)))
    }
}

/// What a window of time brought.
pub(super) struct Measured {
    pub(super) done: u64,
    pub(super) wall: Duration,
    pub(super) cpu: Duration,
}

impl Measured {
    /// Microseconds of the server's CPU for each thing done.
    pub(super) fn cpu_us(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.done as f64
    }

    /// Things done in a second.
    pub(super) fn rate(&self) -> f64 {
        self.done as f64 / self.wall.as_secs_f64()
    }
}

/// Plays through the warm-up and the window, and until all that is under way is done.
pub(super) fn measure<P: Counted>(
    swarm: &mut Swarm,
    play: &mut P,
    server: &Server,
    scale: &Scale,
) -> Result<Measured> {
    play_for(swarm, play, scale.warm)?;
    play.begin();
    let (cpu, done, started) = (server.cpu()?, play.count().done, Instant::now());
    play_for(swarm, play, scale.window)?;
    let (wall, cpu) = (started.elapsed(), server.cpu_since(cpu)?);
    let done = play.count().done - done;
    finish(swarm, play)?;
    if done == 0 {
        return fail("nothing was done in the time");
    }
    Ok(Measured { done, wall, cpu })
}

fn play_for<P: Counted>(swarm: &mut Swarm, play: &mut P, time: Duration) -> Result<()> {
    let (started, mut heard, mut done) = (Instant::now(), Instant::now(), play.count().done);
    while started.elapsed() < time {
        let wait = play.pace(swarm)?;
        swarm.turn(play, wait)?;
        if play.count().done > done {
            (heard, done) = (Instant::now(), play.count().done);
        } else if heard.elapsed() > SILENCE {
            return fail(format!("after {done} nothing more came: something is lost"));
        }
    }
    Ok(())
}

/// Without this, a client whose only answer is lost would be one that says nothing.
fn finish<P: Counted>(swarm: &mut Swarm, play: &mut P) -> Result<()> {
    play.count().over = true;
    let (mut heard, mut left) = (Instant::now(), play.under_way());
    while left > 0 {
        swarm.turn(play, Some(Duration::from_millis(100)))?;
        if play.under_way() < left {
            (heard, left) = (Instant::now(), play.under_way());
        } else if heard.elapsed() > SILENCE {
            return fail(format!("{left} never came: lost"));
        }
    }
    let ended = Instant::now();
    while ended.elapsed() < AFTERMATH {
        swarm.turn(play, Some(AFTERMATH))?;
    }
    Ok(())
}

/// The number of a message as two digits, so that all messages have one length and a bare server
/// can have its answers ready. With less than ninety in flight, a message that is lost, doubled or
/// out of order shows.
pub(super) const fn two_digits(count: u64) -> u64 {
    10 + count % 90
}
