//! Many pages at once: how long a post takes to all of them, and that none is lost or doubled.

use std::env;
use std::error::Error;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use roomful_client::{EventError, Manager, Socket};
use serde::Deserialize;
use serde_json::json;
use tokio::time::{interval, sleep, timeout};

const HELP: &str = "\
Usage: forum-load URL [--clients 200] [--seconds 60] [--rate 20] [--json]

Opens so many pages of topic 1, connected as browsers are, of which one after the other posts:
`rate` posts a second of all together, each of which every page hears. Says what became of them,
and fails when one was lost or doubled. The forum must be a fresh one, or one for trying things.
";

/// How long the last posts may take to arrive.
const PATIENCE: Duration = Duration::from_secs(20);
/// Posts times pages: each costs a few bytes.
const ARRIVALS_MAX: usize = 100_000_000;
/// How often a post is sent that has no answer.
const TRIES: usize = 4;

struct Options {
    url: String,
    clients: usize,
    seconds: usize,
    rate: usize,
    json: bool,
}

impl Options {
    /// `None` where help is wanted.
    fn read(mut args: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let mut options =
            Self { url: String::new(), clients: 200, seconds: 60, rate: 20, json: false };
        while let Some(arg) = args.next() {
            let number = match arg.as_str() {
                "--help" | "-h" => return Ok(None),
                "--json" => {
                    options.json = true;
                    continue;
                }
                "--clients" => &mut options.clients,
                "--seconds" => &mut options.seconds,
                "--rate" => &mut options.rate,
                _ if arg.starts_with('-') || !options.url.is_empty() => {
                    return Err(format!("what is {arg}?"));
                }
                _ => {
                    options.url = arg;
                    continue;
                }
            };
            let value = args.next().and_then(|value| value.parse().ok());
            *number = value
                .filter(|value| (1..=100_000).contains(value))
                .ok_or_else(|| format!("{arg} takes a number from 1 to 100,000"))?;
        }
        if options.url.is_empty() {
            return Err("where is the forum?".into());
        }
        if options.posts().saturating_mul(options.clients) > ARRIVALS_MAX {
            return Err("this is too much for one run".into());
        }
        Ok(Some(options))
    }

    const fn posts(&self) -> usize {
        self.rate.saturating_mul(self.seconds)
    }
}

/// What has arrived where.
struct Tally {
    run: String,
    clients: usize,
    posts: Vec<Sent>,
    /// For each post and each page, how often it came there.
    heard: Vec<AtomicU8>,
    arrived: AtomicUsize,
    stored: AtomicUsize,
    repeated: AtomicU64,
    refused: Mutex<Vec<String>>,
    delays_us: Mutex<Vec<u32>>,
}

#[derive(Default)]
struct Sent {
    at: OnceLock<Instant>,
    is_stored: OnceLock<()>,
}

#[derive(Deserialize)]
struct Post {
    key: String,
}

impl Tally {
    fn new(options: &Options) -> Self {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let cells = options.posts() * options.clients;
        Self {
            run: format!("load-{:x}", since.as_nanos()),
            clients: options.clients,
            posts: (0..options.posts()).map(|_| Sent::default()).collect(),
            heard: (0..cells).map(|_| AtomicU8::new(0)).collect(),
            arrived: AtomicUsize::new(0),
            stored: AtomicUsize::new(0),
            repeated: AtomicU64::new(0),
            refused: Mutex::default(),
            delays_us: Mutex::new(Vec::with_capacity(cells)),
        }
    }

    /// A page has heard of a post.
    fn heard(&self, client: usize, post: &Post) {
        let number = post.key.strip_prefix(&self.run).and_then(|rest| rest.strip_prefix('-'));
        let Some(number) = number.and_then(|number| number.parse::<usize>().ok()) else { return };
        let Some(at) = self.posts.get(number).and_then(|sent| sent.at.get()) else { return };
        let times = self.heard[number * self.clients + client].fetch_add(1, Ordering::Relaxed);
        if times == 0 {
            self.arrived.fetch_add(1, Ordering::Relaxed);
            let us = u32::try_from(at.elapsed().as_micros()).unwrap_or(u32::MAX);
            self.delays_us.lock().unwrap_or_else(PoisonError::into_inner).push(us);
        }
    }

    /// Posts, and sends it again where no answer comes.
    async fn post(&self, page: Socket, number: usize) {
        let key = format!("{}-{number}", self.run);
        let text = format!(
            "Post {number} of a measurement, about as long as what people write in a hurry."
        );
        let sent = &self.posts[number];
        sent.at.get_or_init(Instant::now);
        for _ in 0..TRIES {
            match page.call("post_from_client", (1, &text, &key, "load")).await {
                Ok(Ok(Post { .. })) => {
                    sent.is_stored.get_or_init(|| ());
                    self.stored.fetch_add(1, Ordering::Relaxed);
                    return;
                }
                Ok(Err(error)) => return self.refuse(&error),
                Err(_) => self.repeated.fetch_add(1, Ordering::Relaxed),
            };
        }
        self.refuse(&EventError::new("no_answer", "no answer"));
    }

