//! [`Storm`]: one wave of clients after the other, and what is looked at between them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use roomful::Reason;
use serde_json::json;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{interval, sleep, timeout};

use crate::client::Client;
use crate::hostile;
use crate::options::Options;
use crate::panics;
use crate::rest::Rest;
use crate::site::Site;
use crate::support::random::Random;

/// Two streams with both their ends in this process, and one more while an upgrade is under way.
pub const FILES_PER_CLIENT: u64 = 6;
/// One client of so many breaks rules.
const HOSTILE_ONE_IN: u64 = 25;
const CLIENT_THREADS: usize = 2;
/// How long everything of a wave may take to be gone when its clients are: longer than it takes to miss a
/// ping, and to come back.
const REST_PATIENCE: Duration = Duration::from_secs(60);
/// Serving, accepting, and the timer.
const TASKS_PER_SERVER: usize = 3;
const PROGRESS_EVERY: Duration = Duration::from_secs(5);
/// Faults that are shown; the first ones say the most.
const FAULTS_SHOWN: usize = 20;
/// From so many clients on, sockets have ended for each of [`REASONS`].
const CLIENTS_FOR_ALL_REASONS: u64 = 2_000;
const REASONS: [Reason; 7] = [
    Reason::TransportError,
    Reason::TransportClose,
    Reason::PingTimeout,
    Reason::ParseError,
    Reason::ForcedServerClose,
    Reason::ClientNamespaceDisconnect,
    Reason::ServerNamespaceDisconnect,
];

type Tally = BTreeMap<&'static str, u64>;

pub struct Storm {
    seed: u64,
    clients: u64,
    at_once: u64,
    servers: Runtime,
    /// With what was counted there.
    sites: Vec<(Arc<Site>, Tally)>,
    waves: u64,
    /// Open files without any client.
    files: usize,
    /// After the first wave.
    first: Option<Rest>,
    faults: Vec<String>,
    began: Instant,
}

impl Storm {
    pub fn begin(servers: Runtime, seed: u64, options: &Options) -> Self {
        let sites = [false, true].map(|recovers| servers.block_on(Site::start(recovers)));
        let files = Rest::now(servers.handle()).files;
        Self {
            seed,
            clients: options.clients,
            at_once: options.at_once,
            servers,
            sites: sites.map(|site| (Arc::new(site), Tally::new())).into(),
            waves: 0,
            files,
            first: None,
            faults: Vec::new(),
            began: Instant::now(),
        }
    }

    pub fn has_failed(&self) -> bool {
        !self.faults.is_empty()
    }

    /// Sends a wave, and looks at what is left of it.
    pub fn wave(&mut self) {
        let began = Instant::now();
        self.send_clients();
        let stormed = began.elapsed();
        self.is_at_rest();
        for (site, tally) in &mut self.sites {
            for (what, count) in site.books.close() {
                *tally.entry(what).or_default() += count;
            }
            self.faults.extend(nothing_is_left(site));
            self.faults.extend(counters_agree(site, tally));
            self.faults.extend(site.books.take_faults());
        }
        if panics::unasked() > 0 {
            self.faults.push(format!("{} panics that nobody asked for", panics::unasked()));
        }
        let memory = self.memory_is_back();
        println!(
            "wave {}: {:.1} s of storm, at rest after {:.1} s: {} tasks, {} files, {memory}",
            self.waves,
            stormed.as_secs_f64(),
            (began.elapsed() - stormed).as_secs_f64(),
            self.tasks(),
            self.files,
        );
        self.waves += 1;
    }

    /// On a runtime of their own, of which nothing is left afterwards.
    fn send_clients(&mut self) {
        let mut builder = Builder::new_multi_thread();
        let clients = builder.worker_threads(CLIENT_THREADS).enable_all().build();
        let clients = clients.expect("a runtime");
        let begun = Arc::new(AtomicU64::new(0));
        let panicked = clients.block_on(async {
            let mut slots = JoinSet::new();
            for _ in 0..self.at_once.min(self.clients) {
                slots.spawn(self.slot(Arc::clone(&begun)));
            }
            let mut progress = interval(PROGRESS_EVERY);
            progress.tick().await;
            let mut panicked = Vec::new();
            loop {
                tokio::select! {
                    slot = slots.join_next() => match slot {
                        Some(slot) => panicked.extend(slot.expect("a slot only waits")),
                        None => return panicked,
                    },
                    _ = progress.tick() => self.tell_progress(begun.load(Ordering::Relaxed)),
                }
            }
        });
        self.faults.extend(panicked);
    }

