//! Many idle connections in one process, which also are their own clients: what each costs.

mod client;

use std::sync::atomic::Ordering::Relaxed;
use std::thread::sleep;
use std::time::{Duration, Instant};

use clap::Args;
use serde::{Deserialize, Serialize};

use self::client::{Client, TALLY};
use crate::{Result, fail, machine, process};

/// How often a client is pinged.
const PING_INTERVAL: Duration = Duration::from_secs(25);
/// Each client must join, and must be pinged once, within this time.
const PATIENCE: Duration = Duration::from_secs(120);
/// What must be free for each connection, and for the rest.
const NEEDED_KIB: f64 = 6.0;
const NEEDED_MORE_KIB: f64 = 256.0 * 1024.0;

#[derive(Args)]
pub(crate) struct Part {
    connections: usize,
    /// Measures only the streams, without a server.
    #[arg(long)]
    streams: bool,
}

/// What one connection costs.
#[derive(Deserialize, Serialize)]
pub(crate) struct Cost {
    /// Resident.
    pub(crate) kib: f64,
    /// Time on a CPU, user and system, of an idle connection in a second.
    pub(crate) cpu_ns_per_second: f64,
}

/// Measures, and writes a [`Cost`] as JSON.
pub(crate) fn run(part: &Part) -> Result<()> {
    let count = part.connections;
    let (needed, free) =
        (NEEDED_MORE_KIB + NEEDED_KIB * count as f64, machine::memory_kib("MemAvailable")?);
    if free < needed {
        return fail(format!(
            "{count} connections need {:.1} GiB of memory, and {:.1} GiB are free; \
             leave this case out, or run it on a larger machine",
            needed / 1024.0 / 1024.0,
            free / 1024.0 / 1024.0,
        ));
    }
    let cost = if part.streams { streams(count)? } else { connections(count)? };
    println!("{}", serde_json::to_string(&cost)?);
    Ok(())
}

/// Streams alone, which hear and say what they do with a server.
fn streams(count: usize) -> Result<Cost> {
    let mut streams: Vec<Option<Box<Client>>> = Vec::new();
    // Resident now, since the list belongs to no stream.
    streams.resize_with(count, || None);
    let empty = process::resident_kib("self")?;
    streams.fill_with(|| Some(Box::default()));
    let kib = process::resident_kib("self")? - empty;
    let mut streams: Vec<&mut Client> = streams.iter_mut().flatten().map(Box::as_mut).collect();
    streams.iter_mut().try_for_each(|stream| stream.join_nothing())?;
    let cpu = own_cpu()?;
    streams.iter_mut().try_for_each(|stream| stream.be_pinged())?;
    let cpu = own_cpu()? - cpu;
    Ok(Cost { kib: kib / count as f64, cpu_ns_per_second: per_second(cpu, count) })
}

/// Connections of a server.
fn connections(count: usize) -> Result<Cost> {
    // As `tokio::main` makes it, which servers have.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    // One more: what is made once is not a connection's.
    let io =
        roomful::Server::builder().connections_max(count + 1).ping_interval(PING_INTERVAL).build();
    runtime.block_on(runtime.spawn(open(io.clone(), 1)))?;
    wait(|| TALLY.joined.load(Relaxed) == 1, "the first client did not join")?;
    let empty = process::resident_kib("self")?;
    runtime.block_on(runtime.spawn(open(io.clone(), count)))?;
    wait(|| TALLY.joined.load(Relaxed) == count + 1, "not all clients joined")?;
    // The first ones may have been pinged already, and will be again.
    let pings = TALLY.pings.load(Relaxed);
    let cpu = own_cpu()?;
    wait(|| TALLY.pings.load(Relaxed) > pings + count, "not all clients were pinged")?;
    let cpu = own_cpu()? - cpu;
    let kib = process::resident_kib("self")? - empty;
    let left = io.stats().connections;
    if left != count as u64 + 1 {
        return fail(format!("of {count} connections and one, {left} are left"));
    }
    runtime.shutdown_background();
    Ok(Cost { kib: kib / count as f64, cpu_ns_per_second: per_second(cpu, count) })
}

/// Opens connections one after the other: a server that opens many at once needs memory for that,
/// which is not an idle connection's.
async fn open(io: roomful::Server, count: usize) {
    for _ in 0..count {
        io.serve_stream(Client::default(), None).await;
        // The new connection runs, and joins.
        tokio::task::yield_now().await;
    }
}

fn wait(until: impl Fn() -> bool, else_: &str) -> Result<()> {
    let began = Instant::now();
    while !until() {
        if began.elapsed() > PATIENCE {
            return fail(else_);
        }
        // Seldom, for this is counted too.
        sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// Time on a CPU so far. The system counts it when a thread rests.
fn own_cpu() -> Result<Duration> {
    sleep(Duration::from_millis(1));
    process::cpu("self")
}

/// From the time that it takes to ping each once.
fn per_second(cpu: Duration, count: usize) -> f64 {
    cpu.as_nanos() as f64 / count as f64 / PING_INTERVAL.as_secs_f64()
}