    fn refuse(&self, error: &EventError) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.push(error.code().to_owned());
    }

    fn is_complete(&self) -> bool {
        self.arrived.load(Ordering::Relaxed) >= self.stored.load(Ordering::Relaxed) * self.clients
    }

    /// How many cells of stored posts are as `is` says.
    fn count(&self, is: impl Fn(u8) -> bool) -> usize {
        let stored = self.heard.chunks(self.clients).zip(&self.posts);
        let stored = stored.filter(|(_, sent)| sent.is_stored.get().is_some());
        stored
            .flat_map(|(heard, _)| heard)
            .filter(|times| is(times.load(Ordering::Relaxed)))
            .count()
    }
}

async fn open(options: &Options, tally: &Arc<Tally>) -> Result<Vec<Socket>, Box<dyn Error>> {
    let mut pages = Vec::with_capacity(options.clients);
    for client in 0..options.clients {
        let page = Manager::builder(&options.url)?.build()?.socket("/");
        page.auth(json!({ "topic": 1 }))?;
        let tally = Arc::clone(tally);
        page.on("post_update", move |_: Socket, post: Post| {
            tally.heard(client, &post);
            std::future::ready(())
        });
        page.connect().await?;
        pages.push(page);
    }
    Ok(pages)
}

async fn run(options: &Options) -> Result<bool, Box<dyn Error>> {
    let tally = Arc::new(Tally::new(options));
    let pages = open(options, &tally).await?;
    let mut ticks = interval(Duration::from_secs(1) / u32::try_from(options.rate)?);
    let mut posting = Vec::with_capacity(options.posts());
    for number in 0..options.posts() {
        ticks.tick().await;
        let (tally, page) = (Arc::clone(&tally), pages[number % pages.len()].clone());
        posting.push(tokio::spawn(async move { tally.post(page, number).await }));
    }
    for post in posting {
        post.await?;
    }
    let complete = async {
        while !tally.is_complete() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    // What has not come by then is lost, as the figures will say.
    let _ = timeout(PATIENCE, complete).await;
    // What comes twice may come later.
    sleep(Duration::from_secs(1)).await;
    Ok(report(options, &tally))
}

/// Prints what became of it all; whether nothing was lost or doubled.
fn report(options: &Options, tally: &Tally) -> bool {
    let mut delays = tally.delays_us.lock().unwrap_or_else(PoisonError::into_inner);
    delays.sort_unstable();
    let ms = |part: f64| {
        let index = (delays.len() as f64 * part) as usize;
        let us = delays.get(index.min(delays.len().saturating_sub(1)));
        f64::from(us.copied().unwrap_or_default()) / 1_000.0
    };
    let (p50, p99, most) = (ms(0.5), ms(0.99), ms(1.0));
    let Options { clients, seconds, rate, .. } = *options;
    let (sent, stored) = (options.posts(), tally.stored.load(Ordering::Relaxed));
    let (arrived, repeated) =
        (tally.arrived.load(Ordering::Relaxed), tally.repeated.load(Ordering::Relaxed));
    let refused = tally.refused.lock().unwrap_or_else(PoisonError::into_inner);
    let (lost, doubled) = (tally.count(|times| times == 0), tally.count(|times| times > 1));
    if options.json {
        let figures = json!({
            "clients": clients, "seconds": seconds, "rate": rate, "sent": sent, "stored": stored,
            "refused": refused.len(), "repeated": repeated, "arrived": arrived, "lost": lost,
            "doubled": doubled, "p50_ms": p50, "p99_ms": p99, "max_ms": most,
        });
        println!("{figures}");
    } else {
        println!("{clients} pages, {rate} posts a second for {seconds} s");
        println!(
            "sent {sent}, stored {stored}, refused {} {refused:?}, sent again {repeated}",
            refused.len()
        );
        println!("arrived {arrived} of {}, lost {lost}, doubled {doubled}", stored * clients);
        println!("from post to page: p50 {p50:.1} ms, p99 {p99:.1} ms, most {most:.1} ms");
    }
    lost == 0 && doubled == 0 && stored == sent
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = match Options::read(env::args().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(why) => {
            eprintln!("forum-load: {why}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    match run(&options).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("forum-load: {error}");
            ExitCode::FAILURE
        }
    }
}
