//! [`Options`]: how large a storm is, and which.

use std::time::Duration;

use clap::Parser;

/// Thousands of clients that connect, join, ask, are cut, come back and leave, and what must be so
/// meanwhile and afterwards.
///
/// Two servers are in this process, one with recovery and one without. After each wave all clients are
/// gone and everything of theirs has to be: sockets, rooms, namespaces, tasks, open files, memory.
#[derive(Parser)]
#[command(name = "storm")]
pub struct Options {
    /// What all clients do follows from this number; a new one by default
    #[arg(long)]
    pub seed: Option<u64>,

    /// Clients of one wave; each may come back a few times
    #[arg(long, default_value_t = 1_000)]
    pub clients: u64,

    /// Clients that are there at the same time
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..))]
    pub at_once: u64,

    /// Waves after the first one, with which the memory after each is compared
    #[arg(long, default_value_t = 2)]
    pub waves: u64,

    /// Seconds for which new waves begin, in place of a number of them
    #[arg(long)]
    pub time: Option<u64>,

    /// Threads of the servers; the clients have two of their own
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..))]
    pub threads: u64,

    /// Write a summary as one line of JSON at the end
    #[arg(long)]
    pub json: bool,

    /// `cargo test` may give this; there is nothing else to run
    #[arg(long, hide = true)]
    pub nocapture: bool,
}

impl Options {
    pub fn time(&self) -> Option<Duration> {
        self.time.map(Duration::from_secs)
    }
}