    /// Lets one client live after the other, until all of the wave have begun.
    fn slot(&self, begun: Arc<AtomicU64>) -> impl Future<Output = Vec<String>> + use<> {
        let (seed, clients, at_once) = (self.seed, self.clients, self.at_once);
        let first = self.waves * clients;
        let sites: Vec<_> = self.sites.iter().map(|(site, _)| Arc::clone(site)).collect();
        async move {
            let mut panicked = Vec::new();
            loop {
                let at = begun.fetch_add(1, Ordering::Relaxed);
                if at >= clients {
                    return panicked;
                }
                let key = first + at;
                let mut random = Random::new(seed.wrapping_add(key << 32));
                let site = Arc::clone(&sites[random.below(sites.len() as u64) as usize]);
                let life = if random.below(HOSTILE_ONE_IN) == 0 {
                    tokio::spawn(hostile::live(site, key, random))
                } else {
                    tokio::spawn(Client::new(site, key, at_once, random).live())
                };
                if let Err(error) = life.await {
                    panicked.push(format!("client {key}: {}", words_of(error)));
                }
            }
        }
    }

    fn tell_progress(&self, begun: u64) {
        let stats = self.sites.iter().map(|(site, _)| site.server.stats());
        let (open, all) = stats.fold((0, 0), |(o, a), s| (o + s.connections, a + s.opened));
        println!(
            "  {:4} s: wave {}, {} of {} clients, {open} connections open, {all} since the beginning",
            self.began.elapsed().as_secs(),
            self.waves,
            begun.min(self.clients),
            self.clients,
        );
    }

    /// Tasks without any client.
    fn tasks(&self) -> usize {
        self.sites.len() * TASKS_PER_SERVER
    }

    /// Waits until all that is about to end has ended.
    fn is_at_rest(&mut self) {
        let open =
            |what: fn(&Site) -> usize| self.sites.iter().map(|(s, _)| what(s)).sum::<usize>();
        let servers = self.servers.handle();
        let faults = [
            waits(servers, "connections", || open(|s| s.server.stats().connections as usize), 0),
            waits(
                servers,
                "sockets that have not heard of their end",
                || open(|s| s.books.present()),
                0,
            ),
            waits(servers, "tasks", || Rest::now(servers).tasks, self.tasks()),
            waits(servers, "open files", || Rest::now(servers).files, self.files),
        ];
        self.faults.extend(faults.into_iter().flatten());
    }

    /// Compares the memory with that after the first wave; gives it in words.
    fn memory_is_back(&mut self) -> String {
        let servers = self.servers.handle();
        let Some(first) = self.first else {
            let first = Rest::now(servers);
            self.first = Some(first);
            return format!("{} bytes live", first.live_bytes);
        };
        if panics::unasked() > 0 {
            // To name the functions in it, the library reads all debug information, and keeps it.
            return "memory not compared: a panic may have printed a backtrace".to_owned();
        }
        let max = first.live_bytes_max(servers.metrics().num_workers());
        let back = servers.block_on(comes_true(|| Rest::now(servers).live_bytes <= max));
        let now = Rest::now(servers);
        let grown = now.live_bytes as i64 - first.live_bytes as i64;
        let words = format!("{} bytes live, {grown:+} since the first", now.live_bytes);
        if !back {
            self.faults.push(format!("memory: {words}, and {max} may be"));
        }
        words
    }

