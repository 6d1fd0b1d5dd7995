//! [`Order`]: what `bench clients` asks of a client program. All that are written in Rust share this.
//!
//! A program is called as `PROGRAM CASE URL SECONDS`. It connects, does the case for half the time to
//! warm up, writes a line, and waits for one. Then it does the case for the whole time and until all
//! that is under way is done, writes what it has counted, and waits again: whoever measures it looks
//! at the process while it waits.

use std::io::{self, Write as _};
use std::time::{Duration, Instant};

/// How many texts there are, one for each number that a case counts its events with.
pub(crate) const TEXTS: usize = 90;

/// How many idle clients connect at once: one may spend its time waiting.
pub(crate) const IDLE_AT_ONCE: usize = 50;

/// What a client is to do.
pub(crate) struct Order {
    pub(crate) case: Case,
    /// `http://HOST:PORT`.
    pub(crate) url: String,
    /// How long it is measured.
    pub(crate) time: Duration,
}

/// As it is called in an order.
#[derive(Clone, Copy)]
pub(crate) enum Case {
    /// `call-N`: `echo` with a text, whose ack is that text; so many are under way at once.
    Call { in_flight: usize },
    /// `receive-N`: `said` with the next text, so many a second. `receive-flood`: as many as come.
    Receive { per_second: Option<u32> },
    /// `connect`: connect, join the namespace, go; one after the other.
    Connect,
    /// `idle-N`: one client to warm up, and so many more that stay; [`IDLE_AT_ONCE`] connect at once.
    Idle { clients: usize },
}

impl Order {
    /// The one on the command line.
    pub(crate) fn read() -> Result<Self, String> {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        let [case, url, seconds] = arguments.as_slice() else {
            return Err("usage: PROGRAM CASE URL SECONDS".to_owned());
        };
        let case = Case::named(case).ok_or_else(|| format!("there is no case {case}"))?;
        let time = seconds.parse().ok().and_then(|time| Duration::try_from_secs_f64(time).ok());
        let time = time.ok_or_else(|| format!("{seconds} are no seconds"))?;
        Ok(Self { case, url: url.clone(), time })
    }

    /// How long it does the case before it is measured.
    pub(crate) fn warm(&self) -> Duration {
        self.time / 2
    }
}

impl Case {
    /// The one that is called so.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name.split_once('-') {
            None if name == "connect" => Self::Connect,
            Some(("call", count)) => Self::Call { in_flight: count.parse().ok()? },
            Some(("receive", "flood")) => Self::Receive { per_second: None },
            Some(("receive", rate)) => Self::Receive { per_second: Some(rate.parse().ok()?) },
            Some(("idle", count)) => Self::Idle { clients: count.parse().ok()? },
            _ => return None,
        })
    }
}

/// The event that has the server send for so long, as JSON: its name and its arguments.
pub(crate) fn wish(per_second: Option<u32>, time: Duration) -> String {
    let ms = time.as_millis();
    per_second.map_or_else(
        || format!(r#"["flood",{ms}]"#),
        |per_second| format!(r#"["pace",{per_second},{ms}]"#),
    )
}

/// What was done, and since when.
pub(crate) struct Count {
    pub(crate) done: u64,
    pub(crate) since: Instant,
}

impl Count {
    pub(crate) fn new() -> Self {
        Self { done: 0, since: Instant::now() }
    }
}

/// The warm-up is over.
pub(crate) fn ready() -> io::Result<()> {
    say(r#"{"ready":true}"#)
}

/// All is done.
pub(crate) fn end(count: &Count) -> io::Result<()> {
    let (done, seconds) = (count.done, count.since.elapsed().as_secs_f64());
    say(&format!(r#"{{"done":{done},"seconds":{seconds}}}"#))
}

/// Writes a line and waits for one. It stops the thread, as nothing is under way.
fn say(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()?;
    io::stdin().read_line(&mut String::new()).map(|_| ())
}
