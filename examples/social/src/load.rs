//! Many people at once, in pairs that write to each other: how long a message takes to both of their pages,
//! and that none is lost or doubled.

use std::env;
use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use futures_util::future::try_join_all;
use parking_lot::Mutex;
use roomful_client::{Manager, Socket};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{interval, sleep, timeout};

const HELP: &str = "\
Usage: social-load URL [--clients 200] [--seconds 60] [--rate 100] [--json]

Signs up so many people (an even number), each with a page, of which one after the other writes to the
one beside it: `rate` messages a second of all together, by GraphQL, each of which the pages of both
hear. Says what became of them, and fails when one was lost or doubled. The network must be a fresh
one, or one for trying things.
";

/// How long the last messages may take to arrive.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a request may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
const MESSAGES_MAX: usize = 10_000_000;
/// How often a message is sent that has no answer.
const TRIES: usize = 4;
/// People who sign up at the same time: each costs the server a password.
const SIGNUPS_AT_ONCE: usize = 4;
const SEND: &str = "mutation ($to: String!, $text: String!, $key: String!) \
    { sendMessage(to: $to, text: $text, key: $key) { id } }";

type Failure = Box<dyn Error + Send + Sync>;

struct Options {
    /// Host and port.
    address: String,
    clients: usize,
    seconds: usize,
    rate: usize,
    json: bool,
}

impl Options {
    /// `None` where help is wanted.
    fn read(mut args: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let mut options =
            Self { address: String::new(), clients: 200, seconds: 60, rate: 100, json: false };
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
                _ => match arg.strip_prefix("http://") {
                    Some(address) if options.address.is_empty() => {
                        options.address = address.trim_end_matches('/').to_owned();
                        continue;
                    }
                    _ => return Err(format!("what is {arg}?")),
                },
            };
            let value = args.next().and_then(|value| value.parse().ok());
            *number = value
                .filter(|value| (1..=10_000).contains(value))
                .ok_or_else(|| format!("{arg} takes a number from 1 to 10,000"))?;
        }
        if options.address.is_empty() {
            return Err("where is the network? Say http://HOST:PORT".into());
        }
        if options.messages() > MESSAGES_MAX {
            return Err("this is too much for one run".into());
        }
        options.clients = options.clients.next_multiple_of(2);
        Ok(Some(options))
    }

    const fn messages(&self) -> usize {
        self.rate.saturating_mul(self.seconds)
    }
}

/// What has arrived where.
struct Tally {
    run: String,
    address: String,
    started: Instant,
    /// When each message was sent, in microseconds since the start, and how often it came to the page of
    /// who wrote it and to the other.
    sent_us: Vec<AtomicUsize>,
    heard: Vec<[AtomicU8; 2]>,
    arrived: AtomicUsize,
    stored: AtomicUsize,
    repeated: AtomicUsize,
    refused: Mutex<Vec<String>>,
    delays_us: Mutex<Vec<u32>>,
}

/// Somebody who has signed up.
struct Person {
    handle: String,
    id: String,
    secretkey: String,
    session: String,
}

#[derive(Deserialize)]
struct Message {
    key: String,
    from: String,
}

impl Tally {
    fn new(options: &Options) -> Self {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let messages = options.messages();
        Self {
            run: format!("{:x}", since.as_micros() & 0xff_ffff_ffff),
            address: options.address.clone(),
            started: Instant::now(),
            sent_us: (0..messages).map(|_| AtomicUsize::new(0)).collect(),
            heard: (0..messages).map(|_| Default::default()).collect(),
            arrived: AtomicUsize::new(0),
            stored: AtomicUsize::new(0),
            repeated: AtomicUsize::new(0),
            refused: Mutex::default(),
            delays_us: Mutex::new(Vec::with_capacity(2 * messages)),
        }
    }

    fn now_us(&self) -> usize {
        usize::try_from(self.started.elapsed().as_micros()).unwrap_or(usize::MAX)
    }

    /// The page of somebody has heard of a message.
    fn heard(&self, handle: &str, message: &Message) {
        let number = message.key.strip_prefix(&self.run).and_then(|rest| rest.strip_prefix('-'));
        let Some(number) = number.and_then(|number| number.parse::<usize>().ok()) else { return };
        let Some(pages) = self.heard.get(number) else { return };
        let page = &pages[usize::from(message.from != handle)];
        if page.fetch_add(1, Ordering::Relaxed) == 0 {
            self.arrived.fetch_add(1, Ordering::Relaxed);
            let us = self.now_us().saturating_sub(self.sent_us[number].load(Ordering::Relaxed));
            self.delays_us.lock().push(u32::try_from(us).unwrap_or(u32::MAX));
        }
    }

    /// Sends a message, again where no answer comes.
    async fn send(&self, from: &Person, to: &str, number: usize) {
        let text = format!("Message {number}, about as long as what people write in a hurry.");
        let key = format!("{}-{number}", self.run);
        let variables = json!({ "to": to, "text": text, "key": key });
        let body = json!({ "query": SEND, "variables": variables });
        let header = format!("authorization: Bearer {}\r\n", from.session);
        self.sent_us[number].store(self.now_us(), Ordering::Relaxed);
        for _ in 0..TRIES {
            let asked = post(&self.address, "/graphql", &header, &body);
            match timeout(ANSWER_TIMEOUT, asked).await {
                Ok(Ok((_, answer))) if answer["data"]["sendMessage"].is_object() => {
                    self.stored.fetch_add(1, Ordering::Relaxed);
                    return;
                }
                Ok(Ok((_, answer))) => return self.refused.lock().push(answer.to_string()),
                _ => self.repeated.fetch_add(1, Ordering::Relaxed),
            };
        }
        self.refused.lock().push("no answer".to_owned());
    }