    pub fn end(self) -> Verdict {
        let Self { seed, servers, sites, waves, mut faults, began, clients, .. } = self;
        let mut all = Tally::new();
        for (site, tally) in sites {
            tally.into_iter().for_each(|(what, count)| *all.entry(what).or_default() += count);
            let site = Arc::into_inner(site).expect("all clients are gone");
            servers.block_on(site.close());
        }
        faults.extend(waits(
            servers.handle(),
            "tasks of closed servers",
            || servers.metrics().num_alive_tasks(),
            0,
        ));
        if waves * clients >= CLIENTS_FOR_ALL_REASONS {
            let never = REASONS.iter().filter(|reason| !all.contains_key(reason.as_str()));
            faults.extend(never.map(|reason| format!("no socket has ended by {reason}")));
        }
        Verdict { seed, seconds: began.elapsed().as_secs(), waves, tally: all, faults }
    }
}

/// Waits until a number is what it was, or says that it never is.
fn waits(runtime: &Handle, what: &str, now: impl Fn() -> usize, wanted: usize) -> Option<String> {
    let came = runtime.block_on(comes_true(|| now() == wanted));
    (!came).then(|| format!("{} {what} are left, and there were {wanted}", now()))
}

async fn comes_true(condition: impl Fn() -> bool) -> bool {
    let looking = async {
        while !condition() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(REST_PATIENCE, looking).await.is_ok()
}

/// No ghost: neither a socket nor a namespace.
fn nothing_is_left(site: &Site) -> Vec<String> {
    let mut left = Vec::new();
    let mut none = |what: &str, count: usize| {
        if count > 0 {
            left.push(format!("{what}: {count} are left"));
        }
    };
    none("sockets of the server", site.server.len());
    for namespace in site.standing.iter().chain(&site.parents) {
        none(namespace.name(), namespace.len());
        none(namespace.name(), namespace.everyone().local_ids().len());
        none("children", namespace.children().len());
    }
    left
}

/// What the server has counted is what the handlers have.
fn counters_agree(site: &Site, tally: &Tally) -> Vec<String> {
    let stats = site.server.stats();
    let seen = |what: &str| tally.get(what).copied().unwrap_or_default();
    let pairs = [
        ("connections opened and closed", stats.opened, stats.closed),
        ("open connections", stats.connections, 0),
        ("sockets joined", stats.joined, seen("joined")),
        ("sockets recovered", stats.recovered, seen("recovered")),
        ("recoveries refused", stats.recoveries_refused, seen("came back too late")),
        ("panics", stats.panics, seen("panics")),
        ("questions that ended", seen("questions that ended"), seen("questions")),
        ("values that could not be written", stats.encode_failures, 0),
        ("questions not asked", stats.asks_refused, 0),
        ("connections refused", stats.connections_refused, 0),
        ("registrations refused", stats.registrations_refused, 0),
    ];
    let odd = pairs.into_iter().filter(|(_, one, other)| one != other);
    odd.map(|(what, one, other)| format!("{what}: {one}, and not {other}; {stats:?}")).collect()
}

fn words_of(error: JoinError) -> String {
    match error.try_into_panic() {
        Ok(panic) => match panic.downcast::<String>() {
            Ok(words) => *words,
            Err(panic) => {
                panic.downcast::<&str>().map_or_else(|_| "panic".into(), |w| w.to_string())
            }
        },
        Err(error) => error.to_string(),
    }
}

/// What came of it all.
pub struct Verdict {
    seed: u64,
    seconds: u64,
    waves: u64,
    tally: Tally,
    faults: Vec<String>,
}

impl Verdict {
    pub fn is_good(&self) -> bool {
        self.faults.is_empty()
    }

    pub fn json(&self) -> String {
        let Self { seed, seconds, waves, tally, faults } = self;
        json!({
            "seed": seed, "seconds": seconds, "waves": waves, "counted": tally, "faults": faults,
        })
        .to_string()
    }

    pub fn print(&self) {
        for (what, count) in &self.tally {
            println!("{count:9} {what}");
        }
        for fault in self.faults.iter().take(FAULTS_SHOWN) {
            println!("FAULT {fault}");
        }
        if !self.is_good() {
            println!("{} faults; the same clients again: --seed {}", self.faults.len(), self.seed);
        }
        let failed = u64::from(!self.is_good());
        println!("{} passed, {failed} failed: waves, in {} s", self.waves - failed, self.seconds);
    }
}
