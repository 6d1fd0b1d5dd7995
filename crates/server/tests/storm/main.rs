//! The storm: thousands of clients that connect, join, ask, are cut, come back and leave, on several
//! threads, at two servers at once; and what must be so meanwhile and afterwards.
//!
//! Meanwhile: each member of a room sees what is sent there once and in order, also when it was cut and
//! has its socket back; each question has its own answer; each socket ends for the reason for which its
//! client was cut. Afterwards: nothing is left of anybody, be it a socket, a room, a namespace, a task,
//! a file or memory.
//!
//! `make storm-short`, `make storm`. The plan of each client follows from the seed, so `--seed` plays the
//! same clients again; what of it happens at the same time is the machine's.
//!
//! `site` has the servers and their handlers, `client/` and `hostile` what clients do, `line` their transports. `order`
//! and `books` check what must be so meanwhile, `wave` and `rest` what must be so afterwards. `panics` counts the
//! panics that nobody asked for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

mod books;
mod client;
mod hostile;
mod line;
mod options;
mod order;
mod panics;
mod rest;
mod site;
#[path = "../support/mod.rs"]
mod support;
mod wave;

use std::process::ExitCode;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use clap::Parser;
use tokio::runtime::{Builder, Runtime};

use options::Options;
use wave::Storm;

fn main() -> ExitCode {
    let options = Options::parse();
    let seed = options.seed.unwrap_or_else(new_seed);
    let needed = options.at_once * wave::FILES_PER_CLIENT + 100;
    if let Some(max) = rest::files_max().filter(|max| *max < needed) {
        eprintln!(
            "{max} files may be open, and this needs {needed}: ulimit -n, or a lower --at-once"
        );
        return ExitCode::FAILURE;
    }
    panics::watch();
    println!(
        "storm of seed {seed}: {} clients a wave, {} at once",
        options.clients, options.at_once
    );
    let began = Instant::now();
    let mut storm = Storm::begin(runtime(options.threads), seed, &options);
    storm.wave();
    let mut waves = 0;
    while !storm.has_failed()
        && options.time().map_or(waves < options.waves, |t| began.elapsed() < t)
    {
        storm.wave();
        waves += 1;
    }
    let verdict = storm.end();
    if options.json {
        println!("{}", verdict.json());
    }
    verdict.print();
    if verdict.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn runtime(threads: u64) -> Runtime {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(threads as usize).enable_all().build().expect("a runtime")
}

fn new_seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.as_millis() as u64 % 1_000_000_000
}