    fn is_complete(&self) -> bool {
        self.arrived.load(Ordering::Relaxed) >= 2 * self.stored.load(Ordering::Relaxed)
    }

    /// How many pages have heard a message so often; with those that nobody has stored, when all is well.
    fn count(&self, is: impl Fn(u8) -> bool) -> usize {
        let times = self.heard.iter().flatten().map(|times| times.load(Ordering::Relaxed));
        times.filter(|times| is(*times)).count()
    }
}

/// What is answered to JSON: the head, and the JSON.
async fn post(
    address: &str,
    path: &str,
    header: &str,
    body: &Value,
) -> Result<(String, Value), Failure> {
    let body = body.to_string();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n{header}\r\n",
        body.len()
    );
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(format!("{head}{body}").as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("there is no whole answer")?;
    Ok((head.to_owned(), serde_json::from_str(body)?))
}

async fn sign_up(address: &str, handle: String) -> Result<Person, Failure> {
    let body = json!({ "handle": handle, "name": handle, "password": "password of a load" });
    let (head, answer) = post(address, "/api/signup", "", &body).await?;
    let cookie = |name: &str| {
        let rest = head.split_once(&format!("set-cookie: {name}=")).map(|(_, rest)| rest);
        let value = rest.and_then(|rest| rest.split(';').next());
        value.map(str::to_owned).ok_or_else(|| format!("nobody is signed up: {answer}"))
    };
    let (id, secretkey, session) = (cookie("id")?, cookie("secretkey")?, cookie("session")?);
    Ok(Person { handle, id, secretkey, session })
}

/// The page of somebody, which is let in.
async fn open(person: &Person, tally: &Arc<Tally>) -> Result<Socket, Failure> {
    let page = Manager::builder(&format!("http://{}", tally.address))?.build()?.socket("/");
    let (claim, tally) =
        (json!({ "id": person.id, "secretkey": person.secretkey }), Arc::clone(tally));
    let handle = person.handle.clone();
    page.on("chatroom", move |_: Socket, message: Message| {
        tally.heard(&handle, &message);
        std::future::ready(())
    });
    // It says so whenever it comes back.
    page.on_connect(move |page: Socket| {
        page.emit("initialConnection", &claim);
        std::future::ready(())
    });
    let mut answers = page.events::<_, bool>("auth");
    page.connect().await?;
    match timeout(PATIENCE, answers.next()).await? {
        Some(Ok(true)) => Ok(page),
        _ => Err("a page is not let in".into()),
    }
}

async fn run(options: &Options) -> Result<bool, Failure> {
    let tally = Arc::new(Tally::new(options));
    let (mut people, mut pages) = (Vec::new(), Vec::new());
    while people.len() < options.clients {
        let next = people.len()..options.clients.min(people.len() + SIGNUPS_AT_ONCE);
        let handle = |number| format!("u{}_{number}", tally.run);
        people.extend(
            try_join_all(next.map(|number| sign_up(&tally.address, handle(number)))).await?,
        );
    }
    for person in &people {
        pages.push(open(person, &tally).await?);
    }
    let people = Arc::new(people);
    let mut ticks = interval(Duration::from_secs(1) / u32::try_from(options.rate)?);
    let mut sending = Vec::with_capacity(options.messages());
    for number in 0..options.messages() {
        ticks.tick().await;
        let (tally, people) = (Arc::clone(&tally), Arc::clone(&people));
        sending.push(tokio::spawn(async move {
            let me = number % people.len();
            tally.send(&people[me], &people[me ^ 1].handle, number).await;
        }));
    }
    for sent in sending {
        sent.await?;
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
    let mut delays = tally.delays_us.lock();
    delays.sort_unstable();
    let ms = |part: f64| {
        let index = (delays.len() as f64 * part) as usize;
        let us = delays.get(index.min(delays.len().saturating_sub(1)));
        f64::from(us.copied().unwrap_or_default()) / 1_000.0
    };
    let (p50, p99, most) = (ms(0.5), ms(0.99), ms(1.0));
    let Options { clients, seconds, rate, .. } = *options;
    let count = |of: &AtomicUsize| of.load(Ordering::Relaxed);
    let (sent, stored) = (options.messages(), count(&tally.stored));
    let (arrived, repeated) = (count(&tally.arrived), count(&tally.repeated));
    let (lost, doubled) = (tally.count(|times| times == 0), tally.count(|times| times > 1));
    let refused = tally.refused.lock();
    if options.json {
        let figures = json!({
            "clients": clients, "seconds": seconds, "rate": rate, "sent": sent, "stored": stored,
            "refused": refused.len(), "repeated": repeated, "arrived": arrived, "lost": lost,
            "doubled": doubled, "p50_ms": p50, "p99_ms": p99, "max_ms": most,
        });
        println!("{figures}");
    } else {
        println!("{clients} people with a page each, {rate} messages a second for {seconds} s");
        println!(
            "sent {sent}, stored {stored}, refused {} {:?}, sent again {repeated}",
            refused.len(),
            refused.first()
        );
        println!("arrived {arrived} of {}, lost {lost}, doubled {doubled}", 2 * sent);
        println!("from sending to page: p50 {p50:.1} ms, p99 {p99:.1} ms, most {most:.1} ms");
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
            eprintln!("social-load: {why}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    match run(&options).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("social-load: {error}");
            ExitCode::FAILURE
        }
    }
}
